//! The extended protocol: Parse, Bind, Describe, Execute, Close.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portcullis_policy::event::{Ending, EventId};
use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{NoParameters, Outputs, Parameters, PolicySet, Ruling, Statement};
use portcullis_wire::backend::TransactionStatus;
use portcullis_wire::frontend::{Bind, Target};
use portcullis_wire::{Expect, Frame, Frontend};
use smallvec::smallvec;

use super::holding::{Asked, Settled};
use super::meaning::Resolved;
use super::request::Handled;
use super::{End, Session};
use crate::effects::{ends_failed, may_fail_later};
use crate::gate::{Harmless, Judged};
use crate::known::PerStatement;
use crate::names::{Bound, Held, Portal, Prepared, ResultField, Undone};
use crate::reading::Text;
use crate::refusal::Refusal;
use crate::run::{Ended, Role, Run};

impl Session {
    pub(super) async fn parse(
        &mut self,
        frame: Frame<'_>,
        name: &[u8],
        text: &[u8],
        parameter_types: &[u8],
    ) -> Result<Handled, End> {
        let held = match self.room(frame.body.len()) {
            Ok(held) => held,
            Err(refusal) => return self.refuse(Expect::Parse, refusal),
        };
        let policies = self.shared.policies.current();
        // Drivers prepare the same text again and again.
        let serves = |before: &&Rc<Prepared>| {
            *before.text == *text
                && !before.by_sql
                && self.reading.tokens_are_known()
                && before.facts.borrow().lasting
                && before.read_as.get().holds(self.reading.read_as(), text)
        };
        let again = self.names.statement(name).filter(serves).cloned();
        let facts = match &again {
            Some(before) => self.current_facts(before, &policies).await,
            None => self.analyse(Text::Sent(text), &policies).await,
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(refusal) => return self.refuse(Expect::Parse, refusal),
        };
        if self.names_what_may_not_be(&facts) {
            return Ok(Handled::Later);
        }
        let resolved = self.resolve_first(&facts, &policies).await;
        let statements = first(&facts, &resolved);
        let known = self.known(&facts, &resolved, &policies);
        let judged = self.judge(
            (frame, Text::Sent(text)),
            (&facts, &statements),
            (&policies, &known),
            &NoParameters,
        );
        let permitted = match judged.ruling {
            // Only a refusal is worth a record here: what is prepared has not been asked yet.
            Ruling::Permitted(permitted) => permitted,
            // It is held when it is bound: until then nothing of it runs.
            Ruling::Held(held) => held.prepare(),
            Ruling::Denied(denied) => {
                let judged = Judged { ruling: Ruling::Denied(denied), answered: judged.answered };
                let asked = Asked {
                    message: "parse",
                    statements: &statements,
                    known: &known,
                    policies: &policies,
                    parameters: 0,
                    content: &[],
                    text: None,
                    carried: None,
                    recorded: None,
                };
                match self.settle(judged, &asked).await {
                    Settled::Permitted { permitted, .. } => permitted,
                    Settled::Refused(refusal) => return self.refuse(Expect::Parse, refusal),
                    Settled::Waiting => return Ok(Handled::Later),
                }
            }
        };
        drop(statements);
        let prepared = Rc::new(Prepared {
            text: again.map_or_else(|| text.into(), |before| before.text.clone()),
            parameter_types: parameter_types.to_vec(),
            facts: RefCell::new(facts),
            reading: Cell::new(Some(self.reading.number())),
            described: RefCell::new(None),
            confirmed: Cell::new(false),
            undone: Undone::default(),
            stale: Cell::new(false),
            segment: self.segment,
            read_as: Cell::new(self.reading.read_as()),
            by_sql: false,
            _held: held,
        });
        let mut run = Run::client();
        run.undo = Some(self.names.set_statement(name, Some(prepared.clone())));
        run.prepared = Some(prepared);
        self.outbox.forward(permitted);
        self.pipeline.push(Expect::Parse, run);
        Ok(Handled::Done)
    }

    /// Room for one more name that stands for so many bytes.
    pub(super) fn room(&self, bytes: usize) -> Result<Held, Refusal> {
        let (names, most) = (self.shared.limits.names_max, self.shared.limits.names_bytes_max);
        if self.names.len() >= names {
            return Err(Refusal::TooLarge(format!("a session holds at most {names} names")));
        }
        self.names.hold(bytes, most).ok_or_else(|| {
            Refusal::TooLarge(format!(
                "a session's statements and portals hold at most {most} bytes"
            ))
        })
    }

