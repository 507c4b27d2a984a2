//! A peer's messages one by one, read many at a time: a server's, and a client's as it logs in.

use std::future::poll_fn;
use std::io;

use portcullis_wire::frame::cut;

use crate::transport::{Transport, invalid};

/// Most messages of a login are shorter.
const READ_BYTES_MIN: usize = 1024;
/// Hundreds of a catalog's rows.
const READ_BYTES_MAX: usize = 64 * 1024;

/// What was read of a peer and not yet looked at.
#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Of these, so many were given out.
    given: usize,
    /// So many came with the last read.
    last: usize,
}

impl Frames {
    /// The next message: its tag and its body, of at most `bytes_max` bytes together.
    ///
    /// Not cancel safe: drop the connection with it.
    pub async fn next(
        &mut self,
        transport: &mut Transport,
        bytes_max: usize,
    ) -> io::Result<(u8, &[u8])> {
        loop {
            // Checks the length before anything is allocated for it.
            let waiting = self.bytes.get(self.given..).unwrap_or_default();
            if let Some(frame) = cut(waiting, bytes_max).map_err(invalid)? {
                let (tag, length) = (frame.tag, frame.body.len());
                self.given += frame.bytes.len();
                let body = self.given - length..self.given;
                return Ok((tag, self.bytes.get(body).unwrap_or_default()));
            }
            self.bytes.drain(..self.given);
            self.given = 0;
            self.read(transport).await?;
        }
    }

    async fn read(&mut self, transport: &mut Transport) -> io::Result<()> {
        let known = self.bytes.len();
        let room = (2 * self.last).clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        self.bytes.resize(known + room, 0);
        let space = self.bytes.get_mut(known..).unwrap_or_default();
        let count = poll_fn(|cx| transport.poll_read(cx, space)).await?;
        self.bytes.truncate(known + count);
        self.last = count;
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// What nobody has asked for: it belongs to whoever reads on.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.drain(..self.given);
        self.bytes.shrink_to_fit();
        self.bytes
    }
}
