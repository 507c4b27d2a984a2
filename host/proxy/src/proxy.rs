//! The running proxy: its listener, its workers, and the handle the host holds.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use portcullis_approvals::Approvals;
use portcullis_ledger::Ledger;
use portcullis_policy::set::PolicyHub;
use tokio::sync::watch;

use crate::browser::BrowserLogin;
use crate::database::DatabaseState;
use crate::metrics::{Metrics, MetricsView};
use crate::reception::{Desk, Reception};
use crate::registry::SessionView;
use crate::settings::{ListenSettings, Settings};
use crate::shared::Phase;
use crate::upkeep;
use crate::worker::{self, Common};

/// Connections the kernel keeps while no worker has taken them.
const BACKLOG: i32 = 4_096;

/// Why the proxy does not start.
#[derive(Debug)]
pub enum ProxyError {
    Listen { address: SocketAddr, error: io::Error },
    Thread(io::Error),
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProxyError::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")
            }
            ProxyError::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// A running proxy. Dropping it stops it.
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    common: Common,
    phase: watch::Sender<Phase>,
    connections: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

/// What others may see of a running proxy, and do to its sessions.
#[derive(Clone)]
pub struct Control {
    common: Common,
}

impl Control {
    /// Every open session, the oldest first.
    pub fn sessions(&self) -> Vec<SessionView> {
        self.common.registry.views()
    }

    /// Ends a session; `reason` is told to its client. False where there is none, or it is
    /// ending already.
    pub fn end(&self, id: u64, reason: &str) -> bool {
        self.common.registry.line(id).is_some_and(|line| line.end(reason))
    }

    /// Ends every session that `which` says; how many that were.
    pub fn end_where(&self, reason: &str, which: &dyn Fn(&SessionView) -> bool) -> usize {
        self.common.registry.end_where(reason, which)
    }

    /// The login that waits at this page.
    pub fn browser_login(&self, id: &str) -> Option<BrowserLogin> {
        self.common.browsers.login(id)
    }

    /// Puts new settings in force for logins from now on. Sessions keep theirs, but those
    /// whose logins would not be accepted any more end; the addresses stay what they were.
    pub fn reload(&self, mut settings: Settings) {
        let old = self.common.databases.load_full();
        self.common.databases.store(Arc::new(databases(&mut settings, &old)));
        self.common.settings.store(Arc::new(settings));
    }

    pub fn metrics(&self) -> MetricsView {
        let sessions = u64::try_from(self.common.registry.len()).unwrap_or(u64::MAX);
        self.common.metrics.view(sessions)
    }
}

impl Proxy {
    /// Listens and starts one worker per thread asked for.
    ///
    /// # Errors
    /// When the address cannot be listened on, or a thread not be made, or does not come so far that
    /// it could take connections.
    pub fn start(
        settings: Settings,
        hub: Arc<dyn PolicyHub>,
        (ledger, approvals): (Ledger, Approvals),
        workers: usize,
    ) -> Result<Proxy, ProxyError> {
        let mut listeners = Vec::with_capacity(settings.listeners.len());
        let mut addresses = Vec::with_capacity(settings.listeners.len());
        for ListenSettings { address, name, .. } in &settings.listeners {
            let error = |error| ProxyError::Listen { address: *address, error };
            let listener = listen(*address).map_err(error)?;
            addresses.push(listener.local_addr().map_err(error)?);
            listeners.push((Arc::from(name.as_str()), listener));
        }
        let (phase, phases) = watch::channel(Phase::Running);
        let mut settings = settings;
        let databases = databases(&mut settings, &[]);
        let common = Common {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            databases: Arc::new(ArcSwap::from_pointee(databases)),
            hub,
            ledger,
            approvals,
            metrics: Metrics::new(workers.max(1)),
            cancel_keys: Arc::default(),
            registry: Arc::default(),
            browsers: Arc::default(),
            patience: Arc::default(),
            phases,
            session_numbers: Arc::new(AtomicU64::new(0)),
        };
        let connections = Arc::new(AtomicUsize::new(0));
        let mut threads = Vec::with_capacity(workers + 1);
        let (own, own_arrivals) = Desk::new();
        let (others, arrivals): (Vec<Desk>, Vec<_>) = (1..workers).map(|_| Desk::new()).unzip();
        let (open, settings) = (connections.clone(), common.settings.clone());
        let most = Box::new(move || settings.load().limits.connections_max);
        let phases = common.phases.clone();
        let mut reception = Some(Reception::new(listeners, (own, others), open, most, phases));
        let (started, starts) = std::sync::mpsc::channel();
        for (index, arrivals) in std::iter::once(own_arrivals).chain(arrivals).enumerate() {
            let (common, reception) = (common.clone(), reception.take());
            let started = started.clone();
            threads.push(thread(format!("worker-{index}"), move || {
                worker::run(&common, index, arrivals, reception, started);
            })?);
        }
        drop(started);
        for _ in &threads {
            let panicked = |_| io::Error::other("it ended by a panic");
            starts.recv().map_err(panicked).flatten().map_err(ProxyError::Thread)?;
        }
        let (runtime, looked_after) = (upkeep::runtime(), common.clone());
        let runtime = runtime.map_err(ProxyError::Thread)?;
        threads.push(thread("upkeep".to_owned(), move || upkeep::run(&runtime, &looked_after))?);
        Ok(Proxy { addresses, common, phase, connections, threads })
    }

    /// Where it listens, with the ports that were chosen, in the order of the settings.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn control(&self) -> Control {
        Control { common: self.common.clone() }
    }

    /// Connections now open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// No new connections; sessions end when their transaction does, or when the drain time
    /// is over. Returns when all have ended.
    pub fn shut_down(mut self) {
        let drain = self.common.settings.load().limits.drain;
        self.enter(Phase::Draining);
        let deadline = std::time::Instant::now() + drain;
        while self.connections() > 0 && std::time::Instant::now() < deadline {
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        self.stop();
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        // Sessions look at it whenever they are awake, and wait for nothing else to.
        self.common.registry.wake();
    }

    fn stop(&mut self) {
        self.enter(Phase::Stopped);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The states of the databases configured; one whose settings say the same place keeps what
/// is known of it.
fn databases(settings: &mut Settings, old: &[Arc<DatabaseState>]) -> Vec<Arc<DatabaseState>> {
    let by_name: HashMap<&str, &Arc<DatabaseState>> =
        old.iter().map(|database| (database.settings.database.name.as_str(), database)).collect();
    let fresh = std::mem::take(&mut settings.databases);
    fresh
        .into_iter()
        .map(|database| match by_name.get(database.database.name.as_str()) {
            Some(known) if known.settings.is_same(&database) => (*known).clone(),
            Some(_) | None => Arc::new(DatabaseState::new(database)),
        })
        .collect()
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ProxyError> {
    std::thread::Builder::new().name(name).spawn(run).map_err(ProxyError::Thread)
}
