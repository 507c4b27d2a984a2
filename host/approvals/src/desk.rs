//! Every case and lease, and what each step does: no thread and no clock, which are handed in.
//!
//! The order of a grant is what makes it safe. The approver's word is a record first, then
//! the store has the result, then the ledger has the end, and only then is a lease stored and
//! does the session hear of it. What fails before leaves the case waiting and nothing
//! released: a `granted` step in the ledger that no end follows released nothing, and no
//! restart finds a lease of it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use portcullis_policy::Principal;
use portcullis_policy::approval::Lease;
use portcullis_policy::approval::{Case, Grant, Ineligible, Standing};
use portcullis_policy::event::{Actor, ApprovalStep};
use tokio::sync::oneshot;

use crate::keeping::{Announcer, Recorder, Store};
use crate::leases::Leases;
use crate::places::Place;
use crate::view::{Attached, View, approvals_needed, approvers};

/// Ended cases in a list.
const LISTED_MAX: usize = 100;
const COMMENT_BYTES_MAX: usize = 1_000;
const SECONDS_A_DAY: u64 = 86_400;

/// Bounds of what is kept in memory and on disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub waiting_max: usize,
    pub waiting_per_principal_max: usize,
    /// Nothing waits longer, whatever is asked.
    pub wait_max: Duration,
    pub leases_max: usize,
    /// Ended cases that are kept.
    pub history_max: usize,
    pub history_days_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            waiting_max: 500,
            waiting_per_principal_max: 100,
            wait_max: Duration::from_secs(3_600),
            leases_max: 1_000,
            history_max: 1_000,
            history_days_max: 90,
        }
    }
}

/// What the session that waits is told, once.
#[derive(Debug)]
pub enum Decided {
    Granted(Grant),
    /// By whom, and with what comment.
    Refused {
        reason: String,
    },
    Expired,
    Withdrawn {
        reason: String,
    },
    /// It could not be kept, or approvals have stopped.
    Unavailable,
}

/// Why a decision was not taken, or nothing was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecideError {
    /// No case or lease is called that.
    Unknown,
    Ineligible(Ineligible),
    CommentTooLong {
        bytes_max: usize,
    },
    /// As many leases are in force as may be.
    TooManyLeases {
        leases_max: usize,
    },
    /// The store or the ledger did not take it, so it does not count.
    NotKept {
        reason: String,
    },
    Stopped,
}

impl std::fmt::Display for DecideError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecideError::Unknown => f.write_str("nothing is called that"),
            DecideError::Ineligible(why) => why.fmt(f),
            DecideError::CommentTooLong { bytes_max } => {
                write!(f, "a comment has at most {bytes_max} bytes")
            }
            DecideError::TooManyLeases { leases_max } => {
                write!(f, "{leases_max} leases are in force already; grant it without one")
            }
            DecideError::NotKept { reason } => write!(f, "it could not be kept: {reason}"),
            DecideError::Stopped => f.write_str("approvals have stopped"),
        }
    }
}

impl std::error::Error for DecideError {}

impl From<Ineligible> for DecideError {
    fn from(why: Ineligible) -> DecideError {
        DecideError::Ineligible(why)
    }
}

fn not_kept(error: &io::Error) -> DecideError {
    DecideError::NotKept { reason: error.to_string() }
}

/// A case that waits, and whom to tell.
pub struct Open {
    pub case: Case,
    pub attached: Attached,
    pub tell: oneshot::Sender<Decided>,
    /// Free for another when this one is over.
    pub place: Place,
}

/// One approver's decision.
pub struct Word {
    pub by: Principal,
    pub actor: Actor,
    pub comment: Option<String>,
    /// 0 in a refusal, and in a grant for this once.
    pub lease_seconds: u32,
}

/// Owns every case; the only writer of the leases.
pub struct Desk {
    store: Box<dyn Store>,
    recorder: Box<dyn Recorder>,
    announcer: Box<dyn Announcer>,
    limits: Limits,
    open: HashMap<String, Open>,
    leases: Arc<Leases>,
}

