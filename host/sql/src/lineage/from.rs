//! FROM: the entries a query reads, joined and named.

use std::rc::Rc;

use pg_query::protobuf::{
    Alias, CoercionForm, JoinExpr, JoinType, RangeFunction, RangeSubselect, RangeVar,
};
use pg_query::{Node, NodeEnum};

use super::flow::{Flow, How};
use super::query::{both_rests, extend};
use super::space::{Env, Field, Item, Rows, names, text};
use super::{Result, Tracer};

impl Tracer<'_> {
    /// The entries of a FROM list, and its WHERE.
    pub(super) fn from(
        &mut self,
        list: &[Node],
        filter: Option<&Node>,
        outer: &Env<'_>,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        for node in list {
            let more = self.entry(node, outer, &items);
            items.extend(more);
        }
        if let Some(filter) = filter {
            self.expression(filter, &Env::items(outer, &items));
        }
        items
    }

    /// One entry: a join brings its arms along, for `arm.column`.
    pub(super) fn entry(&mut self, node: &Node, outer: &Env<'_>, left: &[Item]) -> Vec<Item> {
        let opaque = || vec![Item::unnamed(Rows::opaque())];
        let Some(node) = &node.node else { return opaque() };
        self.deeper(opaque(), |tracer| tracer.entry_node(node, outer, left))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a node not named here is not explained")]
    fn entry_node(&mut self, node: &NodeEnum, outer: &Env<'_>, left: &[Item]) -> Vec<Item> {
        let lateral = Env::items(outer, left);
        match node {
            NodeEnum::RangeVar(range) => vec![self.range(range, outer)],
            NodeEnum::RangeSubselect(select) => {
                let env = if select.lateral { &lateral } else { outer };
                vec![self.range_select(select, env)]
            }
            NodeEnum::RangeFunction(function) => vec![self.range_function(function, &lateral)],
            NodeEnum::RangeTableFunc(table) => {
                let rows = self.xml_table(table, &lateral);
                vec![aliased(rows, table.alias.as_ref(), Some("xmltable"))]
            }
            NodeEnum::JsonTable(table) => {
                let rows = self.json_table(table, &lateral);
                vec![aliased(rows, table.alias.as_ref(), Some("json_table"))]
            }
            NodeEnum::RangeTableSample(sample) => {
                let seed = sample.repeatable.as_deref();
                let chosen = self.computed(sample.args.iter().chain(seed), outer);
                let mut items = match sample.relation.as_deref() {
                    Some(relation) => self.entry(relation, outer, left),
                    None => vec![Item::unnamed(Rows::opaque())],
                };
                if !chosen.reads_nothing() {
                    for item in &mut items {
                        item.rows = Rc::new((*item.rows).clone().chosen_by(&chosen));
                    }
                }
                items
            }
            NodeEnum::JoinExpr(join) => self.join(join, outer, left),
            _ => vec![Item::unnamed(Rows::opaque())],
        }
    }

    /// A relation or a CTE.
    pub(super) fn range(&mut self, range: &RangeVar, env: &Env<'_>) -> Item {
        let cte = if range.schemaname.is_empty() { env.cte(&range.relname) } else { None };
        let mut item = match cte {
            Some(found) => {
                let rows = self.cte(found.with, found.index, &found.env);
                let is_beside = self.level == found.with.level;
                let rows = if is_beside { all_in_star(rows) } else { rows };
                Item::new(Some(range.relname.clone()), rows)
            }
            None => self.relation_item(range),
        };
        if let Some(alias) = &range.alias {
            rename(&mut item, alias);
        }
        item
    }

    fn range_select(&mut self, select: &RangeSubselect, env: &Env<'_>) -> Item {
        let query = select.subquery.as_deref().and_then(|query| query.node.as_ref());
        let rows = match query.map(|query| self.statement(query, env)) {
            Some(Result::Rows(rows)) => rows,
            Some(Result::Nothing | Result::Anything) | None => Rows::opaque(),
        };
        aliased(rows, select.alias.as_ref(), None)
    }

    fn range_function(&mut self, function: &RangeFunction, env: &Env<'_>) -> Item {
        if is_system_user(function) {
            return self.system_user(function, env);
        }
        let mut rows = Rows::default();
        // Of several functions the first gives the name.
        let mut name = None;
        for (index, node) in function.functions.iter().enumerate() {
            // Each is a pair: the call, and its column definitions.
            let Some(NodeEnum::List(pair)) = &node.node else {
                extend(&mut rows, &Rows::opaque());
                continue;
            };
            let Some(call) = pair.items.first() else { continue };
            let definitions = match pair.items.get(1).and_then(|node| node.node.as_ref()) {
                Some(NodeEnum::List(list)) => list.items.as_slice(),
                _ => &function.coldeflist,
            };
            let (columns, called) = self.function_rows(call, env);
            if index == 0 {
                name = called;
            }
            let number = Flow::mix(rows.number.iter().chain(&columns.number));
            extend(&mut rows, &defined(columns, definitions));
            rows.number = number.into_number();
        }
        // No column is named here. The one of a function that has one bears the alias, or the
        // function's name; but which those are is not known.
        if function.ordinality {
            let number = rows.number.clone().unwrap_or_else(Flow::none);
            let flow = Flow::new(How::Count, Vec::new()).steered(&number);
            rows.fields.push(Field::new(Some("ordinality".to_owned()), flow));
        }
        match (&function.alias, name) {
            (None, None) => Item::unnamed(rows),
            (alias, name) => aliased(rows, alias.as_ref(), name.as_deref()),
        }
    }

    /// Before version 16 a relation or a WITH item, and later a function.
    fn system_user(&mut self, function: &RangeFunction, env: &Env<'_>) -> Item {
        let name = SYSTEM_USER.to_owned();
        let range = RangeVar { relname: name.clone(), inh: true, ..RangeVar::default() };
        let named = self.range(&range, env);
        let flow = Flow::mix([&named.rows.whole(), &Flow::opaque()]);
        self.refer(&flow);
        let rows = Rows { number: named.rows.number.clone(), ..Rows::open(flow) };
        aliased(rows, function.alias.as_ref(), Some(&name))
    }

    fn join(&mut self, join: &JoinExpr, outer: &Env<'_>, left: &[Item]) -> Vec<Item> {
        let (Some(larg), Some(rarg)) = (join.larg.as_deref(), join.rarg.as_deref()) else {
            return vec![Item::unnamed(Rows::opaque())];
        };
        let mut items = self.entry(larg, outer, left);
        let mut seen = left.to_vec();
        seen.extend(items.iter().cloned());
        let right_items = self.entry(rarg, outer, &seen);
        let (left_rows, right_rows) = (columns_of(&items), columns_of(&right_items));
        items.extend(right_items);
        if let Some(condition) = join.quals.as_deref() {
            // It sees the join's own arms only (`transformJoinOnClause` in `parse_clause.c`).
            self.expression(condition, &Env::items(outer, &items));
        }
        let (rows, merged) = self.joined(join, left_rows, right_rows);
        for item in &mut items {
            item.by_column = false;
            item.by_name &= join.alias.is_none();
        }
        if let Some(alias) = &join.join_using_alias {
            let mut item = Item::new(Some(alias.aliasname.clone()), Rc::new(merged));
            item.by_column = false;
            item.by_name = join.alias.is_none();
            items.push(item);
        }
        items.push(aliased(rows, join.alias.as_ref(), None));
        items
    }

    /// The columns of a join, and those merged by USING or NATURAL, which come first.
    fn joined(&mut self, join: &JoinExpr, left: Rows, right: Rows) -> (Rows, Rows) {
        let number = Flow::mix(left.number.iter().chain(&right.number));
        let using = names(&join.using_clause);
        let merges = join.is_natural || !using.is_empty();
        let is_known = |rows: &Rows| {
            // Whether `*` gives a merged column of which it does not give a part hangs on the join.
            let is_plain = |field: &Field| field.name.is_some() && field.in_star;
            rows.fields.iter().all(is_plain) && !(join.is_natural && rows.rest.is_some())
        };
        if merges && !(is_known(&left) && is_known(&right)) {
            // Which columns are merged, and so where each of the others stands, is not known.
            let all = Flow::mix([&left.whole(), &right.whole()]);
            self.refer(&all);
            let number = number.into_number();
            return (Rows { number, ..Rows::open(all.clone()) }, Rows::open(all));
        }
        let common: Vec<String> = match join.is_natural {
            false => using,
            true => {
                let named = left.fields.iter().filter_map(|field| field.name.clone());
                named.filter(|name| has(&right, name)).collect()
            }
        };
        let mut merged = Rows::default();
        for name in common {
            let flow = self.merged(join.jointype(), &left, &right, &name);
            self.refer(&flow);
            merged.fields.push(Field::new(Some(name), flow));
        }
        let mut rows = merged.clone();
        for side in [left, right] {
            let own = side
                .fields
                .into_iter()
                .filter(|field| field.name.as_ref().is_none_or(|name| !has(&merged, name)));
            rows.fields.extend(own);
            rows.rest = both_rests(rows.rest.take(), side.rest.as_ref());
        }
        rows.number = number.into_number();
        (rows, merged)
    }

    /// A merged column holds the value of either side.
    fn merged(&mut self, join: JoinType, left: &Rows, right: &Rows, name: &str) -> Flow {
        let left = self.side(left, name);
        let right = self.side(right, name);
        if join == JoinType::JoinFull { Flow::mix([&left, &right]) } else { left.either(&right) }
    }

    fn side(&mut self, rows: &Rows, name: &str) -> Flow {
        let field = rows.fields.iter().find(|field| field.name.as_deref() == Some(name));
        match (field, &rows.rest) {
            (Some(field), _) => field.flow.clone(),
            (None, Some(rest)) => self.rest_column(rest, name),
            (None, None) => Flow::opaque(),
        }
    }
}

