//! Reading all streams as one sequence of records, ordered by time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::head::LAYOUT;
use crate::lines::{Line, Lines, Place};
use crate::segment;

/// One record, as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub stream: String,
    pub time: String,
    pub kind: String,
    /// The whole record as JSON, without line end.
    pub line: String,
}

impl Record {
    /// The record's fields.
    pub fn fields(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_str(&self.line)
    }
}

/// Something wrong with a ledger.
#[derive(Debug)]
pub enum ReadError {
    /// Records are missing from a stream.
    Gap {
        stream: String,
        expected: u64,
        found: u64,
    },
    /// A line is not a record.
    Malformed {
        stream: String,
        segment: u64,
        offset: u64,
        why: String,
    },
    Io(io::Error),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Gap { stream, expected, found } => {
                write!(f, "stream {stream}: expected record {expected}, found {found}")
            }
            ReadError::Malformed { stream, segment, offset, why } => {
                write!(f, "stream {stream}, segment {segment}, byte {offset}: {why}")
            }
            ReadError::Io(error) => write!(f, "the ledger cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

/// Reads a ledger, whether or not another process is writing it.
///
/// An iterator over all records that are there, ordered by time, and within a stream by
/// number. After `None` it may be asked again: it goes on with what came since. After
/// [`ReadError::Io`] it is best given up; the other errors are passed over.
pub struct Reader {
    ledger: PathBuf,
    streams: BTreeMap<String, StreamReader>,
    line: Vec<u8>,
}

struct StreamReader {
    lines: Lines,
    /// Number of the next record; `None` where reading begins in the middle.
    expected: Option<u64>,
    head: Option<Record>,
}

/// The fields every record has.
#[derive(Deserialize)]
struct Head {
    v: u32,
    seq: u64,
    stream: String,
    time: String,
    kind: String,
}

impl Reader {
    /// Reads the ledger in `directory` from its beginning.
    pub fn open(directory: &Path) -> io::Result<Reader> {
        let mut reader = Reader::empty(directory);
        reader.find_streams()?;
        Ok(reader)
    }

    /// Reads each stream from the beginning of its newest segment.
    pub fn open_recent(directory: &Path) -> io::Result<Reader> {
        let mut reader = Reader::empty(directory);
        for stream in segment::streams(directory)? {
            let path = segment::stream_directory(directory, &stream);
            let numbers = segment::segments(&path)?;
            let segment = numbers.last().copied().unwrap_or_default();
            let expected = (segment <= 1).then_some(1);
            let lines = Lines::from(path, Place { segment, offset: 0 });
            reader.streams.insert(stream, StreamReader { lines, expected, head: None });
        }
        Ok(reader)
    }

    fn empty(directory: &Path) -> Reader {
        Reader { ledger: directory.to_owned(), streams: BTreeMap::new(), line: Vec::new() }
    }

    /// Adds streams that are new; a stream found later is read from its beginning.
    fn find_streams(&mut self) -> io::Result<()> {
        for stream in segment::streams(&self.ledger)? {
            let path = segment::stream_directory(&self.ledger, &stream);
            self.streams.entry(stream).or_insert_with(|| StreamReader {
                lines: Lines::from(path, Place::START),
                expected: Some(1),
                head: None,
            });
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Record>, ReadError> {
        for (name, stream) in &mut self.streams {
            if stream.head.is_none() {
                stream.read(name, &mut self.line)?;
            }
        }
        let waiting = self.streams.values_mut().filter(|stream| stream.head.is_some());
        let first = waiting.min_by(|one, other| one.time().cmp(&other.time()));
        Ok(first.and_then(|stream| stream.head.take()))
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(Some(record)) => Some(Ok(record)),
            Err(error) => Some(Err(error)),
            // Only at the end is it worth looking for streams that began meanwhile.
            Ok(None) => match self.find_streams() {
                Ok(()) => self.advance().transpose(),
                Err(error) => Some(Err(ReadError::Io(error))),
            },
        }
    }
}

impl StreamReader {
    fn time(&self) -> Option<&str> {
        self.head.as_ref().map(|record| record.time.as_str())
    }

    /// Fills `head`, if there is anything. After an error in a record it is found behind it.
    fn read(&mut self, name: &str, line: &mut Vec<u8>) -> Result<(), ReadError> {
        let place = self.lines.place();
        let record = match self.lines.next(line, None)? {
            Line::End => return Ok(()),
            Line::Cut => Err("the segment ends within a record".to_owned()),
            Line::Whole => parse(name, line),
        };
        let record = record.map_err(|why| ReadError::Malformed {
            stream: name.to_owned(),
            segment: place.segment,
            offset: place.offset,
            why,
        })?;
        let found = record.seq;
        let expected = self.expected.replace(found.saturating_add(1));
        self.head = Some(record);
        match expected {
            Some(expected) if expected != found => {
                Err(ReadError::Gap { stream: name.to_owned(), expected, found })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn parse(stream: &str, line: &[u8]) -> Result<Record, String> {
    let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let head: Head = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if head.v != LAYOUT {
        return Err(format!("layout {} is not known", head.v));
    }
    if head.stream != stream {
        return Err(format!("the record belongs to stream {}", head.stream));
    }
    let Head { seq, stream, time, kind, .. } = head;
    Ok(Record { seq, stream, time, kind, line: line.to_owned() })
}
