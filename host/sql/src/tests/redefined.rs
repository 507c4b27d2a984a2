//! Which relations that are there a statement defines anew.

use crate::catalog::{Catalog, Relation, RelationKind, Scope};
use crate::{Limits, analyze};

/// A table, a child of it, and one that has nothing to do with either.
fn catalog() -> Catalog {
    let table = |oid, name| Relation::table(oid, "public", name, ["id", "email"]);
    let child = Relation { parents: vec![101], ..table(102, "recent") };
    Catalog::new(1, [table(101, "users"), child, table(103, "notes")], [])
}

fn redefined(sql: &str, search_path: Option<&[String]>) -> Vec<Option<u32>> {
    let catalog = catalog();
    let scope = Scope {
        catalog: Some(&catalog),
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
        ("ALTER TABLE users RENAME COLUMN email TO e", &[Some(101)][..]),
        ("ALTER TABLE public.users RENAME TO people", &[Some(101)]),
        ("ALTER TABLE users SET SCHEMA other", &[Some(101)]),
        ("ALTER TABLE recent NO INHERIT users", &[Some(102), Some(101), Some(101)]),
        ("ALTER TABLE recent RENAME TO old", &[Some(102), Some(101)]),
        ("COMMENT ON COLUMN users.email IS NULL", &[Some(101)]),
        ("CREATE INDEX ON users (email)", &[Some(101)]),
        ("CREATE RULE r AS ON INSERT TO notes DO NOTHING", &[Some(103)]),
        ("CREATE TABLE more () INHERITS (users)", &[Some(101)]),
        ("CREATE TABLE users (LIKE notes)", &[]),
        ("CREATE TABLE more AS SELECT email FROM users", &[]),
        ("CREATE OR REPLACE VIEW users AS SELECT email FROM notes", &[]),
        ("ALTER TABLE nobodys RENAME TO somebodys", &[]),
        ("ALTER SCHEMA public RENAME TO other", &[None]),
        ("ALTER TYPE pair RENAME ATTRIBUTE a TO b CASCADE", &[None]),
        ("ALTER TYPE pair ALTER ATTRIBUTE a TYPE integer CASCADE", &[None]),
        ("CREATE TABLE more (id integer REFERENCES users (id))", &[]),
        ("ALTER TABLE notes ADD FOREIGN KEY (id) REFERENCES users (id)", &[Some(103)]),
        ("CREATE TABLE more (e text REFERENCES users (email) ON UPDATE CASCADE)", &[Some(101)]),
        ("ALTER EXTENSION e SET SCHEMA other", &[None]),
        ("ALTER SCHEMA public OWNER TO ana", &[]),
        ("REFRESH MATERIALIZED VIEW users", &[]),
        ("DROP TABLE users", &[]),
        ("TRUNCATE users", &[]),
        ("ANALYZE users", &[]),
        ("UPDATE users SET email = 'x' WHERE id = 1", &[]),
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
            ("ALTER TABLE users RENAME TO people", &[Some(101)][..]),
            ("ALTER TABLE nobodys RENAME TO somebodys", &[]),
            ("ALTER TABLE public.users RENAME TO people", &[Some(101)]),
            ("ALTER TABLE other.users RENAME TO people", &[]),
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
    let scope = Scope {
        catalog: Some(&catalog),
        search_path: Some(&path),
        standard_conforming_strings: Some(true),
        trusted_functions: &[],
    };
    for (name, expected) in [("low", &[None][..]), ("public.middle", &[None]), ("beside", &[])] {
        let text = format!("CREATE OR REPLACE VIEW {name} AS SELECT 'x'::text AS email");
        let statements = analyze(&text, &scope, &Limits::default());
        assert_eq!(statements[0].redefined, expected, "{name}");
    }
}
