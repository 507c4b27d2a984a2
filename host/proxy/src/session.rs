//! One client's session: everything between its login and its goodbye.

mod extended;
mod holding;
mod judging;
mod ledger;
mod meaning;
mod messages;
mod outcome;
mod request;
mod response;
mod result;

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use portcullis_approvals::Decided;
use portcullis_ledger::Part;
use portcullis_policy::event::{Ending, Event, Notable};
use portcullis_policy::principal::Asker;
use portcullis_policy::{Action, Statement};
use portcullis_wire::backend::TransactionStatus;
use portcullis_wire::{Malformed, Pipeline, encode};
use tokio::sync::watch;

use crate::buffers::{BUFFER_BYTES, Queue};
use crate::cancel::CancelKey;
use crate::database::DatabaseState;
use crate::facts::Facts;
use crate::gate::Outbox;
use crate::gathering::Gathering;
use crate::names::{Described, Names};
use crate::reading::SessionReading;
use crate::refusal::Refusal;
use crate::registry::{Entry, Signal};
use crate::run::{Masks, Run};
use crate::shared::{Phase, Shared};
use crate::transport::Transport;
use crate::upstream::{self, Upstream};
use holding::Hold;
pub use outcome::can_quote_by_class;

/// A side that does not read what waits for it is not read for either.
const WAITING_BYTES_MAX: usize = 4 * BUFFER_BYTES;

/// Nor is a client heard that leaves so many of its messages unanswered, however short they are.
const UNANSWERED_MAX: usize = 4_096;

/// Why a session ends.
pub enum End {
    /// The client said goodbye, or went.
    Client,
    /// The server went.
    Upstream,
    /// The proxy ends it, and says why.
    Refused(Refusal),
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> End {
        End::Refused(Refusal::Malformed(malformed))
    }
}

/// What woke the session.
enum Wake {
    /// The client sent this many bytes into the buffer, behind what was there.
    Client(Box<[u8]>, usize),
    Upstream(Box<[u8]>, usize),
    Phase(Phase),
    /// What waits for people is decided.
    Decided(Decided),
    /// Somebody else wants something of the session.
    Signal(Signal),
    /// What the client sent can be gone on with: the server has taken enough of it, or has
    /// been stopped.
    Room,
    Gone(End),
}

type Leaving = Pin<Box<tokio::time::Sleep>>;
/// A cancel on its way to the server, until the server has passed it on.
type Stopping = Pin<Box<dyn Future<Output = ()>>>;

