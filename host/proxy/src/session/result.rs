//! Results on their way back: rows, COPY data, notifications, and what masks them.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use portcullis_masking::{
    CopyFormat, CopyMasker, CsvOptions, Flushed, MaskColumn, RowMasker, TextOptions,
};
use portcullis_policy::event::{Event, Notable};
use portcullis_policy::statement::{CopyForm, SessionEffect};
use portcullis_policy::{Fault, Outputs, PolicyName, PolicySet, Statement};
use portcullis_wire::backend;
use portcullis_wire::frame::{HEADER_BYTES, stretch};
use portcullis_wire::{Expect, Frame, encode};

use super::response::Flow;
use super::{End, Session};
use crate::asking::is_locked_out;
use crate::known::KnownPlan;
use crate::masks::{MaskPlan, Planner};
use crate::names::{Described, ResultField};
use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::run::{Masks, Role, Run, Running};
use crate::upstream;

/// Relations below this OID are PostgreSQL's own.
const FIRST_USER_OID: u32 = 16_384;

/// Relations that are looked at for the sake of one result; the others wait for the next.
const LOOKED_AT_MAX: usize = 500;

impl Session {
    /// The hot path: rows or COPY data of a result of which it is decided what becomes of it,
    /// as many as `bytes` begins with. Says how many bytes they are. What it puts in their
    /// place stands behind `ahead`, which is forwarded.
    pub(super) fn rows(&mut self, ahead: &[u8], bytes: &[u8]) -> Option<(Flow, usize)> {
        let (flow, length) = self.decided_rows(ahead, bytes)?;
        self.observe(bytes.get(..length).unwrap_or_default());
        Some((flow, length))
    }

    fn decided_rows(&mut self, ahead: &[u8], bytes: &[u8]) -> Option<(Flow, usize)> {
        let tag = *bytes.first().filter(|tag| matches!(**tag, b'D' | b'd'))?;
        let entry = self.pipeline.front_mut().filter(|_| !self.silent_until_ready)?;
        let run = &mut entry.payload;
        let is_result = matches!(entry.expect, Expect::Query | Expect::Execute)
            && matches!(run.role, Role::Client)
            && !run.over_limit;
        let running = run.statements.get(run.current).filter(|_| is_result)?;
        let frames_max = if tag == b'D' { running.rows_left() } else { u64::MAX };
        let found = stretch(bytes, tag, frames_max, self.shared.limits.frame_bytes_max);
        if found.frames == 0 {
            return None;
        }
        let found_bytes = bytes.get(..found.bytes).unwrap_or_default();
        match (tag, &mut run.masks) {
            (b'D', Masks::Pass) => {
                run.took(found.frames, found.bytes);
                Some((Flow::Forward, found.bytes))
            }
            (b'D', Masks::Rows(masker)) => {
                let policies = running.policies.clone();
                let out = self.reply.tail();
                // A row that cannot be read falls through to the slow path, which ends it.
                let masked = masker.mask(ahead, found_bytes, &*policies, out).ok()?;
                run.took(masked.flushed.rows, masked.bytes);
                self.count_masked(masked.flushed);
                let flow = if masked.changed { Flow::Keep } else { Flow::Forward };
                Some((flow, masked.bytes))
            }
            (b'd', Masks::Pass) => {
                run.took(0, found.bytes);
                Some((Flow::Forward, found.bytes))
            }
            _ => None,
        }
    }

    /// A row that the quick way could not take: the first of a portal, one too many, or one
    /// that cannot be read.
    pub(super) async fn first_row(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let Some(entry) = self.pipeline.front_mut() else { return Ok(Flow::Keep) };
        let run = &mut entry.payload;
        if run.over_limit {
            return Ok(Flow::Keep);
        }
        let Some(running) = run.statements.get(run.current) else {
            return Err(self.malformed("rows of a statement that was not asked"));
        };
        if running.is_at_limit() {
            run.over_limit = true;
            self.stop_upstream();
            return Ok(Flow::Keep);
        }
        if matches!(run.masks, Masks::Undecided) {
            let portal = run.portal.as_ref();
            let was_described = portal.is_some_and(|portal| portal.described.get());
            let Some(fields) = portal.and_then(|portal| portal.fields.borrow().clone()) else {
                return Err(self.malformed("rows without a description"));
            };
            let fields = match self.look_again().await || was_described {
                true => fields,
                // The columns of an earlier time: those of now may be of something else.
                false => fields.iter().map(ResultField::of_nowhere).collect(),
            };
            self.decide_rows(&fields).await?;
        }
        match self.rows(&[], frame.bytes) {
            Some((flow, _)) => Ok(flow),
            None => Err(self.malformed("a row that does not fit its description")),
        }
    }