impl Desk {
    /// Takes up what the store held: leases go on, and what waited has lost its session.
    pub fn take_up(
        store: Box<dyn Store>,
        recorder: Box<dyn Recorder>,
        announcer: Box<dyn Announcer>,
        limits: Limits,
        leases: Arc<Leases>,
        now: u64,
    ) -> io::Result<Desk> {
        let mut desk = Desk { store, recorder, announcer, limits, open: HashMap::new(), leases };
        let kept = desk.store.load()?;
        for mut view in kept.pending {
            let reason = "the proxy was restarted";
            view.standing = Standing::Withdrawn;
            view.ended_because = Some(reason.to_owned());
            view.ended_at = Some(now);
            desk.store.keep(&view, None)?;
            desk.note_end(&view.id, Standing::Withdrawn, reason);
            desk.announcer.announce(&view);
        }
        for lease in kept.leases {
            if lease.until > now {
                desk.leases.add(lease);
            } else {
                desk.store.remove_lease(&lease.id)?;
            }
        }
        desk.forget(now)?;
        Ok(desk)
    }

    /// A case begins to wait, unless that cannot be kept.
    pub fn ask(&mut self, open: Open) {
        let id = open.case.id.clone();
        match self.keep_asked(&open) {
            Ok(view) => {
                self.announcer.announce(&view);
                self.open.insert(id, open);
            }
            Err(error) => {
                tracing::error!(approval = id, %error, "an approval could not be kept");
                tell(open, Decided::Unavailable);
            }
        }
    }

    fn keep_asked(&mut self, open: &Open) -> io::Result<View> {
        let case = &open.case;
        if self.open.contains_key(&case.id) || self.store.case(&case.id)?.is_some() {
            return Err(io::Error::other("another has that id"));
        }
        let expires_in = case.expires_at.saturating_sub(case.asked_at);
        self.recorder.record(ApprovalStep::Asked {
            approval: case.id.clone(),
            event: open.attached.event,
            session: case.question.session,
            reason: open.attached.facts.reason.clone(),
            approvers: approvers(&case.question.needs),
            approvals_needed: approvals_needed(&case.question.needs),
            expires_in_seconds: u32::try_from(expires_in).unwrap_or(u32::MAX),
        })?;
        let view = open.attached.view(case, None);
        if let Err(error) = self.store.keep(&view, None) {
            self.note_end(&case.id, Standing::Withdrawn, "it could not be stored");
            return Err(error);
        }
        Ok(view)
    }

    /// Counts one approver's grant, and releases the statement when that was enough.
    pub fn grant(&mut self, id: &str, word: Word, now: u64) -> Result<View, DecideError> {
        let (comment, mut open) = self.take_for(id, &word, now)?;
        let before = open.case.clone();
        let outcome = self.count_grant(&mut open, word, comment, now);
        match outcome {
            Ok(view) if view.standing == Standing::Granted => {
                if let Some(grant) = open.case.granted() {
                    tell(open, Decided::Granted(grant));
                }
                self.announcer.announce(&view);
                self.forget_or_log(now);
                Ok(view)
            }
            Ok(view) => {
                self.open.insert(open.case.id.clone(), open);
                Ok(view)
            }
            Err(error) => {
                open.case = before;
                self.open.insert(open.case.id.clone(), open);
                Err(error)
            }
        }
    }

    fn count_grant(
        &mut self,
        open: &mut Open,
        word: Word,
        comment: Option<String>,
        now: u64,
    ) -> Result<View, DecideError> {
        let before = open.attached.view(&open.case, None);
        let lease_seconds = word.lease_seconds;
        if lease_seconds > 0 && self.leases.count() >= self.limits.leases_max {
            return Err(DecideError::TooManyLeases { leases_max: self.limits.leases_max });
        }
        let standing = open.case.grant(&word.by, comment.clone(), lease_seconds, now)?;
        let granted = standing == Standing::Granted;
        let id = open.case.id.clone();
        let approval = id.clone();
        let step = ApprovalStep::Granted { approval, by: word.actor, comment, lease_seconds };
        self.recorder.record(step).map_err(|error| not_kept(&error))?;
        let lease = open.case.lease(now);
        let view = open.attached.view(&open.case, granted.then_some(now));
        self.store.keep(&view, None).map_err(|error| not_kept(&error))?;
        if granted {
            let reason = by_whom(&open.case);
            if let Err(error) = self.record_end(&id, Standing::Granted, &reason) {
                self.put_back(&before);
                return Err(not_kept(&error));
            }
            if let Some(lease) = lease {
                self.put_in_force(&view, lease);
            }
        }
        Ok(view)
    }

