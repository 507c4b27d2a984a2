//! How statements end: completion, errors, and what of an error may be told.

use portcullis_policy::event::Ending;
use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{Access, ColumnRef, Outputs, PolicySet};
use portcullis_sql::{Column, Relation};
use portcullis_wire::backend;
use portcullis_wire::{Frame, encode};

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::response::Flow;
use super::{End, Session};
use crate::effects::{computes_anew, ends_failed, may_change_catalog};
use crate::facts::Facts;
use crate::masks::{Unanswered, any};
use crate::names::{Held, Portal, Prepared, Undone};
use crate::run::{Masks, Role, Run, Running};

/// Error classes whose messages name things and do not quote values: syntax and access
/// rules, transaction state, serialisation, operator intervention, resources.
const CLASSES_WITHOUT_VALUES: [&[u8]; 7] = [b"42", b"25", b"40", b"57", b"53", b"08", b"26"];

/// It names what there is.
const PERMISSION_DENIED: &[u8] = b"42501";

/// A masker that has served a larger result has larger buffers, and is not kept.
const SPARED_BYTES_MAX: u64 = 16 * 1024;

/// Fields of an error that say where and which, never what: severity, code, schema, table,
/// column, data type, constraint.
const FIELDS_WITHOUT_VALUES: [u8; 8] = *b"SVCstcdn";

impl Session {
    /// CommandComplete of one statement of a Query.
    pub(super) fn complete(&mut self, frame: Frame<'_>) -> Flow {
        // So that the session can be changed by what the statement did.
        let Some(mut entry) = self.pipeline.lift() else { return Flow::Keep };
        let over = entry.payload.over();
        self.complete_run(frame, &mut entry.payload);
        self.pipeline.put_back(entry);
        // It was complete before it could be stopped.
        let Some(over) = over else { return Flow::Forward };
        encode::error(self.reply.tail(), &over.report());
        self.silent_until_ready = true;
        Flow::Keep
    }

    /// A statement has completed.
    pub(super) fn complete_run(&mut self, frame: Frame<'_>, run: &mut Run) {
        let tag = String::from_utf8_lossy(backend::command_tag(frame.body).unwrap_or_default())
            .into_owned();
        if run.masks_are_open() && !run.over_limit && !self.silent_until_ready {
            run.tally.rows =
                run.tally.rows.max(backend::tag_rows(tag.as_bytes()).unwrap_or_default());
        }
        self.apply_effect(run);
        if frame.tag == b'C' {
            self.end_current(run, Ending::Completed { tag });
        }
    }

    /// Records the end of the statement whose result is arriving, and turns to the next.
    pub(super) fn end_current(&mut self, run: &mut Run, ending: Ending) {
        let tally = std::mem::take(&mut run.tally);
        let masks = std::mem::take(&mut run.masks);
        let plan = run.plan.take();
        run.observed = None;
        if let Some(running) = run.running() {
            let is_small = tally.bytes <= SPARED_BYTES_MAX;
            self.record_outcome(running, ending, tally);
            // It holds nothing, and serves the next result.
            if let (Masks::Rows(masker), Some(plan), true) = (masks, plan, is_small) {
                plan.spare.set(Some(masker));
            }
        }
        run.current += 1;
        run.over_limit = false;
    }

    /// What a completed statement did to the session's names, and to the catalog.
    fn apply_effect(&mut self, run: &Run) {
        let Some(running) = run.running().filter(|running| running.facts.leave_something) else {
            return;
        };
        let statement = running.statement();
        self.status_is_old |= ends_failed(statement);
        if may_change_catalog(statement) {
            self.database.mark_stale();
            self.unexplained.clear();
        }
        match &statement.effect {
            SessionEffect::None | SessionEffect::Execute { .. } | SessionEffect::Fetch { .. } => {}
            SessionEffect::Prepare { name, body } => {
                let prepared = self.defined(run, running, body);
                self.names.define_statement(name.as_bytes(), prepared);
            }
            SessionEffect::Deallocate { name: Some(name) } => {
                self.names.define_statement(name.as_bytes(), None);
            }
            SessionEffect::Deallocate { name: None } => self.names.forget_statements(),
            SessionEffect::Declare { name, body, holds } => {
                let portal = self.defined(run, running, body).map(|prepared| {
                    let opened = prepared.facts.borrow().clone();
                    Rc::new(Portal {
                        prepared,
                        opened,
                        bind: Vec::new(),
                        bound: RefCell::new(None),
                        fields: RefCell::new(None),
                        described: Cell::new(false),
                        confirmed: Cell::new(true),
                        undone: Undone::default(),
                        segment: self.segment,
                        release: RefCell::new(running.release.clone()),
                        given: Rc::default(),
                        holds: *holds,
                        unseen: !running.is_seen()
                            || !self.database.is_settled(&running.facts.view),
                        stands_on: None,
                        _held: Held::default(),
                    })
                });
                self.names.define_portal(name.as_bytes(), portal);
            }
            SessionEffect::CloseCursor { name: Some(name) } => {
                self.names.define_portal(name.as_bytes(), None);
            }
            SessionEffect::CloseCursor { name: None } => self.names.forget_cursors(),
            SessionEffect::DiscardAll => {
                self.names.forget_statements();
                self.names.forget_cursors();
            }
        }
    }

