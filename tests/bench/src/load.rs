//! Many sessions at once, and many that come and go: nothing may be left of them.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::accounts;
use crate::checks::Checks;
use crate::clients::Clients;
use crate::failure::Failure;
use crate::machine;
use crate::metrics::Metrics;
use crate::options::Words;
use crate::portcullis::{Pages, Portcullis, Who};
use crate::scripted::Scripted;
use crate::stage::Stage;
use crate::target::Target;
use crate::usage;
use crate::watch::{Levels, Memory, each_kb};
use crate::wire::{Connection, put};
use crate::workload::{Keys, Mode, Workload};

const IDLE: f64 = 5_000.0;
/// Idle sessions are opened in so many parts, and by so many of these memory must grow.
const BATCHES: usize = 20;
const BATCHES_GROWING: usize = 6;
const IDLE_KB_MAX: f64 = 20.0;
const BUSY: f64 = 200.0;
const TIME: Duration = Duration::from_secs(60);
/// Threads that come and go; each waits for its own turn.
const COMERS: u32 = 32;
/// How long PostgreSQL's own rate is measured.
const RATE_TIME: Duration = Duration::from_secs(5);
/// How long what has ended may take to be gone.
const SETTLED: Duration = Duration::from_secs(20);
/// What memory may grow during the coming and going, behind its warm-up: allocators breathe.
const GROWTH_KB_MAX: f64 = 3_072.0;
/// So many sessions come and go while nothing else happens, again and again.
const CYCLE: u64 = 1_000;
/// By so many cycles on end memory must stay as it is. Allocators take a while to come to it, and
/// what sessions leave behind never does.
const CYCLES_STEADY: usize = 5;
const CYCLES_MAX: usize = 25;
/// What allocators leave over: less than the least that a session could leave.
const LEFT_BYTES_MAX: f64 = 150.0;
/// A worker, the ledger and the admin API open files of their own now and then.
const DESCRIPTORS_SPARE: u64 = 16;

/// `--scale 0.1` is a tenth of the sessions and of the rate; `--seconds` is how long sessions
/// come and go.
pub(crate) fn run(mut words: Words) -> Result<(), Failure> {
    let programs = words.programs()?;
    let scale = words.value::<f64>("--scale")?.unwrap_or(1.0);
    let time = words.seconds("--seconds")?.unwrap_or(TIME);
    let out = words.value::<std::path::PathBuf>("--out")?;
    words.rest()?;
    let idle = (IDLE * scale).max(1.0) as usize;
    let busy = ((BUSY * scale).max(2.0) as usize).next_multiple_of(2);
    let mut checks = Checks::default();
    machine::allow_files(3 * (idle + busy) as u64 + 1_000)?;

    let place = Stage::place()?;
    let stage = Stage::start(place.path())?;
    stage.fill()?;
    let rate = scale * direct_rate(&stage.direct())? / 2.0;
    let scripted = Scripted::start(&stage)?;
    let proxy = Portcullis::start(&stage, scripted.address, &programs, (0, Pages::Small))?;
    let load = Load { proxy, scripted, idle, busy, rate, time };
    load.run(&mut checks)?;
    if let Some(out) = out {
        std::fs::create_dir_all(&out).map_err(Failure::to("make the directory of the report"))?;
        std::fs::write(out.join("load.txt"), checks.text())
            .map_err(Failure::to("write the report"))?;
    }
    checks.end()
}

struct Load {
    proxy: Portcullis,
    scripted: Scripted,
    idle: usize,
    busy: usize,
    /// Sessions that come and go, a second.
    rate: f64,
    time: Duration,
}

