//! What a row costs here: `cargo run --release -p portcullis-masking --example rows`
//!
//! Rows as a database sends them, in reads of 64 KiB, masked by what the proxy does itself.

// A program for a terminal.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use portcullis_masking::{Keys, MaskColumn, RowMasker};
use portcullis_policy::mask::{Partial, ValueForm};
use portcullis_policy::{ColumnAction, WireFormat};

#[path = "../src/double.rs"]
mod double;

const TEXT: u32 = 25;
const READ_BYTES: usize = 64 << 10;
const TIMES: usize = 2_000;

fn main() {
    let partial = |keep_first, keep_last, keep_from: &str, only| {
        ColumnAction::Partial(Partial {
            keep_first,
            keep_last,
            fill: "***".to_owned(),
            keep_from: keep_from.to_owned(),
            only,
        })
    };
    let email = || partial(1, 0, "@", ValueForm::Email);
    let last = || partial(0, 2, "", ValueForm::Any);
    let pass = || ColumnAction::Pass;
    measure("an address", [pass(), pass(), email(), pass(), pass(), pass()]);
    measure("a number's end", [pass(), pass(), pass(), last(), pass(), pass()]);
    let constant = ColumnAction::Constant("***".to_owned());
    measure("a constant", [pass(), pass(), constant, pass(), pass(), pass()]);
    measure("three columns of six", [pass(), pass(), email(), last(), last(), pass()]);
}

fn measure(what: &str, actions: [ColumnAction; 6]) {
    let column = |action| MaskColumn {
        type_oid: TEXT,
        format: WireFormat::Text,
        not_null: false,
        action,
        labels: vec!["pii".into()],
    };
    let columns = actions.into_iter().map(column).collect();
    let policies = double::unchanged();
    let mut masker = RowMasker::new(columns, Arc::new(Keys::new([])));
    let frames = frames();
    let (mut rows, mut out) = (0, Vec::new());
    let begun = Instant::now();
    for _ in 0..TIMES {
        let mut at = 0;
        while let Some(rest) = frames.get(at..).filter(|rest| !rest.is_empty()) {
            out.clear();
            let masked =
                masker.mask(&[], black_box(rest), &policies, &mut out).expect("whole rows");
            at += masked.bytes;
            rows += masked.flushed.rows;
        }
        black_box(&out);
    }
    let ns = begun.elapsed().as_nanos() as f64 / rows as f64;
    println!("{what:24} {ns:6.1} ns a row");
}

fn frames() -> Vec<u8> {
    let mut frames = Vec::new();
    for i in 1.. {
        let row = [
            i.to_string(),
            "Parcel was lost".to_owned(),
            format!("user{i}.ab12cd@example{}.com", i % 97),
            format!("+1-{}-555-{:04}", 200 + i % 700, i % 10_000),
            format!("{:03}-{:02}-{:04}", i % 899 + 1, i % 99 + 1, i % 9_999 + 1),
            format!("note {:032x}", i * 7),
        ];
        let body: usize = row.iter().map(|cell| 4 + cell.len()).sum();
        if frames.len() + body + 7 > READ_BYTES {
            break;
        }
        frames.push(b'D');
        frames.extend_from_slice(&(body as u32 + 6).to_be_bytes());
        frames.extend_from_slice(&6_u16.to_be_bytes());
        for cell in row {
            frames.extend_from_slice(&(cell.len() as u32).to_be_bytes());
            frames.extend_from_slice(cell.as_bytes());
        }
    }
    frames
}
