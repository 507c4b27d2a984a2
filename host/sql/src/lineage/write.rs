//! Statements that write: which columns, and from which.

use std::rc::Rc;

use pg_query::protobuf::{
    DeleteStmt, InsertStmt, IntoClause, MergeMatchKind, MergeStmt, MergeWhenClause,
    OnConflictClause, RangeVar, ResTarget, ReturningClause, ReturningOptionKind, UpdateStmt,
};
use pg_query::{Node, NodeEnum};

use super::flow::{Flow, How};
use super::from::rename;
use super::relation::written;
use super::space::{Env, Field, Item, Rest, Rows, names};
use super::{Result, Tracer, Write};

/// The relation a statement writes, and what it has written to it so far.
struct Target<'r> {
    range: &'r RangeVar,
    item: Item,
    /// Column and value; no column where the statement does not name it.
    assigned: Vec<(Option<String>, Flow)>,
}

impl<'r> Target<'r> {
    fn assign(&mut self, column: Option<String>, flow: Flow) {
        self.assigned.push((column, flow));
    }

    /// The columns in order, by name; None where they are not all known.
    fn columns(&self) -> Option<Vec<String>> {
        if self.item.rows.rest.is_some() {
            return None;
        }
        self.item.rows.fields.iter().map(|field| field.name.clone()).collect()
    }
}

