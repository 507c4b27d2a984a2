//! What the operator configures of the control surface.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use portcullis_proxy::settings::Directory;

use crate::role::Roles;

/// All that a reload may change but the address.
#[derive(Clone)]
pub struct AdminSettings {
    pub address: SocketAddr,
    /// Without it the address must be a loopback one.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What browsers call it, where that is not its address.
    pub public_url: Option<PublicUrl>,
    pub roles: Roles,
    /// Who is who, as the proxy knows them.
    pub directory: Directory,
    /// Whose tokens are taken, by name; tried in this order.
    pub token_issuers: Vec<String>,
    /// Where browsers are sent to log in.
    pub browser_issuer: Option<String>,
    pub credential_lifetime_max: Duration,
    pub limits: AdminLimits,
}

/// What one caller, and all together, may take.
#[derive(Clone, Copy, Debug)]
pub struct AdminLimits {
    pub connections_max: usize,
    /// A TLS handshake and the head of each request must be here within this; it is also
    /// how long a connection may idle.
    pub head: Duration,
    /// From the head of a request to the head of its answer.
    pub request: Duration,
    /// After this a connection is closed, whatever it does.
    pub connection: Duration,
    pub head_bytes_max: usize,
    pub headers_max: usize,
    pub body_bytes_max: usize,
    /// Passwords being checked at once: each costs milliseconds of computing.
    pub password_checks_max: usize,
    /// Browsers that are logged in.
    pub browsers_max: usize,
    /// How long one stays so.
    pub browser_login: Duration,
}

impl Default for AdminLimits {
    fn default() -> AdminLimits {
        AdminLimits {
            connections_max: 256,
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            connection: Duration::from_secs(300),
            head_bytes_max: 32 * 1024,
            headers_max: 64,
            body_bytes_max: 16 * 1024,
            password_checks_max: 2,
            browsers_max: 1_000,
            browser_login: Duration::from_secs(30 * 60),
        }
    }
}

impl AdminSettings {
    /// Loopback only, for nobody in particular: the roles are to be filled in.
    pub fn new(address: SocketAddr, directory: Directory) -> AdminSettings {
        AdminSettings {
            address,
            tls: None,
            public_url: None,
            roles: Roles::default(),
            directory,
            token_issuers: Vec::new(),
            browser_issuer: None,
            credential_lifetime_max: Duration::from_secs(12 * 60 * 60),
            limits: AdminLimits::default(),
        }
    }

    /// Refuses what would send passwords in clear text over a network.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |message: &str| {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message.to_owned()))
        };
        if self.tls.is_none() && !self.address.ip().is_loopback() {
            return refuse("without TLS the address of the admin API must be a loopback one");
        }
        let plain = self.public_url.as_ref().is_some_and(|url| !url.secure);
        if plain && self.tls.is_some() {
            return refuse("the admin API speaks TLS, so its public URL begins with https://");
        }
        for issuer in self.token_issuers.iter().chain(&self.browser_issuer) {
            if self.directory.issuers.config(issuer).is_none() {
                return refuse(&format!("the admin API names an issuer that is not: {issuer}"));
            }
        }
        Ok(())
    }

    /// The URL that links begin with; `address` is the one that was bound.
    pub(crate) fn url(&self, address: SocketAddr) -> PublicUrl {
        let secure = self.tls.is_some();
        let own = PublicUrl { secure, authority: address.to_string() };
        self.public_url.clone().unwrap_or(own)
    }
}

/// `https://name[:port]`, or `http://` for a loopback name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    secure: bool,
    authority: String,
}

impl PublicUrl {
    /// # Errors
    /// With a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<PublicUrl, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("the URL must begin with https://".to_owned()),
        };
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL must not name a user".to_owned());
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("the URL must end with its host and port: there is no path".to_owned());
        }
        if !secure && !is_loopback(authority.host()) {
            return Err("only a loopback host may be asked without TLS: use https://".to_owned());
        }
        Ok(PublicUrl { secure, authority: authority.as_str().to_owned() })
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(crate) fn host(&self) -> &str {
        host(&self.authority)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

/// The host of `host[:port]`, with the brackets of an IPv6 address.
pub(crate) fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_name_a_host_and_nothing_else() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let read = PublicUrl::parse(text).map(|url| url.to_string());
            match expected {
                Ok(url) => assert_eq!(read.as_deref(), Ok(url)),
                Err(part) => assert!(read.as_ref().is_err_and(|e| e.contains(part)), "{read:?}"),
            }
        };
        check("https://gate.example.com", Ok("https://gate.example.com"));
        check("https://gate.example.com:6480/", Ok("https://gate.example.com:6480"));
        check("http://127.0.0.1:6480", Ok("http://127.0.0.1:6480"));
        check("http://[::1]:6480", Ok("http://[::1]:6480"));
        check("http://localhost", Ok("http://localhost"));
        check("http://gate.example.com", Err("use https://"));
        check("http://localhost.example.com", Err("use https://"));
        check("https://gate.example.com/admin", Err("no path"));
        check("https://gate.example.com/?x=1", Err("no path"));
        check("https://eve@gate.example.com", Err("must not name a user"));
        check("gate.example.com", Err("must begin with https://"));
        check("javascript:alert(1)", Err("must begin with https://"));
        check("", Err("is no URL"));
    }

    #[test]
    fn hosts_are_read_without_their_ports() {
        let check = |authority: &str, expected: &str| assert_eq!(host(authority), expected);
        check("gate.example.com:6480", "gate.example.com");
        check("gate.example.com", "gate.example.com");
        check("[::1]:6480", "[::1]");
        check("[::1]", "[::1]");
    }
}
