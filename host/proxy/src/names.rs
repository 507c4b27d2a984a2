//! Prepared statements, portals and cursors of one session, as the server knows them.
//!
//! PostgreSQL keeps one name space for statements (Parse, PREPARE) and one for portals
//! (Bind, DECLARE). Names change here when a message is sent; when the server then fails or
//! skips the message, the change is undone, so that a name never stands for a text that the
//! server does not have.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portcullis_policy::Outputs;
use portcullis_policy::event::EventId;
use portcullis_wire::Malformed;
use portcullis_wire::backend::{self, Field};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::facts::Facts;
use crate::reading::{ReadAs, Text};
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
    /// The same column, of which is not known what it is of.
    pub fn of_nowhere(field: &ResultField) -> ResultField {
        ResultField { table_oid: 0, attribute: 0, ..field.clone() }
    }

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
    /// The reading the facts were made under, by its number in the session; none where the text was
    /// sent since without being asked about.
    pub reading: Cell<Option<u64>>,
    /// How the server read the text, which it does once for each time it is sent.
    pub read_as: Cell<ReadAs>,
    /// Its result's columns once described; their formats are not yet known.
    pub described: RefCell<Option<Rc<Described>>>,
    /// The server has said ParseComplete.
    pub confirmed: Cell<bool>,
    pub undone: Undone<Prepared>,
    /// Something ran that may have redefined the name behind our back.
    pub stale: Cell<bool>,
    /// Which Sync's pipeline it was sent in.
    pub segment: u64,
    /// Made by SQL PREPARE: it cannot be prepared anew by Parse.
    pub by_sql: bool,
    pub _held: Held,
}

impl Prepared {
    /// What it was made of: a PREPARE's was decoded as a part of that.
    pub fn text(&self) -> Text<'_> {
        match self.by_sql.then(|| std::str::from_utf8(&self.text)) {
            Some(Ok(text)) => Text::Decoded(text),
            Some(Err(_)) | None => Text::Sent(&self.text),
        }
    }
}

/// A portal, or a cursor.
pub struct Portal {
    pub prepared: Rc<Prepared>,
    /// The Bind message's body, for its formats and parameters; empty for a cursor.
    pub bind: Vec<u8>,
    /// What its Bind was recorded as, until an Execute takes it over.
    pub bound: RefCell<Option<Bound>>,
    /// What it was opened as: the server goes on with that, whatever its names mean by now.
    pub opened: Rc<Facts>,
    /// Its result's columns with their formats, once described.
    pub fields: RefCell<Option<Rc<[ResultField]>>>,
    /// A Describe of it is on its way, so that its fields will be known before its rows.
    pub described: Cell<bool>,
    pub confirmed: Cell<bool>,
    pub undone: Undone<Portal>,
    pub segment: u64,
    /// What released it, until it has run.
    pub release: RefCell<Option<Release>>,
    /// Rows given of it so far.
    pub given: Rc<Cell<u64>>,
    /// DECLAREd WITH HOLD: it outlives its transaction.
    pub holds: bool,
    /// What the name in it stood for when it was bound, where it is a FETCH or an EXECUTE.
    pub stands_on: Option<Rc<Prepared>>,
    /// Opened where names may have meant something else than the catalog said.
    pub unseen: bool,
    pub _held: Held,
}

impl Portal {
    /// True where these facts show what the portal does. What is masked depends on nothing else of
    /// them.
    pub fn is_as(&self, facts: &Rc<Facts>) -> bool {
        fn outputs(facts: &Facts) -> Option<&Outputs> {
            facts.statements.first().map(|first| &first.outputs)
        }
        !self.unseen && (Rc::ptr_eq(&self.opened, facts) || outputs(&self.opened) == outputs(facts))
    }
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
    Statement(Change<Prepared>),
    Portal(Change<Portal>),
}

/// What a name stood for, and what it stands for now.
pub struct Change<T> {
    name: Name,
    before: Option<Meant<T>>,
    now: Meant<T>,
    /// How often names had been tainted by then.
    taints: u64,
}

