//! What a masker and a classifier are asked about, and what they answer.

pub use crate::bindings::classifier::exports::portcullis::policy::classifier::{Label, Sample};
pub use crate::bindings::masker::exports::portcullis::policy::masker::{
    Callback, Derivation, MaskAction, OutputColumn, Partial, Pseudonym, ResultShape, SourceColumn,
    ValueForm, WireFormat,
};

impl OutputColumn {
    /// All labels of the columns this one is computed from.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().flat_map(|source| &source.labels).map(|label| &**label)
    }
}

impl MaskAction {
    /// The same text for every value.
    pub fn constant(text: impl Into<String>) -> MaskAction {
        MaskAction::Constant(text.into())
    }

    /// Keeps this many characters at the start and at the end, and fills between.
    pub fn partial(keep_first: u32, keep_last: u32, fill: impl Into<String>) -> MaskAction {
        MaskAction::Partial(Partial {
            keep_first,
            keep_last,
            fill: fill.into(),
            keep_from: String::new(),
            only: ValueForm::Any,
        })
    }

    /// Keeps of mail addresses this many characters at the start, and the domain; of other values
    /// nothing.
    pub fn partial_email(keep_first: u32, fill: impl Into<String>) -> MaskAction {
        MaskAction::Partial(Partial {
            keep_first,
            keep_last: 0,
            fill: fill.into(),
            keep_from: "@".to_owned(),
            only: ValueForm::Email,
        })
    }

    /// Equal values stay equal within `domain`, under the proxy's key of this name.
    pub fn pseudonym(key_name: impl Into<String>, domain: impl Into<String>) -> MaskAction {
        MaskAction::Pseudonym(Pseudonym { key_name: key_name.into(), domain: domain.into() })
    }

    /// Numbers and dates, down to a step: "10", "1000", "month", "year".
    pub fn generalize(step: impl Into<String>) -> MaskAction {
        MaskAction::Generalize(step.into())
    }

    /// Has the host hand the cells to `mask`, under this handle.
    pub fn call(handle: u32) -> MaskAction {
        MaskAction::Call(Callback { handle, also: Vec::new() })
    }

    /// As [`MaskAction::call`], with the cells of further columns of the row.
    pub fn call_with(handle: u32, also: &[u32]) -> MaskAction {
        MaskAction::Call(Callback { handle, also: also.to_vec() })
    }
}

impl Label {
    /// A label with how sure the classifier is, from 0.0 to 1.0.
    pub fn new(name: impl Into<String>, confidence: f32) -> Label {
        Label { name: name.into(), confidence }
    }
}
