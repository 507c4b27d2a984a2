//! Expressions: what a value is computed from.

use pg_query::protobuf::{
    AIndirection, CaseExpr, ColumnRef, MultiAssignRef, SubLink, SubLinkType, WindowDef,
};
use pg_query::{Node, NodeEnum};

use super::Tracer;
use super::flow::{Flow, How};
use super::space::{Env, InDoubt, Item, Rest, Rows, is_system_column, may_hold, text};
use crate::builtins::{is_builtin, is_conversion};

/// Whether an output spreads into several: `*`, `t.*`, `(x).*`.
pub(super) fn is_star(value: &Node) -> bool {
    let last = match &value.node {
        Some(NodeEnum::ColumnRef(column)) => column.fields.last(),
        Some(NodeEnum::AIndirection(indirection)) => indirection.indirection.last(),
        _ => None,
    };
    last.is_some_and(|node| matches!(node.node, Some(NodeEnum::AStar(_))))
}

impl Tracer<'_> {
    /// The value of an expression.
    pub(super) fn expression(&mut self, value: &Node, env: &Env<'_>) -> Flow {
        let Some(node) = &value.node else { return Flow::none() };
        self.deeper(Flow::opaque(), |tracer| tracer.node(node, env))
    }

    /// A value computed from all of these.
    pub(super) fn computed<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n Node>,
        env: &Env<'_>,
    ) -> Flow {
        let flows: Vec<Flow> = nodes.into_iter().map(|node| self.expression(node, env)).collect();
        Flow::mix(&flows)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a node not named here is not explained")]
    fn node(&mut self, node: &NodeEnum, env: &Env<'_>) -> Flow {
        match node {
            NodeEnum::AConst(_)
            | NodeEnum::ParamRef(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::CurrentOfExpr(_) => Flow::none(),
            NodeEnum::MergeSupportFunc(_) => self.unless_defined("MergeSupportFunc", Flow::none()),
            // Which columns are grouped, not what they hold.
            NodeEnum::GroupingFunc(grouping) => {
                self.computed(&grouping.args, env);
                Flow::none()
            }
            NodeEnum::ColumnRef(column) => self.column_reference(column, env),
            NodeEnum::TypeCast(cast) => self.computed(cast.arg.as_deref(), env),
            NodeEnum::CollateClause(clause) => self.computed(clause.arg.as_deref(), env),
            NodeEnum::AExpr(expr) => {
                self.computed(expr.lexpr.iter().chain(&expr.rexpr).map(|side| &**side), env)
            }
            NodeEnum::BoolExpr(expr) => self.computed(&expr.args, env),
            NodeEnum::NullTest(test) => match test.arg.as_deref() {
                Some(arg) => self.counted([arg], env),
                None => Flow::opaque(),
            },
            NodeEnum::BooleanTest(test) => self.computed(test.arg.as_deref(), env),
            NodeEnum::AArrayExpr(array) => self.computed(&array.elements, env),
            NodeEnum::RowExpr(row) => self.computed(&row.args, env),
            NodeEnum::List(list) => self.computed(&list.items, env),
            NodeEnum::CaseExpr(case) => self.case(case, env),
            NodeEnum::CoalesceExpr(coalesce) => self.computed(&coalesce.args, env),
            NodeEnum::MinMaxExpr(expr) => self.computed(&expr.args, env),
            NodeEnum::NamedArgExpr(arg) => self.computed(arg.arg.as_deref(), env),
            NodeEnum::AIndirection(indirection) => self.indirection(indirection, env),
            NodeEnum::SubLink(link) => self.sub_link(link, env),
            NodeEnum::MultiAssignRef(assign) => self.multi_assign(assign, env),
            NodeEnum::FuncCall(call) => self.call(call, env),
            other => match self.structured(other, env) {
                Some(flow) => flow,
                None => Flow::opaque(),
            },
        }
    }

    /// A count, or a test for NULL: it tells of plain columns only that there is something.
    /// Of an expression it can tell the value, as `nullif(x, 'guess') IS NULL` does.
    pub(super) fn counted<'n>(
        &mut self,
        args: impl IntoIterator<Item = &'n Node>,
        env: &Env<'_>,
    ) -> Flow {
        let mut sources = Vec::new();
        let mut flows = Vec::new();
        let mut plain = true;
        for arg in args {
            let (flow, is_plain) = self.perhaps_plain(arg, env);
            plain &= is_plain;
            sources.extend(&flow.sources);
            flows.push(flow);
        }
        if plain { Flow::new(How::Count, sources) } else { Flow::mix(&flows) }
    }

    /// A value, and whether it is a plain column, or a row of such.
    fn perhaps_plain(&mut self, value: &Node, env: &Env<'_>) -> (Flow, bool) {
        if let Some(NodeEnum::RowExpr(row)) = &value.node {
            return self.deeper((Flow::opaque(), false), |tracer| {
                let fields = row.args.iter().map(|arg| tracer.perhaps_plain(arg, env));
                let (flows, plain): (Vec<Flow>, Vec<bool>) = fields.unzip();
                (Flow::mix(&flows), plain.into_iter().all(|is_plain| is_plain))
            });
        }
        if let Some(NodeEnum::SubLink(link)) = &value.node
            && link.sub_link_type() == SubLinkType::ExprSublink
            && let Some((rows, control, number)) = self.sub_query(link, env)
        {
            // That there is nothing tells that there is no such row, as EXISTS does.
            let value = rows.at(0);
            let is_plain = value.how <= How::Direct;
            let value = if is_plain { Flow::new(How::Count, value.sources) } else { value };
            let flow = Flow::mix([&value, &control, &number]);
            let is_plain = flow.reads_nothing();
            return (flow, is_plain);
        }
        let flow = self.expression(value, env);
        let is_plain = flow.how <= How::Direct
            || match &value.node {
                Some(NodeEnum::ColumnRef(column)) => {
                    self.whole_row(column, env).is_some_and(|row| {
                        let mut fields = row.rows.fields.iter();
                        row.rows.rest.is_none() && fields.all(|field| field.flow.how <= How::Direct)
                    })
                }
                _ => false,
            };
        (flow, is_plain)
    }

    fn case(&mut self, case: &CaseExpr, env: &Env<'_>) -> Flow {
        let mut flows = vec![self.computed(case.arg.as_deref(), env)];
        for when in &case.args {
            flows.push(match &when.node {
                Some(NodeEnum::CaseWhen(when)) => {
                    self.computed(when.expr.iter().chain(&when.result).map(|node| &**node), env)
                }
                _ => Flow::opaque(),
            });
        }
        flows.push(self.computed(case.defresult.as_deref(), env));
        Flow::mix(&flows)
    }

    /// `x[1]`, `(x).field`, `(t).column`.
    fn indirection(&mut self, indirection: &AIndirection, env: &Env<'_>) -> Flow {
        let Some(arg) = indirection.arg.as_deref() else { return Flow::opaque() };
        let mut steps = indirection.indirection.as_slice();
        let mut flow = None;
        if let (Some(NodeEnum::ColumnRef(column)), [first, rest @ ..]) = (&arg.node, steps)
            && let Some(name) = text(first)
            && let Some(field) = self.projected(column, name, env)
        {
            steps = rest;
            flow = Some(field);
        }
        let mut flows = vec![flow.unwrap_or_else(|| self.expression(arg, env))];
        if steps.is_empty() {
            return flows.remove(0);
        }
        for step in steps {
            match &step.node {
                Some(NodeEnum::AIndices(indices)) => {
                    let ends = indices.lidx.iter().chain(&indices.uidx);
                    flows.push(self.computed(ends.map(|end| &**end), env));
                }
                Some(NodeEnum::String(name)) if self.may_be_function(&name.sval) => {
                    let value = Flow::mix(&flows);
                    flows = vec![self.attribute(&name.sval, value)];
                }
                Some(NodeEnum::String(_) | NodeEnum::AStar(_)) => {}
                _ => flows.push(Flow::opaque()),
            }
        }
        // A field is no longer the column itself.
        Flow::mix(&flows)
    }

    /// The column of this name, where `column` stands for a whole entry.
    pub(super) fn projected(
        &mut self,
        column: &ColumnRef,
        name: &str,
        env: &Env<'_>,
    ) -> Option<Flow> {
        let (depth, item) = self.whole_row_at(column, env)?;
        let field = field_of(&item, name)?;
        self.visit(column.location);
        self.use_column(&field, depth);
        Some(field)
    }

    fn sub_link(&mut self, link: &SubLink, env: &Env<'_>) -> Flow {
        let test = self.computed(link.testexpr.as_deref(), env);
        let Some((rows, control, number)) = self.sub_query(link, env) else {
            return Flow::opaque();
        };
        match link.sub_link_type() {
            SubLinkType::ExistsSublink => {
                let count = Flow::new(How::Count, Vec::new());
                count.steered(&Flow::mix([&control, &number]))
            }
            SubLinkType::ExprSublink => rows.at(0).counting(&number),
            SubLinkType::ArraySublink => Flow::mix([&rows.at(0).counting(&number)]),
            SubLinkType::AnySublink | SubLinkType::AllSublink | SubLinkType::RowcompareSublink => {
                // It tells whether there is such a row, as EXISTS does.
                Flow::mix([&test, &rows.whole(), &control, &number])
            }
            SubLinkType::MultiexprSublink | SubLinkType::CteSublink | SubLinkType::Undefined => {
                Flow::opaque()
            }
        }
    }

    /// The rows of a query in an expression, what it uses from outside of itself, and what their
    /// number tells of.
    fn sub_query(&mut self, link: &SubLink, env: &Env<'_>) -> Option<(Rows, Flow, Flow)> {
        let query = link.subselect.as_deref()?.node.as_ref()?;
        let NodeEnum::SelectStmt(select) = query else { return None };
        let (rows, control) = self.query_and_control(select, env);
        let number = rows.number.clone().unwrap_or_else(Flow::none);
        Some((rows, control, number))
    }

    /// One column of `(a, b) = (SELECT …)` or `= ROW(…)`.
    fn multi_assign(&mut self, assign: &MultiAssignRef, env: &Env<'_>) -> Flow {
        let position = usize::try_from(assign.colno).unwrap_or(0).saturating_sub(1);
        match assign.source.as_deref().and_then(|source| source.node.as_ref()) {
            Some(NodeEnum::RowExpr(row)) if !row.args.iter().any(is_star) => {
                match row.args.get(position) {
                    Some(value) => self.expression(value, env),
                    None => Flow::opaque(),
                }
            }
            Some(NodeEnum::RowExpr(row)) => self.items(&row.args, env).at(position),
            Some(NodeEnum::SubLink(link)) => match self.sub_query(link, env) {
                Some((rows, _, number)) => rows.at(position).counting(&number),
                None => Flow::opaque(),
            },
            _ => Flow::opaque(),
        }
    }

    /// A window's partition and order, for what they refer to; and what its frame depends on.
    pub(super) fn window(&mut self, window: &WindowDef, env: &Env<'_>) -> Flow {
        self.computed(&window.partition_clause, env);
        self.order_by(&window.order_clause, &Rows::default(), env);
        let offsets = window.start_offset.iter().chain(&window.end_offset);
        self.computed(offsets.map(|offset| &**offset), env)
    }

    fn column_reference(&mut self, column: &ColumnRef, env: &Env<'_>) -> Flow {
        self.visit(column.location);
        if let [name] = column.fields.as_slice()
            && let Some(name) = text(name)
        {
            return self.bare(name, env).unwrap_or_else(Flow::opaque);
        }
        let Some((depth, item, last)) = qualified(column, env) else { return Flow::opaque() };
        let Some(name) = last else { return self.use_row(item, depth) };
        let flow = match field_of(item, name) {
            Some(flow) => flow,
            None if may_hold(item) => {
                let hidden = self.hidden(item, name);
                if self.may_be_function(name) {
                    let row = self.use_row(item, depth);
                    Flow::mix([&hidden, &self.attribute(name, row)])
                } else {
                    hidden
                }
            }
            None if item.table && is_system_column(name) => Flow::none(),
            None => {
                let row = self.use_row(item, depth);
                return self.attribute(name, row);
            }
        };
        self.use_column(&flow, depth);
        flow
    }

    /// What a name by itself stands for: a column, or only else the row of an entry. Where it is not
    /// known whether there is such a column, both.
    pub(super) fn bare(&mut self, name: &str, env: &Env<'_>) -> Option<Flow> {
        let hidden = match self.column(name, env) {
            Some((flow, true)) => return Some(flow),
            Some((flow, false)) => Some(flow),
            None => None,
        };
        let (depth, item) = match env.item(None, name) {
            Ok(Some(found)) => found,
            Ok(None) => return hidden,
            Err(InDoubt) => return Some(Flow::opaque()),
        };
        let row = self.use_row(item, depth);
        Some(match hidden {
            Some(hidden) => Flow::mix([&hidden, &row]),
            None => row,
        })
    }

    /// `x.f` where `f` is no column of `x`: another way to write `f(x)`.
    fn attribute(&mut self, name: &str, value: Flow) -> Flow {
        if self.view_depth == 0 {
            self.called.push(name.to_owned());
        }
        self.applied(None, name, 1, value)
    }

    /// Whether `x.f` can be a call of `f`.
    fn may_be_function(&self, name: &str) -> bool {
        self.is_user_function(None, name) || is_builtin(name) && !is_conversion(name)
    }

    /// An unqualified column, nearest level first, and whether it is there for certain; None where
    /// no entry has it.
    fn column(&mut self, name: &str, env: &Env<'_>) -> Option<(Flow, bool)> {
        let mut hidden: Vec<Flow> = Vec::new();
        for (depth, items) in env.levels() {
            let mut found: Vec<Flow> = Vec::new();
            for item in items.iter().filter(|item| item.by_column) {
                found.extend(field_of(item, name));
            }
            let system = items.iter().any(|item| item.by_column && item.table);
            if found.is_empty() && system && is_system_column(name) {
                found.push(Flow::none());
            }
            if !found.is_empty() {
                found.append(&mut hidden);
                let flow = match found.as_slice() {
                    [only] => only.clone(),
                    several => Flow::mix(several),
                };
                self.use_column(&flow, depth);
                return Some((flow, true));
            }
            for item in items.iter().filter(|item| item.by_column && may_hold(item)) {
                let flow = self.hidden(item, name);
                self.use_column(&flow, depth);
                hidden.push(flow);
            }
        }
        match hidden.as_slice() {
            [] => None,
            [only] => Some((only.clone(), false)),
            several => Some((Flow::mix(several), false)),
        }
    }

    pub(super) fn has_column(&self, name: &str, env: &Env<'_>) -> bool {
        let mut items = env.levels().flat_map(|(_, items)| items);
        items.any(|item| item.by_column && (field_of(item, name).is_some() || may_hold(item)))
    }

    /// A column of an entry whose columns are not all known.
    fn hidden(&mut self, item: &Item, name: &str) -> Flow {
        let nameless = item.rows.fields.iter().filter(|field| field.name.is_none());
        let mut flows: Vec<Flow> = nameless.map(|field| field.flow.clone()).collect();
        if let Some(rest) = &item.rows.rest {
            flows.push(self.rest_column(rest, name));
        }
        match flows.as_slice() {
            [only] => only.clone(),
            several => Flow::mix(several),
        }
    }

    pub(super) fn rest_column(&mut self, rest: &Rest, name: &str) -> Flow {
        match (&rest.relation, rest.flow.how) {
            (Some(relation), How::Database) => {
                Flow::new(How::Named, vec![self.columns.as_written(relation, name)])
            }
            (Some(relation), how) => Flow::new(how, vec![self.columns.as_written(relation, name)]),
            (None, How::Database) => Flow { how: How::Opaque, ..rest.flow.clone() },
            (None, _) => rest.flow.clone(),
        }
    }

    fn use_column(&mut self, flow: &Flow, depth: usize) {
        self.refer(flow);
        self.refer_outside(flow, depth);
    }

    fn use_row(&mut self, item: &Item, depth: usize) -> Flow {
        let flow = item.rows.whole();
        let flow = match flow.how {
            // Whatever the row is of, it is one value with all columns in it.
            How::Database => Flow { how: How::Opaque, ..flow },
            How::None | How::Count | How::Direct | How::Derived | How::Named | How::Opaque => flow,
        };
        // A count in the row adds nothing to its value, but is referred to all the same.
        for field in &item.rows.fields {
            self.refer(&field.flow);
        }
        self.use_column(&flow, depth);
        flow
    }

    /// The entry a reference stands for as a whole, if it is one.
    fn whole_row(&mut self, column: &ColumnRef, env: &Env<'_>) -> Option<Item> {
        self.whole_row_at(column, env).map(|(_, item)| item)
    }

    fn whole_row_at(&mut self, column: &ColumnRef, env: &Env<'_>) -> Option<(usize, Item)> {
        match column.fields.as_slice() {
            [name] => {
                let name = text(name)?;
                if self.has_column(name, env) {
                    return None;
                }
                let (depth, item) = env.item(None, name).ok()??;
                Some((depth, item.clone()))
            }
            _ => match qualified(column, env)? {
                (depth, item, None) => Some((depth, item.clone())),
                (_, _, Some(_)) => None,
            },
        }
    }

    /// The columns `*`, `t.*` or `(x).*` spreads into.
    pub(super) fn star(&mut self, value: &Node, env: &Env<'_>) -> Rows {
        let mut rows = self.spread(value, env);
        rows.fields.retain(|field| field.in_star);
        rows
    }

    fn spread(&mut self, value: &Node, env: &Env<'_>) -> Rows {
        let column = match &value.node {
            Some(NodeEnum::ColumnRef(column)) => column,
            Some(NodeEnum::AIndirection(indirection)) => {
                return self.spread_value(indirection, env);
            }
            _ => return Rows::opaque(),
        };
        self.visit(column.location);
        let mut rows = Rows::default();
        if column.fields.len() == 1 {
            let Some((depth, items)) = env.levels().next() else { return Rows::opaque() };
            for item in items.iter().filter(|item| item.by_column) {
                self.use_row(item, depth);
                super::query::extend(&mut rows, &item.rows);
            }
            return rows;
        }
        match qualified(column, env) {
            Some((depth, item, None)) => {
                self.use_row(item, depth);
                super::query::extend(&mut rows, &item.rows);
                rows
            }
            Some((_, _, Some(_))) | None => Rows::opaque(),
        }
    }

    /// `(t).*`: the columns of the entry; of any other value the columns are not known.
    fn spread_value(&mut self, indirection: &AIndirection, env: &Env<'_>) -> Rows {
        if let (Some(arg), [_]) = (indirection.arg.as_deref(), indirection.indirection.as_slice())
            && let Some(NodeEnum::ColumnRef(column)) = &arg.node
            && let Some((depth, item)) = self.whole_row_at(column, env)
        {
            self.visit(column.location);
            self.use_row(&item, depth);
            let mut rows = Rows::default();
            super::query::extend(&mut rows, &item.rows);
            return rows;
        }
        let flow = self.indirection(indirection, env);
        Rows::open(flow)
    }
}

/// The column of this name; of several, any.
fn field_of(item: &Item, name: &str) -> Option<Flow> {
    let named = item.rows.fields.iter().filter(|field| field.name.as_deref() == Some(name));
    let found: Vec<&Flow> = named.map(|field| &field.flow).collect();
    match found.as_slice() {
        [] => None,
        [only] => Some((*only).clone()),
        several => Some(Flow::mix(several.iter().copied())),
    }
}

/// `t.column`, `s.t.column`, `db.s.t.column`; no column for `t.*`.
fn qualified<'r, 'e>(
    column: &'r ColumnRef,
    env: &Env<'e>,
) -> Option<(usize, &'e Item, Option<&'r str>)> {
    let (last, path) = column.fields.split_last()?;
    let last = match &last.node {
        Some(NodeEnum::AStar(_)) => None,
        _ => Some(text(last)?),
    };
    let (schema, table) = match path {
        [table] => (None, text(table)?),
        [schema, table] | [_, schema, table] => (Some(text(schema)?), text(table)?),
        _ => return None,
    };
    let (depth, item) = env.item(schema, table).ok()??;
    Some((depth, item, last))
}
