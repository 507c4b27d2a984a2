mod together;

use portcullis_policy::mask::{Call, Partial, Pseudonym, ValueForm};
use portcullis_policy::{Cells, ColumnAction, Edits, Fault, FaultKind, Masked, WireFormat};

use super::*;
use crate::batch::write_frame;
use crate::cell::CellForm;
use crate::codec::{binary_to_text, text_to_binary};
use crate::double::{Double, unchanged};

const TEXT: u32 = 25;
const INT4: u32 = 23;

pub(crate) fn column(type_oid: u32, format: WireFormat, action: ColumnAction) -> MaskColumn {
    MaskColumn { type_oid, format, not_null: false, action, labels: vec!["pii".into()] }
}

fn calls(handles: &[u32], also: &[u32]) -> ColumnAction {
    let call =
        |handle: &u32| Call { policy: "50-test".into(), handle: *handle, also: also.to_vec() };
    ColumnAction::Calls(handles.iter().map(call).collect())
}

fn partial() -> ColumnAction {
    ColumnAction::Partial(Partial {
        keep_first: 1,
        keep_last: 0,
        fill: "***".into(),
        keep_from: "@".into(),
        only: ValueForm::Any,
    })
}

fn keys() -> Arc<Keys> {
    Arc::new(Keys::new([("k".to_owned(), b"secret".to_vec())]))
}

/// The body of a DataRow.
pub(crate) fn body(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = (cells.len() as i16).to_be_bytes().to_vec();
    for cell in cells {
        CellForm::Counted.write(*cell, &mut body);
    }
    body
}

/// DataRow messages of these bodies.
fn frames(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut frames = Vec::new();
    bodies.iter().for_each(|body| write_frame(b'D', body, &mut frames));
    frames
}

/// The cells of rows that are masked in one batch, and what came of it.
fn mask(
    masker: &mut RowMasker,
    policies: &dyn PolicySet,
    bodies: &[Vec<u8>],
) -> (Vec<Vec<Option<Vec<u8>>>>, Flushed) {
    let came = frames(bodies);
    let mut out = b"before".to_vec();
    let masked = masker.mask(b"ahead", &came, policies, &mut out).unwrap();
    assert_eq!((masked.bytes, masked.flushed.rows), (came.len(), bodies.len() as u64));
    if !masked.changed {
        assert_eq!(out, b"before", "what nothing changes is not written");
        return (read(&came), masked.flushed);
    }
    (read(out.strip_prefix(b"beforeahead").unwrap()), masked.flushed)
}

/// The cells of all frames written.
fn read(mut out: &[u8]) -> Vec<Vec<Option<Vec<u8>>>> {
    let mut rows = Vec::new();
    while let Some((tag, rest)) = out.split_first() {
        assert_eq!(*tag, b'D');
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (body, behind) = rest[4..].split_at(length - 4);
        let mut reader = crate::reader::Reader::new(body);
        let count = reader.i16().unwrap();
        rows.push((0..count).map(|_| reader.cell().unwrap().map(<[u8]>::to_vec)).collect());
        assert!(reader.end().is_some());
        out = behind;
    }
    rows
}

/// Masks a single column of text cells with what a plugin answers; `-` is NULL.
fn masked_by(
    answer: impl Fn(u32, &Cells, &[Cells]) -> Result<Masked, Fault>,
    handles: &[u32],
    cells: &[&str],
) -> (Vec<String>, Flushed) {
    let mut masker =
        RowMasker::new(vec![column(TEXT, WireFormat::Text, calls(handles, &[]))], keys());
    let bodies = cells.iter().map(|cell| {
        let cell = Some(*cell).filter(|cell| *cell != "-");
        body(&[cell.map(str::as_bytes)])
    });
    let bodies: Vec<Vec<u8>> = bodies.collect();
    let (rows, flushed) = mask(&mut masker, &Double { mask: answer }, &bodies);
    let text = |cell: &Option<Vec<u8>>| match cell {
        None => "-".to_owned(),
        Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
    };
    (rows.iter().map(|row| text(&row[0])).collect(), flushed)
}