/// Few names are longer than this, and those of drivers never.
type Name = SmallVec<[u8; 16]>;

/// What a name stands for.
enum Meant<T> {
    Something(Rc<T>),
    /// Nothing any more, if the message that has taken it away has its effect.
    Nothing(Rc<Undone<T>>),
}

impl<T> Clone for Meant<T> {
    fn clone(&self) -> Meant<T> {
        match self {
            Meant::Something(thing) => Meant::Something(thing.clone()),
            Meant::Nothing(undone) => Meant::Nothing(undone.clone()),
        }
    }
}

/// Whether the message that made something, or took it away, had no effect; then what its name
/// stood for before.
pub struct Undone<T>(RefCell<Option<Option<Meant<T>>>>);

impl<T> Default for Undone<T> {
    fn default() -> Undone<T> {
        Undone(RefCell::new(None))
    }
}

/// What a name can stand for.
trait Named: Sized {
    fn undone(&self) -> &Undone<Self>;

    /// Something ran that nobody saw into, and may have made something else of its name. False
    /// where it is of no use any more.
    fn taint(&self) -> bool;
}

impl Named for Prepared {
    fn undone(&self) -> &Undone<Prepared> {
        &self.undone
    }

    fn taint(&self) -> bool {
        self.stale.set(true);
        !self.by_sql
    }
}

impl Named for Portal {
    fn undone(&self) -> &Undone<Portal> {
        &self.undone
    }

    /// Nothing could make it anew.
    fn taint(&self) -> bool {
        false
    }
}

impl<T: Named> Meant<T> {
    fn thing(&self) -> Option<&Rc<T>> {
        match self {
            Meant::Something(thing) => Some(thing),
            Meant::Nothing(_) => None,
        }
    }

    fn undone(&self) -> &Undone<T> {
        match self {
            Meant::Something(thing) => thing.undone(),
            Meant::Nothing(undone) => undone,
        }
    }

    fn is(&self, other: &Meant<T>) -> bool {
        match (self, other) {
            (Meant::Something(one), Meant::Something(other)) => Rc::ptr_eq(one, other),
            (Meant::Nothing(one), Meant::Nothing(other)) => Rc::ptr_eq(one, other),
            (Meant::Something(_), Meant::Nothing(_)) | (Meant::Nothing(_), Meant::Something(_)) => {
                false
            }
        }
    }
}

/// One name space.
struct Space<T> {
    names: FxHashMap<Name, Meant<T>>,
    /// What the unnamed one is: most drivers use little else.
    unnamed: Option<Meant<T>>,
    /// Names that stand for nothing any more.
    gone: usize,
    /// How often all of them were tainted.
    taints: u64,
}

impl<T> Default for Space<T> {
    fn default() -> Space<T> {
        Space { names: FxHashMap::default(), unnamed: None, gone: 0, taints: 0 }
    }
}

impl<T: Named> Space<T> {
    fn len(&self) -> usize {
        self.names.len() + usize::from(self.unnamed.is_some()) - self.gone
    }

