//! What any call may do to the host besides answering.

use std::hint::black_box;

use crate::bindings::portcullis::policy::host::{Level, log};

/// Does what the word says; other words do nothing.
pub(crate) fn commit(behaviour: &str) {
    match behaviour {
        "spin" => spin(),
        "hog" => hog(),
        "recurse" => {
            black_box(recurse(1));
        }
        "recurse-plainly" => {
            black_box(recurse_plainly(1));
        }
        "trap" => core::arch::wasm32::unreachable(),
        "panic" => panic!("as told"),
        "flood" => flood("again and again"),
        "flood-long" => flood(&"x".repeat(1 << 20)),
        "log-line" => log(Level::Info, "first\nsecond\u{1b}[2J"),
        _ => {}
    }
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn hog() {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; 1 << 16]));
    }
}

/// Fills the stack that it keeps in its own memory.
fn recurse(depth: u64) -> u64 {
    let kept = black_box([depth; 64]);
    match black_box(depth) {
        0 => 0,
        _ => recurse(depth + 1).wrapping_add(kept[3]),
    }
}

/// Keeps nothing in its memory, so that only the host's stack fills.
#[inline(never)]
fn recurse_plainly(depth: usize) -> usize {
    match depth {
        0 => 0,
        _ => core::arch::wasm32::memory_size::<0>() ^ recurse_plainly(depth + 1).wrapping_mul(3),
    }
}

fn flood(message: &str) {
    loop {
        log(Level::Warn, message);
    }
}
