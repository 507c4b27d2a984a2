//! Cells of one column over a batch of rows, and changes to them.

use std::ops::Range;

pub use crate::bindings::masker::exports::portcullis::policy::masker::{Cells, Edits, Masked};

impl Cells {
    /// An empty batch to [`Cells::push`] to.
    pub fn new() -> Cells {
        Cells { data: Vec::new(), ends: Vec::new(), nulls: Vec::new() }
    }

    /// The number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether the cell of this row is SQL NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.get(row / 8).is_some_and(|byte| byte & (1 << (row % 8)) != 0)
    }

    /// The bytes of each cell in order, `None` for NULL.
    pub fn bytes(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().enumerate().map(move |(row, end)| {
            let end = *end as usize;
            let cell = self.data.get(start..end).expect("ends ascend within the data");
            start = end;
            (!self.is_null(row)).then_some(cell)
        })
    }

    /// The text of each cell in order, `None` for NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        self.bytes().map(|cell| cell.map(|cell| str::from_utf8(cell).expect("cells are UTF-8")))
    }

    /// Adds a cell.
    pub fn push(&mut self, value: Option<&str>) {
        let row = self.ends.len();
        match value {
            Some(value) => self.data.extend_from_slice(value.as_bytes()),
            None => {
                self.nulls.resize(row / 8 + 1, 0);
                if let Some(byte) = self.nulls.last_mut() {
                    *byte |= 1 << (row % 8);
                }
            }
        }
        self.ends.push(u32::try_from(self.data.len()).expect("a batch is below 4 GiB"));
    }
}

impl Default for Cells {
    fn default() -> Cells {
        Cells::new()
    }
}

impl<'a> FromIterator<Option<&'a str>> for Cells {
    fn from_iter<T: IntoIterator<Item = Option<&'a str>>>(values: T) -> Cells {
        let mut cells = Cells::new();
        values.into_iter().for_each(|value| cells.push(value));
        cells
    }
}

impl<'a> FromIterator<&'a str> for Cells {
    fn from_iter<T: IntoIterator<Item = &'a str>>(values: T) -> Cells {
        values.into_iter().map(Some).collect()
    }
}

/// Collects the places of a batch to be filled, in any order, overlapping or not, and makes
/// of them the ascending, disjoint list that the contract asks for.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// Row, start and end, in bytes.
    spans: Vec<(u32, u32, u32)>,
}

impl Spans {
    pub fn new() -> Spans {
        Spans::default()
    }

    /// Marks `bytes` of the cell of this row. An empty range marks nothing.
    pub fn mark(&mut self, row: usize, bytes: Range<usize>) {
        if bytes.start < bytes.end {
            let word = |number| u32::try_from(number).expect("a batch is below 4 GiB");
            self.spans.push((word(row), word(bytes.start), word(bytes.end)));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The answer to `mask`: every marked place replaced by `fill`, or `unchanged` where
    /// nothing was marked.
    pub fn fill(mut self, fill: &str) -> Masked {
        if self.spans.is_empty() {
            return Masked::Unchanged;
        }
        self.spans.sort_unstable();
        let mut words: Vec<u32> = Vec::with_capacity(self.spans.len() * 3);
        for (row, start, end) in self.spans {
            match words.as_mut_slice() {
                [.., last_row, _, last_end] if *last_row == row && start < *last_end => {
                    *last_end = end.max(*last_end);
                }
                _ => words.extend([row, start, end]),
            }
        }
        Masked::Edits(Edits { spans: words, fill: fill.as_bytes().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_values_and_nulls() {
        let cells: Cells = [Some("ab"), None, Some(""), Some("é")].into_iter().collect();
        assert_eq!(cells.iter().collect::<Vec<_>>(), [Some("ab"), None, Some(""), Some("é")]);
        assert_eq!((cells.len(), cells.is_empty(), cells.nulls.as_slice()), (4, false, &[2][..]));
        let many: Cells = (0..20).map(|row| (row != 17).then_some("x")).collect();
        assert!(many.is_null(17) && !many.is_null(16) && !many.is_null(99));
    }

    #[test]
    fn spans_come_out_ascending_and_disjoint() {
        let check = |marks: &[(usize, Range<usize>)], expected: &[u32]| {
            let mut spans = Spans::new();
            marks.iter().for_each(|(row, bytes)| spans.mark(*row, bytes.clone()));
            match spans.fill("#") {
                Masked::Edits(edits) => assert_eq!(edits.spans, expected),
                Masked::Unchanged => assert!(expected.is_empty()),
                Masked::Replaced(_) => panic!("spans never replace"),
            }
        };
        check(&[], &[]);
        check(&[(0, 4..4)], &[]);
        check(&[(1, 0..2), (0, 5..6), (0, 1..3)], &[0, 1, 3, 0, 5, 6, 1, 0, 2]);
        check(&[(0, 0..4), (0, 2..6), (0, 3..5), (0, 6..7)], &[0, 0, 6, 0, 6, 7]);
    }
}
