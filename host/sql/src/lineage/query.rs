//! Queries: SELECT, VALUES, set operations and WITH.

use std::cell::RefCell;
use std::rc::Rc;

use pg_query::protobuf::{CommonTableExpr, ResTarget, SelectStmt, SetOperation, WithClause};
use pg_query::{Node, NodeEnum};

use super::expression::is_star;
use super::flow::Flow;
use super::label::label;
use super::space::{Env, Field, Known, Rest, Rows, With, names, text};
use super::{Frame, How, ROUNDS_MAX, Result, Tracer};

impl Tracer<'_> {
    /// A query and all within it. Values that read nothing but whose presence hangs on columns
    /// from outside of it carry those columns.
    pub(super) fn query(&mut self, select: &SelectStmt, env: &Env<'_>) -> Rows {
        self.query_and_control(select, env).0
    }

    /// A query, and what it uses from outside of itself.
    pub(super) fn query_and_control(&mut self, select: &SelectStmt, env: &Env<'_>) -> (Rows, Flow) {
        let view_body = std::mem::take(&mut self.view_body);
        self.below(self.level, |tracer| {
            tracer.framed(env, |tracer| {
                tracer.deeper(Rows::opaque(), |tracer| {
                    tracer.with(select.with_clause.as_ref(), env, |tracer, env| {
                        tracer.body(select, env, view_body)
                    })
                })
            })
        })
    }

    /// Runs in a query that stands in one of this level.
    fn below<T>(&mut self, level: usize, run: impl FnOnce(&mut Self) -> T) -> T {
        let around = std::mem::replace(&mut self.level, level.saturating_add(1));
        let done = run(self);
        self.level = around;
        done
    }

    /// Runs in a frame of its own, and steers the rows by what was used from outside.
    fn framed(&mut self, env: &Env<'_>, run: impl FnOnce(&mut Self) -> Rows) -> (Rows, Flow) {
        let frame = Frame { depth: env.depth, outside: Default::default(), how: How::None };
        self.frames.push(frame);
        let rows = run(self);
        let control = match self.frames.pop() {
            None => Flow::opaque(),
            Some(frame) => {
                let outside = Flow::new(frame.how, frame.outside.into_iter().collect());
                Flow::mix([&outside])
            }
        };
        (steered(rows, &control), control)
    }

    /// Traces the items of a WITH clause, then runs in their scope.
    pub(super) fn with<T>(
        &mut self,
        clause: Option<&WithClause>,
        env: &Env<'_>,
        run: impl FnOnce(&mut Self, &Env<'_>) -> T,
    ) -> T {
        let Some(clause) = clause else { return run(self, env) };
        let ctes: Vec<&CommonTableExpr> = clause
            .ctes
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::CommonTableExpr(cte)) => Some(&**cte),
                _ => None,
            })
            .collect();
        let known = RefCell::new(vec![Known::NotYet; ctes.len()]);
        let with = With { ctes, recursive: clause.recursive, level: self.level, known };
        let inner = Env::with(env, &with);
        for index in 0..with.ctes.len() {
            self.cte(&with, index, &inner);
        }
        run(self, &inner)
    }

    /// The rows of a WITH item, traced when first asked for; `*` does not give what SEARCH and CYCLE
    /// add.
    pub(super) fn cte(&mut self, with: &With<'_>, index: usize, env: &Env<'_>) -> Rc<Rows> {
        let known = with.known.borrow().get(index).cloned();
        match known {
            Some(Known::Done(rows) | Known::Underway(Some(rows))) => return rows,
            Some(Known::Underway(None)) | None => return Rc::new(Rows::opaque()),
            Some(Known::NotYet) => {}
        }
        let Some(cte) = with.ctes.get(index) else { return Rc::new(Rows::opaque()) };
        set(with, index, Known::Underway(None));
        // It stands in the query that has the WITH, wherever it is first asked for.
        let rows = self.below(with.level, |tracer| tracer.cte_rows(cte, with, index, env));
        let rows = Rc::new(search_and_cycle(cte, rows));
        set(with, index, Known::Done(Rc::clone(&rows)));
        rows
    }

    fn cte_rows(
        &mut self,
        cte: &CommonTableExpr,
        with: &With<'_>,
        index: usize,
        env: &Env<'_>,
    ) -> Rows {
        let aliases = names(&cte.aliascolnames);
        let Some(query) = cte.ctequery.as_deref().and_then(|query| query.node.as_ref()) else {
            return Rows::opaque();
        };
        if let NodeEnum::SelectStmt(select) = query
            && with.recursive
            && let (Some(first), Some(again)) = (&select.larg, &select.rarg)
        {
            let rounds = self.framed(env, |tracer| {
                tracer.with(select.with_clause.as_ref(), env, |tracer, env| {
                    let itself = Itself { cte, with, index };
                    let rows = tracer.rounds((first, again), &aliases, &itself, env);
                    tracer.order_by(&select.sort_clause, &rows, env);
                    tracer.limited(select, rows, env)
                })
            });
            return rounds.0;
        }
        let rows = match self.statement(query, env) {
            Result::Rows(rows) => rows,
            // Without RETURNING nothing can refer to it.
            Result::Nothing => Rows::default(),
            Result::Anything => Rows::opaque(),
        };
        rows.renamed(&aliases)
    }

    /// `first UNION again`, where `again` reads what has come so far, until nothing is added.
    fn rounds(
        &mut self,
        (first, again): (&SelectStmt, &SelectStmt),
        aliases: &[String],
        itself: &Itself<'_, '_>,
        env: &Env<'_>,
    ) -> Rows {
        let first = self.query(first, env).renamed(aliases);
        let mut current = first.clone();
        for _ in 0..ROUNDS_MAX {
            let so_far = search_and_cycle(itself.cte, current.clone());
            set(itself.with, itself.index, Known::Underway(Some(Rc::new(so_far))));
            let next = self.query(again, env);
            let next = union(current.clone(), &next);
            if next == current {
                return current;
            }
            current = next;
        }
        // No fixed point in sight.
        for field in &mut current.fields {
            field.flow.how = How::Opaque;
        }
        current
    }

    /// A query without its WITH.
    fn body(&mut self, select: &SelectStmt, env: &Env<'_>, view_body: bool) -> Rows {
        let rows = match select.op() {
            SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept => {
                let (Some(left), Some(right)) = (&select.larg, &select.rarg) else {
                    return Rows::opaque();
                };
                self.view_body = view_body;
                let left = self.query(left, env);
                self.view_body = view_body;
                let right = self.query(right, env);
                self.view_body = false;
                self.order_by(&select.sort_clause, &left, env);
                union(left, &right)
            }
            SetOperation::SetopNone | SetOperation::Undefined => {
                if select.values_lists.is_empty() {
                    self.select(select, env, view_body)
                } else {
                    let rows = self.values(&select.values_lists, env);
                    self.order_by(&select.sort_clause, &rows, env);
                    rows
                }
            }
        };
        self.limited(select, rows, env)
    }

    /// Rows under LIMIT and OFFSET, which tell of what decides them.
    fn limited(&mut self, select: &SelectStmt, rows: Rows, env: &Env<'_>) -> Rows {
        let limits = select.limit_count.iter().chain(&select.limit_offset);
        let limit = self.computed(limits.map(|limit| &**limit), env);
        if limit.reads_nothing() { rows } else { rows.chosen_by(&limit) }
    }

    /// VALUES: columns are named by position; each may come from any row.
    pub(super) fn values(&mut self, lists: &[Node], env: &Env<'_>) -> Rows {
        let mut rows: Option<Rows> = None;
        for list in lists {
            let Some(NodeEnum::List(list)) = &list.node else { return Rows::opaque() };
            let mut row = self.items(&list.items, env);
            for (position, field) in row.fields.iter_mut().enumerate() {
                field.name = Some(format!("column{}", position.saturating_add(1)));
            }
            rows = Some(match rows {
                None => row,
                Some(rows) => union(rows, &row),
            });
        }
        rows.unwrap_or_else(Rows::opaque)
    }

    /// Values in a row, stars spread out.
    pub(super) fn items(&mut self, values: &[Node], env: &Env<'_>) -> Rows {
        let mut row = Rows::default();
        for value in values {
            if is_star(value) {
                let star = self.star(value, env);
                extend(&mut row, &star);
            } else {
                row.fields.push(Field::new(None, self.expression(value, env)));
            }
        }
        row
    }

    fn select(&mut self, select: &SelectStmt, outer: &Env<'_>, view_body: bool) -> Rows {
        let around = std::mem::replace(&mut self.spreading, Flow::none());
        let framing = std::mem::replace(&mut self.framing, Flow::none());
        let windows = std::mem::take(&mut self.windows);
        let items = self.from(&select.from_clause, select.where_clause.as_deref(), outer);
        let env = Env::items(outer, &items);
        for window in &select.window_clause {
            if let Some(NodeEnum::WindowDef(window)) = &window.node {
                let frame = self.window(window, &env);
                self.framing = Flow::mix([&self.framing, &frame]);
            }
        }
        let before = view_body.then(|| (self.referenced.clone(), self.carrying));
        let mut rows = self.targets_of(&select.target_list, &env);
        if let Some((before, carrying)) = before
            && carrying == self.carrying
        {
            // Who reads a view reads those columns of it that he names. What it hands on depends on
            // whatever stands beside it.
            self.referenced = before;
        }
        for having in select.having_clause.iter() {
            self.expression(having, &env);
        }
        self.group_by(&select.group_clause, &rows, &env);
        if !select.group_clause.is_empty() || self.windows {
            // What gives several rows there, gives them to what aggregates and windows are made of.
            for flow in rows.flows_mut() {
                *flow = flow.counting(&self.spreading);
            }
        }
        self.windows = windows;
        self.order_by(&select.sort_clause, &rows, &env);
        self.order_by(&select.distinct_clause, &rows, &env);
        self.framing = framing;
        let numbers = items.iter().filter(|item| item.by_column);
        let numbers = numbers.filter_map(|item| item.rows.number.as_ref());
        let spreading = std::mem::replace(&mut self.spreading, around);
        let number = Flow::mix(numbers.chain([&spreading]));
        rows.number = number.into_number();
        rows
    }

    /// An output list, stars spread out.
    pub(super) fn targets_of(&mut self, targets: &[Node], env: &Env<'_>) -> Rows {
        let mut rows = Rows::default();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                extend(&mut rows, &Rows::opaque());
                continue;
            };
            let Some(value) = target.val.as_deref() else {
                extend(&mut rows, &Rows::opaque());
                continue;
            };
            if is_star(value) {
                let star = self.star(value, env);
                extend(&mut rows, &star);
                continue;
            }
            let flow = self.expression(value, env);
            rows.fields.push(Field::new(name_of(target), flow));
        }
        rows
    }

    /// GROUP BY: for what it refers to.
    fn group_by(&mut self, clause: &[Node], outputs: &Rows, env: &Env<'_>) {
        for node in clause {
            if let Some(NodeEnum::GroupingSet(set)) = &node.node {
                self.group_by(&set.content, outputs, env);
                continue;
            }
            // A bare name is a column, and only else an output.
            match bare_name(node) {
                Some((name, place)) if !self.has_column(name, env) && has_field(outputs, name) => {
                    self.visit(place);
                }
                _ => {
                    self.expression(node, env);
                }
            }
        }
    }

    /// ORDER BY and DISTINCT ON: for what they refer to.
    pub(super) fn order_by(&mut self, clause: &[Node], outputs: &Rows, env: &Env<'_>) {
        for node in clause {
            let value = match &node.node {
                Some(NodeEnum::SortBy(sort)) => match sort.node.as_deref() {
                    Some(value) => value,
                    None => continue,
                },
                Some(_) => node,
                // DISTINCT without ON is a list of one empty node.
                None => continue,
            };
            // A bare name is an output, and only else a column.
            match bare_name(value) {
                Some((name, place)) if has_field(outputs, name) => self.visit(place),
                _ => {
                    self.expression(value, env);
                }
            }
        }
    }
}

