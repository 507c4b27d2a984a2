//! The whole proxy put together: ledger, policies, listener, sinks, admin.

use std::sync::Arc;
use std::thread::JoinHandle;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_engine::{Engine, EngineConfig, SetSummary};
use portcullis_identity::MockSecret;
use portcullis_ledger::{Ledger, Options, Stream};
use portcullis_policy::Mode;
use portcullis_policy::event::{Event, Notable};
use portcullis_proxy::Proxy;

use crate::config::Config;
use crate::delivery::Delivery;
use crate::settings::settings;

/// A running Portcullis.
pub struct Running {
    pub proxy: Proxy,
    pub engine: Arc<Engine>,
    mock: MockSecret,
    follower: Option<JoinHandle<()>>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Running {
    /// Starts everything the configuration asks for.
    ///
    /// # Errors
    /// When a part cannot start: then none is left running.
    pub fn start(config: &Config, mode: Option<Mode>) -> Result<Running> {
        let options = Options {
            segment_bytes_max: config.ledger.segment_bytes_max,
            sync_interval: config.ledger.sync_interval,
            ..Options::default()
        };
        let directory = config.state_dir.join("ledger");
        let ledger = Ledger::open(&directory, options)
            .into_diagnostic()
            .wrap_err_with(|| format!("the ledger in {} cannot be opened", directory.display()))?;
        let workers = config.workers.get();
        let engine = Engine::open(engine_config(config, mode)).into_diagnostic()?;
        let engine = Arc::new(engine);
        let mock =
            MockSecret::generate().ok_or_else(|| miette!("this system has no randomness"))?;
        let mut stream = ledger.stream(workers).into_diagnostic()?;
        record(&mut stream, Notable::Started { version: env!("CARGO_PKG_VERSION") });
        let proxy = Proxy::start(settings(config, &mock)?, engine.hub(), ledger.clone(), workers)
            .into_diagnostic()?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let delivery = Delivery::new(ledger.clone(), &config.state_dir.join("sinks"));
        let following = engine.clone();
        let follower = std::thread::Builder::new()
            .name("policies".into())
            .spawn(move || follow(&following, stream, delivery, stopped))
            .into_diagnostic()?;
        Ok(Running { proxy, engine, mock, follower: Some(follower), stop })
    }

    /// Puts a new configuration in force, as far as a running proxy can take it.
    pub fn reload(&self, config: &Config) -> Result<()> {
        self.proxy.reload(settings(config, &self.mock)?);
        self.engine.reload();
        Ok(())
    }

    /// Serves the admin API.
    pub fn serve_admin(&self, address: std::net::SocketAddr) -> Result<portcullis_admin::Admin> {
        let parts = portcullis_admin::Parts { sets: self.engine.subscribe() };
        portcullis_admin::Admin::start(address, parts)
            .into_diagnostic()
            .wrap_err("the admin API cannot start")
    }

    /// Drains and stops: sessions first, so that the sinks still hear of their ends.
    pub fn shut_down(mut self) {
        self.proxy.shut_down();
        self.stop.send_replace(true);
        if let Some(follower) = self.follower.take()
            && follower.join().is_err()
        {
            tracing::error!("the thread that follows policies ended by a panic");
        }
    }
}

/// What the engine is told by a configuration.
pub fn engine_config(config: &Config, mode: Option<Mode>) -> EngineConfig {
    EngineConfig {
        cache_dir: Some(config.state_dir.join("compiled")),
        workers: config.workers.get(),
        mode_override: mode,
        ..EngineConfig::new(&config.plugin_dir)
    }
}

/// Records every change of the policy set, and keeps a thread per sink.
fn follow(
    engine: &Arc<Engine>,
    mut stream: Stream,
    mut delivery: Delivery,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "policy changes are not recorded"),
    };
    let mut sets = engine.subscribe();
    sets.mark_changed();
    runtime.block_on(async {
        loop {
            tokio::select! {
                changed = sets.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let summary = sets.borrow_and_update().clone();
                    record(&mut stream, changes(&summary));
                    delivery.adjust(engine);
                }
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
    });
    record(&mut stream, Notable::Stopped);
    delivery.stop();
}

fn changes(summary: &SetSummary) -> Notable {
    Notable::PolicySet {
        revision: summary.revision,
        changes: summary.changes.clone(),
        failures: summary.failures.iter().map(ToString::to_string).collect(),
    }
}

fn record(stream: &mut Stream, notable: Notable) {
    stream.append(&Event::Notable(notable));
    if let Err(error) = stream.commit() {
        tracing::error!(%error, "the ledger cannot be written");
    }
}
