//! `portcullis.toml`: read once, into values that cannot be wrong.
//!
//! [`Config::load`] reports everything that is wrong at once, each with its place in the file
//! and, for a word that is not known, the nearest one that is. What it returns needs no
//! further checking: addresses are addresses, verifiers verifiers, secrets are in memory.

mod problem;
mod table;
mod secret;
mod values;
mod upstream;
mod listen;
mod database;
mod issuer;
mod user;
mod login;
mod admin;
mod sections;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use admin::{AdminConfig, ApprovalsConfig, WebhookConfig, WebhookFormat};
pub use database::{Audit, DatabaseConfig, RoleMapping, TellSubject};
pub use issuer::IssuerConfig;
pub use listen::{ClientAuthority, Listen};
pub use login::{BrowserLogin, Credentials, LoginMethod, LoginRule};
pub use problem::Report;
pub use secret::Secret;
pub use upstream::{Endpoint, SslMode, Upstream};
pub use user::UserConfig;
pub use values::{TlsFiles, is_loopback};

use table::Problems;

/// What the proxy is told. Paths are as written, taken from the file's directory.
#[derive(Debug)]
pub struct Config {
    /// Ledger, compiled code, cursors.
    pub state_dir: PathBuf,
    /// The policies.
    pub plugin_dir: PathBuf,
    /// Threads that serve sessions.
    pub workers: NonZeroUsize,
    /// At least one; names differ.
    pub listeners: Vec<Listen>,
    /// How clients prove who they are; none: with SCRAM.
    pub logins: Vec<LoginRule>,
    /// Names differ.
    pub issuers: Vec<IssuerConfig>,
    pub browser_login: BrowserLogin,
    pub credentials: Credentials,
    pub approvals: ApprovalsConfig,
    /// `None` for no admin API.
    pub admin: Option<AdminConfig>,
    pub limits: Limits,
    pub ledger: LedgerConfig,
    /// At least one; names differ.
    pub databases: Vec<DatabaseConfig>,
    /// Names differ; every database they name exists.
    pub users: Vec<UserConfig>,
    /// Secrets behind pseudonyms, by name.
    pub keys: Vec<(String, Secret)>,
    pub log: Log,
    /// What is unwise, though it works.
    pub warnings: Report,
}

/// Limits on what one client, or all of them, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections_max: usize,
    /// One message, from either side.
    pub frame_bytes_max: usize,
    /// One statement's text; never more than a message.
    pub statement_bytes_max: usize,
    /// Prepared statements and portals one session may hold.
    pub names_max: usize,
    /// Bytes of their texts and of the values bound to them.
    pub names_bytes_max: usize,
    /// From the first byte to the first statement.
    pub startup: Duration,
    /// How long a shutdown waits for transactions to end.
    pub drain: Duration,
}

/// How the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    pub segment_bytes_max: u64,
    /// What need not be on disk at once is there within this.
    pub sync_interval: Duration,
}

/// What the log says, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogLevel {
    /// The word the log's filter takes.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

impl Config {
    /// Reads and checks a configuration file and the secrets it names.
    pub fn load(path: &Path) -> Result<Config, Report> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let mut problems = Problems::default();
                problems.add(&(0..0), format!("the file cannot be read: {error}"));
                return Err(Report::refusal(path, "", problems.found));
            }
        };
        Config::resolve(path, &text, &|name| std::env::var(name).ok())
    }

    /// Checks the text of a configuration file at `path`. The environment is asked only for
    /// what `password_env` names.
    pub fn resolve(
        path: &Path,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Report> {
        sections::read(path, text, environment)
    }
}