    /// What PREPARE or DECLARE defined; none where its text could not be analysed, and where what
    /// runs behind it in the same message may define the name anew, unseen: then it stays unknown.
    fn defined(&self, run: &Run, running: &Running, body: &str) -> Option<Rc<Prepared>> {
        let behind = run.statements.get(run.current + 1..).unwrap_or_default();
        if behind.iter().any(|later| !later.statement().opaque.is_empty()) {
            return None;
        }
        let (facts, reading) = running.inner.clone()?;
        let held = self.room(body.len()).ok()?;
        Some(Rc::new(Prepared {
            text: body.as_bytes().into(),
            parameter_types: Vec::new(),
            facts: RefCell::new(facts),
            // What ran beside it in one text may have changed how it is read.
            reading: Cell::new(Some(reading)),
            described: RefCell::new(None),
            confirmed: Cell::new(true),
            undone: Undone::default(),
            stale: Cell::new(false),
            segment: self.segment,
            read_as: Cell::new(self.reading.read_as()),
            by_sql: true,
            _held: held,
        }))
    }

    /// An error that ends a Query, a Sync or a FunctionCall.
    pub(super) fn error(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let Some(mut entry) = self.pipeline.lift() else { return Ok(Flow::Forward) };
        let run = &mut entry.payload;
        let flow = self.client_error(frame, run);
        if flow.is_ok() {
            // It is recorded; nothing of this message will run any more.
            run.current = run.statements.len();
            run.masks = Masks::Undecided;
        }
        self.pipeline.put_back(entry);
        flow
    }

    /// Records a client's failed statement and tells the client what it may know.
    pub(super) fn client_error(&mut self, frame: Frame<'_>, run: &Run) -> Result<Flow, End> {
        let fields = backend::notice_fields(frame.body)?;
        let sqlstate =
            String::from_utf8_lossy(backend::field(&fields, b'C').unwrap_or_default()).into_owned();
        if let Some(running) = run.running() {
            let tally = crate::run::Tally {
                rows: run.tally.rows,
                bytes: run.tally.bytes,
                cells_masked: run.tally.cells_masked,
                labels_masked: run.tally.labels_masked.clone(),
                cells_observed: run.tally.cells_observed,
            };
            self.record_outcome(running, Ending::Failed { sqlstate }, tally);
        }
        self.record_unrun(run, &Ending::Skipped);
        if self.silent_until_ready {
            return Ok(Flow::Keep);
        }
        if let Some(over) = run.over() {
            encode::error(self.reply.tail(), &over.report());
            return Ok(Flow::Keep);
        }
        let withhold = self.withholding || run.running().is_some_and(|running| running.withhold);
        Ok(self.told(b'E', &fields, withhold))
    }

    /// A notice says what a statement's author lets it say; one that touches what is hidden
    /// says nothing.
    pub(super) fn notice(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let fields = backend::notice_fields(frame.body)?;
        let Some(entry) = self.pipeline.front_mut() else { return Ok(Flow::Forward) };
        let is_hidden = matches!(entry.payload.role, Role::Probe(_) | Role::Swallowed);
        if is_hidden || self.silent_until_ready {
            return Ok(Flow::Keep);
        }
        let withhold =
            self.withholding || entry.payload.running().is_some_and(|running| running.withhold);
        Ok(self.told(b'N', &fields, withhold))
    }

    /// An error or a notice as the client may have it: where values are hidden from it, without
    /// what could quote one.
    pub(super) fn told(&mut self, tag: u8, fields: &[(u8, &[u8])], withhold: bool) -> Flow {
        if !withhold || !can_quote(fields) {
            return Flow::Forward;
        }
        report_withheld(self.reply.tail(), tag, fields);
        Flow::Keep
    }

    /// True when the principal would see any column of the database masked, or when that
    /// cannot be told, as some have never been looked at.
    pub(super) async fn may_hide_anything(&mut self, policies: &Rc<dyn PolicySet>) -> bool {
        if !self.planner(&self.database.view(), &**policies).may_mask() {
            return false;
        }
        if self.database.is_stale() && self.database.refresh().await.is_err() {
            return true;
        }
        self.forget_hidden((policies.revision(), self.database.view().version));
        if let Some(hides) = self.hides_anything {
            return hides;
        }
        if !self.look_at_everything(&**policies).await {
            return true;
        }
        let view = self.database.view();
        self.forget_hidden((policies.revision(), view.version));
        match self.planner(&view, &**policies).hides_anything() {
            Ok(hides) => *self.hides_anything.insert(hides),
            Err(Unanswered) => true,
        }
    }

