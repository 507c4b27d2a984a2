//! How far the disk is, for all open streams: followers see no further.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::sync::{Mark, Progress};

/// The open streams of a ledger, and a bell that rings when one of them reached the disk.
#[derive(Default)]
pub(crate) struct Horizons {
    streams: Mutex<BTreeMap<String, watch::Receiver<Progress>>>,
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Horizons {
    /// Opens stream `name`, unless it is open.
    pub(crate) fn enter<S>(
        &self,
        name: &str,
        open: impl FnOnce() -> io::Result<(S, watch::Receiver<Progress>)>,
    ) -> io::Result<S> {
        let mut streams = lock(&self.streams);
        // The sending end lives in the stream: once that is dropped, the name is free.
        let in_use = |progress: &watch::Receiver<Progress>| progress.has_changed().is_ok();
        if streams.get(name).is_some_and(in_use) {
            let message = format!("stream {name} of the ledger is already open");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        let (stream, progress) = open()?;
        streams.insert(name.to_owned(), progress);
        Ok(stream)
    }

    /// How far stream `name` is on disk; `None` when this process never opened it, and all
    /// of it is.
    pub(crate) fn of(&self, name: &str) -> Option<Mark> {
        lock(&self.streams).get(name).map(|progress| progress.borrow().synced)
    }

    pub(crate) fn ring(&self) {
        let mut rings = lock(&self.rings);
        *rings = rings.wrapping_add(1);
        self.rung.notify_all();
    }

    /// How often the bell has rung.
    pub(crate) fn rings(&self) -> u64 {
        *lock(&self.rings)
    }

    /// Waits until the bell has rung more often than `heard`, or `timeout` has passed.
    pub(crate) fn wait(&self, heard: u64, timeout: Duration) {
        let rings = lock(&self.rings);
        let silent = |rings: &mut u64| *rings == heard;
        drop(self.rung.wait_timeout_while(rings, timeout, silent));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
