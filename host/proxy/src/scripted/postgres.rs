//! PostgreSQL as far as its protocol goes, over a handful of texts.
//!
//! What `postgres.c` does about messages: what an error skips, where ReadyForQuery comes, what a
//! transaction's status is. The end-to-end tests run the same scripts against the real server,
//! so that this one stays true.

use std::collections::HashMap;

use portcullis_wire::frame::cut;
use portcullis_wire::frontend::Target;
use portcullis_wire::{Frame, Frontend};

use super::frames::Frames;

const FRAME_BYTES_MAX: usize = 1 << 30;
const INT4: u32 = 23;

/// A server's session.
#[derive(Default)]
pub struct Postgres {
    unread: Vec<u8>,
    status: Status,
    /// An error in the extended protocol: everything up to a Sync is discarded.
    skipping: bool,
    copying: Option<Copying>,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, Portal>,
    /// The text or the name that an error quotes.
    about: String,
    out: Frames,
    /// What has left of `out`: answers wait for a Flush, an error or the end.
    sent: Vec<u8>,
    /// Every message it was sent, in order.
    pub heard: Vec<(u8, Vec<u8>)>,
    /// How often it was sent a Flush that it did not discard.
    pub flushes: usize,
    /// The data of a COPY was wrong, and the client has not ended it.
    is_past_data: bool,
    /// A Sync came behind wrong data of a COPY, and before its end. Whether it was answered depends
    /// on whether the server had read that data, which nobody in between can know.
    pub is_unclear: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    InTransaction,
    Failed,
}

/// COPY FROM STDIN is under way.
struct Copying {
    /// The Query's further statements; none where an Execute copies.
    rest: Option<Vec<String>>,
    rows: usize,
}

struct Portal {
    text: String,
    /// Rows that were not given yet; none once it has run to its end.
    rows_left: Option<usize>,
}

/// What a text does.
enum Effect {
    Rows(usize),
    Begin,
    Commit,
    Rollback,
    CopyIn,
    CopyOut,
    /// Fails when it is planned.
    Fails,
    /// Fails behind so many rows.
    FailsBehind(usize),
    Does(String),
    Nothing,
    /// It cannot be read.
    Syntax,
    Settings,
}

impl Effect {
    fn of(text: &str) -> Effect {
        let text = text.trim();
        if text.starts_with("select pg_catalog.current_setting(") {
            return Effect::Settings;
        }
        let series = text.strip_prefix("select generate_series(1, ");
        if let Some(count) = series.and_then(|rest| rest.strip_suffix(')')?.parse().ok()) {
            return Effect::Rows(count);
        }
        match text {
            "" => Effect::Nothing,
            "begin" => Effect::Begin,
            "commit" => Effect::Commit,
            "rollback" => Effect::Rollback,
            "select 1/0" => Effect::Fails,
            "select 1/(n-1) from generate_series(1, 9) n" => Effect::FailsBehind(0),
            "select 1/(n-3) from generate_series(1, 9) n" => Effect::FailsBehind(2),
            "copy notes from stdin" => Effect::CopyIn,
            "copy notes to stdout" => Effect::CopyOut,
            _ if text.contains("forbidden") => Effect::Syntax,
            _ if text.starts_with("select ") => Effect::Rows(1),
            _ if text.starts_with("insert ") => {
                Effect::Does(format!("INSERT 0 {}", text.matches('(').count()))
            }
            _ if text.starts_with("set ") => Effect::Does("SET".into()),
            _ => Effect::Syntax,
        }
    }

    /// Allowed where the transaction has failed.
    fn ends_transaction(&self) -> bool {
        matches!(self, Effect::Commit | Effect::Rollback)
    }

    fn returns_rows(&self) -> bool {
        matches!(self, Effect::Rows(_) | Effect::Fails | Effect::FailsBehind(_) | Effect::Settings)
    }
}

/// An error's SQLSTATE; the message is of no account.
type Failed = &'static str;

