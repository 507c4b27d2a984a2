#![doc = include_str!("../GUIDE.md")]
// The guide shows a policy with its tests; they run as tests/office_hours.rs.
#![allow(clippy::test_attr_in_doctest)]

// The export macros name this crate by its full path, in its own tests too.
extern crate self as portcullis_plugin_sdk;

#[doc(hidden)]
pub mod bindings;
pub mod host;
pub mod request;
pub mod verdict;
pub mod cells;
pub mod mask;
pub mod policy;
#[doc(hidden)]
pub mod component;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub use wit_bindgen;

pub use cells::{Cells, Edits, Masked, Spans};
pub use host::{EgressError, Level, Response, debug, error, info, log, warn};
pub use mask::{
    Callback, Derivation, Label, MaskAction, OutputColumn, Partial, Pseudonym, ResultShape, Sample,
    SourceColumn, ValueForm, WireFormat,
};
pub use policy::{AuditSink, Classifier, Guardrail, Masker, NoSettings, Policy};
pub use request::{
    Access, Action, Database, Principal, PrincipalKind, RelationUse, Request, Statement,
};
pub use verdict::{Approval, Decision, Denial, Verdict};