impl Load {
    fn run(&self, checks: &mut Checks) -> Result<(), Failure> {
        let target = self.proxy.target("portcullis", Who::Usual);
        // One session before all, so that what is made once is made.
        let mut statements = self.come_and_go(&target, 0).map_err(Failure::to("connect"))?;
        let mut logins = 1;
        let descriptors = usage::descriptors(self.proxy.pid());
        let (mut idle, idle_kb) = self.open_idle(&target)?;
        checks.hold(
            idle_kb < IDLE_KB_MAX,
            "idle sessions",
            format!("{}, {idle_kb:.1} KB each", idle.len()),
        );
        statements += self.idle as u64;
        logins += (self.idle + self.busy) as u64;

        let done = AtomicBool::new(false);
        let (busy, came) = std::thread::scope(|scope| {
            let asking = [Mode::Simple, Mode::Prepared].map(|mode| {
                let (target, done) = (&target, &done);
                scope.spawn(move || self.keep_busy(target, mode, done))
            });
            let came = self.beside_the_busy(&target, checks);
            done.store(true, Ordering::Relaxed);
            let asked = asking.map(|thread| match thread.join() {
                Ok(asked) => asked.map_err(Failure::to("keep sessions busy")),
                Err(_) => Err(Failure::new("a busy thread died")),
            });
            (asked, came)
        });
        for asked in busy {
            statements += asked?;
        }
        for (came, asked) in [came?, self.in_cycles(&target, checks)?] {
            logins += came;
            statements += asked;
        }

        let mut keys = Keys::new(9);
        for session in &mut idle {
            let text = format!("{}{}", Workload::A.text(), keys.next().unwrap_or(1));
            session.query(&text, |_| {}).map_err(Failure::to("ask at an idle session"))?;
        }
        statements += self.idle as u64;
        checks.note("idle sessions that still answer", idle.len());
        drop(idle);
        self.all_gone(checks, descriptors)?;

        let account = accounts::of(&self.proxy, Workload::A.text(), statements)?;
        let right = account.permitted == statements && account.completed == statements;
        checks.hold(right, "statements in the ledger", format!("{account:?}, asked {statements}"));
        let metrics = Metrics::read(self.proxy.admin)?;
        let counted = metrics.number("portcullis_logins_total").unwrap_or_default();
        checks.hold(counted == logins as f64, "logins", format!("{counted}, made {logins}"));
        Ok(())
    }

    /// While busy sessions are asking: sessions come and go. Says how many, and what they asked.
    fn beside_the_busy(&self, target: &Target, checks: &mut Checks) -> Result<(u64, u64), Failure> {
        let standing = (self.idle + self.busy) as u64;
        self.wait_for_sessions(standing)?;
        checks.note("at once", format!("{} idle and {} busy sessions", self.idle, self.busy));
        let begun = Instant::now();
        let (came, memory) = Memory::during(self.proxy.pid(), || self.come_and_go_for(target));
        let (came, asked) = came?;
        let rate = came as f64 / begun.elapsed().as_secs_f64();
        checks.hold(
            rate > 0.9 * self.rate,
            "sessions that came and went",
            format!(
                "{came}, {rate:.0} a second, {:.0} wanted (half of what PostgreSQL bears)",
                self.rate
            ),
        );
        checks.hold(
            memory.growth_kb() < GROWTH_KB_MAX,
            "memory meanwhile",
            format!(
                "{:.1} MB, by regression {:+.0} KB ({:+.0} KB a minute)",
                memory.last_kb() / 1024.0,
                memory.growth_kb(),
                memory.slope_kb_per_minute()
            ),
        );
        let open = self.wait_for_sessions(standing);
        checks.hold(
            open.is_ok(),
            "upstream sessions left of those that went",
            match &open {
                Ok(()) => "none".to_owned(),
                Err(failure) => failure.to_string(),
            },
        );
        Ok((came, asked))
    }

