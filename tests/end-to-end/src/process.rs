//! Programs that must not outlive the tests.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::postgres;

const SETPRIV: &str = "/usr/bin/setpriv";

/// What to put before a program's name so that it ends with us, where the system can do that:
/// a killed test must leave nothing behind.
pub fn tie() -> Vec<&'static OsStr> {
    let words = [SETPRIV, "--pdeathsig", "KILL"].map(OsStr::new);
    if Path::new(SETPRIV).exists() { words.into() } else { Vec::new() }
}

/// A program, tied to us.
pub fn tied(program: &Path) -> Command {
    command(&[program.as_os_str()])
}

/// A program, tied to us, as the user that servers run as: it may have to read and write what
/// they do.
pub fn tied_server_user(program: &Path) -> Command {
    let mut words = tie();
    words.push(program.as_os_str());
    let (program, arguments) = words.split_first().expect("a program is named");
    let mut command = postgres::as_server_user(program.into());
    command.args(arguments);
    command
}

/// A program and its first arguments, tied to us.
pub fn command(words: &[&OsStr]) -> Command {
    let mut all = tie();
    all.extend(words);
    let (program, arguments) = all.split_first().expect("a program is named");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
