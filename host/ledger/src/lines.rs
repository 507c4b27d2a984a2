//! Reading one stream's records in order, across its segments, while it is being written.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::segment::{self, LINE_BYTES_MAX};
use crate::sync::Mark;

/// A place between two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub segment: u64,
    pub offset: u64,
}

/// The lines of one stream, from some place on.
pub(crate) struct Lines {
    directory: PathBuf,
    file: Option<BufReader<File>>,
    place: Place,
}

/// What comes next in a stream.
pub(crate) enum Line {
    /// A whole line, without its end.
    Whole,
    /// Bytes at the end of a finished segment that no line end follows.
    Cut,
    /// Nothing, for now.
    End,
}

impl Lines {
    /// Lines from `place` on.
    pub(crate) fn from(directory: PathBuf, place: Place) -> Lines {
        Lines { directory, file: None, place }
    }

    /// Where the next line begins.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Reads the next line into `line`, which is emptied first, but not beyond `horizon`.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>, horizon: Option<Mark>) -> io::Result<Line> {
        loop {
            line.clear();
            if horizon.is_some_and(|mark| self.place >= Place::of(mark)) {
                return Ok(Line::End);
            }
            if let Some(found) = self.line(line)? {
                return Ok(found);
            }
            let Some(next) = self.next_segment()? else { return Ok(Line::End) };
            // The segment is finished now, but it may have grown since we saw its end.
            match self.line(line)? {
                Some(found) => return Ok(found),
                None if !line.is_empty() => {
                    self.enter(next);
                    return Ok(Line::Cut);
                }
                None => self.enter(next),
            }
        }
    }

    /// A whole line, or `None` with what there is of one in `line`.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
        line.clear();
        let start = self.place.offset;
        let Some(file) = self.open()? else { return Ok(None) };
        let length = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)? as u64;
        if line.pop_if(|last| *last == b'\n').is_some() {
            self.place.offset += length;
            return Ok(Some(Line::Whole));
        }
        if length == LINE_BYTES_MAX {
            let message = "a line of the ledger is longer than any record";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        // A line that is not whole yet is read again from its beginning.
        file.seek(SeekFrom::Start(start))?;
        Ok(None)
    }

    fn open(&mut self) -> io::Result<Option<&mut BufReader<File>>> {
        if self.file.is_none() {
            let path = segment::segment_path(&self.directory, self.place.segment);
            let mut file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            file.seek(SeekFrom::Start(self.place.offset))?;
            self.file = Some(BufReader::with_capacity(1 << 16, file));
        }
        Ok(self.file.as_mut())
    }

    fn next_segment(&self) -> io::Result<Option<u64>> {
        let numbers = segment::segments(&self.directory)?;
        Ok(numbers.into_iter().find(|number| *number > self.place.segment))
    }

    fn enter(&mut self, segment: u64) {
        self.file = None;
        self.place = Place { segment, offset: 0 };
    }
}

impl Place {
    /// Before everything.
    pub(crate) const START: Place = Place { segment: 0, offset: 0 };

    fn of(mark: Mark) -> Place {
        Place { segment: mark.segment, offset: mark.offset }
    }
}
