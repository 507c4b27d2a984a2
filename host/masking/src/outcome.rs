//! What comes out of masking beside the rows.

use std::collections::BTreeMap;
use std::fmt;

use portcullis_policy::{Fault, PolicyName};

/// What one flush did, for the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Rows written.
    pub rows: u64,
    /// Cells whose bytes are not those that came.
    pub cells_masked: u64,
    /// Labels of the columns in which cells were masked, and how many.
    pub labels_masked: BTreeMap<String, u64>,
    /// Calls that failed; their columns were masked whole in this batch.
    pub faults: Vec<(PolicyName, Fault)>,
}

impl Flushed {
    pub(crate) fn count_label(&mut self, label: &str, cells: u64) {
        match self.labels_masked.get_mut(label) {
            Some(count) => *count += cells,
            None => {
                self.labels_masked.insert(label.to_owned(), cells);
            }
        }
    }
}

/// A row that is not what the protocol says a row is. Nothing of it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedRow {
    /// The row ends before its cells do.
    Short,
    /// Bytes are left behind the last cell.
    Long,
    /// Not as many cells as the description has columns.
    ColumnCount,
    /// A cell's length is negative and not that of NULL.
    CellLength,
    /// A row or a batch of them is over the limit.
    TooLarge,
    /// COPY data that does not begin, continue or end as its format says.
    CopyFraming,
    /// A quoted or escaped field of COPY data that does not end.
    Quoting,
}

impl fmt::Display for MalformedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MalformedRow::Short => "the row ends before its cells do",
            MalformedRow::Long => "bytes are left behind the row's last cell",
            MalformedRow::ColumnCount => "the row has another number of cells than described",
            MalformedRow::CellLength => "a cell of the row has an impossible length",
            MalformedRow::TooLarge => "the row is over the limit",
            MalformedRow::CopyFraming => "the COPY data is not of the format announced",
            MalformedRow::Quoting => "a field of the COPY data is not closed",
        })
    }
}

impl std::error::Error for MalformedRow {}
