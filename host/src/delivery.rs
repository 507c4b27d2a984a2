//! Delivery of the ledger to audit sinks: a thread per sink, a cursor that survives restarts.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portcullis_engine::{Engine, SinkHandle};
use portcullis_ledger::{Follower, Ledger};
use portcullis_policy::{Mode, PolicyName};

use crate::egress::HttpEgress;

const BATCH_BYTES_MAX: usize = 256 * 1024;
const BATCH_RECORDS_MAX: usize = 500;
/// How long a sink waits for news before it looks whether it is still wanted.
const IDLE: Duration = Duration::from_millis(500);
/// A sink that fails is tried again after this, then twice that, up to the second.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Since when records wait for each sink; none do where it has no time.
#[derive(Clone, Default)]
pub struct Waiting {
    since: Arc<Mutex<BTreeMap<PolicyName, Option<Instant>>>>,
}

impl Waiting {
    /// How long records have waited for each sink.
    pub fn now(&self) -> Vec<(PolicyName, Duration)> {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |since: &Option<Instant>| since.map(|since| since.elapsed()).unwrap_or_default();
        since.iter().map(|(sink, since)| (sink.clone(), age(since))).collect()
    }

    fn note(&self, sink: &PolicyName, waits: bool) {
        let mut all = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let since = all.entry(sink.clone()).or_default();
        *since = waits.then(|| since.unwrap_or_else(Instant::now));
    }

    fn forget(&self, sink: &PolicyName) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(sink);
    }
}

/// All sinks' threads.
pub struct Delivery {
    ledger: Ledger,
    cursors: PathBuf,
    stopping: Arc<AtomicBool>,
    active: Arc<Mutex<HashSet<PolicyName>>>,
    waiting: Waiting,
    threads: Vec<JoinHandle<()>>,
}

impl Delivery {
    pub fn new(ledger: Ledger, cursors: &Path, waiting: Waiting) -> Delivery {
        Delivery {
            ledger,
            cursors: cursors.to_owned(),
            stopping: Arc::default(),
            active: Arc::default(),
            waiting,
            threads: Vec::new(),
        }
    }

    /// Starts a thread for every sink in force that has none.
    pub fn adjust(&mut self, engine: &Arc<Engine>) {
        self.threads.retain(|thread| !thread.is_finished());
        for sink in engine.sinks() {
            let name = sink.name().clone();
            if sink.mode() == Mode::Observe || !self.lock().insert(name.clone()) {
                continue;
            }
            let cursor = self.cursors.join(format!("{name}.cursor"));
            let follower =
                std::fs::create_dir_all(&self.cursors).and_then(|()| self.ledger.follow(&cursor));
            let follower = match follower {
                Ok(follower) => follower,
                Err(error) => {
                    tracing::error!(sink = &*name, %error, "the sink's cursor cannot be read; nothing is delivered");
                    self.lock().remove(&name);
                    continue;
                }
            };
            let (engine, stopping, active) =
                (engine.clone(), self.stopping.clone(), self.active.clone());
            let waiting = self.waiting.clone();
            let run = {
                let name = name.clone();
                move || {
                    deliver(&engine, &name, follower, (&stopping, &waiting));
                    waiting.forget(&name);
                    active.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
                }
            };
            match std::thread::Builder::new().name(format!("sink-{name}")).spawn(run) {
                Ok(thread) => self.threads.push(thread),
                Err(error) => {
                    tracing::error!(sink = &*name, %error, "no thread for the sink");
                    self.lock().remove(&name);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PolicyName>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets each sink finish what it is delivering. What is left is delivered after the next
    /// start: the cursors say from where.
    pub fn stop(mut self) {
        self.stopping.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a sink's thread ended by a panic");
            }
        }
    }
}

/// Delivers until the sink is gone, turned off, or everything stops.
fn deliver(
    engine: &Engine,
    name: &PolicyName,
    mut follower: Follower,
    (stopping, waiting): (&AtomicBool, &Waiting),
) {
    let mut changes = engine.subscribe();
    let mut sink: Option<(SinkHandle, HttpEgress)> = None;
    let mut backoff = BACKOFF_MIN;
    while !stopping.load(Ordering::Acquire) {
        if sink.is_none() || changes.has_changed().unwrap_or(false) {
            changes.mark_unchanged();
            let found = engine.sinks().into_iter().find(|found| found.name() == name);
            let Some(found) = found.filter(|found| found.mode() == Mode::Enforce) else { return };
            match HttpEgress::new(found.targets().clone()) {
                Ok(egress) => sink = Some((found, egress)),
                Err(error) => tracing::error!(sink = &**name, %error, "no HTTP client"),
            }
        }
        let stepped = sink.as_mut().map(|(sink, egress)| step(sink, egress, &mut follower));
        waiting.note(name, !matches!(stepped, Some(Ok(Step::Idle))));
        match stepped {
            Some(Ok(Step::Delivered)) => backoff = BACKOFF_MIN,
            Some(Ok(Step::Idle)) => follower.wait(IDLE),
            Some(Ok(Step::Refused)) | None => pause(&mut backoff, stopping),
            Some(Err(error)) => {
                tracing::warn!(sink = &**name, error, "not delivered; it is tried again");
                pause(&mut backoff, stopping);
            }
        }
    }
}

enum Step {
    Delivered,
    /// Nothing to deliver.
    Idle,
    /// The sink took nothing.
    Refused,
}

fn step(
    sink: &mut SinkHandle,
    egress: &HttpEgress,
    follower: &mut Follower,
) -> Result<Step, String> {
    let batch = follower
        .next_batch(BATCH_BYTES_MAX, BATCH_RECORDS_MAX)
        .map_err(|error| error.to_string())?;
    let Some(batch) = batch else { return Ok(Step::Idle) };
    let accepted = sink
        .deliver(&batch.events, &batch.ends, egress)
        .map_err(|fault| format!("{}: {}", fault.kind.as_str(), fault.message))?;
    follower.accept(accepted as usize).map_err(|error| error.to_string())?;
    Ok(if accepted == 0 { Step::Refused } else { Step::Delivered })
}

/// Waits, and twice as long the next time.
fn pause(backoff: &mut Duration, stopping: &AtomicBool) {
    let until = std::time::Instant::now() + *backoff;
    while std::time::Instant::now() < until && !stopping.load(Ordering::Acquire) {
        std::thread::park_timeout(Duration::from_millis(50).min(*backoff));
    }
    *backoff = (*backoff * 2).min(BACKOFF_MAX);
}