/// A recursive item of a WITH clause, as it refers to itself.
struct Itself<'w, 'e> {
    cte: &'w CommonTableExpr,
    with: &'w With<'e>,
    index: usize,
}

/// The rows of a WITH item with the columns that SEARCH and CYCLE add.
fn search_and_cycle(cte: &CommonTableExpr, mut rows: Rows) -> Rows {
    let listed = |rows: &Rows, list: &[Node]| {
        let list = names(list);
        let picked = rows.fields.iter().filter(|field| {
            // What has a name that is not known here may be meant.
            field.name.as_ref().is_none_or(|name| list.contains(name))
        });
        let rest = rows.rest.as_ref().map(|rest| &rest.flow);
        Flow::mix(picked.map(|field| &field.flow).chain(rest))
    };
    let mut added = Vec::new();
    if let Some(search) = &cte.search_clause {
        added.push((&search.search_seq_column, listed(&rows, &search.search_col_list)));
    }
    if let Some(cycle) = &cte.cycle_clause {
        let flow = listed(&rows, &cycle.cycle_col_list);
        added.push((&cycle.cycle_mark_column, flow.clone()));
        added.push((&cycle.cycle_path_column, flow));
    }
    let added = added.into_iter();
    rows.fields.extend(
        added.map(|(name, flow)| Field { in_star: false, ..Field::new(Some(name.clone()), flow) }),
    );
    rows
}

