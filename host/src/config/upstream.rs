//! The address of a database: a URL as libpq takes it.

use std::path::{Path, PathBuf};

use super::table::nearest;

/// Where a database is, and as whom the proxy logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub endpoint: Endpoint,
    pub user: String,
    /// The database's name on its server.
    pub database: String,
    pub ssl: SslMode,
    /// Certificates to trust in place of the system's.
    pub root_certificates: Option<PathBuf>,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp {
        host: String,
        port: u16,
    },
    /// The socket itself: `<directory>/.s.PGSQL.<port>`.
    Unix(PathBuf),
}

/// `sslmode`, as libpq defines it; but for `allow`, which prefers plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    pub const ALL: [(&'static str, SslMode); 5] = [
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
}

const PORT_DEFAULT: u16 = 5432;
const PARAMETERS: [&str; 3] = ["host", "sslmode", "sslrootcert"];

impl Upstream {
    /// Reads `postgresql://user@host:port/database?sslmode=…`. Files are relative to `base`;
    /// a URL without database means the one called `database`.
    pub(super) fn parse(url: &str, database: &str, base: &Path) -> Result<Upstream, String> {
        let rest = url
            .strip_prefix("postgresql://")
            .or_else(|| url.strip_prefix("postgres://"))
            .ok_or("an upstream is written postgresql://user@host:port/database")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err("a password does not belong into the URL: \
                        use `password_file` or `password_env`"
                .to_owned());
        }
        let user = decode(user)?;
        if user.is_empty() {
            return Err("the URL names no user: postgresql://user@host/database".to_owned());
        }
        let (host, port) = host_and_port(host)?;
        let named = decode(path)?;
        let parameters = Parameters::parse(query)?;
        let (ssl, root_certificates) = parameters.trust(base)?;
        Ok(Upstream {
            endpoint: endpoint(parameters.host.unwrap_or(host), port)?,
            user,
            database: if named.is_empty() { database.to_owned() } else { named },
            ssl,
            root_certificates,
        })
    }

    /// True when the way there leaves this machine and nothing proves that it ends at the
    /// right server.
    pub(super) fn is_exposed(&self) -> bool {
        let far = match &self.endpoint {
            Endpoint::Unix(_) => false,
            Endpoint::Tcp { host, .. } => {
                let loopback =
                    host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
                host != "localhost" && !loopback
            }
        };
        match self.ssl {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => far,
            SslMode::VerifyCa | SslMode::VerifyFull => false,
        }
    }
}

#[derive(Default)]
struct Parameters {
    host: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Parameters, String> {
        let mut parameters = Parameters::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            let place = match name {
                "host" => &mut parameters.host,
                "sslmode" => &mut parameters.sslmode,
                "sslrootcert" => &mut parameters.sslrootcert,
                _ => {
                    let near = nearest(name, PARAMETERS.into_iter());
                    return Err(format!("unknown parameter `{name}` in the URL{near}"));
                }
            };
            if place.replace(value).is_some() {
                return Err(format!("`{name}` is given twice in the URL"));
            }
        }
        Ok(parameters)
    }

    fn trust(&self, base: &Path) -> Result<(SslMode, Option<PathBuf>), String> {
        let mode = match &self.sslmode {
            Some(word) => ssl_mode(word)?,
            None => SslMode::Prefer,
        };
        match self.sslrootcert.as_deref() {
            None | Some("") => Ok((mode, None)),
            // As in libpq: with certificates that anybody can buy, only the name says enough.
            Some("system") if mode == SslMode::VerifyFull => Ok((mode, None)),
            Some("system") => Err("sslrootcert=system needs sslmode=verify-full".to_owned()),
            Some(file) => {
                let file = base.join(file);
                if !file.is_file() {
                    return Err(format!("sslrootcert: there is no file {}", file.display()));
                }
                match mode {
                    SslMode::Disable | SslMode::Prefer => {
                        Err("sslrootcert needs sslmode=verify-ca or verify-full".to_owned())
                    }
                    // As in libpq, which checks the certificate once it knows what against.
                    SslMode::Require => Ok((SslMode::VerifyCa, Some(file))),
                    SslMode::VerifyCa | SslMode::VerifyFull => Ok((mode, Some(file))),
                }
            }
        }
    }
}

fn ssl_mode(word: &str) -> Result<SslMode, String> {
    if word == "allow" {
        return Err("sslmode=allow prefers plaintext and is not offered: use prefer".to_owned());
    }
    let found = SslMode::ALL.into_iter().find(|(name, _)| *name == word);
    found.map(|(_, mode)| mode).ok_or_else(|| {
        let near = nearest(word, SslMode::ALL.into_iter().map(|(name, _)| name));
        format!("`{word}` is not an sslmode{near}")
    })
}

/// Takes apart `host`, `host:port`, `[::1]` and `[::1]:port`.
fn host_and_port(text: &str) -> Result<(String, u16), String> {
    if text.contains(',') {
        return Err("an upstream is one server: the URL names several hosts".to_owned());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the URL lacks a `]`")?;
            (host, rest.strip_prefix(':').unwrap_or(rest))
        }
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => PORT_DEFAULT,
        _ => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("`{port}` is not a port"))?,
    };
    Ok((decode(host)?, port))
}

fn endpoint(host: String, port: u16) -> Result<Endpoint, String> {
    if host.is_empty() {
        return Err("the URL names no host".to_owned());
    }
    if host.starts_with('/') {
        return Ok(Endpoint::Unix(Path::new(&host).join(format!(".s.PGSQL.{port}"))));
    }
    Ok(Endpoint::Tcp { host, port })
}

/// Percent-decoding.
fn decode(text: &str) -> Result<String, String> {
    let broken = || format!("`{text}` is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(broken)?;
        let digits = std::str::from_utf8(digits).map_err(|_| broken())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(broken());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| broken())?;
    if text.contains('\0') { Err(broken()) } else { Ok(text) }
}