    /// Asks the server to stop; its error becomes the row limit's. The server hangs up on who
    /// asks once it has signalled the session: a signal that finds the result complete is
    /// spent on the wait for the next message, which is therefore not sent before.
    pub(super) fn stop_upstream(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let database = self.database.clone();
        let (process_id, key) = self.upstream_key.clone();
        self.stopping = Some(Box::pin(async move {
            if let Err(error) =
                upstream::cancel(&database.settings.upstream, process_id, &key).await
            {
                tracing::warn!(%error, "what runs could not be stopped");
            }
        }));
    }

    pub(super) async fn row_description(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let Some(known) = self.front_running().map(|running| running.known.clone()) else {
            return Err(self.malformed("columns of a statement that was not asked"));
        };
        let fields = known.fields(frame.body)?;
        self.look_again().await;
        self.decide_rows(&fields).await?;
        Ok(Flow::Forward)
    }

    /// Describe was answered: the columns are known before the rows.
    pub(super) fn described(&mut self, frame: Frame<'_>, run: &Run) -> Result<(), End> {
        let portal = run.portal.as_ref();
        let prepared = portal.map(|portal| &portal.prepared).or(run.prepared.as_ref());
        let Some(prepared) = prepared else { return Ok(()) };
        let before = prepared.described.borrow().clone().or_else(|| self.described.clone());
        let described = Described::again(before.as_ref(), frame.body)?;
        if let Some(portal) = portal {
            portal.fields.replace(Some(described.fields.clone()));
        }
        prepared.described.replace(Some(described.clone()));
        self.described = Some(described);
        Ok(())
    }

    /// Decides what becomes of each column of the result in front, once it was looked again at
    /// what its statement means.
    async fn decide_rows(&mut self, fields: &Rc<[ResultField]>) -> Result<(), End> {
        let Some(running) = self.front_running() else {
            return Err(self.malformed("columns of a statement that was not asked"));
        };
        // Where names may mean something else than they did, what was known of them says nothing.
        let is_seen = running.is_seen();
        let (policies, known) = (running.policies.clone(), running.known.clone());
        let under = self.under(&*policies);
        let kept = is_seen.then(|| known.plan(fields, under)).flatten();
        let plan = match kept {
            Some(plan) => plan,
            None => {
                let planned = Box::pin(self.plan_rows(fields, &policies));
                let (planned, may_be_kept) = planned.await?;
                let passes = planned.passes_all() && !planned.columns.is_empty();
                let masked = (!passes).then_some(planned.columns);
                let plan = KnownPlan::new(fields, masked, planned.observed);
                if may_be_kept && is_seen {
                    known.keep_plan(&plan, under);
                }
                plan
            }
        };
        let masks = match (&plan.masked, plan.spare.take()) {
            (None, _) => Masks::Pass,
            (Some(_), Some(masker)) => Masks::Rows(masker),
            (Some(columns), None) => self.masks_of(columns.clone()),
        };
        if let Some(entry) = self.pipeline.front_mut() {
            let run = &mut entry.payload;
            let keys = &self.shared.keys;
            run.observed = plan.observed.clone().map(|of| Observed::rows(of, keys.clone()));
            run.masks = masks;
            run.plan = Some(plan);
        }
        Ok(())
    }

    /// A statement may have waited on the server for what somebody else was changing, and then
    /// have been planned after it. True where its facts still show what it does; where they do
    /// not, nothing that follows goes by them.
    async fn look_again(&mut self) -> bool {
        let means = self.means_what_it_meant().await;
        let front = self.pipeline.front_mut();
        if let Some(running) = front.and_then(|entry| entry.payload.running_mut()) {
            running.unseen_code |= !means;
        }
        means
    }

