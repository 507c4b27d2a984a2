//! Prepared statements, portals and cursors of one session, as the server knows them.
//!
//! PostgreSQL keeps one name space for statements (Parse, PREPARE) and one for portals
//! (Bind, DECLARE). Names change here when a message is sent; when the server then fails or
//! skips the message, the change is undone, so that a name never stands for a text that the
//! server does not have.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use portcullis_policy::event::EventId;
use portcullis_wire::Malformed;
use portcullis_wire::backend::{self, Field};

use crate::facts::Facts;
use crate::release::Release;

/// A column of a result, as RowDescription told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultField {
    pub name: String,
    pub table_oid: u32,
    pub attribute: i16,
    pub type_oid: u32,
    pub binary: bool,
}

/// A RowDescription, read.
pub struct Described {
    body: Box<[u8]>,
    pub fields: Rc<[ResultField]>,
}

impl Described {
    /// Reads `body`, unless it is the one that was read before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn again(before: Option<&Rc<Described>>, body: &[u8]) -> Result<Rc<Described>, Malformed> {
        if let Some(before) = before.filter(|before| *before.body == *body) {
            return Ok(before.clone());
        }
        let fields = backend::row_description(body)?.iter().map(ResultField::of).collect();
        Ok(Rc::new(Described { body: body.into(), fields }))
    }
}

impl ResultField {
    fn of(field: &Field<'_>) -> ResultField {
        ResultField {
            name: String::from_utf8_lossy(field.name).into_owned(),
            table_oid: field.table_oid,
            attribute: field.attribute,
            type_oid: field.type_oid,
            binary: field.binary,
        }
    }
}

/// Bytes that a session holds as long as this lives.
#[derive(Default)]
pub struct Held {
    bytes: usize,
    all: Rc<Cell<usize>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.update(|all| all.saturating_sub(self.bytes));
    }
}

/// A prepared statement.
pub struct Prepared {
    /// As the client sent it, in its encoding.
    pub text: Rc<[u8]>,
    /// Type OIDs as Parse gave them, four bytes each.
    pub parameter_types: Vec<u8>,
    pub facts: RefCell<Rc<Facts>>,
    /// The reading the facts were made under, by its number in the session.
    pub reading: Cell<u64>,
    /// Its result's columns once described; their formats are not yet known.
    pub described: RefCell<Option<Rc<Described>>>,
    /// The server has said ParseComplete.
    pub confirmed: Cell<bool>,
    /// Something ran that may have redefined the name behind our back.
    pub stale: Cell<bool>,
    /// Which Sync's pipeline it was sent in.
    pub segment: u64,
    /// Made by SQL PREPARE: it cannot be prepared anew by Parse.
    pub by_sql: bool,
    pub _held: Held,
}

/// A portal, or a cursor.
pub struct Portal {
    pub prepared: Rc<Prepared>,
    /// The Bind message's body, for its formats and parameters; empty for a cursor.
    pub bind: Vec<u8>,
    /// What its Bind was recorded as, until an Execute takes it over.
    pub bound: RefCell<Option<Bound>>,
    /// Its result's columns with their formats, once described.
    pub fields: RefCell<Option<Rc<[ResultField]>>>,
    /// A Describe of it is on its way, so that its fields will be known before its rows.
    pub described: Cell<bool>,
    pub confirmed: Cell<bool>,
    pub segment: u64,
    /// What released it, until it has run.
    pub release: RefCell<Option<Release>>,
    /// Rows given of it so far.
    pub given: Rc<Cell<u64>>,
    /// DECLAREd: it may outlive its transaction.
    pub cursor: bool,
    pub _held: Held,
}

/// A Bind's record, and whether its outcome has been written.
#[derive(Clone)]
pub struct Bound {
    pub event: EventId,
    pub revision: u64,
    pub ended: Rc<Cell<bool>>,
}

/// What to do when the message that changed a name fails.
pub enum Undo {
    Statement(Vec<u8>, Change<Prepared>),
    Portal(Vec<u8>, Change<Portal>),
}

/// What a name stood for, and what it stands for now.
pub struct Change<T> {
    before: Option<Rc<T>>,
    now: Option<Rc<T>>,
}