impl Postgres {
    /// Answers what it can of what it has been sent.
    pub fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        while let Ok(Some(frame)) = cut(rest, FRAME_BYTES_MAX) {
            self.heard.push((frame.tag, frame.body.to_vec()));
            self.message(frame);
            rest = rest.get(frame.bytes.len()..).unwrap_or_default();
        }
        self.unread = rest.to_vec();
        std::mem::take(&mut self.sent)
    }

    fn flush(&mut self) {
        self.sent.extend_from_slice(std::mem::take(&mut self.out).bytes());
    }

    fn say(&mut self, more: impl FnOnce(Frames) -> Frames) {
        self.out = more(std::mem::take(&mut self.out));
    }

    fn message(&mut self, frame: Frame<'_>) {
        let Ok(message) = Frontend::read(frame) else {
            // A real one would end the session; a script that sends this ends here as well.
            return self.say(|out| out.fatal("08P01", "invalid message"));
        };
        if self.copying.is_some() {
            return self.copy_message(frame, &message);
        }
        self.is_past_data &=
            matches!(message, Frontend::CopyData | Frontend::Flush | Frontend::Sync);
        self.is_unclear |= self.is_past_data && matches!(message, Frontend::Sync);
        if self.skipping && !matches!(message, Frontend::Sync) {
            return;
        }
        let done = match message {
            Frontend::Query { text } => return self.query(text),
            Frontend::Sync => {
                self.skipping = false;
                self.end_statement();
                return self.ready();
            }
            Frontend::Parse { statement, text, .. } => self.parse(statement, text),
            Frontend::Bind(bind) => self.bind(bind.portal, bind.statement),
            Frontend::Describe { target, name } => self.describe(target, name),
            Frontend::Execute { portal, rows_max } => self.execute(portal, rows_max),
            Frontend::Close { target, name } => {
                match target {
                    Target::Statement => drop(self.statements.remove(name)),
                    Target::Portal => drop(self.portals.remove(name)),
                }
                self.say(|out| out.raw(b'3', b""));
                Ok(())
            }
            Frontend::FunctionCall { .. } => {
                match self.status {
                    Status::Failed => self.fail("25P02"),
                    Status::Idle | Status::InTransaction => {
                        self.say(|out| out.raw(b'V', b"\xff\xff\xff\xff"));
                    }
                }
                self.end_statement();
                return self.ready();
            }
            Frontend::Flush => {
                self.flushes += 1;
                self.flush();
                Ok(())
            }
            // Left over from a COPY that has failed.
            Frontend::CopyData | Frontend::CopyDone | Frontend::CopyFail => Ok(()),
            Frontend::Terminate | Frontend::Password => Ok(()),
        };
        if let Err(sqlstate) = done {
            self.fail(sqlstate);
            self.skipping = true;
        }
    }

    fn ready(&mut self) {
        let status = match self.status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.say(|out| out.ready(status));
        self.flush();
    }

    fn fail(&mut self, sqlstate: Failed) {
        let message = format!("scripted, about \"{}\"", self.about);
        self.say(|out| out.error(sqlstate, &message));
        self.flush();
        match self.status {
            Status::Idle => self.portals.clear(),
            Status::InTransaction | Status::Failed => self.status = Status::Failed,
        }
    }

    /// Where no transaction block is open, what ran is a transaction of its own.
    fn end_statement(&mut self) {
        if self.status == Status::Idle {
            self.portals.clear();
        }
    }
}

/// Simple queries.
impl Postgres {
    fn query(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.about.clone_from(&text);
        self.statements.remove(&b""[..]);
        let statements: Vec<String> = text.split(';').map(|part| part.trim().to_owned()).collect();
        if statements.iter().any(|statement| matches!(Effect::of(statement), Effect::Syntax)) {
            self.fail("42601");
            return self.ready();
        }
        let statements: Vec<String> =
            statements.into_iter().filter(|statement| !statement.is_empty()).collect();
        if statements.is_empty() {
            self.say(|out| out.raw(b'I', b""));
        }
        self.statements_of_query(statements);
    }

    fn statements_of_query(&mut self, statements: Vec<String>) {
        let mut statements = statements.into_iter();
        while let Some(statement) = statements.next() {
            self.portals.remove(&b""[..]);
            match self.run(&statement, true) {
                Ok(Ran::Whole) => {}
                Ok(Ran::Copies) => {
                    let rest = Some(statements.collect());
                    self.copying = Some(Copying { rest, rows: 0 });
                    return;
                }
                Err(sqlstate) => {
                    self.fail(sqlstate);
                    break;
                }
            }
        }
        self.end_statement();
        self.ready();
    }

