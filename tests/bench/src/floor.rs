//! The least that a proxy in front of PostgreSQL can cost: what all figures are held against.
//!
//! `splice` copies bytes, `frames` also walks the messages, and `mask` also rewrites columns 3
//! to 5 of every row of six or more, natively and knowing nothing of policies.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::Failure;

/// As much as the system moves in one call between local sockets; smaller is slower in bulk.
const BUFFER_BYTES: usize = 64 * 1024;
const SSL_REQUEST: [u8; 4] = [4, 210, 22, 47];
const GSSENC_REQUEST: [u8; 4] = [4, 210, 22, 48];
const COLUMNS_MIN: u16 = 6;

/// What a floor proxy does with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    Splice,
    Frames,
    Mask,
}

impl Floor {
    pub(crate) fn named(name: &str) -> Option<Floor> {
        match name {
            "splice" => Some(Floor::Splice),
            "frames" => Some(Floor::Frames),
            "mask" => Some(Floor::Mask),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Floor::Splice => "splice",
            Floor::Frames => "frames",
            Floor::Mask => "mask",
        }
    }
}

/// Serves for ever. One line on standard output says where; one thread where `threads` is 1.
#[allow(clippy::print_stdout)] // Whoever started this program reads it.
pub(crate) fn serve(floor: Floor, upstream: SocketAddr, threads: usize) -> Result<(), Failure> {
    use tokio::runtime::Builder;
    let mut runtime = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(threads.max(1)).enable_io().build();
    let runtime = runtime.map_err(Failure::to("start a runtime"))?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Failure::to("listen"))?;
        println!("{}", listener.local_addr().map_err(Failure::to("listen"))?);
        loop {
            let (client, _) = listener.accept().await.map_err(Failure::to("accept"))?;
            // A task of its own, so that several threads share the work.
            tokio::spawn(async move {
                // Whoever closes first ends it; there is nobody to tell.
                let _ = relay(floor, client, upstream).await;
            });
        }
    })
}

async fn relay(floor: Floor, mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if floor == Floor::Splice {
        let copied = tokio::io::copy_bidirectional_with_sizes(
            &mut client,
            &mut server,
            BUFFER_BYTES,
            BUFFER_BYTES,
        );
        return copied.await.map(|_| ());
    }
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let frontend = pump(&mut client_read, &mut server_write, Walker::new(true, false));
    let masks = floor == Floor::Mask;
    let backend = pump(&mut server_read, &mut client_write, Walker::new(false, masks));
    tokio::try_join!(frontend, backend).map(|_| ())
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut walker: Walker,
) -> std::io::Result<()> {
    loop {
        if walker.unsent.len() == walker.unsent.capacity() {
            walker.unsent.reserve(BUFFER_BYTES);
        }
        if from.read_buf(&mut walker.unsent).await? == 0 {
            return to.shutdown().await;
        }
        let whole = walker.walk();
        if whole > 0 {
            let unsent = walker.unsent.get(..whole).unwrap_or_default();
            to.write_all(if walker.masks { &walker.masked } else { unsent }).await?;
            walker.unsent.drain(..whole);
        }
    }
}

/// Goes from message to message.
struct Walker {
    unsent: Vec<u8>,
    /// What goes out in place of the whole messages, where rows are rewritten.
    masked: Vec<u8>,
    masks: bool,
    /// Before the startup packet messages have no tag.
    starting: bool,
    seen_any: bool,
}

impl Walker {
    fn new(starting: bool, masks: bool) -> Walker {
        let (unsent, masked) = (Vec::with_capacity(BUFFER_BYTES), Vec::new());
        Walker { unsent, masked, masks, starting, seen_any: false }
    }

    /// Says how many bytes at the front are whole messages.
    fn walk(&mut self) -> usize {
        self.masked.clear();
        let mut done = 0;
        while let Some(rest) = self.unsent.get(done..).filter(|rest| !rest.is_empty()) {
            let length = if self.starting { first_length(rest) } else { self.length(rest) };
            let Some(message) = length.and_then(|length| rest.get(..length)) else { break };
            if self.starting {
                let asks = message.get(4..8);
                self.starting = asks == Some(&SSL_REQUEST[..]) || asks == Some(&GSSENC_REQUEST[..]);
            }
            self.seen_any = true;
            done += message.len();
            if self.masks {
                match message.first() {
                    Some(b'D') => mask_row(message, &mut self.masked),
                    _ => self.masked.extend_from_slice(message),
                }
            }
        }
        done
    }

    fn length(&self, rest: &[u8]) -> Option<usize> {
        // The answer to a request for encryption is one byte.
        if !self.seen_any && rest.len() == 1 && matches!(rest, [b'N' | b'S']) {
            return Some(1);
        }
        let (head, _) = rest.split_first_chunk::<5>()?;
        let [_, length @ ..] = *head;
        Some(u32::from_be_bytes(length) as usize + 1)
    }
}

fn first_length(rest: &[u8]) -> Option<usize> {
    rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize)
}

/// Copies a DataRow with columns 3 to 5 (an e-mail address, a telephone number and an identity
/// number) masked, or as it is where it has fewer than six.
fn mask_row(row: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if rewrite(row, out).is_none() {
        out.truncate(start);
        out.extend_from_slice(row);
        return;
    }
    let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start + 1..start + 5) {
        place.copy_from_slice(&length);
    }
}

fn rewrite(row: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (head, mut rest) = row.split_at_checked(7)?;
    let columns = u16::from_be_bytes(*head.last_chunk::<2>()?);
    if columns < COLUMNS_MIN {
        return None;
    }
    out.extend_from_slice(head);
    for column in 0..columns {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(bytes) = usize::try_from(i32::from_be_bytes(*length)) else {
            out.extend_from_slice(length);
            rest = after;
            continue;
        };
        let (cell, after) = after.split_at_checked(bytes)?;
        let last = cell.get(cell.len().saturating_sub(4)..)?;
        match column {
            2 => {
                let at = cell.iter().position(|byte| *byte == b'@').unwrap_or(cell.len());
                put(out, &[cell.get(..1)?, b"***", cell.get(at..)?]);
            }
            3 => put(out, &[STARS.get(..(cell.len() - last.len()).min(STARS.len()))?, last]),
            4 => put(out, &[b"***-**-", last]),
            _ => put(out, &[cell]),
        }
        rest = after;
    }
    Some(())
}

const STARS: &[u8] = &[b'*'; 32];

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
