//! A connection to the database, logged in with the proxy's own credential.

#[cfg(test)]
mod tests;
mod verify;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use portcullis_identity::{ChannelBinding, LoginError, ScramClient, UpstreamKeys, md5_response};
use portcullis_wire::backend::{self, Authentication, TransactionStatus};
use portcullis_wire::frame::cut;
use portcullis_wire::{Malformed, encode};

use crate::frames::Frames;
use crate::settings::{Endpoint, SslMode, UpstreamSettings};
use crate::transport::{Transport, invalid};

/// Connecting and logging in, together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until it has proved itself, a server may not make us buffer much.
const LOGIN_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Notices and parameters a server may send before it is ready.
const LOGIN_FRAMES_MAX: usize = 1_000;
/// Of what a server remarks on meanwhile, as much is passed on.
const LOGIN_NOTICES_MAX: usize = 16;

/// A session on the database's side.
pub struct Upstream {
    pub transport: Transport,
    /// What it has said beyond its login.
    pub frames: Frames,
    /// What it remarked on while it logged the session in.
    pub notices: Vec<Vec<u8>>,
    pub process_id: u32,
    pub secret_key: Vec<u8>,
    pub reported: Reported,
}

/// What a server says of its parameters at login: ParameterStatus messages, as they came.
#[derive(Default)]
pub struct Reported {
    messages: Vec<u8>,
}

impl Reported {
    /// # Errors
    /// When it is not the body of a ParameterStatus.
    pub fn add(&mut self, body: &[u8]) -> Result<(), Malformed> {
        backend::parameter_status(body)?;
        encode::frame(&mut self.messages, b'S', body);
        Ok(())
    }

    pub fn messages(&self) -> &[u8] {
        &self.messages
    }

    /// What holds: a login trigger may have changed what was reported before it ran.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let (mut rest, mut latest) = (&*self.messages, None);
        while let Ok(Some(frame)) = cut(rest, usize::MAX) {
            if let Ok((known, value)) = backend::parameter_status(frame.body)
                && known == name.as_bytes()
            {
                latest = Some(value);
            }
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
        }
        latest
    }
}

/// Why there is no upstream session.
#[derive(Debug)]
pub enum UpstreamError {
    /// It could not be reached, or did not speak the protocol.
    Io(io::Error),
    /// It refused; the body of its ErrorResponse.
    Refused(Vec<u8>),
}

impl UpstreamError {
    /// It did not answer in time.
    pub fn too_late() -> UpstreamError {
        UpstreamError::Io(io::ErrorKind::TimedOut.into())
    }
}

impl From<io::Error> for UpstreamError {
    fn from(error: io::Error) -> UpstreamError {
        UpstreamError::Io(error)
    }
}

impl std::fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UpstreamError::Io(error) => error.fmt(f),
            UpstreamError::Refused(body) => {
                let fields = backend::notice_fields(body).unwrap_or_default();
                let message = backend::field(&fields, b'M').unwrap_or(b"no reason given");
                write!(f, "{}", String::from_utf8_lossy(message))
            }
        }
    }
}

fn protocol(what: impl Into<String>) -> UpstreamError {
    UpstreamError::Io(io::Error::new(io::ErrorKind::InvalidData, what.into()))
}

/// Connects and logs in; `parameters` go into the startup packet beside user and database. Whoever
/// calls it waits for [`CONNECT_TIMEOUT`] at most.
///
/// Not cancel safe as regards time: given up before the server has answered at all, it makes the
/// logins that follow a round trip longer.
pub async fn connect(
    settings: &UpstreamSettings,
    parameters: &[(String, String)],
) -> Result<Upstream, UpstreamError> {
    let transport = open(settings).await?;
    let mut ahead = Ahead::of(&transport, settings);
    match log_in(transport, settings, parameters, &mut ahead).await {
        Err(error) if ahead.client().is_some() && is_confused(&error) => {
            let again = async {
                log_in(open(settings).await?, settings, parameters, &mut Ahead::default()).await
            };
            let logged_in = again.await;
            match &logged_in {
                Ok(_) => tracing::info!(%error, "the server wants to ask for a login first"),
                // It is no server to learn anything from.
                Err(_) => drop(ahead.take_up()),
            }
            logged_in
        }
        tried => {
            ahead.take_up();
            tried
        }
    }
}

