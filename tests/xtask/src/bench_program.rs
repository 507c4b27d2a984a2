//! The program that measures.

use std::path::Path;
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

/// The same of this proxy, with the policies that are built here.
pub(crate) fn of(ready: &Ready, profile: &str, words: &[&str], portcullis: &Path) -> Command {
    let mut bench = command(ready, profile, &[]);
    bench.args(words).arg("--portcullis").arg(portcullis);
    bench.arg("--plugins").arg(repository::plugins());
    bench
}
