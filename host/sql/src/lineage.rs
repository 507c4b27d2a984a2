//! Lineage: for each output column of a statement, the base columns it is computed from; for
//! each column written, where the value comes from.
//!
//! Masking stands on this: a value derived from a sensitive column that is not attributed to
//! that column leaks. So names resolve exactly as PostgreSQL resolves them, and what is not
//! explained is unknown, with everything the statement could have read as its sources.
//!
//! Where a row comes from is not where its values come from: predicates, joins and grouping
//! add no sources. There are two exceptions, both for a value that reads nothing itself, such
//! as a constant or a count. If it comes out of a sub-query that uses columns from outside of
//! itself, whether and which it is tells of those columns. If it is a count of rows that a
//! function in FROM makes, it tells of that function's arguments.

mod call;
mod expression;
mod flow;
mod from;
mod json;
mod label;
mod query;
mod relation;
mod space;
mod statement;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use pg_query::NodeEnum;
use portcullis_policy::lineage::{ColumnRef, Outputs, WrittenColumn};

use crate::catalog::{Relation, Scope};
use flow::{ColumnId, Columns, Flow, How};
use space::Rows;

/// Beyond this many nested nodes nothing is explained. Each level costs a few stack frames.
const DEPTH_MAX: usize = 300;
/// Views of views beyond this are not followed.
const VIEW_DEPTH_MAX: usize = 32;
/// Rounds of a recursive CTE until its sources stand still; more means unknown.
const ROUNDS_MAX: usize = 16;

/// Nodes looked at in one statement, views and repeated rounds included.
const STEPS_MAX: usize = 200_000;

/// What a statement reads and writes, column by column.
pub(crate) struct Traced {
    pub outputs: Outputs,
    pub written: Vec<WrittenColumn>,
    /// Every base column referenced anywhere, predicates included.
    pub columns: Vec<ColumnRef>,
    /// Where in the text the columns and functions are named that were come by, sorted.
    visited: Vec<i32>,
    /// What was called as an attribute, `x.f` for `f(x)`, or may have been.
    pub called: Vec<String>,
    /// What puts a value it is given where it can be read again, and is called in a view.
    pub carriers: BTreeSet<String>,
    /// Some of it was not followed.
    pub gave_up: bool,
}

impl Traced {
    /// Whether what is named at this place was come by.
    pub(crate) fn has_visited(&self, place: i64) -> bool {
        // What the grammar itself adds has no place.
        place < 0
            || i32::try_from(place).is_ok_and(|place| self.visited.binary_search(&place).is_ok())
    }
}

/// Traces one statement, the node inside its `RawStmt`.
pub(crate) fn trace(statement: &NodeEnum, scope: &Scope<'_>) -> Traced {
    let mut tracer = Tracer::new(scope);
    let result = tracer.statement(statement, &space::Env::empty());
    tracer.finish(result)
}

/// Every relation that a view reads, at any remove, by OID, itself among them; None where that
/// cannot be told.
pub(crate) fn read_by(view: &Relation, scope: &Scope<'_>) -> Option<Vec<u32>> {
    let mut tracer = Tracer::new(scope);
    tracer.rows_of(view);
    let is_told = !tracer.gave_up && !tracer.unread && !tracer.columns.have_strangers();
    is_told.then(|| tracer.relations.into_keys().collect())
}

/// What a statement gives back.
enum Result {
    Nothing,
    Rows(Rows),
    Anything,
}

/// A column written and where its value comes from, before numbers become names.
struct Write {
    target: ColumnId,
    flow: Flow,
}

/// One query being traced: columns that belong to scopes outside of it, met inside of it.
struct Frame {
    depth: usize,
    outside: BTreeSet<ColumnId>,
    how: How,
}

/// The state of one trace.
struct Tracer<'a> {
    scope: Scope<'a>,
    columns: Columns,
    referenced: BTreeSet<ColumnId>,
    visited: Vec<i32>,
    called: Vec<String>,
    carriers: BTreeSet<String>,
    /// What those, and others that the text itself calls, are given.
    carried: Flow,
    /// How many of them were come by.
    carrying: usize,
    written: Vec<Write>,
    /// Row sets of relations already looked at; None while a view is being followed.
    relations: HashMap<u32, Option<Rc<Rows>>>,
    frames: Vec<Frame>,
    depth: usize,
    steps: usize,
    view_depth: usize,
    /// How many queries the one at hand stands in.
    level: usize,
    /// The next query is a view's own: what it selects is not yet read.
    view_body: bool,
    /// Something in the statement reads what its text does not name.
    reads_anything: bool,
    gave_up: bool,
    /// The query of a view could not be read.
    unread: bool,
    /// A function nobody can see into is called.
    blind: bool,
    /// What calls in this query that give several rows are given: the number of rows tells of it.
    spreading: Flow,
    /// This query has calls over windows.
    windows: bool,
    /// What the frames of this query's named windows depend on.
    framing: Flow,
}

