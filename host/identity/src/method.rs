//! How a client is asked to prove who it is.
//!
//! The protocol allows one exchange, so the method is chosen by what a client sends before
//! it proves anything, as in PostgreSQL's own `pg_hba.conf`: the first rule that matches
//! counts.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// How a client is asked to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// A password, by SCRAM-SHA-256.
    Scram,
    /// A token of this issuer as the password.
    Token { issuer: String },
    /// A token of this issuer, by SASL OAUTHBEARER.
    OauthBearer { issuer: String },
    /// A login at this issuer, in a browser.
    Browser { issuer: String },
    /// The certificate that the client has shown in the TLS handshake.
    Certificate,
    /// Nothing it could prove would do.
    Refuse,
}

/// When a method is asked for. What is empty or `None` is the same for everybody.
#[derive(Clone, Debug)]
pub struct LoginRule {
    pub method: Method,
    pub listeners: Vec<String>,
    pub databases: Vec<Pattern>,
    pub users: Vec<Pattern>,
    pub addresses: Vec<IpNet>,
    pub tls: Option<bool>,
}

/// A name, in which each `*` stands for any characters or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern { text: text.into() }
    }

    pub fn matches(&self, name: &str) -> bool {
        let Some((start, rest)) = self.text.split_once('*') else { return self.text == name };
        let Some(name) = name.strip_prefix(start) else { return false };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut name) = name.strip_suffix(end) else { return false };
        // What stands between two stars is best taken where it first comes: the more is left
        // for those behind it.
        for part in middle.split('*') {
            let Some((_, behind)) = name.split_once(part) else { return false };
            name = behind;
        }
        true
    }
}

/// Reads `10.0.0.0/8`, or one address.
pub fn network(text: &str) -> Option<IpNet> {
    match text.parse() {
        Ok(network) => Some(plain(network)),
        Err(_) => Some(plain(IpNet::from(text.parse::<IpAddr>().ok()?))),
    }
}

/// Is the address in one of the networks? What is IPv4 in IPv6's clothes is IPv4.
pub fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| plain(*network).contains(&address))
}

fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let four = six.addr().to_ipv4_mapped();
    let length = six.prefix_len().checked_sub(96);
    let four = four.zip(length).and_then(|(four, length)| Ipv4Net::new(four, length).ok());
    four.map_or(network, IpNet::V4)
}

/// The rules, in their order.
#[derive(Clone, Debug, Default)]
pub struct Methods {
    rules: Vec<LoginRule>,
}

impl Methods {
    pub fn new(rules: Vec<LoginRule>) -> Methods {
        Methods { rules }
    }

    /// The method of the first rule that matches; without any rule it is SCRAM for
    /// everybody, and with rules of which none matches the client is refused.
    ///
    /// A rule for tokens or certificates that matches a connection without TLS refuses it: a
    /// token would be for everybody on the way to read.
    pub fn choose(
        &self,
        listener: &str,
        database: &str,
        user: &str,
        address: IpAddr,
        tls: bool,
    ) -> Method {
        if self.rules.is_empty() {
            return Method::Scram;
        }
        let one_of = |patterns: &[Pattern], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
        };
        let rule = self.rules.iter().find(|rule| {
            (rule.listeners.is_empty() || rule.listeners.iter().any(|name| name == listener))
                && one_of(&rule.databases, database)
                && one_of(&rule.users, user)
                && (rule.addresses.is_empty() || is_in(&rule.addresses, address))
                && rule.tls.is_none_or(|wanted| wanted == tls)
        });
        match rule.map(|rule| &rule.method) {
            Some(Method::Token { .. } | Method::OauthBearer { .. } | Method::Certificate)
                if !tls =>
            {
                Method::Refuse
            }
            Some(method) => method.clone(),
            None => Method::Refuse,
        }
    }
}
