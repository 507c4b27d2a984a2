//! Columns that are asked about in one call: a call costs as much as looking at a hundred short
//! cells, and most results are a row or a few.
//!
//! What a plugin plans under one handle it treats alike, so that the cells of such columns can
//! come to it one column behind the other. Each column then has its part of the answer.

use std::ops::Range;

use portcullis_policy::{Cells, Edits, Fault, Masked, PolicyName, PolicySet};

use crate::call::{Answer, Seen, are_edited_in_place, check_edits, made, malformed};
use crate::plan::{Plan, PlannedCall, Step};

/// Beyond this, asking about each column by itself costs no more.
pub(crate) const BYTES_MAX: usize = 16 << 10;

/// Columns of a result with the same single call.
#[derive(Debug)]
pub(crate) struct Group {
    /// Two or more of the touched columns.
    pub(crate) positions: Vec<usize>,
    policy: PolicyName,
    handle: u32,
    joined: Cells,
}

impl Group {
    /// The groups that there are among the plans.
    pub(crate) fn among<'p>(plans: impl Iterator<Item = &'p Plan>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (position, plan) in plans.enumerate() {
            let Some(PlannedCall { policy, handle, .. }) = lone_call(plan) else { continue };
            let is_like = |group: &&mut Group| group.policy == *policy && group.handle == *handle;
            match groups.iter_mut().find(is_like) {
                Some(group) => group.positions.push(position),
                None => groups.push(Group {
                    positions: vec![position],
                    policy: policy.clone(),
                    handle: *handle,
                    joined: Cells::default(),
                }),
            }
        }
        groups.retain(|group| group.positions.len() > 1);
        groups
    }

    /// Asks about the cells of its columns, in the order of its positions. `None` where they are
    /// many; each column is then asked about by itself.
    pub(crate) fn ask(
        &mut self,
        columns: &[(&Plan, &Seen)],
        policies: &dyn PolicySet,
    ) -> Option<Result<Vec<Answer>, (PolicyName, Fault)>> {
        let bytes: usize = columns.iter().map(|(_, seen)| seen.cells.data.len()).sum();
        if bytes > BYTES_MAX {
            return None;
        }
        self.joined.clear();
        for (_, seen) in columns {
            (0..seen.cells.len()).for_each(|row| self.joined.push(seen.cells.cell(row).flatten()));
        }
        let answers = policies
            .mask(&self.policy, self.handle, &self.joined, &[])
            .and_then(|masked| parted(&masked, &self.joined, columns))
            .map_err(|fault| (self.policy.clone(), fault));
        Some(answers)
    }
}

/// The call of a column that is asked about once and without others beside it.
fn lone_call(plan: &Plan) -> Option<&PlannedCall> {
    let Step::Calls(calls) = &plan.step else { return None };
    let [call] = calls.as_slice() else { return None };
    call.also.as_ref().is_some_and(Vec::is_empty).then_some(call)
}

/// What an answer makes of each column.
fn parted(
    masked: &Masked,
    joined: &Cells,
    columns: &[(&Plan, &Seen)],
) -> Result<Vec<Answer>, Fault> {
    match masked {
        Masked::Unchanged => {}
        Masked::Edits(edits) => {
            check_edits(edits, joined).ok_or_else(|| malformed("edits out of place"))?;
        }
        Masked::Replaced(new) if new.len() == joined.len() => {}
        Masked::Replaced(_) => return Err(malformed("replaced cells do not fit")),
    }
    let mut before = 0;
    columns
        .iter()
        .map(|(plan, seen)| {
            let own = before..before + seen.cells.len();
            before = own.end;
            made(part(masked, own), &seen.cells, are_edited_in_place(plan))
        })
        .collect()
}

fn part(masked: &Masked, rows: Range<usize>) -> Masked {
    match masked {
        Masked::Unchanged => Masked::Unchanged,
        Masked::Edits(edits) => {
            let (spans, _) = edits.spans.as_chunks::<3>();
            let own = spans.iter().filter(|[row, ..]| rows.contains(&(*row as usize)));
            // Fewer than there are rows, which are counted in 32 bits.
            let first = rows.start as u32;
            let own = own.flat_map(|[row, start, end]| [row - first, *start, *end]);
            Masked::Edits(Edits { spans: own.collect(), fill: edits.fill.clone() })
        }
        Masked::Replaced(new) => {
            let mut own = Cells::default();
            rows.for_each(|row| own.push(new.cell(row).flatten()));
            Masked::Replaced(own)
        }
    }
}
