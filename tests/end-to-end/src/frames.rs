//! A client that sees every byte: PostgreSQL's protocol on a bare TCP socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::waiting::SOON;

/// One message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Message {
    /// A field of an ErrorResponse or a NoticeResponse.
    pub fn field(&self, code: u8) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        let found = fields.filter(|field| field.first() == Some(&code)).map(|field| &field[1..]);
        found.map(|text| String::from_utf8_lossy(text).into_owned()).next()
    }

    /// The cells of a DataRow.
    pub fn cells(&self) -> Vec<Option<Vec<u8>>> {
        let mut rest = self.body.get(2..).unwrap_or_default();
        let mut cells = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            match usize::try_from(i32::from_be_bytes(*length)) {
                Ok(length) => {
                    let (cell, after) = after.split_at(length);
                    cells.push(Some(cell.to_vec()));
                    rest = after;
                }
                Err(_) => {
                    cells.push(None);
                    rest = after;
                }
            }
        }
        cells
    }
}

/// The tags in order, with what matters beside some: `E:42501`, `C:SELECT 1`, `Z:I`. Runs of
/// rows are one `D*n`; notices and parameter statuses come when they like and are left out.
pub fn sequence(messages: &[Message]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rows = 0usize;
    for message in messages {
        if message.tag == b'D' {
            rows += 1;
            continue;
        }
        if rows > 0 {
            words.push(format!("D*{rows}"));
            rows = 0;
        }
        let detail = match message.tag {
            b'N' | b'S' => continue,
            b'E' => message.field(b'C'),
            b'C' => Some(String::from_utf8_lossy(&message.body).trim_end_matches('\0').to_owned()),
            b'Z' => Some(String::from_utf8_lossy(&message.body).into_owned()),
            _ => None,
        };
        let tag = char::from(message.tag);
        words.push(detail.map_or_else(|| tag.to_string(), |detail| format!("{tag}:{detail}")));
    }
    words.join(" ")
}

pub const PROTOCOL_3_0: u32 = 3 << 16;
pub const PROTOCOL_3_2: u32 = PROTOCOL_3_0 + 2;

/// Asks for TLS.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Asks for encryption by GSSAPI.
pub const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// The first packet of a connection.
pub fn startup_packet(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for word in parameters.iter().flat_map(|(name, value)| [name, value]) {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("a test's packet is short");
    [&length.to_be_bytes()[..], &body].concat()
}

/// Asks to cancel what the session with this key is doing.
pub fn cancel_request(key: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len() + 8).expect("keys are short");
    [&length.to_be_bytes()[..], &[4, 210, 22, 46], key].concat()
}

