use std::sync::Arc;

use portcullis_policy::PolicySet;

use crate::column::MaskColumn;
use crate::keys::Keys;
use crate::outcome::{Flushed, MalformedRow};

/// Masks the DataRow messages of one result, in batches.
#[derive(Debug)]
pub struct RowMasker {
    columns: Vec<MaskColumn>,
}

impl RowMasker {
    pub fn new(columns: Vec<MaskColumn>, _keys: Arc<Keys>) -> RowMasker {
        RowMasker { columns }
    }

    /// False: the rows may be forwarded as they come, without being pushed.
    pub fn touches_rows(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Adds the body of one DataRow to the batch.
    pub fn push(&mut self, _row: &[u8]) -> Result<(), MalformedRow> {
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

    /// Masks what is pending and writes complete DataRow frames to `out`.
    pub fn flush(&mut self, _policies: &dyn PolicySet, _out: &mut Vec<u8>) -> Flushed {
        Flushed::default()
    }
}