    async fn means_what_it_meant(&self) -> bool {
        let is_known = self.database.settle().await;
        let Some(running) = self.front_running() else { return false };
        if !is_known || !running.is_seen() {
            return false;
        }
        if running.facts.view.version == self.database.view_version() {
            return true;
        }
        let view = self.database.view();
        if Arc::ptr_eq(&view.catalog, &running.facts.view.catalog) {
            return true;
        }
        match &running.statement().effect {
            // It goes on with what was planned before.
            SessionEffect::Fetch { .. } => true,
            SessionEffect::Execute { .. } => false,
            SessionEffect::None
            | SessionEffect::Prepare { .. }
            | SessionEffect::Deallocate { .. }
            | SessionEffect::Declare { .. }
            | SessionEffect::CloseCursor { .. }
            | SessionEffect::DiscardAll => {
                let limits = &self.shared.analysis;
                running.facts.hold_under(
                    running.index,
                    &self.database,
                    &view,
                    self.reading.now(),
                    limits,
                )
            }
        }
    }

    /// A plan, and whether it is the same for these columns the next time.
    async fn plan_rows(
        &mut self,
        fields: &[ResultField],
        policies: &Rc<dyn PolicySet>,
    ) -> Result<(MaskPlan, bool), End> {
        let is_explained = self.explain(fields, &**policies).await;
        let Some(running) = self.front_running() else {
            return Err(self.malformed("columns of a statement that was not asked"));
        };
        let statement = Session::as_seen(running);
        let plan = self.plan(&**policies, |planner| planner.rows(&statement, fields)).await;
        let may_be_kept = is_explained && !plan.is_unexplained() && !plan.failed;
        Ok((plan, may_be_kept))
    }

    /// A plan for the result in front. What could come from anywhere is planned when all of
    /// the database has been looked at; where that cannot be, nothing of it is shown.
    async fn plan(
        &self,
        policies: &dyn PolicySet,
        plan: impl Fn(Planner<'_>) -> MaskPlan,
    ) -> MaskPlan {
        let planned = plan(self.planner(&self.database.view(), policies));
        if !planned.is_unexplained() {
            return planned;
        }
        let seen = self.look_at_everything(policies).await;
        let mut planned = plan(self.planner(&self.database.view(), policies));
        if !seen && policies.coverage(&self.asker.principal, &self.asker.database).masker {
            planned.hide_unexplained();
        }
        planned
    }

    /// Looks at what nobody has looked at yet. True when nothing is left of it.
    pub(super) async fn look_at_everything(&self, policies: &dyn PolicySet) -> bool {
        let classifiers = policies.classifiers();
        let unseen: Vec<u32> =
            self.database.view().unseen(classifiers).take(LOOKED_AT_MAX).collect();
        if unseen.is_empty() {
            return true;
        }
        if let Err(error) = self.database.sample(&unseen, policies).await {
            tell_unseen(&error);
        }
        self.database.view().unseen(classifiers).next().is_none()
    }

    /// Where names may mean something else than the catalog says, lineage says nothing.
    fn as_seen(running: &Running) -> Cow<'_, Statement> {
        let statement = running.statement();
        if !running.is_seen() {
            Cow::Owned(Statement { outputs: Outputs::Anything, ..statement.clone() })
        } else {
            Cow::Borrowed(statement)
        }
    }

    fn masks_of(&self, columns: Vec<MaskColumn>) -> Masks {
        // What has no columns has no values to pass: its rows are held to that.
        let is_empty = columns.is_empty();
        let masker = RowMasker::new(columns, self.shared.keys.clone());
        if masker.touches_rows() || is_empty { Masks::Rows(Box::new(masker)) } else { Masks::Pass }
    }

    fn front_running(&self) -> Option<&Running> {
        self.pipeline.front()?.payload.running()
    }