    pub(super) async fn bind(&mut self, frame: Frame<'_>, bind: &Bind<'_>) -> Result<Handled, End> {
        let held = match self.room(frame.body.len()) {
            Ok(held) => held,
            Err(refusal) => return self.refuse(Expect::Bind, refusal),
        };
        let Some(prepared) = self.names.statement(bind.statement).cloned() else {
            return self.refuse_unknown(Expect::Bind, unknown_statement(bind.statement));
        };
        if !prepared.confirmed.get() && prepared.segment != self.segment {
            return Ok(Handled::Later);
        }
        if prepared.stale.get() && !self.pipeline.is_idle() {
            // Whether the transaction has failed is known when that is answered.
            return Ok(Handled::Later);
        }
        let policies = self.shared.policies.current();
        let facts = match self.current_facts(&prepared, &policies).await {
            Ok(facts) => facts,
            Err(refusal) => return self.refuse(Expect::Bind, refusal),
        };
        if self.has_failed() && prepared.stale.get() && !facts.statements.iter().all(ends_failed) {
            // The server would refuse it, but could not prepare it anew.
            return self.refuse(Expect::Bind, Refusal::TransactionFailed);
        }
        if self.names_what_may_not_be(&facts) {
            return Ok(Handled::Later);
        }
        let resolved = self.resolve_first(&facts, &policies).await;
        let statements = first(&facts, &resolved);
        let known = self.known(&facts, &resolved, &policies);
        let parameters = BoundParameters { bind, types: &prepared.parameter_types };
        let judged = self.judge(
            (frame, prepared.text()),
            (&facts, &statements),
            (&policies, &known),
            &parameters,
        );
        let revision = policies.revision();
        let parameters = parameters.count();
        let asked = Asked {
            message: "bind",
            statements: &statements,
            known: &known,
            policies: &policies,
            parameters,
            content: &[
                b"bind",
                &prepared.text,
                &prepared.parameter_types,
                frame.body,
                &self.named_content(&statements),
            ],
            text: (parameters == 0).then(|| prepared.text()),
            carried: self.released_with(&statements),
            recorded: None,
        };
        let (permitted, events, release) = match self.settle(judged, &asked).await {
            Settled::Permitted { permitted, events, release } => (permitted, events, release),
            Settled::Refused(refusal) => return self.refuse(Expect::Bind, refusal),
            Settled::Waiting => return Ok(Handled::Later),
        };
        self.end_several(&events, revision);
        self.prepare_anew(&prepared, bind.statement);
        let mut run = Run::client();
        let ended = Rc::new(Cell::new(false));
        if let (Some(&event), Some(known)) = (events.first(), known.first()) {
            let of = (facts.clone(), 0);
            let mut running =
                self.running(of, known.clone(), event, &policies, permitted.limit_rows);
            running.withhold = self.withholds(&running, &facts, &policies).await;
            running.ended = Ended::WithBind(ended.clone());
            // Room for one, where `push` would make room for four.
            run.statements = vec![running];
        }
        if let Some(statement) = statements.first()
            && !statement.opaque.is_empty()
        {
            // Binding plans, and planning may run a function.
            self.note_effects(&facts, statement);
        }
        let portal = Rc::new(Portal {
            prepared,
            opened: facts.clone(),
            bind: frame.body.to_vec(),
            bound: RefCell::new(events.first().map(|&event| Bound { event, revision, ended })),
            fields: RefCell::new(None),
            described: Cell::new(false),
            confirmed: Cell::new(false),
            undone: Undone::default(),
            segment: self.segment,
            release: RefCell::new(release),
            given: Rc::default(),
            holds: false,
            stands_on: facts.statements.first().and_then(|first| self.named(first)),
            // It ends with the transaction, and so does what nobody has seen.
            unseen: false,
            _held: held,
        });
        let replaced = self.names.portal(bind.portal).and_then(|portal| portal.bound.take());
        replaced.into_iter().for_each(|bound| self.record_unused(bound));
        run.undo = Some(self.names.set_portal(bind.portal, Some(portal.clone())));
        run.portal = Some(portal);
        self.outbox.forward(permitted);
        if self.stalled {
            self.outbox.flush();
        }
        self.pipeline.push(Expect::Bind, run);
        Ok(Handled::Done)
    }

