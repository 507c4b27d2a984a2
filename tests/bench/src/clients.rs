//! Many sessions that ask at once, each as soon as it has its answer.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::target::Target;
use crate::wire::Connection;
use crate::workload::{Keys, Mode, Workload};

const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// One answer in so many is looked at: often enough to notice, seldom enough not to matter.
const LOOKED_AT: u64 = 64;

/// Open sessions and what they ask.
pub(crate) struct Clients {
    sessions: Vec<Asking>,
    workload: Workload,
    mode: Mode,
    masked: bool,
    keys: Keys,
    /// How many statements were answered, ever.
    pub(crate) answered: u64,
}

struct Asking {
    connection: Connection,
    asked_at: Instant,
    key: u32,
}

/// What came of a time of asking.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) statements: u64,
    pub(crate) elapsed: Duration,
    /// In order of size.
    latencies_ns: Vec<u64>,
}

impl Asked {
    pub(crate) fn per_second(&self) -> f64 {
        self.statements as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this part of the statements did not exceed, in microseconds.
    pub(crate) fn quantile_us(&self, part: f64) -> f64 {
        let last = self.latencies_ns.len().saturating_sub(1);
        let place = (last as f64 * part) as usize;
        self.latencies_ns.get(place).map_or(f64::NAN, |latency| *latency as f64 / 1000.0)
    }
}

impl Clients {
    /// `masked` says whether these clients see masks.
    pub(crate) fn connect(
        target: &Target,
        count: usize,
        (workload, mode): (Workload, Mode),
        masked: bool,
    ) -> io::Result<Clients> {
        let mut sessions = Vec::new();
        for _ in 0..count {
            let mut connection = target.connect()?;
            if let Some(preparation) = workload.preparation(mode) {
                connection.send(&preparation)?;
                connection.answer(|_| {})?;
            }
            sessions.push(Asking { connection, asked_at: Instant::now(), key: 0 });
        }
        let keys = Keys::new(count as u64);
        Ok(Clients { sessions, workload, mode, masked, keys, answered: 0 })
    }

    /// Asks for so long. One thread, so that the client never competes with itself.
    pub(crate) fn ask_for(&mut self, time: Duration) -> io::Result<Asked> {
        let begun = Instant::now();
        let mut latencies_ns = Vec::with_capacity(1 << 18);
        let mut request = Vec::new();
        for index in 0..self.sessions.len() {
            self.ask(index, &mut request)?;
        }
        let mut waiting = self.sessions.len();
        while waiting > 0 {
            for index in self.readable()? {
                let Some(latency) = self.take_answer(index)? else { continue };
                latencies_ns.push(latency);
                waiting -= 1;
                if begun.elapsed() < time {
                    self.ask(index, &mut request)?;
                    waiting += 1;
                }
            }
        }
        let elapsed = begun.elapsed();
        latencies_ns.sort_unstable();
        Ok(Asked { statements: latencies_ns.len() as u64, elapsed, latencies_ns })
    }

    pub(crate) fn close(self) -> io::Result<()> {
        self.sessions.into_iter().try_for_each(|session| session.connection.close())
    }

    fn ask(&mut self, index: usize, request: &mut Vec<u8>) -> io::Result<()> {
        let (workload, mode) = (self.workload, self.mode);
        if let (Some(session), Some(key)) = (self.sessions.get_mut(index), self.keys.next()) {
            workload.write(mode, key, request);
            session.key = key;
            session.asked_at = Instant::now();
            session.connection.send(request)?;
        }
        Ok(())
    }

    /// Reads once; if the answer is whole, says how many nanoseconds it took.
    fn take_answer(&mut self, index: usize) -> io::Result<Option<u64>> {
        let (workload, masked) = (self.workload, self.masked);
        let look = self.answered.is_multiple_of(LOOKED_AT);
        let Some(Asking { connection, asked_at, key }) = self.sessions.get_mut(index) else {
            return Ok(None);
        };
        let mut wrong = None;
        let ready = connection.receive(|row| {
            if look && !workload.is_answer(*key, masked, row) {
                wrong = Some(String::from_utf8_lossy(row).into_owned());
            }
        })?;
        if let Some(row) = wrong {
            return Err(io::Error::other(format!("not the answer for key {key}: {row:?}")));
        }
        if ready == 0 {
            return Ok(None);
        }
        self.answered += 1;
        Ok(Some(u64::try_from(asked_at.elapsed().as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Which sessions have something to read. A single one is read without asking.
    fn readable(&self) -> io::Result<Vec<usize>> {
        if self.sessions.len() == 1 {
            return Ok(vec![0]);
        }
        let descriptors = self.sessions.iter().map(|session| session.connection.descriptor());
        let mut polled: Vec<PollFd<'_>> = descriptors
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        if poll(&mut polled, Some(&PATIENCE))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody was answered"));
        }
        let readable = polled.iter().enumerate().filter(|(_, one)| !one.revents().is_empty());
        Ok(readable.map(|(index, _)| index).collect())
    }
}
