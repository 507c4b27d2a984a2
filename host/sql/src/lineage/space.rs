//! Names in scope: FROM items level by level, and the names WITH introduces.

use std::cell::RefCell;
use std::rc::Rc;

use pg_query::Node;

use super::flow::Flow;

/// A column of a row set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// None: PostgreSQL gives it a name we do not know.
    pub(super) name: Option<String>,
    pub(super) flow: Flow,
    /// `*` gives it, as it does all but what SEARCH and CYCLE add to a WITH item, in queries below
    /// the one that has the WITH (`p_dontexpand` in `parse_relation.c`). What counts columns, as an
    /// alias of a join does, counts it all the same.
    pub(super) in_star: bool,
}

impl Field {
    pub(super) fn new(name: Option<String>, flow: Flow) -> Field {
        Field { name, flow, in_star: true }
    }
}

/// Further columns of a row set, whose number and names are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) flow: Flow,
    /// The relation they belong to, where it is a single one.
    pub(super) relation: Option<String>,
}

/// The columns of a row set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) fields: Vec<Field>,
    pub(super) rest: Option<Rest>,
    /// What the number of rows tells of, beyond predicates: arguments of functions in FROM.
    pub(super) number: Option<Flow>,
}

impl Rows {
    /// Nothing is known of them.
    pub(super) fn opaque() -> Rows {
        Rows::open(Flow::opaque())
    }

    /// Columns unknown in number, all of one flow.
    pub(super) fn open(flow: Flow) -> Rows {
        Rows { rest: Some(Rest { flow, relation: None }), ..Rows::default() }
    }

    /// Everything in a row at once.
    pub(super) fn whole(&self) -> Flow {
        let fields = self.fields.iter().map(|field| &field.flow);
        Flow::mix(fields.chain(self.rest.as_ref().map(|rest| &rest.flow)))
    }

    /// What each column, and what is behind those that are known, is made of.
    pub(super) fn flows_mut(&mut self) -> impl Iterator<Item = &mut Flow> {
        let fields = self.fields.iter_mut().map(|field| &mut field.flow);
        fields.chain(self.rest.as_mut().map(|rest| &mut rest.flow))
    }

    /// The same rows, where which of them there are tells of `chosen`.
    pub(super) fn chosen_by(mut self, chosen: &Flow) -> Rows {
        for flow in self.flows_mut() {
            *flow = Flow::mix([&*flow, chosen]);
        }
        self.numbered(chosen)
    }

    /// The same rows, whose number tells of this, too.
    pub(super) fn numbered(mut self, number: &Flow) -> Rows {
        self.number = Flow::mix(self.number.iter().chain([number])).into_number();
        self
    }

    /// The column at a position; past the end of what is known, anything there is.
    pub(super) fn at(&self, position: usize) -> Flow {
        match (&self.rest, self.fields.get(position)) {
            (None, Some(field)) => field.flow.clone(),
            (None, None) => Flow::opaque(),
            (Some(_), _) => self.whole(),
        }
    }

    /// The same columns under the names an alias lists.
    pub(super) fn renamed(mut self, names: &[String]) -> Rows {
        if names.is_empty() {
            return self;
        }
        if let Some(rest) = &mut self.rest {
            // Which columns these names fall on is not known, so each may be any.
            let flow = Flow::mix(self.fields.iter().map(|field| &field.flow).chain([&rest.flow]));
            rest.flow = flow.clone();
            rest.relation = None;
            self.fields =
                names.iter().map(|name| Field::new(Some(name.clone()), flow.clone())).collect();
            return self;
        }
        for (field, name) in self.fields.iter_mut().zip(names) {
            field.name = Some(name.clone());
        }
        self
    }
}

/// An entry of FROM.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// None for a join without an alias.
    pub(super) name: Option<String>,
    /// It has a name that is not known here: it could be any.
    pub(super) any_name: bool,
    /// The schema of a relation without an alias, for `schema.table.column`.
    pub(super) schema: Option<String>,
    /// None where `schema` is not known though the entry is a relation without an alias.
    pub(super) any_schema: bool,
    pub(super) rows: Rc<Rows>,
    /// A table: it has system columns.
    pub(super) table: bool,
    /// `name.column` finds it.
    pub(super) by_name: bool,
    /// `column` and `*` find its columns.
    pub(super) by_column: bool,
}

impl Item {
    pub(super) fn new(name: Option<String>, rows: Rc<Rows>) -> Item {
        Item {
            by_name: name.is_some(),
            name,
            any_name: false,
            schema: None,
            any_schema: false,
            rows,
            table: false,
            by_column: true,
        }
    }

