//! Facts about texts, cached by shape: one cache per worker.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use portcullis_ledger::Part;
use portcullis_policy::{ColumnRef, Outputs, PolicySet, Statement};
use portcullis_sql::{KeyCutter, Limits, Scope};
use rustc_hash::FxHashMap;

use crate::asking::is_locked_out;
use crate::database::{DatabaseState, View};
use crate::effects::leaves_nothing;
use crate::moves::{moves, rests_on_everything};
use crate::reading::Reading;
use crate::recent::Recent;

/// Entries per generation; two generations are kept.
const CACHED_MAX: usize = 4_096;
/// Longer texts are analysed on a helper thread, so that a worker's sessions do not wait.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Longer keys are not worth their memory.
const KEY_BYTES_MAX: usize = 16 * 1024;
/// How often a text is explained anew because the catalog was read again meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// A text's statements, as one view of the database explains them.
pub struct Facts {
    pub statements: Vec<Statement>,
    /// The view they were made under: labels and lineage hold for it.
    pub view: Arc<View>,
    /// The classifiers that were asked for the labels.
    pub classifiers: u64,
    /// No change of the catalog was known that the view does not have.
    pub current: bool,
    /// All that they rest on was looked at: they serve the next text of the shape as well.
    pub lasting: bool,
    /// One of the statements has an effect beyond the rows it reads and writes.
    pub leave_something: bool,
    /// Whether one of the statements may run depends on what is hidden anywhere in the database.
    pub rest_on_everything: bool,
    /// One of them copies values, or hands some on: where names may mean something else than the
    /// catalog says, that depends on it too.
    pub move_something: bool,
    /// What the ledger is told of each statement, once it was told.
    parts: OnceCell<Vec<Part>>,
}

impl Facts {
    pub fn new(
        statements: Vec<Statement>,
        view: Arc<View>,
        classifiers: u64,
        current: bool,
        lasting: bool,
    ) -> Facts {
        let leave_something = !statements.iter().all(leaves_nothing);
        Facts {
            leave_something,
            rest_on_everything: statements.iter().any(rests_on_everything),
            move_something: statements.iter().any(moves),
            parts: OnceCell::new(),
            statements,
            view,
            classifiers,
            current,
            lasting,
        }
    }

    /// What the ledger is told of one of the statements.
    pub fn part(&self, index: usize) -> Part {
        let parts =
            self.parts.get_or_init(|| self.statements.iter().map(Part::statement).collect());
        // The index was taken from the statements.
        parts[index].clone()
    }

    /// The text of one of the statements, where `message` is what the client sent. Facts are
    /// shared by all texts of a shape, so that a text of one statement is taken from there.
    pub fn text<'t>(&'t self, index: usize, message: &'t str) -> &'t str {
        match self.statements.as_slice() {
            [_] => message.trim_matches(|c: char| c.is_ascii_whitespace() || c == ';'),
            several => several.get(index).map_or(message, |statement| &statement.text),
        }
    }

    /// True when one of the statements shows the same under another view of the database.
    pub fn hold_under(
        &self,
        index: usize,
        database: &DatabaseState,
        view: &View,
        reading: &Reading,
        limits: &Limits,
    ) -> bool {
        let Some(own) = self.statements.get(index) else { return false };
        let again = portcullis_sql::analyze(&own.text, &scope(database, view, reading), limits);
        matches!(again.as_slice(), [now] if now.outputs == own.outputs && now.opaque == own.opaque)
    }

    /// True when these facts hold under the view of this number.
    pub fn is_of(&self, view: u64, classifiers: u64) -> bool {
        self.view.version == view && self.classifiers == classifiers
    }
}

/// Under what a text is explained: under the same, texts of one shape have the same facts.
#[derive(Clone, Copy)]
struct Under<'a> {
    database: u64,
    view: u64,
    classifiers: u64,
    reading: &'a Reading,
}

/// The same, kept with the facts of a text.
struct Kept {
    database: u64,
    view: u64,
    classifiers: u64,
    reading: Reading,
    facts: Rc<Facts>,
}

/// Writes keys, one after another, into the same memory.
#[derive(Default)]
struct Keys {
    cutter: KeyCutter,
    key: Vec<u8>,
}

/// The cache.
#[derive(Default)]
pub struct FactsCache {
    young: RefCell<FxHashMap<Box<[u8]>, Rc<Facts>>>,
    old: RefCell<FxHashMap<Box<[u8]>, Rc<Facts>>>,
    /// The view of each database that the facts are of.
    views: RefCell<FxHashMap<u64, u64>>,
    keys: RefCell<Keys>,
    /// Of those that came more than once: mostly no key needs to be cut.
    recent: RefCell<Recent<Kept>>,
}

