//! What the cells of a result become: each column's plan carried out, row after row.

use portcullis_policy::{Cells, Fault, Masked, PolicySet};

use crate::call::{Answer, Seen, are_edited_in_place, made, malformed, write_edited};
use crate::few::append_few;
use crate::outcome::Flushed;
use crate::plan::{Plan, Scratch, Step};
use crate::together::{Group, part};
use crate::value::write_value;

/// More than this is not put into one batch: what is beyond is lost.
const PUT_BYTES_MAX: usize = 256 << 20;

/// What stands in a cell when the row leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The bytes that came.
    Kept,
    Null,
    /// The bytes that were appended.
    Value,
}

/// The plans of a result. Touched columns are known by their position among themselves. A batch
/// goes through in three steps: cells that plugins see are shown ([`show`](Masks::show)), plugins
/// are asked about them ([`ask`](Masks::ask)), and cells that may change are put where they belong,
/// in the order of rows ([`put`](Masks::put)). Where plugins see none, it begins with the third.
#[derive(Debug)]
pub(crate) struct Masks {
    columns: Vec<Column>,
    groups: Vec<Group>,
    scratch: Scratch,
    /// Appended in this batch.
    put_bytes: usize,
}

#[derive(Debug)]
struct Column {
    plan: Plan,
    /// For columns that plugins see.
    seen: Option<Seen>,
    answer: Answer,
    /// Of this batch, to a call that asked about others as well.
    is_answered: bool,
    /// Cells of the batch whose bytes are not those that came.
    masked: u64,
}

impl Masks {
    pub(crate) fn new(plans: Vec<Plan>) -> Masks {
        let column = |plan: Plan| {
            let seen = match &plan.step {
                Step::Watch | Step::Calls(_) => Some(Seen::default()),
                Step::Same(_) | Step::Transform(_) => None,
            };
            Column { plan, seen, answer: Answer::Kept, is_answered: false, masked: 0 }
        };
        let mut columns: Vec<Column> = plans.into_iter().map(column).collect();
        let groups = Group::among(columns.iter().map(|column| &column.plan));
        let also: Vec<usize> = columns.iter().flat_map(Column::companions).collect();
        for position in also {
            if let Some(column) = columns.get_mut(position) {
                column.seen.get_or_insert_default();
            }
        }
        Masks { columns, groups, scratch: Scratch::default(), put_bytes: 0 }
    }

    /// Where touched columns stand in the row, by position.
    pub(crate) fn touched(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.plan.column).collect()
    }

    pub(crate) fn touch_anything(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The columns whose cells are to be shown: their position, and where they stand in the row.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places(|column| column.seen.is_some())
    }

    /// The cell of the next row at this position, for plugins if any sees the column.
    pub(crate) fn show(&mut self, position: usize, cell: Option<&[u8]>) {
        if let Some(column) = self.columns.get_mut(position)
            && let Some(seen) = &mut column.seen
        {
            seen.add(&column.plan, cell);
        }
    }

    /// Forgets what was shown from this row on.
    pub(crate) fn forget(&mut self, rows: usize) {
        let seen = self.columns.iter_mut().filter_map(|column| column.seen.as_mut());
        seen.for_each(|seen| seen.truncate(rows));
    }

    /// Asks the plugins about the cells that were shown.
    pub(crate) fn ask(&mut self, policies: &dyn PolicySet, flushed: &mut Flushed) {
        for column in &mut self.columns {
            column.is_answered = false;
            if let Some(seen) = &mut column.seen {
                seen.check(&column.plan);
            }
        }
        self.ask_together(policies, flushed);
        for position in 0..self.columns.len() {
            if self.columns.get(position).is_some_and(|column| !column.is_answered) {
                let answer = self.answer(position, policies, flushed);
                if let Some(column) = self.columns.get_mut(position) {
                    column.answer = answer;
                }
            }
        }
    }

    /// Asks about columns that are asked about in one call.
    fn ask_together(&mut self, policies: &dyn PolicySet, flushed: &mut Flushed) {
        let Masks { groups, columns, .. } = self;
        for group in groups {
            let seen = |position: usize| columns.get(position)?.seen.as_ref();
            let Some(asked) = group.ask(seen, policies) else { continue };
            let taken = asked.and_then(|masked| {
                let mut rows = 0;
                for position in &group.positions {
                    let Some(column) = columns.get_mut(*position) else { continue };
                    rows = column.take(&masked, rows).map_err(|fault| group.fault(fault))?;
                }
                Ok(())
            });
            let is_lost = taken.is_err();
            flushed.faults.extend(taken.err());
            for position in &group.positions {
                let Some(column) = columns.get_mut(*position) else { continue };
                column.is_answered = true;
                if is_lost {
                    // Where a part of an answer is of no use, none of it is.
                    column.answer = Answer::Lost;
                }
            }
        }
    }

    fn answer(&self, position: usize, policies: &dyn PolicySet, flushed: &mut Flushed) -> Answer {
        let Some(Column { plan, seen, .. }) = self.columns.get(position) else {
            return Answer::Kept;
        };
        let Step::Calls(calls) = &plan.step else { return Answer::Kept };
        let Some(seen) = seen else { return Answer::Lost };
        let seen_at = |also: &usize| Some(self.columns.get(*also)?.seen.as_ref()?.cells.clone());
        let companions: Vec<Vec<Cells>> = calls
            .iter()
            .map(|call| call.also.iter().flatten().filter_map(seen_at).collect())
            .collect();
        match seen.ask(plan, calls, &companions, policies) {
            Ok(answer) => answer,
            Err(fault) => {
                flushed.faults.push(fault);
                Answer::Lost
            }
        }
    }

    /// The columns of which some cell of the batch may change: their position, and where they stand
    /// in the row.
    pub(crate) fn changing(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places(Column::may_change)
    }

    fn places(&self, is_wanted: impl Fn(&Column) -> bool) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.columns.iter().enumerate();
        let wanted = columns.filter(move |(_, column)| is_wanted(column));
        wanted.map(|(position, column)| (position, column.plan.column))
    }

    /// Decides one cell; the rows of a batch come in order. A new value is appended to `out`.
    pub(crate) fn put(
        &mut self,
        position: usize,
        row: usize,
        old: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Put {
        let Some(column) = self.columns.get_mut(position) else { return Put::Null };
        let start = out.len();
        let written = match column.write(row, old, &mut self.scratch, out) {
            Written::Put(put) if self.put_bytes < PUT_BYTES_MAX => put,
            Written::Put(_) | Written::Lost => {
                out.truncate(start);
                append(column.plan.lost.as_deref(), out)
            }
        };
        // What comes out as it went in is kept, so that only changed bytes count as masked.
        let is_same = match written {
            Put::Kept => return Put::Kept,
            Put::Null => old.is_none(),
            Put::Value => old.is_some_and(|old| out.get(start..) == Some(old)),
        };
        if is_same {
            out.truncate(start);
            return Put::Kept;
        }
        column.masked += 1;
        self.put_bytes += out.len() - start;
        written
    }

    /// What was put so far is put once more.
    pub(crate) fn start_again(&mut self) {
        self.put_bytes = 0;
        for column in &mut self.columns {
            column.masked = 0;
            if let Answer::Edited { next, .. } = &mut column.answer {
                *next = 0;
            }
        }
    }

    /// Ends the batch: counts it, and is ready for the next.
    pub(crate) fn finish(&mut self, flushed: &mut Flushed) {
        self.put_bytes = 0;
        for column in &mut self.columns {
            let masked = std::mem::take(&mut column.masked);
            flushed.cells_masked += masked;
            if masked > 0 {
                for label in &column.plan.labels {
                    flushed.labels_masked.add(label, masked);
                }
            }
            column.answer = Answer::Kept;
            if let Some(seen) = &mut column.seen {
                seen.clear();
            }
        }
    }
}

