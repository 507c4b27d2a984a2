//! Relations by name: tables, views followed to their tables, and those nobody knows.

use std::rc::Rc;

use pg_query::NodeEnum;
use pg_query::protobuf::RangeVar;

use super::flow::{ColumnId, Flow, How};
use super::space::{Env, Field, Item, Rest, Rows};
use super::{Result, Tracer, VIEW_DEPTH_MAX};
use crate::builtins::is_system_relation;
use crate::catalog::{Column, Relation, RelationKind, Scope};

/// What a name in FROM, INTO or UPDATE stands for.
enum Named<'a> {
    Known(&'a Relation),
    /// PostgreSQL's own: its columns hold no base column.
    System(String),
    Stranger(String),
}

impl<'a> Tracer<'a> {
    /// A relation as an entry of FROM, without its alias.
    pub(super) fn relation_item(&mut self, range: &RangeVar) -> Item {
        let named = self.named(range);
        let schema = match &named {
            Named::Known(relation) => Some(relation.schema.clone()),
            Named::System(_) if range.schemaname.is_empty() => Some("pg_catalog".to_owned()),
            Named::System(_) | Named::Stranger(_) => {
                (!range.schemaname.is_empty()).then(|| range.schemaname.clone())
            }
        };
        let table = match &named {
            Named::Known(relation) => relation.kind != RelationKind::View,
            Named::System(_) | Named::Stranger(_) => false,
        };
        let rows = self.named_rows(named);
        let mut item = Item::new(Some(range.relname.clone()), rows);
        item.any_schema = schema.is_none();
        item.schema = schema;
        item.table = table;
        item
    }

    /// The columns a write to this column of a relation changes: its own, and those behind it.
    pub(super) fn targets(&mut self, range: &RangeVar, rows: &Rows, column: &str) -> Vec<ColumnId> {
        let field = rows.fields.iter().find(|field| field.name.as_deref() == Some(column));
        match field {
            Some(field) => field.flow.sources.clone(),
            None => vec![self.columns.as_written(&written(range), column)],
        }
    }

    fn named_rows(&mut self, named: Named<'a>) -> Rc<Rows> {
        match named {
            Named::Known(relation) => self.rows_of(relation),
            Named::Stranger(name) => {
                let star = self.columns.read_stranger(&name);
                let flow = Flow::new(How::Database, vec![star]);
                Rc::new(Rows { rest: Some(Rest { flow, relation: Some(name) }), ..Rows::default() })
            }
            Named::System(name) => {
                let star = self.columns.as_written(&name, "*");
                let flow = Flow::new(How::Derived, vec![star]);
                let rest = Some(Rest { flow, relation: Some(name) });
                Rc::new(Rows { rest, ..Rows::default() })
            }
        }
    }

