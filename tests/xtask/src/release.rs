//! The program as it is to be run: built twice, the second time by what the first one did, and then
//! laid out anew by what the second one did.
//!
//! What is done about a statement is a little of much code. A compiler that knows which parts of it
//! run makes those fast. Where they then stand, its linker decides, and for code that is in no
//! Rust, or was compiled before, nobody does: so whatever runs is put together in the end, and the
//! rest out of the way.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::Ready;
use crate::{bench_program, plugins, program, repository, system_package};

/// What is done to learn what runs, by the name of its notes, and how much these count for the
/// compiler. A million rows run their few loops so often that all that is done once for a statement
/// would look cold beside them.
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
    let tools = Tools::of(&rustc.llvm)?;
    let place = repository::root().join("target/profile");
    plugins::build(ready, &GuestTools::build(ready)?)?;
    bench_program::build(ready)?;
    let unasked = place.join("unasked");
    let noting = compile(ready, rustc, &[format!("-Cprofile-generate={}", unasked.display())])?;
    let profile = profile(ready, &tools, &noting, &place)?;
    let flags = [format!("-Cprofile-use={}", profile.display()), RELOCATIONS_KEPT.to_owned()];
    let made = compile(ready, rustc, &flags)?;
    // One that runs can be replaced, and not written to.
    let beside = built.with_extension("new");
    repository::create(built.parent().unwrap_or(built))?;
    lay_out(ready, &tools, &made, &place, &beside)?;
    rename(&beside, built)
}

/// What moves code must find all that points to it.
const RELOCATIONS_KEPT: &str = "-Clink-arg=-Wl,--emit-relocs";

/// Asks the program all that there is to learn from, and says where the profile is.
fn profile(ready: &Ready, tools: &Tools, noting: &Path, place: &Path) -> Result<PathBuf, Failure> {
    let merged = place.join("merged");
    repository::create_anew(&merged)?;
    let unnamed = merged.join("profdata");
    let mut merge = Command::new(&tools.profdata);
    merge.arg("merge").arg("-o").arg(&unnamed);
    println!("xtask: the program learns what it is asked");
    for (name, weight, figures) in TRAINING {
        let notes = place.join(name);
        repository::create_anew(&notes)?;
        let mut asking = asking(ready, noting, figures);
        asking.env("LLVM_PROFILE_FILE", notes.join("%m.profraw"));
        taken(&mut asking, &notes)?;
        merge.arg(format!("--weighted-input={weight},{}", notes.display()));
    }
    program::run(&mut merge)?;
    // By another name when it is another: cargo does not look into it.
    let named = merged.join(repository::digest(std::slice::from_ref(&unnamed))?);
    rename(&unnamed, &named)?;
    Ok(named)
}

/// Puts together what runs of the program, and writes it to `to`.
fn lay_out(
    ready: &Ready,
    tools: &Tools,
    made: &Path,
    place: &Path,
    to: &Path,
) -> Result<(), Failure> {
    let merged = place.join("layout.fdata");
    let mut merge = Command::new(&tools.merge_fdata);
    merge.arg("-o").arg(&merged);
    println!("xtask: and where it goes");
    for (name, _, figures) in TRAINING {
        let notes = place.join("layout").join(name);
        repository::create_anew(&notes)?;
        let noting = place.join("noting");
        let mut instrument = Command::new(&tools.bolt);
        instrument.arg(made).arg("-instrument").arg("-o").arg(&noting);
        // A program for each figure, and each writes when it ends.
        instrument.arg(format!("--instrumentation-file={}", notes.join("of").display()));
        instrument.arg("--instrumentation-file-append-pid");
        program::run_quietly(&mut instrument)?;
        taken(&mut asking(ready, &noting, figures), &notes)?;
        merge.args(repository::entries(&notes)?);
    }
    program::run_quietly(&mut merge)?;
    let mut lay_out = Command::new(&tools.bolt);
    lay_out.arg(made).arg("-o").arg(to).arg("-data").arg(&merged).args(LAYOUT);
    program::run_quietly(&mut lay_out)?;
    // Whoever moves code can break it.
    program::run_quietly(&mut asking(ready, to, &["a-simple", "bulk-masked"]))
}

/// Blocks that follow each other and functions that call each other stand side by side, and what
/// never ran apart. A backtrace still names lines.
const LAYOUT: [&str; 6] = [
    "-reorder-blocks=ext-tsp",
    "-reorder-functions=cdsort",
    "-split-functions",
    "-split-all-cold",
    "-split-eh",
    "-update-debug-sections",
];

/// The figures, asked of a program that takes notes.
fn asking(ready: &Ready, noting: &Path, figures: &[&str]) -> Command {
    bench_program::of(ready, "release", &[&["figures"], figures, &TRAINED].concat(), noting)
}

/// What it prints are the speeds of a program that takes notes.
fn taken(asking: &mut Command, notes: &Path) -> Result<(), Failure> {
    program::run_quietly(asking)?;
    match repository::entries(notes)?.is_empty() {
        true => Err(Failure::new("the program has written down nothing of what it did")),
        false => Ok(()),
    }
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
            version,
        })
    }
}

/// What reads the notes, and moves the code. They must be of the compiler's own LLVM.
struct Tools {
    profdata: PathBuf,
    bolt: PathBuf,
    merge_fdata: PathBuf,
}

impl Tools {
    fn of(llvm: &str) -> Result<Tools, Failure> {
        let find = |program: &str, package: &str| {
            let name = format!("{program}-{llvm}");
            if let Some(found) = program::find(&[&name]) {
                return Ok(found);
            }
            let packages = [&*format!("{package}-{llvm}")];
            let installed = system_package::install(&name, &packages);
            program::find(&[&name]).ok_or_else(|| {
                let why = installed.err().map(|failure| format!(" {failure}")).unwrap_or_default();
                Failure::new(format!(
                    "the release is built by a profile, which takes {name}.{why} `cargo build \
                     --release` does without."
                ))
            })
        };
        Ok(Tools {
            profdata: find("llvm-profdata", "llvm")?,
            bolt: find("llvm-bolt", "bolt")?,
            merge_fdata: find("merge-fdata", "bolt")?,
        })
    }
}
