//! The `portcullis` program: configuration, command line, composition.

mod config;
mod cli;
mod terminal;
mod directory;
mod settings;
mod announcing;
mod egress;
mod delivery;
mod running;
mod serve;
mod check;
mod client;
mod explain;
mod plugin;
mod demo;

use std::process::ExitCode;

use clap::Parser;

/// A statement takes a dozen small pieces of memory and gives them back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // One provider of cryptography for both legs of TLS and for egress. An error means that
    // one is installed, and nothing else in this program installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match cli.command {
        cli::Command::Serve(arguments) => serve::run(&arguments),
        cli::Command::Check(arguments) => check::run(&arguments),
        cli::Command::Demo(arguments) => demo::run(&arguments),
        cli::Command::Explain(arguments) => explain::run(&arguments),
        cli::Command::Plugin { command } => plugin::run(&command),
        cli::Command::Client(command) => client::run(&command),
    };
    match done {
        Ok(code) => code,
        Err(report) => {
            // miette's reporter draws the line of the file that is wrong.
            eprintln!("{report:?}");
            ExitCode::FAILURE
        }
    }
}
