//! Whom the clients ask: PostgreSQL itself, or a program in front of it.

use std::io;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;
use crate::floor::Floor;
use crate::process;
use crate::usage::Cpu;
use crate::wire::{Connection, Login};

/// Somewhere to connect.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) login: Login,
    /// The program in front of PostgreSQL, where there is one.
    pub(crate) pid: Option<u32>,
}

impl Target {
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.address, &self.login)
    }

    /// A session that has asked one question, and holds no memory of that.
    pub(crate) fn connect_idle(&self, text: &str) -> io::Result<Connection> {
        let mut session = self.connect()?;
        session.query(text, |_| {})?;
        session.shrink();
        Ok(session)
    }

    /// The CPU that the program in front of PostgreSQL has used so far.
    pub(crate) fn cpu(&self) -> Option<Cpu> {
        self.pid.map(Cpu::of)
    }
}

/// A program of ours. It is asked to end when this is dropped, and ended when it does not.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Running, Failure> {
        let name = command.get_args().last().unwrap_or_default().to_string_lossy().into_owned();
        command.stdin(Stdio::null());
        command.spawn().map(Running).map_err(Failure::to(format!("start {name}")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// The first line it prints.
    pub(crate) fn first_line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if let Some(stdout) = self.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Failure::to("read a line"))?;
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and its number be another's.
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(PATIENCE / 500);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long a program may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts this very program as a floor proxy.
pub(crate) fn start_floor(
    floor: Floor,
    upstream: SocketAddr,
    threads: usize,
    login: &Login,
) -> Result<(Running, Target), Failure> {
    let this = std::env::current_exe().map_err(Failure::to("find this program"))?;
    let mut command = process::tied(&this);
    command.args(["floor", floor.name(), &upstream.to_string(), &threads.to_string()]);
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let line = running.first_line()?;
    let address = line.parse().map_err(Failure::to(format!("start the floor: {line:?}")))?;
    let name = match threads {
        1 => floor.name().to_owned(),
        _ => format!("{}, {threads} threads", floor.name()),
    };
    let pid = Some(running.pid());
    Ok((running, Target { name, address, login: login.clone(), pid }))
}
