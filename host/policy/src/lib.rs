//! The vocabulary of Portcullis, and the pure decisions over it.
//!
//! Plain data and functions: no I/O, no runtime, no clock, no dependency. Everything above
//! this crate speaks its words; the types are never serialised as they are, so that a wire
//! format or a file format can change without them.

pub mod name;
pub mod principal;
pub mod label;
pub mod lineage;
pub mod statement;
pub mod verdict;
pub mod mask;
pub mod set;
pub mod judge;
pub mod approval;
pub mod event;

pub use judge::{Denied, Held, Permitted, Ruling, Unmatched, judge};
pub use label::{ColumnSample, Label};
pub use lineage::{ColumnRef, Derivation, OutputColumn, Outputs, SourceColumn, WireFormat};
pub use mask::{Cells, ColumnAction, Edits, MaskAction, Masked, ValueForm};
pub use principal::{Database, Principal, PrincipalKind};
pub use set::{
    Coverage, Fault, FaultKind, Mode, NoParameters, Parameters, PlanAnswer, PolicyName, PolicySet,
    PolicySource, Reads, Request, ResultShape, VerdictAnswer,
};
pub use statement::{Access, Action, Opaque, RelationUse, Statement};
pub use verdict::{Approval, Decision, Denial, Terms, Verdict};