    /// Runs one statement. In the extended protocol rows come without a description.
    fn run(&mut self, text: &str, describe: bool) -> Result<Ran, Failed> {
        let effect = Effect::of(text);
        if self.status == Status::Failed && !effect.ends_transaction() {
            return Err("25P02");
        }
        if describe && effect.returns_rows() && !matches!(effect, Effect::Fails) {
            self.columns();
        }
        let tag = match effect {
            Effect::Rows(count) => {
                self.rows(1..=count);
                format!("SELECT {count}")
            }
            Effect::Settings => {
                for setting in ["on", "pg_catalog", "public"] {
                    self.say(|out| out.row(&[Some(setting.as_bytes())]));
                }
                "SELECT 3".to_owned()
            }
            Effect::Begin => {
                self.status = Status::InTransaction;
                "BEGIN".to_owned()
            }
            Effect::Commit | Effect::Rollback => {
                let failed = self.status == Status::Failed;
                self.status = Status::Idle;
                self.portals.clear();
                let commits = matches!(effect, Effect::Commit) && !failed;
                if commits { "COMMIT" } else { "ROLLBACK" }.to_owned()
            }
            Effect::CopyIn => {
                self.say(|out| out.copy(b'G', 2));
                self.flush();
                return Ok(Ran::Copies);
            }
            Effect::CopyOut => {
                self.say(|out| out.copy(b'H', 2).copy_data(b"1\tone\n").copy_data(b"2\ttwo\n"));
                self.say(|out| out.copy_done());
                "COPY 2".to_owned()
            }
            Effect::Fails => return Err("22012"),
            Effect::FailsBehind(count) => {
                self.rows(1..=count);
                return Err("22012");
            }
            Effect::Does(tag) => tag,
            Effect::Nothing | Effect::Syntax => {
                self.say(|out| out.raw(b'I', b""));
                return Ok(Ran::Whole);
            }
        };
        self.say(|out| out.complete(&tag));
        Ok(Ran::Whole)
    }

    fn columns(&mut self) {
        self.say(|out| out.columns(&[("n", (0, 0), INT4)]));
    }

    fn rows(&mut self, numbers: impl Iterator<Item = usize>) {
        for number in numbers {
            self.say(|out| out.row(&[Some(number.to_string().as_bytes())]));
        }
    }

    fn copy_message(&mut self, frame: Frame<'_>, message: &Frontend<'_>) {
        let Some(mut copying) = self.copying.take() else { return };
        let ended = match message {
            Frontend::CopyDone => Ok(()),
            Frontend::CopyFail => Err("57014"),
            Frontend::CopyData if frame.body.starts_with(b"bad") => {
                self.is_past_data = true;
                Err("22P02")
            }
            Frontend::CopyData | Frontend::Flush | Frontend::Sync => {
                copying.rows += frame.body.iter().filter(|byte| **byte == b'\n').count();
                self.copying = Some(copying);
                return;
            }
            Frontend::Query { .. }
            | Frontend::Parse { .. }
            | Frontend::Bind(_)
            | Frontend::Describe { .. }
            | Frontend::Execute { .. }
            | Frontend::Close { .. }
            | Frontend::FunctionCall { .. }
            | Frontend::Terminate
            | Frontend::Password => Err("08P01"),
        };
        match ended {
            Ok(()) => self.say(|out| out.complete(&format!("COPY {}", copying.rows))),
            Err(sqlstate) => self.fail(sqlstate),
        }
        match (copying.rest, ended) {
            (Some(rest), Ok(())) => self.statements_of_query(rest),
            (Some(_), Err(_)) => {
                self.end_statement();
                self.ready();
            }
            (None, Ok(())) => {}
            (None, Err(_)) => self.skipping = true,
        }
    }
}

/// How far a statement has come.
enum Ran {
    Whole,
    /// It waits for the client's data.
    Copies,
}

