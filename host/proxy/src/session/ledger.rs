//! The session's records: intents before statements leave, outcomes after them.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use portcullis_ledger::Intent;
use portcullis_policy::event::{DecisionMade, Ending, Event, EventId, Outcome};
use portcullis_policy::{PolicySet, VerdictAnswer};

use super::Session;
use super::holding::Asked;
use crate::facts::Facts;
use crate::known::{Answered, Known, PerStatement};
use crate::metrics::Count;
use crate::names::Bound;
use crate::refusal::Refusal;
use crate::run::{Ended, Run, Running, Tally};
use crate::settings::Audit;

impl Session {
    /// Writes the intents of a judged message; waits for the disk where the statement's kind
    /// asks for it. Nothing leaves when this fails.
    ///
    /// Not cancel safe: a session that goes away here may have recorded what never ran.
    pub(super) async fn record_intents(
        &mut self,
        asked: &Asked<'_>,
        answered: &Answered,
        decision: &DecisionMade,
        released_by: Option<String>,
    ) -> Result<PerStatement<EventId>, Refusal> {
        let revision = asked.policies.revision();
        let mut events = PerStatement::new();
        let mut kept = true;
        let of_each = asked.known.iter().zip(&answered.answers).enumerate();
        for (index, (known, answers)) in of_each {
            let event = self.shared.event_id();
            kept &= self.shared.append_intent(&Intent {
                event,
                asker: &self.asker_part,
                message: asked.message,
                statement: &known.part,
                parameters: asked.parameters,
                ruling: &answered.ruling(index, decision, released_by.as_deref(), revision),
            });
            if matches!(decision, DecisionMade::Denied { .. }) {
                self.record_unrun_event(event, Ending::Refused, revision);
            }
            self.shared.metrics.add(Count::Faults, faults(answers));
            events.push(event);
        }
        self.entry.line().asks();
        self.shared.metrics.add(
            match decision {
                DecisionMade::Permitted => Count::Permitted,
                DecisionMade::Denied { .. } => Count::Denied,
                DecisionMade::Held { .. } => Count::Held,
            },
            1,
        );
        // What all sessions have to record that were heard together is committed at once, and then
        // sent: a server that is woken in between takes the processor from the rest of them.
        if !self.shared.is_alone() {
            after_the_others().await;
        }
        let written = self.shared.commit();
        let written = written.ok().filter(|_| kept);
        let must_sync = *decision == DecisionMade::Permitted
            && match self.database.settings.audit {
                Audit::Strict => true,
                Audit::Relaxed => false,
                Audit::StrictWrites => !asked.statements.iter().all(|s| s.is_read_only()),
            };
        let is_recorded = match written {
            Some(position) if must_sync => self.shared.synced(position).await.is_ok(),
            written => written.is_some(),
        };
        if is_recorded {
            return Ok(events);
        }
        if !matches!(decision, DecisionMade::Denied { .. }) {
            // It may yet be written that it was permitted; then also that it did not run.
            for event in events {
                self.record_unrun_event(event, Ending::Refused, revision);
            }
        }
        Err(Refusal::Ledger)
    }

    /// Records how one statement ended, once.
    pub(super) fn record_outcome(&self, running: &Running, ending: Ending, tally: Tally) {
        if running.ended.mark() {
            return;
        }
        let took = self.shared.moment().instant.saturating_duration_since(running.started);
        let micros = took.as_secs().saturating_mul(1_000_000);
        let duration_us = micros.saturating_add(took.subsec_micros().into());
        let metrics = &self.shared.metrics;
        metrics.took(duration_us);
        metrics.add(Count::Rows, tally.rows);
        metrics.add(Count::BytesOut, tally.bytes);
        metrics.add(Count::CellsObserved, tally.cells_observed);
        let mut labels_masked = Vec::new();
        if tally.cells_masked > 0 {
            metrics.add(Count::CellsMasked, tally.cells_masked);
            metrics.masked(&tally.labels_masked);
            labels_masked = tally.labels_masked.into_labels();
        }
        self.shared.append(&Event::Outcome(Outcome {
            id: running.event,
            session: self.id,
            ending,
            rows: tally.rows,
            bytes: tally.bytes,
            cells_masked: tally.cells_masked,
            labels_masked,
            cells_observed: tally.cells_observed,
            duration_us,
            revision: running.policies.revision(),
        }));
    }

    /// The statements of a message that will not run, from `current` on.
    pub(super) fn record_unrun(&self, run: &Run, ending: &Ending) {
        for running in run.statements.iter().skip(run.current) {
            self.record_outcome(running, ending.clone(), Tally::default());
        }
    }

    /// What was bound and never executed.
    pub(super) fn record_unused(&self, bound: Bound) {
        if bound.ended.replace(true) {
            return;
        }
        self.record_unrun_event(bound.event, Ending::Skipped, bound.revision);
    }

    /// The outcome of what never ran.
    pub(super) fn record_unrun_event(&self, id: EventId, ending: Ending, revision: u64) {
        self.shared.append(&Event::Outcome(Outcome {
            id,
            session: self.id,
            ending,
            rows: 0,
            bytes: 0,
            cells_masked: 0,
            labels_masked: Vec::new(),
            cells_observed: 0,
            duration_us: 0,
            revision,
        }));
    }

    /// The connection is over: what becomes of what is still running is not known.
    pub(super) fn record_lost(&mut self) {
        let runs: Vec<Box<Run>> = self.pipeline.drain().map(|entry| entry.payload).collect();
        runs.iter().for_each(|run| self.record_unrun(run, &Ending::Lost));
        self.names.end_transaction().into_iter().for_each(|bound| self.record_unused(bound));
        self.shared.commit_quietly();
    }

    /// A permitted statement as it is remembered while it runs.
    pub(super) fn running(
        &self,
        (facts, index): (Rc<Facts>, usize),
        known: Rc<Known>,
        event: EventId,
        policies: &Rc<dyn PolicySet>,
        limit_rows: Option<u32>,
    ) -> Running {
        let given = limit_rows.map(|_| Rc::default());
        Running {
            facts,
            resolved: None,
            index,
            known,
            event,
            policies: policies.clone(),
            limit_rows,
            given,
            unseen_code: self.unseen_code,
            withhold: false,
            started: self.shared.moment().instant,
            ended: Ended::Alone(Cell::new(false)),
            inner: None,
            release: None,
        }
    }
}

/// Ready when the worker's other sessions that can go on have had their turn.
///
/// Cancel safe: it holds nothing.
async fn after_the_others() {
    let mut have_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut have_waited, true) {
            return Poll::Ready(());
        }
        // Behind all that are ready now.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn faults(answers: &[VerdictAnswer]) -> u64 {
    answers.iter().filter(|answer| answer.answer.is_err()).count() as u64
}