    /// The store has a grant that the ledger does not: out with it.
    fn put_back(&mut self, before: &View) {
        if let Err(error) = self.store.keep(before, None) {
            tracing::error!(approval = before.id, %error, "a grant that is void is still stored");
        }
    }

    /// The ledger has its grant, so it holds also where it cannot be stored: until a restart.
    fn put_in_force(&mut self, granted: &View, lease: Lease) {
        if let Err(error) = self.store.keep(granted, Some(&lease)) {
            tracing::error!(lease = lease.id, %error, "a lease will be lost with a restart");
        }
        self.leases.add(lease);
    }

    /// One refusal ends it. It takes effect even where it cannot be kept; then the approver
    /// is told so.
    pub fn refuse(&mut self, id: &str, word: Word, now: u64) -> Result<View, DecideError> {
        let (comment, mut open) = self.take_for(id, &word, now)?;
        if let Err(why) = open.case.refuse(&word.by, comment.clone(), now) {
            self.open.insert(open.case.id.clone(), open);
            return Err(why.into());
        }
        let approval = open.case.id.clone();
        let step = ApprovalStep::Refused { approval, by: word.actor, comment };
        let recorded = self.recorder.record(step);
        let (view, kept) = self.end(open, now);
        recorded.and(kept).map_err(|error| not_kept(&error))?;
        Ok(view)
    }

    /// Takes out the case that `word` is about, when somebody still waits for it.
    fn take_for(
        &mut self,
        id: &str,
        word: &Word,
        now: u64,
    ) -> Result<(Option<String>, Open), DecideError> {
        let comment = readable(word.comment.as_deref())?;
        self.tick(now);
        if self.open.get(id).is_some_and(|open| open.tell.is_closed()) {
            self.withdraw(id, "the client disconnected", now);
        }
        match self.open.remove(id) {
            Some(open) => Ok((comment, open)),
            None if self.stored(id)?.is_some() => Err(Ineligible::Over.into()),
            None => Err(DecideError::Unknown),
        }
    }

    /// Whoever asked does not wait any more.
    pub fn withdraw(&mut self, id: &str, reason: &str, now: u64) {
        if let Some(mut open) = self.open.remove(id) {
            open.case.withdraw(reason);
            let (_, kept) = self.end(open, now);
            log_unkept(id, kept);
        }
    }

    /// Ends what is over by `now`.
    pub fn tick(&mut self, now: u64) {
        let due = |open: &&Open| open.case.expires_at <= now;
        let ids: Vec<String> =
            self.open.values().filter(due).map(|open| open.case.id.clone()).collect();
        for id in ids {
            if let Some(mut open) = self.open.remove(&id) {
                open.case.expire(now);
                let (_, kept) = self.end(open, now);
                log_unkept(&id, kept);
            }
        }
        for id in self.leases.remove(|lease| lease.until <= now) {
            log_unkept(&id, self.store.remove_lease(&id));
        }
    }

    /// When there is something to end next.
    pub fn next_end(&self) -> Option<u64> {
        let cases = self.open.values().map(|open| open.case.expires_at).min();
        cases.into_iter().chain(self.leases.next_end()).min()
    }

    /// Tells everybody who waits that nobody decides any more.
    pub fn close(&mut self, reason: &str, now: u64) {
        let ids: Vec<String> = self.open.keys().cloned().collect();
        for id in ids {
            self.withdraw(&id, reason, now);
        }
    }

    /// What waits, the oldest first, then what ended, the latest first; texts cut to a line.
    pub fn list(&mut self) -> Vec<View> {
        let mut views: Vec<View> =
            self.open.values().map(|open| open.attached.view(&open.case, None)).collect();
        views.sort_by(|a, b| (a.asked_at, &a.id).cmp(&(b.asked_at, &b.id)));
        match self.store.ended(LISTED_MAX) {
            Ok(ended) => views.extend(ended),
            Err(error) => tracing::error!(%error, "ended approvals cannot be read"),
        }
        views.into_iter().map(|view| View { facts: view.facts.brief(), ..view }).collect()
    }

