//! An upstream for more sessions than PostgreSQL would bear. It knows one statement by heart,
//! as PostgreSQL answered it; any other question it passes on to PostgreSQL once and then knows
//! too. What the proxy asks on connections of its own goes to PostgreSQL as it is.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::Failure;
use crate::stage::Stage;
use crate::wire::{Connection, put};
use crate::workload::Workload;

const BUFFER_BYTES: usize = 4 * 1024;
/// What the proxy calls itself on connections of its own.
const OWN: &[u8] = b"\0application_name\0portcullis\0";
const CANCEL_REQUEST: [u8; 4] = [4, 210, 22, 46];

/// What it has seen.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sessions_open: AtomicU64,
    pub(crate) sessions_ever: AtomicU64,
    /// Prepared statements that were never closed when their session ended.
    pub(crate) statements_left: AtomicU64,
    /// Messages that it could not answer.
    pub(crate) unknown: AtomicU64,
}

/// A running one. Its thread ends with the process.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
}

/// By text.
type Answers = HashMap<Vec<u8>, Vec<u8>>;

struct Script {
    real: SocketAddr,
    /// From AuthenticationOk to the first ReadyForQuery.
    greeting: Vec<u8>,
    parameters: Vec<u8>,
    description: Vec<u8>,
    row_and_end: Vec<u8>,
    /// Answers to other texts, and the session that finds them out.
    known: Mutex<(Connection, Answers)>,
    counts: Arc<Counts>,
}

