//! Other people's tests, directly and through the proxy: PostgreSQL's own regression suite, and the
//! tests of drivers.
//!
//! `cargo xtask` gets what these need and runs them.
#![allow(clippy::print_stdout)] // A report is what this program is for.

mod stage;
mod evidence;
mod regress;
mod drivers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// PostgreSQL's own regression suite
    Regress(regress::Arguments),
    /// The tests of drivers
    Drivers(drivers::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let held = match Arguments::parse().suite {
        Suite::Regress(arguments) => regress::run(&arguments).await,
        Suite::Drivers(arguments) => drivers::run(&arguments).await,
    };
    match held {
        Ok(()) => ExitCode::SUCCESS,
        Err(difference) => {
            println!("{difference}");
            ExitCode::FAILURE
        }
    }
}
