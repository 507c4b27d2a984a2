//! The program that measures.

use std::process::Command;

use crate::failure::Failure;
use crate::setup::Ready;
use crate::{program, repository};

/// Not together with the proxy: the features of what both use would be those of both.
pub(crate) fn build(ready: &Ready) -> Result<(), Failure> {
    program::run(ready.cargo().args(["build", "--release", "--package", "bench"]))
}

/// It, as built with this profile, with these words behind it.
pub(crate) fn command(ready: &Ready, profile: &str, words: &[String]) -> Command {
    let mut bench = program::command(repository::cargo_target().join(profile).join("bench"));
    ready.apply(&mut bench);
    bench.args(words);
    bench
}
