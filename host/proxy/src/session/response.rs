//! The server's side: answers matched to what was asked, and forwarded, masked or kept.

use std::future::poll_fn;
use std::task::Poll;

use portcullis_policy::event::Ending;
use portcullis_wire::backend::{self, TransactionStatus};
use portcullis_wire::frame::cut;
use portcullis_wire::{Entry, Expect, Frame, Malformed, Step, encode};

use super::{End, Session, WAITING_BYTES_MAX};
use crate::buffers::BUFFER_BYTES;
use crate::refusal::Refusal;
use crate::run::{Role, Run};

/// What becomes of a message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Forwarded as the bytes that came.
    Forward,
    /// Kept, or something else was put in its place.
    Keep,
}

/// How far what came is dealt with.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The end of the last whole message.
    used: usize,
    /// What is before this is in the reply or will never be; from here to `used` it is
    /// forwarded as it came.
    settled: usize,
}

impl Session {
    pub(super) async fn on_upstream(
        &mut self,
        mut buffer: Box<[u8]>,
        count: usize,
    ) -> Result<(), End> {
        let mut partial = std::mem::take(&mut self.partial);
        let kept = partial.len();
        let handled = if kept <= BUFFER_BYTES / 2 {
            // The half message from before stands in front of what was read behind it.
            if let Some(front) = buffer.get_mut(..kept) {
                front.copy_from_slice(&partial);
            }
            partial.clear();
            let bytes = buffer.get(..kept + count).unwrap_or_default();
            let handled = self.on_bytes(bytes).await;
            handled.map(|used| partial.extend_from_slice(bytes.get(used..).unwrap_or_default()))
        } else {
            partial.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let handled = self.on_bytes(&partial).await;
            // The memory of a long message goes with it.
            handled.map(|used| {
                if used > 0 {
                    partial = partial.get(used..).unwrap_or_default().to_vec();
                }
            })
        };
        // An idle session keeps nothing of what a result needed.
        self.partial = if partial.is_empty() { Vec::new() } else { partial };
        self.shared.buffers.give_back(buffer);
        handled
    }

    /// Handles the whole messages of what came; says where they end.
    async fn on_bytes(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let handled = self.responses(bytes).await;
        self.flush_copy();
        if self.pipeline.is_skipping() {
            self.withdraw("an earlier statement of its pipeline failed", &Ending::Skipped);
        }
        self.shared.commit_soon();
        let Progress { used, settled } = handled?;
        self.pass_on(bytes.get(settled..used).unwrap_or_default()).await?;
        Ok(used)
    }