    /// A relation that was created since the catalog was read is looked up, and looked at,
    /// before anything of it is shown. One that cannot be seen from outside the client's
    /// transaction stays unknown, and is asked for once. True when nothing was unknown.
    async fn explain(&mut self, fields: &[ResultField], policies: &dyn PolicySet) -> bool {
        let view = self.database.view();
        let user = fields.iter().map(|field| field.table_oid).filter(|oid| *oid >= FIRST_USER_OID);
        let unknown: Vec<u32> = user
            .filter(|oid| {
                view.catalog.relation(*oid).is_none()
                    || !view.labels.is_sampled(*oid, policies.classifiers())
            })
            .collect();
        if unknown.is_empty() {
            return true;
        }
        let news: Vec<u32> =
            unknown.into_iter().filter(|oid| self.unexplained.insert(*oid)).collect();
        if news.is_empty() {
            return false;
        }
        if news.iter().any(|oid| view.catalog.relation(*oid).is_none()) {
            self.database.mark_stale();
        }
        let explained = async {
            self.database.refresh().await?;
            self.database.sample(&news, policies).await
        };
        if let Err(error) = explained.await {
            tell_unseen(&error);
        }
        let view = self.database.view();
        self.unexplained.retain(|oid| view.catalog.relation(*oid).is_none());
        false
    }

    pub(super) async fn copy_out(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let response = backend::copy_response(frame.body)?;
        self.look_again().await;
        let Some(running) = self.front_running() else {
            return Err(self.malformed("COPY of a statement that was not asked"));
        };
        let statement = Session::as_seen(running);
        let (columns, binary) = (response.columns, response.binary);
        let copy = |planner: Planner<'_>| planner.copy(&statement, columns, binary);
        let mut plan = self.plan(&*running.policies, copy).await;
        let format = statement.copy.as_ref().and_then(|form| copy_format(form, response.binary));
        let keys = &self.shared.keys;
        let observed = format.clone().zip(plan.observed.take());
        let observed = observed.map(|(format, of)| Observed::copy(format, of, keys.clone()));
        let masks = if plan.passes_all() {
            Masks::Pass
        } else {
            let Some(format) = format else {
                // The server has begun; it must not go on.
                return Err(End::Refused(Refusal::Unmaskable {
                    why: "this COPY has a format or options that are not read".into(),
                }));
            };
            Masks::Copy(Box::new(CopyMasker::new(format, plan.columns, keys.clone())))
        };
        if let Some(entry) = self.pipeline.front_mut() {
            entry.payload.masks = masks;
            entry.payload.observed = observed;
        }
        Ok(Flow::Forward)
    }

    pub(super) fn copy_data(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        self.observe(frame.bytes);
        let Some(entry) = self.pipeline.front_mut() else { return Ok(Flow::Keep) };
        let run = &mut entry.payload;
        run.tally.bytes += frame.bytes.len() as u64;
        match &mut run.masks {
            Masks::Pass => Ok(Flow::Forward),
            Masks::Copy(masker) => {
                if masker.push(frame.body).is_err() {
                    return Err(self.malformed("COPY data that does not fit its format"));
                }
                if masker.is_full() {
                    self.flush_copy();
                }
                Ok(Flow::Keep)
            }
            Masks::Undecided | Masks::Rows(_) => Err(self.malformed("COPY data out of turn")),
        }
    }

    pub(super) fn copy_done(&mut self) -> Result<Flow, End> {
        let Some(entry) = self.pipeline.front_mut() else { return Ok(Flow::Keep) };
        match &mut entry.payload.masks {
            Masks::Pass => {}
            Masks::Copy(masker) => {
                if masker.finish().is_err() {
                    return Err(self.malformed("COPY data that ends in the middle of a row"));
                }
            }
            Masks::Undecided | Masks::Rows(_) => {
                return Err(self.malformed("the end of a COPY that there is not"));
            }
        }
        self.flush_copy();
        Ok(Flow::Forward)
    }

    /// Has maskers in observe mode look at a part of the result in front.
    fn observe(&mut self, frames: &[u8]) {
        let Some(entry) = self.pipeline.front_mut() else { return };
        let run = &mut entry.payload;
        let Some(mut observed) = run.observed.take() else { return };
        let Some(policies) = run.running().map(|running| running.policies.clone()) else { return };
        let seen = observed.see(frames, &*policies);
        run.tally.cells_observed += seen.cells;
        // One fault is enough to know: what it would do to the rest is not worth a record each.
        run.observed = Some(observed).filter(|_| !seen.is_over);
        self.record_faults(seen.faults);
    }

