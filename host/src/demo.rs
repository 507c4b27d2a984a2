//! `portcullis demo`.
mod postgres;

use std::process::ExitCode;
use miette::Result;
use crate::cli::Demo;

pub fn run(_arguments: &Demo) -> Result<ExitCode> {
    Err(miette::miette!("not here"))
}
