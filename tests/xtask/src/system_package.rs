//! What only the system's package manager can bring, and only an administrator can ask for.

use std::sync::OnceLock;

use crate::failure::Failure;
use crate::program;

/// Installs Debian packages when this is a Debian machine and we may, and says what to
/// install when it is not.
pub(crate) fn install(what: &str, packages: &[&str]) -> Result<(), Failure> {
    if !is_root() || program::find(&["apt-get"]).is_none() {
        return Err(Failure::new(format!(
            "{what} is missing. Install it (Debian: apt-get install {}) and try again.",
            packages.join(" ")
        )));
    }
    eprintln!("xtask: installing {what} ({})", packages.join(" "));
    update_lists()?;
    let mut install = program::command("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    program::run_quietly(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// A new machine has no list of packages. Once is enough.
fn update_lists() -> Result<(), Failure> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        program::run_quietly(program::command("apt-get").args(["update", "-q"]))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

pub(crate) fn is_root() -> bool {
    program::read(program::command("id").arg("-u")).is_some_and(|uid| uid == "0")
}