/// Builds messages of the client one behind the other, for one write.
#[derive(Default)]
pub struct Batch(BytesMut);

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    pub fn query(mut self, text: &str) -> Batch {
        frontend::query(text, &mut self.0).expect("no NUL in it");
        self
    }

    pub fn parse(mut self, name: &str, text: &str) -> Batch {
        frontend::parse(name, text, std::iter::empty(), &mut self.0).expect("no NUL in it");
        self
    }

    /// All results in binary, or all in text.
    pub fn bind(mut self, portal: &str, name: &str, values: &[&str], binary: bool) -> Batch {
        let put = |value: &&str, buffer: &mut BytesMut| {
            buffer.extend_from_slice(value.as_bytes());
            Ok(postgres_protocol::IsNull::No)
        };
        let format = Some(i16::from(binary));
        if frontend::bind(portal, name, None, values, put, format, &mut self.0).is_err() {
            panic!("a Bind that does not fit");
        }
        self
    }

    pub fn describe(mut self, kind: u8, name: &str) -> Batch {
        frontend::describe(kind, name, &mut self.0).expect("no NUL in it");
        self
    }

    pub fn execute(mut self, portal: &str, rows_max: i32) -> Batch {
        frontend::execute(portal, rows_max, &mut self.0).expect("no NUL in it");
        self
    }

    pub fn close(mut self, kind: u8, name: &str) -> Batch {
        frontend::close(kind, name, &mut self.0).expect("no NUL in it");
        self
    }

    pub fn flush(mut self) -> Batch {
        frontend::flush(&mut self.0);
        self
    }

    pub fn sync(mut self) -> Batch {
        frontend::sync(&mut self.0);
        self
    }

    /// Any message at all, right or wrong.
    pub fn raw(mut self, tag: u8, body: &[u8]) -> Batch {
        let length = u32::try_from(body.len() + 4).expect("a test's message is short");
        self.0.extend_from_slice(&[tag]);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(body);
        self
    }

    /// Those of another behind these.
    pub fn and(mut self, other: &Batch) -> Batch {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Parse, Bind and Execute of one statement without parameters, without a description.
    pub fn run(self, text: &str) -> Batch {
        self.parse("", text).bind("", "", &[], false).execute("", 0)
    }

    /// Calls a function past SQL, with arguments and result in text.
    pub fn function_call(self, oid: u32, arguments: &[&[u8]]) -> Batch {
        let count = u16::try_from(arguments.len()).expect("a few");
        let mut body = oid.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&count.to_be_bytes());
        for argument in arguments {
            let length = u32::try_from(argument.len()).expect("short");
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(argument);
        }
        body.extend_from_slice(&[0, 0]);
        self.raw(b'F', &body)
    }

    /// Parse, Bind, Describe, Execute and Sync of one statement without parameters.
    pub fn extended(self, text: &str, binary: bool) -> Batch {
        self.parse("", text).bind("", "", &[], binary).describe(b'P', "").execute("", 0).sync()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What bytes travel on: TCP, or TLS on top of it.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection, and every byte the server has sent on it.
pub struct Session {
    stream: Box<dyn Socket>,
    local: SocketAddr,
    unread: BytesMut,
    pub received: Vec<u8>,
    /// What BackendKeyData held: process id, then key.
    pub cancel_key: Vec<u8>,
}

impl Session {
    /// Connects and says nothing yet.
    pub async fn connect(address: SocketAddr) -> Session {
        Session::connect_from(Ipv4Addr::LOCALHOST.into(), address).await
    }

    /// Connects from one of this machine's addresses: all that begin with 127 are.
    pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Session {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("an address of ours");
        let stream = socket.connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let local = stream.local_addr().expect("it is connected");
        Session::over(Box::new(stream), local)
    }

    /// Asks for TLS. A server that does not like a certificate it is shown says so when its
    /// next message is read.
    pub async fn start_tls(mut self, config: Arc<ClientConfig>) -> Session {
        self.send(&SSL_REQUEST).await;
        assert_eq!(self.byte().await, Some(b'S'), "the server speaks TLS");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(config).connect(name, self.stream).await;
        Session::over(Box::new(stream.expect("the server proves who it is")), self.local)
    }

    fn over(stream: Box<dyn Socket>, local: SocketAddr) -> Session {
        let (unread, received, cancel_key) = (BytesMut::new(), Vec::new(), Vec::new());
        Session { stream, local, unread, received, cancel_key }
    }

    /// Where the server sees us.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Connects, proves who it is and waits until the server is ready.
    pub async fn login(address: SocketAddr, user: &str, password: &str, database: &str) -> Session {
        let mut session = Session::connect(address).await;
        let parameters = [("user", user), ("database", database), ("client_encoding", "UTF8")];
        let answer = session.try_login(password, &parameters).await;
        assert!(sequence(&answer).ends_with("Z:I"), "login failed: {}", sequence(&answer));
        session
    }

    /// The whole login, up to ReadyForQuery, an error or the end.
    pub async fn try_login(&mut self, password: &str, parameters: &[(&str, &str)]) -> Vec<Message> {
        self.send(&startup_packet(PROTOCOL_3_0, parameters)).await;
        self.prove(password).await
    }

    /// The login behind a startup packet already sent.
    pub async fn prove(&mut self, password: &str) -> Vec<Message> {
        let mut seen = Vec::new();
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        while let Some(message) = self.message().await {
            seen.push(message.clone());
            match message.tag {
                b'R' => self.authenticate(&message.body, &mut scram).await,
                b'K' => self.cancel_key = message.body,
                b'Z' | b'E' => break,
                _ => {}
            }
        }
        seen
    }

    async fn authenticate(&mut self, body: &[u8], scram: &mut ScramSha256) {
        let mut answer = BytesMut::new();
        match body.split_first_chunk::<4>().map(|(kind, rest)| (u32::from_be_bytes(*kind), rest)) {
            Some((10, _)) => {
                frontend::sasl_initial_response("SCRAM-SHA-256", scram.message(), &mut answer)
                    .expect("it fits");
            }
            Some((11, rest)) => {
                scram.update(rest).expect("a good challenge");
                frontend::sasl_response(scram.message(), &mut answer).expect("it fits");
            }
            Some((12, rest)) => scram.finish(rest).expect("the server knows the password too"),
            Some((0, _)) => {}
            other => panic!("an authentication request we do not expect: {other:?}"),
        }
        self.send(&answer).await;
    }

    /// Sends bytes as they are. A server that has hung up shows when its answer is read.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(SOON, self.stream.write_all(bytes)).await.expect("the server reads");
    }

    /// Says no more, and goes on listening.
    pub async fn finish(&mut self) {
        // A server that has hung up need not be told.
        let _ = self.stream.shutdown().await;
    }

    /// The next message; none when the server has closed the connection.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.buffered() {
                return Some(message);
            }
            let read = timeout(SOON, self.stream.read_buf(&mut self.unread)).await;
            let read = read.expect("the server answers or closes").unwrap_or(0);
            if read == 0 {
                return None;
            }
            let fresh = self.unread.len() - read;
            self.received.extend_from_slice(&self.unread[fresh..]);
        }
    }

    /// Whatever comes within `limit`, when nothing ought to come.
    pub async fn message_within(&mut self, limit: Duration) -> Option<Message> {
        timeout(limit, self.message()).await.unwrap_or(None)
    }

    fn buffered(&mut self) -> Option<Message> {
        let length = u32::from_be_bytes(self.unread.get(1..5)?.try_into().ok()?) as usize;
        if self.unread.len() < length + 1 {
            return None;
        }
        let frame = self.unread.split_to(length + 1);
        Some(Message { tag: frame[0], body: frame[5..].to_vec() })
    }

    /// One byte of an answer that is no message: S, N or G.
    pub async fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        let read = timeout(SOON, self.stream.read(&mut byte)).await;
        (read.expect("the server answers or closes").unwrap_or(0) == 1).then_some(byte[0])
    }

    /// Everything up to ReadyForQuery or the end. A COPY from us is called off.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            let tag = message.tag;
            messages.push(message);
            match tag {
                b'Z' => break,
                b'G' => {
                    let failing = Batch::new().raw(b'f', b"nothing to copy\0");
                    self.send(failing.bytes()).await;
                }
                _ => {}
            }
        }
        messages
    }

    /// Everything up to a message with one of these tags or the end: for answers that come
    /// ahead of ReadyForQuery.
    pub async fn until(&mut self, tags: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            let stop = tags.contains(&message.tag);
            messages.push(message);
            if stop {
                break;
            }
        }
        messages
    }

    pub async fn exchange(&mut self, batch: Batch) -> Vec<Message> {
        self.send(batch.bytes()).await;
        self.until_ready().await
    }

    /// One simple query and all its answers.
    pub async fn query(&mut self, text: &str) -> Vec<Message> {
        self.exchange(Batch::new().query(text)).await
    }

    /// One statement by the extended protocol. A COPY from us must not be among them.
    pub async fn extended(&mut self, text: &str, binary: bool) -> Vec<Message> {
        self.exchange(Batch::new().extended(text, binary)).await
    }
}

/// The first error among messages.
pub fn error_of(messages: &[Message]) -> Option<&Message> {
    messages.iter().find(|message| message.tag == b'E')
}

/// Its SQLSTATE.
pub fn sqlstate_of(messages: &[Message]) -> Option<String> {
    error_of(messages)?.field(b'C')
}

/// First cells of all rows, as text.
pub fn first_column(messages: &[Message]) -> Vec<String> {
    let rows = messages.iter().filter(|message| message.tag == b'D');
    rows.filter_map(|row| row.cells().into_iter().next().flatten())
        .map(|cell| String::from_utf8_lossy(&cell).into_owned())
        .collect()
}