    /// Opens them, and says how many KB each took of those that came when memory grew by them.
    fn open_idle(&self, target: &Target) -> Result<(Vec<Connection>, f64), Failure> {
        let text = format!("{}7", Workload::A.text());
        let open = |idle: &mut Vec<Connection>, count: usize| -> Result<(), Failure> {
            for _ in 0..count {
                idle.push(target.connect_idle(&text).map_err(Failure::to("open idle sessions"))?);
            }
            Ok(())
        };
        let mut idle = Vec::new();
        let batches = (self.idle.div_ceil(BATCHES), BATCHES_GROWING, BATCHES);
        let kb = each_kb(self.proxy.pid(), batches, |count| open(&mut idle, count))?;
        let rest = self.idle.saturating_sub(idle.len());
        open(&mut idle, rest)?;
        Ok((idle, kb))
    }

    fn keep_busy(&self, target: &Target, mode: Mode, done: &AtomicBool) -> io::Result<u64> {
        let what = (Workload::A, mode);
        let mut clients = Clients::connect(target, self.busy / 2, what, true)?;
        while !done.load(Ordering::Relaxed) {
            clients.ask_for(Duration::from_millis(200))?;
        }
        Ok(clients.answered)
    }

    /// The same number of sessions comes and goes again and again, and each time when they have
    /// gone memory is looked at: what each leaves behind shows however little it is.
    fn in_cycles(&self, target: &Target, checks: &mut Checks) -> Result<(u64, u64), Failure> {
        let (mut all_came, mut all_asked) = (0, 0);
        let mut memory = Levels::default();
        let bytes = loop {
            let at_once = |turn| (turn < CYCLE).then_some(Duration::ZERO);
            let (came, asked) = self.come_and_go_when(target, at_once)?;
            (all_came, all_asked) = (all_came + came, all_asked + asked);
            self.wait_for_sessions(self.idle as u64)?;
            memory.add(usage::memory_kb(self.proxy.pid()));
            if let Some(step_kb) = memory.step_kb(CYCLES_STEADY) {
                let bytes = step_kb * 1024.0 / CYCLE as f64;
                if bytes < LEFT_BYTES_MAX || memory.len() == CYCLES_MAX {
                    break bytes;
                }
            }
        };
        checks.hold(
            bytes < LEFT_BYTES_MAX,
            "memory that is left of a session that went",
            format!(
                "{bytes:.0} bytes, by the last {CYCLES_STEADY} of cycles of {CYCLE}: \
                 {memory}"
            ),
        );
        Ok((all_came, all_asked))
    }

    /// At the rate, whatever each takes.
    fn come_and_go_for(&self, target: &Target) -> Result<(u64, u64), Failure> {
        self.come_and_go_when(target, |turn| {
            let due = Duration::from_secs_f64(turn as f64 / self.rate);
            (due <= self.time).then_some(due)
        })
    }

    /// Each at its time, until there is none for it.
    fn come_and_go_when(
        &self,
        target: &Target,
        due: impl Fn(u64) -> Option<Duration> + Sync,
    ) -> Result<(u64, u64), Failure> {
        let (came, asked) = (AtomicU64::new(0), AtomicU64::new(0));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..COMERS)
                .map(|first| {
                    let (came, asked, due) = (&came, &asked, &due);
                    scope.spawn(move || -> io::Result<()> {
                        for turn in (u64::from(first)..).step_by(COMERS as usize) {
                            let Some(due) = due(turn) else { break };
                            std::thread::sleep(due.saturating_sub(begun.elapsed()));
                            asked.fetch_add(self.come_and_go(target, turn)?, Ordering::Relaxed);
                            came.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(ended) => ended.map_err(Failure::to("come and go")),
                Err(_) => Err(Failure::new("a thread died")),
            })
        })?;
        Ok((came.into_inner(), asked.into_inner()))
    }

