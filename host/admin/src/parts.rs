//! The running proxy, as the control surface is handed it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use portcullis_approvals::{Approvals, Links};
use portcullis_engine::{Population, SetSummary};
use portcullis_identity::Credentials;
use portcullis_policy::event::Notable;
use portcullis_proxy::Control;
use tokio::sync::watch;

/// What lives as long as the process does.
#[derive(Clone)]
pub struct Parts {
    pub control: Control,
    pub sets: watch::Receiver<Arc<SetSummary>>,
    pub approvals: Approvals,
    /// Shared with whoever announces what waits.
    pub links: Links,
    /// The ones that the directory's users have, too.
    pub credentials: Credentials,
    pub reload: Reload,
    pub record: Record,
    pub lags: Arc<dyn Fn() -> Lags + Send + Sync>,
    /// Instances of plugins.
    pub population: Population,
}

/// Reads the configuration again; may block. The error is a sentence.
pub type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Puts a record into the ledger; may block.
pub type Record = Arc<dyn Fn(Notable) -> io::Result<()> + Send + Sync>;

/// How far behind the ledger and its readers are.
#[derive(Clone, Debug, Default)]
pub struct Lags {
    /// Age of the oldest record that is not on disk yet.
    pub ledger: Duration,
    pub sinks: Vec<SinkLag>,
}

/// How far one sink is behind.
#[derive(Clone, Debug)]
pub struct SinkLag {
    /// The policy that is the sink.
    pub policy: String,
    /// Since when records wait for it; none do where it is zero.
    pub behind: Duration,
}
