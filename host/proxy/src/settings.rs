//! What the proxy is told: already checked, so that nothing below asks again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use portcullis_identity::{
    Basis, Disabled, Issuers, Lapsed, Methods, Proven, Revocations, Standing, Throttle,
    UpstreamKeys, Users,
};
use portcullis_masking::Keys;
use portcullis_policy::{Database, Principal, Unmatched};

/// Everything a proxy is told. A reload gives it anew but for addresses, keys and limits,
/// which are taken at the start.
pub struct Settings {
    /// At least one.
    pub listeners: Vec<ListenSettings>,
    pub databases: Vec<DatabaseSettings>,
    pub directory: Directory,
    /// Where people confirm that they are who logs in; without it nobody can that way.
    pub browser: Option<BrowserSettings>,
    pub keys: Arc<Keys>,
    pub limits: Limits,
}

/// Who is who, and how they prove it. Users, methods and revocations are made anew at each
/// reload, and so are issuers; the rest lives as long as the process.
#[derive(Clone)]
pub struct Directory {
    pub users: Arc<Users>,
    pub methods: Arc<Methods>,
    pub issuers: Issuers,
    pub revocations: Arc<Revocations>,
    pub disabled: Disabled,
    pub throttle: Throttle,
}

impl Directory {
    /// Does what a login rests on still hold? If not, the reason is for the client.
    pub fn upholds(&self, proven: &Proven, now: SystemTime) -> Result<(), String> {
        let (users, disabled, revocations) = (&self.users, &self.disabled, &self.revocations);
        let standing = Standing { users, disabled, revocations };
        standing.holds(proven, now).map_err(|lapsed| lapsed.to_string())?;
        let Basis::Token(token) = &proven.basis else { return Ok(()) };
        match self.issuers.config(&token.issuer) {
            Some(issuer) if issuer.databases == proven.databases => Ok(()),
            Some(_) => Err(Lapsed::UserChanged.to_string()),
            None => Err("your identity provider is not trusted here any more".to_owned()),
        }
    }
}

/// Logins that a person confirms in a browser.
#[derive(Clone, Debug)]
pub struct BrowserSettings {
    /// The page's address up to its id, as clients reach it.
    pub page: String,
    pub wait: Duration,
    /// How many may wait at once.
    pub waiting_max: usize,
}

/// Where clients connect.
pub struct ListenSettings {
    /// What rules about logins call it.
    pub name: String,
    pub address: SocketAddr,
    /// None: plaintext only.
    pub tls: Option<ServerTls>,
    /// Refuse clients that do not use TLS.
    pub tls_required: bool,
    /// Balancers, which must say by the PROXY protocol whom they speak for; nobody else may.
    pub balancers: Vec<IpNet>,
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
    /// Bytes of their texts and of the values bound.
    pub names_bytes_max: usize,
    /// How long a statement may wait for people, whatever its policy says.
    pub approval_wait: Duration,
    /// The same inside a transaction, whose locks wait too.
    pub approval_wait_in_transaction: Duration,
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
            names_bytes_max: 64 << 20,
            approval_wait: Duration::from_secs(3_600),
            approval_wait_in_transaction: Duration::from_secs(300),
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
    /// The database role that sessions run under.
    pub role: RoleMapping,
    /// The parameter in which the server is told the principal's subject, for its own log
    /// and its row security.
    pub tell_subject: Option<String>,
}

/// Which database role a principal's sessions run under. The proxy logs in with its own
/// credential and takes the role in the startup packet; what would change it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleMapping {
    /// The one the proxy logs in as.
    Login,
    Static(String),
    /// The role of the first group, in this order, that the principal is in.
    Groups {
        roles: Vec<(String, String)>,
        default: Option<String>,
    },
    /// The principal's own name.
    Subject,
}

/// `NAMEDATALEN` less its terminating zero.
const ROLE_BYTES_MAX: usize = 63;

/// No role is for this principal, so the database is not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRole;

impl RoleMapping {
    /// The role to take after login; `None` for that of the login itself.
    pub fn role_of(&self, principal: &Principal) -> Result<Option<String>, NoRole> {
        match self {
            RoleMapping::Login => Ok(None),
            RoleMapping::Static(role) => Ok(Some(role.clone())),
            // PostgreSQL takes "none" for the login's own role, and cuts long names.
            RoleMapping::Subject => match principal.subject.as_str() {
                "" | "none" => Err(NoRole),
                subject if subject.len() > ROLE_BYTES_MAX => Err(NoRole),
                subject => Ok(Some(subject.to_owned())),
            },
            RoleMapping::Groups { roles, default } => {
                let found = roles.iter().find(|(group, _)| principal.groups.contains(group));
                found.map(|(_, role)| role).or(default.as_ref()).cloned().map(Some).ok_or(NoRole)
            }
        }
    }
}

impl DatabaseSettings {
    /// Parameters that are the proxy's to set; a client that does is refused.
    pub fn reserved(&self) -> Vec<String> {
        let mut reserved = Vec::new();
        if self.role != RoleMapping::Login {
            reserved.extend(["role".to_owned(), "session_authorization".to_owned()]);
        }
        reserved.extend(self.tell_subject.as_ref().map(|name| name.to_ascii_lowercase()));
        reserved
    }
}

impl DatabaseSettings {
    /// True when what is known of the one database holds for the other.
    pub(crate) fn is_same(&self, other: &DatabaseSettings) -> bool {
        let password = |settings: &DatabaseSettings| {
            settings.upstream.password.as_ref().map(|keys| keys.password().to_owned())
        };
        let roots = |settings: &DatabaseSettings| {
            settings.upstream.roots.as_ref().map(|store| store.roots.clone())
        };
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
            && self.role == other.role
            && self.tell_subject == other.tell_subject
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
