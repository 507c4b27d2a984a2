//! Cells, rows and COPY data of a server that may be lying.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_masking::{
    CopyFormat, CopyMasker, CsvOptions, Keys, MaskColumn, RowMasker, TextOptions, binary_to_text,
    text_to_binary,
};
use portcullis_policy::mask::{Call, Edits, FILL, Partial, Pseudonym, ValueForm};
use portcullis_policy::{
    Cells, ColumnAction, ColumnSample, Coverage, Database, Fault, FaultKind, Label, Masked,
    Parameters, PlanAnswer, PolicyName, PolicySet, Principal, Reads, Request, ResultShape, Terms,
    VerdictAnswer, WireFormat,
};
use portcullis_wire::backend;
use portcullis_wire::frame::cut;

/// Types that are known, arrays of them, and one that is not.
const TYPES: [u32; 46] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 650, 700, 701, 774, 790, 829, 869, 1042, 1043,
    1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700, 2950, 3802, 1000, 1001, 1005, 1007, 1009,
    1015, 1016, 1021, 1115, 1182, 1231, 2951, 199, 1041, 90_001,
];

/// Those of them that are arrays, and those that are texts.
const ARRAYS: [u32; 14] =
    [1000, 1001, 1005, 1007, 1009, 1015, 1016, 1021, 1115, 1182, 1231, 2951, 199, 1041];
const TEXTS: [u32; 4] = [19, 25, BPCHAR, 1043];
const BPCHAR: u32 = 1042;

/// Bytes that decide how the rest is read.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn next(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.next().is_multiple_of(count)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A value in one form is the same value in the other and back.
pub fn codecs(data: &[u8]) {
    let mut choices = Choices(data);
    let type_oid = TYPES[choices.next() % TYPES.len()];
    let value = choices.0;
    if let Some(text) = binary_to_text(type_oid, value) {
        round(type_oid, &text);
    }
    if let Ok(text) = std::str::from_utf8(value)
        && let Some(bytes) = text_to_binary(type_oid, text)
    {
        // Some values have no text that a client could be shown, such as a NUL.
        if let Some(written) = binary_to_text(type_oid, &bytes) {
            round(type_oid, &written);
        }
    }
}

/// A text that was written here is read here, and stays as it is.
fn round(type_oid: u32, text: &str) {
    if text.contains('\0') {
        return;
    }
    let Some(bytes) = text_to_binary(type_oid, text) else {
        // The server's own JSON and XML are taken as they come; what is put in their place is
        // held to the grammar.
        assert!([114, 3802, 199].contains(&type_oid), "{text:?} of {type_oid} is not read again");
        return;
    };
    assert_eq!(binary_to_text(type_oid, &bytes).as_deref(), Some(text), "{type_oid}");
}

fn action(choices: &mut Choices<'_>) -> ColumnAction {
    match choices.next() % 9 {
        0 | 1 => ColumnAction::Pass,
        2 => ColumnAction::Nullify,
        3 => ColumnAction::Constant("***".into()),
        4 => ColumnAction::Partial(Partial {
            keep_first: choices.next() as u32,
            keep_last: choices.next() as u32,
            fill: "*".into(),
            keep_from: if choices.one_in(2) { "@".into() } else { String::new() },
            only: if choices.one_in(2) { ValueForm::Email } else { ValueForm::Any },
        }),
        5 => ColumnAction::Pseudonym(Pseudonym { key_name: "k".into(), domain: "d".into() }),
        6 => {
            let steps = ["10", "1000", "month", "year", "0", "x"];
            ColumnAction::Generalize(steps[choices.next() % steps.len()].into())
        }
        _ => {
            let also = if choices.one_in(2) { vec![0, 9] } else { Vec::new() };
            let call = |handle| Call { policy: "p".into(), handle, also: also.clone() };
            ColumnAction::Calls((0..1 + choices.next() % 2).map(|_| call(0)).collect())
        }
    }
}

