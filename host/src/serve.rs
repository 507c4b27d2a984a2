//! `portcullis serve`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use miette::{IntoDiagnostic, Result};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::Serve;
use crate::config::{Config, Log, LogFormat};
use crate::running::Running;

pub fn run(arguments: &Serve) -> Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    start_log(config.log);
    if !config.warnings.is_empty() {
        tracing::warn!("{:#}", config.warnings);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    let _context = runtime.enter();
    // Listened for before anything runs, so that no signal finds the default.
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let mut hang_up = signal(SignalKind::hangup()).into_diagnostic()?;
    let running = Running::start(&config, &arguments.config, None)?;
    for (listen, address) in config.listeners.iter().zip(running.proxy.addresses()) {
        tracing::info!(listener = listen.name, %address, "clients can connect");
    }
    if arguments.ready_json {
        announce(&running, &config)?;
    }
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => reload(&running),
            }
        }
    });
    tracing::info!("draining");
    running.shut_down();
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout)] // the line that --ready-json asks for
fn announce(running: &Running, config: &Config) -> Result<()> {
    let addresses = running.proxy.addresses();
    let listeners: serde_json::Map<String, serde_json::Value> = config
        .listeners
        .iter()
        .zip(addresses)
        .map(|(listen, address)| (listen.name.clone(), address.to_string().into()))
        .collect();
    let line = serde_json::json!({
        "client": addresses.first().map(ToString::to_string),
        "listeners": listeners,
        "admin": running.admin().map(|address| address.to_string()),
    });
    println!("{line}");
    std::io::stdout().flush().into_diagnostic()
}

/// A configuration that is wrong changes nothing.
fn reload(running: &Running) {
    match running.reload() {
        Ok(()) => tracing::info!("configuration read again"),
        Err(lines) => {
            tracing::error!("the configuration is wrong and the old one stays in force:\n{lines}");
        }
    }
}

/// The log goes to standard error; `RUST_LOG` says more than the configuration where set.
pub fn start_log(log: Log) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(log.level.as_str()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would tell standard error that standard error cannot be written, and panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
