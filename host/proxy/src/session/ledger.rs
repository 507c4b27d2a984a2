//! The session's records: intents before statements leave, outcomes after them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use portcullis_policy::event::{DecisionMade, Ending, Event, EventId, Outcome};
use portcullis_policy::{PolicySet, Ruling, Statement, VerdictAnswer};

use super::Session;
use crate::gate::intent;
use crate::names::Bound;
use crate::refusal::Refusal;
use crate::run::{Run, Running, Tally};
use crate::settings::Audit;

impl Session {
    /// Writes the intents of a judged message; waits for the disk where the statement's kind
    /// asks for it. Nothing leaves when this fails.
    ///
    /// Not cancel safe: a session that goes away here may have recorded what never ran.
    pub(super) async fn record_intents<T>(
        &mut self,
        message: &'static str,
        statements: &[&Statement],
        answers: &[Vec<VerdictAnswer>],
        ruling: &Ruling<T>,
        revision: u64,
        parameters: u32,
    ) -> Result<Vec<EventId>, Refusal> {
        let decision = decision(ruling);
        let mut events = Vec::with_capacity(statements.len());
        for (statement, answers) in statements.iter().zip(answers) {
            let event = self.shared.ledger.event_id();
            let place = (event, self.id);
            let record = intent(
                &self.asker,
                place,
                message,
                statement,
                answers,
                decision.clone(),
                (parameters, revision),
            );
            self.shared.append(&Event::Intent(Box::new(record)));
            if decision != DecisionMade::Permitted {
                self.shared.append(&Event::Outcome(self.ended(event, Ending::Refused, revision)));
            }
            events.push(event);
        }
        self.statements += 1;
        let position = self.shared.commit().map_err(|_| Refusal::Ledger)?;
        let must_sync = match self.database.settings.audit {
            Audit::Strict => true,
            Audit::Relaxed => false,
            Audit::StrictWrites => !statements.iter().all(|statement| statement.is_read_only()),
        };
        if must_sync && matches!(ruling, Ruling::Permitted(_)) {
            let synced = self.shared.synced(position);
            synced.await.map_err(|_| Refusal::Ledger)?;
        }
        Ok(events)
    }

    /// Records how one statement ended, once.
    pub(super) fn record_outcome(&self, running: &Running, ending: Ending, tally: Tally) {
        if running.ended.replace(true) {
            return;
        }
        self.shared.append(&Event::Outcome(Outcome {
            id: running.event,
            session: self.id,
            ending,
            rows: tally.rows,
            bytes: tally.bytes,
            cells_masked: tally.cells_masked,
            labels_masked: tally.labels_masked.into_iter().collect(),
            duration_us: u64::try_from(running.started.elapsed().as_micros()).unwrap_or(u64::MAX),
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
        self.shared.append(&Event::Outcome(self.ended(
            bound.event,
            Ending::Skipped,
            bound.revision,
        )));
    }

    /// The outcome of what never ran.
    fn ended(&self, id: EventId, ending: Ending, revision: u64) -> Outcome {
        Outcome {
            id,
            session: self.id,
            ending,
            rows: 0,
            bytes: 0,
            cells_masked: 0,
            labels_masked: Vec::new(),
            duration_us: 0,
            revision,
        }
    }

    /// The connection is over: what becomes of what is still running is not known.
    pub(super) fn record_lost(&mut self) {
        let runs: Vec<Run> = self.pipeline.drain().map(|entry| entry.payload).collect();
        runs.iter().for_each(|run| self.record_unrun(run, &Ending::Lost));
        self.names.end_transaction().into_iter().for_each(|bound| self.record_unused(bound));
        self.shared.commit_quietly();
    }

    /// A permitted statement as it is remembered while it runs.
    pub(super) fn running(
        &self,
        facts: Rc<crate::facts::Facts>,
        index: usize,
        event: EventId,
        policies: &Rc<dyn PolicySet>,
        limit_rows: Option<u32>,
    ) -> Running {
        Running {
            facts,
            resolved: None,
            index,
            event,
            policies: policies.clone(),
            limit_rows,
            withhold: false,
            started: Instant::now(),
            ended: Rc::new(Cell::new(false)),
            inner: None,
        }
    }
}

fn decision<T>(ruling: &Ruling<T>) -> DecisionMade {
    match ruling {
        Ruling::Permitted(_) => DecisionMade::Permitted,
        Ruling::Denied(denied) => DecisionMade::Denied {
            policy: denied.policy.clone(),
            reason: denied.denial.reason.clone(),
        },
        Ruling::Held(held) => {
            let reasons: Vec<&str> =
                held.approvals.iter().map(|(_, approval)| approval.reason.as_str()).collect();
            DecisionMade::Held { reason: reasons.join("; ") }
        }
    }
}