/// What became of a cell.
enum Written {
    Put(Put),
    /// It cannot be done to this value; what was appended is to be taken back.
    Lost,
}

impl Column {
    /// Takes its part of an answer about several columns, in which its own rows begin at `first`;
    /// says where they end.
    fn take(&mut self, masked: &Masked, first: usize) -> Result<usize, Fault> {
        let Some(seen) = &self.seen else { return Err(malformed("an answer about no cells")) };
        let end = first + seen.cells.len();
        let part = part(masked, first..end);
        self.answer = made(part, &seen.cells, are_edited_in_place(&self.plan))?;
        Ok(end)
    }

    fn may_change(&self) -> bool {
        match (&self.plan.step, &self.answer) {
            (Step::Watch, _) => false,
            (Step::Same(_) | Step::Transform(_), _) => true,
            (Step::Calls(_), Answer::Kept) => {
                self.seen.as_ref().is_some_and(|seen| !seen.is_readable())
            }
            (Step::Calls(_), Answer::Edited { .. } | Answer::Replaced(_) | Answer::Lost) => true,
        }
    }

    /// Positions of the columns that plugins see beside this one.
    fn companions(&self) -> Vec<usize> {
        match &self.plan.step {
            Step::Calls(calls) => {
                calls.iter().filter_map(|call| call.also.as_ref()).flatten().copied().collect()
            }
            Step::Watch | Step::Same(_) | Step::Transform(_) => Vec::new(),
        }
    }

    fn write(
        &mut self,
        row: usize,
        old: Option<&[u8]>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Written {
        let done = |written: Option<()>| match written {
            Some(()) => Written::Put(Put::Value),
            None => Written::Lost,
        };
        match (&self.plan.step, old) {
            (Step::Watch, _) | (Step::Same(_) | Step::Transform(_), None) => {
                Written::Put(Put::Kept)
            }
            (Step::Same(cell), Some(_)) => Written::Put(append(cell.as_deref(), out)),
            (Step::Transform(transform), Some(old)) => {
                done(self.plan.transform(transform, old, scratch, out))
            }
            (Step::Calls(_), old) => {
                if self.seen.as_ref().is_some_and(|seen| seen.is_unreadable(row)) {
                    return Written::Lost;
                }
                match (&mut self.answer, old) {
                    (Answer::Kept, _) | (Answer::Lost | Answer::Edited { .. }, None) => {
                        Written::Put(Put::Kept)
                    }
                    (Answer::Lost, Some(_)) => Written::Lost,
                    (Answer::Edited { edits, next }, Some(old)) => {
                        match write_edited(edits, next, row, old, out) {
                            Some(()) => Written::Put(Put::Value),
                            None => Written::Put(Put::Kept),
                        }
                    }
                    (Answer::Replaced(cells), _) => {
                        let new = cells.cell(row).flatten();
                        if self.seen.as_ref().and_then(|seen| seen.cells.cell(row)) == Some(new) {
                            return Written::Put(Put::Kept);
                        }
                        // NULL where there was none is a value lost; NULL made into a value
                        // is the plugin's to decide.
                        let text = new.and_then(|bytes| std::str::from_utf8(bytes).ok());
                        done(text.and_then(|text| {
                            write_value(self.plan.kind, self.plan.format, text, out)
                        }))
                    }
                }
            }
        }
    }
}

/// Appends a cell that many rows have.
fn append(cell: Option<&[u8]>, out: &mut Vec<u8>) -> Put {
    match cell {
        Some(cell) => {
            append_few(cell, out);
            Put::Value
        }
        None => Put::Null,
    }
}
