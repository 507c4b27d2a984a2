//! A worker: one thread, its sessions, and all they share without a lock.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use portcullis_approvals::Approvals;
use portcullis_identity::{Method, Proven};
use portcullis_ledger::Ledger;
use portcullis_policy::Principal;
use portcullis_policy::event::{Event, Notable};
use portcullis_policy::set::PolicyHub;
use portcullis_wire::{backend, encode};
use tokio::net::TcpStream;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::alarm::Alarm;
use crate::browser::Browsers;
use crate::cancel::CancelKeys;
use crate::database::DatabaseState;
use crate::masks::asker;
use crate::metrics::{Count, Metrics};
use crate::parameters::{is_readable_encoding, unreadable_encoding};
use crate::patience::{Lapsed, Patience};
use crate::proving;
use crate::reception::{Arriving, Reception};
use crate::refusal::Refusal;
use crate::registry::{Entry, Line, Registry};
use crate::session::{Parts, Session, can_quote_by_class};
use crate::settings::{NoRole, RoleMapping, Settings};
use crate::shared::{Phase, Shared, pass_on_in_time};
use crate::startup::{self, Arrival, Login, StartupError, Unproven};
use crate::upstream::{self, Upstream, UpstreamError};

/// What every worker is given.
#[derive(Clone)]
pub struct Common {
    pub settings: Arc<ArcSwap<Settings>>,
    pub databases: Arc<ArcSwap<Vec<Arc<DatabaseState>>>>,
    pub hub: Arc<dyn PolicyHub>,
    pub ledger: Ledger,
    pub approvals: Approvals,
    pub metrics: Metrics,
    pub cancel_keys: Arc<CancelKeys>,
    pub registry: Arc<Registry>,
    pub browsers: Arc<Browsers>,
    pub patience: Arc<Patience>,
    pub phases: watch::Receiver<Phase>,
    pub session_numbers: Arc<AtomicU64>,
}

/// Runs a worker until no more connections can come and all sessions have ended. The first of them
/// has the reception. `started` is told whether it runs.
pub fn run(
    common: &Common,
    index: usize,
    arrivals: mpsc::UnboundedReceiver<Arriving>,
    reception: Option<Reception>,
    started: std::sync::mpsc::Sender<io::Result<()>>,
) {
    let (set_up, told) = match set_up(common, index) {
        Ok(set_up) => (Some(set_up), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let is_wanted = started.send(told).is_ok();
    drop(started);
    let Some((runtime, shared)) = set_up.filter(|_| is_wanted) else { return };
    if let Some(reception) = reception {
        runtime.spawn_local(reception.run());
    }
    runtime.block_on(receive(common.clone(), shared, arrivals));
}

/// What a worker needs before it can take connections.
fn set_up(common: &Common, index: usize) -> io::Result<(LocalRuntime, Rc<Shared>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_name(format!("helper-{index}"))
        .build_local(LocalOptions::default())?;
    let settings = common.settings.load();
    let stream = common.ledger.staging_stream(index)?;
    let (policies, metrics) = (common.hub.worker(), common.metrics.worker(index));
    let watched = Arc::clone(&metrics);
    policies.watch_swaps(Box::new(move |time| {
        watched.swapped(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }));
    let shared = Rc::new(Shared::new(
        policies,
        common.ledger.clone(),
        stream,
        (common.approvals.clone(), metrics),
        (settings.limits.clone(), settings.keys.clone()),
        common.phases.clone(),
    ));
    let alarm = runtime.block_on(async { Alarm::new() })?;
    runtime.spawn_local(pass_on_in_time(Rc::downgrade(&shared), alarm));
    Ok((runtime, shared))
}

async fn receive(
    common: Common,
    shared: Rc<Shared>,
    mut arrivals: mpsc::UnboundedReceiver<Arriving>,
) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            arriving = arrivals.recv() => match arriving {
                Some(arriving) => {
                    sessions.spawn_local(serve(common.clone(), shared.clone(), arriving));
                }
                None => break,
            },
            Some(ended) = sessions.join_next() => note_panic(&ended),
        }
    }
    while let Some(ended) = sessions.join_next().await {
        note_panic(&ended);
    }
}