impl Scripted {
    pub(crate) fn start(stage: &Stage) -> Result<Scripted, Failure> {
        let counts: Arc<Counts> = Arc::default();
        let script = Arc::new(Script::record(stage, counts.clone())?);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
        let listener = listener.map_err(Failure::to("listen"))?;
        listener.set_nonblocking(true).map_err(Failure::to("listen"))?;
        let address = listener.local_addr().map_err(Failure::to("listen"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(Failure::to("start a runtime"))?;
        std::thread::spawn(move || runtime.block_on(script.serve_all(listener)));
        Ok(Scripted { address, counts })
    }
}

impl Script {
    fn record(stage: &Stage, counts: Arc<Counts>) -> Result<Script, Failure> {
        let record = || {
            let mut session = stage.direct().connect()?;
            let mut greeting = Vec::new();
            put(&mut greeting, b'R', &[&[0; 4]]);
            greeting.extend_from_slice(session.parameters());
            put(&mut greeting, b'K', &[&[0, 0, 0, 1], &[0, 0, 0, 1]]);
            put(&mut greeting, b'Z', &[b"I"]);
            let text = format!("{}$1", Workload::A.text());
            let mut request = Vec::new();
            put(&mut request, b'P', &[b"\0", text.as_bytes(), &[0, 0, 0]]);
            put(&mut request, b'D', &[b"S\0"]);
            put(&mut request, b'B', &[&[0, 0, 0, 0, 0, 1, 0, 0, 0, 1], b"1", &[0, 0]]);
            put(&mut request, b'E', &[&[0; 5]]);
            put(&mut request, b'S', &[]);
            session.send(&request)?;
            let (mut parameters, mut description) = (Vec::new(), Vec::new());
            let mut row_and_end = Vec::new();
            loop {
                let (tag, body) = session.message()?;
                let place = match tag {
                    b't' => &mut parameters,
                    b'T' => &mut description,
                    b'D' | b'C' => &mut row_and_end,
                    b'E' => return Err(io::Error::other(crate::wire::complaint(body))),
                    b'Z' => break,
                    _ => continue,
                };
                put(place, tag, &[body]);
            }
            let known = Mutex::new((session, HashMap::new()));
            let real = stage.address();
            Ok(Script { real, greeting, parameters, description, row_and_end, known, counts })
        };
        record().map_err(Failure::to("record PostgreSQL's answers"))
    }

    async fn serve_all(self: Arc<Script>, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let script = self.clone();
            // Whoever closes first ends it.
            tokio::spawn(async move { script.serve(stream).await });
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let length = stream.read_u32().await?;
        let mut packet = vec![0; (length as usize).saturating_sub(4).min(BUFFER_BYTES)];
        stream.read_exact(&mut packet).await?;
        if packet.starts_with(&CANCEL_REQUEST) {
            return Ok(());
        }
        if packet.windows(OWN.len()).any(|window| window == OWN) {
            let mut real = TcpStream::connect(self.real).await?;
            real.set_nodelay(true)?;
            real.write_all(&[&length.to_be_bytes()[..], &packet].concat()).await?;
            return tokio::io::copy_bidirectional(&mut stream, &mut real).await.map(|_| ());
        }
        let _open = Open::new(&self.counts);
        let mut names = HashSet::new();
        let ended = self.converse(&mut stream, &mut names).await;
        let left = names.len() as u64;
        self.counts.statements_left.fetch_add(left, Ordering::Relaxed);
        ended
    }

    /// Until the client goes, politely or not.
    async fn converse(
        &self,
        stream: &mut TcpStream,
        names: &mut HashSet<Vec<u8>>,
    ) -> io::Result<()> {
        stream.write_all(&self.greeting).await?;
        let mut unread: Vec<u8> = Vec::new();
        let mut answer = Vec::new();
        loop {
            let mut done = 0;
            while let Some((tag, body)) = unread.get(done..).and_then(message) {
                done += body.len() + 5;
                if tag == b'X' {
                    return Ok(());
                }
                self.answer(tag, body, names, &mut answer)?;
            }
            unread.drain(..done);
            if !answer.is_empty() {
                stream.write_all(&answer).await?;
                answer.clear();
            }
            if unread.is_empty() {
                // Sessions that wait hold no buffer.
                unread = Vec::new();
                stream.readable().await?;
            }
            unread.reserve(BUFFER_BYTES);
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        }
    }

    fn answer(
        &self,
        tag: u8,
        body: &[u8],
        names: &mut HashSet<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
        match (tag, body.first()) {
            (b'Q', _) if is_by_heart(body) => {
                out.extend_from_slice(&self.description);
                out.extend_from_slice(&self.row_and_end);
                put(out, b'Z', &[b"I"]);
            }
            (b'Q', _) => out.extend_from_slice(&self.find_out(body)?),
            (b'P', _) if body.get(name.len() + 1..).is_some_and(is_by_heart) => {
                if !name.is_empty() {
                    names.insert(name.to_owned());
                }
                put(out, b'1', &[]);
            }
            (b'B', _) => put(out, b'2', &[]),
            (b'D', Some(b'S')) => {
                out.extend_from_slice(&self.parameters);
                out.extend_from_slice(&self.description);
            }
            (b'D', _) => out.extend_from_slice(&self.description),
            (b'E', _) => out.extend_from_slice(&self.row_and_end),
            (b'C', Some(kind)) => {
                if *kind == b'S' {
                    names.remove(name.get(1..).unwrap_or_default());
                }
                put(out, b'3', &[]);
            }
            (b'S', _) => put(out, b'Z', &[b"I"]),
            (b'H', _) => {}
            // The real server asks for proof, and so the proxy begins one here as well, once.
            (b'p', _) => return Err(io::Error::other("a proof that was not asked for")),
            _ => {
                self.counts.unknown.fetch_add(1, Ordering::Relaxed);
                return Err(io::Error::other("not in the script"));
            }
        }
        Ok(())
    }

    /// What PostgreSQL says to this text. It blocks, once for each text.
    fn find_out(&self, text: &[u8]) -> io::Result<Vec<u8>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, answers) = &mut *known;
        if let Some(answer) = answers.get(text) {
            return Ok(answer.clone());
        }
        let mut request = Vec::new();
        put(&mut request, b'Q', &[text]);
        session.send(&request)?;
        let mut answer = Vec::new();
        loop {
            let (tag, body) = session.message()?;
            put(&mut answer, tag, &[body]);
            if tag == b'Z' {
                break;
            }
        }
        answers.insert(text.to_owned(), answer.clone());
        Ok(answer)
    }
}

/// Counts a session while it is there.
struct Open<'a>(&'a Counts);

impl<'a> Open<'a> {
    fn new(counts: &'a Counts) -> Open<'a> {
        counts.sessions_open.fetch_add(1, Ordering::Relaxed);
        counts.sessions_ever.fetch_add(1, Ordering::Relaxed);
        Open(counts)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.sessions_open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_by_heart(text: &[u8]) -> bool {
    text.starts_with(Workload::A.text().as_bytes())
}

fn message(unread: &[u8]) -> Option<(u8, &[u8])> {
    let (head, rest) = unread.split_first_chunk::<5>()?;
    let [tag, length @ ..] = *head;
    let body = rest.get(..(u32::from_be_bytes(length) as usize).checked_sub(4)?)?;
    Some((tag, body))
}
