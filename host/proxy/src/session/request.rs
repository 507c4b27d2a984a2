//! The client's side: messages read, judged, and sent on or refused.

use std::rc::Rc;

use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{Action, NoParameters, Statement};
use portcullis_wire::backend::TransactionStatus;
use portcullis_wire::frame::cut;
use portcullis_wire::{Expect, Frame, Frontend, encode};

use super::holding::{Asked, Hold, Settled};
use super::messages::{STAND_IN, expected, is_extended, unsafe_name};
use super::{End, Session, UNANSWERED_MAX, WAITING_BYTES_MAX};
use crate::effects::{changes_reading, makes_unseen_code, may_fail_later};
use crate::facts::Facts;
use crate::gate::Harmless;
use crate::known::{Answered, PerStatement};
use crate::reading::Text;
use crate::refusal::Refusal;
use crate::release::Release;
use crate::run::{Role, Run};

/// What became of a client's message.
pub(super) enum Handled {
    Done,
    /// It cannot be understood before what is running has completed.
    Later,
}

impl Session {
    pub(super) async fn on_client(
        &mut self,
        mut buffer: Box<[u8]>,
        count: usize,
    ) -> Result<(), End> {
        let bytes = buffer.get_mut(..count).unwrap_or_default();
        let handled = if self.inbox.is_empty() {
            let handled = self.requests(bytes).await;
            if let Ok(used) = handled {
                self.inbox.extend_from_slice(bytes.get(used..).unwrap_or_default());
            }
            handled.map(|_| ())
        } else {
            self.inbox.extend_from_slice(bytes);
            self.take_up_inbox().await
        };
        let handled = handled.and_then(|()| self.check_waiting_room());
        self.shared.buffers.give_back(buffer);
        handled
    }

    /// A client is read while its statement waits for people, so what it sends behind that
    /// has a bound of its own.
    fn check_waiting_room(&self) -> Result<(), End> {
        let waits = matches!(self.hold, Hold::Waiting { .. });
        let most = self.held_bytes + 2 * WAITING_BYTES_MAX;
        if waits && self.inbox.len() > most {
            let what = format!("more than {most} bytes were sent behind a statement that waits");
            return Err(End::Refused(Refusal::TooLarge(what)));
        }
        Ok(())
    }

