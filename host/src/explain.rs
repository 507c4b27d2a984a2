//! `portcullis explain`.
use std::process::ExitCode;
use miette::Result;
use crate::cli::Explain;

pub fn run(_arguments: &Explain) -> Result<ExitCode> {
    Err(miette::miette!("not here"))
}