    /// Sends what nobody changed from where it was read. What the client does not take at once
    /// waits.
    async fn pass_on(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut rest = bytes;
        if self.reply.is_empty() && !rest.is_empty() {
            let written = poll_fn(|cx| Poll::Ready(self.client.poll_write(cx, rest))).await;
            match written {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Client),
                Poll::Ready(Ok(count)) => rest = rest.get(count..).unwrap_or_default(),
                Poll::Pending => {}
            }
        }
        self.reply.tail().extend_from_slice(rest);
        Ok(())
    }

    /// Handles whole messages. Of those that nobody must change nothing is copied as long as
    /// nothing of the proxy's own stands behind them.
    async fn responses(&mut self, bytes: &[u8]) -> Result<Progress, End> {
        let Progress { mut used, mut settled } = Progress::default();
        loop {
            let ahead = bytes.get(settled..used).unwrap_or_default();
            let rest = bytes.get(used..).unwrap_or_default();
            // Masks can make much of little.
            self.client_is_behind = !rest.is_empty() && self.reply.len() >= WAITING_BYTES_MAX;
            if self.client_is_behind {
                break;
            }
            let (flow, length) = match self.rows(ahead, rest) {
                Some(taken) => taken,
                None => {
                    let frame_bytes_max = self.shared.limits.frame_bytes_max;
                    let Some(frame) = cut(rest, frame_bytes_max)? else { break };
                    // What the handler writes comes after what is forwarded so far.
                    self.reply.tail().extend_from_slice(ahead);
                    settled = used;
                    (self.response(frame).await?, frame.bytes.len())
                }
            };
            used += length;
            if flow == Flow::Keep {
                settled = used;
            }
        }
        Ok(Progress { used, settled })
    }

    async fn response(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        if frame.tag != b'E' || !backend::is_fatal(frame.body)? {
            return self.answer(frame).await;
        }
        // It is for the client, also where what it answers is not.
        let role = self.pipeline.front().map(|entry| &entry.payload.role);
        let is_hidden =
            self.silent_until_ready || matches!(role, Some(Role::Probe(_) | Role::Swallowed));
        let mut flow = self.answer(frame).await?;
        if is_hidden {
            flow = self.told(b'E', &backend::notice_fields(frame.body)?, true);
        }
        // The server closes behind it, and so does the proxy: a driver that has read the error
        // finds that the session is over, as it would without us.
        self.server_ends = true;
        if flow == Flow::Forward {
            self.reply.tail().extend_from_slice(frame.bytes);
        }
        Ok(Flow::Keep)
    }

    async fn answer(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        if self.pipeline.is_empty() && frame.tag == b'E' {
            // The server ends the session of its own accord, and says so.
            return Ok(Flow::Forward);
        }
        if frame.tag != b'D' && frame.tag != b'd' {
            self.flush_copy();
        }
        let front = self.pipeline.front().map(|entry| &entry.payload.role);
        if matches!(front, Some(Role::Refused { .. })) && !b"ENSAZ".contains(&frame.tag) {
            return Err(self.malformed("an answer to what can only fail"));
        }
        let flow = match self.pipeline.answer(frame.tag)? {
            Step::Asynchronous => self.asynchronous(frame)?,
            Step::Current => self.current(frame).await?,
            Step::Done(entry) => self.done(frame, entry)?,
            Step::Failed { failed, skipped } => self.failed(frame, failed, skipped)?,
            Step::Ready(entry) => self.ready(frame, entry)?,
        };
        let silent =
            self.silent_until_ready && frame.tag != b'Z' && !matches!(frame.tag, b'S' | b'A');
        if frame.tag == b'Z' {
            self.silent_until_ready = false;
        }
        Ok(if silent { Flow::Keep } else { flow })
    }

    fn asynchronous(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        match frame.tag {
            b'S' => self.parameter(frame),
            b'A' => self.notification(frame),
            _ => self.notice(frame),
        }
    }

    fn parameter(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let (name, value) = backend::parameter_status(frame.body)?;
        self.reading.reported(name, value).map_err(End::Refused)?;
        Ok(Flow::Forward)
    }

    /// A message that is part of the answer in front.
    async fn current(&mut self, frame: Frame<'_>) -> Result<Flow, End> {
        let Some(entry) = self.pipeline.front_mut() else { return Ok(Flow::Keep) };
        match &mut entry.payload.role {
            Role::Swallowed => return Ok(Flow::Keep),
            Role::Probe(rows) => {
                match frame.tag {
                    b'D' => {
                        let cells = backend::data_row(frame.body)?;
                        rows.extend(cells.into_iter().take(1).flatten().map(<[u8]>::to_vec));
                    }
                    // Half an answer is none.
                    b'E' => rows.clear(),
                    _ => {}
                }
                return Ok(Flow::Keep);
            }
            Role::Refused { .. } if frame.tag == b'E' => return Ok(self.refused_error(frame)),
            Role::Refused { .. } | Role::Client => {}
        }
        if self.silent_until_ready && matches!(frame.tag, b'T' | b'D' | b'H' | b'd' | b'c') {
            // Results behind the one that was stopped: the client has heard that it is over.
            return Ok(Flow::Keep);
        }
        if self.silent_until_ready && frame.tag == b'G' {
            // And data that the server waits for: the client does not know of it.
            self.outbox.end_copy();
            self.pipeline.push(Expect::CopyEnd, Run::new(Role::Swallowed));
            return Ok(Flow::Keep);
        }
        match frame.tag {
            b'T' => self.row_description(frame).await,
            b'D' => self.first_row(frame).await,
            b'H' => Box::pin(self.copy_out(frame)).await,
            b'd' => self.copy_data(frame),
            b'c' => self.copy_done(),
            b'C' => Ok(self.complete(frame)),
            b'E' => self.error(frame),
            // ParameterDescription, EmptyQueryResponse, CopyInResponse, FunctionCallResponse.
            _ => Ok(Flow::Forward),
        }
    }

    /// A message that completes what was asked.
    fn done(&mut self, frame: Frame<'_>, entry: Entry<Box<Run>>) -> Result<Flow, End> {
        let mut run = entry.payload;
        match frame.tag {
            b'1' => run.prepared.iter().for_each(|prepared| prepared.confirmed.set(true)),
            b'2' => run.portal.iter().for_each(|portal| portal.confirmed.set(true)),
            b'T' => self.described(frame, &run)?,
            b'n' => {
                run.portal.iter().for_each(|portal| {
                    portal.fields.replace(Some([].into()));
                });
            }
            b's' | b'C' | b'I' => {
                let over = run.over();
                if frame.tag == b's' {
                    self.end_current(&mut run, Ending::Suspended);
                } else {
                    self.complete_run(frame, &mut run);
                    // A server that says there was none does not say what became of it.
                    self.record_unrun(&run, &Ending::Lost);
                }
                if frame.tag == b'C'
                    && let Some(portal) = &run.portal
                {
                    // What was released has run, and once was meant.
                    portal.release.take();
                }
                if let Some(over) = over {
                    // The server has to take it for a failure as well.
                    self.refuse(Expect::Execute, over)?;
                    self.outbox.flush();
                    return Ok(Flow::Keep);
                }
            }
            _ => {}
        }
        run.undo.take().into_iter().for_each(|undo| self.names.confirm(undo));
        Ok(if matches!(run.role, Role::Client) { Flow::Forward } else { Flow::Keep })
    }

    fn failed(
        &mut self,
        frame: Frame<'_>,
        failed: Entry<Box<Run>>,
        skipped: Vec<Entry<Box<Run>>>,
    ) -> Result<Flow, End> {
        for entry in skipped.into_iter().rev() {
            self.record_unrun(&entry.payload, &Ending::Skipped);
            self.undo(entry.payload, false);
        }
        // A Bind is refused for a failed transaction before it comes to the portal that was there.
        let is_too_late = failed.expect == Expect::Bind && has_code(frame, b"25P02");
        let run = failed.payload;
        let flow = match &run.role {
            Role::Refused { tag, refusal } => {
                // One that was to be stopped may be stopped even now.
                let late = matches!(**refusal, Refusal::RowLimit { .. });
                let refusal = (late || names_tag(frame, tag)).then(|| refusal.report());
                match refusal {
                    Some(report) => {
                        encode::error(self.reply.tail(), &report);
                        Flow::Keep
                    }
                    None => Flow::Forward,
                }
            }
            // What the proxy asked for the client's sake failed; the client's own message
            // would have.
            Role::Swallowed | Role::Probe(_) => Flow::Forward,
            Role::Client => match self.client_error(frame, &run) {
                Ok(flow) => flow,
                Err(end) => {
                    // It is off the queue already, where the end of the session would find it.
                    self.record_unrun(&run, &Ending::Lost);
                    return Err(end);
                }
            },
        };
        self.undo(run, !is_too_late);
        Ok(flow)
    }

    /// A message had no effect on the names it would have changed.
    fn undo(&mut self, mut run: Box<Run>, failed: bool) {
        if let (Role::Swallowed, Some(prepared)) = (&run.role, &run.prepared) {
            prepared.stale.set(true);
        }
        if let Some(portal) = &run.portal {
            // A Describe of it was not answered.
            portal.described.set(false);
        }
        if let Some(undo) = run.undo.take() {
            self.names.undo(undo, failed);
        }
    }

    fn ready(&mut self, frame: Frame<'_>, entry: Entry<Box<Run>>) -> Result<Flow, End> {
        self.status = match TransactionStatus::read(frame.body) {
            Ok(status) => status,
            Err(malformed) => {
                // It is off the queue already, where the end of the session would find it.
                self.record_unrun(&entry.payload, &Ending::Lost);
                return Err(malformed.into());
            }
        };
        // What was sent behind this may already have done what is forgotten below.
        let more = !self.pipeline.is_empty();
        self.open_segment = more;
        self.status_is_old = false;
        if !more {
            self.reading.is_ready(self.status);
        }
        self.entry.line().is_ready(self.status != TransactionStatus::Idle);
        if self.status == TransactionStatus::Idle {
            if self.unseen_code {
                // Only now can others see what the transaction made.
                self.database.mark_stale();
            }
            self.unseen_code &= more;
            self.withholding &= more;
            if !more {
                self.transaction.clear();
            }
            let unused = self.names.end_transaction();
            unused.into_iter().for_each(|bound| self.record_unused(bound));
        }
        let mut run = entry.payload;
        run.undo.take().into_iter().for_each(|undo| self.names.confirm(undo));
        // A FunctionCall has no completion of its own, and an empty text no statement.
        self.end_current(&mut run, Ending::Completed { tag: String::new() });
        // Of several statements a server that says nothing of them has run who knows which.
        self.record_unrun(&run, &Ending::Lost);
        match run.role {
            Role::Probe(rows) => {
                self.reading.answered(&rows);
                Ok(Flow::Keep)
            }
            Role::Swallowed => Ok(Flow::Keep),
            Role::Client | Role::Refused { .. } => Ok(Flow::Forward),
        }
    }

    fn refused_error(&mut self, frame: Frame<'_>) -> Flow {
        let Some(entry) = self.pipeline.front_mut() else { return Flow::Forward };
        match &entry.payload.role {
            Role::Refused { tag, refusal } if names_tag(frame, tag) => {
                encode::error(self.reply.tail(), &refusal.report());
                Flow::Keep
            }
            Role::Refused { .. } | Role::Client | Role::Swallowed | Role::Probe(_) => Flow::Forward,
        }
    }
}

fn has_code(frame: Frame<'_>, code: &[u8]) -> bool {
    let fields = backend::notice_fields(frame.body).unwrap_or_default();
    backend::field(&fields, b'C') == Some(code)
}

/// Only the error that a stand-in was made to cause becomes the refusal it stands for.
fn names_tag(frame: Frame<'_>, tag: &str) -> bool {
    let fields = backend::notice_fields(frame.body).unwrap_or_default();
    let message = backend::field(&fields, b'M').unwrap_or_default();
    let code = backend::field(&fields, b'C').unwrap_or_default();
    matches!(code, b"42601" | b"34000")
        && message.windows(tag.len()).any(|part| part == tag.as_bytes())
}

impl Session {
    pub(super) fn malformed(&self, what: &'static str) -> End {
        End::Refused(Refusal::Malformed(Malformed::Form(what)))
    }
}
