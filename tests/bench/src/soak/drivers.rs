//! Drivers in other languages, each a script that runs until its input closes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::counted::Counted;
use crate::failure::Failure;
use crate::process;
use crate::stage::{DATABASE, PASSWORD};
use crate::target::Target;

pub(super) fn psycopg(
    tools: &Path,
    target: &Target,
    stop: &AtomicBool,
) -> Result<Counted, Failure> {
    let mut command = process::tied(&tools.join("venv/bin/python"));
    command.arg(script("soak.py"));
    run(command, tools, target, stop)
}

pub(super) fn node(tools: &Path, target: &Target, stop: &AtomicBool) -> Result<Counted, Failure> {
    let mut command = process::command(&["node".as_ref()]);
    command.arg(script("soak.js"));
    run(command, tools, target, stop)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers").join(name)
}

fn run(
    mut command: Command,
    tools: &Path,
    target: &Target,
    stop: &AtomicBool,
) -> Result<Counted, Failure> {
    let name = &target.name;
    let mut child = command
        .env("PGHOST", target.address.ip().to_string())
        .env("PGPORT", target.address.port().to_string())
        .env("PGUSER", &target.login.user)
        .env("PGPASSWORD", PASSWORD)
        .env("PGDATABASE", DATABASE)
        .env("PORTCULLIS_TOOLS", tools)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::to(format!("start {name}")))?;
    while !stop.load(Ordering::Relaxed) && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(child.stdin.take());
    let output = child.wait_with_output().map_err(Failure::to(format!("wait for {name}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("{name} ended with {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(Failure::to(format!("read what {name} counted")))
}