    fn latest(&self, name: &[u8]) -> Option<&Meant<T>> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.names.get(name) }
    }

    fn get(&self, name: &[u8]) -> Option<&Rc<T>> {
        self.latest(name).and_then(Meant::thing)
    }

    fn things(&self) -> impl Iterator<Item = &Rc<T>> {
        self.names.values().chain(&self.unnamed).filter_map(Meant::thing)
    }

    fn set(&mut self, name: &[u8], now: Option<Rc<T>>) -> Change<T> {
        let name = Name::from_slice(name);
        let now = now.map_or_else(|| Meant::Nothing(Rc::default()), Meant::Something);
        let before = self.put(&name, Some(now.clone()));
        Change { name, before, now, taints: self.taints }
    }

    fn put(&mut self, name: &Name, now: Option<Meant<T>>) -> Option<Meant<T>> {
        let is_gone = |meant: &Option<Meant<T>>| matches!(meant, Some(Meant::Nothing(_)));
        self.gone += usize::from(is_gone(&now));
        let before = match now {
            now if name.is_empty() => std::mem::replace(&mut self.unnamed, now),
            Some(now) => self.names.insert(name.clone(), now),
            None => self.names.remove(name),
        };
        self.gone -= usize::from(is_gone(&before));
        before
    }

    /// What a message changed stands as before. A Parse or Bind of the unnamed that failed in the
    /// attempt has destroyed the old one all the same, and what never came to be does not come
    /// back. What a later message has made of the name is that message's, until it is undone as
    /// well.
    fn undo(&mut self, change: Change<T>, failed: bool) {
        let Change { name, before, now, taints } = change;
        let mut before = before.filter(|_| !(failed && name.is_empty()));
        while let Some(earlier) =
            before.as_ref().and_then(|before| before.undone().0.borrow().clone())
        {
            before = earlier;
        }
        if taints != self.taints {
            // It was out of sight then.
            before = before.filter(|before| match before {
                Meant::Something(thing) => thing.taint(),
                Meant::Nothing(_) => true,
            });
        }
        now.undone().0.replace(Some(before.clone()));
        if self.is_latest(&name, &now) {
            self.put(&name, before);
        }
    }

    /// What a message changed stands: a name that it has taken away is not remembered any longer,
    /// also where a later message that is undone had made something of it.
    fn confirm(&mut self, change: Change<T>) {
        let Change { name, now, .. } = change;
        let Meant::Nothing(undone) = &now else { return };
        undone.0.replace(Some(None));
        if self.is_latest(&name, &now) {
            self.put(&name, None);
        }
    }

    fn is_latest(&self, name: &Name, meant: &Meant<T>) -> bool {
        self.latest(name).is_some_and(|latest| latest.is(meant))
    }

    /// Forgets what does not `stay`; what has been taken away may still come back.
    fn retain(&mut self, mut stays: impl FnMut(&Rc<T>) -> bool) {
        let mut stays = |meant: &Meant<T>| meant.thing().is_none_or(&mut stays);
        self.unnamed = self.unnamed.take().filter(&mut stays);
        if !self.names.is_empty() {
            self.names.retain(|_, meant| stays(meant));
        }
    }

    fn taint(&mut self) {
        self.taints += 1;
        self.retain(|thing| thing.taint());
    }

    fn clear(&mut self) {
        self.names.clear();
        self.unnamed = None;
        self.gone = 0;
    }
}

