//! Getting records to the disk: one helper thread per stream, one fdatasync for everybody
//! who waits.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Ranges of records that a failed sync may have lost are kept apart up to this many; then
/// they are taken together, which fails too much rather than too little.
const FAILURES_MAX: usize = 64;

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub seq: u64,
    pub segment: u64,
    pub offset: u64,
}

/// Records that the disk may not have.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub first_seq: u64,
    pub last_seq: u64,
    pub kind: io::ErrorKind,
    pub message: String,
}

impl Failure {
    fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.message.clone())
    }
}

/// What is known about the disk.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub synced: Mark,
    failures: Vec<Failure>,
}

impl Progress {
    /// What became of record `seq`; `None` while it is under way.
    fn of(&self, seq: u64) -> Option<io::Result<()>> {
        let failed = |failure: &&Failure| failure.first_seq <= seq && seq <= failure.last_seq;
        if let Some(failure) = self.failures.iter().find(failed) {
            return Some(Err(failure.error()));
        }
        (seq <= self.synced.seq).then_some(Ok(()))
    }

    fn failed(&mut self, failure: Failure) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        } else if let Some(last) = self.failures.last_mut() {
            *last = Failure { first_seq: last.first_seq, ..failure };
        }
    }
}

#[derive(Default)]
struct State {
    written: Mark,
    /// Everything with unsynced contents: segments, and directories with new names in them.
    files: Vec<Arc<File>>,
    dirty: bool,
    /// When the oldest record was written that the disk does not have, as far as is known.
    unsynced_since: Option<Instant>,
    urgent: bool,
    closing: bool,
    /// A failure the stream has not been told of yet.
    failure: Option<Failure>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
    on_progress: Box<dyn Fn() + Send + Sync>,
}

/// The stream's end of its helper thread. Dropping it syncs what is left and ends the thread.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the helper of a stream whose records up to `start` are on disk.
    pub(crate) fn start(
        name: &str,
        start: Mark,
        interval: Duration,
        on_progress: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<Syncer> {
        let progress = watch::Sender::new(Progress { synced: start, failures: Vec::new() });
        let state = Mutex::new(State { written: start, ..State::default() });
        let shared = Arc::new(Shared { state, wake: Condvar::new(), progress, on_progress });
        let helper = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("ledger-sync-{name}"))
            .spawn(move || run(&helper, interval))?;
        Ok(Syncer { shared, thread: Some(thread) })
    }

    /// Tells the helper what has been written, and to which files.
    pub(crate) fn written(&self, mark: Mark, file: &Arc<File>) {
        let mut state = self.shared.lock();
        state.written = mark;
        if !state.files.iter().any(|known| Arc::ptr_eq(known, file)) {
            state.files.push(Arc::clone(file));
        }
        if !state.dirty {
            state.dirty = true;
            state.unsynced_since.get_or_insert_with(Instant::now);
            self.shared.wake.notify_one();
        }
    }

    /// Has `file` synced together with what is written next: a directory with a new name.
    pub(crate) fn also(&self, file: File) {
        self.shared.lock().files.push(Arc::new(file));
    }

    /// Ready when record `seq` is on disk, or may not be.
    pub(crate) fn wait(&self, seq: u64) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let mut progress = self.shared.progress.subscribe();
        let known = progress.borrow().of(seq);
        if known.is_none() {
            let mut state = self.shared.lock();
            state.urgent = true;
            self.shared.wake.notify_one();
        }
        async move {
            if let Some(known) = known {
                return known;
            }
            let ended = || io::Error::other("the ledger was closed");
            let progress = progress.wait_for(|progress| progress.of(seq).is_some()).await;
            progress.map_err(|_| ended())?.of(seq).unwrap_or_else(|| Err(ended()))
        }
    }

    /// A sync that failed since this was last asked.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.shared.lock().failure.take()
    }

    /// How far behind the disk is, to be asked by others.
    pub(crate) fn delay(&self) -> Delay {
        Delay(Arc::downgrade(&self.shared))
    }

    /// How far the disk is.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }
}

/// How far behind the disk is, in a stream that may be gone by then.
pub(crate) struct Delay(Weak<Shared>);

impl Delay {
    /// The age of the oldest record that the disk does not have; `None` once the stream is
    /// closed.
    pub(crate) fn now(&self) -> Option<Duration> {
        let shared = self.0.upgrade()?;
        let since = shared.lock().unsynced_since;
        Some(since.map(|since| since.elapsed()).unwrap_or_default())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A helper that panicked has nothing left to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(shared: &Shared, interval: Duration) {
    loop {
        let Some((mark, files)) = next_round(shared, interval) else { return };
        let began = Instant::now();
        let result = files.iter().try_for_each(|file| file.sync_data());
        if let Err(error) = &result {
            tracing::error!(%error, "the ledger could not be brought to the disk");
            remember(shared, mark, error);
        }
        shared.progress.send_modify(|progress| {
            if let Err(error) = result {
                progress.failed(failure(progress.synced.seq, mark, &error));
            }
            progress.synced = mark;
        });
        let mut state = shared.lock();
        // What was written meanwhile is younger than this round.
        state.unsynced_since = state.dirty.then_some(began);
        drop(state);
        (shared.on_progress)();
    }
}

fn failure(synced_seq: u64, mark: Mark, error: &io::Error) -> Failure {
    Failure {
        first_seq: synced_seq.saturating_add(1),
        last_seq: mark.seq,
        kind: error.kind(),
        message: error.to_string(),
    }
}

fn remember(shared: &Shared, mark: Mark, error: &io::Error) {
    let synced_seq = shared.progress.borrow().synced.seq;
    let mut state = shared.lock();
    let first_seq = state.failure.as_ref().map(|before| before.first_seq);
    let mut failure = failure(synced_seq, mark, error);
    failure.first_seq = first_seq.unwrap_or(failure.first_seq);
    state.failure = Some(failure);
}

/// Waits until there is something to sync and either somebody waits for it or `interval`
/// has passed. `None` when the stream is closed and everything is synced.
fn next_round(shared: &Shared, interval: Duration) -> Option<(Mark, Vec<Arc<File>>)> {
    let idle = |state: &mut State| !state.dirty && !state.closing;
    let state = shared.wake.wait_while(shared.lock(), idle);
    let state = state.unwrap_or_else(PoisonError::into_inner);
    let patient = |state: &mut State| !state.urgent && !state.closing;
    let state = shared.wake.wait_timeout_while(state, interval, patient);
    let (mut state, _) = state.unwrap_or_else(PoisonError::into_inner);
    if !state.dirty {
        return None;
    }
    state.dirty = false;
    state.urgent = false;
    Some((state.written, std::mem::take(&mut state.files)))
}