fn columns(choices: &mut Choices<'_>) -> Vec<MaskColumn> {
    let column = |choices: &mut Choices<'_>| MaskColumn {
        type_oid: TYPES[choices.next() % TYPES.len()],
        format: if choices.one_in(2) { WireFormat::Text } else { WireFormat::Binary },
        not_null: choices.one_in(4),
        action: action(choices),
        labels: vec!["secret".into()],
    };
    (0..1 + choices.next() % 5).map(|_| column(choices)).collect()
}

fn keys() -> Arc<Keys> {
    Arc::new(Keys::new([("k".to_owned(), b"a secret of enough bytes".to_vec())]))
}

/// Rows that are whole pass with their count of cells; what passes is as it came, what is
/// hidden is hidden. The first that is malformed ends it.
pub fn rows(data: &[u8]) {
    let mut choices = Choices(data);
    let columns = columns(&mut choices);
    let policies = Answers(choices.next() as u8);
    let mut frames = Vec::new();
    let mut given: Vec<&[u8]> = Vec::new();
    while !choices.0.is_empty() && given.len() < 64 {
        let length = choices.next() * 4 + choices.next() % 4;
        let row = choices.take(length);
        portcullis_wire::encode::frame(&mut frames, b'D', row);
        given.push(row);
    }
    let mut masker = RowMasker::new(columns.clone(), keys());
    // Rows that nobody looks at are for their reader to judge.
    if !masker.touches_rows() {
        return;
    }
    let (whole, out) = masked_rows(&mut masker, &frames, &policies);
    if let Some(row) = given.get(whole) {
        let fits = |cells: Vec<_>| cells.len() == columns.len();
        assert!(!backend::data_row(row).is_ok_and(fits), "refused a row");
    }
    check_rows(&columns, &given[..whole], &out);
    // What a plugin is asked about, and answers, is a batch.
    let asks = |column: &MaskColumn| matches!(column.action, ColumnAction::Calls(_));
    if !columns.iter().any(asks) {
        let mut one_by_one = Vec::new();
        for row in &given[..whole] {
            let mut frame = Vec::new();
            portcullis_wire::encode::frame(&mut frame, b'D', row);
            let mut masker = RowMasker::new(columns.clone(), keys());
            one_by_one.append(&mut masked_rows(&mut masker, &frame, &policies).1);
        }
        assert!(one_by_one == out, "a row depends on those beside it");
    }
}

/// How many rows could be read, and what became of them.
fn masked_rows(masker: &mut RowMasker, frames: &[u8], policies: &Answers) -> (usize, Vec<u8>) {
    let mut out = Vec::new();
    let mut rest = frames;
    let mut whole = 0;
    while !rest.is_empty() {
        let start = out.len();
        let Ok(masked) = masker.mask(b"", rest, policies, &mut out) else {
            assert_eq!(out.len(), start, "something was written of it");
            break;
        };
        assert!(masked.bytes > 0 && masked.bytes <= rest.len(), "no end");
        let (taken, after) = rest.split_at(masked.bytes);
        if !masked.changed {
            assert_eq!(out.len(), start);
            out.extend_from_slice(taken);
        }
        whole += masked.flushed.rows as usize;
        rest = after;
    }
    (whole, out)
}

fn check_rows(columns: &[MaskColumn], given: &[&[u8]], out: &[u8]) {
    let mut rest = out;
    let mut seen: Vec<HashMap<Vec<u8>, Option<Vec<u8>>>> = vec![HashMap::new(); columns.len()];
    for row in given {
        let frame = cut(rest, 1 << 28).expect("a frame").expect("a whole one");
        rest = &rest[frame.bytes.len()..];
        assert_eq!(frame.tag, b'D');
        let (Ok(masked), Ok(cells)) = (backend::data_row(frame.body), backend::data_row(row))
        else {
            // Where nothing of a batch changes, its rows are passed as they came.
            assert_eq!(frame.body, *row);
            continue;
        };
        for (index, column) in columns.iter().enumerate() {
            check_cell(column, cells[index], masked[index]);
            if let (Some(cell), Some(told)) = (cells[index], told_of(column)) {
                let known = if told == Told::Nothing { Vec::new() } else { cell.to_vec() };
                let masked = masked[index].map(<[u8]>::to_vec);
                let before = seen[index].entry(known).or_insert_with(|| masked.clone());
                assert_eq!(*before, masked, "{:?} tells of {cell:?}", column.action);
            }
        }
    }
    assert!(rest.is_empty(), "no more rows than were given");
}

