//! Lineage: for each output column of a statement, the base columns it is computed from.

use pg_query::NodeEnum;
use portcullis_policy::lineage::{ColumnRef, Outputs, WrittenColumn};

use crate::catalog::Scope;

/// What a statement reads and writes, column by column.
pub(crate) struct Traced {
    pub outputs: Outputs,
    pub written: Vec<WrittenColumn>,
    /// Every base column referenced anywhere, predicates included.
    pub columns: Vec<ColumnRef>,
}

/// Traces one statement, the node inside its `RawStmt`.
pub(crate) fn trace(_statement: &NodeEnum, _scope: &Scope<'_>) -> Traced {
    Traced { outputs: Outputs::Anything, written: Vec::new(), columns: Vec::new() }
}
