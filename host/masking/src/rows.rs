//! The rows of a result.

use std::sync::Arc;

use portcullis_policy::PolicySet;

use crate::batch::{HEADER_BYTES, ROWS_FULL, close_frame};
use crate::column::MaskColumn;
use crate::few::append_part;
use crate::keys::Keys;
use crate::masks::{Masks, Put};
use crate::outcome::{Flushed, MalformedRow};
use crate::plan::plan;

/// Masks the DataRow messages of one result where they were read, in batches.
#[derive(Debug)]
pub struct RowMasker {
    /// Cells of a row.
    columns: usize,
    masks: Masks,
    /// Where the columns that plugins see stand in the row: their position among the touched ones,
    /// and their column.
    shown: Vec<(usize, usize)>,
    /// The same of those that the batch at hand may change.
    changing: Vec<(usize, usize)>,
}

/// What became of the rows at the front of what was given.
#[derive(Debug)]
pub struct MaskedRows {
    /// How many bytes they are.
    pub bytes: usize,
    /// False: they may be forwarded as they came, and nothing was written.
    pub changed: bool,
    pub flushed: Flushed,
}

impl RowMasker {
    pub fn new(columns: Vec<MaskColumn>, keys: Arc<Keys>) -> RowMasker {
        let count = columns.len();
        let masks = Masks::new(plan(columns, &keys));
        RowMasker { columns: count, shown: masks.shown().collect(), masks, changing: Vec::new() }
    }

    /// False: the rows may be forwarded as they come.
    pub fn touches_rows(&self) -> bool {
        self.masks.touch_anything()
    }

    /// Masks a batch of rows: of the whole DataRow frames that `frames` consists of, the first.
    /// Where anything changes all of the batch is written to `out`, behind what is `ahead` of it.
    ///
    /// # Errors
    /// When the first row is malformed. A later one ends the batch before it.
    pub fn mask(
        &mut self,
        ahead: &[u8],
        frames: &[u8],
        policies: &dyn PolicySet,
        out: &mut Vec<u8>,
    ) -> Result<MaskedRows, MalformedRow> {
        let mut flushed = Flushed::default();
        let (mut taken, mut most) = (Taken::default(), ROWS_FULL);
        if !self.shown.is_empty() {
            taken = self.read(frames)?;
            most = taken.rows;
            self.masks.ask(policies, &mut flushed);
        }
        self.changing.clear();
        self.changing.extend(self.masks.changing());
        let changed = !self.changing.is_empty();
        if changed {
            let start = out.len();
            out.reserve(ahead.len() + frames.len());
            out.extend_from_slice(ahead);
            taken = self.write(frames, most, out).inspect_err(|_| out.truncate(start))?;
        } else if self.shown.is_empty() {
            // Nothing is touched; what has no columns is held to that.
            taken = self.read(frames)?;
        }
        self.masks.finish(&mut flushed);
        flushed.rows = taken.rows as u64;
        Ok(MaskedRows { bytes: taken.bytes, changed, flushed })
    }

    /// Checks the rows of a batch, and shows plugins what they see of them.
    fn read(&mut self, frames: &[u8]) -> Result<Taken, MalformedRow> {
        let mut taken = Taken::default();
        while let Some(frame) = taken.next(frames, ROWS_FULL) {
            if let Err(malformed) = self.read_row(frame) {
                self.masks.forget(taken.rows);
                return taken.or(malformed);
            }
            taken.add(frame);
        }
        Ok(taken)
    }

    fn read_row(&mut self, frame: &[u8]) -> Result<(), MalformedRow> {
        let mut row = Row::open(frame, self.columns)?;
        for (position, column) in &self.shown {
            row.skip_to(*column)?;
            self.masks.show(*position, row.cell()?);
        }
        row.end()
    }

