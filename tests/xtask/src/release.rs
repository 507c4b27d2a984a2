//! The program as it is to be run: built twice, the second time by what the first one did.
//!
//! What is done about a statement is a little of much code. A compiler that knows which parts of it
//! run puts those together, and the rest out of the way: a seventh of its CPU.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::Ready;
use crate::{bench_program, plugins, program, repository, system_package};

/// What the first build does to learn what runs, by the name of its notes, and how much these count.
/// A million rows run their few loops so often that all that is done once for a statement would look
/// cold beside them.
const TRAINING: [(&str, u32, &[&str]); 2] = [
    (
        "statements",
        32,
        &[
            "a-simple",
            "a-extended",
            "a-prepared",
            "b-simple",
            "b-extended",
            "b-prepared",
            "connection",
            "shape",
        ],
    ),
    ("rows", 1, &["bulk-clear", "bulk-masked", "bulk-inspected"]),
];
const TRAINED: [&str; 4] = ["--rounds", "1", "--seconds", "3"];

/// What the program and its profile are made of.
const SOURCES: [&str; 8] = [
    "host",
    "plugin-sdk",
    "plugins",
    "wit",
    "tests/bench/src",
    "tests/xtask/src/release.rs",
    "Cargo.toml",
    "Cargo.lock",
];

/// Builds it, unless it is there already. Says where it is.
pub(crate) fn build(ready: &Ready) -> Result<PathBuf, Failure> {
    let rustc = Rustc::ask()?;
    let built = repository::root().join("target/dist/portcullis");
    let sources = repository::digest(&SOURCES.map(|source| repository::root().join(source)))?;
    let key = format!("{sources}\n{}\n{:?}", rustc.version, flags_of_env());
    let stamp = built.with_extension("stamp");
    repository::once_made(&built, &stamp, &key, || make(ready, &rustc, &built))?;
    Ok(built)
}

fn make(ready: &Ready, rustc: &Rustc, built: &Path) -> Result<(), Failure> {
    let profdata = rustc.profdata()?;
    let place = repository::root().join("target/profile");
    plugins::build(ready, &GuestTools::build(ready)?)?;
    let unasked = place.join("unasked");
    let learning = compile(ready, rustc, &[format!("-Cprofile-generate={}", unasked.display())])?;
    bench_program::build(ready)?;
    println!("xtask: the program learns what it is asked");
    let merged = place.join("merged");
    repository::create_anew(&merged)?;
    let unnamed = merged.join("profdata");
    let mut merge = Command::new(profdata);
    merge.arg("merge").arg("-o").arg(&unnamed);
    for (name, weight, figures) in TRAINING {
        let notes = place.join(name);
        repository::create_anew(&notes)?;
        let words = [&["figures"], figures, &TRAINED].concat();
        let mut asking = bench_program::of(ready, "release", &words, &learning);
        asking.env("LLVM_PROFILE_FILE", notes.join("%m.profraw"));
        // What it prints are the speeds of a program that takes notes.
        program::run_quietly(&mut asking)?;
        if repository::entries(&notes)?.is_empty() {
            return Err(Failure::new("the program has written down nothing of what it did"));
        }
        merge.arg(format!("--weighted-input={weight},{}", notes.display()));
    }
    program::run(&mut merge)?;
    // By another name when it is another: cargo does not look into it.
    let named = merged.join(repository::digest(std::slice::from_ref(&unnamed))?);
    rename(&unnamed, &named)?;
    let made = compile(
        ready,
        rustc,
        &[format!("-Cprofile-use={}", named.display()), "-Clink-arg=-Wl,--emit-relocs".to_owned()],
    )?;
    // One that runs can be replaced, and not written to.
    let beside = built.with_extension("new");
    repository::create(built.parent().unwrap_or(built))?;
    fs::copy(made, &beside).map_err(Failure::to(format!("write {}", beside.display())))?;
    rename(&beside, built)
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(Failure::to(format!("write {}", to.display())))
}

/// Between flags of the compiler, where they are told to cargo one by one.
const SEPARATOR: char = '\u{1f}';

/// The flags that whoever runs this wants.
fn flags_of_env() -> Vec<String> {
    let words = |text: String, separator: char| {
        text.split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    match (env::var("CARGO_ENCODED_RUSTFLAGS"), env::var("RUSTFLAGS")) {
        (Ok(encoded), _) => words(encoded, SEPARATOR),
        (Err(_), Ok(flags)) => words(flags, ' '),
        (Err(_), Err(_)) => Vec::new(),
    }
}

/// The release build with more flags for its own code, where no other build is.
fn compile(ready: &Ready, rustc: &Rustc, flags: &[String]) -> Result<PathBuf, Failure> {
    let target = repository::root().join("target/profile");
    let mut cargo = ready.cargo();
    cargo.args(["build", "--release", "--package", "portcullis"]);
    // Named, so that the flag is not for programs that only build others.
    cargo.arg("--target").arg(&rustc.host).arg("--target-dir").arg(&target);
    let flags = [flags_of_env().as_slice(), flags].concat();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(&SEPARATOR.to_string()));
    program::run(&mut cargo)?;
    Ok(target.join(&rustc.host).join("release/portcullis"))
}

/// What the compiler says of itself.
struct Rustc {
    version: String,
    host: String,
    /// The first number of its LLVM's version.
    llvm: String,
    sysroot: PathBuf,
}

impl Rustc {
    fn ask() -> Result<Rustc, Failure> {
        let ask = |arguments: &[&str]| {
            let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
            let said = program::read(program::command(rustc).args(arguments));
            said.ok_or_else(|| Failure::new("rustc does not say what it is"))
        };
        let version = ask(&["-vV"])?;
        let line = |name: &str| {
            let value = version.lines().find_map(|line| line.strip_prefix(name));
            value.map(str::to_owned).ok_or_else(|| Failure::new(format!("rustc says no {name}")))
        };
        let llvm = line("LLVM version: ")?;
        Ok(Rustc {
            host: line("host: ")?,
            llvm: llvm.split('.').next().unwrap_or_default().to_owned(),
            sysroot: ask(&["--print", "sysroot"])?.into(),
            version,
        })
    }

    /// Reads what the first build has written; it must be of the compiler's own LLVM.
    fn profdata(&self) -> Result<PathBuf, Failure> {
        let name = format!("llvm-profdata-{}", self.llvm);
        let find = || {
            let own = self.sysroot.join("lib/rustlib").join(&self.host).join("bin/llvm-profdata");
            if own.is_file() { Some(own) } else { program::find(&[&name]) }
        };
        if let Some(found) = find() {
            return Ok(found);
        }
        let package = format!("llvm-{}", self.llvm);
        let installed = system_package::install(&name, &[&package]);
        find().ok_or_else(|| {
            let why = installed.err().map(|failure| format!(" {failure}")).unwrap_or_default();
            Failure::new(format!(
                "the release is built by a profile, which {name} reads.{why} `rustup component add \
                 llvm-tools` brings it as well; `cargo build --release` does without."
            ))
        })
    }
}