    /// Masks COPY data that is waiting for it: before anything else goes to the client, and
    /// whenever the server has nothing more to say for now.
    pub(super) fn flush_copy(&mut self) {
        let Some(entry) = self.pipeline.front_mut() else { return };
        let run = &mut entry.payload;
        let Some(policies) =
            run.statements.get(run.current).map(|running| running.policies.clone())
        else {
            return;
        };
        let flushed = match &mut run.masks {
            Masks::Undecided | Masks::Pass | Masks::Rows(_) => return,
            Masks::Copy(masker) => masker.flush(&*policies, self.reply.tail()),
        };
        run.tally.rows += flushed.rows;
        self.count_masked(flushed);
    }

    fn count_masked(&mut self, flushed: Flushed) {
        if let Some(entry) = self.pipeline.front_mut() {
            let tally = &mut entry.payload.tally;
            tally.cells_masked += flushed.cells_masked;
            tally.labels_masked.add_all(&flushed.labels_masked);
        }
        self.record_faults(flushed.faults);
    }

    fn record_faults(&self, faults: Vec<(PolicyName, Fault)>) {
        for (policy, fault) in faults {
            tracing::warn!(
                policy = &*policy,
                kind = fault.kind.as_str(),
                fault.message,
                "masker failed"
            );
            let kind = fault.kind.as_str();
            self.shared.append(&Event::Notable(Notable::Fault {
                policy,
                kind,
                message: fault.message,
            }));
        }
    }

    /// A notification can carry any value; its payload is looked at like a text that comes
    /// from who knows where.
    pub(super) fn notification(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let (process_id, channel, payload) = backend::notification(frame.body)?;
        if payload.is_empty() {
            return Ok(Flow::Forward);
        }
        let policies = self.shared.policies.current();
        let view = self.database.view();
        let plan = self.planner(&view, &*policies).stray_text();
        if plan.passes_all() {
            return Ok(Flow::Forward);
        }
        let mut masker = RowMasker::new(plan.columns, self.shared.keys.clone());
        let mut row = 1u16.to_be_bytes().to_vec();
        row.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        row.extend_from_slice(payload);
        let mut came = Vec::new();
        encode::frame(&mut came, b'D', &row);
        let mut written = Vec::new();
        let masked = masker.mask(&[], &came, &*policies, &mut written);
        let shown = match masked {
            Ok(masked) if masked.changed => {
                self.record_faults(masked.flushed.faults);
                written.as_slice()
            }
            Ok(_) => return Ok(Flow::Forward),
            Err(_) => &[],
        };
        let row = shown.get(HEADER_BYTES..).unwrap_or_default();
        let cells = backend::data_row(row).unwrap_or_default();
        let payload = cells.first().copied().flatten().unwrap_or_default();
        let mut body = process_id.to_be_bytes().to_vec();
        for text in [channel, payload] {
            body.extend_from_slice(text);
            body.push(0);
        }
        encode::frame(self.reply.tail(), b'A', &body);
        Ok(Flow::Keep)
    }
}

/// The masker's word for a COPY's form, where the text and the server agree on it.
fn copy_format(form: &CopyForm, binary: bool) -> Option<CopyFormat> {
    match (form.clone(), binary) {
        (CopyForm::Binary, true) => Some(CopyFormat::Binary),
        (CopyForm::Text { delimiter, null, header }, false) => {
            Some(CopyFormat::TextWith(TextOptions { delimiter, null: null.into(), header }))
        }
        (CopyForm::Csv { delimiter, quote, escape, null, header }, false) => {
            Some(CopyFormat::Csv(CsvOptions {
                delimiter,
                quote,
                escape,
                null: null.into(),
                header,
            }))
        }
        (CopyForm::Binary, false) | (CopyForm::Text { .. } | CopyForm::Csv { .. }, true) => None,
    }
}

/// Until it is looked at a relation counts as unknown, and a lock passes by itself.
fn tell_unseen(error: &io::Error) {
    if is_locked_out(error) {
        tracing::info!(%error, "a relation is locked, and was not looked at");
    } else {
        tracing::warn!(%error, "a relation could not be looked at");
    }
}
