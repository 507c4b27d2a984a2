//! Segments: the files a stream consists of.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A line longer than this is not read: nothing the ledger writes comes near.
pub(crate) const LINE_BYTES_MAX: u64 = 64 << 20;

const STREAM_PREFIX: &str = "stream-";
const SEGMENT_SUFFIX: &str = ".jsonl";

/// The directory of one stream.
pub(crate) fn stream_directory(ledger: &Path, stream: &str) -> PathBuf {
    ledger.join(format!("{STREAM_PREFIX}{stream}"))
}

/// The file of one segment.
pub(crate) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}{SEGMENT_SUFFIX}"))
}

/// Names of all streams of a ledger, sorted by number.
pub(crate) fn streams(ledger: &Path) -> io::Result<Vec<String>> {
    let mut numbers: Vec<u64> = names(ledger)?
        .iter()
        .filter_map(|name| name.strip_prefix(STREAM_PREFIX)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| number.to_string()).collect())
}

/// Numbers of all segments of a stream, sorted.
pub(crate) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = names(directory)?
        .iter()
        .filter_map(|name| name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes `directory` and sees to it that nobody else may look inside.
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mode = std::fs::metadata(directory)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes a new segment. An existing file is an error: segments are never written over.
pub(crate) fn create(directory: &Path, number: u64) -> io::Result<File> {
    let path = segment_path(directory, number);
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

/// Opens a stream's last segment to go on with it, or makes its first.
pub(crate) fn open_last(directory: &Path, tail: &Tail) -> io::Result<File> {
    match tail.segment {
        0 => create(directory, 1),
        last => OpenOptions::new().append(true).open(segment_path(directory, last)),
    }
}

/// Where a stream goes on after a restart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last segment; 0 where there is none.
    pub segment: u64,
    /// Length of the last segment up to its last whole record.
    pub length: u64,
    /// Bytes behind that: a record that a crash cut short.
    pub torn: u64,
    /// Number of the last whole record of the stream.
    pub seq: u64,
}

/// Finds where a stream ends. Reads backwards from the newest segment to the first one that
/// holds a whole record: usually one segment.
pub(crate) fn tail(directory: &Path) -> io::Result<Tail> {
    let numbers = segments(directory)?;
    let Some(&segment) = numbers.last() else {
        return Ok(Tail { segment: 0, length: 0, torn: 0, seq: 0 });
    };
    let last = end_of(&segment_path(directory, segment))?;
    let mut seq = last.seq;
    for &number in numbers.iter().rev().skip(1) {
        if seq.is_some() {
            break;
        }
        seq = end_of(&segment_path(directory, number))?.seq;
    }
    let torn = last.file_length.saturating_sub(last.good_length);
    Ok(Tail { segment, length: last.good_length, torn, seq: seq.unwrap_or(0) })
}

struct End {
    good_length: u64,
    file_length: u64,
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// The number of the record in a line; none where it is no record.
pub(crate) fn number_of(line: &[u8]) -> Option<u64> {
    serde_json::from_slice(line).ok().map(|Numbered { seq }| seq)
}

fn end_of(path: &Path) -> io::Result<End> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut end = End { good_length: 0, file_length: 0, seq: None };
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(end);
        }
        end.file_length = end.file_length.saturating_add(length as u64);
        // Damage in the middle stays where it is, for readers to report: only what follows
        // the last whole record is cut.
        if line.ends_with(b"\n")
            && let Some(seq) = number_of(&line)
        {
            end.good_length = end.file_length;
            end.seq = Some(seq);
        }
    }
}
