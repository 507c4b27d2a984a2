//! What a stream has committed and its segment does not hold yet: a small file, mapped into
//! memory.
//!
//! To hand a batch to the operating system by `write` costs more than all else that is done about
//! it: a system call, the file's length, new pages. To copy it into pages that a file has already
//! costs a fraction, and the system has it all the same: what a process has stored in a shared mapping
//! outlives the process, as what it has written does. So batches go here, and many of them together
//! into the segment, soon after.
//!
//! The file is there while its stream is open. One that is found at the start was left by a process
//! that was killed, and its records are moved where they belong ([`recover`]). Each batch has a
//! digest, by which one is known of which the disk has only a part.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};

use memmap2::MmapMut;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::segment;

const FILE_PREFIX: &str = "staging-";

/// How the file begins. A list of batches follows, each with where it ends in the records and a
/// digest of it, four bytes little-endian each; where it ends in zeros there are no more.
const MAGIC: &[u8; 8] = b"PCSTAGE1";
const ENTRY_BYTES: usize = 8;
/// Where the records begin: a page.
const RECORDS_AT: usize = 4096;
/// As many have room in front of them, with the zeros behind the last.
const BATCHES_MAX: usize = RECORDS_AT / ENTRY_BYTES - 2;
/// Large enough that moving it costs little per record, small enough to stay in the cache.
const RECORDS_BYTES: usize = 60 << 10;

/// Records on their way into a segment.
pub(crate) struct Staging {
    path: PathBuf,
    map: MmapMut,
    batches: usize,
    length: usize,
    /// Of the latest batch.
    digest: u32,
}

impl Staging {
    /// The staging of one stream, empty.
    ///
    /// # Errors
    /// Where there is one already, or the system has no such mappings.
    pub(crate) fn create(ledger: &Path, stream: &str) -> io::Result<Staging> {
        let path = path(ledger, stream);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        // All of it is written once: most file systems then have room for it when it is needed.
        let mut contents = vec![0; RECORDS_AT + RECORDS_BYTES];
        contents[..MAGIC.len()].copy_from_slice(MAGIC);
        let made =
            file.write_all(&contents).and_then(|()| file.sync_all()).and_then(|()| map(&file));
        match made {
            Ok(map) => Ok(Staging { path, map, batches: 0, length: 0, digest: 0 }),
            Err(error) => {
                // Half a file would be in the way of the next one.
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// All that is not in the segment yet.
    pub(crate) fn records(&self) -> &[u8] {
        &self.map[RECORDS_AT..RECORDS_AT + self.length]
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether a batch of so many bytes can be added.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.batches < BATCHES_MAX && bytes <= RECORDS_BYTES - self.length
    }

    /// Adds a batch of records, if there is room.
    pub(crate) fn push(&mut self, records: &[u8]) -> bool {
        if records.is_empty() || !self.has_room(records.len()) {
            return records.is_empty();
        }
        let begin = RECORDS_AT + self.length;
        self.map[begin..begin + records.len()].copy_from_slice(records);
        self.length += records.len();
        self.digest = digest(records, self.digest);
        // What an earlier use of the file has left behind it is no batch of this one.
        self.set_entry(self.batches + 1, 0, 0);
        // Whoever reads the file when this process is gone must not find an entry without what it
        // is of.
        fence(Ordering::Release);
        self.set_entry(self.batches, self.length as u32, self.digest);
        self.batches += 1;
        true
    }

    /// The segment has them all.
    pub(crate) fn clear(&mut self) {
        self.set_entry(0, 0, 0);
        fence(Ordering::Release);
        (self.batches, self.length, self.digest) = (0, 0, 0);
    }

    fn set_entry(&mut self, index: usize, end: u32, digest: u32) {
        let entry = u64::from(digest) << 32 | u64::from(end);
        let at = ENTRY_BYTES * (index + 1);
        self.map[at..at + ENTRY_BYTES].copy_from_slice(&entry.to_le_bytes());
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What could not be moved stays for the next start.
        if self.is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: a mapping is memory only as long as nobody else writes to its file or cuts it short.
    // This file was made a moment ago, under a name that did not exist, in a directory that is
    // closed to other users, and whoever writes the ledger holds its lock.
    unsafe { MmapMut::map_mut(file) }
}

fn path(ledger: &Path, stream: &str) -> PathBuf {
    ledger.join(format!("{FILE_PREFIX}{stream}"))
}

/// Of a batch behind the one with the digest `before`, so that each holds for its place only.
fn digest(records: &[u8], before: u32) -> u32 {
    // Half of it is enough to tell a batch from one that has not all come to the disk.
    xxh3_64_with_seed(records, u64::from(before)) as u32
}

/// Moves what killed processes left into the segments of their streams.
pub(crate) fn recover(ledger: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(ledger)? {
        let name = entry?.file_name();
        if let Some(stream) = name.to_str().and_then(|name| name.strip_prefix(FILE_PREFIX)) {
            recover_stream(ledger, stream)?;
        }
    }
    Ok(())
}

/// The same for one stream.
pub(crate) fn recover_stream(ledger: &Path, stream: &str) -> io::Result<()> {
    let path = path(ledger, stream);
    let contents = match std::fs::read(&path) {
        Ok(contents) => contents,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let left = whole_batches(&contents);
    if left.is_cut {
        tracing::warn!(stream, "the system stopped before the last records were on disk");
    }
    move_records(ledger, stream, left.records).map_err(|error| {
        let what =
            format!("what {} holds cannot be moved into the ledger: {error}", path.display());
        io::Error::new(error.kind(), what)
    })?;
    std::fs::remove_file(&path)
}

struct Left<'c> {
    records: &'c [u8],
    /// A batch follows that is not all there.
    is_cut: bool,
}

/// The batches that a file holds, up to the first that is not whole.
fn whole_batches(contents: &[u8]) -> Left<'_> {
    let nothing = Left { records: &[], is_cut: false };
    let Some((head, records)) = contents.split_at_checked(RECORDS_AT) else { return nothing };
    let Some(entries) = head.strip_prefix(MAGIC) else { return nothing };
    let (mut length, mut last) = (0, 0);
    for entry in entries.as_chunks::<ENTRY_BYTES>().0 {
        let entry = u64::from_le_bytes(*entry);
        if entry == 0 {
            break;
        }
        let (end, expected) = (entry as u32 as usize, (entry >> 32) as u32);
        let batch = records.get(length..end);
        if batch.is_none_or(|batch| digest(batch, last) != expected) {
            return Left { records: records.get(..length).unwrap_or_default(), is_cut: true };
        }
        (length, last) = (end, expected);
    }
    Left { records: records.get(..length).unwrap_or_default(), is_cut: false }
}

/// Adds to a stream those of these records that it does not have.
fn move_records(ledger: &Path, stream: &str, records: &[u8]) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let directory = segment::stream_directory(ledger, stream);
    segment::make_private(&directory)?;
    let tail = segment::tail(&directory)?;
    let mut missing = records;
    while let Some(end) = missing.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = missing.split_at(end + 1);
        if segment::number_of(line).is_some_and(|seq| seq > tail.seq) {
            break;
        }
        missing = rest;
    }
    if missing.is_empty() {
        return Ok(());
    }
    tracing::info!(stream, bytes = missing.len(), "records of a killed process were moved");
    let file = segment::open_last(&directory, &tail)?;
    // It may have been killed while it moved them: then the rest of a line is here.
    file.set_len(tail.length)?;
    (&file).write_all(missing)?;
    file.sync_all()?;
    File::open(&directory)?.sync_all()
}