/// A login whose first message goes with the startup packet, before the server asks for it: that
/// saves a round trip. It tells the server no more than it could ask for.
///
/// Dropped before the server has asked, it is the last for a while: also where somebody lost
/// patience with a server that did nothing at all.
#[derive(Default)]
struct Ahead<'a>(Option<(ScramClient, &'a UpstreamKeys)>);

impl<'a> Ahead<'a> {
    fn of(transport: &Transport, settings: &'a UpstreamSettings) -> Ahead<'a> {
        let begin = |keys: &'a Arc<UpstreamKeys>| {
            let client = ScramClient::begin_ahead(&binding_of(transport), keys)?;
            Some((client, &**keys))
        };
        Ahead(settings.password.as_ref().and_then(begin))
    }

    /// While the server has not asked for it.
    fn client(&self) -> Option<&ScramClient> {
        self.0.as_ref().map(|(client, _)| client)
    }

    /// The server has asked for it, or lets nobody in.
    fn take_up(&mut self) -> Option<ScramClient> {
        self.0.take().map(|(client, _)| client)
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        if let Some((_, keys)) = &self.0 {
            keys.wait_to_be_asked();
        }
    }
}

/// A server may say so where it hears what it has not asked for: by hanging up, by asking for
/// something else, or by an error of class 08.
fn is_confused(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Io(_) => true,
        UpstreamError::Refused(body) => {
            let fields = backend::notice_fields(body).unwrap_or_default();
            backend::field(&fields, b'C').is_none_or(|sqlstate| sqlstate.starts_with(b"08"))
        }
    }
}

/// Asks the server to cancel what a session of its runs. The server answers nothing.
pub async fn cancel(settings: &UpstreamSettings, process_id: u32, key: &[u8]) -> io::Result<()> {
    let send = async {
        let mut transport = open(settings).await.map_err(|error| match error {
            UpstreamError::Io(error) => error,
            UpstreamError::Refused(_) => io::ErrorKind::ConnectionRefused.into(),
        })?;
        let mut out = Vec::new();
        encode::cancel_request(&mut out, process_id, key);
        transport.write_all(&out).await?;
        // The server closes when it has passed the request on.
        let mut end = [0];
        let _ = transport.read_exact(&mut end).await;
        Ok(())
    };
    tokio::time::timeout(CONNECT_TIMEOUT, send)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn open(settings: &UpstreamSettings) -> Result<Transport, UpstreamError> {
    let (host, port) = match &settings.endpoint {
        Endpoint::Unix(path) => return Ok(Transport::Unix(UnixStream::connect(path).await?)),
        Endpoint::Tcp { host, port } => (host, *port),
    };
    let mut stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if settings.ssl == SslMode::Disable {
        return Ok(Transport::Tcp(stream));
    }
    let mut request = Vec::new();
    encode::ssl_request(&mut request);
    tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await?;
    // Exactly one byte: anything behind it belongs to nobody and breaks the handshake.
    let mut answer = [0];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await?;
    match (answer, settings.ssl) {
        ([b'S'], _) => {}
        ([b'N'], SslMode::Prefer) => return Ok(Transport::Tcp(stream)),
        ([b'N'], _) => {
            return Err(protocol("the server does not offer TLS, which sslmode asks for"));
        }
        _ => return Err(protocol("the server does not speak PostgreSQL's TLS negotiation")),
    }
    let name = ServerName::try_from(host.clone()).map_err(|error| protocol(error.to_string()))?;
    let connector = TlsConnector::from(client_config(settings)?);
    Ok(Transport::ClientTls(Box::new(connector.connect(name, stream).await?)))
}

fn client_config(settings: &UpstreamSettings) -> Result<Arc<ClientConfig>, UpstreamError> {
    let builder = ClientConfig::builder();
    let roots = settings.roots.clone();
    let config = match (settings.ssl, roots) {
        (SslMode::VerifyFull, Some(roots)) => {
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        (SslMode::VerifyCa, Some(roots)) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::ChainOnly::new(roots)?))
            .with_no_client_auth(),
        // libpq too verifies the chain under "require" when it is given a root.
        (SslMode::Require, Some(roots)) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::ChainOnly::new(roots)?))
            .with_no_client_auth(),
        (SslMode::Require | SslMode::Prefer | SslMode::Disable, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::Anyone::default()))
            .with_no_client_auth(),
        (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
            return Err(protocol(
                "sslmode asks to verify the server, and there are no root certificates",
            ));
        }
    };
    Ok(Arc::new(config))
}

