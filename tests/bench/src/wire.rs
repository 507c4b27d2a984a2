//! A client of PostgreSQL's protocol that costs so little that it measures the other side.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use portcullis_identity::{ChannelBinding, ScramClient, UpstreamKeys};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

const PROTOCOL_3_0: u32 = 3 << 16;
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const BUFFER_BYTES: usize = 64 * 1024;
/// Longer than anything here should take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who logs in, and where.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) database: String,
    /// Shared by all connections, so that only the first derives a key.
    pub(crate) keys: Arc<UpstreamKeys>,
    /// How to speak TLS, where it is to be spoken.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Login {
    pub(crate) fn new(user: &str, database: &str, password: &str) -> Login {
        let keys = Arc::new(UpstreamKeys::new(password.to_owned()));
        Login { user: user.to_owned(), database: database.to_owned(), keys, tls: None }
    }
}

/// What a statement's answer was made of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// What bytes travel on.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A session, from login on.
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    parameters: Vec<u8>,
    cancel_key: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, login: &Login) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = match &login.tls {
            Some(config) => start_tls(stream, config)?,
            None => Stream::Plain(stream),
        };
        let buffer = vec![0; BUFFER_BYTES];
        let mut connection = Connection {
            stream,
            buffer,
            start: 0,
            end: 0,
            parameters: Vec::new(),
            cancel_key: Vec::new(),
        };
        connection.log_in(login)?;
        Ok(connection)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// The ParameterStatus messages of the login, as they came.
    pub(crate) fn parameters(&self) -> &[u8] {
        &self.parameters
    }

    /// Who may cancel what this session does.
    pub(crate) fn cancel_key(&self) -> &[u8] {
        &self.cancel_key
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Plain(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.sock.as_fd(),
        }
    }

    /// The next message: its tag and its body.
    pub(crate) fn message(&mut self) -> io::Result<(u8, &[u8])> {
        loop {
            if let Some((tag, length)) = self.whole() {
                let body = self.start + 5..self.start + length;
                self.start = body.end;
                return Ok((tag, self.buffer.get(body).unwrap_or_default()));
            }
            self.fill()?;
        }
    }

    /// Reads once and takes every message that is whole; says how many ended a statement. An
    /// error of the server is an error.
    pub(crate) fn receive(&mut self, mut on_row: impl FnMut(&[u8])) -> io::Result<usize> {
        self.fill()?;
        let mut ready = 0;
        while let Some((tag, length)) = self.whole() {
            match tag {
                b'D' => {
                    let body = self.start + 5..self.start + length;
                    on_row(self.buffer.get(body).unwrap_or_default());
                }
                b'Z' => ready += 1,
                b'E' => return Err(self.refusal(length)),
                _ => {}
            }
            self.start += length;
        }
        Ok(ready)
    }

    /// Sends a text, and looks at each row of the answer.
    pub(crate) fn query(
        &mut self,
        text: &str,
        mut on_row: impl FnMut(&[u8]),
    ) -> io::Result<Answer> {
        self.ask(text)?;
        self.answer(&mut on_row)
    }

    /// Sends a text, and leaves the answer for later.
    pub(crate) fn ask(&mut self, text: &str) -> io::Result<()> {
        let mut request = Vec::new();
        put(&mut request, b'Q', &[text.as_bytes(), b"\0"]);
        self.send(&request)
    }

    /// Reads up to ReadyForQuery.
    pub(crate) fn answer(&mut self, mut on_row: impl FnMut(&[u8])) -> io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            let (tag, body) = self.message()?;
            answer.bytes += body.len() as u64 + 5;
            match tag {
                b'D' => {
                    answer.rows += 1;
                    on_row(body);
                }
                b'E' => return Err(io::Error::other(complaint(body))),
                b'Z' => return Ok(answer),
                _ => {}
            }
        }
    }

    /// Ends the session as a client should, and waits until the other side has closed.
    pub(crate) fn close(mut self) -> io::Result<()> {
        let mut goodbye = Vec::new();
        put(&mut goodbye, b'X', &[]);
        self.send(&goodbye)?;
        let mut rest = [0; 512];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // With TLS it may close without a word of farewell.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes without a word.
    pub(crate) fn shut(&self, how: Shutdown) -> io::Result<()> {
        match &self.stream {
            Stream::Plain(stream) => stream.shutdown(how),
            Stream::Tls(stream) => stream.sock.shutdown(how),
        }
    }

    /// Makes the system reset the connection when this is dropped.
    pub(crate) fn reset(&self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(self.descriptor(), Some(Duration::ZERO))
            .map_err(io::Error::from)
    }

    /// Gives back the buffer until something is read again.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end {
            (self.start, self.end, self.buffer) = (0, 0, Vec::new());
        }
    }

    fn log_in(&mut self, login: &Login) -> io::Result<()> {
        self.send(&startup(login))?;
        let mut scram = None;
        let (mut parameters, mut cancel_key) = (Vec::new(), Vec::new());
        loop {
            let (tag, body) = self.message()?;
            let reply = match (tag, body.split_first_chunk::<4>()) {
                (b'R', Some((code, rest))) => {
                    proof(u32::from_be_bytes(*code), rest, login, &mut scram)?
                }
                (b'E', _) => return Err(io::Error::other(complaint(body))),
                (b'S', _) => {
                    put(&mut parameters, tag, &[body]);
                    None
                }
                (b'K', _) => {
                    cancel_key = body.to_vec();
                    None
                }
                (b'Z', _) => {
                    (self.parameters, self.cancel_key) = (parameters, cancel_key);
                    return Ok(());
                }
                _ => None,
            };
            if let Some(reply) = reply {
                self.send(&reply)?;
            }
        }
    }

    /// The tag and the length of the message at the front, if all of it is there.
    fn whole(&self) -> Option<(u8, usize)> {
        let unread = self.buffer.get(self.start..self.end)?;
        let (head, _) = unread.split_first_chunk::<5>()?;
        let [tag, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize + 1;
        (unread.len() >= length).then_some((tag, length))
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.buffer.resize(self.buffer.len().max(BUFFER_BYTES), 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize(2 * self.end, 0);
            }
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.stream.read(room)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed"));
        }
        self.end += read;
        Ok(())
    }

    fn refusal(&self, length: usize) -> io::Error {
        let body = self.start + 5..self.start + length;
        io::Error::other(complaint(self.buffer.get(body).unwrap_or_default()))
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(room),
            Stream::Tls(stream) => stream.read(room),
        }
    }
}

