//! The engine as its callers see it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use portcullis_policy::set::PolicyHub;
use tokio::sync::watch;

use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::loader::Loader;
use crate::policy::SetSummary;
use crate::population::Population;
use crate::sink::SinkHandle;
use crate::watcher::{self, Publisher, Signal};
use crate::worker::Hub;

/// Policies in force, kept so as the plugin directory changes. Clones are one engine; the
/// directory is followed until the last one is dropped, and sets handed out go on working.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    publisher: Publisher,
    signals: Sender<Signal>,
    population: Population,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.inner.publisher.current.load().revision;
        f.debug_struct("Engine").field("revision", &revision).finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads the directory, publishes revision 1 and follows the directory from then on.
    /// Broken policies hold back themselves only; the directory itself must be readable.
    pub fn open(config: EngineConfig) -> Result<Engine, EngineError> {
        crate::plugin_dir::list(&config.plugin_dir).map_err(|reason| {
            EngineError::new(format!("plugin directory {} {reason}", config.plugin_dir.display()))
        })?;
        let loader = Loader::new(config.clone())?;
        let population = loader.population();
        let publisher = Publisher::new();
        let (sender, receiver) = channel();
        watcher::start(&config, loader, publisher.clone(), (sender.clone(), receiver))?;
        Ok(Engine { inner: Arc::new(Inner { publisher, signals: sender, population }) })
    }

    /// Hands each worker its own source of policy sets.
    pub fn hub(&self) -> Arc<dyn PolicyHub> {
        Arc::new(Hub { current: Arc::clone(&self.inner.publisher.current) })
    }

    /// What is in force, and every change of it.
    pub fn subscribe(&self) -> watch::Receiver<Arc<SetSummary>> {
        self.inner.publisher.summary.subscribe()
    }

    /// How many instances there are.
    pub fn population(&self) -> Population {
        self.inner.population.clone()
    }

    /// Looks at the directory now, and tries again what failed. Returns at once; the result
    /// comes to those who subscribed.
    pub fn reload(&self) {
        let _ = self.inner.signals.send(Signal::Reload);
    }

    /// The audit sinks of the set now in force, each with an instance of its own.
    pub fn sinks(&self) -> Vec<SinkHandle> {
        let set = self.inner.publisher.current.load_full();
        let sinks = set.policies.iter().filter(|policy| policy.kinds().audit_sink);
        sinks.map(|policy| SinkHandle::new(Arc::clone(policy))).collect()
    }
}
