//! A real session between a client and a server that a script plays.
//!
//! In memory, without a socket, a thread that it waits for, or a clock: what happens depends on
//! the script alone. For tests, and for fuzz targets under the feature `scripted`. Pipeline,
//! gate, facts, ledger and approvals are those of a real proxy; the database's catalog is given,
//! and policies are closures.

mod alphabet;
mod catalog;
pub mod conversation;
mod differential;
mod frames;
mod postgres;
mod rules;
mod shelf;

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::FutureExt;
use portcullis_approvals::Approvals;
use portcullis_identity::{Basis, Proven, UpstreamKeys};
use portcullis_ledger::Ledger;
use portcullis_policy::{Database, PrincipalKind};
use tokio::sync::watch;

use crate::cancel::CancelKeys;
use crate::database::DatabaseState;
use crate::frames::Frames as Read;
use crate::masks::asker;
use crate::metrics::Metrics;
use crate::registry::{Line, Registry};
use crate::session::{Parts, Session};
use crate::settings::{Audit, DatabaseSettings, Endpoint, Limits, SslMode, UpstreamSettings};
use crate::shared::{Phase, Shared};
use crate::transport::Transport;
use crate::upstream::{self, Reported, Upstream};

pub use crate::memory::Peer;
pub use crate::registry::SessionView;
pub use alphabet::client as client_messages;
pub use catalog::{EMAIL, NOTE, PEOPLE};
pub use differential::Random;
pub use frames::{Frames, cells, messages, sequence};
pub use postgres::Postgres;
pub use rules::{HOLD, Rules, refusing};

/// A worker and a database, as the sessions played on them share them.
pub struct Rig {
    pub shared: Rc<Shared>,
    pub database: Arc<DatabaseState>,
    pub ledger: Ledger,
    pub approvals: Approvals,
    rules: rules::Published,
    registry: Arc<Registry>,
    cancel_keys: Arc<CancelKeys>,
    phases: watch::Sender<Phase>,
    sessions: u64,
}

/// What a rig is made with.
pub struct Given {
    pub rules: Rules,
    pub limits: Limits,
    pub audit: Audit,
}

impl Default for Given {
    fn default() -> Given {
        Given { rules: Rules::default(), limits: Limits::default(), audit: Audit::Relaxed }
    }
}

impl Rig {
    /// The ledger will be in `directory`.
    pub fn new(directory: &Path, given: Given) -> std::io::Result<Rig> {
        let ledger =
            Ledger::open(&directory.join("ledger"), portcullis_ledger::Options::default())?;
        let stream = ledger.staging_stream(0)?;
        let approvals = shelf::approvals()?;
        let rules = rules::Published::new(given.rules);
        let (phases, phase) = watch::channel(Phase::Running);
        let shared = Shared::new(
            Box::new(rules.clone()),
            ledger.clone(),
            stream,
            (approvals.clone(), Metrics::new(1).worker(0)),
            (given.limits, Arc::default()),
            phase,
        );
        Ok(Rig {
            shared: Rc::new(shared),
            database: Arc::new(catalog::database(settings(given.audit))),
            ledger,
            approvals,
            rules,
            registry: Arc::default(),
            cancel_keys: Arc::default(),
            phases,
            sessions: 0,
        })
    }

    /// Puts other rules in force, under the next revision.
    pub fn publish(&self, rules: Rules) {
        self.rules.publish(rules);
    }

    /// What was recorded is in the ledger: no worker is there to see to it in time.
    pub fn pass_on(&self) {
        // A failure shows at the next statement, which is refused.
        let _ = self.shared.pass_on();
    }

    /// Asks all sessions to end when their transaction does.
    pub fn drain(&self) {
        self.phases.send_replace(Phase::Draining);
        self.registry.wake();
    }

    pub fn sessions(&self) -> Vec<SessionView> {
        self.registry.views()
    }

    /// Ends a session from outside.
    pub fn end(&self, session: u64, reason: &str) {
        self.registry.line(session).into_iter().for_each(|line| {
            line.end(reason);
        });
    }

    /// Somebody cancels, with a key that may be anybody's.
    pub async fn cancel(&self, process_id: u32, key: &[u8]) {
        self.cancel_keys.cancel(process_id, key).await;
    }

    /// A session that has just logged in.
    ///
    /// # Panics
    /// Where the system has no random numbers.
    pub fn play(&mut self) -> Play {
        self.play_behind(&[])
    }

