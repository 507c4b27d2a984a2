//! The whole proxy put together: ledger, policies, approvals, listeners, sinks, admin.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_admin::{Admin, AdminSettings, Lags, Parts, PublicUrl, SinkLag};
use portcullis_approvals::{Approvals, Links, Recorder};
use portcullis_engine::{Engine, EngineConfig, SetSummary};
use portcullis_ledger::{Ledger, Options, Stream};
use portcullis_policy::Mode;
use portcullis_policy::event::{ApprovalStep, Event, Notable};
use portcullis_proxy::{Control, Directory, Proxy};
use portcullis_store::State;

use crate::announcing::Announcing;
use crate::config::{self, AdminConfig, Config};
use crate::delivery::{Delivery, Waiting};
use crate::directory::{Lasting, directory};
use crate::settings::{server_tls, settings};

/// A running Portcullis.
pub struct Running {
    pub proxy: Proxy,
    pub engine: Arc<Engine>,
    reloading: Arc<Reloading>,
    approvals: Approvals,
    follower: Option<JoinHandle<()>>,
    stop: tokio::sync::watch::Sender<bool>,
}

/// What it takes to put a configuration in force again.
struct Reloading {
    source: PathBuf,
    /// What is bound at the start and stays: names of listeners, and whether there is an API.
    bound: (Vec<String>, bool),
    /// One reload at a time, so that the latest file is what is in force at the end.
    one_at_a_time: Mutex<()>,
    lasting: Lasting,
    control: Control,
    engine: Arc<Engine>,
    admin: Mutex<Option<Admin>>,
}

/// Streams of the ledger beside those of the workers, counted from the number of these.
const STREAM_OF_POLICIES: usize = 0;
const STREAM_OF_APPROVALS: usize = 1;
const STREAM_OF_ADMIN: usize = 2;

impl Running {
    /// Starts everything the configuration asks for; `source` is the file it came from, to be
    /// read again at a reload.
    ///
    /// # Errors
    /// When a part cannot start: then none is left running.
    pub fn start(config: &Config, source: &Path, mode: Option<Mode>) -> Result<Running> {
        let ledger = ledger(config)?;
        let workers = config.workers.get();
        let own_stream = |number| ledger.stream(workers + number).into_diagnostic();
        let engine = Arc::new(Engine::open(engine_config(config, mode)).into_diagnostic()?);
        let state = State::open(&config.state_dir).into_diagnostic()?;
        let lasting = Lasting::open(&state)?;
        let mut stream = own_stream(STREAM_OF_POLICIES)?;
        record(&mut stream, Notable::Started { version: env!("CARGO_PKG_VERSION") });
        let links = Links::new().map_err(|error| miette!("no random numbers: {error}"))?;
        let approvals = approvals(config, state, own_stream(STREAM_OF_APPROVALS)?, &links)?;
        let known = directory(config, &lasting)?;
        let settings = settings(config, known.clone())?;
        let kept = (ledger.clone(), approvals.clone());
        let proxy = Proxy::start(settings, engine.hub(), kept, workers).into_diagnostic()?;
        let reloading = Arc::new(Reloading {
            source: source.to_owned(),
            bound: bound(config),
            one_at_a_time: Mutex::new(()),
            lasting,
            control: proxy.control(),
            engine: engine.clone(),
            admin: Mutex::new(None),
        });
        let waiting = Waiting::default();
        if let Some(admin) = &config.admin {
            let record = Mutex::new(own_stream(STREAM_OF_ADMIN)?);
            let lags = lags(ledger.clone(), waiting.clone());
            let parts = parts(&reloading, &approvals, links, record, lags);
            let admin = Admin::start(admin_settings(admin, config, &known)?, parts);
            let admin = admin.into_diagnostic().wrap_err("the admin API cannot start")?;
            *reloading.admin() = Some(admin);
        }
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let delivery = Delivery::new(ledger, &config.state_dir.join("sinks"), waiting);
        let following = engine.clone();
        let follower = std::thread::Builder::new()
            .name("policies".into())
            .spawn(move || follow(&following, stream, delivery, stopped))
            .into_diagnostic()?;
        Ok(Running { proxy, engine, reloading, approvals, follower: Some(follower), stop })
    }

    /// Reads the configuration again and puts it in force, as far as a running proxy can take
    /// it. One that is wrong changes nothing; what is wrong with it is the error, in lines.
    pub fn reload(&self) -> std::result::Result<(), String> {
        self.reloading.told()
    }

    /// Where the admin API listens, if it does.
    pub fn admin(&self) -> Option<std::net::SocketAddr> {
        self.reloading.admin().as_ref().map(Admin::address)
    }

    /// Drains and stops: sessions first, so that the sinks still hear of their ends.
    pub fn shut_down(mut self) {
        // Its last request may want the lock.
        let admin = self.reloading.admin().take();
        drop(admin);
        self.proxy.shut_down();
        self.approvals.shut_down();
        self.stop.send_replace(true);
        if let Some(follower) = self.follower.take()
            && follower.join().is_err()
        {
            tracing::error!("the thread that follows policies ended by a panic");
        }
    }
}