    /// True when errors of this statement could quote a value that is hidden from the
    /// principal.
    pub(super) async fn withholds(
        &mut self,
        running: &Running,
        facts: &Facts,
        policies: &Rc<dyn PolicySet>,
    ) -> bool {
        let statement = running.statement();
        let labels = &facts.view.labels;
        let written =
            statement.relations.iter().filter(|relation| relation.access == Access::Write);
        let triggers = written
            .filter_map(|relation| relation.oid)
            .any(|oid| facts.view.triggered.contains(&oid));
        if triggers
            || running.unseen_code
            || self.unseen_code
            || !facts.current
            || matches!(statement.outputs, Outputs::Anything)
            || !statement.opaque.is_empty()
        {
            // Who knows what it touches: a trigger too can read anything, and say it.
            return Box::pin(self.may_hide_anything(policies)).await;
        }
        if let Some(withholds) = running.known.withholds.get() {
            return withholds;
        }
        if computes_anew(statement) || statement.columns.iter().any(ColumnRef::is_of_nobody_known) {
            return Box::pin(self.may_hide_anything(policies)).await;
        }
        let mut oids = statement.relations.iter().filter_map(|relation| relation.oid);
        let is_view = |oid: u32| {
            let known = facts.view.catalog.relation(oid);
            known.is_some_and(|known| known.definition.is_some())
        };
        if oids.any(is_view) {
            // What its query does with columns that nobody selects can fail as well.
            return Box::pin(self.may_hide_anything(policies)).await;
        }
        let mut columns: Vec<ColumnRef> = Vec::new();
        let labelled = |known: &Relation| {
            let is_labelled =
                |column: &&Column| !labels.of((known.oid, column.attribute)).is_empty();
            let found = known.columns.iter().filter(is_labelled);
            found.map(|column| known.reference(column)).collect::<Vec<_>>()
        };
        let catalog = &facts.view.catalog;
        for relation in &statement.relations {
            let Some(oid) = relation.oid else { continue };
            if relation.access == Access::Write {
                // A row that a constraint refuses is quoted whole.
                columns.extend(catalog.heirs(oid).flat_map(labelled));
            } else if !relation.labels.is_empty() {
                columns.extend(catalog.relation(oid).into_iter().flat_map(labelled));
            }
        }
        columns.extend(statement.columns.iter().cloned());
        columns.extend(crate::facts::sources(&statement.outputs).cloned());
        columns.retain(|column| column.is_of_postgresql() || !labels.of_column(column).is_empty());
        let withholds = any(columns.iter().map(|column| self.hides(column, facts, policies)));
        running.known.withholds.set(withholds.as_ref().ok().copied());
        withholds.unwrap_or(true)
    }

    /// Looked up once per column, revision and view.
    fn hides(
        &mut self,
        column: &ColumnRef,
        facts: &Facts,
        policies: &Rc<dyn PolicySet>,
    ) -> Result<bool, Unanswered> {
        self.forget_hidden((policies.revision(), facts.view.version));
        let Some(origin) = column.origin else {
            return self.planner(&facts.view, &**policies).hides(column);
        };
        if let Some(hidden) = self.hidden.get(&origin) {
            return Ok(*hidden);
        }
        let hidden = self.planner(&facts.view, &**policies).hides(column)?;
        self.hidden.insert(origin, hidden);
        Ok(hidden)
    }

    /// What was looked up holds under one revision and one view only.
    fn forget_hidden(&mut self, under: (u64, u64)) {
        if self.hidden_under != under {
            self.hidden.clear();
            self.hides_anything = None;
            self.hidden_under = under;
        }
    }
}

impl Run {
    /// The rows were not counted one by one.
    fn masks_are_open(&self) -> bool {
        matches!(self.masks, Masks::Undecided | Masks::Pass)
    }
}

/// Could this error or notice of a statement quote a value?
fn can_quote(fields: &[(u8, &[u8])]) -> bool {
    let code = backend::field(fields, b'C').unwrap_or_default();
    // A name that has no place in the text is a value that was taken for one as the statement ran,
    // by a cast to regclass for instance.
    let has_no_place = backend::field(fields, b'P').is_none();
    let names_value = code.starts_with(b"42") && code != PERMISSION_DENIED && has_no_place;
    names_value || can_quote_by_class(fields)
}

/// The same where no statement has run. Its context, where it has one, can.
pub fn can_quote_by_class(fields: &[(u8, &[u8])]) -> bool {
    let class = backend::field(fields, b'C').and_then(|code| code.get(..2)).unwrap_or_default();
    backend::field(fields, b'W').is_some() || !CLASSES_WITHOUT_VALUES.contains(&class)
}

fn report_withheld(out: &mut Vec<u8>, tag: u8, fields: &[(u8, &[u8])]) {
    let mut body = Vec::new();
    let mut put = |code: u8, value: &[u8]| {
        body.push(code);
        body.extend_from_slice(value);
        body.push(0);
    };
    for (code, value) in fields.iter().filter(|(code, _)| FIELDS_WITHOUT_VALUES.contains(code)) {
        put(*code, value);
    }
    put(b'M', b"the text is withheld: it could quote a value that is masked for you");
    body.push(0);
    encode::frame(out, tag, &body);
}
