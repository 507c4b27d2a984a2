//! What approvals need of the world: a store, the ledger, and somebody to tell.

use std::io;

use portcullis_policy::approval::Lease;
use portcullis_policy::event::ApprovalStep;

use crate::view::View;

/// What a store held when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Cases that no end was kept of.
    pub pending: Vec<View>,
    pub leases: Vec<Lease>,
}

/// Where cases and leases outlive a restart. Whatever returned is on disk.
pub trait Store: Send {
    /// # Errors
    /// When it cannot be read.
    fn load(&mut self) -> io::Result<Kept>;

    /// Keeps a case as it stands now, in place of how it stood; and with it, at once or not
    /// at all, the lease that came of it.
    ///
    /// # Errors
    /// When it cannot be written; then nothing was.
    fn keep(&mut self, view: &View, lease: Option<&Lease>) -> io::Result<()>;

    /// # Errors
    /// When it cannot be written.
    fn remove_lease(&mut self, id: &str) -> io::Result<()>;

    /// # Errors
    /// When it cannot be read.
    fn case(&mut self, id: &str) -> io::Result<Option<View>>;

    /// Cases that ended, the latest first.
    ///
    /// # Errors
    /// When it cannot be read.
    fn ended(&mut self, count_max: usize) -> io::Result<Vec<View>>;

    /// Forgets ended cases but the latest `count_max`, and all that ended earlier than
    /// `ended_before`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn forget(&mut self, count_max: usize, ended_before: u64) -> io::Result<()>;
}

/// Where steps become records.
pub trait Recorder: Send {
    /// # Errors
    /// When the record is not in the ledger.
    fn record(&mut self, step: ApprovalStep) -> io::Result<()>;
}

/// Who is told that something waits, or does not any more.
pub trait Announcer: Send {
    /// Never blocks: what cannot be told now is told later or not at all.
    fn announce(&self, view: &View);
}
