use std::sync::Arc;

use portcullis_policy::PolicySet;

use crate::column::MaskColumn;
use crate::keys::Keys;
use crate::outcome::{Flushed, MalformedRow};

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

/// Masks the data of one COPY TO STDOUT.
#[derive(Debug)]
pub struct CopyMasker {
    columns: Vec<MaskColumn>,
}

impl CopyMasker {
    /// The columns' `format` is that of the COPY, whatever they say.
    pub fn new(_format: CopyFormat, columns: Vec<MaskColumn>, _keys: Arc<Keys>) -> CopyMasker {
        CopyMasker { columns }
    }

    /// False: the data may be forwarded as it comes, without being pushed.
    pub fn touches_rows(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Adds the body of one CopyData; rows may be split over several, or joined in one.
    pub fn push(&mut self, _data: &[u8]) -> Result<(), MalformedRow> {
        Err(MalformedRow::CopyFraming)
    }

    /// Rows pushed and not yet flushed.
    pub fn pending(&self) -> usize {
        0
    }

    /// True when the batch should be flushed before more is pushed.
    pub fn is_full(&self) -> bool {
        false
    }

    /// Masks the whole rows that are pending and writes CopyData frames to `out`.
    pub fn flush(&mut self, _policies: &dyn PolicySet, _out: &mut Vec<u8>) -> Flushed {
        Flushed::default()
    }

    /// To be called at CopyDone: a part of a row that is left over is an error.
    pub fn finish(&mut self) -> Result<(), MalformedRow> {
        Ok(())
    }
}