impl Reloading {
    /// The same, with all that is wrong line by line: what a report shows of the file is for
    /// people at a terminal.
    fn told(&self) -> std::result::Result<(), String> {
        self.reload().map_err(|report| {
            let lines = report.downcast_ref::<config::Report>();
            lines.map_or_else(|| format!("{report:#}"), |lines| format!("{lines:#}"))
        })
    }

    fn reload(&self) -> Result<()> {
        let _one = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let config = Config::load(&self.source)?;
        if bound(&config) != self.bound {
            return Err(miette!(
                help = "restart to add, remove or rename a [[listen]] or [admin]",
                "listeners and the admin API are bound at the start"
            ));
        }
        let known = directory(&config, &self.lasting)?;
        let settings = settings(&config, known.clone())?;
        if let (Some(admin), Some(wanted)) = (&*self.admin(), &config.admin) {
            admin.reload(admin_settings(wanted, &config, &known)?).into_diagnostic()?;
        }
        self.control.reload(settings);
        self.engine.reload();
        Ok(())
    }

    fn admin(&self) -> MutexGuard<'_, Option<Admin>> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bound(config: &Config) -> (Vec<String>, bool) {
    let names = config.listeners.iter().map(|listen| listen.name.clone());
    (names.collect(), config.admin.is_some())
}

fn ledger(config: &Config) -> Result<Ledger> {
    let options = Options {
        segment_bytes_max: config.ledger.segment_bytes_max,
        sync_interval: config.ledger.sync_interval,
        ..Options::default()
    };
    let directory = config.state_dir.join("ledger");
    Ledger::open(&directory, options)
        .into_diagnostic()
        .wrap_err_with(|| format!("the ledger in {} cannot be opened", directory.display()))
}

fn approvals(config: &Config, state: State, stream: Stream, links: &Links) -> Result<Approvals> {
    let public_url = config.admin.as_ref().and_then(|admin| admin.public_url.as_ref());
    let announcing = Announcing::start(
        &config.approvals.webhooks,
        public_url.map(ToString::to_string),
        links.clone(),
    );
    let limits = portcullis_approvals::Limits {
        waiting_max: config.approvals.waiting_max,
        wait_max: config.approvals.wait_max,
        ..portcullis_approvals::Limits::default()
    };
    let announcing = Box::new(announcing.into_diagnostic()?);
    Approvals::start(Box::new(state), Box::new(Records(stream)), announcing, limits)
        .into_diagnostic()
}

/// What the admin API stands over. It holds the reload weakly, being a part of it.
fn parts(
    reloading: &Arc<Reloading>,
    approvals: &Approvals,
    links: Links,
    stream: Mutex<Stream>,
    lags: Arc<dyn Fn() -> Lags + Send + Sync>,
) -> Parts {
    let weak: Weak<Reloading> = Arc::downgrade(reloading);
    let reload = move || match weak.upgrade() {
        Some(reloading) => reloading.told(),
        None => Err("the proxy is stopping".to_owned()),
    };
    let record = move |notable: Notable| {
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.append(&Event::Notable(notable));
        stream.commit().map(|_| ())
    };
    Parts {
        control: reloading.control.clone(),
        sets: reloading.engine.subscribe(),
        approvals: approvals.clone(),
        links,
        credentials: reloading.lasting.credentials.clone(),
        reload: Arc::new(reload),
        record: Arc::new(record),
        lags,
        population: reloading.engine.population(),
    }
}

/// How far behind the ledger's disk and its readers are.
fn lags(ledger: Ledger, waiting: Waiting) -> Arc<dyn Fn() -> Lags + Send + Sync> {
    Arc::new(move || Lags {
        ledger: ledger.delay(),
        sinks: waiting
            .now()
            .into_iter()
            .map(|(policy, behind)| SinkLag { policy: policy.to_string(), behind })
            .collect(),
    })
}

fn admin_settings(config: &AdminConfig, all: &Config, known: &Directory) -> Result<AdminSettings> {
    let tls = config.tls.as_ref().map(|files| server_tls(files, None)).transpose()?;
    let public_url = config.public_url.as_ref().map(|url| PublicUrl::parse(url.as_str()));
    Ok(AdminSettings {
        tls: tls.map(|(config, _)| Arc::new(config)),
        public_url: public_url.transpose().map_err(|error| miette!("{error}"))?,
        roles: config.roles.clone(),
        token_issuers: all.issuers.iter().map(|issuer| issuer.name.clone()).collect(),
        browser_issuer: config.issuer.clone(),
        credential_lifetime_max: all.credentials.lifetime_max,
        ..AdminSettings::new(config.address, known.clone())
    })
}

/// Steps of approvals, on their way into the ledger.
struct Records(Stream);

impl Recorder for Records {
    fn record(&mut self, step: ApprovalStep) -> io::Result<()> {
        self.0.append(&Event::Notable(Notable::Approval(step)));
        self.0.commit().map(|_| ())
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
