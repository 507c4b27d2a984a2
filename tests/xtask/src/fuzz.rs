//! The fuzz targets: built with what guides the fuzzer, and run, as many at once as there are
//! processors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::failure::Failure;
use crate::setup::Ready;
use crate::{program, repository};

/// What counts where a run has been and what it compared, as `cargo fuzz` sets it: options of
/// the stable compiler.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];
/// An input that takes longer hangs.
const HANG_SECONDS: u64 = 25;
const MEMORY_MEGABYTES_MAX: u64 = 2048;
/// Longer inputs find little that shorter ones do not.
const INPUT_BYTES_MAX: usize = 4096;
/// Of what a target said before it failed: the panic and the input's file are at its end.
const LINES_SHOWN: usize = 60;

/// What CI gives each target.
const CI_SECONDS: u64 = 10;

pub(crate) const USAGE: &str = "\
cargo xtask fuzz [TARGET…] [--seconds N]
    Arbitrary bytes for all targets or for these, a minute each or so many seconds. The inputs
    that reached something new are kept in target/fuzz/corpus, and gone on from the next time.
cargo xtask fuzz TARGET --input FILE
    One input again, such as target/fuzz/found/TARGET-crash-…
";

/// What to run, and for how long each.
pub(crate) struct Fuzz {
    targets: Vec<String>,
    seconds: u64,
    /// What the fuzzer makes up is the same each time: a change is not to fail by another's luck.
    is_steady: bool,
    /// One input to run again, and no fuzzing.
    input: Option<PathBuf>,
}

impl Fuzz {
    /// Every target, for so long each.
    fn all(seconds: u64) -> Fuzz {
        Fuzz { targets: Vec::new(), seconds, is_steady: false, input: None }
    }

    /// Every target, shortly.
    pub(crate) fn in_ci() -> Fuzz {
        Fuzz { is_steady: true, ..Fuzz::all(CI_SECONDS) }
    }

    /// As the command line says it.
    pub(crate) fn of(args: &[String]) -> Result<Fuzz, Failure> {
        let known = targets()?;
        let wrong = |what: String| {
            Failure::new(format!("{what}\n\n{USAGE}\nTargets: {}", known.join(", ")))
        };
        let mut fuzz = Fuzz::all(60);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| wrong(format!("{arg} what?")));
            match arg.as_str() {
                "--seconds" => {
                    let seconds = value()?;
                    let number = seconds.parse();
                    fuzz.seconds = number.map_err(|_| wrong(format!("{seconds} is no number")))?;
                }
                "--input" => {
                    let file = value()?;
                    let found = Path::new(file).canonicalize();
                    fuzz.input = Some(found.map_err(Failure::to(format!("read {file}")))?);
                }
                target if known.iter().any(|name| name == target) => {
                    fuzz.targets.push(target.to_owned());
                }
                other => return Err(wrong(format!("there is no target {other}"))),
            }
        }
        if fuzz.input.is_some() && fuzz.targets.len() != 1 {
            return Err(wrong("--input is for one target".to_owned()));
        }
        Ok(fuzz)
    }

    pub(crate) fn run(&self, ready: &Ready) -> Result<(), Failure> {
        let built = build(ready)?;
        if let (Some(input), [target]) = (&self.input, self.targets.as_slice()) {
            return program::run(fuzzer(&built, target).arg(input));
        }
        let chosen = if self.targets.is_empty() { targets()? } else { self.targets.clone() };
        let next = AtomicUsize::new(0);
        let work = || {
            let taken = std::iter::from_fn(|| chosen.get(next.fetch_add(1, Ordering::Relaxed)));
            taken.filter_map(|target| self.run_one(&built, target).err()).collect::<Vec<_>>()
        };
        let failures = std::thread::scope(|scope| {
            let at_once = std::thread::available_parallelism().map_or(1, usize::from);
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            let died = |_| vec![Failure::new("whoever ran the targets has panicked")];
            let ended = workers.into_iter().map(|worker| worker.join().unwrap_or_else(died));
            ended.flatten().map(|failure| failure.to_string()).collect::<Vec<_>>()
        });
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\n\n"))) }
    }

    fn run_one(&self, built: &Path, target: &str) -> Result<(), Failure> {
        let corpus = place().join("corpus").join(target);
        let (found, said) = (place().join("found"), place().join("said"));
        for directory in [&corpus, &found, &said] {
            repository::create(directory)?;
        }
        plant(target, &corpus)?;
        let said = said.join(target);
        let writer = std::fs::File::create(&said)
            .map_err(Failure::to(format!("write {}", said.display())))?;
        let mut fuzzer = fuzzer(built, target);
        fuzzer.stderr(writer).arg(corpus).args([
            format!("-max_total_time={}", self.seconds),
            format!("-artifact_prefix={}/{target}-", found.display()),
            format!("-max_len={INPUT_BYTES_MAX}"),
            "-print_final_stats=1".to_owned(),
        ]);
        fuzzer.args(self.is_steady.then_some("-seed=1"));
        let started = Instant::now();
        let status = program::status(&mut fuzzer)?;
        let text = String::from_utf8_lossy(
            &std::fs::read(&said).map_err(Failure::to(format!("read {}", said.display())))?,
        )
        .into_owned();
        println!("{target:<14} {}", figures(&text, started.elapsed().as_secs()));
        if status.success() { Ok(()) } else { Err(finding(target, &text, status)) }
    }
}

