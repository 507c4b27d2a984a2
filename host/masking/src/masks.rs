//! All cells of a batch brought to what the client may see.

use portcullis_policy::{Cells, PolicySet};

use crate::batch::{Batch, Span};
use crate::call::{State, View};
use crate::outcome::Flushed;
use crate::plan::{Plan, PlannedCall, Scratch, Step, Transform};
use crate::value::write_value;

/// More than this is not put into one batch: what is beyond becomes NULL.
const DATA_BYTES_MAX: usize = 256 << 20;

/// What stands in a cell when the row leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The bytes that came.
    Kept,
    Null,
    /// In the masks' data.
    Value(Span),
}

/// The plans of a result, and what they came to for the last batch.
#[derive(Debug)]
pub(crate) struct Masks {
    plans: Vec<Plan>,
    puts: Puts,
    scratch: Scratch,
    view: View,
    spare: Cells,
    also: Vec<Cells>,
    also_view: View,
}

impl Masks {
    pub(crate) fn new(plans: Vec<Plan>) -> Masks {
        Masks {
            puts: Puts { width: plans.len(), puts: Vec::new(), data: Vec::new() },
            plans,
            scratch: Scratch::default(),
            view: View::default(),
            spare: Cells::default(),
            also: Vec::new(),
            also_view: View::default(),
        }
    }

    /// Decides every touched cell of the batch.
    pub(crate) fn run(&mut self, batch: &Batch, policies: &dyn PolicySet, flushed: &mut Flushed) {
        self.puts.clear(batch.rows());
        for position in 0..self.plans.len() {
            // Taken out while it runs, because calls look at the other plans.
            let step = self
                .plans
                .get_mut(position)
                .map(|plan| std::mem::replace(&mut plan.step, Step::Watch));
            let Some(step) = step else { continue };
            match &step {
                Step::Watch => (),
                Step::Same(cell) => self.puts.same(batch, position, cell.as_deref()),
                Step::Transform(transform) => self.transform(batch, position, transform),
                Step::Calls(calls) => self.call(batch, position, calls, policies, flushed),
            }
            if let Some(plan) = self.plans.get_mut(position) {
                plan.step = step;
                let masked = self.puts.masked(position);
                flushed.cells_masked += masked;
                if masked > 0 {
                    for label in &plan.labels {
                        flushed.count_label(label, masked);
                    }
                }
            }
        }
    }

    /// What stands in the touched cells of one row.
    pub(crate) fn puts_of(&self, row: usize) -> &[Put] {
        let start = row * self.puts.width;
        self.puts.puts.get(start..start + self.puts.width).unwrap_or_default()
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.puts.data
    }

    fn transform(&mut self, batch: &Batch, position: usize, transform: &Transform) {
        let Some(plan) = self.plans.get(position) else { return };
        let lost = self.puts.store(plan.lost.as_deref());
        for (row, cell) in batch.cells(position).enumerate() {
            let Some(cell) = cell else { continue };
            let scratch = &mut self.scratch;
            self.puts.write(row, position, Some(cell), lost, |out| {
                plan.transform(transform, cell, scratch, out)
            });
        }
    }

    fn call(
        &mut self,
        batch: &Batch,
        position: usize,
        calls: &[PlannedCall],
        policies: &dyn PolicySet,
        flushed: &mut Flushed,
    ) {
        let Some(plan) = self.plans.get(position) else { return };
        self.view.fill(plan, batch.cells(position));
        for call in calls {
            fill_also(&mut self.also, &mut self.also_view, &self.plans, batch, call);
            if let Err(fault) = self.view.ask(call, &self.also, policies, &mut self.spare) {
                flushed.faults.push(fault);
                return self.puts.same(batch, position, plan.lost.as_deref());
            }
        }
        if self.view.states.iter().all(|state| *state == State::Kept) {
            return;
        }
        let lost = self.puts.store(plan.lost.as_deref());
        for (row, (cell, state)) in batch.cells(position).zip(&self.view.states).enumerate() {
            match state {
                State::Kept => (),
                State::Unreadable => self.puts.write(row, position, cell, lost, |_| None),
                State::Changed => {
                    let text = self.view.text(row);
                    // NULL where there was none is a value lost; NULL made into a value is
                    // the plugin's to decide.
                    self.puts.write(row, position, cell, lost, |out| {
                        write_value(plan.kind, plan.format, text?, out)
                    });
                }
            }
        }
    }
}

/// Fills `also` with the cells, as they came, that a call wants beside its own.
fn fill_also(
    also: &mut Vec<Cells>,
    view: &mut View,
    plans: &[Plan],
    batch: &Batch,
    call: &PlannedCall,
) {
    let positions = call.also.as_deref().unwrap_or_default();
    also.resize_with(positions.len(), Cells::default);
    for (cells, position) in also.iter_mut().zip(positions) {
        if let Some(plan) = plans.get(*position) {
            view.fill(plan, batch.cells(*position));
            std::mem::swap(&mut view.cells, cells);
        }
    }
}

/// The outcome for each touched cell, row after row, and the bytes that go with it.
#[derive(Debug)]
struct Puts {
    width: usize,
    puts: Vec<Put>,
    data: Vec<u8>,
}

impl Puts {
    fn clear(&mut self, rows: usize) {
        self.data.clear();
        self.puts.clear();
        self.puts.resize(rows * self.width, Put::Kept);
    }

    fn masked(&self, position: usize) -> u64 {
        let puts = self.puts.iter().skip(position).step_by(self.width.max(1));
        puts.map(|put| u64::from(*put != Put::Kept)).sum()
    }

    fn set(&mut self, row: usize, position: usize, put: Put) {
        if let Some(place) = self.puts.get_mut(row * self.width + position) {
            *place = put;
        }
    }

    /// Keeps a cell that many rows will have.
    fn store(&mut self, cell: Option<&[u8]>) -> Put {
        let Some(cell) = cell else { return Put::Null };
        let start = self.data.len();
        self.data.extend_from_slice(cell);
        Span::new(start, self.data.len()).map_or(Put::Null, Put::Value)
    }

    /// The same cell for every value of a column. A NULL stays NULL.
    fn same(&mut self, batch: &Batch, position: usize, cell: Option<&[u8]>) {
        let put = self.store(cell);
        for (row, old) in batch.cells(position).enumerate() {
            if old.is_some() && old != cell {
                self.set(row, position, put);
            }
        }
    }

    /// What `write` appends, or `lost` where it gives up. What comes out as it went in is
    /// kept, so that only changed bytes count as masked.
    fn write(
        &mut self,
        row: usize,
        position: usize,
        old: Option<&[u8]>,
        lost: Put,
        write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
    ) {
        let start = self.data.len();
        let written = if start < DATA_BYTES_MAX { write(&mut self.data) } else { None };
        let put = match written.and_then(|()| Span::new(start, self.data.len())) {
            Some(span) => Put::Value(span),
            None => lost,
        };
        let new = match put {
            Put::Value(span) => Some(span.of(&self.data)),
            Put::Null | Put::Kept => None,
        };
        let put = if new == old { Put::Kept } else { put };
        if !matches!(put, Put::Value(span) if span.start as usize == start) {
            self.data.truncate(start);
        }
        self.set(row, position, put);
    }
}
