use portcullis_policy::ColumnAction;
use portcullis_policy::mask::{Partial, ValueForm};
use proptest::prelude::*;

use super::*;
use crate::cell::CsvOptions;
use crate::double::unchanged;
use crate::rows::tests::{body, column};

const TEXT: u32 = 25;

fn partial() -> ColumnAction {
    ColumnAction::Partial(Partial {
        keep_first: 1,
        keep_last: 0,
        fill: "***".into(),
        keep_from: String::new(),
        only: ValueForm::Any,
    })
}

fn masker(format: CopyFormat, actions: &[ColumnAction]) -> CopyMasker {
    let columns =
        actions.iter().map(|action| column(TEXT, WireFormat::Binary, action.clone())).collect();
    CopyMasker::new(format, columns, Arc::new(Keys::default()))
}

/// The bodies of the frames written.
fn bodies(mut out: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some((tag, rest)) = out.split_first() {
        assert_eq!(*tag, b'd');
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        bodies.push(rest[4..length].to_vec());
        out = &rest[length..];
    }
    bodies
}

/// All that comes out when the data comes cut at `cut`, flushed in between or not.
fn run(
    format: &CopyFormat,
    actions: &[ColumnAction],
    data: &[u8],
    cut: usize,
    flush_between: bool,
) -> Result<Vec<Vec<u8>>, MalformedRow> {
    let mut masker = masker(format.clone(), actions);
    let mut out = Vec::new();
    masker.push(&data[..cut])?;
    if flush_between {
        masker.flush(&unchanged(), &mut out);
    }
    masker.push(&data[cut..])?;
    masker.finish()?;
    masker.flush(&unchanged(), &mut out);
    assert_eq!(masker.pending(), 0);
    Ok(bodies(&out))
}

/// The same outcome wherever the data is cut.
fn check(format: &CopyFormat, actions: &[ColumnAction], data: &[u8], expected: &[&[u8]]) {
    for cut in 0..=data.len() {
        for flush_between in [false, true] {
            let found = run(format, actions, data, cut, flush_between);
            let expected = expected.iter().map(|body| body.to_vec()).collect();
            assert_eq!(found, Ok(expected), "{format:?} cut at {cut}");
        }
    }
}

#[test]
fn text_fields_are_unescaped_masked_and_escaped() {
    let actions = [ColumnAction::Pass, partial(), ColumnAction::Nullify];
    let data = b"1\tanna\tx\n\\N\t\\N\t\\N\nt\\tab\t\\\\ab\\ncd\t\n";
    let rows: [&[u8]; 3] = [b"1\ta***\t\\N\n", b"\\N\t\\N\t\\N\n", b"t\\tab\t\\\\***\t\\N\n"];
    check(&CopyFormat::Text, &actions, data, &rows);
    let options = TextOptions { delimiter: b'|', null: b"NULL".to_vec(), header: true };
    let rows: [&[u8]; 3] = [b"id|name|x\n", b"1|\\|***|NULL\n", b"2|NULL|NULL\n"];
    let data = b"id|name|x\n1|\\|a|b\n2|NULL|b\n";
    check(&CopyFormat::TextWith(options), &actions, data, &rows);
    check(&CopyFormat::Text, &[], b"\n\n", &[b"\n", b"\n"]);
    check(&CopyFormat::Text, &[partial()], b"\\101\\x42c\n", &[b"A***\n"]);
}

#[test]
fn csv_fields_are_unquoted_masked_and_quoted() {
    let actions = [ColumnAction::Pass, partial(), ColumnAction::Nullify];
    let csv = CopyFormat::Csv(CsvOptions { header: true, ..CsvOptions::default() });
    let data = b"id,\"na\nme\",x\n1,anna,x\n\"a,\"\"b\",\"\"\"q\nr\",\"\"\n,,\n3,\"\",y\n";
    let rows: [&[u8]; 5] = [
        b"id,\"na\nme\",x\n",
        b"1,\"a***\",\n",
        b"\"a,\"\"b\",\"\"\"***\",\n",
        b",,\n",
        b"3,\"***\",\n",
    ];
    check(&csv, &actions, data, &rows);
    let options = CsvOptions {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"NULL".to_vec(),
        header: false,
    };
    let data = b"1;'\\'a;\nb\\\\';x\n2;NULL;'NULL'\n";
    let rows: [&[u8]; 2] = [b"1;'\\'***';NULL\n", b"2;NULL;NULL\n"];
    check(&CopyFormat::Csv(options), &actions, data, &rows);
}