    /// One whose name is not known.
    pub(super) fn unnamed(rows: Rows) -> Item {
        Item { any_name: true, by_name: true, ..Item::new(None, Rc::new(rows)) }
    }

    fn answers(&self, schema: Option<&str>, name: &str) -> bool {
        if !self.by_name || self.name.as_deref() != Some(name) && !self.any_name {
            return false;
        }
        match schema {
            None => true,
            Some(schema) => self.any_schema || self.schema.as_deref() == Some(schema),
        }
    }
}

/// What is known of a CTE so far.
#[derive(Clone)]
pub(super) enum Known {
    NotYet,
    /// Being traced; with what its first branch gave, if it is recursive.
    Underway(Option<Rc<Rows>>),
    Done(Rc<Rows>),
}

/// A WITH clause.
pub(super) struct With<'e> {
    pub(super) ctes: Vec<&'e pg_query::protobuf::CommonTableExpr>,
    pub(super) recursive: bool,
    /// How deep in queries the one stands that has it.
    pub(super) level: usize,
    pub(super) known: RefCell<Vec<Known>>,
}

/// Names in scope, innermost first.
#[derive(Clone, Copy)]
pub(super) struct Env<'e> {
    outer: Option<&'e Env<'e>>,
    layer: Layer<'e>,
    pub(super) depth: usize,
}

#[derive(Clone, Copy)]
enum Layer<'e> {
    Empty,
    Items(&'e [Item]),
    With(&'e With<'e>),
}

/// Several entries could be meant.
pub(super) struct InDoubt;

/// A CTE found, and the scope its WITH clause stands in.
pub(super) struct FoundCte<'e> {
    pub(super) with: &'e With<'e>,
    pub(super) index: usize,
    pub(super) env: Env<'e>,
}

impl<'e> Env<'e> {
    pub(super) fn empty() -> Env<'static> {
        Env { outer: None, layer: Layer::Empty, depth: 0 }
    }

    pub(super) fn items(outer: &'e Env<'e>, items: &'e [Item]) -> Env<'e> {
        Env { outer: Some(outer), layer: Layer::Items(items), depth: outer.depth.saturating_add(1) }
    }

    pub(super) fn with(outer: &'e Env<'e>, with: &'e With<'e>) -> Env<'e> {
        Env { outer: Some(outer), layer: Layer::With(with), depth: outer.depth.saturating_add(1) }
    }

    fn layers(&self) -> impl Iterator<Item = &Env<'e>> {
        std::iter::successors(Some(self), |env| env.outer)
    }

    /// The FROM items of each level with its depth, innermost first.
    pub(super) fn levels(&self) -> impl Iterator<Item = (usize, &'e [Item])> {
        self.layers().filter_map(|env| match env.layer {
            Layer::Items(items) => Some((env.depth, items)),
            Layer::Empty | Layer::With(_) => None,
        })
    }

    /// The entry of this name, nearest first.
    ///
    /// # Errors
    /// Where it cannot be told which it is.
    pub(super) fn item(
        &self,
        schema: Option<&str>,
        name: &str,
    ) -> Result<Option<(usize, &'e Item)>, InDoubt> {
        let mut found = self.levels().flat_map(|(depth, items)| {
            let answering = items.iter().filter(move |item| item.answers(schema, name));
            answering.map(move |item| (depth, item))
        });
        let Some(first) = found.next() else { return Ok(None) };
        let any_schema = schema.is_some() && first.1.any_schema && found.next().is_some();
        if first.1.any_name || any_schema { Err(InDoubt) } else { Ok(Some(first)) }
    }

    pub(super) fn cte(&self, name: &str) -> Option<FoundCte<'e>> {
        self.layers().find_map(|env| {
            let Layer::With(with) = env.layer else { return None };
            let index = with.ctes.iter().position(|cte| cte.ctename == name)?;
            // Without RECURSIVE a WITH item sees only those before it.
            let visible =
                with.recursive || matches!(with.known.borrow().get(index), Some(Known::Done(_)));
            visible.then_some(FoundCte { with, index, env: *env })
        })
    }
}

/// The columns every table has beside its own.
pub(super) fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "cmin" | "xmax" | "cmax" | "tableoid")
}

/// Whether an unknown value can be behind an item's column of this name.
pub(super) fn may_hold(item: &Item) -> bool {
    let rows = &item.rows;
    rows.rest.is_some() || rows.fields.iter().any(|field| field.name.is_none())
}

/// The strings of a list of names.
pub(super) fn names(nodes: &[Node]) -> Vec<String> {
    nodes.iter().filter_map(text).map(str::to_owned).collect()
}

/// A name node's string.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.node {
        Some(pg_query::NodeEnum::String(string)) => Some(&string.sval),
        _ => None,
    }
}
