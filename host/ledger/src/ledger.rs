//! The handle that workers, sinks and the rest of the process share.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_policy::event::EventId;

use crate::event_id::EventIds;
use crate::follower::Follower;
use crate::horizon::Horizons;
use crate::segment;
use crate::staging::{self, Staging};
use crate::stream::{Options, Stream};
use crate::sync::Delay;

/// The ledger, open for writing. Cloning gives another handle on the same ledger.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    options: Options,
    ids: EventIds,
    horizons: Arc<Horizons>,
    delays: Mutex<Vec<Delay>>,
    lock: Arc<File>,
}

impl Ledger {
    /// Opens the ledger in `directory`, which is made if need be and closed to others. Only
    /// one process at a time may have it open.
    pub fn open(directory: &Path, options: Options) -> io::Result<Ledger> {
        segment::make_private(directory)?;
        let lock = lock(directory)?;
        staging::recover(directory)?;
        let inner = Inner {
            directory: directory.to_owned(),
            options,
            ids: EventIds::new()?,
            horizons: Arc::new(Horizons::default()),
            delays: Mutex::default(),
            lock: Arc::new(lock),
        };
        Ok(Ledger { inner: Arc::new(inner) })
    }

    /// The stream of one writer, each of whose commits is written to its segment. A second one of
    /// the same number is refused while the first lives.
    pub fn stream(&self, number: usize) -> io::Result<Stream> {
        self.open_stream(number, false)
    }

    /// The same for who commits often: commits are staged, and [passed on](Stream::pass_on)
    /// together.
    pub fn staging_stream(&self, number: usize) -> io::Result<Stream> {
        self.open_stream(number, true)
    }

    fn open_stream(&self, number: usize, stages: bool) -> io::Result<Stream> {
        let Inner { directory, options, horizons, lock, .. } = &*self.inner;
        let name = number.to_string();
        let bell = Arc::clone(horizons);
        let stream = horizons.enter(&name, || {
            let ring = Box::new(move || bell.ring());
            // A stream of ours may have ended when it could not be written.
            staging::recover_stream(directory, &name)?;
            let staging = if stages { staging(directory, &name) } else { None };
            let lock = Arc::clone(lock);
            let stream = Stream::open(directory, &name, options, staging, ring, lock)?;
            let progress = stream.progress();
            Ok((stream, progress))
        })?;
        let mut delays = self.inner.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.retain(|delay| delay.now().is_some());
        delays.push(stream.delay());
        Ok(stream)
    }

    /// The age of the oldest record that is written and not yet on disk.
    pub fn delay(&self) -> Duration {
        let delays = self.inner.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.iter().filter_map(Delay::now).max().unwrap_or_default()
    }

    /// A new name for an event of this time: unique over workers and restarts, sortable by time.
    pub fn event_id(&self, now: SystemTime) -> EventId {
        self.inner.ids.next(now)
    }

    /// Follows the ledger for a sink, from where `cursor_file` says the last one stopped, or
    /// from the beginning. Two followers must not share a cursor file.
    pub fn follow(&self, cursor_file: &Path) -> io::Result<Follower> {
        let horizons = Arc::clone(&self.inner.horizons);
        Follower::open(&self.inner.directory, cursor_file, horizons)
    }

    /// Where the ledger is, for [`Reader`](crate::Reader).
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }
}

/// Without it the ledger is as good, and slower.
fn staging(directory: &Path, stream: &str) -> Option<Staging> {
    let staging = Staging::create(directory, stream);
    staging.inspect_err(|error| tracing::info!(stream, %error, "records are not staged")).ok()
}

fn lock(directory: &Path) -> io::Result<File> {
    let path = directory.join("lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another process has the ledger {} open", directory.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}
