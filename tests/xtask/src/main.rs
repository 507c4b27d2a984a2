//! The repository's commands. `cargo xtask` lists them.
//!
//! The standard library alone, so that the first command of a fresh clone starts at once.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod failure;
mod repository;
mod program;
mod system_package;
mod python;
mod node;
mod postgres;
mod debian_sources;
mod regress;
mod drivers;
mod setup;
mod component;
mod plugins;
mod examples;
mod demo;
mod conformance;
mod fuzz;
mod bench_program;
mod release;
mod bench;
mod verify;

use std::process::ExitCode;

use crate::component::GuestTools;
use crate::failure::Failure;

const USAGE: &str = "\
cargo xtask COMMAND

  demo [ARGS…]  the proxy with the shipped policies before a database with made-up customers;
                what follows goes to `portcullis demo` (--script: the tour by itself)
  test          everything the tests need, then all tests
  ci            format, lint, all tests, every fuzz target for ten seconds, the scripted demo,
                PostgreSQL's regression suite, tests of three drivers, and short forms of bench
                and load
  regress [--postgres 15|18]… [--direct] [--plain] [--tls]
                PostgreSQL's own regression suite through the proxy, with every shipped policy
                observing; without arguments everything
  drivers [NAME…] [--postgres 15|18]… [--plain] [--tls]
                the tests of drivers, through the proxy as without it; without arguments
                everything
                (both: the program in PORTCULLIS_BIN, or the release build)
  fuzz [TARGET…] [--seconds N]
                arbitrary bytes for all fuzz targets or some, a minute each; --help says more

  release       the program to be run, target/dist/portcullis: a release build that is made twice,
                the second time by a profile of what the first one did, and then laid out
  bench [FIGURE…] [--rounds N] [--seconds S] [--peers] [--hold TIMES] [--out DIR]
                what the proxy costs beside doing nothing: a table, and a plot in target/bench;
                it fails where a figure is more than so many TIMES what it may be at most
  load [--scale F] [--seconds S]
                thousands of sessions at once, and sessions that come and go
  soak [--minutes N]
                drivers, reloads and faults for half an hour
                (all three: --portcullis PROGRAM for another than `release` makes)

  setup         check what is needed to build and test, and get what is missing
  plugins       the shipped policies as components, in target/plugins
  examples      the example policies in every language, in target/examples
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    if let ("setup" | "plugins" | "examples" | "release" | "test" | "ci", Some(extra)) =
        (command, rest.first())
    {
        return Err(Failure::new(format!("`{command}` takes no `{extra}`\n\n{USAGE}")));
    }
    match command {
        "demo" => return demo::run(rest),
        "help" | "-h" | "--help" => print!("{USAGE}"),
        "setup" => setup::to_test()?.report(),
        "plugins" => {
            let ready = setup::to_build()?;
            plugins::build(&ready, &GuestTools::build(&ready)?)?;
        }
        "examples" => {
            let ready = setup::to_build()?;
            examples::build(&ready, &GuestTools::build_with_bindings(&ready)?)?;
        }
        "release" => println!("{}", release::build(&setup::to_test()?)?.display()),
        "bench" => bench::run("figures", rest)?,
        "load" | "soak" => bench::run(command, rest)?,
        "regress" => conformance::regress(rest)?,
        "drivers" => conformance::drivers(rest)?,
        "fuzz" if rest.iter().any(|arg| arg == "--help") => print!("{}", fuzz::USAGE),
        "fuzz" => fuzz::Fuzz::of(rest)?.run(&setup::to_fuzz()?)?,
        "test" => verify::test()?,
        "ci" => verify::ci()?,
        other => return Err(Failure::new(format!("no command `{other}`\n\n{USAGE}"))),
    }
    Ok(ExitCode::SUCCESS)
}
