//! What the sessions of one worker share, without a lock.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use portcullis_approvals::Approvals;
use portcullis_ledger::{Ledger, Position, Stream};
use portcullis_masking::Keys;
use portcullis_policy::PolicySource;
use portcullis_policy::event::Event;
use tokio::sync::watch;

use crate::buffers::Buffers;
use crate::facts::FactsCache;
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

/// What the sessions of one worker share.
pub struct Shared {
    pub buffers: Buffers,
    pub facts: FactsCache,
    pub policies: Box<dyn PolicySource>,
    pub ledger: Ledger,
    pub approvals: Approvals,
    pub metrics: Arc<WorkerMetrics>,
    stream: RefCell<Stream>,
    uncommitted: Cell<bool>,
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
            policies,
            ledger,
            approvals,
            metrics,
            stream: RefCell::new(stream),
            uncommitted: Cell::new(false),
            analysis: portcullis_sql::Limits {
                statement_bytes_max: limits.statement_bytes_max,
                ..portcullis_sql::Limits::default()
            },
            limits,
            keys,
            phases,
        }
    }

    /// Adds a record to the batch.
    pub fn append(&self, event: &Event) {
        self.stream.borrow_mut().append(event);
        self.uncommitted.set(true);
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
        committed
    }

    /// For records of what has already happened: a failure shows at the next statement, which
    /// is refused.
    pub fn commit_quietly(&self) {
        if self.uncommitted.get() {
            let _ = self.commit();
        }
    }

    pub fn synced(&self, position: Position) -> impl Future<Output = io::Result<()>> + use<> {
        self.stream.borrow().synced(position)
    }

    pub fn record(&self, event: &Event) {
        self.append(event);
        self.commit_quietly();
    }
}
