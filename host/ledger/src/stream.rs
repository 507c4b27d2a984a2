//! One worker's records on their way into its segments.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_policy::event::Event;
use tokio::sync::watch;

use crate::head::{Clock, Place};
use crate::record::{Note, Writer};
use crate::segment;
use crate::staging::Staging;
use crate::statements::Intent;
use crate::sync::{Delay, Mark, Progress, Syncer};

/// How a stream behaves; set for the whole ledger.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment that would grow beyond this is finished, and the next one begun.
    pub segment_bytes_max: u64,
    /// What nobody waits for is on disk within this, once it is in a segment.
    pub sync_interval: std::time::Duration,
    /// While the ledger cannot be written, records wait up to this; further ones are counted
    /// and not kept.
    pub backlog_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes_max: 64 << 20,
            sync_interval: std::time::Duration::from_millis(200),
            backlog_bytes_max: 8 << 20,
        }
    }
}

/// A place in a stream: everything appended before the commit that returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    seq: u64,
}

/// One worker's stream. Not shared: each worker has its own.
pub struct Stream {
    name: String,
    directory: PathBuf,
    options: Options,
    file: Arc<File>,
    /// Where commits go until they are passed on.
    staging: Option<Staging>,
    /// Up to where the operating system has the stream: the end of what is staged.
    written: Mark,
    /// Number of the last record in `pending`, or of the last one written.
    seq: u64,
    pending: Vec<u8>,
    writer: Writer,
    /// A sync of the segment has failed: nothing more may go into it.
    doubtful: bool,
    /// Why nothing can be written at present.
    outage: Option<Outage>,
    syncer: Syncer,
    /// The ledger's lock: held until its last stream is gone.
    _lock: Arc<File>,
}

struct Outage {
    since: String,
    error: String,
    first_seq: u64,
    unwritten: u64,
}

impl Stream {
    pub(crate) fn open(
        ledger: &Path,
        name: &str,
        options: &Options,
        staging: Option<Staging>,
        on_progress: Box<dyn Fn() + Send + Sync>,
        lock: Arc<File>,
    ) -> io::Result<Stream> {
        let directory = segment::stream_directory(ledger, name);
        segment::make_private(&directory)?;
        let tail = segment::tail(&directory)?;
        let number = tail.segment.max(1);
        let file = segment::open_last(&directory, &tail)?;
        if tail.torn > 0 {
            file.set_len(tail.length)?;
        }
        // What was there before counts as on disk from now on, so it must be.
        file.sync_all()?;
        File::open(&directory)?.sync_all()?;
        File::open(ledger)?.sync_all()?;
        let written = Mark { seq: tail.seq, segment: number, offset: tail.length };
        let mut stream = Stream {
            name: name.to_owned(),
            directory,
            options: options.clone(),
            file: Arc::new(file),
            staging,
            written,
            seq: tail.seq,
            pending: Vec::with_capacity(1 << 16),
            writer: Writer::of(name),
            doubtful: false,
            outage: None,
            syncer: Syncer::start(name, written, options.sync_interval, on_progress)?,
            _lock: lock,
        };
        if tail.torn > 0 {
            tracing::warn!(stream = name, bytes = tail.torn, "a torn record was cut off");
            stream.note(&Note::Recovered { segment: number, bytes_removed: tail.torn });
            stream.pass_on()?;
        }
        Ok(stream)
    }

    /// Adds a record to the batch. It is in the ledger after the next commit. False when it was
    /// only counted, since too much waits already: then what it tells of must not happen, also
    /// where the commit goes well.
    pub fn append(&mut self, event: &Event) -> bool {
        self.append_at(event, SystemTime::now())
    }

    /// The same for somebody who has just looked at the clock.
    pub fn append_at(&mut self, event: &Event, now: SystemTime) -> bool {
        let before = self.pending.len();
        let place = Place { seq: self.seq.saturating_add(1), now };
        self.writer.event(&mut self.pending, place, event);
        self.keep(before)
    }

    /// The same, for what is about to leave.
    pub fn append_intent_at(&mut self, intent: &Intent<'_>, now: SystemTime) -> bool {
        let before = self.pending.len();
        let place = Place { seq: self.seq.saturating_add(1), now };
        self.writer.intent(&mut self.pending, place, intent);
        self.keep(before)
    }

    /// Hands the batch to the operating system: into the staging of a stream that has one, and
    /// otherwise by one `write` call, unless the system takes less at a time.
    ///
    /// After an error the batch is kept, and each later commit tries again from where the
    /// ledger is whole; until one succeeds all of them fail.
    pub fn commit(&mut self) -> io::Result<Position> {
        if let Some(failure) = self.syncer.take_failure() {
            self.leave_segment(&failure);
        }
        if !self.pending.is_empty() || self.outage.is_some() {
            self.write()?;
        }
        if let Some(outage) = self.outage.take() {
            tracing::info!(stream = self.name, since = outage.since, "the ledger is written again");
            self.note(&Note::Resumed {
                since: &outage.since,
                error: &outage.error,
                first_seq: outage.first_seq,
                last_seq: self.written.seq,
                unwritten: outage.unwritten,
            });
            self.write()?;
        }
        Ok(Position { seq: self.written.seq })
    }