/// One column, one value, in text and in binary.
fn check(type_oid: u32, action: ColumnAction, not_null: bool, value: &str, expected: Option<&str>) {
    for format in [WireFormat::Text, WireFormat::Binary] {
        let cell = match format {
            WireFormat::Text => value.as_bytes().to_vec(),
            WireFormat::Binary => text_to_binary(type_oid, value).expect("a value of its type"),
        };
        let columns = vec![
            column(INT4, format, ColumnAction::Pass),
            MaskColumn { not_null, ..column(type_oid, format, action.clone()) },
        ];
        let mut masker = RowMasker::new(columns, keys());
        let bodies = [body(&[Some(b"left"), Some(&cell)]), body(&[None, None])];
        let (rows, flushed) = match masker.touches_rows() {
            true => mask(&mut masker, &unchanged(), &bodies),
            false => (read(&frames(&bodies)), Flushed { rows: 2, ..Flushed::default() }),
        };
        assert_eq!(rows[0][0].as_deref(), Some(&b"left"[..]));
        assert_eq!(rows[1], [None, None], "NULL stays NULL");
        let found = rows[0][1].clone().map(|bytes| match format {
            WireFormat::Text => String::from_utf8(bytes).unwrap(),
            WireFormat::Binary => binary_to_text(type_oid, &bytes).expect("it decodes"),
        });
        assert_eq!(found.as_deref(), expected, "{type_oid} {value} {format:?} {action:?}");
        let changed = u64::from(expected != Some(value));
        assert_eq!((flushed.rows, flushed.cells_masked), (2, changed), "{value} {action:?}");
        assert_eq!(flushed.labels_masked.iter().count() as u64, changed);
    }
}

#[test]
fn native_actions_are_correct_for_the_type_in_both_formats() {
    let constant = |text: &str| ColumnAction::Constant(text.into());
    let generalize = |step: &str| ColumnAction::Generalize(step.into());
    check(TEXT, ColumnAction::Pass, false, "a", Some("a"));
    check(TEXT, ColumnAction::Nullify, false, "a", None);
    check(TEXT, ColumnAction::Nullify, true, "a", Some("***"));
    check(INT4, ColumnAction::Nullify, true, "5", Some("0"));
    check(1082, ColumnAction::Nullify, true, "1984-05-17", Some("2000-01-01"));
    check(TEXT, constant("x"), false, "a", Some("x"));
    check(TEXT, constant("a"), false, "a", Some("a"));
    check(INT4, constant("***"), false, "5", None);
    check(INT4, constant("***"), true, "5", Some("0"));
    check(INT4, constant("7"), false, "5", Some("7"));
    check(1009, constant("x"), false, "{a,NULL,b}", Some("{x,NULL,x}"));
    check(1007, constant("x"), false, "{1,2}", None);
    check(TEXT, partial(), false, "anna@x.y", Some("a***@x.y"));
    check(1043, partial(), false, "héllo", Some("h***"));
    check(1042, partial(), false, "bob   ", Some("b***"));
    check(1009, partial(), false, "{anna@x.y,\"b c\"}", Some("{a***@x.y,b***}"));
    check(INT4, partial(), false, "12345", None);
    check(3802, partial(), false, "{\"a\": 1}", None);
    check(1700, generalize("100"), false, "1234.50", Some("1200.00"));
    check(INT4, generalize("10"), false, "57", Some("50"));
    check(INT4, generalize("10"), false, "50", Some("50"));
    check(21, generalize("10000"), false, "-32768", None);
    check(701, generalize("0.5"), false, "1.75", Some("1.5"));
    check(1114, generalize("month"), false, "2026-11-22 05:22:52", Some("2026-11-01 00:00:00"));
    check(1184, generalize("day"), false, "2026-11-22 05:00:00+00", Some("2026-11-22 00:00:00+00"));
    check(TEXT, generalize("month"), false, "2026-11-22", None);
    check(INT4, generalize("no step"), false, "57", None);
    let long = "x".repeat(70_000);
    check(TEXT, constant(&long), false, "a", None);
}