/// A session.
pub struct Session {
    id: u64,
    asker: Asker,
    /// The same, as each record of the session has it.
    asker_part: Part,
    database: Arc<DatabaseState>,
    /// By what number what it sends is known.
    known_as: u64,
    /// Parameters that the client may not set.
    reserved: Vec<String>,
    shared: Rc<Shared>,
    /// It is counted among the worker's sessions.
    _entered: Rc<()>,
    client: Transport,
    upstream: Transport,
    /// Its place among all sessions; left when it ends.
    entry: Entry,
    /// Forgotten, and with it the session's right to be cancelled, when the session ends.
    _cancel_key: CancelKey,
    /// The server's own key, to stop a result that exceeds its limit.
    upstream_key: (u32, Vec<u8>),
    /// From the client, not yet looked at: half a message, or what must wait.
    inbox: Vec<u8>,
    /// To the server.
    outbox: Outbox,
    /// From the server, half a message, or what must wait.
    partial: Vec<u8>,
    /// The client has not taken enough of what was answered for more to be put behind it.
    client_is_behind: bool,
    /// To the client; always whole messages.
    reply: Queue,
    pipeline: Pipeline<Box<Run>>,
    names: Names,
    /// The latest description of a result: the next is mostly the same.
    described: Option<Rc<Described>>,
    status: TransactionStatus,
    phase: Phase,
    /// Looked at whenever the session is awake; the registry wakes it for that.
    phases: watch::Receiver<Phase>,
    reading: SessionReading,
    /// What comes next depends on what is still running.
    stalled: bool,
    /// Nothing of the client's is sent meanwhile.
    stopping: Option<Stopping>,
    /// The client says no more, but may be listening for the rest of its answers; until then.
    leaving: Option<Leaving>,
    /// Counts the client's Syncs.
    segment: u64,
    /// The client was told of an error that the server does not know of: all it still
    /// answers before ReadyForQuery is not for the client.
    silent_until_ready: bool,
    /// Columns looked up: hidden from this principal or not, under one revision and view.
    hidden: HashMap<(u32, i16), bool>,
    /// Whether any is, once asked.
    hides_anything: Option<bool>,
    hidden_under: (u64, u64),
    /// Relations that the catalog could not explain when it was read for them.
    unexplained: HashSet<u32>,
    /// Something sent may have made a view, a trigger or the like, and the server has not been
    /// ready outside a transaction since: nobody else can see it yet.
    unseen_code: bool,
    /// The database knows that what was sent may commit a change.
    may_commit: bool,
    /// Messages of the extended protocol were sent, and no ReadyForQuery has come since.
    open_segment: bool,
    /// The last ReadyForQuery said that the transaction has failed, perhaps, and since then it has
    /// been left.
    status_is_old: bool,
    /// A statement of this transaction touched what is hidden: a deferred constraint can
    /// still quote it.
    withholding: bool,
    /// Where the approval of the message at the front of the inbox stands.
    hold: Hold,
    /// How long the message is that waits.
    held_bytes: usize,
    /// The server has said that it ends the session.
    server_ends: bool,
    /// What this transaction has run, the latest.
    transaction: VecDeque<Rc<Facts>>,
    gathering: Gathering,
}

/// What a session is made of.
pub struct Parts {
    pub database: Arc<DatabaseState>,
    pub client: Transport,
    /// What it sent behind its login, read with it.
    pub inbox: Vec<u8>,
    pub upstream: Upstream,
    pub cancel_key: CancelKey,
    pub entry: Entry,
    /// What names are looked up in may be another than for every new session.
    pub path_may_differ: bool,
}

impl Session {
    pub fn new(shared: Rc<Shared>, parts: Parts) -> Session {
        let (view, reported) = (parts.database.view(), &parts.upstream.reported);
        let path = view.search_path.clone();
        let mut reading = SessionReading::at_login(reported, path, view.schemas);
        if parts.path_may_differ {
            reading.path_may_differ();
        }
        let line = parts.entry.line();
        Session {
            id: line.id,
            asker: line.asker.clone(),
            asker_part: Part::asker(line.id, &line.asker.principal, &line.asker.database),
            known_as: shared.known.asker(&line.asker.principal, parts.database.number),
            reserved: parts.database.settings.reserved(),
            database: parts.database,
            phases: shared.phases.clone(),
            _entered: shared.enter(),
            shared,
            client: parts.client,
            upstream: parts.upstream.transport,
            entry: parts.entry,
            _cancel_key: parts.cancel_key,
            upstream_key: (parts.upstream.process_id, parts.upstream.secret_key),
            inbox: parts.inbox,
            outbox: Outbox::default(),
            partial: parts.upstream.frames.into_rest(),
            client_is_behind: false,
            reply: Queue::default(),
            pipeline: Pipeline::default(),
            names: Names::default(),
            described: None,
            status: TransactionStatus::Idle,
            phase: Phase::Running,
            reading,
            stalled: false,
            stopping: None,
            leaving: None,
            segment: 0,
            silent_until_ready: false,
            hidden: HashMap::new(),
            hides_anything: None,
            hidden_under: (0, 0),
            unexplained: HashSet::new(),
            unseen_code: false,
            may_commit: false,
            open_segment: false,
            status_is_old: false,
            withholding: false,
            hold: Hold::None,
            held_bytes: 0,
            server_ends: false,
            transaction: VecDeque::new(),
            gathering: Gathering::default(),
        }
    }

