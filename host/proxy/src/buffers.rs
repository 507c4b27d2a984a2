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
        let pending = self.len();
        if pending == 0 {
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(BUSY_BYTES_MAX);
        } else if self.sent >= BUFFER_BYTES.max(pending) {
            // A peer that is always a little behind would never see it empty. Each byte sent
            // pays for moving one at most.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Gives back what a busy moment needed: an idle session keeps nothing of it.
    pub fn rest(&mut self) {
        if self.is_empty() {
            self.bytes.shrink_to(IDLE_BYTES_MAX);
        }
    }
}

/// What an empty queue may keep allocated from one part of a result to the next: allocating it
/// each time anew costs more than all else that is done with a row.
const BUSY_BYTES_MAX: usize = 4 * BUFFER_BYTES;
/// The same for a session that waits for its client.
const IDLE_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_always_behind_does_not_make_the_queue_grow() {
        let mut queue = Queue::default();
        let mut came: u8 = 0;
        let mut expected: u8 = 0;
        for _ in 0..10_000 {
            while queue.len() < 4 * BUFFER_BYTES {
                queue.tail().extend(std::iter::repeat_n(came, 10_000));
                came = came.wrapping_add(1);
            }
            for _ in 0..3 {
                assert!(queue.pending().iter().take(10_000).all(|byte| *byte == expected));
                queue.sent(10_000);
                expected = expected.wrapping_add(1);
            }
            assert!(queue.tail().capacity() < 1 << 20, "{}", queue.tail().capacity());
        }
    }

    #[test]
    fn what_a_busy_moment_needed_is_given_back() {
        let mut queue = Queue::default();
        queue.tail().resize(8 << 20, 0);
        queue.sent(8 << 20);
        assert!(queue.tail().capacity() <= BUSY_BYTES_MAX);
        queue.rest();
        assert!(queue.tail().capacity() <= IDLE_BYTES_MAX);
        queue.tail().push(1);
        queue.rest();
        assert_eq!(queue.pending(), [1]);
    }
}