    /// A session that asks once by a simple query and once by a named statement and a named
    /// portal, which it closes; every third says no goodbye. Says how many statements that is.
    fn come_and_go(&self, target: &Target, turn: u64) -> io::Result<u64> {
        let mut session = target.connect()?;
        session.query(&format!("{}3", Workload::A.text()), |_| {})?;
        let mut request = Vec::new();
        let text = format!("{}$1", Workload::A.text());
        put(&mut request, b'P', &[b"kept\0", text.as_bytes(), &[0, 0, 0]]);
        put(&mut request, b'B', &[b"open\0kept\0", &[0, 0, 0, 1, 0, 0, 0, 1], b"5", &[0, 0]]);
        put(&mut request, b'E', &[b"open\0", &[0; 4]]);
        put(&mut request, b'C', &[b"Popen\0"]);
        put(&mut request, b'C', &[b"Skept\0"]);
        put(&mut request, b'S', &[]);
        session.send(&request)?;
        session.answer(|_| {})?;
        match turn % 3 {
            0 => session.shut(Shutdown::Both)?,
            _ => session.close()?,
        }
        Ok(2)
    }

    fn wait_for_sessions(&self, expected: u64) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let open = self.scripted.counts.sessions_open.load(Ordering::Relaxed);
            if open == expected {
                return Ok(());
            }
            if begun.elapsed() > SETTLED {
                return Err(Failure::new(format!("{open} sessions upstream, not {expected}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// When all clients have gone there is nothing left of them, anywhere.
    fn all_gone(&self, checks: &mut Checks, descriptors: u64) -> Result<(), Failure> {
        let gone = self.wait_for_sessions(0);
        let counts = &self.scripted.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (open, ever) = (of(&counts.sessions_open), of(&counts.sessions_ever));
        checks.hold(
            gone.is_ok(),
            "upstream sessions at the end",
            format!("{open}, of {ever} ever"),
        );
        let left = of(&counts.statements_left);
        // Busy sessions that prepared end with what they prepared.
        let kept = (self.busy / 2) as u64;
        checks.hold(
            left == kept,
            "prepared statements left by sessions",
            format!("{left}, {kept} meant to be kept"),
        );
        checks.hold(
            of(&counts.unknown) == 0,
            "messages that were not in the script",
            of(&counts.unknown),
        );
        let begun = Instant::now();
        let mut seen = (Metrics::read(self.proxy.admin)?, usage::descriptors(self.proxy.pid()));
        let number = |metrics: &Metrics, name: &str| metrics.number(name).unwrap_or(f64::NAN);
        while begun.elapsed() < SETTLED
            && (number(&seen.0, "portcullis_sessions") > 0.0
                || seen.1 > descriptors + DESCRIPTORS_SPARE)
        {
            std::thread::sleep(Duration::from_millis(50));
            seen = (Metrics::read(self.proxy.admin)?, usage::descriptors(self.proxy.pid()));
        }
        let (metrics, now) = seen;
        let sessions = number(&metrics, "portcullis_sessions");
        checks.hold(sessions == 0.0, "sessions in the proxy at the end", sessions);
        checks.hold(
            now <= descriptors + DESCRIPTORS_SPARE,
            "files and sockets of the proxy",
            format!("{now}, {descriptors} before"),
        );
        let instances = number(&metrics, "portcullis_plugin_instances");
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = workers as f64 * number(&metrics, "portcullis_policies");
        checks.hold(
            instances <= most,
            "instances of policies",
            format!("{instances}, at most {most}"),
        );
        checks.note(
            "memory at the end",
            format!("{:.1} MB", usage::memory_kb(self.proxy.pid()) as f64 / 1024.0),
        );
        Ok(())
    }
}

/// Logins, each with a statement, that PostgreSQL itself bears in a second.
fn direct_rate(direct: &Target) -> Result<f64, Failure> {
    let came = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..COMERS)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    while begun.elapsed() < RATE_TIME {
                        let mut session = direct.connect()?;
                        session.query(&format!("{}3", Workload::A.text()), |_| {})?;
                        session.close()?;
                        came.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(ended) => ended.map_err(Failure::to("connect to PostgreSQL")),
            Err(_) => Err(Failure::new("a thread died")),
        })
    })?;
    Ok(came.into_inner() as f64 / begun.elapsed().as_secs_f64())
}