/// A function of SQL since version 16.
const SYSTEM_USER: &str = "system_user";

/// `FROM system_user`, which to the grammar is a call since version 16.
fn is_system_user(function: &RangeFunction) -> bool {
    let [node] = function.functions.as_slice() else { return false };
    let Some(NodeEnum::List(pair)) = &node.node else { return false };
    let first = pair.items.first().and_then(|node| node.node.as_ref());
    matches!(first, Some(NodeEnum::FuncCall(call))
        if call.funcformat() == CoercionForm::CoerceSqlSyntax
            && names(&call.funcname) == ["pg_catalog", SYSTEM_USER])
}

/// An entry under its alias, or else under a name of its own.
fn aliased(rows: Rows, alias: Option<&Alias>, name: Option<&str>) -> Item {
    match alias {
        Some(alias) => {
            let rows = rows.renamed(&names(&alias.colnames));
            Item::new(Some(alias.aliasname.clone()), Rc::new(rows))
        }
        None => Item::new(name.map(str::to_owned), Rc::new(rows)),
    }
}

/// A relation under an alias: its own name no longer finds it.
pub(super) fn rename(item: &mut Item, alias: &Alias) {
    item.name = Some(alias.aliasname.clone());
    item.schema = None;
    item.any_schema = false;
    let columns = names(&alias.colnames);
    if !columns.is_empty() {
        item.rows = Rc::new((*item.rows).clone().renamed(&columns));
    }
}