    /// Writes so many rows at most, and checks them.
    fn write(
        &mut self,
        frames: &[u8],
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<Taken, MalformedRow> {
        let start = out.len();
        let mut taken = Taken::default();
        while let Some(frame) = taken.next(frames, most) {
            let rest = frames.get(taken.bytes..).unwrap_or_default();
            if let Err(malformed) = self.write_row(rest, frame.len(), taken.rows, out) {
                // What was counted of the row is not to count. Those before it have been written
                // once, and will be once more.
                out.truncate(start);
                self.masks.start_again();
                let whole = taken.or(malformed)?;
                return self.write(frames, whole.rows, out);
            }
            taken.add(frame);
        }
        Ok(taken)
    }

    /// Writes the first row of `frames`, which is so long. What is not changed is copied from one
    /// changed cell to the next.
    fn write_row(
        &mut self,
        frames: &[u8],
        length: usize,
        number: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), MalformedRow> {
        let start = out.len();
        let frame = frames.get(..length).unwrap_or_default();
        let mut row = Row::open(frame, self.columns)?;
        let mut copied = 0;
        for (position, column) in &self.changing {
            row.skip_to(*column)?;
            let begin = row.at;
            let old = row.cell()?;
            append_part(frames, copied, begin, out);
            let word = out.len();
            out.extend_from_slice(&[0; WORD_BYTES]);
            copied = row.at;
            match self.masks.put(*position, number, old, out) {
                Put::Kept => {
                    out.truncate(word);
                    copied = begin;
                }
                Put::Null => write_word(word, -1, out),
                Put::Value => {
                    // Masks are limited far below this.
                    let length = out.len() - word - WORD_BYTES;
                    write_word(word, i32::try_from(length).unwrap_or(i32::MAX), out);
                }
            }
        }
        row.end()?;
        append_part(frames, copied, length, out);
        close_frame(start, out);
        Ok(())
    }
}

/// The rows of a batch that are dealt with.
#[derive(Clone, Copy, Default)]
struct Taken {
    rows: usize,
    bytes: usize,
}

impl Taken {
    /// The frame of the next row of a batch of so many at most.
    fn next<'a>(&self, frames: &'a [u8], most: usize) -> Option<&'a [u8]> {
        let rest = frames.get(self.bytes..).filter(|_| self.rows < most)?;
        let [_, a, b, c, d] = *rest.first_chunk::<HEADER_BYTES>()?;
        rest.get(..1 + u32::from_be_bytes([a, b, c, d]) as usize)
    }

    fn add(&mut self, frame: &[u8]) {
        self.rows += 1;
        self.bytes += frame.len();
    }

    /// A batch ends before a malformed row, unless it begins with it.
    fn or(self, malformed: MalformedRow) -> Result<Taken, MalformedRow> {
        if self.rows == 0 { Err(malformed) } else { Ok(self) }
    }
}

/// The number of a row's cells, before the first of them.
const COUNT_BYTES: usize = 2;
/// The length word of a cell.
const WORD_BYTES: usize = 4;

/// A row as it is walked, cell by cell.
struct Row<'a> {
    frame: &'a [u8],
    /// Where the next cell begins, with its length word.
    at: usize,
    /// Which column it is of, and of how many.
    column: usize,
    columns: usize,
}

impl<'a> Row<'a> {
    fn open(frame: &'a [u8], columns: usize) -> Result<Row<'a>, MalformedRow> {
        let count = frame.get(HEADER_BYTES..).and_then(<[u8]>::first_chunk::<COUNT_BYTES>);
        let count = i16::from_be_bytes(*count.ok_or(MalformedRow::Short)?);
        match usize::try_from(count) == Ok(columns) {
            true => Ok(Row { frame, at: HEADER_BYTES + COUNT_BYTES, column: 0, columns }),
            false => Err(MalformedRow::ColumnCount),
        }
    }

    /// The next cell; `None` for NULL.
    fn cell(&mut self) -> Result<Option<&'a [u8]>, MalformedRow> {
        let (cell, length) = cell(self.frame.get(self.at..).unwrap_or_default())?;
        self.column += 1;
        self.at += length;
        Ok(cell)
    }

    fn skip_to(&mut self, column: usize) -> Result<(), MalformedRow> {
        while self.column < column {
            self.cell()?;
        }
        Ok(())
    }

    /// All cells are there and nothing is behind them.
    fn end(mut self) -> Result<(), MalformedRow> {
        self.skip_to(self.columns)?;
        if self.at == self.frame.len() { Ok(()) } else { Err(MalformedRow::Long) }
    }
}

/// The cell that `bytes` begin with, and how long it is with its length word.
#[inline(always)] // Once for each cell of each row.
fn cell(bytes: &[u8]) -> Result<(Option<&[u8]>, usize), MalformedRow> {
    let (word, rest) = bytes.split_first_chunk::<WORD_BYTES>().ok_or(MalformedRow::Short)?;
    match i32::from_be_bytes(*word) {
        -1 => Ok((None, WORD_BYTES)),
        length => {
            let length = usize::try_from(length).map_err(|_| MalformedRow::CellLength)?;
            let cell = rest.get(..length).ok_or(MalformedRow::Short)?;
            Ok((Some(cell), WORD_BYTES + length))
        }
    }
}

fn write_word(at: usize, word: i32, out: &mut [u8]) {
    if let Some(place) = out.get_mut(at..at + WORD_BYTES) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests;