fn note_panic(ended: &Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a session ended by a panic");
    }
}

async fn serve(common: Common, shared: Rc<Shared>, arriving: Arriving) {
    let (stream, address, listener, place) = match arriving.into_parts() {
        Ok(parts) => parts,
        Err(error) => return tracing::warn!(%error, "cannot take a connection"),
    };
    // A task is as large as the largest of its states, for as long as it lives: what a login
    // needs is given back with it.
    let session = Box::pin(log_in(&common, &shared, stream, address, &listener)).await;
    if let Some(session) = session {
        session.run().await;
    }
    drop(place);
}

/// From a socket to a session; on the way out everybody who should know is told.
async fn log_in(
    common: &Common,
    shared: &Rc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    listener: &str,
) -> Option<Box<Session>> {
    let settings = common.settings.load_full();
    let listener = settings.listeners.iter().find(|known| known.name == listener)?;
    let deadline = Instant::now() + settings.limits.startup;
    let received = startup::receive(stream, address, listener, &settings);
    let arrival = match common.patience.until(deadline, received).await {
        Ok(Ok(arrival)) => arrival,
        Ok(Err(StartupError::Refused { transport, refusal, role, address })) => {
            refuse(shared, *transport, &refusal, None, role, address).await;
            return None;
        }
        Ok(Err(StartupError::Unanswered { why, address })) => {
            note_refused(shared, String::new(), address, why);
            return None;
        }
        Ok(Err(StartupError::Io(error))) => {
            tracing::debug!(%address, %error, "connection ended before login");
            return None;
        }
        Err(Lapsed) => {
            let reason = lapsed(common).report().message;
            tracing::info!(%address, reason, "connection dropped");
            return None;
        }
    };
    let mut login = match arrival {
        Arrival::Login(login) => *login,
        Arrival::Cancel { mut transport, process_id, secret_key } => {
            common.cancel_keys.cancel(process_id, &secret_key).await;
            transport.shutdown().await;
            return None;
        }
    };
    // A person needs longer than a program.
    let by_person = matches!(login.method, Method::Browser { .. });
    let longer = settings.browser.as_ref().filter(|_| by_person).map(|browser| browser.wait);
    let deadline = deadline + longer.unwrap_or_default();
    let proved = proving::prove(&mut login, &settings, &common.browsers);
    match common.patience.until(deadline, proved).await {
        Ok(Ok(proven)) => open(common, shared, login, proven).await,
        Ok(Err(Unproven::Io(error))) => {
            tracing::debug!(address = %login.address, %error, "connection ended at login");
            None
        }
        Ok(Err(Unproven::Refused(refusal))) => {
            refuse(shared, login.transport, &refusal, None, login.user, login.address).await;
            None
        }
        Ok(Err(Unproven::Failed { why })) => {
            let refusal = Refusal::LoginFailed { user: login.user.clone() };
            refuse(shared, login.transport, &refusal, Some(why), login.user, login.address).await;
            None
        }
        Ok(Err(Unproven::Asked)) => {
            tracing::debug!(address = %login.address, "told where to get a token");
            let refusal = Refusal::LoginFailed { user: login.user };
            dismiss(login.transport, &refusal.report()).await;
            None
        }
        // It waits for an answer, or we for an issuer: either way it is a login that failed.
        Err(Lapsed) => {
            let refusal = lapsed(common);
            refuse(shared, login.transport, &refusal, None, login.user, login.address).await;
            None
        }
    }
}

/// Why a login was given up.
fn lapsed(common: &Common) -> Refusal {
    if is_stopped(common) { Refusal::Shutdown } else { Refusal::StartupTooSlow }
}

fn is_stopped(common: &Common) -> bool {
    *common.phases.borrow() == Phase::Stopped
}