    fn named(&self, range: &RangeVar) -> Named<'a> {
        let name = range.relname.as_str();
        let found =
            |schema: &str| self.scope.catalog.and_then(|catalog| catalog.find(schema, name));
        if !range.schemaname.is_empty() {
            return match (found(&range.schemaname), range.schemaname.as_str()) {
                (Some(relation), _) => Named::Known(relation),
                (None, "pg_catalog" | "information_schema") => Named::System(written(range)),
                (None, _) => Named::Stranger(written(range)),
            };
        }
        let stranger = Named::Stranger(name.to_owned());
        let Some(path) = self.scope.search_path else { return stranger };
        let implied = ["pg_temp", "pg_catalog"];
        let implied = implied.into_iter().filter(|schema| !path.iter().any(|on| on == schema));
        for schema in implied.chain(path.iter().map(String::as_str)) {
            if let Some(relation) = found(schema) {
                return Named::Known(relation);
            }
            if schema == "pg_catalog" && is_system_relation(name) {
                // Which of them there are depends on the server's version.
                return match path.iter().any(|other| found(other).is_some()) {
                    true => stranger,
                    false => Named::System(format!("pg_catalog.{name}")),
                };
            }
            if schema == "information_schema" {
                // Which views it has is not known here.
                return stranger;
            }
            if self.scope.catalog.is_none() && schema != "pg_temp" && schema != "pg_catalog" {
                return stranger;
            }
        }
        stranger
    }

    /// What a materialised view holds once it is made anew.
    pub(super) fn refreshed(&mut self, range: &RangeVar) -> Rows {
        match self.named(range) {
            Named::Known(relation) => {
                // Its own columns too: it may be another by then.
                let own = self.rows_of(relation).whole();
                let rows = self.behind(relation).unwrap_or_else(Rows::opaque);
                blurred(rows, &own)
            }
            Named::System(_) | Named::Stranger(_) => Rows::opaque(),
        }
    }

    pub(super) fn rows_of(&mut self, relation: &'a Relation) -> Rc<Rows> {
        self.columns.read(relation.oid);
        if let Some(known) = self.relations.get(&relation.oid) {
            return match known {
                Some(rows) => Rc::clone(rows),
                // A view that reads itself, as only a broken catalog has it.
                None => Rc::new(self.unexplained(relation)),
            };
        }
        self.relations.insert(relation.oid, None);
        let rows = Rc::new(match relation.kind {
            RelationKind::Table | RelationKind::PartitionedTable | RelationKind::ForeignTable => {
                self.table(relation)
            }
            RelationKind::View | RelationKind::MaterializedView => self.view(relation),
            // A sequence's state is no column of anybody's.
            RelationKind::Sequence => self.table(relation),
            RelationKind::Other => self.unexplained(relation),
        });
        self.relations.insert(relation.oid, Some(Rc::clone(&rows)));
        rows
    }

    fn table(&mut self, relation: &'a Relation) -> Rows {
        let catalog = self.scope.catalog;
        let ancestors = catalog.into_iter().flat_map(|catalog| catalog.ancestors(relation.oid));
        let ancestors: Vec<&Relation> =
            ancestors.filter(|ancestor| ancestor.oid != relation.oid).collect();
        let fields = relation.columns.iter().map(|column| {
            let mut sources = vec![self.columns.known(relation.oid, column.attribute)];
            for ancestor in &ancestors {
                if let Some(inherited) = ancestor.column(&column.name) {
                    sources.push(self.columns.known(ancestor.oid, inherited.attribute));
                }
            }
            Field::new(Some(column.name.clone()), Flow::new(How::Direct, sources))
        });
        Rows { fields: fields.collect(), ..Rows::default() }
    }

    /// The columns of a relation without a word on what is behind them.
    fn unexplained(&mut self, relation: &Relation) -> Rows {
        let fields = relation.columns.iter().map(|column| {
            let sources = vec![self.columns.known(relation.oid, column.attribute)];
            Field::new(Some(column.name.clone()), Flow::new(How::Opaque, sources))
        });
        Rows { fields: fields.collect(), ..Rows::default() }
    }

    fn view(&mut self, relation: &'a Relation) -> Rows {
        let Some(behind) = self.behind(relation) else {
            self.unread = true;
            // It shows and does what it likes.
            let anything = self.anything();
            self.hand_on(Some(&relation.qualified()), &anything);
            let rows = self.unexplained(relation);
            return blurred(rows, &anything);
        };
        if behind.rest.is_some() || behind.fields.len() != relation.columns.len() {
            let whole = behind.whole();
            let rows = self.unexplained(relation);
            return blurred(rows, &whole);
        }
        let fields = relation.columns.iter().zip(&behind.fields).map(|(column, field)| {
            let own = self.columns.known(relation.oid, column.attribute);
            let stored = relation.kind == RelationKind::MaterializedView;
            named_field(column, view_flow(own, &field.flow, stored))
        });
        Rows { fields: fields.collect(), number: behind.number, ..Rows::default() }
    }

    /// What a view's query gives; None where it cannot be read.
    fn behind(&mut self, relation: &'a Relation) -> Option<Rows> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return None;
        }
        let definition = relation.definition.as_deref()?;
        if self.scope.catalog?.cuts_names_elsewhere && !definition.is_ascii() {
            return None;
        }
        let parsed = pg_query::parse(definition, 0).ok()?;
        let [statement] = parsed.protobuf.stmts.as_slice() else { return None };
        let statement = statement.stmt.as_ref()?.node.as_ref()?;
        let NodeEnum::SelectStmt(_) = statement else { return None };
        // The server prints views for a path that finds nothing by itself.
        let nowhere: &[String] = &[];
        let outer = self.scope;
        self.scope = Scope { search_path: Some(nowhere), ..outer };
        let frames = std::mem::take(&mut self.frames);
        self.view_depth += 1;
        self.view_body = true;
        let result = self.statement(statement, &Env::empty());
        self.view_body = false;
        self.view_depth -= 1;
        self.frames = frames;
        self.scope = outer;
        match result {
            Result::Rows(rows) => Some(rows),
            Result::Nothing | Result::Anything => None,
        }
    }
}

/// A relation's name as it stands in the text.
pub(super) fn written(range: &RangeVar) -> String {
    if range.schemaname.is_empty() {
        range.relname.clone()
    } else {
        format!("{}.{}", range.schemaname, range.relname)
    }
}

fn named_field(column: &Column, flow: Flow) -> Field {
    Field::new(Some(column.name.clone()), flow)
}

/// A view's column: what is behind it, and itself, so that a label on either counts.
fn view_flow(own: ColumnId, behind: &Flow, stored: bool) -> Flow {
    let both = [&behind.sources[..], &[own]].concat();
    match behind.how {
        // A stored count is an ordinary column; a label on it is meant.
        How::None | How::Count if stored => Flow::new(How::Direct, vec![own]),
        // With a source a constant is no longer one that reads nothing: a label on it is meant.
        How::None => Flow::new(How::Derived, vec![own]),
        how @ (How::Count
        | How::Direct
        | How::Derived
        | How::Named
        | How::Opaque
        | How::Database) => Flow::new(how, both),
    }
}

/// All columns may come from all of `whole`.
fn blurred(mut rows: Rows, whole: &Flow) -> Rows {
    for flow in rows.flows_mut() {
        *flow = Flow::mix([&*flow, whole]);
    }
    rows
}