    /// The same of a client that has sent this together with the end of its login.
    ///
    /// # Panics
    /// Where the system has no random numbers.
    pub fn play_behind(&mut self, sent: &[u8]) -> Play {
        self.sessions += 1;
        let ((client, client_end), (server, server_end)) =
            (crate::memory::connection(), crate::memory::connection());
        let proven = proven();
        let principal = proven.principal("192.0.2.1:5000", "script", "ana");
        let asker = asker(principal, &self.database.settings.database);
        let entry = self.registry.enter(Line::new(self.sessions, asker, proven));
        let (process_id, secret_key) = (7, vec![1, 2, 3, 4]);
        let cancel_key = self.cancel_keys.issue(
            0,
            entry.line().clone(),
            self.database.clone(),
            process_id,
            secret_key.clone(),
        );
        let Ok(cancel_key) = cancel_key else { panic!("no random numbers") };
        let issued = (cancel_key.process_id, cancel_key.secret_key.clone());
        let mut reported = Reported::default();
        for parameter in ["client_encoding\0UTF8\0", "standard_conforming_strings\0on\0"] {
            reported.add(parameter.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        }
        let upstream = Upstream {
            transport: Transport::Memory(server),
            frames: Read::default(),
            notices: Vec::new(),
            process_id,
            secret_key,
            reported,
        };
        let parts = Parts {
            database: self.database.clone(),
            client: Transport::Memory(client),
            inbox: sent.to_vec(),
            upstream,
            cancel_key,
            entry,
            path_may_differ: false,
        };
        let session = Box::new(Session::new(self.shared.clone(), parts));
        Play {
            number: self.sessions,
            cancel_key: issued,
            client: client_end,
            server: server_end,
            // A budget is for sessions that share a thread with others.
            session: Some(Box::pin(tokio::task::unconstrained(session.run()))),
            woken: Arc::default(),
        }
    }
}

/// A session being played.
pub struct Play {
    pub number: u64,
    /// What the client was told to cancel with.
    pub cancel_key: (u32, Vec<u8>),
    /// The client's end of its connection.
    pub client: Peer,
    /// The server's end of the session's.
    pub server: Peer,
    session: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A session that is still not at rest after so many turns never will be.
const TURNS_MAX: usize = 10_000_000;

impl Play {
    /// Lets the session do all it can do without hearing more. Needs a runtime to be entered.
    ///
    /// # Panics
    /// When the session comes to no rest.
    pub fn settle(&mut self) {
        let waker = Waker::from(self.woken.clone());
        for _ in 0..TURNS_MAX {
            let Some(session) = &mut self.session else { return };
            self.woken.0.store(false, Ordering::SeqCst);
            if session.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                self.session = None;
            } else if !self.woken.0.load(Ordering::SeqCst) {
                return;
            }
        }
        panic!("the session comes to no rest");
    }

    /// True when something has happened that the session does not know of yet.
    pub fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }

    /// The session has ended.
    pub fn is_over(&self) -> bool {
        self.session.is_none()
    }

    /// The client says this, and all that follows from it happens.
    pub fn client_says(&mut self, frames: &[u8]) {
        self.client.send(frames);
        self.settle();
    }

    /// The server says this, and all that follows from it happens.
    pub fn server_says(&mut self, frames: &[u8]) {
        self.server.send(frames);
        self.settle();
    }

    /// What the client hears, when the server is `postgres` and has answered all there is to
    /// answer.
    pub fn answered_by(&mut self, postgres: &mut Postgres) -> Vec<u8> {
        let mut heard = Vec::new();
        self.settle();
        loop {
            heard.append(&mut self.client.receive());
            let asked = self.server.receive();
            if asked.is_empty() {
                return heard;
            }
            self.server.send(&postgres.answer(&asked));
            self.settle();
        }
    }
}

/// Whom a balancer's header names, and how many bytes are behind it; none where it is no header.
pub fn proxy_header(bytes: &[u8]) -> Option<(SocketAddr, usize)> {
    let mut stream = bytes;
    let peer = SocketAddr::from(([192, 0, 2, 1], 1));
    let address = crate::balancer::true_address(&mut stream, peer).now_or_never()?;
    Some((address.ok()?, stream.len()))
}

fn proven() -> Proven {
    Proven {
        subject: "ana".into(),
        kind: PrincipalKind::Human,
        groups: vec!["staff".into()],
        proof: "scram",
        on_behalf_of: None,
        claims: Vec::new(),
        names: vec!["ana".into()],
        databases: None,
        expires_at: None,
        basis: Basis::Credential { id: "script".into() },
    }
}

fn settings(audit: Audit) -> DatabaseSettings {
    use crate::settings::{Endpoint, RoleMapping, SslMode, UpstreamSettings};
    DatabaseSettings {
        database: Arc::new(Database { name: "shop".into(), labels: Vec::new() }),
        upstream: UpstreamSettings {
            // The proxy's own questions find nobody, at once.
            endpoint: Endpoint::Unix("/nonexistent/scripted".into()),
            user: "app".into(),
            database: "shop".into(),
            password: None,
            ssl: SslMode::Disable,
            roots: None,
        },
        audit,
        unmatched: portcullis_policy::Unmatched::Deny,
        trusted_functions: Vec::new(),
        column_labels: vec![("public.people.email".into(), "pii.email".into())],
        role: RoleMapping::Login,
        tell_subject: None,
    }
}

/// The proxy logs in at a server that says this and hangs up; the ParameterStatus messages that a
/// client would be handed, where it succeeds.
pub async fn log_in_at(server_says: &[u8]) -> Option<Vec<u8>> {
    let (server, peer) = crate::memory::connection();
    peer.send(server_says);
    peer.close();
    let settings = UpstreamSettings {
        endpoint: Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: 5432 },
        user: "app".to_owned(),
        database: "shop".to_owned(),
        password: Some(Arc::new(UpstreamKeys::new("nobody guesses this".to_owned()))),
        ssl: SslMode::Disable,
        roots: None,
    };
    let upstream = upstream::log_in_over(Transport::Memory(server), &settings).await.ok()?;
    Some(upstream.reported.messages().to_vec())
}
