//! The tool that makes components, built once and then run by itself: cargo takes a quarter
//! of a second to see that there is nothing to build, and there are many plugins.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::setup::Ready;
use crate::{program, repository};

pub(crate) struct GuestTools {
    program: PathBuf,
}

impl GuestTools {
    /// What turns a module into a component.
    pub(crate) fn build(ready: &Ready) -> Result<GuestTools, Failure> {
        GuestTools::build_with(ready, &[])
    }

    /// The same, and bindings for other languages.
    pub(crate) fn build_with_bindings(ready: &Ready) -> Result<GuestTools, Failure> {
        GuestTools::build_with(ready, &["--features", "bindings"])
    }

    fn build_with(ready: &Ready, features: &[&str]) -> Result<GuestTools, Failure> {
        program::run(ready.cargo().args(["build", "--package", "guest-tools"]).args(features))?;
        Ok(GuestTools { program: repository::cargo_target().join("debug/guest-tools") })
    }

    pub(crate) fn command(&self) -> Command {
        program::command(&self.program)
    }

    pub(crate) fn component(&self, core: &Path, out: &Path) -> Result<(), Failure> {
        program::run(self.command().arg("component").arg(core).arg(out))
    }
}
