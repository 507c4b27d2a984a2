//! A connection in memory: a session has one end, and a test or a fuzz target the other.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The session's end.
pub struct Stream {
    incoming: Pipe,
    outgoing: Pipe,
}

/// The other end. What it does never waits.
#[derive(Clone)]
pub struct Peer {
    /// To the session.
    outgoing: Pipe,
    /// From the session.
    incoming: Pipe,
}

/// A connection, as both sides have it.
pub fn connection() -> (Stream, Peer) {
    let (to, from) = (Pipe::default(), Pipe::default());
    let stream = Stream { incoming: to.clone(), outgoing: from.clone() };
    (stream, Peer { outgoing: to, incoming: from })
}

/// One direction.
#[derive(Clone)]
struct Pipe(Arc<Mutex<State>>);

struct State {
    bytes: VecDeque<u8>,
    /// As much as waits for its reader at most.
    room_bytes: usize,
    /// As much as the session reads or writes at once.
    at_once_bytes: usize,
    /// All that ever went through.
    passed_bytes: u64,
    end: Option<End>,
    /// The session waits for bytes, or for room.
    waiting: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

impl Default for Pipe {
    fn default() -> Pipe {
        Pipe(Arc::new(Mutex::new(State {
            bytes: VecDeque::new(),
            room_bytes: usize::MAX,
            at_once_bytes: usize::MAX,
            passed_bytes: 0,
            end: None,
            waiting: None,
        })))
    }
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that the session may wait for.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        changed
    }
}

impl Peer {
    pub fn send(&self, bytes: &[u8]) {
        self.outgoing.change(|state| state.bytes.extend(bytes));
    }

    /// What the session has sent and nobody has taken yet.
    pub fn receive(&self) -> Vec<u8> {
        self.incoming.change(|state| std::mem::take(&mut state.bytes).into())
    }

    /// The session has said all it has to say.
    pub fn is_closed(&self) -> bool {
        self.incoming.state().end.is_some()
    }

    /// How much of what was sent the session has not taken.
    pub fn unread_bytes(&self) -> usize {
        self.outgoing.state().bytes.len()
    }

    /// How much the session has ever taken.
    pub fn taken_bytes(&self) -> u64 {
        self.outgoing.state().passed_bytes
    }

    /// How much the session has ever given.
    pub fn given_bytes(&self) -> u64 {
        self.incoming.state().passed_bytes
    }

    /// Says no more, but goes on listening.
    pub fn close(&self) {
        self.outgoing.change(|state| state.end = Some(End::Closed));
    }

    /// Is gone: nothing arrives any more, in either direction.
    pub fn reset(&self) {
        for pipe in [&self.outgoing, &self.incoming] {
            pipe.change(|state| {
                state.end = Some(End::Reset);
                state.bytes.clear();
            });
        }
    }

    /// Takes no more than this before it is asked to receive; 0 is a peer that has stalled.
    pub fn take_at_most(&self, room_bytes: usize) {
        self.incoming.change(|state| state.room_bytes = room_bytes);
    }

    /// Lets the session read and write only so much at once.
    pub fn pass_at_once(&self, at_once_bytes: usize) {
        self.outgoing.change(|state| state.at_once_bytes = at_once_bytes);
        self.incoming.change(|state| state.at_once_bytes = at_once_bytes);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.incoming.state();
        if state.bytes.is_empty() {
            return match state.end {
                Some(End::Closed) => Poll::Ready(Ok(())),
                Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    state.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let (front, _) = state.bytes.as_slices();
        let count = front.len().min(state.at_once_bytes).min(buffer.remaining());
        buffer.put_slice(front.get(..count).unwrap_or_default());
        state.bytes.drain(..count);
        state.passed_bytes += count as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.state();
        if state.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = state.room_bytes.saturating_sub(state.bytes.len());
        let count = bytes.len().min(room).min(state.at_once_bytes);
        if count == 0 && !bytes.is_empty() {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend(bytes.get(..count).unwrap_or_default());
        state.passed_bytes += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.state().end.get_or_insert(End::Closed);
        Poll::Ready(Ok(()))
    }
}

/// A session that is gone has closed its end.
impl Drop for Stream {
    fn drop(&mut self) {
        self.outgoing.state().end.get_or_insert(End::Closed);
    }
}
