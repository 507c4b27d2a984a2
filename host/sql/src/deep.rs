//! Statements too deep for a tree: what can still be said of them.

use pg_query::protobuf::summary_result::Context;
use portcullis_policy::lineage::Outputs;
use portcullis_policy::statement::{Access, Opaque, RelationUse, Statement};

use crate::builtins::{carriers, runs_strings};
use crate::catalog::Scope;
use crate::command::{add, described};
use crate::lexer::{Kind, Lexer};
use crate::relations::every_column;
use crate::unread::{options, unread};

/// Cuts a text at the semicolons that are in no parentheses. A body of statements that is not
/// in quotes (`BEGIN ATOMIC`) stays whole.
pub(crate) fn split(text: &str, standard_conforming_strings: bool) -> Vec<&str> {
    let mut lexer = Lexer::new(text, standard_conforming_strings);
    let (mut parts, mut start, mut depth, mut any) = (Vec::new(), 0, 0_usize, false);
    while let Ok(Some(token)) = lexer.next() {
        let written = text.get(token.start..token.end).unwrap_or_default();
        match (token.kind, written) {
            (Kind::Symbol, "(") => depth = depth.saturating_add(1),
            (Kind::Symbol, ")") => depth = depth.saturating_sub(1),
            (Kind::Word, word) if word.eq_ignore_ascii_case("atomic") => return vec![text],
            (Kind::Symbol, ";") if depth == 0 => {
                if any {
                    parts.extend(text.get(start..token.start));
                }
                start = token.end;
                any = false;
                continue;
            }
            _ => {}
        }
        any = true;
    }
    if any {
        parts.extend(text.get(start..));
    }
    parts
}

/// The facts that PostgreSQL's own walk over its tree gives, without a tree. It has holes, so
/// the statement stays opaque.
pub(crate) fn summarise(text: &str, scope: &Scope<'_>, strings: bool) -> Statement {
    let reason = Opaque::TooComplex("nested deeper than is analysed".to_owned());
    let mut statement = unread(text, Some(strings), reason);
    let Ok(summary) = pg_query::summary(text, options(strings), -1) else { return statement };
    let mut seen = Vec::new();
    for kind in &summary.statement_types {
        if let Some((action, tag)) = described(kind) {
            add(&mut seen, action);
            if statement.command.is_empty() {
                statement.command = tag.to_owned();
            }
        }
    }
    for action in statement.actions.drain(..) {
        add(&mut seen, action);
    }
    statement.actions = seen;
    for function in &summary.functions {
        let name = function.name.to_lowercase();
        if runs_strings(&name, 2) {
            statement.opaque.push(Opaque::DynamicSql(name.clone()));
        }
        statement.functions.push(name);
    }
    statement.functions.sort_unstable();
    statement.carriers = carriers(&statement.functions);
    for table in &summary.tables {
        let schema = Some(table.schema_name.as_str()).filter(|schema| !schema.is_empty());
        let access = match table.context {
            Context::Dml => Access::Write,
            Context::Ddl => Access::Define,
            Context::None | Context::Select | Context::Call => Access::Read,
        };
        statement.relations.push(table_use(schema, &table.table_name, access, scope));
    }
    statement.relations.sort_by(|left, right| left.name.cmp(&right.name));
    let columns = every_column(&statement.relations, scope);
    statement.outputs = columns.map_or(Outputs::Anything, Outputs::Unknown);
    statement
}

fn table_use(schema: Option<&str>, name: &str, access: Access, scope: &Scope<'_>) -> RelationUse {
    let relation = scope.resolve(schema, name);
    let written = schema.map_or(name.to_owned(), |schema| format!("{schema}.{name}"));
    RelationUse {
        name: relation.map_or(written, |relation| relation.qualified()),
        resolved: relation.is_some(),
        oid: relation.map(|relation| relation.oid),
        access,
        columns: Vec::new(),
        all_columns: true,
        labels: Vec::new(),
    }
}
