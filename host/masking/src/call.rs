//! One column shown to plugins, and what they answer applied to it.
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

/// A column's cells as text, and what became of each.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) cells: Cells,
    /// For each cell.
    pub(crate) states: Vec<State>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Kept,
    /// The text in `cells` is no longer that of the cell.
    Changed,
    /// The cell has no text that could be shown; a plugin sees NULL.
    Unreadable,
}

impl View {
    /// Fills the view with the cells of one column.
    pub(crate) fn fill<'a>(&mut self, plan: &Plan, cells: impl Iterator<Item = Option<&'a [u8]>>) {
        self.cells.clear();
        self.states.clear();
        let plain = plan.kind.is_textual() || plan.format == WireFormat::Text;
        for cell in cells {
            let state = match cell {
                None => State::Kept,
                Some(bytes) if plain && std::str::from_utf8(bytes).is_ok() => State::Kept,
                Some(bytes) if !plain && self.decode(plan.kind, bytes).is_some() => State::Kept,
                Some(_) => State::Unreadable,
            };
            self.cells.push(match (state, cell) {
                (State::Unreadable | State::Changed, _) | (_, None) => None,
                (State::Kept, Some(bytes)) if plain => Some(bytes),
                (State::Kept, Some(_)) => Some(self.text.as_bytes()),
            });
            self.states.push(state);
        }
    }

    fn decode(&mut self, kind: Kind, bytes: &[u8]) -> Option<()> {
        self.text.clear();
        if self.cells.data.len() > GROWTH_BYTES_MAX {
            return None;
        }
        if kind != Kind::Unknown {
            return decode(kind, bytes, &mut self.text);
        }
        // Types of extensions and enums that are sent as plain text are shown as such; what
        // a plugin changes in them is lost.
        let text = std::str::from_utf8(bytes).ok()?;
        let printable = !text.chars().any(char::is_control);
        printable.then(|| self.text.push_str(text))
    }

    /// Asks one policy and applies its answer. On a fault the column's values are lost.
    pub(crate) fn ask(
        &mut self,
        call: &PlannedCall,
        also: &[Cells],
        policies: &dyn PolicySet,
        spare: &mut Cells,
    ) -> Result<(), (PolicyName, Fault)> {
        let fault = |fault: Fault| (call.policy.clone(), fault);
        if call.also.is_none() {
            return Err(fault(malformed("a column named beside another does not exist")));
        }
        match policies.mask(&call.policy, call.handle, &self.cells, also).map_err(fault)? {
            Masked::Unchanged => Ok(()),
            Masked::Edits(edits) if edits.spans.is_empty() => Ok(()),
            Masked::Edits(edits) => {
                self.edit(&edits, spare).ok_or_else(|| fault(malformed("edits out of place")))
            }
            Masked::Replaced(cells) => {
                self.replace(cells).ok_or_else(|| fault(malformed("replaced cells do not fit")))
            }
        }
    }

    /// Applies edits, building the new text in `spare`. On `None` the view is not to be used.
    fn edit(&mut self, edits: &Edits, spare: &mut Cells) -> Option<()> {
        let fill = std::str::from_utf8(&edits.fill).ok()?;
        let (spans, rest) = edits.spans.as_chunks::<3>();
        if !rest.is_empty() || edits.spans.is_empty() {
            return None;
        }
        let growth = fill.len().checked_mul(spans.len())?;
        if growth > GROWTH_BYTES_MAX {
            return None;
        }
        spare.clear();
        spare.nulls.extend_from_slice(&self.cells.nulls);
        let mut spans = spans.iter().peekable();
        // Everything of the old data before this was taken over.
        let mut taken: usize = 0;
        let mut row_start: usize = 0;
        for (row, end) in self.cells.ends.iter().enumerate() {
            let row_end = *end as usize;
            while let Some([_, start, end]) = spans.next_if(|span| span[0] as usize == row) {
                let from = row_start.checked_add(*start as usize)?;
                let to = row_start.checked_add(*end as usize)?;
                let in_order = taken.max(row_start) <= from && from <= to && to <= row_end;
                if !in_order || self.cells.is_null(row) {
                    return None;
                }
                let kept = self.cells.data.get(taken..from)?;
                if !is_boundary(&self.cells.data, from) || !is_boundary(&self.cells.data, to) {
                    return None;
                }
                spare.data.extend_from_slice(kept);
                spare.data.extend_from_slice(fill.as_bytes());
                taken = to;
                *self.states.get_mut(row)? = State::Changed;
            }
            spare.data.extend_from_slice(self.cells.data.get(taken..row_end)?);
            taken = row_end;
            row_start = row_end;
            spare.ends.push(u32::try_from(spare.data.len()).ok()?);
        }
        if spans.next().is_some() {
            return None;
        }
        std::mem::swap(&mut self.cells, spare);
        Some(())
    }

    /// Takes over replaced cells. On `None` the view is not to be used.
    fn replace(&mut self, cells: Cells) -> Option<()> {
        if cells.len() != self.cells.len() || cells.data.len() > u32::MAX as usize {
            return None;
        }
        for (row, state) in self.states.iter_mut().enumerate() {
            let new = cells.cell(row)?;
            std::str::from_utf8(new.unwrap_or_default()).ok()?;
            if *state == State::Kept && self.cells.cell(row)? != new {
                *state = State::Changed;
            }
        }
        self.cells = cells;
        Some(())
    }

    /// The text of a cell; `None` for NULL.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        std::str::from_utf8(self.cells.cell(row)??).ok()
    }
}

/// Between two characters of what is known to be UTF-8.
fn is_boundary(data: &[u8], at: usize) -> bool {
    data.get(at).is_none_or(|byte| byte & 0xC0 != 0x80)
}

fn malformed(message: &str) -> Fault {
    Fault { kind: FaultKind::Malformed, message: message.to_owned() }
}
