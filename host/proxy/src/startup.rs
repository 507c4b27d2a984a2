//! From a raw socket to a login: TLS, startup packet, and how the client must prove itself.

use std::io;
use std::net::SocketAddr;

use portcullis_identity::{Method, TokenError, is_in};
use portcullis_wire::startup::{self, HEAD_BYTES, StartupPacket};
use portcullis_wire::{Malformed, encode};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::balancer;
use crate::frames::Frames;
use crate::parameters::{is_readable_encoding, parameters, unreadable_encoding};
use crate::refusal::Refusal;
use crate::settings::{ListenSettings, ServerTls, Settings};
use crate::transport::Transport;

/// The newest minor version of protocol 3 that is spoken.
const MINOR_MAX: u16 = 2;
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client that has said as whom it comes, and not yet proved it.
pub struct Login {
    pub transport: Transport,
    /// What it says from here on.
    pub frames: Frames,
    /// Its own, behind a balancer as well.
    pub address: SocketAddr,
    /// The startup user.
    pub user: String,
    /// The database asked for.
    pub database: String,
    /// How it must prove who it is.
    pub method: Method,
    /// For the upstream's startup packet.
    pub parameters: Vec<(String, String)>,
    /// Minor protocol version in use.
    pub minor: u16,
    /// What the listener's TLS shows, for channel binding.
    pub tls: Option<ServerTls>,
    /// What it has not been told of its login: the end of the proof, and that it is in. It is sent
    /// with what comes after, or not at all.
    pub owed: Vec<u8>,
}