impl FactsCache {
    /// The facts about `text`, cached or new. Relations met for the first time are looked at
    /// before anything is said about them; where nothing is `enforced`, as far as nobody has locked
    /// them.
    ///
    /// # Errors
    /// When the database's catalog cannot be read at all, or what is enforced cannot be looked at.
    pub async fn facts(
        &self,
        database: &Arc<DatabaseState>,
        text: &str,
        reading: &Reading,
        (limits, now): (&Limits, Instant),
        (policies, is_enforced): (&dyn PolicySet, &dyn Fn() -> bool),
    ) -> io::Result<Rc<Facts>> {
        let current =
            database.keep_up_to_date(now) || Box::pin(database.bring_up_to_date()).await?;
        let classifiers = policies.classifiers();
        let view = database.view_version();
        let under = Under { database: database.number, view, classifiers, reading };
        if current && let Some(facts) = self.cached(under, text) {
            // The shape is the same, the literals are not.
            return Ok(facts);
        }
        for _ in 0..ATTEMPTS_MAX {
            let view = database.view();
            let analyzed = Box::pin(analyze(database, &view, text, reading, limits));
            let mut statements = analyzed.await?;
            let unseen = relations(&statements, &view, classifiers);
            let mut lasting = current;
            if !unseen.is_empty() {
                match Box::pin(database.sample(&unseen, policies)).await {
                    // Who only observes keeps nobody from what somebody has locked.
                    Err(error) if is_locked_out(&error) && !is_enforced() => lasting = false,
                    sampled => sampled?,
                }
            }
            let labelled = database.view();
            // Read again while we waited: the names may mean something else in it.
            if !Arc::ptr_eq(&view.catalog, &labelled.catalog) {
                continue;
            }
            label(&mut statements, &labelled);
            let under = Under { view: labelled.version, ..under };
            let facts = Rc::new(Facts::new(statements, labelled, classifiers, current, lasting));
            if lasting {
                self.keep(under, text, &facts);
            }
            return Ok(facts);
        }
        Err(io::Error::other("the catalog changes faster than it can be read; try again"))
    }

    fn cached(&self, under: Under<'_>, text: &str) -> Option<Rc<Facts>> {
        let recent = self.recent.borrow();
        if let Some(kept) = recent.find(text, |kept| under.is_as(kept)) {
            return Some(kept.facts.clone());
        }
        drop(recent);
        let mut keys = self.keys.borrow_mut();
        let key = keys.write(under, text)?;
        let found = self.young.borrow().get(key).cloned();
        let facts = match found {
            Some(facts) => facts,
            None => {
                let (key, facts) = self.old.borrow_mut().remove_entry(key)?;
                self.insert(key, facts.clone());
                facts
            }
        };
        let template = || keys.cutter.template(text);
        self.recent.borrow_mut().keep(text, template, under.keep(facts.clone()));
        Some(facts)
    }

    fn keep(&self, under: Under<'_>, text: &str, facts: &Rc<Facts>) {
        // A text of several statements is rare, and its parts' texts differ in length.
        if facts.statements.len() != 1 {
            return;
        }
        self.forget_earlier(under);
        if let Some(key) = self.keys.borrow_mut().write(under, text) {
            self.insert(key.into(), facts.clone());
        }
    }

    /// What was made under an earlier view of the database is not asked for again, and each
    /// would hold a catalog.
    fn forget_earlier(&self, under: Under<'_>) {
        let Under { database, view, .. } = under;
        if self.views.borrow_mut().insert(database, view) == Some(view) {
            return;
        }
        let is_earlier = |key: &[u8]| {
            let rest = key.strip_prefix(&database.to_le_bytes());
            rest.is_some_and(|rest| !rest.starts_with(&view.to_le_bytes()))
        };
        for generation in [&self.young, &self.old] {
            generation.borrow_mut().retain(|key, _| !is_earlier(key));
        }
        self.recent.borrow_mut().clear();
    }

    fn insert(&self, key: Box<[u8]>, facts: Rc<Facts>) {
        let mut young = self.young.borrow_mut();
        if young.len() >= CACHED_MAX {
            *self.old.borrow_mut() = std::mem::take(&mut young);
        }
        young.insert(key, facts);
    }
}