    /// Runs the session to its end. All its control flow is here: what is called below waits
    /// for nothing but the ledger and the proxy's own questions, each with a deadline.
    pub async fn run(mut self: Box<Self>) {
        // It has been read: nothing wakes the session for it.
        let mut came_with_login = !self.inbox.is_empty();
        let end = loop {
            let wake = match std::mem::take(&mut came_with_login) {
                true => self.called().unwrap_or(Wake::Room),
                false => poll_fn(|cx| self.poll_wake(cx)).await,
            };
            self.shared.look_at_the_clocks();
            let handled = match wake {
                Wake::Client(buffer, count) => self.on_client(buffer, count).await,
                Wake::Upstream(buffer, count) => {
                    let handled = self.on_upstream(buffer, count).await;
                    let goes_on = self.is_in_result();
                    self.gathering.has_read(&self.upstream, count, goes_on);
                    handled
                }
                Wake::Phase(phase) => self.on_phase(phase),
                Wake::Decided(decided) => {
                    self.on_decided(decided);
                    Ok(())
                }
                Wake::Signal(signal) => self.on_signal(signal),
                Wake::Room => Ok(()),
                Wake::Gone(end) => Err(end),
            };
            // What the server answered may be what the client's next message waited for.
            let continued = match handled {
                Ok(()) => self.take_up_inbox().await,
                Err(end) => Err(end),
            };
            // Before it is sent.
            self.tell_of_commits();
            if let Err(end) = continued {
                break end;
            }
            if self.server_ends {
                break End::Upstream;
            }
            if self.phase != Phase::Running && self.is_between_transactions() {
                break End::Refused(Refusal::Shutdown);
            }
        };
        Box::pin(self.finish(end)).await;
    }

    /// Tells the database when what others could not see is about to be seen, and when that is
    /// over. An index changes no meaning, and takes its time.
    fn tell_of_commits(&mut self) {
        let commits = |statement: &Statement| {
            let ends = statement.action() == Action::Transaction;
            ends || self.status == TransactionStatus::Idle && statement.command != "CREATE INDEX"
        };
        let may_commit = self.unseen_code
            && self.pipeline.iter().any(|entry| {
                entry.payload.statements.iter().any(|running| commits(running.statement()))
            });
        if may_commit != self.may_commit {
            self.may_commit = may_commit;
            self.database.note_committing(may_commit);
        }
    }