impl Tracer<'_> {
    pub(super) fn insert(&mut self, insert: &InsertStmt, outer: &Env<'_>) -> Result {
        let Some(range) = &insert.relation else { return Result::Anything };
        self.with(insert.with_clause.as_ref(), outer, |tracer, env| {
            let mut target = tracer.target(range);
            let values = match insert.select_stmt.as_deref().and_then(|query| query.node.as_ref()) {
                Some(NodeEnum::SelectStmt(select)) => tracer.query(select, env),
                // DEFAULT VALUES.
                None => Rows::default(),
                Some(_) => Rows::opaque(),
            };
            let listed: Vec<String> = insert.cols.iter().filter_map(assigned_name).collect();
            assign_positions(&mut target, listed, &values);
            tracer.subscripted(&insert.cols, &mut target, env);
            if let Some(conflict) = insert.on_conflict_clause.as_deref() {
                tracer.on_conflict(conflict, &mut target, env);
            }
            tracer.written(&target);
            tracer.written_number(range, &values);
            match tracer.returning(insert.returning_clause.as_ref(), &target, Vec::new(), env) {
                Result::Rows(rows) => {
                    Result::Rows(rows.numbered(&values.number.unwrap_or_else(Flow::none)))
                }
                result @ (Result::Nothing | Result::Anything) => result,
            }
        })
    }

    fn on_conflict(&mut self, conflict: &OnConflictClause, target: &mut Target<'_>, env: &Env<'_>) {
        let mut excluded = Item::new(Some("excluded".to_owned()), Rc::new(self.after(target)));
        excluded.by_column = false;
        let items = [target.item.clone(), excluded];
        let env = Env::items(env, &items);
        if let Some(infer) = conflict.infer.as_deref() {
            for element in &infer.index_elems {
                if let Some(NodeEnum::IndexElem(element)) = &element.node {
                    self.computed(element.expr.as_deref(), &env);
                }
            }
            self.computed(infer.where_clause.as_deref(), &env);
        }
        self.assignments(&conflict.target_list, target, &env);
        self.computed(conflict.where_clause.as_deref(), &env);
    }

    pub(super) fn update(&mut self, update: &UpdateStmt, outer: &Env<'_>) -> Result {
        let Some(range) = &update.relation else { return Result::Anything };
        self.with(update.with_clause.as_ref(), outer, |tracer, env| {
            let mut target = tracer.target(range);
            let others = tracer.others(&target, &update.from_clause, env);
            let items = beside(&target, &others);
            let inner = Env::items(env, &items);
            tracer.assignments(&update.target_list, &mut target, &inner);
            tracer.computed(update.where_clause.as_deref(), &inner);
            tracer.written(&target);
            tracer.returning(update.returning_clause.as_ref(), &target, others, env)
        })
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt, outer: &Env<'_>) -> Result {
        let Some(range) = &delete.relation else { return Result::Anything };
        self.with(delete.with_clause.as_ref(), outer, |tracer, env| {
            let target = tracer.target(range);
            let others = tracer.others(&target, &delete.using_clause, env);
            let items = beside(&target, &others);
            tracer.computed(delete.where_clause.as_deref(), &Env::items(env, &items));
            tracer.returning(delete.returning_clause.as_ref(), &target, others, env)
        })
    }

    pub(super) fn merge(&mut self, merge: &MergeStmt, outer: &Env<'_>) -> Result {
        let Some(range) = &merge.relation else { return Result::Anything };
        self.with(merge.with_clause.as_ref(), outer, |tracer, env| {
            let mut target = tracer.target(range);
            let source = match merge.source_relation.as_deref() {
                Some(source) => tracer.entry(source, env, &[]),
                None => return Result::Anything,
            };
            let items = beside(&target, &source);
            let inner = Env::items(env, &items);
            tracer.computed(merge.join_condition.as_deref(), &inner);
            for clause in &merge.merge_when_clauses {
                match &clause.node {
                    Some(NodeEnum::MergeWhenClause(clause)) => {
                        // The side that has no row is not in sight (`setNamespaceForMergeWhen` in
                        // `parse_merge.c`).
                        let (own, others) = items.split_at(1);
                        let seen = match clause.match_kind() {
                            MergeMatchKind::MergeWhenNotMatchedByTarget => others,
                            MergeMatchKind::MergeWhenNotMatchedBySource => own,
                            MergeMatchKind::MergeWhenMatched | MergeMatchKind::Undefined => &items,
                        };
                        tracer.merge_when(clause, &mut target, &Env::items(env, seen));
                    }
                    _ => target.assign(None, Flow::opaque()),
                }
            }
            tracer.written(&target);
            for item in source.iter().filter(|item| item.by_column) {
                tracer.written_number(range, &item.rows);
            }
            // RETURNING * gives the source first.
            tracer.returning_of(merge.returning_clause.as_ref(), &target, source, true, env)
        })
    }

    fn merge_when(&mut self, clause: &MergeWhenClause, target: &mut Target<'_>, env: &Env<'_>) {
        self.computed(clause.condition.as_deref(), env);
        if clause.values.is_empty() {
            self.assignments(&clause.target_list, target, env);
            return;
        }
        let values = self.items(&clause.values, env);
        let listed: Vec<String> = clause.target_list.iter().filter_map(assigned_name).collect();
        assign_positions(target, listed, &values);
        self.subscripted(&clause.target_list, target, env);
    }

    /// A table made of a query.
    pub(super) fn write_new(&mut self, into: &IntoClause, rows: &Rows) {
        let Some(range) = &into.rel else { return };
        let rows = rows.clone().renamed(&names(&into.col_names));
        let relation = written(range);
        for field in &rows.fields {
            let name = field.name.as_deref().unwrap_or("*");
            let target = self.columns.as_written(&relation, name);
            self.written.push(Write { target, flow: field.flow.clone() });
        }
        self.written_anywhere(range, rows.rest.as_ref().map(|rest| &rest.flow));
        self.written_number(range, &rows);
    }

    /// All columns are written anew, from all of these.
    pub(super) fn write_all(&mut self, range: &RangeVar, rows: &Rows) {
        let flow = Flow::mix(rows.number.iter().chain([&rows.whole()]));
        self.written_anywhere(range, Some(&flow));
    }

    /// A relation into which as many rows are written as something tells of shows it to who counts
    /// them.
    fn written_number(&mut self, range: &RangeVar, rows: &Rows) {
        self.written_anywhere(range, rows.number.as_ref());
    }

    /// Written to no column that has a name here.
    fn written_anywhere(&mut self, range: &RangeVar, flow: Option<&Flow>) {
        let Some(flow) = flow else { return };
        let target = self.columns.as_written(&written(range), "*");
        self.written.push(Write { target, flow: flow.clone() });
    }

    /// All these columns, or if none is listed all there are, are written from one flow.
    pub(super) fn write_columns(
        &mut self,
        range: &RangeVar,
        rows: &Rows,
        listed: &[String],
        flow: &Flow,
    ) {
        let mut item = Item::new(None, Rc::new(rows.clone()));
        item.by_name = false;
        let mut target = Target { range, item, assigned: Vec::new() };
        let columns = match listed {
            [] => target.columns(),
            listed => Some(listed.to_vec()),
        };
        match columns {
            Some(columns) => {
                for column in columns {
                    target.assign(Some(column), flow.clone());
                }
            }
            None => target.assign(None, flow.clone()),
        }
        self.written(&target);
    }

    pub(super) fn column_of(&mut self, rows: &Rows, name: &str) -> Flow {
        let field = rows.fields.iter().find(|field| field.name.as_deref() == Some(name));
        match (field, &rows.rest) {
            (Some(field), _) => field.flow.clone(),
            (None, Some(rest)) => self.rest_column(rest, name),
            (None, None) => Flow::opaque(),
        }
    }

    fn target<'r>(&mut self, range: &'r RangeVar) -> Target<'r> {
        // Never a CTE: a statement writes relations only.
        let mut item = self.relation_item(range);
        if let Some(alias) = &range.alias {
            rename(&mut item, alias);
        }
        Target { range, item, assigned: Vec::new() }
    }

    fn others(&mut self, target: &Target<'_>, list: &[Node], env: &Env<'_>) -> Vec<Item> {
        let mut items = vec![target.item.clone()];
        for node in list {
            let more = self.entry(node, env, &items);
            items.extend(more);
        }
        items.split_off(1)
    }

    /// `SET a = …, (b, c) = …`.
    fn assignments(&mut self, list: &[Node], target: &mut Target<'_>, env: &Env<'_>) {
        for node in list {
            let Some(NodeEnum::ResTarget(set)) = &node.node else {
                target.assign(None, Flow::opaque());
                continue;
            };
            let mut flow = self.computed_as_is(set.val.as_deref(), env);
            if !set.indirection.is_empty() {
                flow = Flow::mix([&flow, &self.subscripts(set, env)]);
            }
            target.assign(Some(set.name.clone()), flow);
        }
    }

    fn computed_as_is(&mut self, value: Option<&Node>, env: &Env<'_>) -> Flow {
        value.map_or_else(Flow::none, |value| self.expression(value, env))
    }

    /// `INSERT INTO t (a[…])`: the column holds what says where, too.
    fn subscripted(&mut self, list: &[Node], target: &mut Target<'_>, env: &Env<'_>) {
        for node in list {
            if let Some(NodeEnum::ResTarget(set)) = &node.node
                && !set.indirection.is_empty()
            {
                let flow = self.subscripts(set, env);
                target.assign(Some(set.name.clone()), flow);
            }
        }
    }

    fn subscripts(&mut self, set: &ResTarget, env: &Env<'_>) -> Flow {
        let mut flows = Vec::new();
        for step in &set.indirection {
            if let Some(NodeEnum::AIndices(indices)) = &step.node {
                let ends = indices.lidx.iter().chain(&indices.uidx);
                flows.push(self.computed(ends.map(|end| &**end), env));
            }
        }
        Flow::mix(&flows)
    }

    /// Notes what a statement has written to its target.
    fn written(&mut self, target: &Target<'_>) {
        for (column, flow) in &target.assigned {
            let name = column.as_deref().unwrap_or("*");
            for id in self.targets(target.range, &target.item.rows, name) {
                self.written.push(Write { target: id, flow: flow.clone() });
            }
        }
    }

    fn returning(
        &mut self,
        clause: Option<&ReturningClause>,
        target: &Target<'_>,
        others: Vec<Item>,
        env: &Env<'_>,
    ) -> Result {
        self.returning_of(clause, target, others, false, env)
    }

    /// RETURNING shows the row as it now is, so what was written to a column counts with it.
    fn returning_of(
        &mut self,
        clause: Option<&ReturningClause>,
        target: &Target<'_>,
        others: Vec<Item>,
        others_first: bool,
        env: &Env<'_>,
    ) -> Result {
        let Some(clause) = clause else { return Result::Nothing };
        let after = Rc::new(self.after(target));
        let mut item = target.item.clone();
        item.rows = Rc::clone(&after);
        let mut items = vec![item];
        let number = Flow::mix(others.iter().filter_map(|other| other.rows.number.as_ref()));
        items.extend(others);
        if others_first {
            items.rotate_left(1);
        }
        for name in row_names(clause, &items) {
            let mut item = Item::new(Some(name), Rc::clone(&after));
            item.by_column = false;
            item.table = true;
            items.push(item);
        }
        let rows = self.targets_of(&clause.exprs, &Env::items(env, &items));
        Result::Rows(rows.numbered(&number))
    }

    /// The target's columns after the write.
    fn after(&mut self, target: &Target<'_>) -> Rows {
        let rows = &*target.item.rows;
        let everywhere = foreign(target);
        let everywhere = Flow::mix(&everywhere);
        let fields = rows.fields.iter().map(|field| {
            let mut flows = vec![&field.flow];
            let mut named = false;
            for (column, flow) in &target.assigned {
                match column {
                    Some(column) if Some(column) == field.name.as_ref() => {
                        named = true;
                        flows.push(flow);
                    }
                    Some(_) => {}
                    None => flows.push(flow),
                }
            }
            if !named {
                flows.push(&everywhere);
            }
            let changed = flows.iter().skip(1).any(|flow| !flow.reads_nothing());
            let flow = if changed { Flow::mix(flows) } else { field.flow.clone() };
            Field::new(field.name.clone(), flow)
        });
        let fields = fields.collect();
        let rest = rows.rest.as_ref().map(|rest| {
            let assigned = target.assigned.iter().map(|(_, flow)| flow);
            let changed = target.assigned.iter().any(|(_, flow)| !flow.reads_nothing());
            let relation = if changed { None } else { rest.relation.clone() };
            Rest { flow: Flow::mix(assigned.chain([&rest.flow])), relation }
        });
        Rows { fields, rest, ..Rows::default() }
    }
}