fn binary(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut data = BINARY_SIGNATURE.to_vec();
    data.extend([0; 8]);
    data.extend(rows.concat());
    data.extend((-1_i16).to_be_bytes());
    data
}

#[test]
fn binary_tuples_are_masked_between_header_and_trailer() {
    let actions = [ColumnAction::Pass, partial(), ColumnAction::Nullify];
    let rows = [body(&[Some(b"1"), Some(b"anna"), Some(b"x")]), body(&[None, None, None])];
    let masked = body(&[Some(b"1"), Some(b"a***"), None]);
    let data = binary(&rows);
    let header = &data[..19];
    check(&CopyFormat::Binary, &actions, &data, &[header, &masked, &rows[1], &[0xff, 0xff]]);
    check(&CopyFormat::Binary, &actions, &binary(&[]), &[header, &[0xff, 0xff]]);
}

#[test]
fn malformed_copy_data_is_refused() {
    let check = |format: &CopyFormat, data: &[u8], expected: MalformedRow| {
        for cut in 0..=data.len() {
            let found = run(format, &[partial(), partial()], data, cut, true);
            assert_eq!(found, Err(expected), "{format:?} {data:?} cut at {cut}");
        }
    };
    let csv = CopyFormat::Csv(CsvOptions::default());
    check(&CopyFormat::Text, b"a\tb", MalformedRow::Short);
    check(&CopyFormat::Text, b"a\n", MalformedRow::ColumnCount);
    check(&CopyFormat::Text, b"a\tb\tc\n", MalformedRow::ColumnCount);
    check(&CopyFormat::Text, b"a\tb\\\n", MalformedRow::Quoting);
    check(&csv, b"a,\"b\n", MalformedRow::Short);
    check(&csv, b"a\n", MalformedRow::ColumnCount);
    let whole = binary(&[body(&[Some(b"a"), None])]);
    check(&CopyFormat::Binary, b"PGCOPX", MalformedRow::CopyFraming);
    check(&CopyFormat::Binary, &whole[..19], MalformedRow::CopyFraming);
    check(&CopyFormat::Binary, &whole[..22], MalformedRow::Short);
    check(&CopyFormat::Binary, &[&whole[..], b"x"].concat(), MalformedRow::CopyFraming);
    check(&CopyFormat::Binary, &binary(&[body(&[None])]), MalformedRow::ColumnCount);
    check(&CopyFormat::Binary, &binary(&[vec![0xff, 0xfe]]), MalformedRow::CopyFraming);
    let negative = vec![0, 2, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0];
    check(&CopyFormat::Binary, &binary(&[negative]), MalformedRow::CellLength);
}

/// Made by `COPY (VALUES ...) TO STDOUT` of PostgreSQL 15, text and CSV.
#[test]
fn what_the_server_writes_is_read_and_written_back() {
    let text = b"1\ta\\tb\\nc\\\\d\\re\\bf\t\\N\n2\t\\\\N\t\n";
    let csv = b"1,\"a\tb\nc\\d\re\x08f\",\n2,\\N,\"\"\n";
    let watch = [ColumnAction::Pass, ColumnAction::Calls(Vec::new()), partial()];
    let rows: [&[u8]; 2] = [b"1\ta\\tb\\nc\\\\d\\re\\bf\t\\N\n", b"2\t\\\\N\t***\n"];
    check(&CopyFormat::Text, &watch, text, &rows);
    let rows: [&[u8]; 2] = [b"1,\"a\tb\nc\\d\re\x08f\",\n", b"2,\\N,\"***\"\n"];
    check(&CopyFormat::Csv(CsvOptions::default()), &watch, csv, &rows);
}

