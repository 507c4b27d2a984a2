//! What Portcullis costs. `cargo xtask bench` builds what this needs and runs it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../../xtask/src/failure.rs"]
mod failure;
#[path = "../../../host/src/demo/postgres.rs"]
#[allow(dead_code)] // The demo and the tests use more of it.
mod postgres;
#[path = "../../end-to-end/src/process.rs"]
#[allow(dead_code)]
mod process;
mod usage;
mod wire;
mod workload;
mod floor;
mod target;
mod stage;
mod options;
mod machine;
mod portcullis;
mod accounts;
mod metrics;
mod clients;
mod scripted;
mod checks;
mod rounds;
mod watch;
mod finding;
mod plot;
mod peers;
mod measuring;
mod figures;
mod speed;
mod load;
mod soak;

use std::process::ExitCode;

use crate::failure::Failure;
use crate::floor::Floor;
use crate::options::Words;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["floor", name, upstream, threads] => {
            let floor = Floor::named(name)
                .ok_or_else(|| Failure::new(format!("there is no floor {name}")))?;
            let upstream = upstream.parse().map_err(Failure::to("read the address"))?;
            let threads = threads.parse().map_err(Failure::to("read the number of threads"))?;
            floor::serve(floor, upstream, threads)?;
        }
        ["figures", rest @ ..] => speed::run(Words::new(rest))?,
        ["load", rest @ ..] => load::run(Words::new(rest))?,
        ["soak", rest @ ..] => soak::run(Words::new(rest))?,
        _ => {
            return Err(Failure::new(
                "figures [FIGURE…] [--peers] [--rounds N] [--seconds S] [--hold TIMES] [--out DIR], \
                 load [--scale N] [--seconds S] [--out DIR] or \
                 soak [--minutes N] [--tools DIR] [--out DIR]",
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
