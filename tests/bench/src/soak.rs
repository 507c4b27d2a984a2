//! Drivers, policy changes and faults for a long time: memory stays flat, and the ledger has
//! what the clients counted, neither more nor less.

mod counted;
mod drivers;
mod rust_driver;
mod wire_client;
mod faults;
mod changes;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::accounts;
use crate::checks::Checks;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::options::Words;
use crate::portcullis::{Pages, Portcullis};
use crate::stage::Stage;
use crate::usage;
use crate::watch::Memory;
use counted::Counted;

const MINUTES: f64 = 30.0;
/// How long what has ended may take to be gone.
const SETTLED: Duration = Duration::from_secs(20);
/// What memory may grow behind its warm-up: allocators breathe.
const GROWTH_KB_MAX: f64 = 4_096.0;

/// The work of one client, until it is told to stop: what became of its statements.
type Client<'a> = (&'static str, Box<dyn FnOnce() -> Result<Counted, Failure> + Send + 'a>);

pub(crate) fn run(mut words: Words) -> Result<(), Failure> {
    let programs = words.programs()?;
    let minutes = words.value::<f64>("--minutes")?.unwrap_or(MINUTES);
    let tools = words.value::<PathBuf>("--tools")?;
    let tools = tools.or_else(|| std::env::var_os("PORTCULLIS_TOOLS").map(PathBuf::from));
    let tools = tools.ok_or_else(|| Failure::new("--tools or PORTCULLIS_TOOLS is needed"))?;
    // Drivers run in directories of their own.
    let tools = std::path::absolute(tools).map_err(Failure::to("find the tools"))?;
    let out = words.value::<PathBuf>("--out")?;
    words.rest()?;
    let place = Stage::place()?;
    let stage = Stage::start(place.path())?;
    stage.fill()?;
    let proxy = Portcullis::start(&stage, stage.address(), &programs, (0, Pages::Small))?;
    let mut checks = Checks::default();
    let time = Duration::from_secs_f64(60.0 * minutes);
    soak(&stage, &proxy, &tools, time, &mut checks)?;
    if let Some(out) = out {
        std::fs::create_dir_all(&out).map_err(Failure::to("make the directory of the report"))?;
        let written = std::fs::write(out.join("soak.txt"), checks.text());
        written.map_err(Failure::to("write the report"))?;
    }
    checks.end()
}

fn soak(
    stage: &Stage,
    proxy: &Portcullis,
    tools: &std::path::Path,
    time: Duration,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    let target = |name: &str| proxy.target_as(name);
    let clients: Vec<Client<'_>> = vec![
        ("psycopg", Box::new(|| drivers::psycopg(tools, &target("psycopg"), &stop))),
        ("node-postgres", Box::new(|| drivers::node(tools, &target("node-postgres"), &stop))),
        ("tokio-postgres", Box::new(|| rust_driver::run(&target("tokio-postgres"), &stop))),
        ("wire", Box::new(|| wire_client::run(&target("wire"), &stop))),
        ("faults", Box::new(|| faults::run(stage, &target("faults"), &stop))),
    ];
    let descriptors = usage::descriptors(proxy.pid());
    let begun = Instant::now();
    let ((counted, changed), memory) = Memory::during(proxy.pid(), || {
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| changes::run(proxy, &stop));
            let working: Vec<_> = clients
                .into_iter()
                .map(|(name, work)| {
                    let stop = &stop;
                    let work = move || {
                        let counted = work();
                        // Who fails ends it for all: nothing after that would say anything.
                        if let Err(failure) = &counted {
                            eprintln!("{name}: {failure}");
                            stop.store(true, Ordering::Relaxed);
                        }
                        counted
                    };
                    (name, scope.spawn(work))
                })
                .collect();
            while begun.elapsed() < time && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
            }
            stop.store(true, Ordering::Relaxed);
            let died = || Err(Failure::new("a thread died"));
            let counted: Vec<(&str, Result<Counted, Failure>)> = working
                .into_iter()
                .map(|(name, thread)| (name, thread.join().unwrap_or_else(|_| died())))
                .collect();
            (counted, changing.join().unwrap_or_else(|_| Err(Failure::new("a thread died"))))
        })
    });
    let took = begun.elapsed();
    let changed = changed?;
    checks.note("minutes", format!("{:.1}", took.as_secs_f64() / 60.0));
    checks.note("changes of policies", changed);
    let metrics = gone(stage, proxy, descriptors, checks)?;
    let number = |name: &str| metrics.number(name).unwrap_or(f64::NAN);
    checks.hold(
        memory.growth_kb() < GROWTH_KB_MAX,
        "memory",
        format!(
            "{:.1} MB, by regression {:+.0} KB ({:+.1} KB a minute)",
            memory.last_kb() / 1024.0,
            memory.growth_kb(),
            memory.slope_kb_per_minute()
        ),
    );
    checks.hold(
        number("portcullis_faults_total") == 0.0,
        "faults of policies",
        number("portcullis_faults_total"),
    );
    for (name, counted) in counted {
        let counted = counted.map_err(Failure::to(format!("go on as {name}")))?;
        let account = accounts::of_principal(proxy, name, counted.ended())?;
        let line = format!("{counted}; the ledger {}", account.line());
        checks.hold(counted.is(&account), &format!("statements of {name}"), line);
    }
    Ok(())
}

/// When all clients have gone there is nothing left of them, anywhere.
fn gone(
    stage: &Stage,
    proxy: &Portcullis,
    descriptors: u64,
    checks: &mut Checks,
) -> Result<Metrics, Failure> {
    let begun = Instant::now();
    let mut superuser = stage.superuser()?;
    let mut look = || -> Result<(f64, u64, u64, Metrics), Failure> {
        let metrics = Metrics::read(proxy.admin)?;
        let sessions = metrics.number("portcullis_sessions").unwrap_or(f64::NAN);
        let backends = faults::backends(&mut superuser).map_err(Failure::to("count backends"))?;
        Ok((sessions, backends, usage::descriptors(proxy.pid()), metrics))
    };
    let mut seen = look()?;
    while begun.elapsed() < SETTLED && (seen.0 > 0.0 || seen.1 > 0 || seen.2 > descriptors + 16) {
        std::thread::sleep(Duration::from_millis(100));
        seen = look()?;
    }
    let (sessions, backends, now, metrics) = seen;
    checks.hold(sessions == 0.0, "sessions in the proxy at the end", sessions);
    checks.hold(backends == 0, "upstream sessions at the end", backends);
    checks.hold(
        now <= descriptors + 16,
        "files and sockets of the proxy",
        format!("{now}, {descriptors} before"),
    );
    let instances = metrics.number("portcullis_plugin_instances").unwrap_or(f64::NAN);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let policies = metrics.number("portcullis_policies").unwrap_or(f64::NAN);
    let most = workers as f64 * policies;
    checks.hold(instances <= most, "instances of policies", format!("{instances}, at most {most}"));
    Ok(metrics)
}
