//! The end-to-end harness: a real PostgreSQL with the made-up shop, the real `portcullis`
//! program before it, real components inside that, and clients of all kinds.
//!
//! Every scenario takes an address, so that it runs against PostgreSQL directly and through
//! the proxy, and both answers can be compared.

#[path = "../../../host/src/demo/postgres.rs"]
pub mod postgres;
pub mod waiting;
pub mod artefacts;
pub mod process;
pub mod certificates;
pub mod client_certificates;
pub mod http;
pub mod browser;
pub mod provider;
pub mod terminal;
pub mod cluster;
pub mod frames;
#[path = "../../../host/proxy/src/scripted/conversation.rs"]
pub mod conversation;
pub mod relay;
pub mod leaks;
pub mod ledger;
pub mod receiver;
pub mod portcullis;
pub mod setup;
pub mod operator;
pub mod driver;

pub use browser::{Browser, Page};
pub use client_certificates::{ClientCertificate, Holder};
pub use cluster::{Cluster, Database, cluster};
pub use frames::{Message, Session};
pub use ledger::Ledger;
pub use operator::Login;
pub use portcullis::{Portcullis, User};
pub use provider::{Account, Outage, Provider, Tokens, Wanted};
pub use relay::{Fault, Relay};
pub use setup::Setup;
pub use terminal::Terminal;
pub use waiting::wait_until;
