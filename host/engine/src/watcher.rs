//! Follows the plugin directory and publishes what it asks for.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::watch;

use crate::config::{DEBOUNCE, DEBOUNCE_MAX, EngineConfig};
use crate::error::EngineError;
use crate::loader::{Loaded, Loader};
use crate::policy::{Set, SetSummary};

/// What the watching thread is told.
pub(crate) enum Signal {
    /// Something in the directory changed.
    Stirred,
    /// Look now, and try again what failed.
    Reload,
    Stop,
}

/// Where published sets go.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) current: Arc<ArcSwap<Set>>,
    pub(crate) summary: watch::Sender<Arc<SetSummary>>,
}

impl Publisher {
    pub(crate) fn new() -> Publisher {
        let empty = Set { revision: 0, policies: Vec::new() };
        Publisher {
            current: Arc::new(ArcSwap::from_pointee(empty)),
            summary: watch::Sender::new(Arc::new(SetSummary::default())),
        }
    }

    /// Publishes what is new: a set gets the next revision, failures alone the same one.
    fn publish(&self, loaded: Loaded) {
        let before = self.current.load_full();
        let summary_before = Arc::clone(&self.summary.borrow());
        // The first set is published even when it is empty: a revision says "looked at".
        if before.revision > 0 && before.is_same(&loaded.policies) {
            if loaded.failures != summary_before.failures {
                let failures = loaded.failures;
                log(before.revision, &[], &failures, &summary_before);
                let same = SetSummary::clone(&summary_before);
                self.summary.send_replace(Arc::new(SetSummary {
                    changes: Vec::new(),
                    failures,
                    ..same
                }));
            }
            return;
        }
        let set = Set { revision: before.revision.saturating_add(1), policies: loaded.policies };
        let summary = SetSummary {
            revision: set.revision,
            policies: set.policies.iter().map(|policy| policy.summary()).collect(),
            changes: set.changes_since(&before),
            failures: loaded.failures,
        };
        log(summary.revision, &summary.changes, &summary.failures, &summary_before);
        self.current.store(Arc::new(set));
        self.summary.send_replace(Arc::new(summary));
    }
}

fn log(revision: u64, changes: &[String], failures: &[crate::error::Failure], before: &SetSummary) {
    for change in changes {
        tracing::info!(revision, "policy {change}");
    }
    for failure in failures.iter().filter(|failure| !before.failures.contains(failure)) {
        tracing::error!(revision, "policy not in force as its file says: {failure}");
    }
    if !changes.is_empty() {
        tracing::info!(revision, "policy set in force");
    }
}

/// Starts the thread; returns once the first set is published.
pub(crate) fn start(
    config: &EngineConfig,
    mut loader: Loader,
    publisher: Publisher,
    signals: (Sender<Signal>, Receiver<Signal>),
) -> Result<(), EngineError> {
    let (sender, receiver) = signals;
    let directory = config.plugin_dir.clone();
    let poll_interval = config.poll_interval.max(Duration::from_millis(10));
    let (first, published) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        lower_priority();
        // The watch comes before the first look, so that no change falls between them.
        let mut watch = Watch::new(&directory, sender);
        publisher.publish(loader.load(false));
        let _ = first.send(());
        while let Some(retry) = next(&receiver, poll_interval) {
            watch.renew(&directory);
            publisher.publish(loader.load(retry));
        }
    };
    std::thread::Builder::new()
        .name("policy-watcher".to_owned())
        .spawn(run)
        .map_err(|error| EngineError::new(format!("no thread for the watcher: {error}")))?;
    published.recv().map_err(|_| EngineError::new("the policies could not be loaded"))
}

/// Waits until the directory is to be looked at; `None` when the engine is gone. True asks
/// for another try of what failed.
fn next(signals: &Receiver<Signal>, poll_interval: Duration) -> Option<bool> {
    match signals.recv_timeout(poll_interval) {
        Ok(Signal::Reload) => Some(true),
        Ok(Signal::Stirred) => settle(signals),
        Err(RecvTimeoutError::Timeout) => Some(false),
        Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// Waits until the directory has been still for a moment: files are written in several steps.
fn settle(signals: &Receiver<Signal>) -> Option<bool> {
    let started = Instant::now();
    while started.elapsed() < DEBOUNCE_MAX {
        match signals.recv_timeout(DEBOUNCE) {
            Ok(Signal::Stirred) => {}
            Ok(Signal::Reload) => return Some(true),
            Err(RecvTimeoutError::Timeout) => return Some(false),
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    Some(false)
}

/// The operating system's notices about the directory, where it gives any; polling does the
/// rest.
struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    /// The directory as watched: a link to it may be swapped.
    resolved: Option<std::path::PathBuf>,
}

impl Watch {
    fn new(directory: &Path, signals: Sender<Signal>) -> Watch {
        let tell = move |event: notify::Result<notify::Event>| {
            // Reading the directory is itself an event; only changes count.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = signals.send(Signal::Stirred);
            }
        };
        let watcher = match notify::recommended_watcher(tell) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "no notices of changes; the plugin directory is polled");
                None
            }
        };
        let mut watch = Watch { watcher, resolved: None };
        watch.renew(directory);
        watch
    }

    /// Watches the directory that the path leads to now.
    fn renew(&mut self, directory: &Path) {
        let resolved = directory.canonicalize().ok();
        let Some(watcher) = self.watcher.as_mut() else { return };
        if resolved == self.resolved {
            return;
        }
        if let Some(old) = self.resolved.take() {
            let _ = watcher.unwatch(&old);
        }
        if let Some(new) = resolved {
            match watcher.watch(&new, RecursiveMode::NonRecursive) {
                Ok(()) => self.resolved = Some(new),
                Err(error) => {
                    tracing::warn!(%error, "the plugin directory is polled only");
                }
            }
        }
    }
}

/// How far compilation steps back: about a third of the processor where others want it.
const NICE: i32 = 5;

/// Statements come before compilation. The compiler's own threads are started from this one
/// and inherit it.
fn lower_priority() {
    let this = Some(rustix::thread::gettid());
    if let Err(error) = rustix::process::setpriority_process(this, NICE) {
        tracing::debug!(%error, "compilation runs at normal priority");
    }
}
