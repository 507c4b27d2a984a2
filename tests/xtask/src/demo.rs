//! The proxy at work, from a fresh clone on.

use std::process::ExitCode;

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup;
use crate::{plugins, program, repository};

pub(crate) fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let ready = setup::to_run()?;
    plugins::build(&ready, &GuestTools::build(&ready)?)?;
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
