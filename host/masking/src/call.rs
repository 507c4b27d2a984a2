//! One column shown to plugins, and what they answer about it.
//!
//! The engine checks answers before they come here. They are checked again all the same:
//! nothing in an answer may panic, and what is wrong counts as a fault.

use portcullis_policy::{
    Cells, Edits, Fault, FaultKind, Masked, PolicyName, PolicySet, WireFormat,
};

use crate::codec::decode;
use crate::kind::Kind;
use crate::plan::{Plan, PlannedCall};

/// Text made of the binary values of a batch, or by edits, beyond the bytes that came. More
/// is a value that explodes, and is not shown or counts as a fault.
const GROWTH_BYTES_MAX: usize = 64 << 20;

/// Memory kept from batch to batch; one that needed more gives it back.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A column's cells as text, as they came.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) cells: Cells,
    /// Rows whose cell has no text that could be shown, ascending; a plugin sees NULL.
    unreadable: Vec<usize>,
    text: String,
}

/// What plugins made of the cells of one column.
#[derive(Debug)]
pub(crate) enum Answer {
    /// As they came.
    Kept,
    /// Edits of text, in its own bytes. From `next` on they are still to be made.
    Edited { edits: Edits, next: usize },
    /// Each cell anew, as text.
    Replaced(Cells),
    /// A plugin failed to answer.
    Lost,
}

impl Seen {
    /// Adds the cell of the next row.
    pub(crate) fn add(&mut self, plan: &Plan, cell: Option<&[u8]>) {
        match cell {
            Some(bytes) if !is_plain(plan) => {
                let shown = decoded(plan.kind, bytes, self.cells.data.len(), &mut self.text);
                if shown.is_none() {
                    self.unreadable.push(self.cells.len());
                }
                self.cells.push(shown.map(|()| self.text.as_bytes()));
            }
            plain => self.cells.push(plain),
        }
    }

    /// Takes out what is no text; to be called when all cells are there.
    pub(crate) fn check(&mut self, plan: &Plan) {
        if !is_plain(plan) || self.cells.data.is_ascii() {
            return;
        }
        let is_text = |row: &usize| match self.cells.cell(*row) {
            Some(Some(bytes)) => std::str::from_utf8(bytes).is_ok(),
            Some(None) | None => true,
        };
        self.unreadable = (0..self.cells.len()).filter(|row| !is_text(row)).collect();
        if !self.unreadable.is_empty() {
            let mut shown = Cells::default();
            for row in 0..self.cells.len() {
                let cell = self.cells.cell(row).flatten().filter(|_| !self.is_unreadable(row));
                shown.push(cell);
            }
            self.cells = shown;
        }
    }

    /// True when every cell could be shown.
    pub(crate) fn is_readable(&self) -> bool {
        self.unreadable.is_empty()
    }

    pub(crate) fn is_unreadable(&self, row: usize) -> bool {
        !self.unreadable.is_empty() && self.unreadable.binary_search(&row).is_ok()
    }

    /// Asks one policy after another. On a fault the column's values are lost.
    pub(crate) fn ask(
        &self,
        plan: &Plan,
        calls: &[PlannedCall],
        also: &[Vec<Cells>],
        policies: &dyn PolicySet,
    ) -> Result<Answer, (PolicyName, Fault)> {
        let mut after: Option<Cells> = None;
        for (index, call) in calls.iter().enumerate() {
            let fault = |fault: Fault| (call.policy.clone(), fault);
            if call.also.is_none() {
                return Err(fault(malformed("a column named beside another does not exist")));
            }
            let cells = after.as_ref().unwrap_or(&self.cells);
            let also = also.get(index).map(Vec::as_slice).unwrap_or_default();
            let masked = policies.mask(&call.policy, call.handle, cells, also).map_err(fault)?;
            let is_last = index + 1 == calls.len() && after.is_none();
            match made(masked, cells, is_last && are_edited_in_place(plan)).map_err(fault)? {
                Answer::Kept => {}
                Answer::Replaced(new) => after = Some(new),
                answer @ (Answer::Edited { .. } | Answer::Lost) => return Ok(answer),
            }
        }
        Ok(after.map_or(Answer::Kept, Answer::Replaced))
    }

    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.unreadable.clear();
        if self.cells.data.capacity() > KEPT_BYTES_MAX || self.text.capacity() > KEPT_BYTES_MAX {
            *self = Seen::default();
        }
    }

    /// Forgets the cells from this row on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.cells.truncate(rows);
        self.unreadable.retain(|row| *row < rows);
    }
}

/// Whether a cell's bytes are its text.
fn is_plain(plan: &Plan) -> bool {
    plan.kind.is_textual() || plan.format == WireFormat::Text
}

