//! What a client knows of its own statements.

use std::fmt;

use serde::Deserialize;

use crate::accounts::Account;

/// What became of statements, as their client saw it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Counted {
    pub(super) completed: u64,
    /// The database refused, or a fault ended them.
    pub(super) failed: u64,
    pub(super) denied: u64,
}

impl Counted {
    pub(super) fn ended(&self) -> u64 {
        self.completed + self.failed + self.denied
    }

    /// Whether the ledger says the same.
    pub(super) fn is(&self, account: &Account) -> bool {
        account.permitted == self.completed + self.failed
            && account.completed == self.completed
            && account.otherwise == self.failed
            && account.denied == self.denied
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted { completed, failed, denied } = self;
        write!(f, "{completed} completed, {failed} failed, {denied} denied")
    }
}
