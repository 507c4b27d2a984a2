//! Columns that are asked about in one call.

use std::cell::Cell;

use super::*;
use crate::together::BYTES_MAX;

fn called(handle: u32, also: &[u32]) -> MaskColumn {
    let call = Call { policy: "50-test".into(), handle, also: also.to_vec() };
    column(TEXT, WireFormat::Text, ColumnAction::Calls(vec![call]))
}

/// Rows of three columns through plugins that hide each "x" by edits, and each "y" by a new cell
/// where `replaces` says so; what leaves, and how often the plugin was called.
fn masked(columns: &[MaskColumn], rows: &[[Option<&[u8]>; 3]], replaces: bool) -> (Vec<u8>, usize) {
    let (mut each, calls) = masked_each(columns, &[rows], replaces);
    (each.remove(0), calls)
}

/// The same of several batches, one behind the other through one masker.
fn masked_each(
    columns: &[MaskColumn],
    batches: &[&[[Option<&[u8]>; 3]]],
    replaces: bool,
) -> (Vec<Vec<u8>>, usize) {
    let count = Cell::new(0);
    let policies = Double {
        mask: |_: u32, batch: &Cells, _: &[Cells]| {
            count.set(count.get() + 1);
            let mut edits = Edits { spans: Vec::new(), fill: b"***".to_vec() };
            let mut new = Cells::default();
            for row in 0..batch.len() {
                let cell = batch.cell(row).flatten();
                let places = cell.unwrap_or_default().iter().enumerate();
                for (place, _) in places.filter(|(_, byte)| **byte == b'x') {
                    edits.spans.extend([row, place, place + 1].map(|word| word as u32));
                }
                new.push(cell.map(|cell| if cell.contains(&b'y') { b"new" } else { cell }));
            }
            Ok(if replaces { Masked::Replaced(new) } else { Masked::Edits(edits) })
        },
    };
    let mut masker = RowMasker::new(columns.to_vec(), Arc::new(Keys::new([])));
    let each = batches.iter().map(|rows| {
        let bodies: Vec<Vec<u8>> = rows.iter().map(|row| body(row)).collect();
        let came = frames(&bodies);
        let mut out = Vec::new();
        let changed = masker.mask(&[], &came, &policies, &mut out).expect("good rows").changed;
        if changed { out } else { came }
    });
    (each.collect(), count.get())
}

#[test]
fn each_column_has_its_part_of_the_answer() {
    let rows: [[Option<&[u8]>; 3]; 4] = [
        [Some(b"ax"), Some(b"xx"), Some(b"plain")],
        [None, Some(b""), Some("h\u{e9}x".as_bytes())],
        [Some(b"y"), None, None],
        [Some(b"nothing"), Some(b"xyx"), Some(b"x")],
    ];
    for replaces in [false, true] {
        let alike = [called(7, &[]), called(7, &[]), called(7, &[])];
        let (together, calls) = masked(&alike, &rows, replaces);
        assert_eq!(calls, 1);
        let different = [called(7, &[]), called(8, &[]), called(9, &[])];
        let (apart, calls) = masked(&different, &rows, replaces);
        assert_eq!(calls, 3);
        assert_eq!(together, apart);
    }
}

#[test]
fn what_is_large_or_seen_beside_others_is_asked_about_alone() {
    let large = vec![b'x'; BYTES_MAX];
    let rows = [[Some(large.as_slice()), Some(b"x"), Some(b"x")]];
    assert_eq!(masked(&[called(7, &[]), called(7, &[]), called(7, &[])], &rows, false).1, 3);
    let rows: [[Option<&[u8]>; 3]; 1] = [[Some(b"x"), Some(b"x"), Some(b"x")]];
    assert_eq!(masked(&[called(7, &[1]), called(7, &[]), called(7, &[])], &rows, false).1, 2);
}

#[test]
fn columns_are_asked_about_together_and_alone_in_turn() {
    let large = vec![b'x'; BYTES_MAX];
    let small = [[Some(&b"x"[..]), Some(b"ax"), Some(b"y")]];
    let big = [[Some(large.as_slice()), Some(b"ax"), Some(b"y")]];
    let alike = [called(7, &[]), called(7, &[]), called(7, &[])];
    let different = [called(7, &[]), called(8, &[]), called(9, &[])];
    for replaces in [false, true] {
        let batches: [&[_]; 3] = [&small, &big, &small];
        let (together, calls) = masked_each(&alike, &batches, replaces);
        assert_eq!(calls, 1 + 3 + 1);
        assert_eq!(together, masked_each(&different, &batches, replaces).0);
    }
}

#[test]
fn a_wrong_answer_loses_all_that_it_was_about() {
    let mut no_text = Cells::default();
    [&b"fine"[..], b"\xff"].iter().for_each(|cell| no_text.push(Some(cell)));
    let wrong: [Result<Masked, Fault>; 7] = [
        Err(Fault { kind: FaultKind::Trap, message: "gone".into() }),
        Ok(Masked::Replaced(Cells::default())),
        // The first column could have its part.
        Ok(Masked::Replaced(no_text)),
        // Not in threes, behind the end of a cell, of a row that is not, and out of order.
        Ok(Masked::Edits(Edits { spans: vec![0, 0, 1, 2], fill: b"*".to_vec() })),
        Ok(Masked::Edits(Edits { spans: vec![1, 0, 9], fill: b"*".to_vec() })),
        Ok(Masked::Edits(Edits { spans: vec![0, 0, 1, 2, 0, 1], fill: b"*".to_vec() })),
        Ok(Masked::Edits(Edits { spans: vec![1, 0, 1, 0, 0, 1], fill: b"*".to_vec() })),
    ];
    for answer in wrong {
        let policies = Double { mask: |_: u32, _: &Cells, _: &[Cells]| answer.clone() };
        let columns = vec![called(7, &[]), called(7, &[])];
        let mut masker = RowMasker::new(columns, Arc::new(Keys::new([])));
        let mut out = Vec::new();
        let came = frames(&[body(&[Some(b"a"), Some(b"b")])]);
        let masked = masker.mask(&[], &came, &policies, &mut out).expect("a good row");
        assert_eq!(out, frames(&[body(&[None, None])]), "{answer:?}");
        assert_eq!((masked.flushed.faults.len(), masked.flushed.cells_masked), (1, 2));
    }
}