/// The names of one session.
#[derive(Default)]
pub struct Names {
    statements: Space<Prepared>,
    portals: Space<Portal>,
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
        Undo::Statement(self.statements.set(name, prepared))
    }

    /// A simple query destroys the unnamed statement, whatever becomes of the query.
    pub fn forget_unnamed_statement(&mut self) -> Option<Undo> {
        self.statement(b"").is_some().then(|| self.set_statement(b"", None))
    }

    pub fn set_portal(&mut self, name: &[u8], portal: Option<Rc<Portal>>) -> Undo {
        Undo::Portal(self.portals.set(name, portal))
    }

    /// What a statement that has run made of a name, or that it took it away.
    pub fn define_statement(&mut self, name: &[u8], now: Option<Rc<Prepared>>) {
        let done = self.set_statement(name, now);
        self.confirm(done);
    }

    /// The same for a cursor.
    pub fn define_portal(&mut self, name: &[u8], now: Option<Rc<Portal>>) {
        let done = self.set_portal(name, now);
        self.confirm(done);
    }

    /// The message that changed a name was discarded by the server, or `failed` in the attempt.
    pub fn undo(&mut self, undo: Undo, failed: bool) {
        match undo {
            Undo::Statement(change) => self.statements.undo(change, failed),
            Undo::Portal(change) => self.portals.undo(change, failed),
        }
    }

    /// The message that changed a name has had its effect.
    pub fn confirm(&mut self, undo: Undo) {
        match undo {
            Undo::Statement(change) => self.statements.confirm(change),
            Undo::Portal(change) => self.portals.confirm(change),
        }
    }

    pub fn forget_statements(&mut self) {
        self.statements.clear();
    }

    pub fn forget_cursors(&mut self) {
        self.portals.clear();
    }

    /// The transaction is over, and with it every portal that was not DECLAREd WITH HOLD. Gives back
    /// what was bound and never executed.
    pub fn end_transaction(&mut self) -> Vec<Bound> {
        let mut unused = Vec::new();
        self.portals.retain(|portal| {
            // One that the server has not confirmed was bound behind what has ended here.
            let stays = portal.holds || !portal.confirmed.get();
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
        let unused = self.portals.things().filter_map(|portal| portal.bound.take()).collect();
        self.portals.taint();
        self.statements.taint();
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Thing {
        undone: Undone<Thing>,
        is_tainted: Cell<bool>,
        is_of_use: bool,
    }

    impl Named for Thing {
        fn undone(&self) -> &Undone<Thing> {
            &self.undone
        }

        fn taint(&self) -> bool {
            self.is_tainted.set(true);
            self.is_of_use
        }
    }

    fn thing() -> Rc<Thing> {
        Rc::default()
    }

    #[test]
    fn nothing_is_kept_of_a_name_that_is_gone() {
        let mut space: Space<Thing> = Space::default();
        for number in 0..100_u32 {
            let name = number.to_be_bytes();
            // Every other one is unnamed.
            let name = name.get(..4 * (number as usize % 2)).unwrap_or_default();
            // A Close that has its effect, and behind it a Parse that fails.
            let (closed, made) = (space.set(name, None), space.set(name, Some(thing())));
            space.confirm(closed);
            space.undo(made, true);
            // The same where the answers come before the next is sent.
            let made = space.set(name, Some(thing()));
            space.confirm(made);
            let closed = space.set(name, None);
            assert_eq!((space.len(), space.get(name).is_some()), (0, false));
            space.confirm(closed);
        }
        assert_eq!((space.names.len(), space.gone), (0, 0));
        assert!(space.unnamed.is_none());
    }

    #[test]
    fn what_is_undone_leads_back_to_what_stands() {
        let mut space: Space<Thing> = Space::default();
        let first = thing();
        let made = space.set(b"s", Some(first.clone()));
        space.confirm(made);
        // In one pipeline, which fails at its beginning; then one more Parse that fails.
        let (failed, closed) = (space.set(b"s", Some(thing())), space.set(b"s", None));
        let late = space.set(b"s", Some(thing()));
        space.undo(closed, false);
        space.undo(failed, true);
        assert!(space.get(b"s").is_some_and(|now| !Rc::ptr_eq(now, &first)));
        space.undo(late, true);
        assert!(space.get(b"s").is_some_and(|now| Rc::ptr_eq(now, &first)));
        assert_eq!((space.len(), space.gone), (1, 0));
    }

    #[test]
    fn what_comes_back_is_as_tainted_as_what_stayed() {
        for (is_of_use, name) in [(true, &b"s"[..]), (false, b"s"), (true, b""), (false, b"")] {
            let mut space: Space<Thing> = Space::default();
            let first = Rc::new(Thing { is_of_use, ..Thing::default() });
            let made = space.set(name, Some(first.clone()));
            space.confirm(made);
            let closed = space.set(name, None);
            space.taint();
            let late = space.set(name, Some(thing()));
            space.undo(closed, false);
            // One that fails would destroy the unnamed.
            space.undo(late, !name.is_empty());
            assert_eq!((space.get(name).is_some(), first.is_tainted.get()), (is_of_use, true));
            // Of what is made behind it nothing is held against it.
            let again = thing();
            let made = space.set(b"t", Some(again.clone()));
            space.confirm(made);
            let closed = space.set(b"t", None);
            space.undo(closed, false);
            assert!(space.get(b"t").is_some() && !again.is_tainted.get());
        }
    }
}