/// On what of a value its mask depends.
#[derive(PartialEq, Eq)]
enum Told {
    /// Every value becomes the same.
    Nothing,
    /// The same value becomes the same.
    Value,
}

fn told_of(column: &MaskColumn) -> Option<Told> {
    match column.action {
        ColumnAction::Nullify => Some(Told::Nothing),
        // Of a list of texts each becomes the constant.
        ColumnAction::Constant(_) if ARRAYS.contains(&column.type_oid) => Some(Told::Value),
        ColumnAction::Constant(_) => Some(Told::Nothing),
        ColumnAction::Partial(_) | ColumnAction::Pseudonym(_) | ColumnAction::Generalize(_) => {
            Some(Told::Value)
        }
        ColumnAction::Pass | ColumnAction::Calls(_) => None,
    }
}

fn check_cell(column: &MaskColumn, cell: Option<&[u8]>, masked: Option<&[u8]>) {
    match &column.action {
        ColumnAction::Pass => assert_eq!(cell, masked),
        ColumnAction::Calls(_) => {}
        _ if cell.is_none() => assert_eq!(masked, None, "a mask does not hide a NULL"),
        ColumnAction::Nullify if !column.not_null => assert_eq!(masked, None),
        ColumnAction::Nullify
        | ColumnAction::Constant(_)
        | ColumnAction::Partial(_)
        | ColumnAction::Pseudonym(_)
        | ColumnAction::Generalize(_) => {
            if let (Some(masked), WireFormat::Binary) = (masked, column.format)
                && column.type_oid != 790
            {
                let read = binary_to_text(column.type_oid, masked);
                assert!(read.is_some(), "{masked:?} is no {}", column.type_oid);
            }
        }
    }
    if let (ColumnAction::Partial(partial), Some(cell)) = (&column.action, cell)
        && partial.only == ValueForm::Email
        && !cell.contains(&b'@')
        && TEXTS.contains(&column.type_oid)
    {
        assert_eq!(masked, Some(partial.fill.as_bytes()), "{cell:?} is no address");
    }
    if let (ColumnAction::Partial(partial), Some(cell), Some(masked)) =
        (&column.action, cell, masked)
        && TEXTS.contains(&column.type_oid)
        && masked != FILL.as_bytes()
    {
        // Padding is no part of a value.
        let padding = cell.iter().rev().take_while(|byte| **byte == b' ').count();
        let padding = if column.type_oid == BPCHAR { padding } else { 0 };
        let mut cell = &cell[..cell.len() - padding];
        if partial.only == ValueForm::Email {
            cell = cell.trim_ascii();
        }
        assert!(is_partial(cell, masked), "{masked:?} shows too much of {cell:?}");
    }
}

/// Something is left out between the ends that are kept, or nothing is kept.
fn is_partial(cell: &[u8], masked: &[u8]) -> bool {
    let mut fills = (0..masked.len()).filter(|at| masked[*at] == b'*');
    fills.any(|at| {
        let (first, last) = (&masked[..at], &masked[at + 1..]);
        let kept = first.len() + last.len();
        cell.starts_with(first) && cell.ends_with(last) && (kept == 0 || kept < cell.len())
    })
}

