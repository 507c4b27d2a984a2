//! The command line as a client of the admin API.
//!
//! What comes from there, other people may have written: it is shown without anything that a
//! terminal acts on. What proves who somebody is goes over TLS, or to this machine.

mod failure;
mod kept;
mod access;
mod api;
mod show;
mod approvals;
mod sessions;
mod principals;
mod credentials;
mod status;
mod device;
mod login;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use miette::Result;
use serde_json::Value;

use crate::cli::{Access, Client};
use crate::terminal::print;

use access::{PROCESS, Surroundings};
use api::Api;
use failure::Failure;

pub fn run(command: &Client) -> Result<ExitCode> {
    let say = |text: &str| print(text).map_err(|error| Failure::failed(error.to_string()));
    match done(command, &PROCESS, &say, show::now()) {
        Ok(text) => {
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            eprintln!("{failure}");
            Ok(failure.code())
        }
    }
}

/// Does what was asked, and what to print of it.
fn done(
    command: &Client,
    around: &Surroundings<'_>,
    say: &dyn Fn(&str) -> std::result::Result<(), Failure>,
    now: i64,
) -> std::result::Result<String, Failure> {
    let open = |access: &Access| Api::open(access, around);
    let (access, (answer, shown)) = match command {
        Client::Approval { access, command } => {
            (access, approvals::run(&open(access)?, command, now)?)
        }
        Client::Session { access, command } => {
            (access, sessions::run(&open(access)?, command, now)?)
        }
        Client::Principal { access, command } => {
            (access, principals::run(&open(access)?, command, now)?)
        }
        Client::Credential { access, command } => {
            (access, credentials::run(&open(access)?, command, now)?)
        }
        // With --json standard output has one object and nothing else.
        Client::Login(arguments) if arguments.access.json => {
            let aside = |text: &str| {
                eprint!("{text}");
                Ok(())
            };
            (&arguments.access, login::run(arguments, around, &aside, now)?)
        }
        Client::Login(arguments) => (&arguments.access, login::run(arguments, around, say, now)?),
        Client::Logout { access } => (access, login::forget(access, around)?),
        Client::Reload { access } => (access, status::reload(&open(access)?)?),
        Client::Status { access } => (access, status::status(&open(access)?)?),
        Client::Whoami { access } => (access, status::whoami(&open(access)?, now)?),
        Client::Metrics { access } => {
            return status::metrics(&open(access)?);
        }
    };
    if access.json && answer != Value::Null { Ok(show::json(&answer)) } else { Ok(shown) }
}
