//! A worker: one thread, its sessions, and all they share without a lock.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use portcullis_ledger::Ledger;
use portcullis_policy::Principal;
use portcullis_policy::event::{Event, Notable};
use portcullis_policy::set::PolicyHub;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::cancel::CancelKeys;
use crate::database::DatabaseState;
use crate::masks::asker;
use crate::refusal::Refusal;
use crate::session::{Parts, Session};
use crate::settings::Settings;
use crate::shared::{Phase, Shared};
use crate::startup::{self, Arrival, Client, StartupError};
use crate::upstream::{self, UpstreamError};

/// What every worker is given.
#[derive(Clone)]
pub struct Common {
    pub settings: Arc<ArcSwap<Settings>>,
    pub databases: Arc<ArcSwap<Vec<Arc<DatabaseState>>>>,
    pub hub: Arc<dyn PolicyHub>,
    pub ledger: Ledger,
    pub cancel_keys: Arc<CancelKeys>,
    pub phases: watch::Receiver<Phase>,
    pub session_numbers: Arc<AtomicU64>,
}

/// A socket on its way to a worker; counted while it lives.
pub struct Arriving {
    pub stream: std::net::TcpStream,
    pub address: SocketAddr,
    pub place: Place,
}

/// One connection's place among all, and among its worker's; given up when dropped.
pub struct Place {
    counts: [Arc<AtomicUsize>; 2],
}

