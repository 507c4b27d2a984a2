//! Who answers what: the messages sent to the server whose answers are still to come.
//!
//! The server answers in order, so a queue says to which message each answer belongs. What
//! makes it more than a queue is what PostgreSQL does after an error in the extended
//! protocol (everything up to Sync is discarded unanswered) and during COPY FROM STDIN
//! (Sync is ignored); both are followed exactly, because an answer taken for another's
//! would be masked by another's plan.

use std::collections::VecDeque;

use crate::frame::Malformed;

/// A message sent to the server, by what answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Query,
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    Close,
    Sync,
    FunctionCall,
    /// CopyDone or CopyFail: answered by what completes the COPY.
    CopyEnd,
}

impl Expect {
    /// After an error the server discards everything but these.
    fn ends_skipping(self) -> bool {
        self == Expect::Sync
    }

    /// Messages outside the extended protocol, and what ends it: ReadyForQuery is due behind
    /// them, whether they fail or not.
    pub fn is_ready_due(self) -> bool {
        match self {
            Expect::Query | Expect::Sync | Expect::FunctionCall => true,
            Expect::Parse
            | Expect::Bind
            | Expect::DescribeStatement
            | Expect::DescribePortal
            | Expect::Execute
            | Expect::Close
            | Expect::CopyEnd => false,
        }
    }
}

/// A message sent, with what its sender wants to remember about it.
#[derive(Debug)]
pub struct Entry<T> {
    pub expect: Expect,
    pub payload: T,
}

/// What a message from the server means for the queue.
#[derive(Debug)]
pub enum Step<T> {
    /// Belongs to the message in front, which is not done; see [`Pipeline::front_mut`].
    Current,
    /// Belongs to no message: a notice, a parameter, a notification.
    Asynchronous,
    /// Answers this message, which is done.
    Done(Entry<T>),
    /// This message failed, and the server discards these unanswered.
    Failed { failed: Entry<T>, skipped: Vec<Entry<T>> },
    /// ReadyForQuery of this message.
    Ready(Entry<T>),
}

/// The queue. `T` is what the sender remembers per message.
#[derive(Debug)]
pub struct Pipeline<T> {
    entries: VecDeque<Entry<T>>,
    /// After an error in the extended protocol, until the Sync that ends it is sent.
    skipping: bool,
    /// The server reads COPY data and the client has not ended it.
    copy_in: bool,
}

impl<T> Default for Pipeline<T> {
    fn default() -> Pipeline<T> {
        Pipeline { entries: VecDeque::new(), skipping: false, copy_in: false }
    }
}