    /// One case, and a record of who saw it.
    pub fn show(&mut self, id: &str, to: Actor) -> Result<View, DecideError> {
        let view = match self.open.get(id) {
            Some(open) => open.attached.view(&open.case, None),
            None => self.stored(id)?.ok_or(DecideError::Unknown)?,
        };
        let step = ApprovalStep::Shown { approval: view.id.clone(), to };
        self.recorder.record(step).map_err(|error| not_kept(&error))?;
        Ok(view)
    }

    /// It is out of force at once, even where that cannot be kept; then who revoked it is
    /// told that it may come back with a restart.
    pub fn revoke_lease(&mut self, id: &str, by: Actor, now: u64) -> Result<(), DecideError> {
        if !self.leases.contains(id, now) {
            return Err(DecideError::Unknown);
        }
        self.leases.remove(|lease| lease.id == id);
        let removed = self.store.remove_lease(id);
        let step = ApprovalStep::LeaseRevoked { lease: id.to_owned(), by };
        let recorded = self.recorder.record(step);
        removed.and(recorded).map_err(|error| not_kept(&error))
    }

    /// What every end that is no grant does: ledger, store, session, announcement.
    fn end(&mut self, open: Open, now: u64) -> (View, io::Result<()>) {
        let view = open.attached.view(&open.case, Some(now));
        let reason = open.case.ended_because().unwrap_or_default().to_owned();
        let recorded = self.record_end(&view.id, view.standing, &reason);
        let kept = self.store.keep(&view, None);
        let decided = match view.standing {
            Standing::Refused => Decided::Refused { reason },
            Standing::Expired => Decided::Expired,
            Standing::Withdrawn => Decided::Withdrawn { reason },
            Standing::Pending | Standing::Granted => Decided::Unavailable,
        };
        tell(open, decided);
        self.announcer.announce(&view);
        self.forget_or_log(now);
        (view, recorded.and(kept))
    }

    fn record_end(&mut self, id: &str, standing: Standing, reason: &str) -> io::Result<()> {
        self.recorder.record(ApprovalStep::Ended {
            approval: id.to_owned(),
            state: standing.as_str(),
            reason: reason.to_owned(),
        })
    }

    fn note_end(&mut self, id: &str, standing: Standing, reason: &str) {
        let recorded = self.record_end(id, standing, reason);
        log_unkept(id, recorded);
    }

    fn stored(&mut self, id: &str) -> Result<Option<View>, DecideError> {
        self.store.case(id).map_err(|error| not_kept(&error))
    }

    fn forget(&mut self, now: u64) -> io::Result<()> {
        let kept_for = u64::from(self.limits.history_days_max).saturating_mul(SECONDS_A_DAY);
        self.store.forget(self.limits.history_max, now.saturating_sub(kept_for))
    }

    fn forget_or_log(&mut self, now: u64) {
        if let Err(error) = self.forget(now) {
            tracing::error!(%error, "old approvals cannot be forgotten");
        }
    }
}

impl Drop for Desk {
    /// Nobody could revoke them any more.
    fn drop(&mut self) {
        self.leases.remove(|_| true);
    }
}

/// The place is free before the session goes on, which may ask for it again.
fn tell(open: Open, decided: Decided) {
    drop(open.place);
    // A session that ended meanwhile needs no answer.
    let _ = open.tell.send(decided);
}

fn log_unkept(id: &str, kept: io::Result<()>) {
    if let Err(error) = kept {
        tracing::error!(approval = id, %error, "an approval's end could not be kept");
    }
}

fn by_whom(case: &Case) -> String {
    let names: Vec<&str> = case.votes().iter().map(|vote| vote.by.as_str()).collect();
    format!("granted by {}", names.join(", "))
}

/// A comment on one line, as clients, logs and messages show it; nothing when it is empty.
fn readable(comment: Option<&str>) -> Result<Option<String>, DecideError> {
    let Some(comment) = comment else { return Ok(None) };
    if comment.len() > COMMENT_BYTES_MAX {
        return Err(DecideError::CommentTooLong { bytes_max: COMMENT_BYTES_MAX });
    }
    let plain = comment.replace(char::is_control, " ");
    let plain = plain.trim();
    Ok((!plain.is_empty()).then(|| plain.to_owned()))
}

#[cfg(test)]
mod tests;
