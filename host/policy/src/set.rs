//! What the proxy asks of the policies in force. `engine` answers; the two meet only here.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::label::{ColumnSample, Label};
use crate::lineage::OutputColumn;
use crate::mask::{Cells, MaskAction, Masked};
pub use crate::name::PolicyName;
use crate::principal::{Database, Principal};
use crate::statement::Statement;
use crate::verdict::{Terms, Verdict};

/// Does a verdict count, or is it only recorded?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Enforce,
    Observe,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

/// Why a plugin failed to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    Trap,
    Deadline,
    Memory,
    /// An answer that breaks the contract: wrong number of actions, edits out of range.
    Malformed,
    /// The plugin itself answered with an error.
    Refused,
    /// Too many faults lately; not called.
    Suspended,
    /// The host could not make an instance.
    Unavailable,
}

impl FaultKind {
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Trap => "trap",
            FaultKind::Deadline => "deadline",
            FaultKind::Memory => "memory",
            FaultKind::Malformed => "malformed",
            FaultKind::Refused => "refused",
            FaultKind::Suspended => "suspended",
            FaultKind::Unavailable => "unavailable",
        }
    }
}

/// A plugin that failed to answer. In an enforcing guardrail it denies, in an enforcing
/// masker it gives NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// For the log and the ledger; never shown to the client.
    pub message: String,
}

/// One statement to be judged, with all that may be known about it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub principal: &'a Arc<Principal>,
    pub database: &'a Arc<Database>,
    pub statement: &'a Statement,
    /// The statement's text as it was sent: facts are shared by all texts of a shape, this is
    /// not.
    pub text: &'a str,
    pub in_transaction: bool,
    /// Seconds since the Unix epoch.
    pub now: u32,
    pub attributes: &'a [(String, String)],
}

/// Values bound to the statement being judged, for plugins that import them.
pub trait Parameters {
    /// How many values are bound; 0 before Bind and for simple queries.
    fn count(&self) -> u32;
    /// The text form of value `index`; `None` for NULL, out of range, or a binary form the
    /// host cannot print.
    fn text(&self, index: u32) -> Option<String>;
}

/// No values: a simple query, or a statement not yet bound.
pub struct NoParameters;

impl Parameters for NoParameters {
    fn count(&self) -> u32 {
        0
    }

    fn text(&self, _index: u32) -> Option<String> {
        None
    }
}

/// A result to be planned: nothing in it changes between two executions of one shape.
#[derive(Clone, Copy, Debug)]
pub struct ResultShape<'a> {
    pub principal: &'a Arc<Principal>,
    pub database: &'a Arc<Database>,
    pub shape: &'a str,
    pub columns: &'a [OutputColumn],
    pub attributes: &'a [(String, String)],
}

/// What guardrails may look at beside the request they judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reads {
    /// The text with its literals.
    pub text: bool,
    /// Bound values.
    pub parameters: bool,
}

/// What one guardrail answered.
#[derive(Clone, Debug)]
pub struct VerdictAnswer {
    pub policy: PolicyName,
    pub mode: Mode,
    pub answer: Result<Verdict, Fault>,
}

/// What one masker answered: one action per column.
#[derive(Clone, Debug)]
pub struct PlanAnswer {
    pub policy: PolicyName,
    pub mode: Mode,
    pub answer: Result<Vec<MaskAction>, Fault>,
}

/// Whether any enforcing guardrail and any enforcing masker match a principal and database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Coverage {
    pub guardrail: bool,
    pub masker: bool,
}

/// All policies at one moment, as one worker calls them. Calls are synchronous and bounded:
/// each ends within the policy's deadline, with an answer or a fault.
pub trait PolicySet {
    /// The set's number; higher is newer.
    fn revision(&self) -> u64;

    fn coverage(&self, principal: &Principal, database: &Database) -> Coverage;

    /// Asks every guardrail that matches, in the order of the policies' names.
    fn judge(&self, request: &Request<'_>, parameters: &dyn Parameters) -> Vec<VerdictAnswer>;

    /// What guardrails may look at beside the request. What none of them can see decides
    /// nothing.
    fn reads(&self) -> Reads;

    /// What `policy`'s file allows those who release what it holds.
    fn terms(&self, policy: &PolicyName) -> Terms;

    /// Asks every masker that matches, in the order of the policies' names. An `Ok` answer
    /// has exactly one action per column.
    fn plan(&self, shape: &ResultShape<'_>) -> Vec<PlanAnswer>;

    /// Has `policy` mask a batch, as its plan asked with `handle`. An `Ok` answer is checked:
    /// right count, spans ascending, disjoint, in range and on character boundaries.
    fn mask(
        &self,
        policy: &PolicyName,
        handle: u32,
        batch: &Cells,
        also: &[Cells],
    ) -> Result<Masked, Fault>;

    /// A number that changes whenever another classifier, or other settings of one, would be
    /// asked: labels found under another number are looked for anew.
    fn classifiers(&self) -> u64;

    /// Asks every classifier; one list of labels per sample, merged over classifiers.
    ///
    /// # Errors
    /// When an enforcing policy's classifier fails: what it would have found is not known.
    fn classify(&self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault>;
}

/// Where a worker gets the set now in force. One per worker, not shared between threads.
pub trait PolicySource {
    /// The newest published set. Cheap: called for every statement.
    fn current(&self) -> Rc<dyn PolicySet>;

    /// Tells `watch` from now on, each time a new set has kept the worker from its sessions, for
    /// how long: taking it over, and the calls in which instances of it were started.
    fn watch_swaps(&self, watch: Box<dyn Fn(Duration)>);
}

/// Hands each worker its own `PolicySource`.
pub trait PolicyHub: Send + Sync {
    fn worker(&self) -> Box<dyn PolicySource>;
}
