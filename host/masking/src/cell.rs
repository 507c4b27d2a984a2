//! How a cell is written into a row: counted, escaped or quoted.

/// The form of COPY data, as the COPY statement asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Text with PostgreSQL's defaults: tab, `\N`, no header.
    Text,
    /// Text with options of its own.
    TextWith(TextOptions),
    Csv(CsvOptions),
    Binary,
}

/// Options of `COPY ... (FORMAT text)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    pub delimiter: u8,
    pub null: Vec<u8>,
    pub header: bool,
}

impl Default for TextOptions {
    fn default() -> TextOptions {
        TextOptions { delimiter: b'\t', null: b"\\N".to_vec(), header: false }
    }
}

/// Options of `COPY ... (FORMAT csv)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    pub delimiter: u8,
    pub quote: u8,
    pub escape: u8,
    pub null: Vec<u8>,
    pub header: bool,
}

impl Default for CsvOptions {
    fn default() -> CsvOptions {
        CsvOptions { delimiter: b',', quote: b'"', escape: b'"', null: Vec::new(), header: false }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum CellForm {
    /// A length word and the bytes, as in DataRow and binary COPY.
    Counted,
    Text(TextOptions),
    Csv(CsvOptions),
}

impl CellForm {
    pub(crate) fn write(&self, value: Option<&[u8]>, out: &mut Vec<u8>) {
        match (self, value) {
            (CellForm::Counted, None) => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            (CellForm::Counted, Some(bytes)) => {
                // Masks are limited far below this.
                let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(bytes);
            }
            (CellForm::Text(options), None) => out.extend_from_slice(&options.null),
            (CellForm::Csv(options), None) => out.extend_from_slice(&options.null),
            (CellForm::Text(options), Some(bytes)) => write_escaped(options, bytes, out),
            (CellForm::Csv(options), Some(bytes)) => write_quoted(options, bytes, out),
        }
    }
}

fn write_escaped(options: &TextOptions, bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        let letter = match byte {
            0x08 => b'b',
            0x0C => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0B => b'v',
            b'\\' => b'\\',
            byte if *byte == options.delimiter => *byte,
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// Always quoted, so that no value reads as NULL.
fn write_quoted(options: &CsvOptions, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(options.quote);
    for byte in bytes {
        if *byte == options.quote || *byte == options.escape {
            out.push(options.escape);
        }
        out.push(*byte);
    }
    out.push(options.quote);
}