impl Place {
    pub fn take(all: &Arc<AtomicUsize>, worker: &Arc<AtomicUsize>) -> Place {
        let counts = [all.clone(), worker.clone()];
        counts.iter().for_each(|count| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        Place { counts }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.iter().for_each(|count| {
            count.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Runs a worker until no more connections can come and all sessions have ended.
pub fn run(
    common: &Common,
    index: usize,
    arrivals: mpsc::UnboundedReceiver<Arriving>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_name(format!("helper-{index}"))
        .build()?;
    let settings = common.settings.load();
    let stream = common.ledger.stream(index)?;
    let shared = Shared::new(
        common.hub.worker(),
        common.ledger.clone(),
        stream,
        &settings,
        common.phases.clone(),
    );
    let shared = Rc::new(shared);
    drop(settings);
    let local = LocalSet::new();
    local.spawn_local(accept(common.clone(), shared, arrivals));
    runtime.block_on(local);
    Ok(())
}

async fn accept(
    common: Common,
    shared: Rc<Shared>,
    mut arrivals: mpsc::UnboundedReceiver<Arriving>,
) {
    while let Some(arriving) = arrivals.recv().await {
        tokio::task::spawn_local(serve(common.clone(), shared.clone(), arriving));
    }
}

async fn serve(common: Common, shared: Rc<Shared>, arriving: Arriving) {
    let Arriving { stream, address, place } = arriving;
    if let Some(session) = log_in(&common, &shared, stream, address).await {
        session.run().await;
    }
    drop(place);
}

/// From a socket to a session; on the way out everybody who should know is told.
async fn log_in(
    common: &Common,
    shared: &Rc<Shared>,
    stream: std::net::TcpStream,
    address: SocketAddr,
) -> Option<Session> {
    let stream = tokio::net::TcpStream::from_std(stream).ok()?;
    let settings = common.settings.load_full();
    let received = startup::receive(stream, address, &settings);
    let arrival = match tokio::time::timeout(settings.limits.startup, received).await {
        Ok(Ok(arrival)) => arrival,
        Ok(Err(StartupError::Refused { transport, refusal, role })) => {
            refuse(shared, *transport, &refusal, role, address).await;
            return None;
        }
        Ok(Err(StartupError::Io(error))) => {
            tracing::debug!(%address, %error, "connection ended before login");
            return None;
        }
        Err(_) => {
            tracing::info!(%address, reason = Refusal::StartupTooSlow.report().message, "connection dropped");
            return None;
        }
    };
    match arrival {
        Arrival::Client(client) => open(common, shared, *client, address).await,
        Arrival::Cancel { process_id, secret_key } => {
            common.cancel_keys.cancel(process_id, &secret_key).await;
            None
        }
    }
}

async fn refuse(
    shared: &Shared,
    mut transport: crate::transport::Transport,
    refusal: &Refusal,
    role: String,
    address: SocketAddr,
) {
    let report = refusal.report();
    tracing::info!(%address, role, reason = report.message, "login refused");
    let reason = report.message.clone();
    shared.record(&Event::Notable(Notable::LoginRefused {
        role,
        client_address: address.to_string(),
        reason,
    }));
    let mut out = Vec::new();
    portcullis_wire::encode::fatal(&mut out, &report);
    let farewell = async {
        // A client that does not wait for the reason does not want it.
        let _ = transport.write_all(&out).await;
        transport.shutdown().await;
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), farewell).await;
}

/// A proven client gets its session with the database.
async fn open(
    common: &Common,
    shared: &Rc<Shared>,
    client: Client,
    address: SocketAddr,
) -> Option<Session> {
    let Client { transport, principal, database: name, parameters, minor } = client;
    let role = principal.role.clone();
    let databases = common.databases.load_full();
    let found = databases.iter().find(|database| database.settings.database.name == name).cloned();
    let Some(database) = found else {
        let refusal = Refusal::NotPermitted(format!("database \"{name}\" is not configured here"));
        refuse(shared, transport, &refusal, role, address).await;
        return None;
    };
    let session = connect(common, shared, principal, &database, &parameters, minor).await;
    let (parts, greeting) = match session {
        Ok(session) => session,
        Err(refusal) => {
            refuse(shared, transport, &refusal, role, address).await;
            return None;
        }
    };
    let mut transport = transport;
    if transport.write_all(&greeting).await.is_err() {
        return None;
    }
    Some(Session::new(shared.clone(), parts(transport)))
}

type MakeParts = Box<dyn FnOnce(crate::transport::Transport) -> Parts>;

async fn connect(
    common: &Common,
    shared: &Rc<Shared>,
    principal: Principal,
    database: &Arc<DatabaseState>,
    parameters: &[(String, String)],
    minor: u16,
) -> Result<(MakeParts, Vec<u8>), Refusal> {
    if database.is_stale() {
        // Without a catalog nothing could be judged.
        database.refresh().await.map_err(|error| Refusal::Upstream(error.to_string()))?;
    }
    let settings = &database.settings.upstream;
    let upstream = upstream::connect(settings, parameters).await;
    let upstream = upstream.map_err(|error| match &error {
        UpstreamError::Io(_) | UpstreamError::Refused(_) => {
            tracing::warn!(database = database.settings.database.name, %error, "upstream login failed");
            Refusal::Upstream(error.to_string())
        }
    })?;
    database.forget_temporary();
    let encoding = upstream.parameters.iter().find(|(name, _)| name == "client_encoding");
    if let Some((_, encoding)) =
        encoding.filter(|(_, encoding)| !startup::is_readable_encoding(encoding))
    {
        return Err(startup::unreadable_encoding(encoding));
    }
    let key = common
        .cancel_keys
        .issue(minor, database.clone(), upstream.process_id, upstream.secret_key.clone())
        .map_err(|error| Refusal::Upstream(error.to_string()))?;
    let id = common.session_numbers.fetch_add(1, Ordering::Relaxed) + 1;
    let asker = asker(principal, &database.settings.database);
    let login = Notable::Login {
        session: id,
        principal: asker.principal.clone(),
        database: asker.database.clone(),
    };
    shared.append(&Event::Notable(login));
    shared.commit().map_err(|_| Refusal::Ledger)?;
    let greeting = greeting(&upstream.parameters, &key);
    let reading_unknown =
        parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case("search_path"));
    let database = database.clone();
    let parts = move |client| Parts {
        id,
        asker,
        database,
        client,
        upstream,
        cancel_key: key,
        reading_unknown,
    };
    Ok((Box::new(parts), greeting))
}

/// What a server says between the proof of identity and the first statement.
fn greeting(parameters: &[(String, String)], key: &crate::cancel::CancelKey) -> Vec<u8> {
    use portcullis_wire::encode;
    let mut out = Vec::new();
    encode::authentication_ok(&mut out);
    for (name, value) in parameters {
        encode::parameter_status(&mut out, name, value);
    }
    encode::backend_key(&mut out, key.process_id, &key.secret_key);
    encode::ready_for_query(&mut out, portcullis_wire::backend::TransactionStatus::Idle);
    out
}