/// The columns of the entry that `*` finds: the join's or the only one.
fn columns_of(items: &[Item]) -> Rows {
    let mut rows = Rows::default();
    for item in items.iter().filter(|item| item.by_column) {
        extend(&mut rows, &item.rows);
        let number = Flow::mix(rows.number.iter().chain(&item.rows.number));
        rows.number = number.into_number();
    }
    rows
}

/// A function's columns under the definitions written for them.
fn defined(rows: Rows, definitions: &[Node]) -> Rows {
    if definitions.is_empty() {
        return rows;
    }
    let flow = rows.whole();
    let fields = definitions.iter().map(|node| {
        let name = match &node.node {
            Some(NodeEnum::ColumnDef(definition)) => Some(definition.colname.clone()),
            _ => text(node).map(str::to_owned),
        };
        Field::new(name, flow.clone())
    });
    Rows { fields: fields.collect(), number: rows.number, ..Rows::default() }
}

fn has(rows: &Rows, name: &str) -> bool {
    rows.fields.iter().any(|field| field.name.as_deref() == Some(name))
}

/// The same rows, where `*` gives what SEARCH and CYCLE have added, too; as they are where there is
/// nothing of it.
fn all_in_star(mut rows: Rc<Rows>) -> Rc<Rows> {
    if rows.fields.iter().any(|field| !field.in_star) {
        let fields = &mut Rc::make_mut(&mut rows).fields;
        fields.iter_mut().for_each(|field| field.in_star = true);
    }
    rows
}
