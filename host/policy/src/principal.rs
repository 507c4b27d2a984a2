//! Who asks, and of which database.

use std::net::SocketAddr;
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
    /// The client's address as `ip:port`; plugins are told its [`client_host`](Self::client_host).
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
        // One of IPv6 without a port has colons too.
        let has_port = address.parse::<SocketAddr>().is_ok();
        let host = address.rsplit_once(':').filter(|_| has_port).map_or(address, |(host, _)| host);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_without_its_port() {
        for (address, host) in [
            ("192.0.2.1:5000", "192.0.2.1"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("", ""),
        ] {
            let principal = Principal {
                subject: "ana".to_owned(),
                kind: PrincipalKind::Human,
                groups: Vec::new(),
                proof: "scram".to_owned(),
                on_behalf_of: None,
                claims: Vec::new(),
                client_address: address.to_owned(),
                application: String::new(),
                role: "ana".to_owned(),
            };
            assert_eq!(principal.client_host(), host);
        }
    }
}