#[test]
fn pseudonyms_are_the_same_in_text_and_binary() {
    let action =
        |key: &str| ColumnAction::Pseudonym(Pseudonym { key_name: key.into(), domain: "d".into() });
    for (oid, value) in [
        (TEXT, "anna@example.com"),
        (INT4, "-12345"),
        (1700, "99.95"),
        (2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (1082, "1984-05-17"),
        (1114, "1984-05-17 10:20:30"),
        (1009, "{anna,NULL}"),
    ] {
        let mut images = [WireFormat::Text, WireFormat::Binary].map(|format| {
            let cell = match format {
                WireFormat::Text => value.as_bytes().to_vec(),
                WireFormat::Binary => text_to_binary(oid, value).unwrap(),
            };
            let mut masker = RowMasker::new(vec![column(oid, format, action("k"))], keys());
            let (rows, flushed) = mask(&mut masker, &unchanged(), &[body(&[Some(&cell)])]);
            assert_eq!(flushed.cells_masked, 1);
            rows[0][0].clone().expect("a pseudonym")
        });
        images[1] = binary_to_text(oid, &images[1]).unwrap().into_bytes();
        assert_eq!(images[0], images[1], "{value}");
    }
    check(TEXT, action("no such key"), false, "anna", None);
    check(16, action("k"), true, "t", Some("f"));
}

#[test]
fn unknown_types_and_encodings_become_null() {
    let check = |oid: u32, format: WireFormat, action: ColumnAction, bytes: &[u8], passes: bool| {
        let mut masker = RowMasker::new(
            vec![MaskColumn { not_null: oid != TEXT, ..column(oid, format, action.clone()) }],
            keys(),
        );
        let bodies = [body(&[Some(bytes)])];
        let rows = match masker.touches_rows() {
            true => mask(&mut masker, &unchanged(), &bodies).0,
            false => read(&frames(&bodies)),
        };
        let expected = passes.then(|| bytes.to_vec());
        assert_eq!(rows, [[expected]], "{oid} {format:?} {action:?}");
    };
    let (text, binary) = (WireFormat::Text, WireFormat::Binary);
    let latin1 = b"caf\xe9";
    check(TEXT, text, ColumnAction::Pass, latin1, true);
    for action in [partial(), calls(&[1], &[]), ColumnAction::Nullify] {
        check(TEXT, text, action.clone(), latin1, false);
        check(TEXT, binary, action, latin1, false);
    }
    for action in [partial(), ColumnAction::Constant("x".into()), ColumnAction::Nullify] {
        check(99_999, text, action.clone(), b"value", false);
        check(99_999, binary, action, b"value", false);
    }
    check(99_999, text, calls(&[1], &[]), b"(1,\"a b\")", true);
    check(99_999, binary, calls(&[1], &[]), b"label", true);
    check(99_999, binary, calls(&[1], &[]), b"\0\0\0\x01", false);
}

#[test]
fn edits_change_what_they_name_and_nothing_else() {
    let edits = |spans: &'static [u32]| {
        move |_: u32, _: &Cells, _: &[Cells]| {
            Ok(Masked::Edits(Edits { spans: spans.to_vec(), fill: b"##".to_vec() }))
        }
    };
    let check = |spans: &'static [u32], cells: &[&str], expected: &[&str], masked: u64| {
        let (found, flushed) = masked_by(edits(spans), &[1], cells);
        assert_eq!(
            (found, flushed.cells_masked),
            (expected.iter().map(|s| s.to_string()).collect(), masked)
        );
        assert_eq!(flushed.faults, []);
    };
    check(&[], &["abc"], &["abc"], 0);
    check(&[0, 1, 2], &["abc", "def"], &["a##c", "def"], 1);
    check(&[0, 0, 1, 0, 2, 3, 2, 0, 3], &["abc", "-", "def"], &["##b##", "-", "##"], 2);
    check(&[1, 0, 0], &["abc", "", "x"], &["abc", "##", "x"], 1);
    check(&[0, 1, 3], &["hé!"], &["h##!"], 1);
    check(&[0, 0, 2], &["##"], &["##"], 0);
}

#[test]
fn malformed_answers_lose_the_column_and_are_faults() {
    let check = |masked: Masked| {
        let (found, flushed) = masked_by(|_, _, _| Ok(masked.clone()), &[1, 2], &["hé", "-", "x"]);
        assert_eq!(found, ["-", "-", "-"], "{masked:?}");
        assert_eq!(flushed.cells_masked, 2);
        assert_eq!(flushed.faults.len(), 1);
        assert_eq!(flushed.faults[0].1.kind, FaultKind::Malformed);
    };
    let edits = |spans: &[u32], fill: &[u8]| {
        Masked::Edits(Edits { spans: spans.to_vec(), fill: fill.to_vec() })
    };
    check(edits(&[0, 0], b""));
    check(edits(&[0, 0, 4], b""));
    check(edits(&[0, 2, 1], b""));
    check(edits(&[0, 0, 2], b""));
    check(edits(&[1, 0, 0], b""));
    check(edits(&[3, 0, 0], b""));
    check(edits(&[2, 0, 1, 0, 0, 1], b""));
    check(edits(&[0, 0, 1, 0, 0, 3], b""));
    check(edits(&[u32::MAX, u32::MAX, u32::MAX], b""));
    check(edits(&[0, 0, 1], b"\xff"));
    check(edits(&[0, 0, 1].repeat(100), &[b'x'; 1 << 20]));
    let cells = |data: &[u8], ends: &[u32]| {
        Masked::Replaced(Cells { data: data.to_vec(), ends: ends.to_vec(), nulls: Vec::new() })
    };
    check(cells(b"", &[]));
    check(cells(b"ab", &[1, 2]));
    check(cells(b"ab", &[1, 2, 3]));
    check(cells(b"ab", &[2, 1, 2]));
    check(cells(b"\xff", &[1, 1, 1]));
}

