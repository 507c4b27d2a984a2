//! The proxy at work, from a fresh clone on.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::setup::{self, Ready};
use crate::{plugins, program, repository};

pub(crate) fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let ready = setup::to_run()?;
    plugins::build(&ready)?;
    run_with(&ready, args)
}

/// With plugins that are built already.
pub(crate) fn run_with(ready: &Ready, args: &[String]) -> Result<ExitCode, Failure> {
    program::run(ready.cargo().args(["build", "--release", "--package", "portcullis"]))?;
    let portcullis = repository::cargo_target().join("release/portcullis");
    let mut demo = program::command(portcullis);
    demo.arg("demo").arg("--plugins").arg(repository::plugins()).args(args);
    become_it(ready.apply(&mut demo))
}

/// The demo takes this process's place, so that every signal and its exit code are its own.
#[cfg(unix)]
fn become_it(demo: &mut std::process::Command) -> Result<ExitCode, Failure> {
    use std::os::unix::process::CommandExt;
    Err(Failure::to("start the demo")(demo.exec()))
}

#[cfg(not(unix))]
fn become_it(demo: &mut std::process::Command) -> Result<ExitCode, Failure> {
    let code = program::status(demo)?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
