//! `portcullis plugin`.
use std::process::ExitCode;
use miette::Result;
use crate::cli::Plugin;

pub fn run(_command: &Plugin) -> Result<ExitCode> {
    Err(miette::miette!("not here"))
}
