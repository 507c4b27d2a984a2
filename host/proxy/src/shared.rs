//! What the sessions of one worker share, without a lock.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_approvals::Approvals;
use portcullis_ledger::{Intent, Ledger, Position, Stream};
use portcullis_masking::Keys;
use portcullis_policy::PolicySource;
use portcullis_policy::event::{Event, EventId};
use tokio::sync::{Notify, watch};

use crate::alarm::Alarm;
use crate::buffers::Buffers;
use crate::facts::FactsCache;
use crate::known::KnownStatements;
use crate::metrics::WorkerMetrics;
use crate::settings::Limits;

/// Where the proxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// Sessions end when their transaction does.
    Draining,
    /// Sessions end now.
    Stopped,
}

/// A moment, by both clocks.
#[derive(Clone, Copy)]
pub struct Moment {
    pub instant: Instant,
    pub time: SystemTime,
    /// Of that, since the Unix epoch.
    pub seconds: u32,
}

impl Moment {
    fn now() -> Moment {
        // In this order: the time of day that is counted on from it is late at most, and never
        // has to step back.
        let time = SystemTime::now();
        Moment::at(Instant::now(), time)
    }

    fn at(instant: Instant, time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { instant, time, seconds: u32::try_from(since.as_secs()).unwrap_or(u32::MAX) }
    }
}

/// For so long the time of day is not looked at again: nobody sets a clock so often.
const CLOCKS_AGREE: Duration = Duration::from_millis(10);

/// What the sessions of one worker share.
pub struct Shared {
    pub buffers: Buffers,
    pub facts: FactsCache,
    pub known: KnownStatements,
    pub policies: Box<dyn PolicySource>,
    pub ledger: Ledger,
    pub approvals: Approvals,
    pub metrics: Arc<WorkerMetrics>,
    stream: RefCell<Stream>,
    moment: Cell<Moment>,
    /// When both clocks were looked at.
    agreed: Cell<Moment>,
    /// Each session holds it as well.
    sessions: Rc<()>,
    uncommitted: Cell<bool>,
    /// [`pass_on_in_time`] was told that there is something.
    expected: Cell<bool>,
    /// Wakes it.
    bell: Rc<Notify>,
    pub limits: Limits,
    pub analysis: portcullis_sql::Limits,
    pub keys: Arc<Keys>,
    pub phases: watch::Receiver<Phase>,
}

impl Shared {
    pub fn new(
        policies: Box<dyn PolicySource>,
        ledger: Ledger,
        stream: Stream,
        (approvals, metrics): (Approvals, Arc<WorkerMetrics>),
        (limits, keys): (Limits, Arc<Keys>),
        phases: watch::Receiver<Phase>,
    ) -> Shared {
        Shared {
            buffers: Buffers::default(),
            facts: FactsCache::default(),
            known: KnownStatements::default(),
            policies,
            ledger,
            approvals,
            metrics,
            stream: RefCell::new(stream),
            moment: Cell::new(Moment::now()),
            agreed: Cell::new(Moment::now()),
            sessions: Rc::default(),
            uncommitted: Cell::new(false),
            expected: Cell::new(false),
            bell: Rc::default(),
            analysis: portcullis_sql::Limits {
                statement_bytes_max: limits.statement_bytes_max,
                ..portcullis_sql::Limits::default()
            },
            limits,
            keys,
            phases,
        }
    }

    /// Looks at the clocks: once for all that came together. The time of day is counted on for a
    /// while from where it was seen.
    pub fn look_at_the_clocks(&self) {
        let (agreed, instant) = (self.agreed.get(), Instant::now());
        let since = instant.saturating_duration_since(agreed.instant);
        if since < CLOCKS_AGREE {
            self.moment.set(Moment::at(instant, agreed.time + since));
        } else {
            self.moment.set(Moment::now());
            self.agreed.set(self.moment.get());
        }
    }

    /// What the clocks said when a session was last woken.
    pub fn moment(&self) -> Moment {
        self.moment.get()
    }

    /// Held by a session while it lives.
    pub fn enter(&self) -> Rc<()> {
        self.sessions.clone()
    }

    /// True where no other session could have something to record at the same time.
    pub fn is_alone(&self) -> bool {
        Rc::strong_count(&self.sessions) <= 2
    }

    /// Adds a record of this moment to the batch. False when it was only counted: then what it
    /// tells of must not happen.
    pub fn append(&self, event: &Event) -> bool {
        self.uncommitted.set(true);
        self.stream.borrow_mut().append_at(event, self.moment().time)
    }

    /// The same, for what is about to leave.
    pub fn append_intent(&self, intent: &Intent<'_>) -> bool {
        self.uncommitted.set(true);
        self.stream.borrow_mut().append_intent_at(intent, self.moment().time)
    }

    /// A name for what is asked at this moment.
    pub fn event_id(&self) -> EventId {
        self.ledger.event_id(self.moment().time)
    }

    /// Hands the batch to the operating system.
    ///
    /// # Errors
    /// When the ledger cannot be written; then nothing may run.
    pub fn commit(&self) -> io::Result<Position> {
        let committed = self.stream.borrow_mut().commit();
        match &committed {
            Ok(_) => self.uncommitted.set(false),
            Err(error) => tracing::error!(%error, "the ledger cannot be written"),
        }
        self.expect_more();
        committed
    }

    /// For records of what has already happened: a failure shows at the next statement, which
    /// is refused.
    pub fn commit_quietly(&self) {
        if self.uncommitted.get() {
            let _ = self.commit();
        }
    }

    /// The same, not at once: records of what has ended go with the next statement's, or when
    /// the worker has waited a little for one.
    pub fn commit_soon(&self) {
        if self.uncommitted.get() {
            self.expect_more();
        }
    }

    fn expect_more(&self) {
        if !self.expected.replace(true) {
            self.bell.notify_one();
        }
    }

    /// Commits, and has readers find what is committed.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn pass_on(&self) -> io::Result<()> {
        self.expected.set(false);
        self.stream.borrow_mut().pass_on()?;
        self.uncommitted.set(false);
        Ok(())
    }

    pub fn synced(&self, position: Position) -> impl Future<Output = io::Result<()>> + use<> {
        self.stream.borrow_mut().synced(position)
    }

    /// Records what is not part of a session's work, in a batch of its own.
    pub fn record(&self, event: &Event) {
        self.look_at_the_clocks();
        self.append(event);
        self.commit_quietly();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

/// What is committed reaches its segment, and what has ended is committed, within this: long enough
/// that many records go together, and short enough that nobody who reads them notices.
const PASS_ON_DELAY: Duration = Duration::from_millis(10);
/// After a failure, of which the stream tells the log, it is tried again.
const PASS_ON_AGAIN: Duration = Duration::from_millis(200);

/// Commits what nobody else has, and passes on what is committed, until the worker's last session
/// is gone.
pub async fn pass_on_in_time(shared: Weak<Shared>, mut alarm: Alarm) {
    let Some(bell) = shared.upgrade().map(|shared| shared.bell.clone()) else { return };
    loop {
        bell.notified().await;
        let mut delay = PASS_ON_DELAY;
        loop {
            if alarm.after(delay).await.is_err() {
                // What is committed must not wait for ever.
                tokio::time::sleep(delay).await;
            }
            let Some(shared) = shared.upgrade() else { return };
            if shared.pass_on().is_ok() {
                break;
            }
            delay = PASS_ON_AGAIN;
        }
    }
}
