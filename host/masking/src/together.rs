//! Columns that are asked about in one call: a call costs as much as looking at a hundred short
//! cells, and most results are a row or a few.
//!
//! What a plugin plans under one handle it treats alike, so that the cells of such columns can
//! come to it one column behind the other. Each column then has its part of the answer.

use std::ops::Range;

use portcullis_policy::{Cells, Edits, Fault, Masked, PolicyName, PolicySet};

use crate::call::{Seen, check_edits, malformed};
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

    /// Asks about the cells of its columns, which `seen` gives by position; each then has its
    /// [`part`] of the answer. `None` where they are many, and each is asked about by itself.
    pub(crate) fn ask<'c>(
        &mut self,
        seen: impl Fn(usize) -> Option<&'c Seen>,
        policies: &dyn PolicySet,
    ) -> Option<Result<Masked, (PolicyName, Fault)>> {
        let columns = || self.positions.iter().filter_map(|position| seen(*position));
        if columns().map(|seen| seen.cells.data.len()).sum::<usize>() > BYTES_MAX {
            return None;
        }
        self.joined.clear();
        for Seen { cells, .. } in columns() {
            (0..cells.len()).for_each(|row| self.joined.push(cells.cell(row).flatten()));
        }
        let masked = policies.mask(&self.policy, self.handle, &self.joined, &[]);
        let masked = masked.and_then(|masked| fits(&masked, &self.joined).map(|()| masked));
        Some(masked.map_err(|fault| self.fault(fault)))
    }

    /// A fault of the policy that was asked.
    pub(crate) fn fault(&self, fault: Fault) -> (PolicyName, Fault) {
        (self.policy.clone(), fault)
    }
}

/// The call of a column that is asked about once and without others beside it.
fn lone_call(plan: &Plan) -> Option<&PlannedCall> {
    let Step::Calls(calls) = &plan.step else { return None };
    let [call] = calls.as_slice() else { return None };
    call.also.as_ref().is_some_and(Vec::is_empty).then_some(call)
}

/// Whether an answer is of these cells at all, before it is taken apart.
fn fits(masked: &Masked, joined: &Cells) -> Result<(), Fault> {
    match masked {
        Masked::Unchanged => Ok(()),
        Masked::Edits(edits) => {
            check_edits(edits, joined).ok_or_else(|| malformed("edits out of place"))
        }
        Masked::Replaced(new) if new.len() == joined.len() => Ok(()),
        Masked::Replaced(_) => Err(malformed("replaced cells do not fit")),
    }
}

/// What an answer says of these rows of what was put together.
pub(crate) fn part(masked: &Masked, rows: Range<usize>) -> Masked {
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