/// Rows of the given cells in the given form, each column's value replaced by itself.
fn rewritten(form: &CellForm, format: &CopyFormat, cells: &[Vec<Option<String>>]) -> Vec<u8> {
    let mut data = Vec::new();
    for row in cells {
        if let CellForm::Counted = form {
            data.extend((row.len() as i16).to_be_bytes());
        }
        for (place, cell) in row.iter().enumerate() {
            if place > 0 && !matches!(form, CellForm::Counted) {
                data.push(match format {
                    CopyFormat::Csv(options) => options.delimiter,
                    CopyFormat::Text | CopyFormat::TextWith(_) | CopyFormat::Binary => b'\t',
                });
            }
            form.write(cell.as_deref().map(str::as_bytes), &mut data);
        }
        if !matches!(form, CellForm::Counted) {
            data.push(b'\n');
        }
    }
    match form {
        CellForm::Counted => binary(&[data]),
        CellForm::Text(_) | CellForm::Csv(_) => data,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the cells hold, a plugin that replaces each by its reverse sees exactly the
    /// cells, and what is written holds exactly the reverses.
    #[test]
    fn arbitrary_cells_go_through_every_format(
        cells in prop::collection::vec(
            prop::collection::vec(prop::option::of("[ -~\t\n\r\\\\\",;'é]{0,6}"), 2), 1..4),
        which in 0..4_usize,
    ) {
        let slash = CsvOptions { quote: b'\'', escape: b'\\', ..CsvOptions::default() };
        let (form, format) = match which {
            0 => (CellForm::Text(TextOptions::default()), CopyFormat::Text),
            1 => (CellForm::Csv(CsvOptions::default()), CopyFormat::Csv(CsvOptions::default())),
            2 => (CellForm::Csv(slash.clone()), CopyFormat::Csv(slash)),
            _ => (CellForm::Counted, CopyFormat::Binary),
        };
        let data = rewritten(&form, &format, &cells);
        let reversed: Vec<Vec<Option<String>>> = cells
            .iter()
            .map(|row| {
                let reverse = |text: &String| text.chars().rev().collect();
                row.iter().map(|cell| cell.as_ref().map(reverse)).collect()
            })
            .collect();
        let expected = rewritten(&form, &format, &reversed);
        for cut in 0..=data.len() {
            let call = portcullis_policy::mask::Call {
                policy: "50-test".into(), handle: 1, also: Vec::new(),
            };
            let action = ColumnAction::Calls(vec![call]);
            let mut masker = masker(format.clone(), &[action.clone(), action]);
            let mut out = Vec::new();
            masker.push(&data[..cut]).unwrap();
            masker.flush(&reversing(), &mut out);
            masker.push(&data[cut..]).unwrap();
            masker.finish().unwrap();
            masker.flush(&reversing(), &mut out);
            prop_assert_eq!(bodies(&out).concat(), expected.clone(), "cut at {}", cut);
        }
    }

    /// No bytes make it panic.
    #[test]
    fn arbitrary_bytes_are_rows_or_refused(data: Vec<u8>, cut: usize, which in 0..3_usize) {
        let format = match which {
            0 => CopyFormat::Text,
            1 => CopyFormat::Csv(CsvOptions::default()),
            _ => CopyFormat::Binary,
        };
        let _ = run(&format, &[partial()], &data, cut % (data.len() + 1), true);
    }
}

fn reversing() -> impl PolicySet {
    use portcullis_policy::{Cells, Masked};
    crate::double::Double {
        mask: |_: u32, batch: &Cells, _: &[Cells]| {
            let mut cells = Cells::default();
            for row in 0..batch.len() {
                let text = batch.cell(row).unwrap().map(|bytes| {
                    let text = std::str::from_utf8(bytes).unwrap();
                    text.chars().rev().collect::<String>().into_bytes()
                });
                cells.push(text.as_deref());
            }
            Ok(Masked::Replaced(cells))
        },
    }
}
