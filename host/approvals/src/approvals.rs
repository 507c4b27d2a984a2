//! The handle that sessions and the control surface hold, and the thread behind it.

use std::io;
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_policy::Principal;
use portcullis_policy::approval::{Case, Lease, Question};
use portcullis_policy::event::{Actor, EventId};
use portcullis_policy::principal::Asker;
use tokio::sync::oneshot;

use crate::desk::{DecideError, Decided, Desk, Limits, Open, Word};
use crate::id;
use crate::keeping::{Announcer, Recorder, Store};
use crate::leases::Leases;
use crate::places::{AskError, Places};
use crate::view::{Attached, Facts, View};

/// The thread looks at the clock at least so often, should somebody set it.
const CLOCK_CHECK: Duration = Duration::from_secs(10);

/// A held message, with what approvers are to know about it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub question: Question,
    pub facts: Facts,
    /// The intent that was held.
    pub event: EventId,
    pub revision: u64,
    pub expires_in: Duration,
}

enum Command {
    Ask(Box<Open>),
    Withdraw { id: String, reason: String },
    Grant { id: String, word: Box<Word>, answer: oneshot::Sender<Result<View, DecideError>> },
    Refuse { id: String, word: Box<Word>, answer: oneshot::Sender<Result<View, DecideError>> },
    Show { id: String, to: Actor, answer: oneshot::Sender<Result<View, DecideError>> },
    List { answer: oneshot::Sender<Vec<View>> },
    RevokeLease { id: String, by: Actor, answer: oneshot::Sender<Result<(), DecideError>> },
    ShutDown,
}

/// A handle on all approvals; cheap to clone.
#[derive(Clone, Debug)]
pub struct Approvals {
    /// Without a bound of its own: what waits is counted in `places`, and each caller of the
    /// control surface has one command under way.
    commands: mpsc::Sender<Command>,
    places: Arc<Places>,
    leases: Arc<Leases>,
    wait_max: Duration,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Approvals {
    /// Starts the thread that owns all cases. What waited when the store was last written
    /// ends as withdrawn; leases go on.
    ///
    /// # Errors
    /// When the store cannot be read and written, or the thread not started.
    pub fn start(
        store: Box<dyn Store>,
        recorder: Box<dyn Recorder>,
        announcer: Box<dyn Announcer>,
        limits: Limits,
    ) -> io::Result<Approvals> {
        let leases = Arc::new(Leases::default());
        let places = Places::new(limits.waiting_max, limits.waiting_per_principal_max);
        let now = seconds_now();
        let desk = Desk::take_up(store, recorder, announcer, limits, Arc::clone(&leases), now)?;
        let (commands, received) = mpsc::channel();
        let thread =
            thread::Builder::new().name("approvals".into()).spawn(move || run(desk, &received))?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Approvals { commands, places, leases, wait_max: limits.wait_max, thread })
    }

    /// Puts a held message before its approvers. Never blocks: what is returned waits.
    ///
    /// # Errors
    /// When too many wait, when nobody could release it, or when approvals have stopped.
    pub fn ask(&self, ask: Ask) -> Result<Waiting, AskError> {
        let question = ask.question;
        let nobody = question.needs.iter().any(|need| need.approval.approvers.is_empty());
        if nobody || question.needs.is_empty() {
            return Err(AskError::Nobody);
        }
        let place = self.places.take(&question.asker.principal.subject)?;
        let id = id::draw().map_err(|_| AskError::Stopped)?;
        let asked_at = seconds_now();
        let expires_at = asked_at.saturating_add(ask.expires_in.min(self.wait_max).as_secs());
        let (tell, answer) = oneshot::channel();
        let attached =
            Attached { facts: ask.facts.bounded(), event: ask.event, revision: ask.revision };
        let case = Case::new(id.clone(), question, asked_at, expires_at);
        let open = Box::new(Open { case, attached, tell, place });
        self.commands.send(Command::Ask(open)).map_err(|_| AskError::Stopped)?;
        Ok(Waiting { id, answer: Some(answer), commands: self.commands.clone() })
    }

    /// The lease under which a statement of this shape may pass now. Takes no lock.
    pub fn lease(&self, asker: &Asker, fingerprint: &str) -> Option<Arc<Lease>> {
        self.leases.find(asker, fingerprint, seconds_now())
    }

    /// How many wait. Asks no thread and no store.
    pub fn waiting(&self) -> usize {
        self.places.taken()
    }

    /// What waits, the oldest first, then the latest hundred that ended. Texts are cut to a
    /// line, and earlier statements left out: all of them is for [`Approvals::show`], which
    /// makes a record. Nothing when approvals have stopped.
    pub async fn list(&self) -> Vec<View> {
        self.call(|answer| Command::List { answer }).await.unwrap_or_default()
    }

    /// One case with all that is known of it; that it was shown is a record.
    ///
    /// # Errors
    /// When nothing is called that, or the record could not be written.
    pub async fn show(&self, id: &str, to: Actor) -> Result<View, DecideError> {
        let id = id::read(id).ok_or(DecideError::Unknown)?;
        self.call(|answer| Command::Show { id, to, answer }).await?
    }

