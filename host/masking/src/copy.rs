//! The data of COPY TO STDOUT.

use std::sync::Arc;

use portcullis_policy::{PolicySet, WireFormat};

use crate::batch::{ROW_BYTES_MAX, write_frame};
use crate::cell::{CellForm, CopyFormat, TextOptions};
use crate::column::MaskColumn;
use crate::fields::{Fields, LineScan};
use crate::keys::Keys;
use crate::masker::Masker;
use crate::outcome::{Flushed, MalformedRow};
use crate::reader::Reader;

const COPY_DATA: u8 = b'd';
const BINARY_SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Masks the data of one COPY TO STDOUT.
#[derive(Debug)]
pub struct CopyMasker {
    format: CopyFormat,
    columns: usize,
    masker: Masker,
    stage: Stage,
    scan: LineScan,
    /// The beginning of a row whose end has not come.
    partial: Vec<u8>,
    /// Frames before the first row, and behind the last.
    preface: Vec<u8>,
    epilogue: Vec<u8>,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    /// Nothing: the trailer has come.
    Ended,
}

impl CopyMasker {
    /// The columns' `format` is that of the COPY, whatever they say.
    pub fn new(format: CopyFormat, mut columns: Vec<MaskColumn>, keys: Arc<Keys>) -> CopyMasker {
        let (cells, form, has_header) = match &format {
            CopyFormat::Text => (WireFormat::Text, CellForm::Text(TextOptions::default()), false),
            CopyFormat::TextWith(options) => {
                (WireFormat::Text, CellForm::Text(options.clone()), options.header)
            }
            CopyFormat::Csv(options) => {
                (WireFormat::Text, CellForm::Csv(options.clone()), options.header)
            }
            CopyFormat::Binary => (WireFormat::Binary, CellForm::Counted, true),
        };
        columns.iter_mut().for_each(|column| column.format = cells);
        let format = match format {
            CopyFormat::Text => CopyFormat::TextWith(TextOptions::default()),
            CopyFormat::TextWith(_) | CopyFormat::Csv(_) | CopyFormat::Binary => format,
        };
        CopyMasker {
            format,
            columns: columns.len(),
            masker: Masker::new(COPY_DATA, form, columns, &keys),
            stage: if has_header { Stage::Header } else { Stage::Rows },
            scan: LineScan::default(),
            partial: Vec::new(),
            preface: Vec::new(),
            epilogue: Vec::new(),
        }
    }

    /// False: the data may be forwarded as it comes, without being pushed.
    pub fn touches_rows(&self) -> bool {
        self.masker.touches_rows()
    }

    /// Adds the body of one CopyData; rows may be split over several, or joined in one.
    /// After an error nothing more may be pushed.
    pub fn push(&mut self, data: &[u8]) -> Result<(), MalformedRow> {
        if self.partial.is_empty() {
            let used = self.take_rows(data)?;
            self.partial.extend_from_slice(data.get(used..).unwrap_or_default());
        } else {
            let mut buffer = std::mem::take(&mut self.partial);
            buffer.extend_from_slice(data);
            let used = self.take_rows(&buffer)?;
            buffer.drain(..used);
            self.partial = buffer;
        }
        if self.partial.len() > ROW_BYTES_MAX {
            return Err(MalformedRow::TooLarge);
        }
        Ok(())
    }

    /// Rows pushed and not yet flushed; a header or trailer counts as one.
    pub fn pending(&self) -> usize {
        let ends = [&self.preface, &self.epilogue].into_iter().filter(|end| !end.is_empty());
        self.masker.batch.rows() + ends.count()
    }

    /// True when the batch should be flushed before more is pushed.
    pub fn is_full(&self) -> bool {
        self.masker.batch.is_full()
    }

    /// Masks the whole rows that are pending and writes CopyData frames to `out`.
    pub fn flush(&mut self, policies: &dyn PolicySet, out: &mut Vec<u8>) -> Flushed {
        out.append(&mut self.preface);
        let flushed = self.masker.flush(policies, out);
        out.append(&mut self.epilogue);
        flushed
    }

    /// To be called at CopyDone: a part of a row that is left over is an error, and so is
    /// binary data without its trailer.
    pub fn finish(&mut self) -> Result<(), MalformedRow> {
        if !self.partial.is_empty() {
            return Err(MalformedRow::Short);
        }
        match self.format {
            CopyFormat::Binary if self.stage != Stage::Ended => Err(MalformedRow::CopyFraming),
            CopyFormat::Text
            | CopyFormat::TextWith(_)
            | CopyFormat::Csv(_)
            | CopyFormat::Binary => Ok(()),
        }
    }