    /// The transaction has failed, and nothing that has been answered has left it.
    fn has_failed(&self) -> bool {
        self.status == TransactionStatus::Failed && !self.status_is_old
    }

    /// Something ran that may have redefined the name: it is made to stand for the judged
    /// text again before it is used.
    fn prepare_anew(&mut self, prepared: &Rc<Prepared>, name: &[u8]) {
        if !prepared.stale.replace(false) {
            return;
        }
        prepared.read_as.set(self.reading.read_as());
        self.outbox.prepare_anew(name, &prepared.text, &prepared.parameter_types);
        for expect in [Expect::Close, Expect::Parse] {
            let mut run = Run::new(Role::Swallowed);
            run.prepared = Some(prepared.clone());
            self.pipeline.push(expect, run);
        }
    }

    /// What a name stood for before a pipeline took it away it may stand for again: where the
    /// pipeline fails ahead of that, the server discards the rest.
    pub(super) fn may_come_back(&self) -> bool {
        self.pipeline.iter().any(|entry| entry.expect == Expect::Sync)
    }

    /// Refuses what uses a name that stands for nothing, once that is certain.
    fn refuse_unknown(&mut self, expect: Expect, refusal: Refusal) -> Result<Handled, End> {
        if self.may_come_back() { Ok(Handled::Later) } else { self.refuse(expect, refusal) }
    }

    pub(super) fn describe(
        &mut self,
        frame: Frame<'_>,
        target: Target,
        name: &[u8],
    ) -> Result<Handled, End> {
        let mut run = Run::client();
        let expect = match target {
            Target::Statement => {
                let Some(prepared) = self.names.statement(name).cloned() else {
                    return self.refuse_unknown(Expect::DescribeStatement, unknown_statement(name));
                };
                if !prepared.confirmed.get() && prepared.segment != self.segment {
                    return Ok(Handled::Later);
                }
                if prepared.stale.get() && !self.pipeline.is_idle() {
                    // Whether the transaction has failed is known when that is answered.
                    return Ok(Handled::Later);
                }
                // In a failed one little can be prepared, and more be described: what that says is
                // passed on, and not counted on.
                if !prepared.stale.get() || !self.has_failed() {
                    if prepared.stale.get() {
                        // Nobody has asked what it means as it is read now.
                        prepared.reading.set(None);
                    }
                    self.prepare_anew(&prepared, name);
                    run.prepared = Some(prepared);
                }
                Expect::DescribeStatement
            }
            Target::Portal => {
                let Some(portal) = self.names.portal(name).cloned() else {
                    return self.refuse_unknown(Expect::DescribePortal, unknown_portal(name));
                };
                if !portal.confirmed.get() && portal.segment != self.segment {
                    return Ok(Handled::Later);
                }
                if self.stands_on_another(&portal, &portal.opened) {
                    return self.refuse(Expect::DescribePortal, stands_on_another());
                }
                portal.described.set(true);
                run.portal = Some(portal);
                Expect::DescribePortal
            }
        };
        self.outbox.pass(Harmless::Describe, frame);
        self.pipeline.push(expect, run);
        Ok(Handled::Done)
    }