impl<T> Change<T> {
    /// No message behind this one has changed the name again.
    fn is_latest(&self, current: Option<&Rc<T>>) -> bool {
        match (current, &self.now) {
            (Some(current), Some(now)) => Rc::ptr_eq(current, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// The names of one session.
#[derive(Default)]
pub struct Names {
    statements: HashMap<Vec<u8>, Rc<Prepared>>,
    portals: HashMap<Vec<u8>, Rc<Portal>>,
    /// What statements and portals hold, those too that are on their way or being replaced.
    held: Rc<Cell<usize>>,
}

impl Names {
    /// Room for `bytes` more, where there are no more than `most` then.
    pub fn hold(&self, bytes: usize, most: usize) -> Option<Held> {
        let all = self.held.get().checked_add(bytes).filter(|all| *all <= most)?;
        self.held.set(all);
        Some(Held { bytes, all: self.held.clone() })
    }

    pub fn len(&self) -> usize {
        self.statements.len() + self.portals.len()
    }

    pub fn statement(&self, name: &[u8]) -> Option<&Rc<Prepared>> {
        self.statements.get(name)
    }

    pub fn portal(&self, name: &[u8]) -> Option<&Rc<Portal>> {
        self.portals.get(name)
    }

    pub fn set_statement(&mut self, name: &[u8], prepared: Option<Rc<Prepared>>) -> Undo {
        let now = prepared.clone();
        let before = match prepared {
            Some(prepared) => self.statements.insert(name.to_vec(), prepared),
            None => self.statements.remove(name),
        };
        Undo::Statement(name.to_vec(), Change { before, now })
    }

    pub fn set_portal(&mut self, name: &[u8], portal: Option<Rc<Portal>>) -> Undo {
        let now = portal.clone();
        let before = match portal {
            Some(portal) => self.portals.insert(name.to_vec(), portal),
            None => self.portals.remove(name),
        };
        Undo::Portal(name.to_vec(), Change { before, now })
    }

    /// The message was discarded or failed: what it changed stands as before. A failed Parse
    /// or Bind of the unnamed has destroyed the old one all the same, and what never came to be
    /// does not come back. What a later message has made of the name is that message's.
    pub fn undo(&mut self, undo: Undo, failed: bool) {
        match undo {
            Undo::Statement(name, change) => {
                if change.is_latest(self.statements.get(&name)) {
                    let is_good = |known: &Rc<Prepared>| known.confirmed.get();
                    let before = change.before.filter(is_good);
                    let before = before.filter(|_| !(failed && name.is_empty()));
                    self.set_statement(&name, before);
                }
            }
            Undo::Portal(name, change) => {
                if change.is_latest(self.portals.get(&name)) {
                    let is_good = |known: &Rc<Portal>| known.confirmed.get();
                    let before = change.before.filter(is_good);
                    let before = before.filter(|_| !(failed && name.is_empty()));
                    self.set_portal(&name, before);
                }
            }
        }
    }

    pub fn forget_statements(&mut self) {
        self.statements.clear();
    }

    pub fn forget_cursors(&mut self) {
        self.portals.clear();
    }

    /// The transaction is over, and with it every portal that was not DECLAREd. Gives back
    /// what was bound and never executed.
    pub fn end_transaction(&mut self) -> Vec<Bound> {
        let mut unused = Vec::new();
        self.portals.retain(|_, portal| {
            // One that the server has not confirmed was bound behind what has ended here.
            let stays = portal.cursor || !portal.confirmed.get();
            if !stays {
                unused.extend(portal.bound.take());
            }
            stays
        });
        unused
    }

    /// Something ran that nobody saw into: any name may stand for something else now.
    /// Gives back what was bound and never executed.
    pub fn taint(&mut self) -> Vec<Bound> {
        let portals = self.portals.drain();
        let unused = portals.filter_map(|(_, portal)| portal.bound.take()).collect();
        self.statements.retain(|_, prepared| !prepared.by_sql);
        self.statements.values().for_each(|prepared| prepared.stale.set(true));
        unused
    }
}