/// What a target said before it failed, without what was new on the way.
fn finding(target: &str, said: &str, status: ExitStatus) -> Failure {
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('#')).collect();
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    let found = said.lines().find_map(|line| line.split_once("Test unit written to "));
    let again = found.map(|(_, file)| format!("\nagain: cargo xtask fuzz {target} --input {file}"));
    Failure::new(format!("{shown}\n{target} ended with {status}{}", again.unwrap_or_default()))
}

fn fuzzer(built: &Path, target: &str) -> Command {
    let mut fuzzer = program::command(built);
    fuzzer.env("FUZZ_TARGET", target);
    fuzzer.args([
        format!("-timeout={HANG_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MEGABYTES_MAX}"),
    ]);
    fuzzer
}

/// What a run came to, in a line.
fn figures(said: &str, seconds: u64) -> String {
    let after = |word: &str| {
        let found = said.rsplit_once(word).map(|(_, rest)| rest);
        found.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    format!(
        "{seconds:>4} s {:>9} runs {:>6}/s {:>6} edges {:>5} MB",
        after("stat::number_of_executed_units:"),
        after("stat::average_exec_per_sec:"),
        after(" cov: "),
        after("stat::peak_rss_mb:"),
    )
}

/// Beside what the repository's own build makes.
fn place() -> PathBuf {
    repository::cargo_target().join("fuzz")
}

fn home() -> PathBuf {
    repository::root().join("tests/fuzz")
}

/// The names in the program's table.
fn targets() -> Result<Vec<String>, Failure> {
    let source = repository::read(&home().join("src/main.rs"))?;
    let lines = source.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    let names = lines.filter_map(|line| line.split_once('"').map(|(name, _)| name.to_owned()));
    Ok(names.collect())
}

fn build(ready: &Ready) -> Result<PathBuf, Failure> {
    let host = host()?;
    let mut cargo = ready.cargo();
    // With a target named, what runs while building is built without what guides the fuzzer.
    cargo.current_dir(home()).args(["build", "--locked", "--target", &host]);
    cargo.env("CARGO_TARGET_DIR", place()).env("RUSTFLAGS", COVERAGE.join(" "));
    // The targets themselves are compiled by clippy, which lints on the way: checking all that
    // they use once more would take as long as half of the build.
    cargo.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    program::run(&mut cargo)?;
    Ok(place().join(host).join("debug/fuzz"))
}

/// The format of a workspace that the repository's own does not hold.
pub(crate) fn check_format(ready: &Ready) -> Result<(), Failure> {
    program::run(ready.cargo().current_dir(home()).args(["fmt", "--check"]))
}

fn host() -> Result<String, Failure> {
    let said = program::read(program::command("rustc").arg("-vV")).unwrap_or_default();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("rustc does not say what it builds for"))
}

/// Puts the seeds of a target where the fuzzer keeps its inputs: one for each line, with
/// `\n`, `\t`, `\0`, `\\` and `\xNN` for what a line cannot hold.
fn plant(target: &str, corpus: &Path) -> Result<(), Failure> {
    let seeds = home().join("seeds").join(format!("{target}.txt"));
    for (number, line) in repository::read(&seeds)?.lines().enumerate() {
        let bytes = unescaped(line)
            .ok_or_else(|| Failure::new(format!("{}:{}", seeds.display(), number + 1)))?;
        let file = corpus.join(format!("seed-{number}"));
        std::fs::write(&file, bytes).map_err(Failure::to(format!("write {}", file.display())))?;
    }
    Ok(())
}

fn unescaped(line: &str) -> Option<Vec<u8>> {
    let plain: BTreeMap<u8, u8> =
        BTreeMap::from([(b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'0', 0), (b'\\', b'\\')]);
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next()? {
            b'x' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                bytes.push(u8::try_from(value).ok()?);
            }
            letter => bytes.push(*plain.get(&letter)?),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_they_are_meant() {
        assert_eq!(unescaped(r"a\n\0\\\xfF").unwrap(), b"a\n\0\\\xff");
        for broken in [r"\", r"\q", r"\x1", r"\xgg"] {
            assert_eq!(unescaped(broken), None, "{broken}");
        }
    }

    #[test]
    fn every_target_has_seeds() {
        let targets = targets().unwrap();
        assert!(targets.len() > 10, "the table is read: {targets:?}");
        for target in targets {
            let seeds = home().join("seeds").join(format!("{target}.txt"));
            let text = repository::read(&seeds).unwrap();
            assert!(!text.is_empty(), "{target}");
            assert!(text.lines().all(|line| unescaped(line).is_some()), "{target}");
        }
    }
}