/// Puts the text of a binary value into `text`.
fn decoded(kind: Kind, bytes: &[u8], before: usize, text: &mut String) -> Option<()> {
    text.clear();
    if before > GROWTH_BYTES_MAX {
        return None;
    }
    if kind != Kind::Unknown {
        return decode(kind, bytes, text);
    }
    // Types of extensions and enums that are sent as plain text are shown as such; what
    // a plugin changes in them is lost.
    let shown = std::str::from_utf8(bytes).ok()?;
    let printable = !shown.chars().any(char::is_control);
    printable.then(|| text.push_str(shown))
}

/// What a plugin's answer makes of the cells that it was asked about. Edits are made in the bytes
/// that came only where that is allowed.
pub(crate) fn made(masked: Masked, cells: &Cells, in_place: bool) -> Result<Answer, Fault> {
    match masked {
        Masked::Unchanged => Ok(Answer::Kept),
        Masked::Edits(edits) if edits.spans.is_empty() => Ok(Answer::Kept),
        Masked::Edits(edits) => {
            check_edits(&edits, cells).ok_or_else(|| malformed("edits out of place"))?;
            if in_place && !edits.fill.contains(&0) {
                return Ok(Answer::Edited { edits, next: 0 });
            }
            Ok(Answer::Replaced(edited(&edits, cells)))
        }
        Masked::Replaced(new) => {
            check_replaced(&new, cells).ok_or_else(|| malformed("replaced cells do not fit"))?;
            Ok(Answer::Replaced(new))
        }
    }
}

/// Whether edits may be made in the bytes that came, because every text is a value.
pub(crate) fn are_edited_in_place(plan: &Plan) -> bool {
    plan.kind.is_textual()
}

/// Edits are in order, within cells that have a value, and between characters.
pub(crate) fn check_edits(edits: &Edits, cells: &Cells) -> Option<()> {
    std::str::from_utf8(&edits.fill).ok()?;
    let (spans, rest) = edits.spans.as_chunks::<3>();
    if !rest.is_empty() || edits.fill.len().checked_mul(spans.len())? > GROWTH_BYTES_MAX {
        return None;
    }
    let mut before = (0, 0);
    for [row, start, end] in spans {
        let cell = cells.cell(*row as usize)??;
        let in_order = before <= (*row, *start) && start <= end;
        if !in_order || !is_boundary(cell, *start) || !is_boundary(cell, *end) {
            return None;
        }
        before = (*row, *end);
    }
    Some(())
}

/// Between two characters of what is known to be UTF-8.
fn is_boundary(cell: &[u8], at: u32) -> bool {
    match cell.get(at as usize) {
        Some(byte) => byte & 0xC0 != 0x80,
        None => at as usize == cell.len(),
    }
}

/// The cells with checked edits made.
fn edited(edits: &Edits, cells: &Cells) -> Cells {
    let mut after = Cells { nulls: cells.nulls.clone(), ..Cells::default() };
    let mut next = 0;
    for row in 0..cells.len() {
        let cell = cells.cell(row).flatten().unwrap_or_default();
        if write_edited(edits, &mut next, row, cell, &mut after.data).is_none() {
            after.data.extend_from_slice(cell);
        }
        after.ends.push(u32::try_from(after.data.len()).unwrap_or(u32::MAX));
    }
    after
}

/// Appends the cell of `row` with its edits made. `None` when it has none; then nothing is
/// appended. `next` is the first edit that is not made yet; rows come in order.
pub(crate) fn write_edited(
    edits: &Edits,
    next: &mut usize,
    row: usize,
    cell: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let (spans, _) = edits.spans.as_chunks::<3>();
    let mut copied = 0;
    let first = *next;
    while let Some([_, start, end]) = spans.get(*next).filter(|[own, ..]| *own as usize == row) {
        out.extend_from_slice(cell.get(copied..*start as usize).unwrap_or_default());
        out.extend_from_slice(&edits.fill);
        copied = *end as usize;
        *next += 1;
    }
    if *next == first {
        return None;
    }
    out.extend_from_slice(cell.get(copied..).unwrap_or_default());
    Some(())
}

/// As many cells as there were, each of them UTF-8.
fn check_replaced(new: &Cells, cells: &Cells) -> Option<()> {
    if new.len() != cells.len() || new.data.len() > u32::MAX as usize {
        return None;
    }
    let is_ascii = new.data.is_ascii();
    for row in 0..new.len() {
        let cell = new.cell(row)?;
        if !is_ascii {
            std::str::from_utf8(cell.unwrap_or_default()).ok()?;
        }
    }
    Some(())
}

pub(crate) fn malformed(message: &str) -> Fault {
    Fault { kind: FaultKind::Malformed, message: message.to_owned() }
}