    /// Writes what can be written and reads what may be read.
    ///
    /// Cancel safe: bytes read are in the buffer that is returned, bytes written are off the
    /// queue.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Some(wake) = self.called() {
            return Poll::Ready(wake);
        }
        if let Hold::Waiting { waiting, .. } = &mut self.hold
            && let Poll::Ready(decided) = waiting.poll_decided(cx)
        {
            return Poll::Ready(Wake::Decided(decided));
        }
        if let Some(stopping) = &mut self.stopping
            && stopping.as_mut().poll(cx).is_ready()
        {
            self.stopping = None;
            return Poll::Ready(Wake::Room);
        }
        let was_full = self.outbox.len() >= WAITING_BYTES_MAX;
        if let Poll::Ready(end) = self.poll_send(cx) {
            return Poll::Ready(Wake::Gone(end));
        }
        if was_full && self.outbox.len() < WAITING_BYTES_MAX && !self.inbox.is_empty() {
            return Poll::Ready(Wake::Room);
        }
        if self.reply.len() < WAITING_BYTES_MAX {
            let mut buffer = self.shared.buffers.take();
            if self.client_is_behind {
                // It has caught up with what came before; the rest is here already.
                return Poll::Ready(Wake::Upstream(buffer, 0));
            }
            let kept = self.partial.len().min(BUFFER_BYTES / 2);
            let kept = if kept == self.partial.len() { kept } else { 0 };
            let space = buffer.get_mut(kept..).unwrap_or_default();
            match self.upstream.poll_read(cx, space) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Wake::Gone(End::Upstream)),
                Poll::Ready(Ok(count)) => return Poll::Ready(Wake::Upstream(buffer, count)),
                Poll::Pending => self.shared.buffers.give_back(buffer),
            }
            self.gathering.poll(cx, &self.upstream);
        }
        if self.leaving.is_none() && self.may_read_client() {
            let mut buffer = self.shared.buffers.take();
            match self.client.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(0)) => {
                    self.shared.buffers.give_back(buffer);
                    let patience = tokio::time::sleep(self.shared.limits.drain);
                    self.leaving = Some(Box::pin(patience));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::Gone(End::Client)),
                Poll::Ready(Ok(count)) => return Poll::Ready(Wake::Client(buffer, count)),
                Poll::Pending => self.shared.buffers.give_back(buffer),
            }
        }
        if let Some(leaving) = &mut self.leaving {
            let is_over = leaving.as_mut().poll(cx).is_ready();
            if is_over || !self.owes_answers() {
                return Poll::Ready(Wake::Gone(End::Client));
            }
        }
        if self.pipeline.is_idle() {
            self.reply.rest();
            self.outbox.queue().rest();
        }
        self.entry.line().wakes(cx.waker());
        // Whoever called before that has woken nobody.
        self.called().map_or(Poll::Pending, Poll::Ready)
    }

    /// What somebody else wants of the session.
    fn called(&mut self) -> Option<Wake> {
        if let Some(signal) = self.entry.line().signal() {
            return Some(Wake::Signal(signal));
        }
        match self.phases.has_changed() {
            Ok(false) => None,
            Ok(true) => Some(Wake::Phase(*self.phases.borrow_and_update())),
            Err(_) if self.phase == Phase::Stopped => None,
            Err(_) => Some(Wake::Phase(Phase::Stopped)),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let sides = [
            (&mut self.client, &mut self.reply, End::Client),
            (&mut self.upstream, self.outbox.queue(), End::Upstream),
        ];
        for (transport, queue, gone) in sides {
            while !queue.is_empty() {
                match transport.poll_write(cx, queue.pending()) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(gone),
                    Poll::Ready(Ok(count)) => queue.sent(count),
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(Err(_)) = transport.poll_flush(cx) {
                return Poll::Ready(gone);
            }
        }
        Poll::Pending
    }

    /// A client is heard while the server takes what it says, and while what it says does
    /// not pile up behind something that must complete first.
    fn may_read_client(&self) -> bool {
        let behind = self.is_stalled() && self.inbox.len() >= WAITING_BYTES_MAX;
        // While people are waited for, it must show that the client has gone.
        let waits = matches!(self.hold, Hold::Waiting { .. });
        let has_room =
            self.outbox.len() < WAITING_BYTES_MAX && self.pipeline.len() < UNANSWERED_MAX;
        has_room && (!behind || waits)
    }

    /// What is running must complete before the next message can be understood, and what
    /// waits for people must be decided; but a COPY completes only with what the client sends.
    fn is_stalled(&self) -> bool {
        let waits = matches!(self.hold, Hold::Waiting { .. });
        waits
            || self.stopping.is_some()
            || (self.stalled && !self.pipeline.is_empty() && !self.pipeline.is_copy_in())
    }

    /// As PostgreSQL does, a client that has said all it will say is told what it asked: up to
    /// the last ReadyForQuery. Of one that has gone, which looks the same, the next write tells.
    fn owes_answers(&self) -> bool {
        let needs_more = self.pipeline.is_copy_in() || matches!(self.hold, Hold::Waiting { .. });
        let behind = !self.inbox.is_empty() && !self.pipeline.is_empty();
        !self.reply.is_empty() || (behind || self.is_asked()) && !needs_more
    }

    /// Rows or COPY data are arriving.
    fn is_in_result(&self) -> bool {
        self.pipeline.front().is_some_and(|entry| !matches!(entry.payload.masks, Masks::Undecided))
    }

    /// ReadyForQuery is due.
    fn is_asked(&self) -> bool {
        self.pipeline.iter().any(|entry| entry.expect.is_ready_due())
    }

    /// The server is ready, and nothing was sent since.
    fn is_at_rest(&self) -> bool {
        self.pipeline.is_idle() && !self.open_segment
    }

    /// Whatever happens, ReadyForQuery answers what was sent last.
    fn is_ready_due(&self) -> bool {
        !self.pipeline.is_empty() && !self.pipeline.waits_for_sync()
    }

    fn is_between_transactions(&self) -> bool {
        self.status == TransactionStatus::Idle && self.pipeline.is_idle() && self.inbox.is_empty()
    }

    fn on_phase(&mut self, phase: Phase) -> Result<(), End> {
        self.phase = phase;
        match phase {
            Phase::Running => Ok(()),
            Phase::Draining => {
                self.give_up_waiting();
                Ok(())
            }
            Phase::Stopped => Err(End::Refused(Refusal::Shutdown)),
        }
    }

    fn on_signal(&mut self, signal: Signal) -> Result<(), End> {
        match signal {
            Signal::Cancel => {
                self.on_cancel();
                Ok(())
            }
            Signal::End(reason) => {
                let session = self.id;
                let notable = Notable::SessionEnded { session, reason: reason.clone() };
                self.shared.record(&Event::Notable(notable));
                Err(End::Refused(Refusal::Ended(reason)))
            }
        }
    }

    /// Says goodbye to both sides and records what was left open.
    async fn finish(mut self: Box<Self>, end: End) {
        let still_running = !self.pipeline.is_idle();
        let why = match &end {
            End::Client => "the client disconnected",
            End::Upstream => "the database ended the session",
            End::Refused(_) => "the proxy ended the session",
        };
        self.withdraw(why, &Ending::Refused);
        self.record_lost();
        let refusal = match &end {
            End::Refused(refusal) => Some(refusal),
            End::Upstream if !self.server_ends => Some(&Refusal::UpstreamLost),
            End::Upstream | End::Client => None,
        };
        if let Some(report) = refusal.map(Refusal::report) {
            tracing::info!(session = self.id, reason = report.message, "session ended");
            encode::fatal(self.reply.tail(), &report);
        }
        self.say_goodbye(&end, still_running).await;
        let statements = self.entry.line().statements();
        let logout = Notable::Logout { session: self.id, statements };
        self.shared.record(&Event::Notable(logout));
    }

    /// To both sides at once: a client that takes nothing must not keep the server computing.
    async fn say_goodbye(&mut self, end: &End, still_running: bool) {
        let Session { client, reply, upstream, outbox, .. } = self;
        let to_client = async {
            // The client may be gone; then nobody misses the message.
            let _ = client.write_all(reply.pending()).await;
            // One that has left, and in the clear, hears by the close that follows.
            if !matches!(end, End::Client) || client.is_tls() {
                client.shutdown().await;
            }
        };
        let (database, key) = (&self.database, &self.upstream_key);
        let to_server = async {
            if still_running && matches!(end, End::Refused(_)) {
                // A server that computes would not hear the goodbye.
                let (process_id, key) = key;
                let settings = &database.settings.upstream;
                if let Err(error) = upstream::cancel(settings, *process_id, key).await {
                    tracing::warn!(%error, "what the session ran could not be cancelled");
                }
            }
            if !matches!(end, End::Upstream) {
                // Only a server that waits for the next message understands a goodbye.
                outbox.terminate();
                let pending = outbox.queue().pending();
                // Answers that nobody has read make the close a reset, which takes with it what
                // waits for it.
                let _ = match still_running {
                    true => upstream.write_all(pending).await,
                    false => upstream.write_last(pending).await,
                };
                if upstream.is_tls() {
                    upstream.shutdown().await;
                }
            }
        };
        let both = async { tokio::join!(to_client, to_server) };
        let _ = tokio::time::timeout(FAREWELL, both).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.unseen_code {
            // It may have been committed all the same.
            self.database.mark_stale();
        }
        if self.may_commit {
            self.database.note_committing(false);
        }
    }
}

/// A peer that does not take its last message within this time does not get it.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);