    pub(super) async fn execute(&mut self, frame: Frame<'_>, name: &[u8]) -> Result<Handled, End> {
        let Some(portal) = self.names.portal(name).cloned() else {
            return self.refuse_unknown(Expect::Execute, unknown_portal(name));
        };
        if !portal.confirmed.get() && portal.segment != self.segment {
            return Ok(Handled::Later);
        }
        let policies = self.shared.policies.current();
        let facts = match self.current_facts(&portal.prepared, &policies).await {
            Ok(facts) => facts,
            Err(refusal) => return self.refuse(Expect::Execute, refusal),
        };
        if self.names_what_may_not_be(&facts) {
            return Ok(Handled::Later);
        }
        if self.stands_on_another(&portal, &facts) {
            return self.refuse(Expect::Execute, stands_on_another());
        }
        let resolved = self.resolve_first(&facts, &policies).await;
        let statements = first(&facts, &resolved);
        let known = self.known(&facts, &resolved, &policies);
        let judged = {
            let is_read = policies.reads().parameters;
            let bind = is_read.then(|| Frontend::read(bind_frame(&portal.bind)));
            let bound = match &bind {
                Some(Ok(Frontend::Bind(bind))) => {
                    Some(BoundParameters { bind, types: &portal.prepared.parameter_types })
                }
                // A cursor has no parameters.
                Some(Ok(_) | Err(_)) | None => None,
            };
            let parameters: &dyn Parameters = match &bound {
                Some(bound) => bound,
                None => &NoParameters,
            };
            self.judge(
                (frame, portal.prepared.text()),
                (&facts, &statements),
                (&policies, &known),
                parameters,
            )
        };
        let revision = policies.revision();
        let carried = portal.release.borrow().clone();
        let bound = match portal.bound.take() {
            Some(bound) if bound.revision == revision => Some(bound),
            Some(bound) => {
                // The rules have changed since: what was bound under the old ones ends here.
                self.record_unused(bound);
                None
            }
            None => None,
        };
        let asked = Asked {
            message: "execute",
            statements: &statements,
            known: &known,
            policies: &policies,
            parameters: 0,
            content: &[
                b"execute",
                &portal.prepared.text,
                &portal.bind,
                &self.named_content(&statements),
            ],
            text: None,
            carried,
            // Its Bind was recorded a moment ago, under the same rules: this is what it was for.
            recorded: bound.as_ref().map(|bound| bound.event),
        };
        let (permitted, events, release) = match self.settle(judged, &asked).await {
            Settled::Permitted { permitted, events, release } => (permitted, events, release),
            Settled::Refused(refusal) => {
                bound.into_iter().for_each(|bound| self.record_unused(bound));
                return self.refuse(Expect::Execute, refusal);
            }
            Settled::Waiting => {
                bound.into_iter().for_each(|bound| self.record_unused(bound));
                return Ok(Handled::Later);
            }
        };
        drop(statements);
        self.end_several(&events, revision);
        portal.release.replace(release.clone());
        self.remember(&facts);
        let mut run = Run::client();
        if let (Some(&event), Some(known)) = (events.first(), known.first()) {
            let of = (facts.clone(), 0);
            let mut running =
                self.running(of, known.clone(), event, &policies, permitted.limit_rows);
            if let Some(bound) = bound {
                running.ended = Ended::WithBind(bound.ended);
            }
            running.release = release;
            running.given = Some(portal.given.clone());
            running.unseen_code |= !portal.is_as(&facts);
            if let Some(resolved) = resolved.into_iter().next().flatten() {
                running.resolved = Some(Rc::new(resolved.statement));
                running.inner = resolved.inner;
            }
            self.count_on(&mut running);
            running.withhold = self.withholds(&running, &facts, &policies).await;
            self.withholding |= running.withhold && may_fail_later(running.statement());
            self.describe_for_masks(&portal, name, running.statement());
            self.note_effects(&facts, running.statement());
            if facts.leave_something {
                // Its own function cannot have closed it while it ran.
                self.names.set_portal(name, Some(portal.clone()));
            }
            run.statements = vec![running];
        }
        run.portal = Some(portal);
        // What is stopped at its limit must not be what was sent behind it.
        self.stalled |= permitted.limit_rows.is_some();
        self.outbox.forward(permitted);
        if self.stalled {
            // The server must say how it ended before the client's next message is read.
            self.outbox.flush();
        }
        self.pipeline.push(Expect::Execute, run);
        Ok(Handled::Done)
    }

    /// The server prepares no text of several statements: those behind the first never run.
    fn end_several(&self, events: &[EventId], revision: u64) {
        for event in events.iter().skip(1) {
            self.record_unrun_event(*event, Ending::Skipped, revision);
        }
    }