/// A login over a connection that is there, as at a server of which nothing is known.
///
/// # Errors
/// As [`connect`].
#[cfg(any(test, feature = "scripted"))]
pub async fn log_in_over(
    transport: Transport,
    settings: &UpstreamSettings,
) -> Result<Upstream, UpstreamError> {
    log_in(transport, settings, &[], &mut Ahead::default()).await
}

async fn log_in(
    mut transport: Transport,
    settings: &UpstreamSettings,
    parameters: &[(String, String)],
    ahead: &mut Ahead<'_>,
) -> Result<Upstream, UpstreamError> {
    let mut out = Vec::new();
    let mut startup =
        vec![("user", settings.user.as_str()), ("database", settings.database.as_str())];
    startup.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    encode::startup(&mut out, &startup);
    if let Some(client) = ahead.client() {
        encode::sasl_initial(&mut out, client.mechanism(), &client.first());
    }
    transport.write_all(&out).await?;
    let mut frames = Frames::default();
    authenticate((&mut transport, &mut frames), settings, ahead).await?;
    until_ready(transport, frames).await
}

async fn authenticate(
    (transport, frames): (&mut Transport, &mut Frames),
    settings: &UpstreamSettings,
    ahead: &mut Ahead<'_>,
) -> Result<(), UpstreamError> {
    let keys = || {
        let missing = || protocol("the server asks for a password, and none is configured");
        settings.password.as_ref().ok_or_else(missing)
    };
    let mut scram: Option<ScramClient> = None;
    let mut proved = false;
    for _ in 0..LOGIN_FRAMES_MAX {
        let body = login_frame(transport, frames, b'R').await?;
        let mut out = Vec::new();
        let asked = backend::authentication(&body).map_err(invalid)?;
        if let Some(client) = ahead.client() {
            let Authentication::Sasl { mechanisms } = &asked else {
                return Err(protocol("the server asks for another login than the last time"));
            };
            if !client.suits(known_names(mechanisms)) {
                return Err(protocol("the server offers other mechanisms than the last time"));
            }
            scram = ahead.take_up();
            continue;
        }
        match asked {
            // A server that began SCRAM must finish it: its proof is half of the exchange.
            Authentication::Ok if scram.is_some() && !proved => {
                return Err(protocol("the server skipped its own proof"));
            }
            Authentication::Ok => return Ok(()),
            Authentication::CleartextPassword => {
                // In plaintext this would hand the password to whoever listens.
                if !transport.is_tls()
                    && matches!(settings.endpoint, Endpoint::Tcp { .. })
                    && !is_loopback(settings)
                {
                    return Err(protocol("the server asks for the password in clear without TLS"));
                }
                encode::password(&mut out, keys()?.password());
            }
            Authentication::Md5Password { salt } => {
                encode::password(&mut out, &md5_response(&settings.user, keys()?.password(), salt));
            }
            Authentication::Sasl { mechanisms } => {
                let client = ScramClient::begin(
                    known_names(&mechanisms),
                    &binding_of(transport),
                    keys()?.clone(),
                )
                .map_err(|error| protocol(error.to_string()))?;
                encode::sasl_initial(&mut out, client.mechanism(), &client.first());
                scram = Some(client);
            }
            Authentication::SaslContinue(data) => {
                let client = scram.take().ok_or_else(|| protocol("SCRAM out of turn"))?;
                let (client, response) = respond(client, data).await?;
                encode::sasl_response(&mut out, &response);
                scram = Some(client);
            }
            Authentication::SaslFinal(data) => {
                let client = scram.as_mut().ok_or_else(|| protocol("SCRAM out of turn"))?;
                client.verify(data).map_err(|error| protocol(error.to_string()))?;
                proved = true;
            }
            Authentication::Other(method) => {
                return Err(protocol(format!(
                    "the server asks for authentication method {method}, which is not spoken"
                )));
            }
        }
        transport.write_all(&out).await?;
    }
    Err(protocol("the server's login does not end"))
}

