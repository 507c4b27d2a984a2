//! The fuzz targets: built with what guides the fuzzer, and run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// What to run, and for how long each.
pub(crate) struct Fuzz {
    targets: Vec<String>,
    seconds: u64,
    /// One input to run again, and no fuzzing.
    input: Option<PathBuf>,
}

/// From the top of the repository.
pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";
/// What CI gives each target.
pub(crate) const CI_SECONDS: u64 = 10;

impl Fuzz {
    /// Every target, for so long each.
    pub(crate) fn all(seconds: u64) -> Fuzz {
        Fuzz { targets: Vec::new(), seconds, input: None }
    }

    /// `[TARGET…] [--seconds N] [--input FILE]`.
    pub(crate) fn of(args: &[String]) -> Result<Fuzz, Failure> {
        let mut fuzz = Fuzz::all(60);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| Failure::new(format!("{arg} what?")));
            match arg.as_str() {
                "--seconds" => {
                    let seconds = value()?;
                    let number = seconds.parse();
                    fuzz.seconds =
                        number.map_err(|_| Failure::new(format!("{seconds} is no number")))?;
                }
                "--input" => fuzz.input = Some(value()?.into()),
                target => fuzz.targets.push(target.to_owned()),
            }
        }
        Ok(fuzz)
    }

    pub(crate) fn run(&self, ready: &Ready) -> Result<(), Failure> {
        let known = targets()?;
        let unknown = self.targets.iter().find(|target| !known.contains(target));
        if let Some(unknown) = unknown {
            let known = known.join(", ");
            return Err(Failure::new(format!("no target {unknown}; there are {known}")));
        }
        let built = build(ready)?;
        let chosen = if self.targets.is_empty() { &known } else { &self.targets };
        let mut failed = Vec::new();
        for target in chosen {
            println!("\n--> fuzz {target}");
            if !self.run_one(&built, target)? {
                failed.push(target.as_str());
            }
        }
        match failed.as_slice() {
            [] => Ok(()),
            failed => Err(Failure::new(format!(
                "found something in {}: run it again with --input and the file named above",
                failed.join(", ")
            ))),
        }
    }

    /// False when something was found.
    fn run_one(&self, built: &Path, target: &str) -> Result<bool, Failure> {
        let mut fuzzer = program::command(built);
        fuzzer.env("FUZZ_TARGET", target);
        fuzzer.args([format!("-timeout={HANG_SECONDS}")]);
        if let Some(input) = &self.input {
            return Ok(program::status(fuzzer.arg(input))?.success());
        }
        let corpus = place().join("corpus").join(target);
        let found = place().join("found");
        repository::create(&corpus)?;
        repository::create(&found)?;
        plant(target, &corpus)?;
        fuzzer.args([
            format!("-max_total_time={}", self.seconds),
            format!("-rss_limit_mb={MEMORY_MEGABYTES_MAX}"),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-artifact_prefix={}/{target}-", found.display()),
            "-print_final_stats=1".to_owned(),
        ]);
        Ok(program::status(fuzzer.arg(corpus))?.success())
    }
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
    let mut cargo: Command = ready.cargo();
    cargo.current_dir(home()).args(["build", "--locked", "--target", &host]);
    // With a target named, what runs while building is built without all this.
    cargo.env("CARGO_TARGET_DIR", place()).env("RUSTFLAGS", COVERAGE.join(" "));
    program::run(&mut cargo)?;
    Ok(place().join(host).join("debug/fuzz"))
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