/// `why` is for the ledger alone, where it must not tell a client too much.
async fn refuse(
    shared: &Shared,
    transport: crate::transport::Transport,
    refusal: &Refusal,
    why: Option<String>,
    role: String,
    address: SocketAddr,
) {
    let report = refusal.report();
    let reason = why.map_or(report.message.clone(), |why| format!("{}: {why}", report.message));
    note_refused(shared, role, address, reason);
    dismiss(transport, &report).await;
}

async fn dismiss(mut transport: crate::transport::Transport, report: &encode::Report) {
    let mut out = Vec::new();
    encode::fatal(&mut out, report);
    let farewell = async {
        // A client that does not wait for the reason does not want it.
        let _ = transport.write_all(&out).await;
        transport.shutdown().await;
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), farewell).await;
}

/// Of a name or a reason that somebody without a login gave.
const REFUSED_CHARACTERS_MAX: usize = 200;

/// For the operator: in the log, the metrics and the ledger.
fn note_refused(shared: &Shared, role: String, address: SocketAddr, reason: String) {
    // What nobody has proved is not worth much room in the ledger.
    let cut = |text: String| text.chars().take(REFUSED_CHARACTERS_MAX).collect::<String>();
    let (role, reason) = (cut(role), cut(reason));
    tracing::info!(%address, role, reason, "login refused");
    shared.metrics.add(Count::LoginsRefused, 1);
    let client_address = address.to_string();
    let refused = Notable::LoginRefused { role, client_address, reason };
    shared.record(&Event::Notable(refused));
}

/// A proven client gets its session with the database.
async fn open(
    common: &Common,
    shared: &Rc<Shared>,
    login: Login,
    proven: Proven,
) -> Option<Box<Session>> {
    let connected = connect(common, shared, &login, proven).await;
    let Login { mut transport, frames, address, user, minor, owed, .. } = login;
    let connected = match connected {
        Ok(connected) => connected,
        Err(refusal) => {
            refuse(shared, transport, &refusal, None, user, address).await;
            return None;
        }
    };
    let Connected { database, upstream, entry, path_may_differ } = connected;
    let line = entry.line().clone();
    let key = (upstream.process_id, upstream.secret_key.clone());
    let key = common.cancel_keys.issue(minor, line, database.clone(), key.0, key.1);
    let Ok(cancel_key) = key else {
        let refusal = Refusal::Upstream("the system has no random numbers".into());
        refuse(shared, transport, &refusal, None, user, address).await;
        return None;
    };
    let greeting = greeting(owed, &upstream, &cancel_key);
    if transport.write_all(&greeting).await.is_err() {
        return None;
    }
    let (client, inbox) = (transport, frames.into_rest());
    let parts = Parts { database, client, inbox, upstream, cancel_key, entry, path_may_differ };
    Some(Box::new(Session::new(shared.clone(), parts)))
}

/// What a session stands on, beside its client.
struct Connected {
    database: Arc<DatabaseState>,
    upstream: Upstream,
    entry: Entry,
    path_may_differ: bool,
}

