//! Every way to write a value down must lead back to its column.

use expect_test::{Expect, expect};
use portcullis_policy::lineage::{ColumnRef, Derivation, Lineage, Outputs};

use super::{Traced, trace};
use crate::catalog::{Catalog, Function, Relation, RelationKind, Scope};

mod queries;
mod views;
mod ways_round;
mod writes;

fn relation(oid: u32, name: &str, kind: RelationKind, columns: &str) -> Relation {
    Relation { kind, ..Relation::table(oid, "public", name, columns.split(' ')) }
}

fn view(oid: u32, name: &str, columns: &str, definition: &str) -> Relation {
    let definition = Some(definition.to_owned());
    Relation { definition, ..relation(oid, name, RelationKind::View, columns) }
}

fn catalog() -> Catalog {
    let users = "id email name ssn salary created";
    let table = RelationKind::Table;
    let mut relations = vec![
        relation(1, "users", table, users),
        relation(2, "orders", table, "id user_id amount note"),
        view(
            3,
            "v_users",
            "id mail",
            "SELECT users.id, users.email AS mail FROM public.users WHERE users.salary > 0;",
        ),
        view(
            4,
            "vv",
            "who orders one",
            "SELECT lower(v.mail) AS who, (SELECT count(*) AS count FROM public.orders o \
             WHERE o.user_id = v.id) AS orders, 1 AS one FROM public.v_users v;",
        ),
        relation(6, "staff", table, "id email name ssn salary created desk"),
        relation(7, "events", RelationKind::PartitionedTable, "at actor"),
        relation(8, "events_2026", table, "actor at"),
        view(9, "loop_a", "x", "SELECT loop_b.x FROM public.loop_b;"),
        view(10, "loop_b", "x", "SELECT loop_a.x FROM public.loop_a;"),
        view(11, "broken", "x", "SELECT FROM WHERE"),
        relation(12, "orders_archive", table, "id user_id amount note"),
    ];
    let matview = view(
        5,
        "mv",
        "id mail total",
        "SELECT u.id, u.email AS mail, count(*) AS total FROM public.users u GROUP BY 1, 2;",
    );
    relations.push(Relation { kind: RelationKind::MaterializedView, ..matview });
    for relation in &mut relations {
        match relation.oid {
            6 => relation.parents = vec![1],
            8 => relation.parents = vec![7],
            _ => {}
        }
    }
    let function = |name: &str| Function { schema: "public".to_owned(), name: name.to_owned() };
    Catalog::new(1, relations, [function("hidden"), function("vouched")])
}

fn traced(sql: &str, catalog: Option<&Catalog>) -> Traced {
    let path = ["public".to_owned()];
    let trusted = ["public.vouched".to_owned()];
    let scope = Scope {
        catalog,
        search_path: Some(&path),
        standard_conforming_strings: Some(true),
        trusted_functions: &trusted,
    };
    let parsed = pg_query::parse(sql, 0).unwrap();
    let statement = parsed.protobuf.stmts[0].stmt.as_ref().unwrap();
    trace(statement.node.as_ref().unwrap(), &scope)
}

fn column(column: &ColumnRef) -> String {
    let relation = column.relation.strip_prefix("public.").unwrap_or(&column.relation);
    // A question mark where the catalog does not know it.
    let mark = if column.origin.is_some() { "" } else { "?" };
    format!("{relation}.{}{mark}", column.column)
}

fn columns(list: &[ColumnRef]) -> String {
    list.iter().map(column).collect::<Vec<_>>().join(" ")
}

fn lineage(lineage: &Lineage) -> String {
    format!("{}: {}", lineage.derivation.as_str(), columns(&lineage.sources)).trim().to_owned()
}

fn render(traced: &Traced) -> String {
    let mut lines = match &traced.outputs {
        Outputs::Nothing => vec!["nothing".to_owned()],
        Outputs::Anything => vec!["anything".to_owned()],
        Outputs::Unknown(sources) => vec![format!("unknown columns: {}", columns(sources))],
        Outputs::Columns(list) => list.iter().map(lineage).collect(),
    };
    for written in &traced.written {
        let sources = columns(&written.sources);
        lines.push(format!("{} <- {sources}", column(&written.target)).trim().to_owned());
    }
    lines.join("\n")
}

#[track_caller]
fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&render(&traced(sql, Some(&catalog()))));
}

/// Whether a value of this column can be in the result, as far as lineage says.
fn can_show(outputs: &Outputs, name: &str) -> bool {
    let among = |sources: &[ColumnRef]| sources.iter().any(|source| column(source) == name);
    match outputs {
        Outputs::Nothing => false,
        Outputs::Anything => true,
        Outputs::Unknown(sources) => among(sources),
        Outputs::Columns(list) => list.iter().any(|lineage| match lineage.derivation {
            Derivation::None | Derivation::Count => false,
            Derivation::Direct | Derivation::Derived | Derivation::Unknown => {
                among(&lineage.sources)
            }
        }),
    }
}
