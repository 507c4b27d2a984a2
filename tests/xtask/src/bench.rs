//! What the proxy costs and what long load does to it, measured on release builds.

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::{self, Ready};
use crate::{bench_program, plugins, program, release, repository};

/// Which of the programs' commands, with all that follows on the command line.
pub(crate) fn run(command: &str, arguments: &[String]) -> Result<(), Failure> {
    let ready = setup::to_test()?;
    let named = |option: &str| arguments.iter().any(|argument| argument == option);
    let mut wanted: Vec<String> = vec![command.to_owned()];
    if !named("--portcullis") && std::env::var_os("PORTCULLIS_BIN").is_none() {
        let built = release::build(&ready)?;
        wanted.extend(["--portcullis".to_owned(), built.display().to_string()]);
    }
    if !named("--plugins") {
        plugins::build(&ready, &GuestTools::build(&ready)?)?;
        wanted.extend(["--plugins".to_owned(), repository::plugins().display().to_string()]);
    }
    if !named("--out") {
        let out = repository::root().join("target/bench");
        wanted.extend(["--out".to_owned(), out.display().to_string()]);
    }
    wanted.extend(arguments.iter().cloned());
    bench_program::build(&ready)?;
    program::run(&mut bench_program::command(&ready, "release", &wanted))
}

/// A short form of one of the commands, with the program that the demo was built for, so that what
/// measures is tried with each change.
pub(crate) fn in_ci(ready: &Ready, command: &[&str]) -> Result<(), Failure> {
    let portcullis = repository::cargo_target().join("release/portcullis");
    bench_program::build(ready)?;
    program::run(&mut bench_program::of(ready, "release", command, &portcullis))
}
