//! The traits a policy implements.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cells::{Cells, Masked};
use crate::mask::{Label, MaskAction, OutputColumn, ResultShape, Sample};
use crate::request::Request;
use crate::verdict::Verdict;

/// What every policy has: settings, and a way to be made of them.
///
/// A policy is stateless between calls: any call may land on any of several instances, so
/// its methods take `&self`, and what it learns in one call it does not know in the next.
pub trait Policy: Sized + 'static {
    /// The `[settings]` table of the policy file. Put `#[serde(deny_unknown_fields)]` on it,
    /// so that a misspelt setting is refused, and `#[serde(default)]`, so that a lone
    /// component without a policy file works.
    type Settings: DeserializeOwned;

    /// A JSON schema of the settings, for tools that help to write them.
    const SETTINGS_SCHEMA: Option<&'static str> = None;

    /// Makes the policy. An error refuses the settings: the host keeps the policy's last good
    /// form in force and shows the text to the operator.
    fn new(settings: Self::Settings) -> Result<Self, String>;
}

/// For policies that have nothing to set.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Judges a statement before it reaches the server.
pub trait Guardrail: Policy {
    fn judge(&self, request: &Request) -> Verdict;
}

/// Decides what may be seen of the answer.
pub trait Masker: Policy {
    /// What is done with one column of a result. Asked once per column and shape, and the
    /// answer is reused: it may depend on nothing but `column`, `result` and the settings.
    fn plan(&self, column: &OutputColumn, result: &ResultShape) -> MaskAction;

    /// Looks at a batch of cells of a column that [`Masker::plan`] answered
    /// [`MaskAction::Call`] for. `also` are the further columns it asked for.
    fn mask(&self, handle: u32, batch: &Cells, also: &[Cells]) -> Masked {
        let _ = (batch, also);
        // A trap makes the host give NULL, which is right for a call nobody planned.
        panic!("the policy asked for calls (handle {handle}) but has no `mask`");
    }
}

/// Says what a column holds.
pub trait Classifier: Policy {
    fn classify(&self, column: &Sample) -> Vec<Label>;
}

/// Receives audit records, in order, off the statement path.
pub trait AuditSink: Policy {
    /// `events` are JSON texts, one record each. Returns how many leading records were
    /// accepted; the host offers the rest again, and never drops one. An error is shown to
    /// the operator, and all records are offered again.
    fn deliver(&self, events: &[&[u8]]) -> Result<u32, String>;
}
