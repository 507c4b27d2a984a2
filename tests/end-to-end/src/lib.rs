//! The end-to-end harness: a real PostgreSQL with the made-up shop, the real `portcullis`
//! program before it, real components inside that, and clients of all kinds.
//!
//! Every scenario takes an address, so that it runs against PostgreSQL directly and through
//! the proxy, and both answers can be compared.

#[path = "../../../host/src/demo/postgres.rs"]
pub mod postgres;
pub mod waiting;
pub mod artefacts;
pub mod certificates;
pub mod cluster;
pub mod frames;
pub mod leaks;
pub mod ledger;
pub mod receiver;
pub mod portcullis;
pub mod driver;

pub use cluster::{Cluster, Database, cluster};
pub use frames::{Message, Session};
pub use ledger::Ledger;
pub use portcullis::{Portcullis, Setup, User};
pub use waiting::wait_until;
