//! Read buffers, lent by the worker to whichever session has something to read.
//!
//! A session owns no read buffer: ten thousand idle ones cost nothing, and the one buffer
//! that is used stays in the cache.

use std::cell::RefCell;
use std::rc::Rc;

/// Large enough that a bulk result costs few system calls.
pub const BUFFER_BYTES: usize = 64 * 1024;
/// More than this many are only needed while handlers of as many sessions wait.
const KEPT_MAX: usize = 16;

/// The buffers of one worker.
#[derive(Clone, Default)]
pub struct Buffers {
    free: Rc<RefCell<Vec<Box<[u8]>>>>,
}

impl Buffers {
    /// Borrows a buffer until [`give_back`](Buffers::give_back).
    pub fn take(&self) -> Box<[u8]> {
        let kept = self.free.borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    pub fn give_back(&self, buffer: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT_MAX {
            free.push(buffer);
        }
    }
}

/// Bytes on their way out, sent from the front.
#[derive(Default)]
pub struct Queue {
    bytes: Vec<u8>,
    sent: usize,
}

impl Queue {
    /// What is still to be sent.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.pending().len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// Where to append.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The first `count` pending bytes were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            // An idle session keeps nothing of what a busy moment needed.
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
    }
}

/// What a session's queue may keep allocated while it is empty.
const KEPT_BYTES_MAX: usize = 1024;