    /// Commits, and moves what is staged into the segment, where readers find it and whence it
    /// comes to the disk. To be called soon after each commit of a stream that stages.
    pub fn pass_on(&mut self) -> io::Result<()> {
        self.commit()?;
        self.unstage().inspect_err(|error| self.suffer(error))
    }

    /// True while the segment does not hold all that was committed.
    pub(crate) fn has_staged(&self) -> bool {
        self.staged() > 0
    }

    /// Ready when the disk has everything up to `position`; an error when it may not.
    ///
    /// Cancel safe: dropping the future changes nothing.
    pub fn synced(
        &mut self,
        position: Position,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let passed_on = self.pass_on();
        let synced = self.syncer.wait(position.seq);
        async move {
            passed_on?;
            synced.await
        }
    }

    pub(crate) fn delay(&self) -> Delay {
        self.syncer.delay()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.syncer.watch()
    }

    #[cfg(test)]
    pub(crate) fn sync_also(&self, file: File) {
        self.syncer.also(file);
    }

    #[cfg(test)]
    pub(crate) fn write_to(&mut self, file: Arc<File>) -> Arc<File> {
        std::mem::replace(&mut self.file, file)
    }

    fn note(&mut self, note: &Note<'_>) {
        let place = Place { seq: self.seq.saturating_add(1), now: SystemTime::now() };
        self.writer.note(&mut self.pending, place, note);
        self.seq = self.seq.saturating_add(1);
    }

    /// Keeps the record just written behind `before`, unless the backlog is full.
    fn keep(&mut self, before: usize) -> bool {
        if let Some(outage) = &mut self.outage
            && self.pending.len() > self.options.backlog_bytes_max
        {
            self.pending.truncate(before);
            outage.unwritten += 1;
            return false;
        }
        self.seq = self.seq.saturating_add(1);
        true
    }

    fn write(&mut self) -> io::Result<()> {
        let result = self.try_write();
        if let Err(error) = &result {
            self.suffer(error);
        }
        result
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.outage.is_some() {
            // The failed write may have left a part behind.
            self.file.set_len(self.passed_on())?;
        }
        if self.doubtful && self.passed_on() > 0 {
            self.next_segment()?;
        }
        if self.outage.is_some() {
            // What is staged was promised before.
            self.unstage()?;
        }
        let length = self.pending.len() as u64;
        let is_full = self.written.offset.saturating_add(length) > self.options.segment_bytes_max;
        if is_full && self.written.offset > 0 {
            self.unstage()?;
            self.next_segment()?;
        }
        if !self.stage()? {
            (&*self.file).write_all(&self.pending)?;
        }
        self.written.offset += length;
        self.written.seq = self.seq;
        self.pending.clear();
        // A batch of unusual size does not keep its memory for ever.
        self.pending.shrink_to(1 << 20);
        if !self.has_staged() {
            self.syncer.written(self.written, &self.file);
        }
        Ok(())
    }

    /// Stages the batch. False where it has to be written, being larger than what can be staged.
    fn stage(&mut self) -> io::Result<bool> {
        if self.staging.as_ref().is_some_and(|staging| !staging.has_room(self.pending.len())) {
            self.unstage()?;
        }
        Ok(self.staging.as_mut().is_some_and(|staging| staging.push(&self.pending)))
    }

    fn staged(&self) -> u64 {
        self.staging.as_ref().map_or(0, |staging| staging.len() as u64)
    }

    /// The segment's length.
    fn passed_on(&self) -> u64 {
        self.written.offset.saturating_sub(self.staged())
    }

    /// Writes into the segment what is staged, in one call.
    fn unstage(&mut self) -> io::Result<()> {
        let Some(staging) = self.staging.as_mut().filter(|staging| !staging.is_empty()) else {
            return Ok(());
        };
        (&*self.file).write_all(staging.records())?;
        staging.clear();
        self.syncer.written(self.written, &self.file);
        Ok(())
    }

    /// Goes on in a new segment, with what is staged.
    fn next_segment(&mut self) -> io::Result<()> {
        let number = self.written.segment + 1;
        let file = segment::create(&self.directory, number)?;
        self.file = Arc::new(file);
        self.written.segment = number;
        self.written.offset = self.staged();
        self.doubtful = false;
        self.syncer.also(File::open(&self.directory)?);
        Ok(())
    }

    /// After a failed sync the kernel may have thrown pages away and call the next sync a
    /// success. So nothing more goes into that segment, and the records in doubt are named.
    fn leave_segment(&mut self, failure: &crate::sync::Failure) {
        self.note(&Note::Unsynced {
            first_seq: failure.first_seq,
            last_seq: failure.last_seq,
            error: &failure.message,
        });
        // The note is written next, into the segment that this begins.
        self.doubtful = true;
    }

    fn suffer(&mut self, error: &io::Error) {
        if self.outage.is_some() {
            return;
        }
        tracing::error!(stream = self.name, %error, "the ledger cannot be written");
        let mut since = Vec::new();
        Clock::default().write(&mut since, SystemTime::now());
        self.outage = Some(Outage {
            since: String::from_utf8_lossy(&since).into_owned(),
            error: error.to_string(),
            first_seq: self.written.seq.saturating_add(1),
            unwritten: 0,
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Err(error) = self.pass_on() {
            let bytes = self.pending.len();
            tracing::error!(stream = self.name, %error, bytes, "records were lost at the end");
        }
    }
}