/// The extended protocol.
impl Postgres {
    fn parse(&mut self, name: &[u8], text: &[u8]) -> Result<(), Failed> {
        let text = String::from_utf8_lossy(text).trim().to_owned();
        let effect = Effect::of(&text);
        // What the proxy refuses leaves the unnamed statement alone; a text that is wrong in
        // itself does not.
        if name.is_empty() && !matches!(effect, Effect::Syntax) {
            self.statements.remove(name);
        }
        if matches!(effect, Effect::Syntax) || text.contains(';') {
            return Err("42601");
        }
        if self.status == Status::Failed && !effect.ends_transaction() {
            // An empty text does nothing, which is allowed.
            matches!(effect, Effect::Nothing).then_some(()).ok_or("25P02")?;
        }
        if self.statements.contains_key(name) {
            return Err("42P05");
        }
        self.statements.insert(name.to_vec(), text);
        self.say(|out| out.raw(b'1', b""));
        Ok(())
    }

    fn bind(&mut self, portal: &[u8], name: &[u8]) -> Result<(), Failed> {
        let text = self.statements.get(name).cloned().ok_or("26000")?;
        let effect = Effect::of(&text);
        let empty = matches!(effect, Effect::Nothing);
        if self.status == Status::Failed && !effect.ends_transaction() && !empty {
            return Err("25P02");
        }
        if portal.is_empty() {
            self.portals.remove(portal);
        } else if self.portals.contains_key(portal) {
            return Err("42P03");
        }
        if matches!(effect, Effect::Fails) {
            // A real one is left with a portal that does nothing, until the transaction that has
            // failed is over: to the proxy, and so here, there is none.
            return Err("22012");
        }
        let rows_left = match effect {
            Effect::Rows(count) => Some(count),
            Effect::Begin
            | Effect::Commit
            | Effect::Rollback
            | Effect::CopyIn
            | Effect::CopyOut
            | Effect::Fails
            | Effect::FailsBehind(_)
            | Effect::Does(_)
            | Effect::Nothing
            | Effect::Syntax
            | Effect::Settings => Some(0),
        };
        self.portals.insert(portal.to_vec(), Portal { text, rows_left });
        self.say(|out| out.raw(b'2', b""));
        Ok(())
    }

    fn describe(&mut self, target: Target, name: &[u8]) -> Result<(), Failed> {
        let text = match target {
            Target::Statement => self.statements.get(name).cloned().ok_or("26000")?,
            Target::Portal => {
                self.portals.get(name).map(|portal| portal.text.clone()).ok_or("34000")?
            }
        };
        let rows = Effect::of(&text).returns_rows();
        if self.status == Status::Failed && rows {
            return Err("25P02");
        }
        if target == Target::Statement {
            self.say(|out| out.raw(b't', &[0, 0]));
        }
        if rows {
            self.columns();
        } else {
            self.say(|out| out.raw(b'n', b""));
        }
        Ok(())
    }

    fn execute(&mut self, name: &[u8], rows_max: i32) -> Result<(), Failed> {
        self.about = String::from_utf8_lossy(name).into_owned();
        let portal = self.portals.get_mut(name).ok_or("34000")?;
        let text = portal.text.clone();
        let effect = Effect::of(&text);
        if matches!(effect, Effect::Nothing) {
            self.say(|out| out.raw(b'I', b""));
            return Ok(());
        }
        if self.status == Status::Failed && !effect.ends_transaction() {
            return Err("25P02");
        }
        let Effect::Rows(count) = effect else {
            // What has run does not run again.
            portal.rows_left.take().ok_or("55000")?;
            if let Ran::Copies = self.run(&text, false)? {
                self.copying = Some(Copying { rest: None, rows: 0 });
            }
            return Ok(());
        };
        let left = portal.rows_left.unwrap_or_default();
        let most = usize::try_from(rows_max).ok().filter(|most| *most > 0);
        let given = most.unwrap_or(usize::MAX).min(left);
        // Whether there are more shows only when one is asked for.
        let suspends = most == Some(given);
        portal.rows_left = Some(left - given);
        let first = count - left + 1;
        self.rows(first..first + given);
        match suspends {
            true => self.say(|out| out.raw(b's', b"")),
            false => self.say(|out| out.complete(&format!("SELECT {given}"))),
        }
        Ok(())
    }
}