/// Appends columns; where an open end is in the middle the whole becomes open.
pub(super) fn extend(rows: &mut Rows, more: &Rows) {
    rows.fields.extend(more.fields.iter().cloned());
    rows.rest = both_rests(rows.rest.take(), more.rest.as_ref());
}

pub(super) fn both_rests(left: Option<Rest>, right: Option<&Rest>) -> Option<Rest> {
    match (left, right) {
        (None, None) => None,
        (Some(rest), None) => Some(rest),
        (None, Some(rest)) => Some(rest.clone()),
        (Some(left), Some(right)) => {
            Some(Rest { flow: Flow::mix([&left.flow, &right.flow]), relation: None })
        }
    }
}

/// Either of two row sets, position by position; the first gives the names.
pub(super) fn union(mut left: Rows, right: &Rows) -> Rows {
    let number = Flow::mix(left.number.iter().chain(&right.number));
    left.number = number.into_number();
    if left.rest.is_none() && right.rest.is_none() && left.fields.len() == right.fields.len() {
        for (field, other) in left.fields.iter_mut().zip(&right.fields) {
            field.flow = field.flow.either(&other.flow);
        }
        return left;
    }
    let whole = Flow::mix([&left.whole(), &right.whole()]);
    for field in &mut left.fields {
        field.flow = whole.clone();
    }
    left.rest = Some(Rest { flow: whole, relation: None });
    left
}

fn steered(mut rows: Rows, control: &Flow) -> Rows {
    for flow in rows.flows_mut() {
        *flow = flow.steered(control);
    }
    rows
}

fn set(with: &With<'_>, index: usize, known: Known) {
    if let Some(slot) = with.known.borrow_mut().get_mut(index) {
        *slot = known;
    }
}

fn name_of(target: &ResTarget) -> Option<String> {
    if !target.name.is_empty() {
        return Some(target.name.clone());
    }
    target.val.as_deref().and_then(label)
}

fn has_field(rows: &Rows, name: &str) -> bool {
    rows.fields.iter().any(|field| field.name.as_deref() == Some(name))
}

/// A column reference of one name, and where it stands.
fn bare_name(node: &Node) -> Option<(&str, i32)> {
    match &node.node {
        Some(NodeEnum::ColumnRef(column)) => match column.fields.as_slice() {
            [name] => Some((text(name)?, column.location)),
            _ => None,
        },
        _ => None,
    }
}
