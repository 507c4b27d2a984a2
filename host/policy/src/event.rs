//! What the ledger is told: who did what, and what became of it.

use std::sync::Arc;

use crate::principal::{Database, Principal};
use crate::set::PolicyName;
use crate::statement::Access;

/// One event's name: unique over all workers and restarts, sortable by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u128);

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A relation as the ledger names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationTouched {
    pub name: String,
    pub access: Access,
    pub columns: Vec<String>,
    pub labels: Vec<String>,
}

/// What was decided, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionMade {
    Permitted,
    Denied { policy: Option<PolicyName>, reason: String },
    Held { reason: String },
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server completed it; the command tag as sent.
    Completed { tag: String },
    /// The server answered with an error.
    Failed { sqlstate: String },
    /// A portal stopped at its row limit; it may go on.
    Suspended,
    /// It never ran: an earlier statement of its pipeline failed.
    Skipped,
    /// It was denied.
    Refused,
    /// It was held, and people released it: it runs under an event of its own.
    Released,
    /// The connection ended first; what became of it is not known.
    Lost,
}

/// Written after a statement.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub id: EventId,
    pub session: u64,
    pub ending: Ending,
    pub rows: u64,
    pub bytes: u64,
    pub cells_masked: u64,
    /// Labels of what was masked.
    pub labels_masked: Vec<Arc<str>>,
    /// What maskers in observe mode would have masked.
    pub cells_observed: u64,
    pub duration_us: u64,
    pub revision: u64,
}

/// Everything else worth a record.
#[derive(Clone, Debug)]
pub enum Notable {
    Started {
        version: &'static str,
    },
    Stopped,
    Login {
        session: u64,
        principal: Arc<Principal>,
        database: Arc<Database>,
    },
    LoginRefused {
        role: String,
        client_address: String,
        reason: String,
    },
    Logout {
        session: u64,
        statements: u64,
    },
    PolicySet {
        revision: u64,
        changes: Vec<String>,
        failures: Vec<String>,
    },
    Fault {
        policy: PolicyName,
        kind: &'static str,
        message: String,
    },
    Approval(ApprovalStep),
    /// The proxy ended a session before its client did.
    SessionEnded {
        session: u64,
        reason: String,
    },
    /// Somebody used the control surface to change something, or tried to.
    Administered {
        by: Actor,
        action: &'static str,
        target: String,
        refused: Option<String>,
    },
}

/// Who did something through the control surface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub subject: String,
    /// How identity was proved, as in [`Principal::proof`].
    pub proof: String,
    /// `ip:port`.
    pub address: String,
}

/// A step in the life of an approval or of a lease that came of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalStep {
    Asked {
        approval: String,
        /// The intent that was held.
        event: EventId,
        session: u64,
        reason: String,
        approvers: Vec<String>,
        approvals_needed: u32,
        expires_in_seconds: u32,
    },
    Shown {
        approval: String,
        to: Actor,
    },
    Granted {
        approval: String,
        by: Actor,
        comment: Option<String>,
        /// How long the same shape passes without asking again; 0 for this once.
        lease_seconds: u32,
    },
    Refused {
        approval: String,
        by: Actor,
        comment: Option<String>,
    },
    /// Nobody decides any more.
    Ended {
        approval: String,
        /// "granted", "refused", "expired" or "withdrawn".
        state: &'static str,
        reason: String,
    },
    LeaseRevoked {
        lease: String,
        by: Actor,
    },
}

/// A record of the ledger, before it has a place in it.
#[derive(Clone, Debug)]
pub enum Event {
    Outcome(Outcome),
    Notable(Notable),
}
