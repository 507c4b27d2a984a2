//! From a raw socket to a principal: TLS, startup packet, proof of identity.

use std::io;
use std::net::SocketAddr;

use portcullis_identity::{AuthError, ChannelBinding, ScramServer, UserMatched};
use portcullis_policy::Principal;
use portcullis_wire::startup::{self, HEAD_BYTES, StartupPacket};
use portcullis_wire::{encode, frontend};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::refusal::Refusal;
use crate::settings::{ServerTls, Settings};
use crate::transport::{Transport, invalid};

/// A password message; SCRAM's are far smaller.
const PASSWORD_BYTES_MAX: usize = 64 * 1024;
/// The newest minor version of protocol 3 that is spoken.
const MINOR_MAX: u16 = 2;
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Settings a client may choose at startup: they change how it is answered, not what it may.
const STARTUP_SETTINGS: [&str; 22] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "fallback_application_name",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "work_mem",
];

/// A client that has proved who it is.
pub struct Client {
    pub transport: Transport,
    pub principal: Principal,
    /// The database asked for.
    pub database: String,
    /// For the upstream's startup packet.
    pub parameters: Vec<(String, String)>,
    /// Minor protocol version in use.
    pub minor: u16,
}

/// What came of a connection.
pub enum Arrival {
    Client(Box<Client>),
    /// A cancel request, which gets no answer.
    Cancel {
        process_id: u32,
        secret_key: Vec<u8>,
    },
}

/// Why a connection ends before it begins.
pub enum StartupError {
    /// The peer went away or the socket failed; nobody is left to tell.
    Io(io::Error),
    /// The client is told, and the ledger: as which role it came.
    Refused { transport: Box<Transport>, refusal: Refusal, role: String },
}

impl From<io::Error> for StartupError {
    fn from(error: io::Error) -> StartupError {
        StartupError::Io(error)
    }
}

/// Receives one connection up to the proof of identity. The caller sets the deadline.
pub async fn receive(
    stream: TcpStream,
    address: SocketAddr,
    settings: &Settings,
) -> Result<Arrival, StartupError> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.peek(&mut first).await?;
    let tls = settings.listen.tls.as_ref();
    let mut transport = match (first, tls) {
        ([TLS_HANDSHAKE], Some(tls)) => direct_tls(stream, tls).await?,
        _ => Transport::Tcp(stream),
    };
    let mut asked_gss = false;
    loop {
        let packet = match read_packet(&mut transport).await {
            Ok(packet) => packet,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let refusal = Refusal::Malformed(portcullis_wire::Malformed::Form(
                    "no PostgreSQL startup packet",
                ));
                return Err(refused(transport, refusal, ""));
            }
            Err(error) => return Err(error.into()),
        };
        match packet {
            StartupPacket::SslRequest => transport = negotiate_tls(transport, tls).await?,
            StartupPacket::GssEncRequest if !asked_gss => {
                asked_gss = true;
                transport.write_all(b"N").await?;
            }
            StartupPacket::GssEncRequest => {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            StartupPacket::CancelRequest { process_id, secret_key } => {
                return Ok(Arrival::Cancel { process_id, secret_key });
            }
            StartupPacket::Startup(startup) => {
                let client = log_in(transport, startup, address, settings).await?;
                return Ok(Arrival::Client(Box::new(client)));
            }
        }
    }
}

fn refused(transport: Transport, refusal: Refusal, role: &str) -> StartupError {
    StartupError::Refused { transport: Box::new(transport), refusal, role: role.to_owned() }
}

async fn direct_tls(stream: TcpStream, tls: &ServerTls) -> io::Result<Transport> {
    let stream = TlsAcceptor::from(tls.config.clone()).accept(stream).await?;
    // Direct TLS demands ALPN, so that no other protocol's client can be led here.
    if stream.get_ref().1.alpn_protocol() != Some(b"postgresql") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Transport::ServerTls(Box::new(stream)))
}

