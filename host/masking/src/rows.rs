//! The rows of a result.

use std::sync::Arc;

use portcullis_policy::PolicySet;

use crate::cell::CellForm;
use crate::column::MaskColumn;
use crate::keys::Keys;
use crate::masker::Masker;
use crate::outcome::{Flushed, MalformedRow};

const DATA_ROW: u8 = b'D';

/// Masks the DataRow messages of one result, in batches.
#[derive(Debug)]
pub struct RowMasker {
    masker: Masker,
}

impl RowMasker {
    pub fn new(columns: Vec<MaskColumn>, keys: Arc<Keys>) -> RowMasker {
        RowMasker { masker: Masker::new(DATA_ROW, CellForm::Counted, columns, &keys) }
    }

    /// False: the rows may be forwarded as they come, without being pushed.
    pub fn touches_rows(&self) -> bool {
        self.masker.touches_rows()
    }

    /// Adds the body of one DataRow to the batch. A malformed row is not added.
    pub fn push(&mut self, row: &[u8]) -> Result<(), MalformedRow> {
        self.masker.batch.push_counted(row)
    }

    /// Rows pushed and not yet flushed.
    pub fn pending(&self) -> usize {
        self.masker.batch.rows()
    }

    /// True when the batch should be flushed before more is pushed.
    pub fn is_full(&self) -> bool {
        self.masker.batch.is_full()
    }

    /// Masks what is pending and writes complete DataRow frames to `out`.
    pub fn flush(&mut self, policies: &dyn PolicySet, out: &mut Vec<u8>) -> Flushed {
        self.masker.flush(policies, out)
    }
}

#[cfg(test)]
pub(crate) mod tests;
