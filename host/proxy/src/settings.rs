//! What the proxy is told: already checked, so that nothing below asks again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_identity::{UpstreamKeys, Users};
use portcullis_masking::Keys;
use portcullis_policy::{Database, Unmatched};

/// Everything a running proxy can be given anew by a reload.
pub struct Settings {
    pub listen: ListenSettings,
    pub databases: Vec<DatabaseSettings>,
    pub users: Arc<Users>,
    pub keys: Arc<Keys>,
    pub limits: Limits,
}

/// Where clients connect.
pub struct ListenSettings {
    pub address: SocketAddr,
    /// None: plaintext only.
    pub tls: Option<ServerTls>,
    /// Refuse clients that do not use TLS.
    pub tls_required: bool,
}

/// A certificate ready for use.
#[derive(Clone)]
pub struct ServerTls {
    pub config: Arc<rustls::ServerConfig>,
    /// The leaf certificate, DER: what channel binding binds to.
    pub certificate: Vec<u8>,
}

/// Limits on what one client, or all of them, may take.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// One message, from either side.
    pub frame_bytes_max: usize,
    /// One statement's text.
    pub statement_bytes_max: usize,
    /// From the first byte to the first statement.
    pub startup: Duration,
    /// How long a shutdown waits for transactions to end.
    pub drain: Duration,
    /// Prepared statements and portals one session may hold.
    pub names_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 10_000,
            frame_bytes_max: 64 << 20,
            statement_bytes_max: 1 << 20,
            startup: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            names_max: 10_000,
        }
    }
}

/// How strictly the ledger is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// On disk before the statement leaves.
    Strict,
    /// Handed to the operating system before the statement leaves.
    Relaxed,
    /// Strict for everything but reads.
    StrictWrites,
}

/// A database that clients may name.
pub struct DatabaseSettings {
    pub database: Arc<Database>,
    pub upstream: UpstreamSettings,
    pub audit: Audit,
    pub unmatched: Unmatched,
    /// User functions, `schema.name` or `name`, that hide nothing.
    pub trusted_functions: Vec<String>,
    /// `schema.table.column` and its label.
    pub column_labels: Vec<(String, String)>,
}

impl DatabaseSettings {
    /// True when what is known of the one database holds for the other.
    pub(crate) fn is_same(&self, other: &DatabaseSettings) -> bool {
        let password = |settings: &DatabaseSettings| {
            settings.upstream.password.as_ref().map(|keys| keys.password().to_owned())
        };
        let roots = |settings: &DatabaseSettings| settings.upstream.roots.as_ref().map(Arc::as_ptr);
        self.database == other.database
            && self.upstream.endpoint == other.upstream.endpoint
            && self.upstream.user == other.upstream.user
            && self.upstream.database == other.upstream.database
            && self.upstream.ssl == other.upstream.ssl
            && roots(self) == roots(other)
            && password(self) == password(other)
            && self.audit == other.audit
            && self.unmatched == other.unmatched
            && self.trusted_functions == other.trusted_functions
            && self.column_labels == other.column_labels
    }
}

/// Where a database is, and how the proxy logs in.
#[derive(Clone)]
pub struct UpstreamSettings {
    pub endpoint: Endpoint,
    pub user: String,
    pub database: String,
    /// The password, and the keys derived from it; None where the server trusts us.
    pub password: Option<Arc<UpstreamKeys>>,
    pub ssl: SslMode,
    /// Roots the server's certificate must descend from, for the verifying modes.
    pub roots: Option<Arc<rustls::RootCertStore>>,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// `sslmode` as libpq defines it; "allow" is not offered, since it prefers plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}
