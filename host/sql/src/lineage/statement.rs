//! Statements: what each gives back.

use pg_query::protobuf::{CopyStmt, DefElem, ExplainStmt, SelectStmt};
use pg_query::{Node, NodeEnum};

use super::flow::{Flow, How};
use super::space::{Env, Field, Rows, names};
use super::{ANYTHING, Result, Tracer};

impl Tracer<'_> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "no other statement gives rows back (UtilityReturnsTuples in PostgreSQL)"
    )]
    pub(super) fn statement(&mut self, statement: &NodeEnum, env: &Env<'_>) -> Result {
        match statement {
            NodeEnum::SelectStmt(select) => match into_of(select) {
                None => Result::Rows(self.query(select, env)),
                Some(into) => {
                    let rows = self.query(select, env);
                    self.write_new(into, &rows);
                    Result::Nothing
                }
            },
            NodeEnum::InsertStmt(insert) => self.insert(insert, env),
            NodeEnum::UpdateStmt(update) => self.update(update, env),
            NodeEnum::DeleteStmt(delete) => self.delete(delete, env),
            NodeEnum::MergeStmt(merge) => self.merge(merge, env),
            NodeEnum::CopyStmt(copy) => self.copy(copy, env),
            NodeEnum::CreateTableAsStmt(create) => {
                let rows = match self.inner(create.query.as_deref(), env) {
                    Result::Rows(rows) => rows,
                    // EXECUTE: what it stands for is not in the text.
                    Result::Nothing | Result::Anything => Rows::open(self.anything()),
                };
                if let Some(into) = create.into.as_deref() {
                    self.write_new(into, &rows);
                }
                Result::Nothing
            }
            NodeEnum::ExplainStmt(explain) => self.explain(explain, env),
            NodeEnum::DeclareCursorStmt(declare) => self.silent(declare.query.as_deref(), env),
            NodeEnum::PrepareStmt(prepare) => self.silent(prepare.query.as_deref(), env),
            NodeEnum::ViewStmt(view) => self.silent(view.query.as_deref(), env),
            NodeEnum::RefreshMatViewStmt(refresh) => {
                if let Some(range) = refresh.relation.as_ref().filter(|_| !refresh.skip_data) {
                    let rows = self.refreshed(range);
                    self.write_all(range, &rows);
                }
                Result::Nothing
            }
            NodeEnum::VariableShowStmt(_) => one_column(Flow::none()),
            NodeEnum::FetchStmt(fetch) if fetch.ismove => Result::Nothing,
            NodeEnum::FetchStmt(_) => Result::Anything,
            NodeEnum::ExecuteStmt(execute) => {
                let given = self.computed(&execute.params, env);
                // What it runs shows what it is given, and says nothing of where that is from.
                self.reads_anything |= !given.reads_nothing();
                Result::Anything
            }
            NodeEnum::CallStmt(call) => {
                if let Some(call) = call.funccall.as_deref() {
                    self.call(call, env);
                }
                Result::Anything
            }
            _ => Result::Nothing,
        }
    }

    fn inner(&mut self, query: Option<&Node>, env: &Env<'_>) -> Result {
        match query.and_then(|query| query.node.as_ref()) {
            Some(query) => self.statement(query, env),
            None => Result::Anything,
        }
    }

    /// A statement that keeps a query for later: now it only names it.
    fn silent(&mut self, query: Option<&Node>, env: &Env<'_>) -> Result {
        let written = std::mem::take(&mut self.written);
        self.inner(query, env);
        self.written = written;
        Result::Nothing
    }

    /// A plan's text: without running it tells of no row; with running it quotes the statement's
    /// constants and counts beside what filters saw.
    fn explain(&mut self, explain: &ExplainStmt, env: &Env<'_>) -> Result {
        if explain.options.iter().any(is_analyze) {
            self.inner(explain.query.as_deref(), env);
            return one_column(Flow::opaque());
        }
        self.silent(explain.query.as_deref(), env);
        // Planning runs immutable functions, and the plan shows what they gave.
        one_column(if self.blind { Flow::opaque() } else { Flow::none() })
    }

    fn copy(&mut self, copy: &CopyStmt, env: &Env<'_>) -> Result {
        let Some(range) = &copy.relation else {
            return self.inner(copy.query.as_deref(), env);
        };
        let item = self.relation_item(range);
        let listed = names(&copy.attlist);
        if copy.is_from {
            let flow = Flow::none();
            self.write_columns(range, &item.rows, &listed, &flow);
            if let Some(filter) = copy.where_clause.as_deref() {
                self.expression(filter, &Env::items(env, &[item]));
            }
            return Result::Nothing;
        }
        let mut rows = (*item.rows).clone();
        if !listed.is_empty() {
            let fields = listed.iter().map(|name| {
                let flow = self.column_of(&rows, name);
                Field::new(Some(name.clone()), flow)
            });
            rows = Rows { fields: fields.collect(), ..Rows::default() };
        }
        let whole = rows.whole();
        self.refer(&whole);
        Result::Rows(rows)
    }

    /// A value that could be anything in the database.
    pub(super) fn anything(&mut self) -> Flow {
        Flow::new(How::Database, vec![self.columns.as_written(ANYTHING, ANYTHING)])
    }
}

fn into_of(select: &SelectStmt) -> Option<&pg_query::protobuf::IntoClause> {
    // In a set operation INTO stands in the first branch.
    match (&select.into_clause, &select.larg) {
        (Some(into), _) => Some(into),
        (None, Some(first)) => into_of(first),
        (None, None) => None,
    }
}

fn one_column(flow: Flow) -> Result {
    Result::Rows(Rows { fields: vec![Field::new(None, flow)], ..Rows::default() })
}

/// `ANALYZE`, unless it says clearly that it is off.
fn is_analyze(option: &Node) -> bool {
    let Some(NodeEnum::DefElem(option)) = &option.node else { return true };
    option.defname == "analyze" && !is_off(option)
}

fn is_off(option: &DefElem) -> bool {
    use pg_query::protobuf::a_const::Val;
    match option.arg.as_deref().and_then(|arg| arg.node.as_ref()) {
        Some(NodeEnum::String(text)) => {
            matches!(text.sval.to_ascii_lowercase().as_str(), "off" | "false" | "0")
        }
        Some(NodeEnum::Integer(number)) => number.ival == 0,
        Some(NodeEnum::Boolean(value)) => !value.boolval,
        Some(NodeEnum::AConst(value)) => match &value.val {
            Some(Val::Ival(number)) => number.ival == 0,
            Some(Val::Boolval(value)) => !value.boolval,
            Some(Val::Fval(_) | Val::Sval(_) | Val::Bsval(_)) | None => false,
        },
        _ => false,
    }
}
