//! A private Python environment, and packages in it.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::{program, repository, system_package};

pub(crate) fn environment() -> PathBuf {
    repository::tools().join("venv")
}

/// A program that a package brought.
pub(crate) fn script(name: &str) -> PathBuf {
    environment().join("bin").join(name)
}

/// Puts packages in, if they are not in already. `requirements` are lines as pip reads them.
/// What is done is noted inside the environment, and goes away with it.
pub(crate) fn install(what: &str, requirements: &str) -> Result<(), Failure> {
    let stamp = environment().join("done").join(what);
    repository::once(&stamp, requirements, || {
        let python = make_environment()?;
        eprintln!("xtask: getting {what} for Python");
        let mut pip = program::command(python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        program::run_quietly(pip.args(requirements.lines()))
    })
}

fn make_environment() -> Result<PathBuf, Failure> {
    let python = script("python");
    if works(&python) {
        return Ok(python);
    }
    let system = match program::find(&["python3"]) {
        Some(found) => found,
        None => {
            system_package::install("Python 3", &["python3", "python3-venv"])?;
            PathBuf::from("python3")
        }
    };
    let directory = environment();
    let make = || program::run_quietly(venv(&system).arg(&directory));
    // Debian's Python comes without the part that puts pip into an environment.
    make().or_else(|_| {
        system_package::install("Python's venv", &["python3-venv"])?;
        make()
    })?;
    Ok(python)
}

fn venv(python: &Path) -> std::process::Command {
    let mut command = program::command(python);
    command.args(["-m", "venv", "--clear"]);
    command
}

/// An environment whose making failed half-way has a Python, but no pip.
fn works(python: &Path) -> bool {
    python.exists()
        && program::read(program::command(python).args(["-m", "pip", "--version"])).is_some()
}