impl Under<'_> {
    fn is_as(&self, kept: &Kept) -> bool {
        (self.view, self.database, self.classifiers) == (kept.view, kept.database, kept.classifiers)
            && *self.reading == kept.reading
    }

    fn keep(&self, facts: Rc<Facts>) -> Kept {
        let Under { database, view, classifiers, reading } = *self;
        Kept { database, view, classifiers, reading: reading.clone(), facts }
    }
}

impl Keys {
    /// None where how the text is read is not known, and where the key would be too long.
    fn write(&mut self, under: Under<'_>, text: &str) -> Option<&[u8]> {
        let Under { database, view, classifiers, reading } = under;
        let strings = reading.standard_conforming_strings?;
        self.key.clear();
        for number in [database, view, classifiers] {
            self.key.extend_from_slice(&number.to_le_bytes());
        }
        self.key.push(u8::from(strings));
        // Names with their lengths, so that no two paths are written alike.
        self.key.push(u8::from(reading.search_path.is_some()));
        let path = reading.search_path.as_deref().unwrap_or_default();
        self.key.extend_from_slice(&path.len().to_le_bytes());
        for schema in path {
            self.key.extend_from_slice(&schema.len().to_le_bytes());
            self.key.extend_from_slice(schema.as_bytes());
        }
        let shape = self.cutter.cut(text, strings).unwrap_or_default();
        if shape.is_empty() || self.key.len() + shape.len() > KEY_BYTES_MAX {
            // The memory that it took is not worth keeping either.
            *self = Keys::default();
            return None;
        }
        self.key.extend_from_slice(shape.as_bytes());
        Some(&self.key)
    }
}

async fn analyze(
    database: &Arc<DatabaseState>,
    view: &Arc<View>,
    text: &str,
    reading: &Reading,
    limits: &Limits,
) -> io::Result<Vec<Statement>> {
    if text.len() <= INLINE_BYTES_MAX {
        return Ok(portcullis_sql::analyze(text, &scope(database, view, reading), limits));
    }
    let (database, view, reading) = (database.clone(), view.clone(), reading.clone());
    let (text, limits) = (text.to_owned(), *limits);
    let analysis = tokio::task::spawn_blocking(move || {
        portcullis_sql::analyze(&text, &scope(&database, &view, &reading), &limits)
    });
    analysis.await.map_err(io::Error::other)
}

fn scope<'a>(database: &'a DatabaseState, view: &'a View, reading: &'a Reading) -> Scope<'a> {
    Scope {
        catalog: Some(&view.catalog),
        search_path: reading.search_path.as_deref(),
        standard_conforming_strings: reading.standard_conforming_strings,
        trusted_functions: &database.settings.trusted_functions,
    }
}

/// Relations these statements could show something of, and that nobody has looked at.
fn relations(statements: &[Statement], view: &View, classifiers: u64) -> Vec<u32> {
    let mut oids = BTreeSet::new();
    for statement in statements {
        oids.extend(statement.relations.iter().filter_map(|relation| relation.oid));
        let columns = sources(&statement.outputs).chain(&statement.columns);
        oids.extend(columns.filter_map(|column| column.origin).map(|(oid, _)| oid));
        for written in &statement.written {
            oids.extend(written.target.origin.map(|(oid, _)| oid));
            oids.extend(
                written.sources.iter().filter_map(|column| column.origin).map(|(oid, _)| oid),
            );
        }
    }
    oids.retain(|oid| view.is_unseen(*oid, classifiers));
    oids.into_iter().collect()
}

/// Every base column a result may show.
pub fn sources(outputs: &Outputs) -> Box<dyn Iterator<Item = &ColumnRef> + '_> {
    match outputs {
        Outputs::Nothing | Outputs::Anything => Box::new(std::iter::empty()),
        Outputs::Columns(columns) => Box::new(columns.iter().flat_map(|column| &column.sources)),
        Outputs::Unknown(columns) => Box::new(columns.iter()),
    }
}

/// Fills in the labels of the columns each relation is used with.
fn label(statements: &mut [Statement], view: &View) {
    for relation in statements.iter_mut().flat_map(|statement| &mut statement.relations) {
        let Some(known) = relation.oid.and_then(|oid| view.catalog.relation(oid)) else { continue };
        let used = known
            .columns
            .iter()
            .filter(|column| relation.all_columns || relation.columns.contains(&column.name));
        let labels: BTreeSet<String> = used
            .flat_map(|column| view.labels.of((known.oid, column.attribute)))
            .cloned()
            .collect();
        relation.labels = labels.into_iter().collect();
    }
}