impl<T> Pipeline<T> {
    /// Nothing is unanswered, and the server is not waiting for a Sync.
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty() && !self.skipping && !self.copy_in
    }

    /// The number of messages unanswered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The server may keep its answer to the latest message until it is told to Sync or Flush.
    pub fn waits_for_sync(&self) -> bool {
        self.entries.back().is_some_and(|entry| !entry.expect.is_ready_due())
    }

    /// The server discards what it reads, up to a Sync.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The server reads COPY data.
    pub fn is_copy_in(&self) -> bool {
        self.copy_in
    }

    /// The message whose answers are arriving.
    pub fn front(&self) -> Option<&Entry<T>> {
        self.entries.front()
    }

    /// The same, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut Entry<T>> {
        self.entries.front_mut()
    }

    /// Takes out the message in front while what it has remembered is dealt with; it is to be put
    /// back.
    pub fn lift(&mut self) -> Option<Entry<T>> {
        self.entries.pop_front()
    }

    /// Puts back in front what was taken out.
    pub fn put_back(&mut self, entry: Entry<T>) {
        self.entries.push_front(entry);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter()
    }

    /// Everything unanswered: the connection has ended.
    pub fn drain(&mut self) -> impl Iterator<Item = Entry<T>> + '_ {
        self.entries.drain(..)
    }

    /// A message is sent to the server. Gives it back where the server will discard it.
    pub fn push(&mut self, expect: Expect, payload: T) -> Option<Entry<T>> {
        let entry = Entry { expect, payload };
        if self.skipping && !expect.ends_skipping() {
            return Some(entry);
        }
        self.skipping = false;
        if expect == Expect::CopyEnd && (self.copy_in || self.entries.is_empty()) {
            self.copy_in = false;
            return None;
        }
        if self.copy_in && expect == Expect::Sync {
            // The server ignores it, or not if the COPY fails first: it must not be sent.
            return Some(entry);
        }
        self.entries.push_back(entry);
        None
    }

    /// What was sent last can only fail: what the client says behind it, up to a Sync, the
    /// server would discard.
    pub fn skip(&mut self) {
        self.skipping = true;
    }

    /// A message came from the server.
    ///
    /// # Errors
    /// When it cannot be an answer to what was sent: the two no longer agree on whose answer
    /// is whose, and the connection must end.
    pub fn answer(&mut self, tag: u8) -> Result<Step<T>, Malformed> {
        let unexpected = |state| Err(Malformed::Unexpected { tag, state });
        if matches!(tag, b'N' | b'S' | b'A') {
            return Ok(Step::Asynchronous);
        }
        if tag == b'Z' {
            return self.ready();
        }
        let Some(front) = self.entries.front().map(|entry| entry.expect) else {
            return unexpected("from the server, which was not asked");
        };
        match (tag, front) {
            (b'1', Expect::Parse)
            | (b'2', Expect::Bind)
            | (b'3', Expect::Close)
            | (b'T' | b'n', Expect::DescribeStatement | Expect::DescribePortal)
            | (b'C' | b'I' | b's', Expect::Execute) => self.done(),
            (b't', Expect::DescribeStatement)
            | (b'T' | b'C' | b'I', Expect::Query)
            | (b'D' | b'H' | b'd' | b'c', Expect::Query | Expect::Execute)
            | (b'V', Expect::FunctionCall) => Ok(Step::Current),
            (b'G', Expect::Query | Expect::Execute) => {
                self.begin_copy_in()?;
                Ok(Step::Current)
            }
            (b'E', _) => Ok(self.failed(front)),
            _ => unexpected("from the server, in answer to another"),
        }
    }

    fn done(&mut self) -> Result<Step<T>, Malformed> {
        self.take_front().map(Step::Done)
    }

    /// The message in front is answered. A CopyDone behind it ends no COPY and has no answer of
    /// its own: it never waits at the front, where nothing would take it away.
    fn take_front(&mut self) -> Result<Entry<T>, Malformed> {
        let entry = self.entries.pop_front().ok_or(Malformed::Form("answer to nothing"))?;
        while self.entries.front().is_some_and(|next| next.expect == Expect::CopyEnd) {
            self.entries.pop_front();
        }
        Ok(entry)
    }

    /// Whether the server reads what was sent behind the COPY as part of it depends on when
    /// it fails, so only the end of the data may have been sent.
    fn begin_copy_in(&mut self) -> Result<(), Malformed> {
        let mut behind = self.entries.iter().skip(1).map(|entry| entry.expect);
        let ended = match (behind.next(), behind.next()) {
            (None, _) => false,
            (Some(Expect::CopyEnd), _) => true,
            (Some(_), _) => {
                return Err(Malformed::Form("a message sent behind COPY, ahead of its data"));
            }
        };
        if ended {
            self.entries.remove(1);
        }
        self.copy_in = !ended;
        Ok(())
    }

    fn failed(&mut self, front: Expect) -> Step<T> {
        self.copy_in = false;
        if front.is_ready_due() {
            return Step::Current;
        }
        let sync = self.entries.iter().position(|entry| entry.expect.ends_skipping());
        // Behind that Sync something may have been sent that can only fail.
        self.skipping |= sync.is_none();
        let mut dropped = self.entries.drain(..sync.unwrap_or(self.entries.len()));
        match dropped.next() {
            Some(failed) => Step::Failed { failed, skipped: dropped.collect() },
            None => Step::Current,
        }
    }

    fn ready(&mut self) -> Result<Step<T>, Malformed> {
        match self.entries.front().map(|entry| entry.expect) {
            Some(Expect::Query | Expect::Sync | Expect::FunctionCall) => {
                self.take_front().map(Step::Ready)
            }
            Some(_) | None => {
                Err(Malformed::Unexpected { tag: b'Z', state: "from the server, out of turn" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends (`>x`) and answers (`<x`) in turn; says what each answer meant.
    fn check(script: &str, expected: &str) {
        let mut pipeline: Pipeline<()> = Pipeline::default();
        let mut said = Vec::new();
        for step in script.split_whitespace() {
            let (direction, tag) = step.split_at(1);
            let tag = tag.as_bytes()[0];
            if direction == ">" {
                let expect = match tag {
                    b'!' => {
                        pipeline.push(Expect::Execute, ());
                        pipeline.skip();
                        continue;
                    }
                    b'Q' => Expect::Query,
                    b'P' => Expect::Parse,
                    b'B' => Expect::Bind,
                    b'D' => Expect::DescribePortal,
                    b'E' => Expect::Execute,
                    b'C' => Expect::Close,
                    b'S' => Expect::Sync,
                    b'c' => Expect::CopyEnd,
                    other => panic!("no such message {other}"),
                };
                if pipeline.push(expect, ()).is_some() {
                    said.push(format!("{}!", tag as char));
                }
                continue;
            }
            said.push(match pipeline.answer(tag) {
                Ok(Step::Current) => "current".into(),
                Ok(Step::Asynchronous) => "async".into(),
                Ok(Step::Done(entry)) => format!("{:?}", entry.expect),
                Ok(Step::Failed { failed, skipped }) => {
                    format!("{:?}-failed-{}-skipped", failed.expect, skipped.len())
                }
                Ok(Step::Ready(entry)) => format!("ready-{:?}", entry.expect),
                Err(_) => "error".into(),
            });
        }
        assert_eq!(said.join(" "), expected, "{script}");
    }

    #[test]
    fn simple_queries_are_answered_in_order() {
        check(">Q >Q <T <D <C <Z <C <Z", "current current current ready-Query current ready-Query");
        check(">Q <E <Z", "current ready-Query");
        check("<D", "error");
        check(">Q <1", "error");
    }

    #[test]
    fn extended_messages_are_answered_one_by_one() {
        check(
            ">P >B >D >E >S <1 <2 <T <D <s <Z",
            "Parse Bind DescribePortal current Execute ready-Sync",
        );
        check(">P >S <N <1 <Z", "async Parse ready-Sync");
        check(">E <Z", "error");
    }

    #[test]
    fn an_error_skips_to_the_sync() {
        check(
            ">P >B >E >S >P >S <1 <E <Z <1 <Z",
            "Parse Bind-failed-1-skipped ready-Sync Parse ready-Sync",
        );
        // What is sent after the error and before the Sync is discarded unanswered.
        check(
            ">P <E >B >Q >S <Z >Q <C <Z",
            "Parse-failed-0-skipped B! Q! ready-Sync current ready-Query",
        );
        // An error at Sync itself, as by a deferred constraint.
        check(">E >S <C <E <Z", "Execute current ready-Sync");
        // What follows the Sync is not discarded, though the server has not answered it yet.
        check(
            ">P <E >S >P >S <Z <E <Z",
            "Parse-failed-0-skipped ready-Sync Parse-failed-0-skipped ready-Sync",
        );
    }

    /// `>!` is a message that can only fail.
    #[test]
    fn behind_what_can_only_fail_nothing_is_sent_before_the_sync() {
        check(">! >B >Q >S >P <E <Z <1", "B! Q! Execute-failed-0-skipped ready-Sync Parse");
        check(">! >B <E >E >S <Z", "B! Execute-failed-0-skipped E! ready-Sync");
        // What is answered of earlier pipelines changes nothing about that.
        check(">S >! <Z >B <E >B >S <Z", "ready-Sync B! Execute-failed-0-skipped B! ready-Sync");
        check(
            ">P >S >! <E <Z >B <E >S <Z",
            "Parse-failed-0-skipped ready-Sync B! Execute-failed-0-skipped ready-Sync",
        );
    }

    #[test]
    fn nothing_waits_for_an_answer_to_the_end_of_no_copy() {
        let mut pipeline: Pipeline<()> = Pipeline::default();
        for _ in 0..2 {
            pipeline.push(Expect::CopyEnd, ());
            pipeline.push(Expect::Parse, ());
            pipeline.push(Expect::CopyEnd, ());
            pipeline.push(Expect::CopyEnd, ());
            assert!(matches!(pipeline.answer(b'1'), Ok(Step::Done(_))));
            assert!(pipeline.is_idle());
        }
    }

    #[test]
    fn no_sync_is_sent_into_copy_data() {
        check(">E <G >S >c >S <C <Z", "current S! Execute ready-Sync");
        check(">Q <G >c <C <Z", "current current ready-Query");
        // The server ignores an end of no COPY.
        check(">c >P >c >S >c >Q <1 <Z <C <Z", "Parse ready-Sync current ready-Query");
        // The client sends data and end at once, behind which nothing is known.
        check(">E >c >S <G", "current");
        check(">E >S <G", "error");
        // The COPY fails in the middle.
        check(">Q <G <E <Z >c >Q <C <Z", "current current ready-Query current ready-Query");
        check(">E <G >S <E >c >S <Z", "current S! Execute-failed-0-skipped c! ready-Sync");
        // ReadyForQuery never belongs to a message that has not been answered.
        check(">E <G >S <E >P >S <Z", "current S! Execute-failed-0-skipped P! ready-Sync");
    }
}
