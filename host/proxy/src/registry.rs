//! Sessions as others see them: listed, cancelled, ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use atomic_waker::AtomicWaker;
use portcullis_identity::Proven;
use portcullis_policy::PrincipalKind;
use portcullis_policy::principal::Asker;

/// What somebody else wants of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It ends, and the client is told why.
    End(String),
    /// What waits for approval is not wanted any more.
    Cancel,
}

/// What a session is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    Idle,
    Running,
    InTransaction,
    /// A statement waits for people.
    Waiting {
        approval: String,
    },
}

impl SessionState {
    pub fn as_str(&self) -> &'static str {
        match self {
            SessionState::Idle => "idle",
            SessionState::Running => "running",
            SessionState::InTransaction => "in transaction",
            SessionState::Waiting { .. } => "waiting",
        }
    }
}

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const IN_TRANSACTION: u8 = 2;

/// A session, reachable from other threads.
pub struct Line {
    pub id: u64,
    pub asker: Asker,
    /// What its login rests on; looked at again while it lives.
    pub proven: Proven,
    since: SystemTime,
    statements: AtomicU64,
    state: AtomicU8,
    waiting_for: Mutex<Option<String>>,
    raised: AtomicBool,
    signals: Mutex<Signals>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Signals {
    end: Option<String>,
    cancel: bool,
}

impl Line {
    pub fn new(id: u64, asker: Asker, proven: Proven) -> Line {
        Line {
            id,
            asker,
            proven,
            since: SystemTime::now(),
            statements: AtomicU64::new(0),
            state: AtomicU8::new(IDLE),
            waiting_for: Mutex::new(None),
            raised: AtomicBool::new(false),
            signals: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// Asks the session to end. The first reason given counts; false when there was one.
    pub fn end(&self, reason: &str) -> bool {
        let mut signals = locked(&self.signals);
        let is_new = signals.end.is_none();
        if is_new {
            signals.end = Some(reason.to_owned());
        }
        drop(signals);
        self.raise();
        is_new
    }

    /// Withdraws what waits for approval; false when nothing does, and the server is to be
    /// asked.
    pub fn cancel(&self) -> bool {
        let waits = locked(&self.waiting_for).is_some();
        if waits {
            locked(&self.signals).cancel = true;
            self.raise();
        }
        waits
    }

    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Wakes the session when somebody wants something that it is not told of yet: to be called
    /// before [`signal`](Line::signal) is asked for the last time.
    pub fn wakes(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// What somebody wants, for the session itself. Cheap: asked at every turn.
    pub fn signal(&self) -> Option<Signal> {
        if !self.raised.load(Ordering::Acquire) {
            return None;
        }
        let mut signals = locked(&self.signals);
        // Ending stays raised: the session asks no more once it was told.
        if let Some(reason) = &signals.end {
            return Some(Signal::End(reason.clone()));
        }
        self.raised.store(false, Ordering::Relaxed);
        std::mem::take(&mut signals.cancel).then_some(Signal::Cancel)
    }

    pub fn asks(&self) {
        self.statements.store(self.statements.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.state.store(RUNNING, Ordering::Relaxed);
    }

    pub fn is_ready(&self, in_transaction: bool) {
        let state = if in_transaction { IN_TRANSACTION } else { IDLE };
        self.state.store(state, Ordering::Relaxed);
    }

    /// The approval that the session waits for, or none any more.
    pub fn waits_for(&self, approval: Option<&str>) {
        *locked(&self.waiting_for) = approval.map(str::to_owned);
    }

    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    fn view(&self) -> SessionView {
        let waiting = locked(&self.waiting_for).clone();
        let state = match (waiting, self.state.load(Ordering::Relaxed)) {
            (Some(approval), _) => SessionState::Waiting { approval },
            (None, IDLE) => SessionState::Idle,
            (None, IN_TRANSACTION) => SessionState::InTransaction,
            (None, _) => SessionState::Running,
        };
        let principal = &self.asker.principal;
        SessionView {
            id: self.id,
            subject: principal.subject.clone(),
            kind: principal.kind,
            groups: principal.groups.clone(),
            proof: principal.proof.clone(),
            on_behalf_of: principal.on_behalf_of.clone(),
            database: self.asker.database.name.clone(),
            client_address: principal.client_address.clone(),
            application: principal.application.clone(),
            since: self.since,
            expires_at: self.proven.expires_at,
            statements: self.statements(),
            state,
        }
    }
}

/// A session, as the control surface shows it.
#[derive(Clone, Debug)]
pub struct SessionView {
    pub id: u64,
    pub subject: String,
    pub kind: PrincipalKind,
    pub groups: Vec<String>,
    pub proof: String,
    pub on_behalf_of: Option<String>,
    pub database: String,
    /// `ip:port`.
    pub client_address: String,
    pub application: String,
    pub since: SystemTime,
    pub expires_at: Option<SystemTime>,
    pub statements: u64,
    pub state: SessionState,
}

/// All sessions that are open.
#[derive(Default)]
pub struct Registry {
    // Locked at login, logout and by who looks: never while a statement passes.
    lines: Mutex<HashMap<u64, Arc<Line>>>,
}

/// A session's place in the registry; left when dropped.
pub struct Entry {
    registry: Arc<Registry>,
    line: Arc<Line>,
}

impl Entry {
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        locked(&self.registry.lines).remove(&self.line.id);
    }
}

impl Registry {
    pub fn enter(self: &Arc<Registry>, line: Line) -> Entry {
        let line = Arc::new(line);
        locked(&self.lines).insert(line.id, line.clone());
        Entry { registry: self.clone(), line }
    }

    pub fn len(&self) -> usize {
        locked(&self.lines).len()
    }

    pub fn lines(&self) -> Vec<Arc<Line>> {
        locked(&self.lines).values().cloned().collect()
    }

    pub fn line(&self, id: u64) -> Option<Arc<Line>> {
        locked(&self.lines).get(&id).cloned()
    }

    /// Wakes every session: something that they all look at has changed.
    pub fn wake(&self) {
        self.lines().iter().for_each(|line| line.waker.wake());
    }

    /// By number: the oldest first.
    pub fn views(&self) -> Vec<SessionView> {
        let mut views: Vec<SessionView> = self.lines().iter().map(|line| line.view()).collect();
        views.sort_unstable_by_key(|view| view.id);
        views
    }

    /// Ends every session that `which` says; how many that were.
    pub fn end_where(&self, reason: &str, which: &dyn Fn(&SessionView) -> bool) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| which(&line.view()) && line.end(reason)).count()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