    /// Rows of the extended protocol come without a description; where nobody has asked for
    /// one, the proxy does, ahead of the rows.
    fn describe_for_masks(&mut self, portal: &Rc<Portal>, name: &[u8], statement: &Statement) {
        // A FETCH returns what its cursor does, which may be another by now.
        let varies =
            matches!(statement.effect, SessionEffect::Fetch { .. } | SessionEffect::Execute { .. });
        if varies {
            portal.fields.replace(None);
        } else if portal.described.get() || portal.fields.borrow().is_some() {
            return;
        }
        let known = portal
            .prepared
            .described
            .borrow()
            .clone()
            .filter(|_| !varies && !portal.bind.is_empty())
            // Under a path that is not known one text has been planned as several statements.
            .filter(|_| !self.reading.must_ask())
            // The server may plan it anew inside a transaction, with other columns.
            .filter(|_| !self.unseen_code && portal.opened.current);
        if let (Some(known), Ok(Frontend::Bind(bind))) =
            (known, Frontend::read(bind_frame(&portal.bind)))
        {
            let is_binary = |index| bind.result_formats.is_binary(index);
            let mut fields = known.fields.iter().enumerate();
            let fields = if fields.all(|(index, field)| field.binary == is_binary(index)) {
                known.fields.clone()
            } else {
                let with_format = |(index, field): (usize, &ResultField)| ResultField {
                    binary: is_binary(index),
                    ..field.clone()
                };
                known.fields.iter().enumerate().map(with_format).collect()
            };
            portal.fields.replace(Some(fields));
            return;
        }
        if matches!(statement.outputs, Outputs::Nothing) && statement.opaque.is_empty() {
            return;
        }
        portal.described.set(true);
        self.outbox.describe_portal(name);
        let mut run = Run::new(Role::Swallowed);
        run.portal = Some(portal.clone());
        self.pipeline.push(Expect::DescribePortal, run);
    }

    pub(super) fn close(
        &mut self,
        frame: Frame<'_>,
        target: Target,
        name: &[u8],
    ) -> Result<Handled, End> {
        let mut run = Run::client();
        run.undo = Some(match target {
            Target::Statement => self.names.set_statement(name, None),
            Target::Portal => {
                let unused = self.names.portal(name).and_then(|portal| portal.bound.take());
                unused.into_iter().for_each(|bound| self.record_unused(bound));
                self.names.set_portal(name, None)
            }
        });
        self.outbox.pass(Harmless::Close, frame);
        self.pipeline.push(Expect::Close, run);
        Ok(Handled::Done)
    }

    async fn resolve_first(
        &mut self,
        facts: &Rc<crate::facts::Facts>,
        policies: &Rc<dyn PolicySet>,
    ) -> Vec<Option<Resolved>> {
        match facts.statements.first() {
            Some(first) if first.effect != SessionEffect::None => {
                vec![Box::pin(self.resolve(facts, 0, policies)).await]
            }
            Some(_) | None => Vec::new(),
        }
    }
}

/// The one statement of a prepared text, with its names filled in.
fn first<'a>(
    facts: &'a crate::facts::Facts,
    resolved: &'a [Option<Resolved>],
) -> PerStatement<&'a Statement> {
    match resolved {
        [Some(resolved)] => smallvec![&resolved.statement],
        _ => facts.statements.iter().collect(),
    }
}

fn bind_frame(body: &[u8]) -> Frame<'_> {
    Frame { tag: b'B', body, bytes: body }
}

fn unknown_statement(name: &[u8]) -> Refusal {
    let what = format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name));
    Refusal::UnknownName { sqlstate: "26000", what }
}

fn stands_on_another() -> Refusal {
    Refusal::UnknownName {
        sqlstate: "55000",
        what: "what this portal names has changed since it was bound: bind it again".into(),
    }
}

fn unknown_portal(name: &[u8]) -> Refusal {
    let what = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
    Refusal::UnknownName { sqlstate: "34000", what }
}

/// The values of a Bind, for plugins that may see them.
struct BoundParameters<'a> {
    bind: &'a Bind<'a>,
    /// Type OIDs as Parse gave them; 0 or none where the server was to find out.
    types: &'a [u8],
}

impl Parameters for BoundParameters<'_> {
    fn count(&self) -> u32 {
        u32::try_from(self.bind.parameter_count).unwrap_or(u32::MAX)
    }

    fn text(&self, index: u32) -> Option<String> {
        let index = usize::try_from(index).ok()?;
        let value = self.bind.parameters().nth(index)??;
        if !self.bind.parameter_formats.is_binary(index) {
            return String::from_utf8(value.to_vec()).ok();
        }
        let oid = self.types.get(index * 4..index * 4 + 4)?;
        portcullis_masking::binary_to_text(u32::from_be_bytes(oid.try_into().ok()?), value)
    }
}
