//! Statements: what each gives back.

use pg_query::NodeEnum;

use super::space::Env;
use super::{Result, Tracer};

impl Tracer<'_> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "a node not named here is not explained")]
    pub(super) fn statement(&mut self, statement: &NodeEnum, env: &Env<'_>) -> Result {
        match statement {
            NodeEnum::SelectStmt(select) => Result::Rows(self.query(select, env)),
            _ => Result::Anything,
        }
    }
}