/// Exactly the packet is read from the raw socket, so what a man in the middle puts behind
/// it reaches the TLS handshake as garbage, never the session.
async fn negotiate_tls(transport: Transport, tls: Option<&ServerTls>) -> io::Result<Transport> {
    match (transport, tls) {
        (Transport::Tcp(stream), Some(tls)) => {
            let mut transport = Transport::Tcp(stream);
            transport.write_all(b"S").await?;
            let Transport::Tcp(stream) = transport else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let stream = TlsAcceptor::from(tls.config.clone()).accept(stream).await?;
            Ok(Transport::ServerTls(Box::new(stream)))
        }
        (mut transport @ Transport::Tcp(_), None) => {
            transport.write_all(b"N").await?;
            Ok(transport)
        }
        // TLS inside TLS.
        (Transport::ServerTls(_) | Transport::ClientTls(_) | Transport::Unix(_), _) => {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

async fn read_packet(transport: &mut Transport) -> io::Result<StartupPacket> {
    let mut head = vec![0; HEAD_BYTES];
    transport.read_exact(&mut head).await?;
    let length = startup::packet_bytes(&head).map_err(invalid)?.unwrap_or(HEAD_BYTES);
    head.resize(length, 0);
    transport.read_exact(head.get_mut(HEAD_BYTES..).unwrap_or_default()).await?;
    startup::parse(&head).map_err(invalid)
}

async fn log_in(
    mut transport: Transport,
    startup: startup::Startup,
    address: SocketAddr,
    settings: &Settings,
) -> Result<Client, StartupError> {
    let role = startup.parameter("user").unwrap_or_default().to_owned();
    if let Some(refusal) = check(&startup, &transport, settings) {
        return Err(refused(transport, refusal, &role));
    }
    let parameters = match parameters(&startup) {
        Ok(parameters) => parameters,
        Err(refusal) => return Err(refused(transport, refusal, &role)),
    };
    let minor = negotiate_protocol(&mut transport, &startup).await?;
    let user = match scram(&mut transport, &role, settings).await? {
        Ok(user) => user,
        Err(_) => {
            return Err(refused(transport, Refusal::LoginFailed { user: role.clone() }, &role));
        }
    };
    let database =
        startup.parameter("database").filter(|name| !name.is_empty()).unwrap_or(&role).to_owned();
    if !user.may_use(&database) {
        let refusal = Refusal::NotPermitted(format!(
            "database \"{database}\" is not open to user \"{role}\""
        ));
        return Err(refused(transport, refusal, &role));
    }
    let application = startup.parameter("application_name").unwrap_or_default();
    let principal = user.principal(&address.to_string(), application, &role);
    Ok(Client { transport, principal, database, parameters, minor })
}

/// What can be refused before anybody proves anything.
fn check(
    startup: &startup::Startup,
    transport: &Transport,
    settings: &Settings,
) -> Option<Refusal> {
    if startup.major != 3 {
        return Some(Refusal::Unsupported(format!(
            "unsupported frontend protocol {}.{}: the proxy speaks 3.0 to 3.{MINOR_MAX}",
            startup.major, startup.minor
        )));
    }
    if startup.parameter("user").unwrap_or_default().is_empty() {
        return Some(Refusal::Malformed(portcullis_wire::Malformed::Form(
            "no user name in the startup packet",
        )));
    }
    let replication = startup.parameter("replication").unwrap_or("off").to_ascii_lowercase();
    if !matches!(replication.as_str(), "off" | "false" | "no" | "0" | "f" | "n") {
        return Some(Refusal::Unsupported(
            "replication connections do not pass the proxy: connect to the database itself".into(),
        ));
    }
    if settings.listen.tls_required && !transport.is_tls() {
        return Some(Refusal::NotPermitted(
            "this proxy accepts TLS connections only: use sslmode=require".into(),
        ));
    }
    let encoding = startup.parameter("client_encoding").unwrap_or("UTF8");
    (!is_readable_encoding(encoding)).then(|| unreadable_encoding(encoding))
}

/// The refusal of an encoding in which a byte below 128 can be part of a character: a lexer
/// that does not know it sees quotes and backslashes that are not there.
pub fn unreadable_encoding(encoding: &str) -> Refusal {
    Refusal::Unsupported(format!(
        "client_encoding {encoding} is not supported: use UTF8 or a single-byte encoding"
    ))
}

/// An encoding that is not readable, named anywhere in a text that sets one. A name that is
/// computed shows when the server reports it, and then the session ends.
pub fn unreadable_encoding_in(text: &str) -> Option<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    let begins = |word: &str| {
        let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_ascii_uppercase();
        UNREADABLE.iter().any(|name| plain.starts_with(name))
    };
    words.into_iter().find(|word| begins(word))
}

/// Beginnings of the names of PostgreSQL's other multi-byte encodings.
const UNREADABLE: [&str; 17] = [
    "SJIS",
    "SHIFTJIS",
    "MSKANJI",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "WIN932",
    "WIN936",
    "WIN949",
    "WIN950",
    "WINDOWS932",
    "WINDOWS936",
    "WINDOWS949",
    "WINDOWS950",
    "EUC",
];

/// True for UTF-8 and PostgreSQL's single-byte encodings.
pub fn is_readable_encoding(encoding: &str) -> bool {
    let plain: String = encoding
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_uppercase();
    let single_byte = ["LATIN", "WIN", "ISO8859", "KOI8", "WINDOWS", "ABC", "TCVN", "VSCII", "ALT"];
    matches!(plain.as_str(), "" | "UTF8" | "UNICODE" | "SQLASCII" | "AUTO")
        || (plain != "WIN932"
            && plain != "WIN936"
            && plain != "WIN949"
            && plain != "WIN950"
            && !matches!(plain.as_str(), "WINDOWS932" | "WINDOWS936" | "WINDOWS949" | "WINDOWS950")
            && single_byte.iter().any(|prefix| plain.starts_with(prefix)))
}

/// The settings to hand on, those inside `options` spelled out.
fn parameters(startup: &startup::Startup) -> Result<Vec<(String, String)>, Refusal> {
    let mut parameters = Vec::new();
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => parameters.extend(options(value)?),
            // Protocol options: refused by negotiation, not by an error.
            name if name.starts_with("_pq_.") => {}
            name => parameters.push((name.to_owned(), value.clone())),
        }
    }
    for (name, value) in &parameters {
        if name.eq_ignore_ascii_case("client_encoding") && !is_readable_encoding(value) {
            return Err(unreadable_encoding(value));
        }
        if !STARTUP_SETTINGS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Refusal::NotPermitted(format!(
                "parameter \"{name}\" may not be set at startup through the proxy"
            )));
        }
    }
    Ok(parameters)
}