async fn connect(
    common: &Common,
    shared: &Rc<Shared>,
    login: &Login,
    proven: Proven,
) -> Result<Connected, Refusal> {
    let name = &login.database;
    if !proven.may_use(name) {
        return Err(Refusal::NotPermitted(format!(
            "database \"{name}\" is not open to user \"{}\"",
            login.user
        )));
    }
    let databases = common.databases.load_full();
    let found = databases.iter().find(|database| database.settings.database.name == *name);
    let database = found.cloned().ok_or_else(|| {
        Refusal::NotPermitted(format!("database \"{name}\" is not configured here"))
    })?;
    let address = login.address.to_string();
    let principal = proven.principal(&address, login.application(), &login.user);
    let parameters = upstream_parameters(&login.parameters, &principal, &database)?;
    // A large catalog takes its time.
    let refreshed = match database.is_stale() {
        true => common.patience.to_the_end(database.refresh()).await,
        false => Ok(Ok(())),
    };
    let refreshed = refreshed.map_err(|Lapsed| Refusal::Shutdown)?;
    if let Err(error) = &refreshed
        && database.view().version == 0
    {
        // Without any catalog nothing could be judged.
        return Err(Refusal::Upstream(error.to_string()));
    }
    let deadline = Instant::now() + upstream::CONNECT_TIMEOUT;
    let upstream = upstream::connect(&database.settings.upstream, &parameters);
    let upstream = common.patience.until(deadline, upstream).await;
    let upstream = match upstream {
        Err(Lapsed) if is_stopped(common) => return Err(Refusal::Shutdown),
        Err(Lapsed) => Err(UpstreamError::too_late()),
        Ok(upstream) => upstream,
    };
    let upstream = upstream.map_err(|error| match &error {
        UpstreamError::Io(_) | UpstreamError::Refused(_) => {
            tracing::warn!(database = name, %error, "upstream login failed");
            Refusal::Upstream(error.to_string())
        }
    })?;
    database.forget_temporary();
    let encoding = upstream.reported.value("client_encoding").map(String::from_utf8_lossy);
    if let Some(encoding) = encoding.filter(|encoding| !is_readable_encoding(encoding)) {
        return Err(unreadable_encoding(&encoding));
    }
    let id = common.session_numbers.fetch_add(1, Ordering::Relaxed) + 1;
    let asker = asker(principal, &database.settings.database);
    let event = Notable::Login {
        session: id,
        principal: asker.principal.clone(),
        database: asker.database.clone(),
    };
    shared.look_at_the_clocks();
    let kept = shared.append(&Event::Notable(event));
    shared.commit().ok().filter(|_| kept).ok_or(Refusal::Ledger)?;
    shared.metrics.add(Count::Logins, 1);
    let entry = common.registry.enter(Line::new(id, asker, proven));
    // Both decide what a name means: the path, and whose schema "$user" is.
    let decides = |name: &str| name.eq_ignore_ascii_case("search_path") || name == "role";
    let path_may_differ = refreshed.is_err() || parameters.iter().any(|(name, _)| decides(name));
    Ok(Connected { database, upstream, entry, path_may_differ })
}

/// The client's settings, and over them those that are the proxy's to choose.
fn upstream_parameters(
    chosen: &[(String, String)],
    principal: &Principal,
    database: &DatabaseState,
) -> Result<Vec<(String, String)>, Refusal> {
    let settings = &database.settings;
    let role = settings.role.role_of(principal).and_then(|role| {
        // Whoever is called as the proxy's own login is not it.
        let own = settings.role == RoleMapping::Subject
            && role.as_deref() == Some(settings.upstream.user.as_str());
        if own { Err(NoRole) } else { Ok(role) }
    });
    let role = role.map_err(|NoRole| {
        let name = &settings.database.name;
        Refusal::NotPermitted(format!("there is no role for you in database \"{name}\""))
    })?;
    let mut parameters = chosen.to_vec();
    if let Some(name) = &settings.tell_subject {
        parameters.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        parameters.push((name.clone(), principal.subject.clone()));
    }
    parameters.extend(role.map(|role| ("role".to_owned(), role)));
    Ok(parameters)
}

/// What a server says from the end of the proof of identity to the first statement.
fn greeting(owed: Vec<u8>, upstream: &Upstream, key: &crate::cancel::CancelKey) -> Vec<u8> {
    let mut out = owed;
    for notice in &upstream.notices {
        // What a login trigger says can be anything that somebody else must not see.
        if backend::notice_fields(notice).is_ok_and(|fields| !can_quote_by_class(&fields)) {
            encode::frame(&mut out, b'N', notice);
        }
    }
    out.extend_from_slice(upstream.reported.messages());
    encode::backend_key(&mut out, key.process_id, &key.secret_key);
    encode::ready_for_query(&mut out, backend::TransactionStatus::Idle);
    out
}
