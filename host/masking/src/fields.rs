//! Lines and fields of COPY data in text and CSV.

use crate::batch::{Slot, Span, Value};
use crate::cell::{CsvOptions, TextOptions};
use crate::outcome::MalformedRow;

/// Finds the ends of lines in data that comes in pieces, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct LineScan {
    /// Bytes of the line that were looked at.
    scanned: usize,
    in_quotes: bool,
    /// The byte before was an escape inside quotes, where that is not the quote itself.
    escaped: bool,
}

impl LineScan {
    /// Where the newline is that ends the line which `data` begins with. `csv` has newlines
    /// inside quotes.
    pub(crate) fn line_end(&mut self, csv: Option<&CsvOptions>, data: &[u8]) -> Option<usize> {
        let fresh = data.get(self.scanned..).unwrap_or_default();
        let found = match csv {
            None => fresh.iter().position(|byte| *byte == b'\n'),
            Some(options) => fresh.iter().position(|byte| self.ends_csv(options, *byte)),
        };
        match found {
            Some(at) => {
                let end = self.scanned + at;
                *self = LineScan::default();
                Some(end)
            }
            None => {
                self.scanned = data.len();
                None
            }
        }
    }

    fn ends_csv(&mut self, options: &CsvOptions, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
        } else if self.in_quotes && byte == options.escape && options.escape != options.quote {
            self.escaped = true;
        } else if byte == options.quote {
            self.in_quotes = !self.in_quotes;
        }
        byte == b'\n' && !self.in_quotes
    }
}

/// Where the fields of a line are put: the slots of touched columns, in order.
pub(crate) struct Fields<'a> {
    /// Where the line stands in the frames.
    pub(crate) at: usize,
    pub(crate) touched: &'a [usize],
    pub(crate) slots: &'a mut Vec<Slot>,
    pub(crate) unescaped: &'a mut Vec<u8>,
}

impl Fields<'_> {
    fn touches(&self, column: usize) -> bool {
        self.touched.binary_search(&column).is_ok()
    }

    fn push(&mut self, start: usize, end: usize, value: Found) -> Result<(), MalformedRow> {
        let raw = Span::new(self.at + start, self.at + end).ok_or(MalformedRow::TooLarge)?;
        let value = match value {
            Found::Null => Value::Null,
            Found::Plain => Value::Framed(raw),
            Found::Unescaped(start) => Value::Unescaped(
                Span::new(start, self.unescaped.len()).ok_or(MalformedRow::TooLarge)?,
            ),
        };
        self.slots.push(Slot { raw, value });
        Ok(())
    }

    /// Reads a line of text format, its newline taken off; answers the number of fields.
    pub(crate) fn read_text(
        &mut self,
        options: &TextOptions,
        line: &[u8],
    ) -> Result<usize, MalformedRow> {
        let mut column = 0;
        let mut start = 0;
        let mut has_escape = false;
        let mut bytes = line.iter().enumerate();
        loop {
            let next = bytes.next();
            let end = match next {
                Some((_, b'\\')) => {
                    has_escape = true;
                    bytes.next().ok_or(MalformedRow::Quoting)?;
                    continue;
                }
                Some((at, byte)) if *byte == options.delimiter => at,
                Some(_) => continue,
                None => line.len(),
            };
            if self.touches(column) {
                let raw = line.get(start..end).unwrap_or_default();
                let found = match () {
                    () if raw == options.null => Found::Null,
                    () if has_escape => Found::Unescaped(unescape(raw, self.unescaped)),
                    () => Found::Plain,
                };
                self.push(start, end, found)?;
            }
            column += 1;
            start = end + 1;
            has_escape = false;
            if next.is_none() {
                return Ok(column);
            }
        }
    }

    /// Reads a line of CSV, its newline taken off; answers the number of fields.
    pub(crate) fn read_csv(
        &mut self,
        options: &CsvOptions,
        line: &[u8],
    ) -> Result<usize, MalformedRow> {
        let mut column = 0;
        let mut start = 0;
        loop {
            let (end, quoted) = csv_field_end(options, line, start)?;
            if self.touches(column) {
                let raw = line.get(start..end).unwrap_or_default();
                let found = match quoted {
                    true => Found::Unescaped(unquote(options, raw, self.unescaped)),
                    false if raw == options.null => Found::Null,
                    false => Found::Plain,
                };
                self.push(start, end, found)?;
            }
            column += 1;
            if end >= line.len() {
                return Ok(column);
            }
            start = end + 1;
        }
    }
}

/// What a field turned out to be; unescaped: from where on in the buffer beside.
enum Found {
    Null,
    Plain,
    Unescaped(usize),
}

/// Where the field that begins at `start` ends, and whether any of it is quoted.
fn csv_field_end(
    options: &CsvOptions,
    line: &[u8],
    start: usize,
) -> Result<(usize, bool), MalformedRow> {
    let (mut in_quotes, mut quoted, mut escaped) = (false, false, false);
    for (at, byte) in line.iter().enumerate().skip(start) {
        if escaped {
            escaped = false;
        } else if in_quotes && *byte == options.escape && options.escape != options.quote {
            escaped = true;
        } else if *byte == options.quote {
            in_quotes = !in_quotes;
            quoted = true;
        } else if *byte == options.delimiter && !in_quotes {
            return Ok((at, quoted));
        }
    }
    if in_quotes { Err(MalformedRow::Quoting) } else { Ok((line.len(), quoted)) }
}

/// Appends the value of a quoted field; says where it begins.
fn unquote(options: &CsvOptions, raw: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let mut in_quotes = false;
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let special = |next: &u8| *next == options.quote || *next == options.escape;
        if in_quotes
            && byte == options.escape
            && let Some(literal) = bytes.next_if(special)
        {
            out.push(literal);
            continue;
        }
        if byte == options.quote {
            in_quotes = !in_quotes;
        } else {
            out.push(byte);
        }
    }
    start
}

/// Appends the value of a field with backslashes; says where it begins.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let mut rest = raw;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (first, behind.split_first()) {
            (b'\\', Some((letter, behind))) => {
                rest = behind;
                out.push(match letter {
                    b'b' => 0x08,
                    b'f' => 0x0C,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0B,
                    b'0'..=b'7' => {
                        let (byte, behind) = read_code(letter - b'0', 8, 2, behind);
                        rest = behind;
                        byte
                    }
                    b'x' if behind.first().is_some_and(u8::is_ascii_hexdigit) => {
                        let (byte, behind) = read_code(0, 16, 2, behind);
                        rest = behind;
                        byte
                    }
                    other => *other,
                });
            }
            _ => out.push(*first),
        }
    }
    start
}

/// A byte as up to `more` further digits of `radix`.
fn read_code(first: u8, radix: u32, more: usize, mut rest: &[u8]) -> (u8, &[u8]) {
    let mut code = u32::from(first);
    for _ in 0..more {
        let Some((digit, behind)) = rest.split_first() else { break };
        let Some(digit) = char::from(*digit).to_digit(radix) else { break };
        code = code * radix + digit;
        rest = behind;
    }
    (code as u8, rest)
}