fn start_tls(mut stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    stream.write_all(&SSL_REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer != [b'S'] {
        return Err(io::Error::other("the server does not speak TLS"));
    }
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, stream))))
}

/// The answer to an authentication request, if it wants one.
fn proof(
    code: u32,
    body: &[u8],
    login: &Login,
    scram: &mut Option<ScramClient>,
) -> io::Result<Option<Vec<u8>>> {
    let mut reply = Vec::new();
    match (code, scram.as_mut()) {
        (0, _) => return Ok(None),
        (3, _) => put(&mut reply, b'p', &[login.keys.password().as_bytes(), b"\0"]),
        (10, _) => {
            let mechanisms = body.split(|byte| *byte == 0);
            let mechanisms = mechanisms.filter_map(|name| std::str::from_utf8(name).ok());
            let binding = ChannelBinding::Unavailable;
            let begun = ScramClient::begin(mechanisms, &binding, login.keys.clone())
                .map_err(io::Error::other)?;
            let first = begun.first();
            let length = u32::try_from(first.len()).unwrap_or(0).to_be_bytes();
            put(&mut reply, b'p', &[begun.mechanism().as_bytes(), b"\0", &length, &first]);
            *scram = Some(begun);
        }
        (11, Some(scram)) => {
            put(&mut reply, b'p', &[&scram.respond(body).map_err(io::Error::other)?]);
        }
        (12, Some(scram)) => {
            scram.verify(body).map_err(io::Error::other)?;
            return Ok(None);
        }
        _ => return Err(io::Error::other(format!("authentication method {code} is not known"))),
    }
    Ok(Some(reply))
}

fn startup(login: &Login) -> Vec<u8> {
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    let parameters = [
        ("user", login.user.as_str()),
        ("database", login.database.as_str()),
        ("client_encoding", "UTF8"),
    ];
    for word in parameters.iter().flat_map(|(name, value)| [name, value]) {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// Appends a message made of these parts.
pub(crate) fn put(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(tag);
    out.extend_from_slice(&u32::try_from(length + 4).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// What an ErrorResponse says: code and message.
pub(crate) fn complaint(body: &[u8]) -> String {
    let field = |wanted: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&wanted));
        String::from_utf8_lossy(found.and_then(|field| field.get(1..)).unwrap_or_default())
            .into_owned()
    };
    format!("{} {}", field(b'C'), field(b'M'))
}

/// The cells of a DataRow's body; NULL is none.
pub(crate) fn cells(row: &[u8]) -> Vec<Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    let mut cells = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) if length <= after.len() => {
                let (cell, after) = after.split_at(length);
                cells.push(Some(cell));
                rest = after;
            }
            Ok(_) => break,
            Err(_) => {
                cells.push(None);
                rest = after;
            }
        }
    }
    cells
}
