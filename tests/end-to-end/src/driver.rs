//! Runs the scripts in `drivers/` against an address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::artefacts;
use crate::cluster::APP_PASSWORD;

/// Where and how a driver connects.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub user: String,
    pub database: String,
    /// The authority to trust; without one, no TLS.
    pub authority: Option<PathBuf>,
}

/// The drivers, each with the one scenario in its own language.
#[derive(Clone, Copy, Debug)]
pub enum Driver {
    Psql,
    Psycopg,
    NodePostgres,
}

impl Driver {
    /// Runs the scenario and gives what it printed, less what differs from run to run.
    pub fn run(self, target: &Target) -> Vec<String> {
        let mut command = self.command();
        let output = with_target(&mut command, target).output().expect("the driver runs");
        assert!(output.status.success(), "{self:?} failed: {}", said(&output));
        let text = String::from_utf8(output.stdout).expect("drivers print UTF-8");
        text.lines().map(without_temporary_schema).collect()
    }

    fn command(self) -> Command {
        let scripts = artefacts::drivers();
        match self {
            Driver::Psql => {
                let mut command = Command::new("/bin/sh");
                // Errors belong between the answers, where a person sees them.
                command.args(["-c", "exec psql -X -a -f scenario.sql 2>&1"]).current_dir(scripts);
                command
            }
            Driver::Psycopg => {
                let mut command = Command::new(artefacts::tool("venv/bin/python"));
                command.arg(scripts.join("scenario.py"));
                command
            }
            Driver::NodePostgres => {
                artefacts::tool("node_modules/pg-cursor");
                let mut command = Command::new("node");
                command.arg(scripts.join("scenario.js"));
                command
            }
        }
    }
}

/// Sets the variables that every client of PostgreSQL reads.
pub fn with_target<'c>(command: &'c mut Command, target: &Target) -> &'c mut Command {
    command
        .env("PGHOST", if target.authority.is_some() { "localhost" } else { "127.0.0.1" })
        .env("PGPORT", target.address.port().to_string())
        .env("PGUSER", &target.user)
        .env("PGPASSWORD", APP_PASSWORD)
        .env("PGDATABASE", &target.database)
        .env("PGSSLMODE", if target.authority.is_some() { "verify-full" } else { "disable" })
        .env("PGCLIENTENCODING", "UTF8")
        .env("PORTCULLIS_TOOLS", artefacts::tools())
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    if let Some(authority) = &target.authority {
        command.env("PGSSLROOTCERT", authority);
    }
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

/// `pg_temp_3` is numbered by the backend's slot, which is nobody's business.
fn without_temporary_schema(line: &str) -> String {
    match line.split_once("pg_temp_") {
        Some((before, after)) => {
            format!("{before}pg_temp_n{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}
