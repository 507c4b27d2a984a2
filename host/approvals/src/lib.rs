//! Approvals: what waits for people, who released it, and the leases that came of it.
//!
//! The rules (who may decide, how many, what a grant binds) are in `portcullis_policy`; here
//! is what carries them out: one thread that owns every case, keeps each step in a store and
//! in the ledger before it counts, and answers sessions and approvers without either of them
//! waiting for a disk on a worker's thread.

pub mod id;
pub mod link;
pub mod signature;
pub mod view;
pub mod keeping;
#[cfg(test)]
mod room;
mod places;
mod leases;
mod desk;
pub mod approvals;

pub use approvals::{Approvals, Ask, Waiting};
pub use desk::{DecideError, Decided, Limits};
pub use keeping::{Announcer, Kept, Recorder, Store};
pub use link::{LinkError, Links};
pub use places::AskError;
pub use view::{Facts, Said, View, Who};