/// Answers the challenge, on a helper thread where that takes a key derivation.
async fn respond(
    mut client: ScramClient,
    challenge: &[u8],
) -> Result<(ScramClient, Vec<u8>), UpstreamError> {
    let failed = |error: LoginError| protocol(error.to_string());
    if !client.is_costly(challenge) {
        let response = client.respond(challenge).map_err(failed)?;
        return Ok((client, response));
    }
    let challenge = challenge.to_vec();
    let derived = tokio::task::spawn_blocking(move || {
        let response = client.respond(&challenge)?;
        Ok((client, response))
    });
    match derived.await {
        Ok(answered) => answered.map_err(failed),
        Err(_) => Err(protocol("the key derivation failed")),
    }
}

fn is_loopback(settings: &UpstreamSettings) -> bool {
    match &settings.endpoint {
        Endpoint::Unix(_) => true,
        Endpoint::Tcp { host, .. } => {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    }
}

/// Names of mechanisms are ASCII.
fn known_names<'a>(mechanisms: &'a [&[u8]]) -> impl Iterator<Item = &'a str> {
    mechanisms.iter().filter_map(|name| std::str::from_utf8(name).ok())
}

fn binding_of(transport: &Transport) -> ChannelBinding {
    let certificate = certificate_of(transport);
    certificate.map_or(ChannelBinding::Unavailable, |der| ChannelBinding::to_certificate(&der))
}

fn certificate_of(transport: &Transport) -> Option<Vec<u8>> {
    match transport {
        Transport::ClientTls(stream) => {
            let (_, connection) = stream.get_ref();
            connection.peer_certificates()?.first().map(|certificate| certificate.to_vec())
        }
        Transport::Tcp(_) | Transport::Unix(_) | Transport::ServerTls(_) => None,
        #[cfg(any(test, feature = "scripted"))]
        Transport::Memory(_) => None,
    }
}

/// The next message of the login, which must be `expected`; notices pass, errors end it.
async fn login_frame(
    transport: &mut Transport,
    frames: &mut Frames,
    expected: u8,
) -> Result<Vec<u8>, UpstreamError> {
    for _ in 0..LOGIN_FRAMES_MAX {
        let (tag, body) = frames.next(transport, LOGIN_FRAME_BYTES_MAX).await?;
        match tag {
            b'E' => return Err(UpstreamError::Refused(body.to_vec())),
            b'N' | b'v' => {}
            tag if tag == expected => return Ok(body.to_vec()),
            tag => {
                return Err(protocol(format!(
                    "unexpected message '{}' at login",
                    tag.escape_ascii()
                )));
            }
        }
    }
    Err(protocol("the server's login does not end"))
}

async fn until_ready(
    mut transport: Transport,
    mut frames: Frames,
) -> Result<Upstream, UpstreamError> {
    let (mut reported, mut notices) = (Reported::default(), Vec::new());
    let (mut process_id, mut secret_key) = (0, Vec::new());
    for _ in 0..LOGIN_FRAMES_MAX {
        let (tag, body) = frames.next(&mut transport, LOGIN_FRAME_BYTES_MAX).await?;
        match tag {
            b'S' => reported.add(body).map_err(invalid)?,
            b'K' => {
                let (id, key) = backend::backend_key(body).map_err(invalid)?;
                (process_id, secret_key) = (id, key.to_vec());
            }
            b'Z' => {
                TransactionStatus::read(body).map_err(invalid)?;
                return Ok(Upstream {
                    transport,
                    frames,
                    process_id,
                    secret_key,
                    reported,
                    notices,
                });
            }
            b'E' => return Err(UpstreamError::Refused(body.to_vec())),
            b'N' if notices.len() < LOGIN_NOTICES_MAX => notices.push(body.to_vec()),
            b'N' => {}
            tag => {
                return Err(protocol(format!(
                    "unexpected message '{}' at login",
                    tag.escape_ascii()
                )));
            }
        }
    }
    Err(protocol("the server's login does not end"))
}