    /// Takes the whole rows that `data` begins with; answers how many bytes they are.
    fn take_rows(&mut self, data: &[u8]) -> Result<usize, MalformedRow> {
        let mut used = 0;
        while let Some(rest) = data.get(used..).filter(|rest| !rest.is_empty()) {
            let taken = match self.format {
                CopyFormat::Binary => self.take_binary(rest)?,
                CopyFormat::Text | CopyFormat::TextWith(_) | CopyFormat::Csv(_) => {
                    self.take_line(rest)?
                }
            };
            match taken {
                Some(length) => used += length,
                None => break,
            }
        }
        Ok(used)
    }

    /// Takes one line; `None` when its end has not come.
    fn take_line(&mut self, data: &[u8]) -> Result<Option<usize>, MalformedRow> {
        let csv = match &self.format {
            CopyFormat::Csv(options) => Some(options),
            CopyFormat::Text | CopyFormat::TextWith(_) | CopyFormat::Binary => None,
        };
        let Some(end) = self.scan.line_end(csv, data) else { return Ok(None) };
        let whole = data.get(..=end).unwrap_or_default();
        if self.stage == Stage::Header {
            write_frame(COPY_DATA, whole, &mut self.preface);
            self.stage = Stage::Rows;
        } else {
            let (format, columns) = (&self.format, self.columns);
            self.masker.batch.push_delimited(whole, |whole, at, touched, slots, unescaped| {
                let line = whole.strip_suffix(b"\n").unwrap_or(whole);
                if columns == 0 && line.is_empty() {
                    return Ok(0);
                }
                let mut fields = Fields { at, touched, slots, unescaped };
                match format {
                    CopyFormat::Csv(options) => fields.read_csv(options, line),
                    CopyFormat::TextWith(options) => fields.read_text(options, line),
                    CopyFormat::Text | CopyFormat::Binary => Err(MalformedRow::CopyFraming),
                }
            })?;
        }
        Ok(Some(end + 1))
    }

    /// Takes one tuple, the header or the trailer; `None` when its end has not come.
    fn take_binary(&mut self, data: &[u8]) -> Result<Option<usize>, MalformedRow> {
        match self.stage {
            Stage::Header => {
                let known = data.len().min(BINARY_SIGNATURE.len());
                if data.get(..known) != BINARY_SIGNATURE.get(..known) {
                    return Err(MalformedRow::CopyFraming);
                }
                let Some(length) = binary_header_bytes(data)? else { return Ok(None) };
                write_frame(COPY_DATA, data.get(..length).unwrap_or_default(), &mut self.preface);
                self.stage = Stage::Rows;
                Ok(Some(length))
            }
            Stage::Rows => {
                let Some(length) = tuple_bytes(data)? else { return Ok(None) };
                let tuple = data.get(..length).unwrap_or_default();
                if tuple == (-1_i16).to_be_bytes() {
                    write_frame(COPY_DATA, tuple, &mut self.epilogue);
                    self.stage = Stage::Ended;
                } else {
                    self.masker.batch.push_counted(tuple)?;
                }
                Ok(Some(length))
            }
            Stage::Ended => Err(MalformedRow::CopyFraming),
        }
    }
}

/// The length of the header: signature, flags, and an extension of which nothing is known.
fn binary_header_bytes(data: &[u8]) -> Result<Option<usize>, MalformedRow> {
    let mut reader = Reader::new(data);
    let fixed = (|| {
        reader.take(BINARY_SIGNATURE.len())?;
        Some((reader.i32()?, reader.i32()?))
    })();
    match fixed {
        None => Ok(None),
        // No flag is defined that PostgreSQL sets, and it sends no extension.
        Some((0, 0)) => Ok(Some(BINARY_SIGNATURE.len() + 8)),
        Some(_) => Err(MalformedRow::CopyFraming),
    }
}

/// The length of the tuple or trailer that `data` begins with; `None` when it is not whole.
fn tuple_bytes(data: &[u8]) -> Result<Option<usize>, MalformedRow> {
    let mut reader = Reader::new(data);
    let Some(count) = reader.i16() else { return Ok(None) };
    if count < -1 {
        return Err(MalformedRow::CopyFraming);
    }
    for _ in 0..count {
        let Some(length) = reader.i32() else { return Ok(None) };
        match length {
            -1 => continue,
            _ => {
                let length = usize::try_from(length).map_err(|_| MalformedRow::CellLength)?;
                if reader.take(length).is_none() {
                    return Ok(None);
                }
            }
        }
    }
    Ok(Some(data.len() - reader.rest().len()))
}

#[cfg(test)]
mod tests;