    /// Goes on with what was left waiting.
    pub(super) async fn take_up_inbox(&mut self) -> Result<(), End> {
        if self.inbox.is_empty() || self.is_stalled() {
            return Ok(());
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let used = self.requests(&inbox).await?;
        inbox.drain(..used);
        if inbox.is_empty() {
            inbox = Vec::new();
        }
        self.inbox = inbox;
        Ok(())
    }

    /// Handles whole messages as far as they can be understood now; how many bytes that was.
    async fn requests(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let mut used = 0;
        while !self.is_stalled()
            && self.outbox.len() < WAITING_BYTES_MAX
            && self.pipeline.len() < UNANSWERED_MAX
        {
            self.stalled = false;
            let rest = bytes.get(used..).unwrap_or_default();
            let Some(frame) = cut(rest, self.shared.limits.frame_bytes_max)? else { break };
            match self.request(frame).await? {
                Handled::Done => {
                    used += frame.bytes.len();
                    if self.pipeline.len() >= UNANSWERED_MAX && self.pipeline.waits_for_sync() {
                        // The rest is read when these are answered, not behind their Sync.
                        self.outbox.flush();
                    }
                }
                Handled::Later => {
                    self.stalled = true;
                    let is_held = matches!(self.hold, Hold::Waiting { .. });
                    if !is_held && self.pipeline.waits_for_sync() {
                        // What this message waits for would wait for the Sync behind it.
                        self.outbox.flush();
                    }
                    break;
                }
            }
        }
        Ok(used)
    }

    async fn request(&mut self, frame: Frame<'_>) -> Result<Handled, End> {
        let message = Frontend::read(frame)?;
        if self.pipeline.is_copy_in() {
            return self.copy_in(frame, &message);
        }
        if self.pipeline.is_skipping() && !matches!(message, Frontend::Sync | Frontend::Terminate) {
            // The server would discard it unread, up to the Sync.
            self.hold = Hold::None;
            return Ok(Handled::Done);
        }
        if !self.is_at_rest() {
            self.reading.may_be_taken_back();
        }
        let needs_reading = matches!(
            message,
            Frontend::Query { .. }
                | Frontend::Parse { .. }
                | Frontend::Bind(_)
                | Frontend::Execute { .. }
        );
        if needs_reading {
            self.reading.schemas_are(self.database.schemas());
            if self.reading.must_ask() && self.can_probe() {
                self.probe();
                return Ok(Handled::Later);
            }
        }
        let has_text = matches!(message, Frontend::Query { .. } | Frontend::Parse { .. });
        if has_text && !self.reading.tokens_are_known() && self.is_ready_due() {
            // Ahead of it the server tells.
            return Ok(Handled::Later);
        }
        let was_open = self.open_segment;
        self.open_segment |= is_extended(&message);
        let handled = self.understood(frame, message).await;
        if matches!(handled, Ok(Handled::Later)) {
            // Nothing of it was sent.
            self.open_segment = was_open;
        }
        handled
    }

    /// A message under a reading that is as well known as it can be now.
    async fn understood(
        &mut self,
        frame: Frame<'_>,
        message: Frontend<'_>,
    ) -> Result<Handled, End> {
        if let Some(refusal) = unsafe_name(&message) {
            return self.refuse(Expect::Parse, refusal);
        }
        if let Some(refusal) = self.refused_by_people() {
            return self.refuse(expected(&message), refusal);
        }
        match message {
            Frontend::Query { text } => self.query(frame, text).await,
            Frontend::Parse { statement, text, parameter_types } => {
                self.parse(frame, statement, text, parameter_types).await
            }
            Frontend::Bind(bind) => self.bind(frame, &bind).await,
            Frontend::Describe { target, name } => self.describe(frame, target, name),
            Frontend::Execute { portal, .. } => self.execute(frame, portal).await,
            Frontend::Close { target, name } => self.close(frame, target, name),
            Frontend::Sync => {
                self.segment += 1;
                self.end_implicit_transaction();
                self.outbox.pass(Harmless::Sync, frame);
                self.pipeline.push(Expect::Sync, Run::client());
                // Once it is answered others see what was made, and so does the proxy.
                self.stalled |= self.unseen_code;
                Ok(Handled::Done)
            }
            Frontend::Flush => {
                self.outbox.pass(Harmless::Flush, frame);
                Ok(Handled::Done)
            }
            Frontend::FunctionCall { function_oid } => {
                Box::pin(self.function_call(frame, function_oid)).await
            }
            // Outside COPY the server ignores these; a client may still be sending what a
            // failed COPY asked for.
            Frontend::CopyData => Ok(self.copy_message(frame, Harmless::CopyData)),
            Frontend::CopyDone => Ok(self.copy_message(frame, Harmless::CopyDone)),
            Frontend::CopyFail => Ok(self.copy_message(frame, Harmless::CopyFail)),
            // It may have asked something before it said goodbye.
            Frontend::Terminate if self.is_asked() => Ok(Handled::Later),
            Frontend::Terminate => Err(End::Client),
            Frontend::Password => {
                Err(portcullis_wire::Malformed::Unexpected { tag: frame.tag, state: "after login" }
                    .into())
            }
        }
    }

    fn copy_message(&mut self, frame: Frame<'_>, kind: Harmless) -> Handled {
        if kind != Harmless::CopyData {
            self.pipeline.push(Expect::CopyEnd, Run::client());
        }
        self.outbox.pass(kind, frame);
        Handled::Done
    }

    /// During COPY FROM STDIN only its data and its end are understood.
    fn copy_in(&mut self, frame: Frame<'_>, message: &Frontend<'_>) -> Result<Handled, End> {
        let kind = match message {
            Frontend::CopyData => Harmless::CopyData,
            Frontend::CopyDone => Harmless::CopyDone,
            Frontend::CopyFail => Harmless::CopyFail,
            Frontend::Flush => Harmless::Flush,
            Frontend::Sync => Harmless::Sync,
            Frontend::Terminate => return Err(End::Client),
            Frontend::Query { .. }
            | Frontend::Parse { .. }
            | Frontend::Bind(_)
            | Frontend::Describe { .. }
            | Frontend::Execute { .. }
            | Frontend::Close { .. }
            | Frontend::FunctionCall { .. }
            | Frontend::Password => {
                let state = "during COPY from stdin";
                return Err(portcullis_wire::Malformed::Unexpected { tag: frame.tag, state }.into());
            }
        };
        match kind {
            Harmless::CopyDone | Harmless::CopyFail => {
                // Behind the COPY the rest of a Query's text runs, which may change what the next
                // message means. Data in between has let the client be read again.
                self.stalled |=
                    self.pipeline.front().is_some_and(|entry| entry.expect == Expect::Query);
                self.pipeline.push(Expect::CopyEnd, Run::client());
            }
            // The server would ignore it.
            Harmless::Sync => return Ok(Handled::Done),
            Harmless::CopyData | Harmless::Flush | Harmless::Describe | Harmless::Close => {}
        }
        self.outbox.pass(kind, frame);
        Ok(Handled::Done)
    }

    /// The session may be asked something of the proxy's own: never inside a transaction.
    fn can_probe(&self) -> bool {
        self.status == TransactionStatus::Idle && self.is_at_rest()
    }

    fn probe(&mut self) {
        // A simple query destroys the unnamed statement, and the client has sent none.
        if let Some(unnamed) = self.names.statement(b"") {
            unnamed.stale.set(true);
        }
        self.outbox.probe();
        self.pipeline.push(Expect::Query, Run::new(Role::Probe(Vec::new())));
    }

    async fn query(&mut self, frame: Frame<'_>, text: &[u8]) -> Result<Handled, End> {
        let sent = Text::Sent(text);
        if self.names.statement(b"").is_none() && self.may_come_back() {
            // An unnamed statement that comes back would come back behind this, which destroys it.
            return Ok(Handled::Later);
        }
        let policies = self.shared.policies.current();
        let facts = match self.analyse(sent, &policies).await {
            Ok(facts) => facts,
            Err(refusal) => return self.refuse(Expect::Query, refusal),
        };
        if self.names_what_may_not_be(&facts) {
            return Ok(Handled::Later);
        }
        let mut resolved = Vec::new();
        let has_effect = |statement: &Statement| statement.effect != SessionEffect::None;
        if facts.leave_something && facts.statements.iter().any(has_effect) {
            for index in 0..facts.statements.len() {
                resolved.push(Box::pin(self.resolve(&facts, index, &policies)).await);
            }
        }
        let statements: PerStatement<&Statement> = facts
            .statements
            .iter()
            .enumerate()
            .map(|(index, own)| match resolved.get(index).and_then(Option::as_ref) {
                Some(resolved) => &resolved.statement,
                None => own,
            })
            .collect();
        let known = self.known(&facts, &resolved, &policies);
        let judged =
            self.judge((frame, sent), (&facts, &statements), (&policies, &known), &NoParameters);
        let asked = Asked {
            message: "query",
            statements: &statements,
            known: &known,
            policies: &policies,
            parameters: 0,
            content: &[b"query", text, &self.named_content(&statements)],
            text: Some(sent),
            carried: self.released_with(&statements),
            recorded: None,
        };
        let (permitted, events, release) = match self.settle(judged, &asked).await {
            Settled::Permitted { permitted, events, release } => (permitted, events, release),
            Settled::Refused(refusal) => return self.refuse(Expect::Query, refusal),
            Settled::Waiting => return Ok(Handled::Later),
        };
        self.remember(&facts);
        let mut run = Run::client();
        run.statements.reserve_exact(known.len());
        drop(statements);
        let mut resolved = resolved.into_iter();
        for (index, (known, event)) in known.into_iter().zip(events).enumerate() {
            let mut running =
                self.running((facts.clone(), index), known, event, &policies, permitted.limit_rows);
            if let Some(resolved) = resolved.next().flatten() {
                running.resolved = Some(Rc::new(resolved.statement));
                running.inner = resolved.inner;
            }
            self.count_on(&mut running);
            running.release = release.clone();
            running.withhold = self.withholds(&running, &facts, &policies).await;
            self.withholding |= running.withhold && may_fail_later(running.statement());
            self.note_effects(&facts, running.statement());
            run.statements.push(running);
        }
        run.undo = self.names.forget_unnamed_statement();
        // What is stopped at its limit must not be what was sent behind it.
        self.stalled |= permitted.limit_rows.is_some();
        self.outbox.forward(permitted);
        self.pipeline.push(Expect::Query, run);
        Ok(Handled::Done)
    }

    /// A call by the fast-path interface is judged as the function it names.
    async fn function_call(&mut self, frame: Frame<'_>, oid: u32) -> Result<Handled, End> {
        let policies = self.shared.policies.current();
        if self.may_hide_anything(&policies).await {
            let why = "the fast-path interface tells nothing of its result".to_owned();
            return self.refuse(Expect::FunctionCall, Refusal::Unmaskable { why });
        }
        let name = match self.database.function_name(oid).await {
            Ok(Some(name)) => name,
            Ok(None) => format!("\"function {oid}\""),
            Err(error) => {
                return self.refuse(Expect::FunctionCall, Refusal::Upstream(error.to_string()));
            }
        };
        let text = format!("select {name}()");
        let text = Text::Decoded(&text);
        let facts = match self.analyse(text, &policies).await {
            Ok(facts) => facts,
            Err(refusal) => return self.refuse(Expect::FunctionCall, refusal),
        };
        let statements: Vec<&Statement> = facts.statements.iter().collect();
        let known = self.known(&facts, &[], &policies);
        let judged =
            self.judge((frame, text), (&facts, &statements), (&policies, &known), &NoParameters);
        let asked = Asked {
            message: "function-call",
            statements: &statements,
            known: &known,
            policies: &policies,
            parameters: 0,
            content: &[b"function-call", frame.body],
            text: None,
            carried: None,
            recorded: None,
        };
        let (permitted, events) = match self.settle(judged, &asked).await {
            Settled::Permitted { permitted, events, .. } => (permitted, events),
            Settled::Refused(refusal) => return self.refuse(Expect::FunctionCall, refusal),
            Settled::Waiting => return Ok(Handled::Later),
        };
        self.remember(&facts);
        let mut run = Run::client();
        for (index, (known, event)) in known.into_iter().zip(events).enumerate() {
            let mut running = self.running((facts.clone(), index), known, event, &policies, None);
            running.withhold = self.withholds(&running, &facts, &policies).await;
            self.withholding |= running.withhold && may_fail_later(running.statement());
            self.note_effects(&facts, running.statement());
            run.statements.push(running);
        }
        self.outbox.forward(permitted);
        self.pipeline.push(Expect::FunctionCall, run);
        Ok(Handled::Done)
    }

    /// A FETCH goes on with what its cursor was released for.
    pub(super) fn released_with(&self, statements: &[&Statement]) -> Option<Release> {
        let [statement] = statements else { return None };
        let SessionEffect::Fetch { name } = &statement.effect else { return None };
        self.names.portal(name.as_bytes())?.release.borrow().clone()
    }

    /// Keeps what runs inside a transaction, for those who are asked to release what follows.
    pub(super) fn remember(&mut self, facts: &Rc<Facts>) {
        let ends = |statement: &Statement| statement.action() == Action::Transaction;
        // What a pipeline runs before its Sync is one transaction too.
        let is_alone = self.status == TransactionStatus::Idle && !self.open_segment;
        if is_alone && !(facts.leave_something && facts.statements.iter().any(ends)) {
            return;
        }
        if self.transaction.len() == TRANSACTION_STATEMENTS_MAX {
            self.transaction.pop_front();
        }
        self.transaction.push_back(facts.clone());
    }

    /// A Sync ends the transaction that a pipeline is, unless somebody has opened one in it.
    fn end_implicit_transaction(&mut self) {
        let opens =
            |facts: &Rc<Facts>| facts.statements.iter().any(|s| s.action() == Action::Transaction);
        if self.status == TransactionStatus::Idle && !self.transaction.iter().any(opens) {
            self.transaction.clear();
        }
    }

    /// What guardrails want the client to know.
    pub(super) fn notices(&mut self, answered: &Answered) {
        for answer in answered.answers.iter().flatten() {
            let enforced = answer.mode == portcullis_policy::Mode::Enforce;
            if let (true, Ok(verdict)) = (enforced, &answer.answer)
                && let Some(notice) = &verdict.notice
            {
                let report = encode::Report {
                    sqlstate: "00000",
                    message: notice.clone(),
                    ..encode::Report::default()
                };
                encode::notice(self.reply.tail(), &report);
            }
        }
    }

    /// Refuses a message so that both sides stay where PostgreSQL's own error would leave
    /// them. Where nothing is in the way the proxy answers itself; else the server's own
    /// state machine does it, given something that can only fail.
    pub(super) fn refuse(&mut self, expect: Expect, refusal: Refusal) -> Result<Handled, End> {
        // A grant is for the message in front, which ends here.
        self.hold = Hold::None;
        let is_simple = matches!(expect, Expect::Query | Expect::FunctionCall);
        let is_query = expect == Expect::Query;
        let forgotten = is_query.then(|| self.names.forget_unnamed_statement()).flatten();
        if is_simple && self.is_at_rest() && self.status != TransactionStatus::InTransaction {
            encode::error(self.reply.tail(), &refusal.report());
            encode::ready_for_query(self.reply.tail(), self.status);
            self.entry.line().is_ready(self.status != TransactionStatus::Idle);
            forgotten.into_iter().for_each(|forgotten| self.names.confirm(forgotten));
            return Ok(Handled::Done);
        }
        let tag = format!("{STAND_IN}{}", self.shared.event_id());
        let mut run = Run::new(Role::Refused { tag: tag.clone(), refusal: Box::new(refusal) });
        run.undo = forgotten;
        if is_simple {
            self.outbox.stand_in_query(&tag);
            self.pipeline.push(Expect::Query, run);
        } else {
            self.outbox.stand_in_execute(&tag);
            self.pipeline.push(Expect::Execute, run);
            self.pipeline.skip();
        }
        Ok(Handled::Done)
    }

    /// What a permitted statement of these facts may do to the session's names and settings while
    /// it runs.
    pub(super) fn note_effects(&mut self, facts: &Facts, statement: &Statement) {
        if !facts.leave_something {
            return;
        }
        if !statement.opaque.is_empty() {
            let unused = self.names.taint();
            unused.into_iter().for_each(|bound| self.record_unused(bound));
        }
        self.reading.sent(statement);
        let ends_transaction = statement.action() == Action::Transaction;
        // What ends a transaction may take back a SET, and shows others what was made.
        let tells = ends_transaction && (self.reading.must_ask() || self.unseen_code);
        self.unseen_code |= makes_unseen_code(statement);
        let waits = makes_unseen_code(statement)
            || tells
            || changes_reading(statement)
            || statement.effect != SessionEffect::None
            || statement.actions.iter().any(|action| matches!(action, Action::CopyIn));
        self.stalled |= waits;
    }
}

/// Of a transaction, this many messages are remembered, the latest.
const TRANSACTION_STATEMENTS_MAX: usize = 32;