/// COPY data in whatever pieces is the same data.
pub fn copy(data: &[u8]) {
    let mut choices = Choices(data);
    let mut columns = columns(&mut choices);
    // Whether a column has one reader or another changes nothing about the framing.
    columns.iter_mut().for_each(|column| {
        if matches!(column.action, ColumnAction::Calls(_)) {
            column.action = ColumnAction::Constant("x".into());
        }
    });
    let format = format(&mut choices);
    let step = 1 + choices.next() % 7;
    let data = choices.0;
    let whole = masked_copy(&format, &columns, data.chunks(data.len().max(1)));
    let parts = masked_copy(&format, &columns, data.chunks(step));
    assert_eq!(whole, parts, "{format:?} in pieces of {step}");
    if let Some(out) = whole {
        let mut rest = &out[..];
        while let Ok(Some(frame)) = cut(rest, 1 << 28) {
            assert_eq!(frame.tag, b'd');
            rest = &rest[frame.bytes.len()..];
        }
        assert!(rest.is_empty(), "whole frames");
    }
}

fn format(choices: &mut Choices<'_>) -> CopyFormat {
    let delimiters = b"\t,;|:";
    let delimiter = delimiters[choices.next() % delimiters.len()];
    let header = choices.one_in(4);
    match choices.next() % 4 {
        0 => CopyFormat::Text,
        1 => CopyFormat::TextWith(TextOptions { delimiter, null: b"\\N".to_vec(), header }),
        2 => {
            let (quote, escape) = if choices.one_in(2) { (b'"', b'"') } else { (b'\'', b'\\') };
            let null = if choices.one_in(2) { Vec::new() } else { b"NULL".to_vec() };
            CopyFormat::Csv(CsvOptions { delimiter, quote, escape, null, header })
        }
        _ => CopyFormat::Binary,
    }
}

/// What comes out; none where the data breaks its format.
fn masked_copy<'a>(
    format: &CopyFormat,
    columns: &[MaskColumn],
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<Vec<u8>> {
    let mut masker = CopyMasker::new(format.clone(), columns.to_vec(), keys());
    for piece in pieces {
        masker.push(piece).ok()?;
    }
    masker.finish().ok()?;
    let mut out = Vec::new();
    masker.flush(&Answers(0), &mut out);
    Some(out)
}

/// A masker that answers in one of the ways there are, right or wrong.
struct Answers(u8);

impl PolicySet for Answers {
    fn mask(&self, _: &PolicyName, _: u32, batch: &Cells, _: &[Cells]) -> Result<Masked, Fault> {
        let long = "y".repeat(usize::from(self.0));
        let mut cells = Cells::default();
        let answer = match self.0 % 6 {
            0 => Masked::Unchanged,
            1 => return Err(Fault { kind: FaultKind::Trap, message: "trap".into() }),
            2 => {
                (0..batch.len()).for_each(|_| cells.push(Some(long.as_bytes())));
                Masked::Replaced(cells)
            }
            3 => {
                (0..batch.len()).for_each(|_| cells.push(None));
                Masked::Replaced(cells)
            }
            // Wrong: another count than was asked about, and spans that are not there.
            4 => Masked::Replaced(cells),
            _ => {
                let spans = vec![0, u32::from(self.0 / 6), u32::from(self.0), 1, 0, 1];
                Masked::Edits(Edits { spans, fill: b"*".to_vec() })
            }
        };
        Ok(answer)
    }

    fn revision(&self) -> u64 {
        1
    }

    fn coverage(&self, _: &Principal, _: &Database) -> Coverage {
        Coverage { guardrail: true, masker: true }
    }

    fn judge(&self, _: &Request<'_>, _: &dyn Parameters) -> Vec<VerdictAnswer> {
        Vec::new()
    }

    fn reads(&self) -> Reads {
        Reads::default()
    }

    fn terms(&self, _: &PolicyName) -> Terms {
        Terms::default()
    }

    fn plan(&self, _: &ResultShape<'_>) -> Vec<PlanAnswer> {
        Vec::new()
    }

    fn classifiers(&self) -> u64 {
        1
    }

    fn classify(&self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        Ok(vec![Vec::new(); samples.len()])
    }
}