impl<'a> Tracer<'a> {
    fn new(scope: &Scope<'a>) -> Tracer<'a> {
        Tracer {
            scope: *scope,
            columns: Columns::default(),
            referenced: BTreeSet::new(),
            visited: Vec::new(),
            called: Vec::new(),
            carriers: BTreeSet::new(),
            carried: Flow::none(),
            carrying: 0,
            written: Vec::new(),
            relations: HashMap::new(),
            frames: Vec::new(),
            depth: 0,
            steps: 0,
            view_depth: 0,
            level: 0,
            view_body: false,
            reads_anything: false,
            gave_up: false,
            unread: false,
            blind: false,
            spreading: Flow::none(),
            windows: false,
            framing: Flow::none(),
        }
    }

    /// Notes that what the statement names at this place has been come by.
    fn visit(&mut self, place: i32) {
        // A view's own query is another text.
        if self.view_depth == 0 {
            self.visited.push(place);
        }
    }

    /// Notes that the statement refers to these columns.
    fn refer(&mut self, flow: &Flow) {
        self.referenced.extend(&flow.sources);
    }

    /// Notes that a value of the scope at `depth` is used in the queries inside that scope.
    fn refer_outside(&mut self, flow: &Flow, depth: usize) {
        for frame in self.frames.iter_mut().filter(|frame| depth <= frame.depth) {
            frame.outside.extend(&flow.sources);
            frame.how = frame.how.max(flow.how);
        }
    }

    /// Runs one level deeper; beyond the limit the value is `too_deep`.
    fn deeper<T>(&mut self, too_deep: T, run: impl FnOnce(&mut Self) -> T) -> T {
        self.steps = self.steps.saturating_add(1);
        if self.depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            // What stands deeper is not looked at, so it could read anything.
            self.reads_anything = true;
            self.gave_up = true;
            return too_deep;
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    fn finish(mut self, result: Result) -> Traced {
        let outputs = self.outputs(result);
        let catalog = self.scope.catalog;
        let mut written: Vec<WrittenColumn> = Vec::new();
        for write in std::mem::take(&mut self.written) {
            let mut sources = self.columns.sources(&write.flow, catalog);
            if self.reads_anything || write.flow.how >= How::Opaque {
                add(&mut sources, anything());
            }
            let Some(target) = self.columns.reference(write.target, catalog) else { continue };
            let column = WrittenColumn { target, sources };
            if !written.contains(&column) {
                written.push(column);
            }
        }
        self.referenced.extend(&self.carried.sources);
        let referenced: Vec<ColumnId> = self.referenced.iter().copied().collect();
        let mut columns = self.columns.references(&referenced, catalog);
        if self.reads_anything || self.carried.how >= How::Opaque {
            add(&mut columns, anything());
        }
        let mut visited = self.visited;
        visited.sort_unstable();
        Traced {
            outputs,
            written,
            columns,
            visited,
            called: self.called,
            carriers: self.carriers,
            gave_up: self.gave_up,
        }
    }

    fn outputs(&mut self, result: Result) -> Outputs {
        let catalog = self.scope.catalog;
        let rows = match result {
            Result::Nothing => return Outputs::Nothing,
            Result::Anything => return Outputs::Anything,
            Result::Rows(_) if self.reads_anything => return Outputs::Anything,
            Result::Rows(rows) => rows,
        };
        if rows.rest.is_some() {
            let whole = rows.whole();
            return match whole.how {
                How::Database | How::Named => Outputs::Anything,
                How::None | How::Count | How::Direct | How::Derived | How::Opaque => {
                    Outputs::Unknown(self.columns.sources(&whole, catalog))
                }
            };
        }
        let lineage = rows.fields.iter().map(|field| self.columns.lineage(&field.flow, catalog));
        Outputs::Columns(lineage.collect())
    }
}

fn add(columns: &mut Vec<ColumnRef>, column: ColumnRef) {
    if !columns.contains(&column) {
        columns.push(column);
    }
}

/// Stands for whatever there is in the database.
const ANYTHING: &str = "*";

fn anything() -> ColumnRef {
    ColumnRef { relation: ANYTHING.to_owned(), column: ANYTHING.to_owned(), origin: None }
}
