//! Answers that break the contract.

use crate::bindings::exports::portcullis::policy::guardrail::Verdict;
use crate::bindings::exports::portcullis::policy::masker::{
    Callback, Cells, Edits, MaskAction, Masked,
};

pub(crate) fn verdict(lie: &str, verdict: &mut Verdict) {
    match lie {
        "many-tags" => verdict.tags = vec!["tag".to_owned(); 10_000],
        "long-notice" => verdict.notice = Some("x".repeat(1 << 20)),
        "amplify" => verdict.tags = amplified(),
        "not-utf8" => verdict.notice = Some(not_utf8()),
        _ => {}
    }
}

/// Many texts over the same bytes: little to give, very much to copy.
fn amplified() -> Vec<String> {
    let text = Box::leak("x".repeat(1 << 20).into_boxed_str());
    (0..100_000)
        .map(|_| {
            // SAFETY: none; the host has to bear it. Nothing here ever frees these texts,
            // since the host refuses the answer before it gives the memory back.
            unsafe { String::from_raw_parts(text.as_mut_ptr(), text.len(), text.len()) }
        })
        .collect()
}

fn not_utf8() -> String {
    // SAFETY: none; the text goes to the host, which has to bear it.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe]) }
}

pub(crate) fn plan(lie: &str, columns: usize) -> Vec<MaskAction> {
    let call = |also: Vec<u32>| MaskAction::Call(Callback { handle: 7, also });
    match lie {
        "few" => vec![MaskAction::Pass; columns.saturating_sub(1)],
        "many" => vec![MaskAction::Pass; columns + 1],
        "also-out-of-range" => vec![call(vec![columns as u32]); columns],
        "also-without-end" => vec![call(vec![0; 100_000]); columns],
        _ => vec![call(vec![0]); columns],
    }
}

pub(crate) fn masked(lie: &str, batch: &Cells) -> Option<Masked> {
    let edits = |spans: &[u32], fill: &[u8]| {
        Some(Masked::Edits(Edits { spans: spans.to_vec(), fill: fill.to_vec() }))
    };
    let replaced = |data: &[u8], ends: &[u32]| {
        let nulls = Vec::new();
        Some(Masked::Replaced(Cells { data: data.to_vec(), ends: ends.to_vec(), nulls }))
    };
    match lie {
        "unchanged" => Some(Masked::Unchanged),
        "edits-honest" => edits(&[0, 0, 1], b"*"),
        "edits-out-of-range" => edits(&[0, 0, u32::MAX], b"*"),
        "edits-of-no-row" => edits(&[batch.ends.len() as u32, 0, 0], b"*"),
        "edits-out-of-order" => edits(&[1, 0, 1, 0, 0, 1], b"*"),
        "edits-overlapping" => edits(&[0, 0, 2, 0, 1, 3], b"*"),
        "edits-of-two-words" => edits(&[0, 0], b"*"),
        "edits-splitting-a-character" => edits(&[0, 0, 1], b"*"),
        "edits-not-utf8" => edits(&[0, 0, 1], b"\xff"),
        "edits-without-end" => edits(&[0, 0, 0].repeat(100_000), &[b'x'; 100_000]),
        "cells-few" => replaced(b"x", &[1]),
        "cells-many" => replaced(b"xxxxxxxxxx", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        "cells-out-of-range" => replaced(b"xy", &[1, 99]),
        "cells-out-of-order" => replaced(b"xy", &[2, 1]),
        "cells-not-utf8" => replaced(b"\xff\xff", &[1, 2]),
        "cells-split" => replaced("é".as_bytes(), &[1, 2]),
        _ => None,
    }
}
