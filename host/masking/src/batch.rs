//! Rows as they came, framed as they will leave, and where in them the cells stand that a
//! masker acts on.

use crate::outcome::MalformedRow;
use crate::reader::Reader;

/// A batch is flushed at this many rows,
pub(crate) const ROWS_FULL: usize = 1024;
/// or at this many bytes, whichever comes first.
const BYTES_FULL: usize = 1 << 20;
/// What the buffers keep allocated from batch to batch.
const BYTES_KEPT_MAX: usize = 2 * BYTES_FULL;
/// A row is never longer, in PostgreSQL either; so offsets fit 32 bits with room to spare.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 30;
/// Tag and length word.
pub(crate) const HEADER_BYTES: usize = 5;

/// Bytes from one offset to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Option<Span> {
        Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where the value of a cell is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    /// In the frame itself.
    Framed(Span),
    /// Beside it, where the frame has it quoted or escaped.
    Unescaped(Span),
}

/// One cell that a masker acts on or wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// What is replaced when the cell is: with its length word, quotes and escapes.
    pub(crate) raw: Span,
    pub(crate) value: Value,
}

/// Whole frames, one after another. Buffers are kept from batch to batch.
#[derive(Debug)]
pub(crate) struct Batch {
    tag: u8,
    /// Columns of a row, and which of them are touched, ascending.
    columns: usize,
    touched: Vec<usize>,
    frames: Vec<u8>,
    row_ends: Vec<u32>,
    slots: Vec<Slot>,
    unescaped: Vec<u8>,
}

impl Batch {
    pub(crate) fn new(tag: u8, columns: usize, touched: Vec<usize>) -> Batch {
        Batch {
            tag,
            columns,
            touched,
            frames: Vec::new(),
            row_ends: Vec::new(),
            slots: Vec::new(),
            unescaped: Vec::new(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.row_ends.len()
    }

    /// How many cells of each row are touched.
    pub(crate) fn width(&self) -> usize {
        self.touched.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.row_ends.len() >= ROWS_FULL || self.frames.len() >= BYTES_FULL
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.row_ends.clear();
        self.slots.clear();
        self.unescaped.clear();
        // A row that was longer than a batch should be gives its memory back.
        self.frames.shrink_to(BYTES_KEPT_MAX);
        self.unescaped.shrink_to(BYTES_KEPT_MAX);
    }

    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// The frame of one row.
    pub(crate) fn row(&self, row: usize) -> Span {
        let end_of = |row: usize| self.row_ends.get(row).copied().unwrap_or_default();
        Span { start: row.checked_sub(1).map_or(0, end_of), end: end_of(row) }
    }

    /// The touched cells of one row.
    pub(crate) fn slots_of(&self, row: usize) -> &[Slot] {
        let start = row * self.width();
        self.slots.get(start..start + self.width()).unwrap_or_default()
    }

    pub(crate) fn value(&self, slot: &Slot) -> Option<&[u8]> {
        match slot.value {
            Value::Null => None,
            Value::Framed(span) => Some(span.of(&self.frames)),
            Value::Unescaped(span) => Some(span.of(&self.unescaped)),
        }
    }

    /// Adds a row of counted cells: the body of a DataRow, or a tuple of binary COPY.
    pub(crate) fn push_counted(&mut self, body: &[u8]) -> Result<(), MalformedRow> {
        let start = self.open(body)?;
        let result = self.walk_counted(body, start);
        self.close(start, result)
    }

    fn walk_counted(&mut self, body: &[u8], start: usize) -> Result<(), MalformedRow> {
        let at = |rest: &Reader<'_>| start + HEADER_BYTES + body.len() - rest.rest().len();
        let span = |start, end| Span::new(start, end).ok_or(MalformedRow::TooLarge);
        let mut reader = Reader::new(body);
        let count = reader.i16().ok_or(MalformedRow::Short)?;
        if usize::try_from(count).ok() != Some(self.columns) {
            return Err(MalformedRow::ColumnCount);
        }
        let mut touched = self.touched.iter().copied().peekable();
        for column in 0..self.columns {
            let begin = at(&reader);
            let length = reader.i32().ok_or(MalformedRow::Short)?;
            let data = at(&reader);
            match length {
                -1 => (),
                _ => {
                    let length = usize::try_from(length).map_err(|_| MalformedRow::CellLength)?;
                    reader.take(length).ok_or(MalformedRow::Short)?;
                }
            }
            if touched.next_if_eq(&column).is_some() {
                let end = at(&reader);
                let value =
                    if length == -1 { Value::Null } else { Value::Framed(span(data, end)?) };
                self.slots.push(Slot { raw: span(begin, end)?, value });
            }
        }
        reader.end().ok_or(MalformedRow::Long)
    }

    /// Adds a row whose fields `walk` finds in the body. It is given the body, where the
    /// body stands in the frames, the touched columns, and where to put slots and unescaped
    /// values; it answers how many fields there are.
    pub(crate) fn push_delimited(
        &mut self,
        body: &[u8],
        walk: impl FnOnce(
            &[u8],
            usize,
            &[usize],
            &mut Vec<Slot>,
            &mut Vec<u8>,
        ) -> Result<usize, MalformedRow>,
    ) -> Result<(), MalformedRow> {
        let start = self.open(body)?;
        let at = start + HEADER_BYTES;
        let result = walk(body, at, &self.touched, &mut self.slots, &mut self.unescaped).and_then(
            |fields| match fields == self.columns {
                true => Ok(()),
                false => Err(MalformedRow::ColumnCount),
            },
        );
        self.close(start, result)
    }

    /// Writes the frame of a row; says where it begins.
    fn open(&mut self, body: &[u8]) -> Result<usize, MalformedRow> {
        let start = self.frames.len();
        if body.len() > ROW_BYTES_MAX || start > ROW_BYTES_MAX {
            return Err(MalformedRow::TooLarge);
        }
        write_frame(self.tag, body, &mut self.frames);
        Ok(start)
    }

    /// Keeps the row, or takes it back when it was malformed.
    fn close(
        &mut self,
        start: usize,
        result: Result<(), MalformedRow>,
    ) -> Result<(), MalformedRow> {
        if let Err(malformed) = result {
            self.frames.truncate(start);
            self.slots.truncate(self.row_ends.len() * self.width());
            return Err(malformed);
        }
        let end = u32::try_from(self.frames.len()).map_err(|_| MalformedRow::TooLarge)?;
        self.row_ends.push(end);
        Ok(())
    }
}

/// Writes one frame around a body of at most `ROW_BYTES_MAX`.
pub(crate) fn write_frame(tag: u8, body: &[u8], out: &mut Vec<u8>) {
    let start = open_frame(tag, out);
    out.extend_from_slice(body);
    close_frame(start, out);
}

/// Begins a frame whose length is not known yet; says where.
pub(crate) fn open_frame(tag: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[tag, 0, 0, 0, 0]);
    start
}

/// Writes the length of the frame that began at `start`.
pub(crate) fn close_frame(start: usize, out: &mut [u8]) {
    // The length counts itself but not the tag. Rows and what is put into them are limited,
    // so it always fits.
    let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
    if let Some(word) = out.get_mut(start + 1..start + HEADER_BYTES) {
        word.copy_from_slice(&length.to_be_bytes());
    }
}