/// What is written from elsewhere: a generated column or a trigger can carry it to any column
/// that the statement does not assign.
fn foreign(target: &Target<'_>) -> Vec<Flow> {
    let rows = &target.item.rows;
    let assigned = target.assigned.iter().filter_map(|(column, flow)| {
        let own = rows.fields.iter().find(|field| field.name == *column);
        let own = own.map_or(&[][..], |field| &field.flow.sources);
        let foreign = flow.sources.iter().copied().filter(|id| !own.contains(id));
        let foreign: Vec<_> = foreign.collect();
        let unexplained = flow.how >= How::Named;
        (unexplained || !foreign.is_empty()).then(|| Flow::new(flow.how, foreign))
    });
    assigned.collect()
}

/// Values by position: the columns listed, else the relation's in order.
fn assign_positions(target: &mut Target<'_>, listed: Vec<String>, values: &Rows) {
    let columns = match listed.is_empty() {
        true => target.columns(),
        false => Some(listed),
    };
    let Some(columns) = columns else {
        target.assign(None, values.whole());
        return;
    };
    if values.rest.is_some() {
        for column in columns {
            target.assign(Some(column), values.whole());
        }
        return;
    }
    let mut columns = columns.into_iter();
    for field in &values.fields {
        // More values than columns is an error, or a catalog that is not up to date.
        target.assign(columns.next(), field.flow.clone());
    }
}

fn assigned_name(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::ResTarget(target)) => Some(target.name.clone()),
        _ => None,
    }
}

fn beside(target: &Target<'_>, others: &[Item]) -> Vec<Item> {
    let mut items = vec![target.item.clone()];
    items.extend_from_slice(others);
    items
}

/// Under which names RETURNING finds the row before and after: those it gives, else `old` and
/// `new` unless something else bears them.
fn row_names(clause: &ReturningClause, items: &[Item]) -> Vec<String> {
    let mut rows = Vec::new();
    for (kind, default) in [
        (ReturningOptionKind::ReturningOptionOld, "old"),
        (ReturningOptionKind::ReturningOptionNew, "new"),
    ] {
        let given = clause.options.iter().find_map(|node| match &node.node {
            Some(NodeEnum::ReturningOption(option)) if option.option() == kind => {
                Some(option.value.clone())
            }
            _ => None,
        });
        let name = given.unwrap_or_else(|| default.to_owned());
        if !items.iter().any(|item| item.by_name && item.name.as_ref() == Some(&name)) {
            rows.push(name);
        }
    }
    rows
}
