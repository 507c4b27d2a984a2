//! The proxy's own questions, over a connection of its own: never inside a client's session.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use portcullis_wire::backend;
use portcullis_wire::encode;
use portcullis_wire::frame::HEADER_BYTES;

use crate::transport::invalid;
use crate::upstream::Upstream;

/// A server ends each of our statements after ten seconds; one that says nothing for longer than
/// that is not there any more.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Answers are catalogs and samples; a larger one is not read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const FRAME_BYTES_MAX: usize = 16 << 20;

/// A row of an answer, in text.
pub type Row = Vec<Option<String>>;

/// The server's error.
#[derive(Debug)]
struct Refused {
    sqlstate: String,
    message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// Was it not answered because somebody holds a lock?
pub fn is_locked_out(error: &io::Error) -> bool {
    let refused = error.get_ref().and_then(|error| error.downcast_ref::<Refused>());
    refused.is_some_and(|refused| matches!(&*refused.sqlstate, "55P03" | "40P01"))
}

/// A connection to ask on.
pub struct Asking {
    upstream: Upstream,
    /// How far this server's catalog was read over this connection.
    pub seen: Option<Seen>,
}

/// A reading of the catalog: what it did not see, the next one looks for.
#[derive(Debug)]
pub struct Seen {
    /// Transactions before this one had ended.
    pub horizon: String,
    /// The names of all schemas, by OID.
    pub schemas: HashMap<u32, String>,
    /// Relations that could not be read.
    pub unread: Vec<u32>,
    /// When all of the catalog was read.
    pub whole_at: Instant,
}

impl Asking {
    pub fn new(upstream: Upstream) -> Asking {
        Asking { upstream, seen: None }
    }

    /// The database's encoding is UTF-8.
    pub fn is_utf8(&self) -> bool {
        self.upstream.reported.value("server_encoding") == Some(b"UTF8")
    }

    /// Runs statements in one message and collects the rows of each.
    ///
    /// # Errors
    /// As those of [`Asking::ask`]; what stands behind the statement that failed was not run.
    pub async fn ask_all(&mut self, texts: &[&str]) -> io::Result<Vec<Vec<Row>>> {
        let mut out = Vec::new();
        encode::query(&mut out, &texts.join(";\n"));
        self.answers(&out).await
    }

    /// Runs one statement and collects its rows.
    ///
    /// # Errors
    /// Of kind `Other` when the server refused and the connection goes on; any other kind
    /// means the connection is of no more use. Not cancel safe: drop the connection then.
    pub async fn ask(&mut self, text: &str) -> io::Result<Vec<Row>> {
        let mut out = Vec::new();
        encode::query(&mut out, text);
        self.answer(&out).await
    }

    /// Runs a text that somebody else wrote: as one statement or not at all, however the
    /// server reads it.
    ///
    /// # Errors
    /// As those of [`Asking::ask`].
    pub async fn ask_one(&mut self, text: &str) -> io::Result<Vec<Row>> {
        let mut parse = vec![0];
        parse.extend_from_slice(text.as_bytes());
        parse.extend_from_slice(&[0, 0, 0]);
        let mut out = Vec::new();
        encode::frame(&mut out, b'P', &parse);
        encode::frame(&mut out, b'B', &[0; 8]);
        encode::frame(&mut out, b'E', &[0; 5]);
        encode::frame(&mut out, b'S', &[]);
        self.answer(&out).await
    }

    async fn answer(&mut self, question: &[u8]) -> io::Result<Vec<Row>> {
        Ok(self.answers(question).await?.into_iter().flatten().collect())
    }

    /// One list of rows for every statement that completed.
    async fn answers(&mut self, question: &[u8]) -> io::Result<Vec<Vec<Row>>> {
        let answers = tokio::time::timeout(ANSWER_TIME_MAX, self.heard(question));
        answers.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn heard(&mut self, question: &[u8]) -> io::Result<Vec<Vec<Row>>> {
        self.upstream.transport.write_all(question).await?;
        let (mut answers, mut rows) = (Vec::new(), Vec::new());
        let mut refused = None;
        let mut bytes = 0;
        loop {
            let Upstream { transport, frames, .. } = &mut self.upstream;
            let (tag, body) = frames.next(transport, FRAME_BYTES_MAX).await?;
            bytes += body.len() + HEADER_BYTES;
            if bytes > ANSWER_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match tag {
                b'D' => rows.push(row(body)?),
                b'C' => answers.push(std::mem::take(&mut rows)),
                b'E' => {
                    let fields = backend::notice_fields(body).map_err(invalid)?;
                    let message = backend::field(&fields, b'M').unwrap_or_default();
                    let code = backend::field(&fields, b'C').unwrap_or_default();
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    refused = Some(Refused { sqlstate: text(code), message: text(message) });
                }
                b'Z' => break,
                _ => {}
            }
        }
        match refused {
            Some(refused) => Err(io::Error::other(refused)),
            None => Ok(answers),
        }
    }
}

fn row(body: &[u8]) -> io::Result<Row> {
    let cells = backend::data_row(body).map_err(invalid)?;
    Ok(cells
        .into_iter()
        .map(|cell| cell.map(|text| String::from_utf8_lossy(text).into_owned()))
        .collect())
}
