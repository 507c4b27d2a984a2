//! Other people's tests through the proxy: what they need, and the program that runs them.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::component::GuestTools;
use crate::failure::Failure;
use crate::setup::{self, Ready};
use crate::{drivers, plugins, postgres, program, regress, repository};

/// The versions of PostgreSQL that are tested against.
const VERSIONS: [u32; 2] = [15, 18];
/// Ways to the server that the program knows.
const WAYS: [&str; 3] = ["--direct", "--plain", "--tls"];
/// Drivers always go directly as well, to be compared.
const WAYS_OF_DRIVERS: [&str; 2] = ["--plain", "--tls"];

/// PostgreSQL's own regression suite, as asked for.
pub(crate) fn regress(args: &[String]) -> Result<(), Failure> {
    let Asked { versions, ways, names } = Asked::read(args, &WAYS)?;
    if let Some(name) = names.first() {
        return Err(Failure::new(format!("`regress` takes no `{name}`")));
    }
    let ready = ready()?;
    versions.iter().try_for_each(|major| run_regress(&ready, *major, &ways))
}

/// The tests of drivers, as asked for.
pub(crate) fn drivers(args: &[String]) -> Result<(), Failure> {
    let Asked { versions, mut ways, names } = Asked::read(args, &WAYS_OF_DRIVERS)?;
    if ways.is_empty() {
        ways = WAYS_OF_DRIVERS.map(str::to_owned).into();
    }
    let ready = ready()?;
    let runs = versions.iter().flat_map(|major| ways.iter().map(move |way| (*major, way)));
    // All of them, to see every difference at once.
    let ended: Vec<_> = runs.map(|(major, way)| run_drivers(&ready, major, way, &names)).collect();
    ended.into_iter().collect()
}

fn ready() -> Result<Ready, Failure> {
    let ready = setup::to_test()?;
    plugins::build(&ready, &GuestTools::build(&ready)?)?;
    program::run(ready.cargo().args(["build", "--package", "conformance"]))?;
    Ok(ready)
}

/// What somebody asks for on the command line.
struct Asked {
    versions: Vec<u32>,
    ways: Vec<String>,
    names: Vec<String>,
}

impl Asked {
    fn read(args: &[String], known: &[&str]) -> Result<Asked, Failure> {
        let mut asked = Asked { versions: Vec::new(), ways: Vec::new(), names: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if known.contains(&arg.as_str()) {
                asked.ways.push(arg.clone());
            } else if arg == "--postgres" {
                let version = args.next().and_then(|version| version.parse().ok());
                let version = version.filter(|version| VERSIONS.contains(version));
                let wrong = || Failure::new(format!("--postgres is one of {VERSIONS:?}"));
                asked.versions.push(version.ok_or_else(wrong)?);
            } else if arg.starts_with('-') {
                return Err(Failure::new(format!("there is no {arg} here: {known:?}")));
            } else {
                asked.names.push(arg.clone());
            }
        }
        if asked.versions.is_empty() {
            asked.versions.extend(VERSIONS);
        }
        Ok(asked)
    }
}

/// On one server, with what [`ready`] builds: directly where it has to be compared, and these ways.
pub(crate) fn run_regress(
    ready: &Ready,
    major: u32,
    ways: &[impl AsRef<OsStr>],
) -> Result<(), Failure> {
    let files = regress::find_or_get()?;
    // Whoever names a server wants that one.
    let is_named = std::env::var_os(postgres::VARIABLE).is_some();
    let own = if is_named { None } else { regress::own_release(&files)? };
    let is_own = regress::version(&files)? == major && own.is_some();
    let clients = own.map_or_else(|| regress::clients(&files), Ok)?;
    let server = if is_own { clients.join("bin") } else { postgres::of_version(major)? };
    let library = regress::library(&files, &server, major)?;
    let mut run = program::command(repository::cargo_target().join("debug/conformance"));
    ready.apply(&mut run);
    run.env("PORTCULLIS_POSTGRES_BIN", server).env("PORTCULLIS_BIN", portcullis(ready)?);
    run.arg("regress").arg("--library").arg(library).arg("--clients").arg(&clients);
    // Only the release that a suite is written for answers all of it as the suite expects.
    program::run(run.args((!is_own).then_some("--compare")).args(ways))
}

/// The same for drivers; all of them where no name is given.
pub(crate) fn run_drivers(
    ready: &Ready,
    major: u32,
    way: &str,
    names: &[String],
) -> Result<(), Failure> {
    drivers::find_or_get(names)?;
    let mut run = program::command(repository::cargo_target().join("debug/conformance"));
    ready.apply(&mut run);
    run.env("PORTCULLIS_POSTGRES_BIN", postgres::of_version(major)?);
    run.env("PORTCULLIS_BIN", portcullis(ready)?);
    run.arg("drivers").args(names).args((way == "--tls").then_some(way));
    program::run(&mut run)
}

/// As it is shipped, if no other is named: these suites are a matter of minutes.
fn portcullis(ready: &Ready) -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os("PORTCULLIS_BIN") {
        return Ok(named.into());
    }
    program::run(ready.cargo().args(["build", "--release", "--package", "portcullis"]))?;
    Ok(repository::cargo_target().join("release/portcullis"))
}