    /// Counts `by`'s grant; the view's standing says whether that was enough.
    ///
    /// # Errors
    /// When `by` may not, or when it could not be kept: then it does not count.
    pub async fn grant(
        &self,
        id: &str,
        by: &Principal,
        actor: Actor,
        comment: Option<String>,
        lease_seconds: u32,
    ) -> Result<View, DecideError> {
        let id = id::read(id).ok_or(DecideError::Unknown)?;
        let word = Box::new(word(by, actor, comment, lease_seconds));
        self.call(|answer| Command::Grant { id, word, answer }).await?
    }

    /// Ends a case: one refusal is enough.
    ///
    /// # Errors
    /// When `by` may not. When it could not be kept, too; but then it is refused all the
    /// same.
    pub async fn refuse(
        &self,
        id: &str,
        by: &Principal,
        actor: Actor,
        comment: Option<String>,
    ) -> Result<View, DecideError> {
        let id = id::read(id).ok_or(DecideError::Unknown)?;
        let word = Box::new(word(by, actor, comment, 0));
        self.call(|answer| Command::Refuse { id, word, answer }).await?
    }

    /// Leases in force, the one that ends next first.
    pub fn leases(&self) -> Vec<Lease> {
        self.leases.all(seconds_now())
    }

    /// Takes a lease out of force.
    ///
    /// # Errors
    /// When no lease in force is called that. When it could not be kept, too; then it is out
    /// of force, but may come back with a restart.
    pub async fn revoke_lease(&self, id: &str, actor: Actor) -> Result<(), DecideError> {
        let id = id::read(id).ok_or(DecideError::Unknown)?;
        self.call(|answer| Command::RevokeLease { id, by: actor, answer }).await?
    }

    /// Ends all that waits as withdrawn, and stops. Returns when that is kept. Leases are
    /// out of force until the next start.
    pub fn shut_down(&self) {
        // A thread that is gone has shut down.
        let _ = self.commands.send(Command::ShutDown);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of approvals had panicked");
        }
    }

    /// Cancel safe: a command that was sent is carried out, heard or not.
    async fn call<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, DecideError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).map_err(|_| DecideError::Stopped)?;
        answered.await.map_err(|_| DecideError::Stopped)
    }
}

/// One held message that waits. Dropping it withdraws it.
#[derive(Debug)]
pub struct Waiting {
    id: String,
    /// None once it was heard, or withdrawn.
    answer: Option<oneshot::Receiver<Decided>>,
    commands: mpsc::Sender<Command>,
}

impl Waiting {
    /// What approvers call it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ready once; polled again, it says that there is nothing more to come.
    pub fn poll_decided(&mut self, cx: &mut Context<'_>) -> Poll<Decided> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Decided::Unavailable) };
        let decided = std::task::ready!(Pin::new(answer).poll(cx));
        self.answer = None;
        Poll::Ready(decided.unwrap_or(Decided::Unavailable))
    }

    /// Nobody waits for it any more, because of `reason`. A decision that crosses it on its
    /// way is lost: nothing is released.
    pub fn withdraw(mut self, reason: &str) {
        self.give_up(reason);
    }

    fn give_up(&mut self, reason: &str) {
        if self.answer.take().is_some() {
            let (id, reason) = (self.id.clone(), reason.to_owned());
            // A thread that is gone has withdrawn it.
            let _ = self.commands.send(Command::Withdraw { id, reason });
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.give_up("the client disconnected");
    }
}

/// The record names whose word it is, whatever the caller wrote there.
fn word(by: &Principal, actor: Actor, comment: Option<String>, lease_seconds: u32) -> Word {
    let actor = Actor { subject: by.subject.clone(), proof: by.proof.clone(), ..actor };
    Word { by: by.clone(), actor, comment, lease_seconds }
}

fn run(mut desk: Desk, received: &mpsc::Receiver<Command>) {
    loop {
        let command = received.recv_timeout(until_next(&desk));
        let now = seconds_now();
        match command {
            Ok(Command::ShutDown) | Err(RecvTimeoutError::Disconnected) => {
                return desk.close("the proxy is shutting down", now);
            }
            Ok(command) => carry_out(&mut desk, command, now),
            Err(RecvTimeoutError::Timeout) => {}
        }
        desk.tick(now);
    }
}

fn until_next(desk: &Desk) -> Duration {
    let Some(next) = desk.next_end() else { return CLOCK_CHECK };
    let next = UNIX_EPOCH + Duration::from_secs(next);
    next.duration_since(SystemTime::now()).unwrap_or_default().min(CLOCK_CHECK)
}

fn carry_out(desk: &mut Desk, command: Command, now: u64) {
    // Whoever asked and is gone needs no answer.
    match command {
        Command::Ask(open) => desk.ask(*open),
        Command::Withdraw { id, reason } => desk.withdraw(&id, &reason, now),
        Command::Grant { id, word, answer } => drop(answer.send(desk.grant(&id, *word, now))),
        Command::Refuse { id, word, answer } => drop(answer.send(desk.refuse(&id, *word, now))),
        Command::Show { id, to, answer } => drop(answer.send(desk.show(&id, to))),
        Command::List { answer } => drop(answer.send(desk.list())),
        Command::RevokeLease { id, by, answer } => {
            drop(answer.send(desk.revoke_lease(&id, by, now)));
        }
        Command::ShutDown => {}
    }
}

/// Seconds since the Unix epoch.
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
