//! Following the ledger for a sink: at least once, in order within a stream.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::horizon::Horizons;
use crate::lines::{Line, Lines, Place};
use crate::segment;

/// Records to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Records as JSON, each followed by a newline.
    pub events: Vec<u8>,
    /// Where each record ends in `events`, its newline included.
    pub ends: Vec<u32>,
}

/// A sink's way through the ledger. Its cursor is a file, replaced by rename after records
/// were accepted; so a crash offers records again and loses none.
pub struct Follower {
    ledger: PathBuf,
    cursor_file: PathBuf,
    cursor: Cursor,
    horizons: Arc<Horizons>,
    heard: u64,
    /// For each record on offer, its stream and where the next one begins.
    offered: Vec<(Arc<str>, Place)>,
}

/// The contents of a cursor file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    v: u32,
    streams: BTreeMap<String, StreamCursor>,
}

/// How far one stream has been delivered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamCursor {
    segment: u64,
    offset: u64,
}

const CURSOR_LAYOUT: u32 = 1;

impl Follower {
    pub(crate) fn open(
        ledger: &Path,
        cursor_file: &Path,
        horizons: Arc<Horizons>,
    ) -> io::Result<Follower> {
        Ok(Follower {
            ledger: ledger.to_owned(),
            cursor_file: cursor_file.to_owned(),
            cursor: Cursor::load(cursor_file)?,
            horizons,
            heard: 0,
            offered: Vec::new(),
        })
    }

    /// The next records, at most `records_max` and at most `bytes_max`; a single record
    /// larger than that comes alone. `None` when everything on disk has been accepted.
    /// Records offered before and not accepted come again.
    pub fn next_batch(
        &mut self,
        bytes_max: usize,
        records_max: usize,
    ) -> io::Result<Option<Batch>> {
        // What happens from here on rings the bell once more.
        self.heard = self.horizons.rings();
        self.offered.clear();
        let mut batch = Batch { events: Vec::new(), ends: Vec::new() };
        for stream in segment::streams(&self.ledger)? {
            if !self.fill(&mut batch, &stream, bytes_max, records_max)? {
                break;
            }
        }
        Ok((!batch.ends.is_empty()).then_some(batch))
    }

    /// Remembers that the first `records` of the batch on offer were accepted.
    pub fn accept(&mut self, records: usize) -> io::Result<()> {
        if records > self.offered.len() {
            let message = "more records accepted than offered";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        for (stream, place) in self.offered.drain(..records) {
            let reached = StreamCursor { segment: place.segment, offset: place.offset };
            self.cursor.streams.insert(stream.to_string(), reached);
        }
        if records > 0 { self.cursor.store(&self.cursor_file) } else { Ok(()) }
    }

    /// Waits until there may be more than the last batch saw, or `timeout` has passed.
    pub fn wait(&self, timeout: Duration) {
        self.horizons.wait(self.heard, timeout);
    }

    /// Adds records of one stream. False when the batch is full.
    fn fill(
        &mut self,
        batch: &mut Batch,
        stream: &str,
        bytes_max: usize,
        records_max: usize,
    ) -> io::Result<bool> {
        let horizon = self.horizons.of(stream);
        let directory = segment::stream_directory(&self.ledger, stream);
        let mut lines = Lines::from(directory, self.cursor.of(stream));
        let name: Arc<str> = Arc::from(stream);
        let mut line = Vec::new();
        loop {
            if batch.ends.len() >= records_max {
                return Ok(false);
            }
            match lines.next(&mut line, horizon)? {
                Line::End => return Ok(true),
                // Not a record. The reader of the ledger reports it; a sink gets records.
                Line::Cut => continue,
                Line::Whole => {}
            }
            let size = batch.events.len().saturating_add(line.len()).saturating_add(1);
            let Ok(end) = u32::try_from(size) else { return Ok(false) };
            if size > bytes_max && !batch.ends.is_empty() {
                return Ok(false);
            }
            batch.events.extend_from_slice(&line);
            batch.events.push(b'\n');
            batch.ends.push(end);
            self.offered.push((Arc::clone(&name), lines.place()));
        }
    }
}

impl Cursor {
    fn load(path: &Path) -> io::Result<Cursor> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Cursor { v: CURSOR_LAYOUT, streams: BTreeMap::new() });
            }
            Err(error) => return Err(error),
        };
        let cursor: Cursor = serde_json::from_slice(&text).map_err(|error| broken(path, &error))?;
        if cursor.v != CURSOR_LAYOUT {
            return Err(broken(path, &format!("its layout is {}", cursor.v)));
        }
        Ok(cursor)
    }

    fn of(&self, stream: &str) -> Place {
        match self.streams.get(stream) {
            Some(reached) => Place { segment: reached.segment, offset: reached.offset },
            None => Place::START,
        }
    }

    fn store(&self, path: &Path) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => {
                File::open(directory)?.sync_all()
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn broken(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    let message = format!(
        "the cursor file {} cannot be read: {why}; remove it to deliver the ledger from its beginning",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}
