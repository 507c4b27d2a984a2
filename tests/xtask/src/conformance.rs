//! Other people's tests through the proxy: what they need, and the program that runs them.

use std::path::PathBuf;

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::{self, Ready};
use crate::{plugins, postgres, program, regress, repository};

/// The versions of PostgreSQL that are tested against.
const VERSIONS: [u32; 2] = [15, 18];
/// Ways to the server that the program knows.
const WAYS: [&str; 3] = ["--direct", "--plain", "--tls"];

/// PostgreSQL's own regression suite, as asked for.
pub(crate) fn regress(args: &[String]) -> Result<(), Failure> {
    let (versions, ways) = asked(args)?;
    let ready = setup::to_test()?;
    plugins::build(&ready, &GuestTools::build(&ready)?)?;
    program::run(ready.cargo().args(["build", "--package", "conformance"]))?;
    versions.iter().try_for_each(|major| run_regress(&ready, *major, &ways))
}

/// What of it is run for every change: all ways where PostgreSQL says what is right, and one
/// where only the comparison does.
pub(crate) fn regress_in_ci(ready: &Ready) -> Result<(), Failure> {
    let ways = |ways: &[&str]| ways.iter().map(|way| (*way).to_owned()).collect::<Vec<_>>();
    run_regress(ready, 15, &ways(&["--plain", "--tls"]))?;
    run_regress(ready, 18, &ways(&["--plain"]))
}

fn asked(args: &[String]) -> Result<(Vec<u32>, Vec<String>), Failure> {
    let (mut versions, mut ways) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if WAYS.contains(&arg.as_str()) {
            ways.push(arg.clone());
        } else if arg == "--postgres" {
            let version = args.next().and_then(|version| version.parse().ok());
            versions.extend(version.filter(|version| VERSIONS.contains(version)));
            if versions.is_empty() {
                return Err(Failure::new(format!("--postgres is one of {VERSIONS:?}")));
            }
        } else {
            return Err(Failure::new(format!("`regress` takes no `{arg}`")));
        }
    }
    if versions.is_empty() {
        versions.extend(VERSIONS);
    }
    Ok((versions, ways))
}

fn run_regress(ready: &Ready, major: u32, ways: &[String]) -> Result<(), Failure> {
    let files = regress::find_or_get()?;
    let server = postgres::of_version(major)?;
    let library = regress::library(&files, &server, major)?;
    let clients = regress::clients(&files)?;
    let mut run = program::command(repository::cargo_target().join("debug/conformance"));
    ready.apply(&mut run);
    run.env("PORTCULLIS_POSTGRES_BIN", server).env("PORTCULLIS_BIN", portcullis(ready)?);
    run.arg("regress").arg("--library").arg(library).arg("--clients").arg(clients);
    program::run(run.args(ways))
}

/// As it is shipped: two of these suites are a matter of minutes.
fn portcullis(ready: &Ready) -> Result<PathBuf, Failure> {
    program::run(ready.cargo().args(["build", "--release", "--package", "portcullis"]))?;
    Ok(repository::cargo_target().join("release/portcullis"))
}
