//! Facts of statements, as tables.

mod benign;
mod facts;
mod limits;
mod readers;
mod redefined;
mod shapes;

use crate::catalog::{Catalog, Function, Relation, RelationKind, Scope};
use crate::{Limits, analyze, analyze_by_both};
use portcullis_policy::statement::{SessionEffect, Statement};

fn relation(oid: u32, schema: &str, name: &str, columns: &[&str]) -> Relation {
    let mut relation = Relation::table(oid, schema, name, columns.iter().copied());
    relation.columns.iter_mut().for_each(|column| column.not_null = column.name == "id");
    relation
}

/// Two schemas with a `users` each, a table with a rule, a view, and functions.
fn catalog() -> Catalog {
    let mut ruled = relation(104, "public", "ruled", &["id"]);
    ruled.rewrites.push("log_it".to_owned());
    let mut view = relation(105, "public", "people", &["id", "email"]);
    view.kind = RelationKind::View;
    view.definition = Some("SELECT users.id, users.email FROM public.users;".to_owned());
    let relations = [
        relation(101, "public", "users", &["id", "email", "name"]),
        relation(102, "public", "orders", &["id", "user_id", "amount"]),
        relation(103, "other", "users", &["id", "secret"]),
        ruled,
        view,
    ];
    let function =
        |schema: &str, name: &str| Function { schema: schema.to_owned(), name: name.to_owned() };
    let functions = [
        function("public", "purge"),
        function("public", "lower"),
        function("other", "hidden"),
        function("public", "vouched"),
    ];
    Catalog::new(1, relations, functions)
}

fn with_scope<T>(run: impl FnOnce(&Scope<'_>) -> T) -> T {
    let catalog = catalog();
    let path = ["public".to_owned()];
    let trusted = ["public.vouched".to_owned()];
    run(&Scope {
        catalog: Some(&catalog),
        search_path: Some(&path),
        standard_conforming_strings: Some(true),
        trusted_functions: &trusted,
    })
}

/// The facts of a text, which do not depend on whether the second reader was asked.
fn analyzed(sql: &str) -> Vec<Statement> {
    with_scope(|scope| {
        let statements = analyze(sql, scope, &Limits::default());
        assert_eq!(statements, analyze_by_both(sql, scope, &Limits::default()), "{sql}");
        statements
    })
}

/// The facts of a statement in a line, lineage left out.
fn line(statement: &Statement) -> String {
    let mut parts = vec![statement.command.clone()];
    let actions: Vec<&str> = statement.actions.iter().map(|action| action.as_str()).collect();
    parts.push(format!("[{}]", actions.join(" ")));
    for entry in &statement.relations {
        let open = if entry.resolved { "" } else { "?" };
        parts.push(format!("{}:{}{open}", entry.access.as_str(), entry.name));
    }
    if !statement.functions.is_empty() {
        parts.push(format!("calls {}", statement.functions.join(",")));
    }
    if !statement.parameters_set.is_empty() {
        parts.push(format!("sets {}", statement.parameters_set.join(",")));
    }
    if statement.unbounded_write {
        parts.push("unbounded-write".to_owned());
    }
    if statement.unbounded_read {
        parts.push("unbounded-read".to_owned());
    }
    if statement.effect != SessionEffect::None {
        parts.push(format!("{:?}", statement.effect));
    }
    for reason in &statement.opaque {
        parts.push(format!("!{reason}"));
    }
    parts.join(" ")
}

fn lines(sql: &str) -> String {
    analyzed(sql).iter().map(line).collect::<Vec<_>>().join("\n")
}
