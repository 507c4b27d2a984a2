//! What goes wrong in a network, in a random order and at random times, but each time when it is
//! certain what is running, so that what must be in the ledger is certain too.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::counted::Counted;
use crate::failure::Failure;
use crate::stage::Stage;
use crate::target::Target;
use crate::wire::{Connection, cells, complaint};
use crate::workload::Workload;

/// From one fault to the next.
const PAUSE_MS_MAX: u64 = 600;
const PATIENCE: Duration = Duration::from_secs(30);
const CANCEL_REQUEST: [u8; 8] = [0, 0, 0, 16, 4, 210, 22, 46];
/// Ends by itself: PostgreSQL does not notice that nobody waits any more.
const SLEEP: &str = "SELECT pg_sleep(3)";

type Fault = fn(&mut Faults) -> io::Result<()>;

struct Faults {
    target: Target,
    superuser: Connection,
    counted: Counted,
}

pub(super) fn run(stage: &Stage, target: &Target, stop: &AtomicBool) -> Result<Counted, Failure> {
    let superuser = stage.superuser()?;
    let mut faults = Faults { target: target.clone(), superuser, counted: Counted::default() };
    let mut all: [(&str, Fault); 6] = [
        ("end a backend that is at work", Faults::backend_ends),
        ("end a backend that waits", Faults::idle_backend_ends),
        ("reset a connection", Faults::reset),
        ("close one half of a connection", Faults::half_close),
        ("cancel a statement", Faults::cancel),
        ("go during the login", Faults::gone_at_login),
    ];
    let mut random = fastrand::Rng::new();
    while !stop.load(Ordering::Relaxed) {
        random.shuffle(&mut all);
        for (what, fault) in &all {
            fault(&mut faults).map_err(Failure::to(what))?;
            std::thread::sleep(Duration::from_millis(random.u64(..=PAUSE_MS_MAX)));
        }
    }
    Ok(faults.counted)
}

/// Sessions of clients at PostgreSQL; the proxy's own are not among them.
pub(super) fn backends(superuser: &mut Connection) -> io::Result<u64> {
    let text = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                AND application_name <> 'portcullis'";
    number(superuser, text)
}

fn number(session: &mut Connection, text: &str) -> io::Result<u64> {
    let mut found = None;
    session.query(text, |row| {
        let cell = cells(row).first().copied().flatten().unwrap_or_default();
        found = std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok());
    })?;
    found.ok_or_else(|| io::Error::other("no number came"))
}

impl Faults {
    /// A session, and the process that serves it.
    fn session(&mut self) -> io::Result<(Connection, u64)> {
        let mut session = self.target.connect()?;
        let pid = number(&mut session, "SELECT pg_backend_pid()")?;
        self.counted.completed += 1;
        Ok((session, pid))
    }

    /// A session that sleeps, which is certain.
    fn sleeping(&mut self) -> io::Result<(Connection, u64)> {
        let (mut session, pid) = self.session()?;
        session.ask(SLEEP)?;
        self.counted.failed += 1;
        let asleep = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
        );
        self.wait(&asleep, 1)?;
        Ok((session, pid))
    }

    fn wait(&mut self, text: &str, expected: u64) -> io::Result<()> {
        let begun = Instant::now();
        while number(&mut self.superuser, text)? != expected {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("waited in vain for {expected}: {text}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn end_backend(&mut self, pid: u64) -> io::Result<()> {
        self.superuser.query(&format!("SELECT pg_terminate_backend({pid})"), |_| {}).map(|_| ())
    }

    fn backend_ends(&mut self) -> io::Result<()> {
        let (mut session, pid) = self.sleeping()?;
        self.end_backend(pid)?;
        told_and_closed(&mut session)
    }

    fn idle_backend_ends(&mut self) -> io::Result<()> {
        let (mut session, pid) = self.session()?;
        self.end_backend(pid)?;
        told_and_closed(&mut session)
    }

    fn reset(&mut self) -> io::Result<()> {
        let (session, pid) = self.sleeping()?;
        session.reset()?;
        drop(session);
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        self.wait(&there, 0)
    }

    /// What was asked before is answered.
    fn half_close(&mut self) -> io::Result<()> {
        let (mut session, _) = self.session()?;
        session.ask(&format!("{}77", Workload::B.text()))?;
        session.shut(Shutdown::Write)?;
        let answer = session.answer(|_| {})?;
        if answer.rows != 1 {
            return Err(io::Error::other("a half-closed connection was not answered"));
        }
        self.counted.completed += 1;
        Ok(())
    }

    /// The session goes on.
    fn cancel(&mut self) -> io::Result<()> {
        let (mut session, _) = self.sleeping()?;
        let mut beside = TcpStream::connect(self.target.address)?;
        beside.write_all(&[&CANCEL_REQUEST, session.cancel_key()].concat())?;
        // PostgreSQL signals the session and then its process group, and closes after that:
        // the second signal would meet the next statement of who did not wait for it.
        beside.read_to_end(&mut Vec::new())?;
        match session.answer(|_| {}) {
            Err(error) if error.to_string().starts_with("57014") => {}
            other => return Err(io::Error::other(format!("a cancelled statement: {other:?}"))),
        }
        session.answer(|_| {})?;
        session.query(&format!("{}77", Workload::B.text()), |_| {})?;
        self.counted.completed += 1;
        session.close()
    }

    /// With half a startup packet, and with a whole one and nothing after it.
    fn gone_at_login(&mut self) -> io::Result<()> {
        for bytes in [&[0, 0, 0, 60, 0, 3, 0][..], b"\0\0\0\x19\0\x03\0\0user\0faults\0\0\0\0\0\0"]
        {
            let mut stream = TcpStream::connect(self.target.address)?;
            stream.write_all(bytes)?;
        }
        Ok(())
    }
}

/// The client hears why before the connection closes.
fn told_and_closed(session: &mut Connection) -> io::Result<()> {
    let mut told = None;
    loop {
        match session.message() {
            Ok((b'E', body)) => told = Some(complaint(body)),
            Ok(_) => {}
            Err(error) if told.is_some() => {
                let closed = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
                return if closed.contains(&error.kind()) { Ok(()) } else { Err(error) };
            }
            Err(error) => return Err(error),
        }
    }
}
