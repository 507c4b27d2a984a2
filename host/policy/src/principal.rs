//! Who asks, and of which database.

use std::sync::Arc;

/// What sort of caller a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    Human,
    Service,
    Agent,
}

impl PrincipalKind {
    /// The word used in configuration, ledger and console.
    pub fn as_str(self) -> &'static str {
        match self {
            PrincipalKind::Human => "human",
            PrincipalKind::Service => "service",
            PrincipalKind::Agent => "agent",
        }
    }
}

/// Who asks, as authentication proved it.
///
/// Only `application` and `role` are the client's own word, and no decision of the host
/// rests on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Stable identifier: the name of a configured user, or what an issuer calls somebody.
    pub subject: String,
    pub kind: PrincipalKind,
    pub groups: Vec<String>,
    /// How identity was proved: "scram", "credential", "certificate", "oidc", "device".
    pub proof: String,
    /// For an agent: the human on whose behalf it acts, if its proof says so.
    pub on_behalf_of: Option<String>,
    pub claims: Vec<(String, String)>,
    /// The peer's address as `ip:port`.
    pub client_address: String,
    pub application: String,
    /// The database role asked for in the startup packet.
    pub role: String,
}

impl Principal {
    /// The client's address without its port, which is of one connection and says nothing of who
    /// asks.
    pub fn client_host(&self) -> &str {
        let address = self.client_address.as_str();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// A database that clients may name, with the labels its operator gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub labels: Vec<(String, String)>,
}

/// A principal in one session with one database: made once at login, shared by everything
/// that is asked afterwards.
#[derive(Clone, Debug)]
pub struct Asker {
    pub principal: Arc<Principal>,
    pub database: Arc<Database>,
}
