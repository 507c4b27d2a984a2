//! What outlives a restart, in one SQLite file: approvals and leases, short-lived passwords,
//! and who is shut out.
//!
//! The file is private to the proxy's user, held by one process at a time, and every change
//! is on disk when the call that makes it returns. What cannot be read stops the start: a
//! list of who is shut out that lacks one is worse than none.

mod record;
mod state;
mod approvals;
mod principals;

pub use state::State;