#[test]
fn calls_run_one_after_another_on_what_the_one_before_left() {
    let answer = |handle: u32, batch: &Cells, _: &[Cells]| {
        let mut cells = Cells::default();
        for row in 0..batch.len() {
            let text = batch.cell(row).unwrap().map(|bytes| [bytes, b"+"].concat());
            cells.push(if handle == 9 { None } else { text.as_deref() });
        }
        Ok(if handle == 0 { Masked::Unchanged } else { Masked::Replaced(cells) })
    };
    let check = |handles: &[u32], expected: &[&str]| {
        assert_eq!(masked_by(answer, handles, &["a", "-"]).0, expected, "{handles:?}");
    };
    check(&[], &["a", "-"]);
    check(&[0], &["a", "-"]);
    check(&[1, 0, 1], &["a++", "-"]);
    check(&[1, 9, 0], &["-", "-"]);
    check(&[9, 1], &["-", "-"]);
}

#[test]
fn a_fault_loses_its_column_in_this_batch_only() {
    let columns = vec![
        column(TEXT, WireFormat::Text, calls(&[1], &[])),
        MaskColumn { not_null: true, ..column(INT4, WireFormat::Binary, calls(&[2, 3], &[])) },
        column(TEXT, WireFormat::Text, calls(&[4], &[7])),
    ];
    let mut masker = RowMasker::new(columns, keys());
    let policies = Double {
        mask: |handle: u32, _: &Cells, _: &[Cells]| match handle {
            2 => Err(Fault { kind: FaultKind::Trap, message: "unreachable".into() }),
            _ => Ok(Masked::Unchanged),
        },
    };
    for _ in 0..2 {
        let bodies = [body(&[Some(b"a"), Some(&[0, 0, 0, 5]), Some(b"c")])];
        let (rows, flushed) = mask(&mut masker, &policies, &bodies);
        assert_eq!(rows, [[Some(b"a".to_vec()), Some(vec![0; 4]), None]]);
        let kinds: Vec<_> = flushed.faults.iter().map(|(_, fault)| fault.kind).collect();
        assert_eq!(kinds, [FaultKind::Trap, FaultKind::Malformed], "the second names a column");
    }
}

#[test]
fn plugins_see_text_and_binary_values_stay_of_their_type() {
    let columns = vec![
        column(INT4, WireFormat::Binary, calls(&[1], &[1])),
        column(1114, WireFormat::Binary, ColumnAction::Pass),
    ];
    let mut masker = RowMasker::new(columns, keys());
    let stamp = text_to_binary(1114, "2026-11-22 05:22:52").unwrap();
    let bodies = [5_i32, 6, 7].map(|number| body(&[Some(&number.to_be_bytes()), Some(&stamp)]));
    let policies = Double {
        mask: |_: u32, batch: &Cells, also: &[Cells]| {
            assert_eq!(batch.data, b"567");
            assert_eq!(also[0].cell(2), Some(Some(&b"2026-11-22 05:22:52"[..])));
            let mut cells = Cells::default();
            for text in ["5", "-99", "many"] {
                cells.push(Some(text.as_bytes()));
            }
            Ok(Masked::Replaced(cells))
        },
    };
    let (rows, flushed) = mask(&mut masker, &policies, &bodies);
    let found: Vec<_> = rows.into_iter().map(|row| row[0].clone()).collect();
    let number = |number: i32| Some(number.to_be_bytes().to_vec());
    assert_eq!(found, [number(5), number(-99), None], "what is no number becomes NULL");
    assert_eq!(flushed.cells_masked, 2);
}

