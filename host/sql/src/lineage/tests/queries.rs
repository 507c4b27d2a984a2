//! Queries and their outputs in full.

use super::{check, columns, expect, render, traced};
use crate::lineage::tests::catalog;

#[test]
fn tables() {
    check(
        "SELECT id, email AS mail FROM users",
        expect![[r#"
        direct: users.id
        direct: users.email"#]],
    );
    check(
        "SELECT email, lower(email), 1, count(*) FROM users GROUP BY 1",
        expect![[r#"
        direct: users.email
        derived: users.email
        none:
        count:"#]],
    );
    check(
        "SELECT u.ctid, u.* FROM orders u",
        expect![[r#"
        none:
        direct: orders.id
        direct: orders.user_id
        direct: orders.amount
        direct: orders.note"#]],
    );
    check(
        "SELECT o FROM orders o",
        expect!["derived: orders.amount orders.id orders.note orders.user_id"],
    );
}

#[test]
fn views_and_children() {
    check(
        "SELECT * FROM v_users",
        expect![[r#"
        direct: users.id v_users.id
        direct: users.email v_users.mail"#]],
    );
    check(
        "SELECT * FROM vv",
        expect![[r#"
        derived: users.email v_users.mail vv.who
        derived: users.id v_users.id vv.orders
        derived: vv.one"#]],
    );
    check(
        "SELECT * FROM mv",
        expect![[r#"
        direct: mv.id users.id
        direct: mv.mail users.email
        direct: mv.total"#]],
    );
    check(
        "SELECT email, desk FROM staff",
        expect![[r#"
        direct: staff.email users.email
        direct: staff.desk"#]],
    );
    check(
        "SELECT * FROM events_2026",
        expect![[r#"
        direct: events.actor events_2026.actor
        direct: events.at events_2026.at"#]],
    );
    check("SELECT at FROM events", expect!["direct: events.at"]);
    check("SELECT x FROM loop_a", expect!["unknown: loop_a.x loop_b.x"]);
    check("SELECT x FROM broken", expect!["unknown: *.*? broken.x"]);
}

#[test]
fn scopes() {
    check(
        "WITH users AS (SELECT id, note AS email FROM orders) SELECT email FROM users",
        expect!["direct: orders.note"],
    );
    check(
        "SELECT (SELECT o.note FROM orders o WHERE o.user_id = u.id) FROM users u",
        expect!["direct: orders.note"],
    );
    check("SELECT id FROM users JOIN orders USING (id)", expect!["direct: orders.id users.id"]);
    check(
        "SELECT id FROM users FULL JOIN orders USING (id)",
        expect!["derived: orders.id users.id"],
    );
    check(
        "SELECT x.a, x.id FROM (users u JOIN orders o USING (id)) AS x(a, b)",
        expect![[r#"
        direct: orders.id users.id
        unknown: orders.amount orders.id orders.note orders.user_id users.created users.email users.id users.name users.salary users.ssn"#]],
    );
    check(
        "SELECT note FROM orders UNION SELECT email FROM users",
        expect!["direct: orders.note users.email"],
    );
    check(
        "WITH RECURSIVE r(n, x) AS (SELECT 1, email FROM users UNION ALL SELECT n + 1, x FROM r) SELECT n, x FROM r",
        expect![[r#"
        none:
        direct: users.email"#]],
    );
    check("SELECT i FROM users u, generate_series(1, 3) i", expect!["none:"]);
    check(
        "SELECT missing FROM users",
        expect!["unknown: users.created users.email users.id users.name users.salary users.ssn"],
    );
}

#[test]
fn unknown() {
    check("SELECT * FROM stranger", expect!["anything"]);
    check(
        "SELECT s.x, id FROM stranger s, users",
        expect![[r#"
        unknown: users.created users.email users.id users.name users.salary users.ssn stranger.x?
        direct: users.id"#]],
    );
    check("SELECT x FROM stranger", expect!["unknown: stranger.x?"]);
    check(
        "SELECT hidden(id) FROM orders",
        expect!["unknown: *.*? orders.amount orders.id orders.note orders.user_id"],
    );
    check("SELECT vouched(id) FROM orders", expect!["derived: orders.id"]);
    check(
        "SELECT nobody(id) FROM orders",
        expect!["unknown: orders.amount orders.id orders.note orders.user_id"],
    );
    check(
        "SELECT pg_temp.f(id) FROM orders",
        expect!["unknown: *.*? orders.amount orders.id orders.note orders.user_id"],
    );
    check(
        "SELECT relname, now() FROM pg_class",
        expect![[r#"
        derived: pg_catalog.pg_class.relname?
        none:"#]],
    );
    check("SELECT * FROM pg_class", expect!["unknown columns: pg_catalog.pg_class.*?"]);
    check(
        "SELECT most_common_vals FROM pg_catalog.pg_stats",
        expect!["derived: pg_catalog.pg_stats.most_common_vals?"],
    );
    check(
        "SELECT chunk_data FROM pg_toast.pg_toast_1",
        expect!["unknown: pg_toast.pg_toast_1.chunk_data?"],
    );
    check(
        "SELECT * FROM orders, json_each('{}')",
        expect!["unknown columns: orders.amount orders.id orders.note orders.user_id"],
    );
    check(
        "EXPLAIN SELECT hidden() FROM orders",
        expect!["unknown: orders.amount orders.id orders.note orders.user_id"],
    );
    check("EXPLAIN (ANALYZE off) SELECT * FROM orders", expect!["none:"]);
    check(
        "EXPLAIN ANALYZE SELECT id FROM orders",
        expect!["unknown: orders.amount orders.id orders.note orders.user_id"],
    );
    check("SELECT pg_read_file('x')", expect!["anything"]);
}

#[test]
fn without_a_catalog_names_stand_as_written() {
    let check = |sql, expected: super::Expect| {
        expected.assert_eq(&render(&traced(sql, None)));
    };
    check("SELECT email FROM shop.users", expect!["unknown: shop.users.email?"]);
    check(
        "SELECT u.email, o.note, x FROM users u, orders o",
        expect![[r#"
        unknown: users.email?
        unknown: orders.note?
        unknown: orders.x? users.x?"#]],
    );
    check("SELECT * FROM users", expect!["anything"]);
    check(
        "SELECT lower(email), 1 FROM users",
        expect![[r#"
        unknown: users.*? users.email?
        none:"#]],
    );
    check(
        "INSERT INTO users (email) SELECT note FROM orders",
        expect![[r#"
        nothing
        users.email? <- orders.note?"#]],
    );
}

#[test]
fn columns_are_all_that_is_referred_to() {
    let check = |sql, expected: super::Expect| {
        expected.assert_eq(&columns(&traced(sql, Some(&catalog())).columns));
    };
    check(
        "SELECT id FROM users WHERE email = 'x' ORDER BY name",
        expect!["users.email users.id users.name"],
    );
    check(
        "SELECT count(*) FROM users GROUP BY ssn HAVING max(salary) > 1",
        expect!["users.salary users.ssn"],
    );
    check("SELECT id FROM v_users", expect!["users.id users.salary v_users.id"]);
    check(
        "SELECT count(t) FROM orders t",
        expect!["orders.amount orders.id orders.note orders.user_id"],
    );
    check("SELECT 1 FROM users JOIN orders USING (id)", expect!["orders.id users.id"]);
    check("UPDATE users SET name = 'x' WHERE email = 'y'", expect!["users.email"]);
    check("DECLARE c CURSOR FOR SELECT email FROM users", expect!["users.email"]);
}

/// Views of views, each of nested sub-queries: deep enough to be given up, not to overflow the
/// two megabytes of a test's stack.
#[test]
fn depth_is_bounded() {
    let users = super::relation(1, "users", super::RelationKind::Table, "x");
    let mut relations = vec![users];
    let mut below = "users".to_owned();
    for oid in 2..100 {
        let name = format!("v{oid}");
        let open = "SELECT x FROM (".repeat(8);
        let query = format!("{open}SELECT x FROM public.{below}{}", ") s".repeat(8));
        relations.push(super::view(oid, &name, "x", &query));
        below = name;
    }
    let catalog = super::Catalog::new(1, relations, []);
    let outputs = |sql: &str| render(&traced(sql, Some(&catalog)));
    assert!(outputs("SELECT x FROM v3").starts_with("direct: users.x"));
    expect!["anything"].assert_eq(&outputs("SELECT x FROM v99"));
}