impl Login {
    /// The client's own word for what it is.
    pub fn application(&self) -> &str {
        let named = self.parameters.iter().find(|(name, _)| name == "application_name");
        named.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// What came of a connection.
pub enum Arrival {
    Login(Box<Login>),
    /// A cancel request, which gets no answer. That its connection closes tells the client that
    /// the cancel has been passed on, so that it does not hit what is sent next.
    Cancel {
        transport: Box<Transport>,
        process_id: u32,
        secret_key: Vec<u8>,
    },
}

/// Why a connection ends before it begins.
pub enum StartupError {
    /// The peer went away or the socket failed; nobody is left to tell.
    Io(io::Error),
    /// The client is told nothing, and the ledger why: TLS itself has said that its certificate
    /// is not good, or what it speaks is not PostgreSQL's protocol.
    Unanswered { why: String, address: SocketAddr },
    /// The client is told, and the ledger: from where and as which role it came.
    Refused { transport: Box<Transport>, refusal: Refusal, role: String, address: SocketAddr },
}

impl From<io::Error> for StartupError {
    fn from(error: io::Error) -> StartupError {
        StartupError::Io(error)
    }
}

/// Why nobody was proved.
pub enum Unproven {
    /// The peer went away or the socket failed.
    Io(io::Error),
    /// The client is told this, and no more.
    Refused(Refusal),
    /// Whatever was wrong, the client learns only that it was; the ledger learns what.
    Failed { why: String },
    /// It asked where to get a token, heard it, and will come again with one. No login was
    /// tried, though the protocol has it end as one that failed.
    Asked,
}

impl From<io::Error> for Unproven {
    fn from(error: io::Error) -> Unproven {
        Unproven::Io(error)
    }
}

/// What is wrong with a token is for the operator; that the issuer is out of reach, the
/// client may know.
impl From<TokenError> for Unproven {
    fn from(error: TokenError) -> Unproven {
        match error {
            TokenError::Unavailable(why) => {
                tracing::warn!(why, "an issuer is out of reach");
                Unproven::Refused(Refusal::IssuerUnavailable)
            }
            TokenError::Busy => Unproven::Refused(Refusal::TooManyWaiting),
            TokenError::TimedOut => Unproven::Refused(Refusal::NotConfirmed),
            TokenError::Refused(_)
            | TokenError::UnknownIssuer
            | TokenError::NotOffered(_)
            | TokenError::Declined
            | TokenError::Ended(_) => Unproven::Failed { why: error.to_string() },
        }
    }
}

/// Receives one connection up to the proof of identity. The caller sets the deadline.
pub async fn receive(
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: &ListenSettings,
    settings: &Settings,
) -> Result<Arrival, StartupError> {
    stream.set_nodelay(true)?;
    let address = if is_in(&listener.balancers, peer.ip()) {
        balancer::true_address(&mut stream, peer).await?
    } else {
        peer
    };
    let mut first = [0];
    stream.peek(&mut first).await?;
    let tls = listener.tls.as_ref();
    let mut transport = match (first, tls) {
        ([TLS_HANDSHAKE], Some(tls)) => {
            direct_tls(stream, tls).await.map_err(|error| handshake_failed(error, address))?
        }
        _ => Transport::Tcp(stream),
    };
    let mut asked_gss = false;
    loop {
        let packet = match read_packet(&mut transport).await {
            Ok(packet) => packet,
            Err(Unreadable::Form(malformed)) => {
                return Err(refused(transport, Refusal::Malformed(malformed), "", address));
            }
            // PostgreSQL does not answer either.
            Err(Unreadable::Length(malformed)) => {
                let why = format!("no PostgreSQL startup packet: {malformed}");
                return Err(StartupError::Unanswered { why, address });
            }
            Err(Unreadable::Io(error)) => return Err(error.into()),
        };
        match packet {
            StartupPacket::SslRequest => {
                let negotiated = negotiate_tls(transport, tls).await;
                transport = negotiated.map_err(|error| handshake_failed(error, address))?;
            }
            StartupPacket::GssEncRequest if !asked_gss => {
                asked_gss = true;
                transport.write_all(b"N").await?;
            }
            StartupPacket::GssEncRequest => {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            StartupPacket::CancelRequest { process_id, secret_key } => {
                let transport = Box::new(transport);
                return Ok(Arrival::Cancel { transport, process_id, secret_key });
            }
            StartupPacket::Startup(startup) => {
                let login = begin(transport, startup, address, listener, settings).await?;
                return Ok(Arrival::Login(Box::new(login)));
            }
        }
    }
}

fn refused(
    transport: Transport,
    refusal: Refusal,
    role: &str,
    address: SocketAddr,
) -> StartupError {
    let (transport, role) = (Box::new(transport), role.to_owned());
    StartupError::Refused { transport, refusal, role, address }
}

/// A bad certificate is a failed login; whatever else ends a handshake is a socket that closed.
fn handshake_failed(error: io::Error, address: SocketAddr) -> StartupError {
    let failure = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match failure {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let why = format!("the client certificate is not good: {why}");
            StartupError::Unanswered { why, address }
        }
        Some(_) | None => StartupError::Io(error),
    }
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
        #[cfg(any(test, feature = "scripted"))]
        (Transport::Memory(_), _) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Why there is no packet.
enum Unreadable {
    /// It has the length of one, but not the form.
    Form(Malformed),
    Length(Malformed),
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Io(error)
    }
}

async fn read_packet(transport: &mut Transport) -> Result<StartupPacket, Unreadable> {
    let mut head = vec![0; HEAD_BYTES];
    transport.read_exact(&mut head).await?;
    let length = startup::packet_bytes(&head).map_err(Unreadable::Length)?.unwrap_or(HEAD_BYTES);
    head.resize(length, 0);
    transport.read_exact(head.get_mut(HEAD_BYTES..).unwrap_or_default()).await?;
    startup::parse(&head).map_err(Unreadable::Form)
}

async fn begin(
    mut transport: Transport,
    startup: startup::Startup,
    address: SocketAddr,
    listener: &ListenSettings,
    settings: &Settings,
) -> Result<Login, StartupError> {
    let user = startup.parameter("user").unwrap_or_default().to_owned();
    if let Some(refusal) = check(&startup, &transport, listener) {
        return Err(refused(transport, refusal, &user, address));
    }
    let parameters = match parameters(&startup) {
        Ok(parameters) => parameters,
        Err(refusal) => return Err(refused(transport, refusal, &user, address)),
    };
    let minor = negotiate_protocol(&mut transport, &startup).await?;
    let database = startup.parameter("database").filter(|name| !name.is_empty());
    let database = database.unwrap_or(&user).to_owned();
    let methods = &settings.directory.methods;
    let is_tls = transport.is_tls();
    let method = methods.choose(&listener.name, &database, &user, address.ip(), is_tls);
    let (method, tls) = (method.clone(), listener.tls.clone());
    let mut owed = Vec::new();
    encode::authentication_ok(&mut owed);
    let frames = Frames::default();
    Ok(Login { transport, frames, address, user, database, method, parameters, minor, tls, owed })
}

/// What can be refused before anybody proves anything.
fn check(
    startup: &startup::Startup,
    transport: &Transport,
    listener: &ListenSettings,
) -> Option<Refusal> {
    if startup.major != 3 {
        return Some(Refusal::Unsupported(format!(
            "unsupported frontend protocol {}.{}: the proxy speaks 3.0 to 3.{MINOR_MAX}",
            startup.major, startup.minor
        )));
    }
    if startup.parameter("user").unwrap_or_default().is_empty() {
        return Some(Refusal::Malformed(Malformed::Form("no user name in the startup packet")));
    }
    let replication = startup.parameter("replication").unwrap_or("off").to_ascii_lowercase();
    if !matches!(replication.as_str(), "off" | "false" | "no" | "0" | "f" | "n") {
        return Some(Refusal::Unsupported(
            "replication connections do not pass the proxy: connect to the database itself".into(),
        ));
    }
    if listener.tls_required && !transport.is_tls() {
        return Some(Refusal::NotPermitted(
            "this proxy accepts TLS connections only: use sslmode=require".into(),
        ));
    }
    let encoding = startup.parameter("client_encoding").unwrap_or("UTF8");
    (!is_readable_encoding(encoding)).then(|| unreadable_encoding(encoding))
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