/// By a plugin that looks at what comes, and by transforms that do not.
fn maskers() -> [RowMasker; 2] {
    [partial(), calls(&[1], &[])].map(|action| {
        let columns = vec![
            column(TEXT, WireFormat::Text, ColumnAction::Pass),
            column(TEXT, WireFormat::Text, action.clone()),
            column(TEXT, WireFormat::Text, ColumnAction::Pass),
        ];
        RowMasker::new(columns, keys())
    })
}

fn malformed_bodies() -> Vec<(Vec<u8>, MalformedRow)> {
    let whole = body(&[Some(b"ab"), None, Some(b"c")]);
    let short = (0..whole.len()).map(|end| (whole[..end].to_vec(), MalformedRow::Short));
    let mut bodies: Vec<_> = short.collect();
    bodies.push(([&whole[..], b"x"].concat(), MalformedRow::Long));
    bodies.push((body(&[None, None]), MalformedRow::ColumnCount));
    bodies.push((body(&[None, None, None, None]), MalformedRow::ColumnCount));
    bodies.push((vec![0xff, 0xff], MalformedRow::ColumnCount));
    for place in 0..3 {
        let mut body = body(&[None, None, None]);
        body[2 + 4 * place..][..4].copy_from_slice(&(-2_i32).to_be_bytes());
        bodies.push((body, MalformedRow::CellLength));
    }
    bodies
}

#[test]
fn malformed_rows_are_refused_and_leave_nothing_behind() {
    for mut masker in maskers() {
        for (malformed, expected) in malformed_bodies() {
            let mut out = Vec::new();
            let bodies = [malformed.clone(), body(&[None, Some(b"anna"), None])];
            let refused = masker.mask(b"", &frames(&bodies), &unchanged(), &mut out);
            assert_eq!(refused.err(), Some(expected), "{malformed:?}");
            assert_eq!(out, b"", "no value of it leaves");
        }
    }
}

#[test]
fn a_batch_ends_before_a_malformed_row() {
    let policies = Double {
        mask: |_: u32, batch: &Cells, _: &[Cells]| {
            assert_eq!((batch.len(), batch.data.as_slice()), (2, &b"annabob"[..]));
            let spans = vec![0, 1, 4, 1, 1, 3];
            Ok(Masked::Edits(Edits { spans, fill: b"***".to_vec() }))
        },
    };
    let whole = [body(&[None, Some(b"anna"), None]), body(&[None, Some(b"bob"), Some(b"x")])];
    for mut masker in maskers() {
        for (malformed, _) in malformed_bodies() {
            let mut out = Vec::new();
            let bodies = [&whole[..], &[malformed]].concat();
            let masked = masker.mask(b"", &frames(&bodies), &policies, &mut out).unwrap();
            assert_eq!(masked.bytes, frames(&whole).len());
            assert_eq!((masked.changed, masked.flushed.rows), (true, 2));
            assert_eq!(masked.flushed.cells_masked, 2);
            let cells = read(&out).concat();
            let text = |text: &str| Some(text.as_bytes().to_vec());
            assert_eq!(cells, [None, text("a***"), None, None, text("b***"), text("x")]);
        }
    }
}

#[test]
fn a_batch_has_so_many_rows_at_most() {
    for mut masker in maskers() {
        let came = frames(&vec![body(&[None, Some(b"x"), None]); ROWS_FULL + 7]);
        let mut done = Vec::new();
        let mut rest = came.as_slice();
        while !rest.is_empty() {
            let masked = masker.mask(b"", rest, &unchanged(), &mut Vec::new()).unwrap();
            done.push(masked.flushed.rows as usize);
            rest = &rest[masked.bytes..];
        }
        assert_eq!(done, [ROWS_FULL, 7]);
        assert!(masker.touches_rows());
    }
    let passing = vec![column(TEXT, WireFormat::Text, ColumnAction::Pass)];
    assert!(!RowMasker::new(passing, keys()).touches_rows());
}

#[test]
fn rows_of_no_columns_have_none() {
    let mut masker = RowMasker::new(Vec::new(), keys());
    let bodies = [body(&[]), body(&[])];
    let (rows, flushed) = mask(&mut masker, &unchanged(), &bodies);
    assert_eq!((rows, flushed.rows), (vec![Vec::new(), Vec::new()], 2));
    let refused = masker.mask(b"", &frames(&[body(&[None])]), &unchanged(), &mut Vec::new());
    assert_eq!(refused.err(), Some(MalformedRow::ColumnCount));
}