/// Reads `-c name=value` and `--name=value`; a backslash keeps the next character, as in
/// PostgreSQL's `pg_split_opts`.
fn options(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let word = words.last_mut();
        match (character, word) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (space, _) if space.is_ascii_whitespace() => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => word.strip_prefix("--").map(str::to_owned),
        };
        let setting = setting.as_deref().and_then(|setting| setting.split_once('='));
        let Some((name, value)) = setting else {
            return Err(Refusal::NotPermitted(format!(
                "startup option \"{word}\" does not pass the proxy: use -c name=value"
            )));
        };
        settings.push((name.trim().replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// Source: PostgreSQL documentation, "Protocol Flow", "Start-up".
async fn negotiate_protocol(
    transport: &mut Transport,
    startup: &startup::Startup,
) -> io::Result<u16> {
    let unsupported: Vec<String> = startup
        .parameters
        .iter()
        .filter(|(name, _)| name.starts_with("_pq_."))
        .map(|(name, _)| name.clone())
        .collect();
    // 3.1 was never a version.
    let minor = if startup.minor >= MINOR_MAX { MINOR_MAX } else { 0 };
    if minor != startup.minor || !unsupported.is_empty() {
        let mut out = Vec::new();
        encode::negotiate_protocol_version(&mut out, i32::from(minor), unsupported);
        transport.write_all(&out).await?;
    }
    Ok(minor)
}

/// The SCRAM exchange; the inner error says that the proof failed, never which part of it.
async fn scram(
    transport: &mut Transport,
    user: &str,
    settings: &Settings,
) -> io::Result<Result<UserMatched, AuthError>> {
    let binding = match (transport.is_tls(), settings.listen.tls.as_ref()) {
        (true, Some(tls)) => ChannelBinding::to_certificate(&tls.certificate),
        _ => ChannelBinding::Unavailable,
    };
    let mut exchange = ScramServer::begin(&settings.users, user, binding);
    let mut out = Vec::new();
    encode::authentication_sasl(&mut out, exchange.mechanisms());
    transport.write_all(&out).await?;

    let body = password_message(transport).await?;
    let (mechanism, first) = frontend::sasl_initial(&body).map_err(invalid)?;
    let mechanism = String::from_utf8_lossy(mechanism);
    let server_first = match exchange.first(&mechanism, first.unwrap_or_default()) {
        Ok(server_first) => server_first,
        Err(error) => return Ok(Err(error)),
    };
    out.clear();
    encode::authentication_sasl_continue(&mut out, server_first);
    transport.write_all(&out).await?;

    let body = password_message(transport).await?;
    let (server_final, user) = match exchange.finish(&body) {
        Ok(finished) => finished,
        Err(error) => return Ok(Err(error)),
    };
    out.clear();
    encode::authentication_sasl_final(&mut out, server_final);
    transport.write_all(&out).await?;
    Ok(Ok(user))
}

async fn password_message(transport: &mut Transport) -> io::Result<Vec<u8>> {
    match transport.read_frame(PASSWORD_BYTES_MAX).await? {
        (b'p', body) => Ok(body),
        (tag, _) => {
            Err(invalid(portcullis_wire::Malformed::Unexpected { tag, state: "during login" }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_options(text: &str, expected: &str) {
        let said = match options(text) {
            Ok(settings) => {
                settings.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(", ")
            }
            Err(refusal) => refusal.report().message,
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn options_are_spelled_out() {
        check_options(
            "-c search_path=a,b -cgeqo=off --work-mem=4MB",
            "search_path=a,b, geqo=off, work_mem=4MB",
        );
        check_options(r"-c search_path=a\ b", "search_path=a b");
        check_options("", "");
        check_options("-d 5", "startup option \"-d\" does not pass the proxy: use -c name=value");
        check_options(
            "-c role",
            "startup option \"-c\" does not pass the proxy: use -c name=value",
        );
    }

    #[test]
    fn settings_that_change_what_is_allowed_are_refused_at_startup() {
        let with = |name: &str, value: &str| startup::Startup {
            major: 3,
            minor: 0,
            parameters: vec![(name.into(), value.into())],
        };
        for (name, value) in [
            ("role", "postgres"),
            ("session_replication_role", "replica"),
            ("options", "-c role=postgres"),
            ("options", "--session-authorization=postgres"),
            ("row_security", "off"),
        ] {
            assert!(parameters(&with(name, value)).is_err(), "{name}={value}");
        }
        for (name, value) in
            [("DateStyle", "ISO"), ("TimeZone", "UTC"), ("options", "-c statement_timeout=5s")]
        {
            assert!(parameters(&with(name, value)).is_ok(), "{name}={value}");
        }
    }

    #[test]
    fn encodings_with_ascii_inside_characters_are_refused() {
        for readable in [
            "UTF8",
            "utf-8",
            "unicode",
            "LATIN1",
            "latin-9",
            "WIN1252",
            "ISO_8859_5",
            "KOI8R",
            "SQL_ASCII",
        ] {
            assert!(is_readable_encoding(readable), "{readable}");
            assert_eq!(unreadable_encoding_in(&format!("SET client_encoding TO {readable}")), None);
        }
        for unreadable in [
            "SJIS",
            "BIG5",
            "GBK",
            "UHC",
            "GB18030",
            "JOHAB",
            "SHIFT_JIS_2004",
            "WIN932",
            "EUC_JP",
            "WIN950",
        ] {
            assert!(!is_readable_encoding(unreadable), "{unreadable}");
            let text = format!("SET NAMES '{unreadable}'");
            assert_eq!(unreadable_encoding_in(&text), Some(unreadable));
        }
    }
}
