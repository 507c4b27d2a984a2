//! All tests, and all that must hold before a change is kept.

use std::time::Instant;

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::fuzz::{self, Fuzz};
use crate::setup::{self, Ready};
use crate::{bench, conformance, examples, plugins, program, repository};

/// A figure takes seconds, and says little; but what is far beyond its limit is a mistake that
/// somebody made.
const SHORT: [&str; 6] = ["--rounds", "1", "--seconds", "0.5", "--hold", "2.5"];
const FIGURES: [&str; 8] = [
    "a-simple",
    "b-extended",
    "bulk-masked",
    "bulk-inspected",
    "slow-client",
    "idle",
    "shape",
    "reload",
];

/// Those whose archives stay where they are, and the ways that each can take.
const DRIVERS: [(&str, &[&str]); 2] =
    [("--tls", &["psycopg2", "asyncpg"]), ("--plain", &["tokio-postgres"])];

pub(crate) fn test() -> Result<(), Failure> {
    let ready = setup::to_test()?;
    let mut steps = Steps::default();
    let passed = test_steps(&mut steps, &ready);
    steps.print();
    passed
}

pub(crate) fn ci() -> Result<(), Failure> {
    let ready = setup::to_test()?;
    let mut steps = Steps::default();
    let passed = ci_steps(&mut steps, &ready);
    steps.print();
    passed
}

fn ci_steps(steps: &mut Steps, ready: &Ready) -> Result<(), Failure> {
    steps.take("format", || {
        program::run(ready.cargo().args(["fmt", "--all", "--check"]))?;
        fuzz::check_format(ready)
    })?;
    steps.take("lint", || {
        let mut clippy = ready.cargo();
        clippy.args(["clippy", "--workspace", "--all-targets"]);
        clippy.args(["--features", "guest-tools/bindings", "--", "-D", "warnings"]);
        program::run(&mut clippy)
    })?;
    test_steps(steps, ready)?;
    steps.take("fuzz, in short", || Fuzz::in_ci().run(ready))?;
    steps.take("demo --script", || demo_script(ready))?;
    // With the release build that the demo has made; so does what follows.
    steps.take("regress, 15", || conformance::run_regress(ready, 15, &["--plain", "--tls"]))?;
    steps.take("regress, 18", || conformance::run_regress(ready, 18, &["--tls"]))?;
    steps.take("drivers, 15", || {
        DRIVERS.iter().try_for_each(|(way, names)| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            conformance::run_drivers(ready, 15, way, &names)
        })
    })?;
    steps.take("bench, in short", || {
        bench::in_ci(ready, &[&["figures"], &FIGURES[..], &SHORT].concat())
    })?;
    steps.take("load, in short", || {
        bench::in_ci(ready, &["load", "--scale", "0.2", "--seconds", "10"])
    })
}

fn test_steps(steps: &mut Steps, ready: &Ready) -> Result<(), Failure> {
    steps.take("plugins", || plugins::build(ready, &GuestTools::build_with_bindings(ready)?))?;
    steps.take("examples", || examples::build(ready, &GuestTools::build_with_bindings(ready)?))?;
    // Tests that start the program do not make cargo build it.
    steps.take("programs", || {
        program::run(ready.cargo().args(["build", "--workspace", "--bins"]))
    })?;
    steps.take("tests", || {
        let mut tests = ready.cargo();
        tests.env("PORTCULLIS_BIN", repository::cargo_target().join("debug/portcullis"));
        program::run(tests.args(["test", "--workspace"]))
    })
}

/// As somebody with a fresh clone would run it.
fn demo_script(ready: &Ready) -> Result<(), Failure> {
    program::run(ready.cargo().args(["build", "--release", "--package", "portcullis"]))?;
    let mut demo = program::command(repository::cargo_target().join("release/portcullis"));
    demo.arg("demo").arg("--plugins").arg(repository::plugins()).arg("--script");
    program::run(ready.apply(&mut demo))
}

/// What was done, how long it took and how it ended.
#[derive(Default)]
struct Steps(Vec<String>);

impl Steps {
    fn take(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n==> {name}");
        let started = Instant::now();
        let ended = step();
        let how = if ended.is_ok() { "ok" } else { "FAILED" };
        let (seconds, free) = (started.elapsed().as_secs(), disk_free());
        self.0.push(format!("{name:<16} {how:<8} {seconds:>5} s   {free} of disk free"));
        ended
    }

    fn print(&self) {
        println!("\n{}", self.0.join("\n"));
    }
}

/// What a full disk does shows in other words each time, so each step says how full it left it.
fn disk_free() -> String {
    let mut df = program::command("df");
    df.args(["-Pk".as_ref(), repository::cargo_target().as_os_str()]);
    let kilobytes = program::read(&mut df)
        .and_then(|table| table.lines().last()?.split_whitespace().nth(3)?.parse::<u64>().ok());
    kilobytes.map_or_else(|| "?".to_owned(), |free| format!("{} GB", free >> 20))
}
