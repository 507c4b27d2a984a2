//! Which relations that are there a statement defines anew.

use crate::catalog::{Catalog, Relation, RelationKind, Scope};
use crate::{Limits, analyze};

/// A table, a child of it, one of the same name, one that has nothing to do with them, and one that
/// shows what is elsewhere.
fn catalog() -> Catalog {
    let table = |oid, schema, name| Relation::table(oid, schema, name, ["id", "email"]);
    let child = Relation { parents: vec![101], ..table(102, "public", "recent") };
    let elsewhere = table(105, "public", "elsewhere");
    Catalog::new(
        1,
        [
            table(101, "public", "users"),
            child,
            table(103, "public", "notes"),
            table(104, "other", "users"),
            Relation { kind: RelationKind::ForeignTable, ..elsewhere },
        ],
        [],
    )
}

fn redefined(sql: &str, search_path: Option<&[String]>) -> Vec<Option<u32>> {
    redefined_in(&catalog(), sql, search_path)
}

fn redefined_in(catalog: &Catalog, sql: &str, search_path: Option<&[String]>) -> Vec<Option<u32>> {
    let scope = Scope {
        catalog: Some(catalog),
        search_path,
        standard_conforming_strings: Some(true),
        trusted_functions: &[],
    };
    let statements = analyze(sql, &scope, &Limits::default());
    statements.into_iter().flat_map(|statement| statement.redefined).collect()
}

#[test]
fn what_is_there_and_is_named() {
    let path = ["public".to_owned()];
    for (sql, expected) in [
        ("ALTER TABLE public.users RENAME COLUMN email TO e", &[Some(101)][..]),
        ("ALTER TABLE public.users SET SCHEMA other", &[Some(101)]),
        ("ALTER TABLE recent NO INHERIT public.users", &[Some(101), Some(102)]),
        ("ALTER TABLE recent RENAME TO old", &[Some(101), Some(102)]),
        ("COMMENT ON COLUMN public.users.email IS NULL", &[Some(101)]),
        ("CREATE INDEX ON public.users (email)", &[Some(101)]),
        ("CREATE RULE r AS ON INSERT TO notes DO NOTHING", &[Some(103)]),
        ("CREATE TABLE more () INHERITS (public.users)", &[Some(101)]),
        ("CREATE TABLE users (LIKE notes)", &[]),
        ("CREATE TABLE more AS SELECT email FROM users", &[]),
        ("CREATE OR REPLACE VIEW users AS SELECT email FROM notes", &[]),
        ("ALTER TABLE nobodys RENAME TO somebodys", &[]),
        ("ALTER TABLE elsewhere OPTIONS (SET table_name 'users')", &[None]),
        ("ALTER SCHEMA public RENAME TO other", &[None]),
        ("ALTER TYPE pair RENAME ATTRIBUTE a TO b CASCADE", &[None]),
        ("ALTER TYPE pair ALTER ATTRIBUTE a TYPE integer CASCADE", &[None]),
        ("CREATE TABLE more (id integer REFERENCES users (id))", &[]),
        ("ALTER TABLE notes ADD FOREIGN KEY (id) REFERENCES users (id)", &[Some(103)]),
        (
            "CREATE TABLE more (e text REFERENCES public.users (email) ON UPDATE CASCADE)",
            &[Some(101)],
        ),
        ("ALTER EXTENSION e SET SCHEMA other", &[None]),
        ("ALTER SCHEMA public OWNER TO ana", &[]),
        ("REFRESH MATERIALIZED VIEW users", &[]),
        ("DROP TABLE users", &[]),
        ("TRUNCATE users", &[]),
        ("ANALYZE users", &[]),
        ("UPDATE users SET email = 'x' WHERE id = 1", &[]),
        // In the grammar of another version.
        ("ALTER TABLE users RENAME COLUMN email TO system_user", &[None]),
        ("SELECT email FROM", &[]),
    ] {
        assert_eq!(redefined(sql, Some(&path)), expected, "{sql}");
    }
}

/// By the time it runs, what has the name first may be gone from the path.
#[test]
fn where_a_name_may_be_of_several_relations() {
    let path = ["other".to_owned(), "public".to_owned()];
    for path in [None, Some(&path[..])] {
        for (sql, expected) in [
            ("ALTER TABLE users RENAME TO people", &[Some(101), Some(104)][..]),
            ("ALTER TABLE nobodys RENAME TO somebodys", &[]),
            ("ALTER TABLE public.users RENAME TO people", &[Some(101)]),
            ("ALTER TABLE other.users RENAME TO people", &[Some(104)]),
            ("CREATE TABLE made (id integer)", &[]),
        ] {
            assert_eq!(redefined(sql, path), expected, "{sql}");
        }
    }
}

/// What a materialised view was made of is known only as long as the views that it reads stay.
#[test]
fn views_below_a_materialised_one() {
    let view = |oid, name: &str, kind, definition: &str| Relation {
        kind,
        definition: Some(definition.to_owned()),
        ..Relation::table(oid, "public", name, ["email"])
    };
    let catalog = Catalog::new(
        1,
        [
            Relation::table(101, "public", "users", ["id", "email"]),
            view(102, "low", RelationKind::View, "SELECT users.email FROM public.users;"),
            view(103, "middle", RelationKind::View, "SELECT low.email FROM public.low;"),
            view(104, "kept", RelationKind::MaterializedView, "SELECT email FROM public.middle;"),
            view(105, "beside", RelationKind::View, "SELECT users.email FROM public.users;"),
        ],
        [],
    );
    let path = ["public".to_owned()];
    let any = |text: &str| redefined_in(&catalog, text, Some(&path)).contains(&None);
    for (name, expected) in [("low", true), ("public.middle", true), ("beside", false)] {
        for way in ["CREATE OR REPLACE VIEW {} AS SELECT 'x'::text", "ALTER VIEW {} RENAME TO it"] {
            let text = way.replace("{}", name);
            assert_eq!(any(&text), expected, "{text}");
        }
    }
}
