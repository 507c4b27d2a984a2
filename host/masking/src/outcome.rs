//! What comes out of masking beside the rows.

use std::fmt;
use std::sync::Arc;

use portcullis_policy::{Fault, PolicyName};
use smallvec::SmallVec;

/// What one flush did, for the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Rows written.
    pub rows: u64,
    /// Cells whose bytes are not those that came.
    pub cells_masked: u64,
    /// By the labels of their columns.
    pub labels_masked: LabelCounts,
    /// Calls that failed; their columns were masked whole in this batch.
    pub faults: Vec<(PolicyName, Fault)>,
}

/// Labels, and how many cells of columns with each were masked: mostly it is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts(SmallVec<[(Arc<str>, u64); 1]>);

impl LabelCounts {
    pub fn add(&mut self, label: &Arc<str>, cells: u64) {
        match self.0.iter_mut().find(|(known, _)| known == label) {
            Some((_, count)) => *count += cells,
            None => self.0.push((label.clone(), cells)),
        }
    }

    pub fn add_all(&mut self, other: &LabelCounts) {
        other.iter().for_each(|(label, cells)| self.add(label, cells));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.0.iter().map(|(label, cells)| (label, *cells))
    }

    /// The labels alone, in order.
    pub fn into_labels(self) -> Vec<Arc<str>> {
        let mut labels: Vec<Arc<str>> = self.0.into_iter().map(|(label, _)| label).collect();
        labels.sort_unstable();
        labels
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
