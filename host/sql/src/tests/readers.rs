//! When the second reader is asked. That it would add nothing where it is not is checked for
//! every text of these tests, by `analyzed`.

use super::lines;
use crate::opinion::is_in_doubt;
use crate::tree::Tree;

fn in_doubt(sql: &str) -> bool {
    let parsed = pg_query::parse(sql, 0).expect("a text that parses");
    is_in_doubt(&Tree::of(&parsed.protobuf.stmts, 0).expect("a tree"))
}

#[test]
fn ordinary_work_is_beyond_doubt() {
    for sql in [
        "SELECT a, count(*) FROM t JOIN s USING (b) WHERE c IN (1, 2) GROUP BY a ORDER BY 2 LIMIT 5",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x ON CONFLICT (a) DO NOTHING RETURNING a",
        "UPDATE t SET a = (SELECT max(b) FROM s) WHERE c = $1::int",
        "DELETE FROM t USING s WHERE t.a = s.a AND s.b IS NOT NULL",
        "BEGIN; SET LOCAL work_mem = '1MB'; SELECT 1 FOR UPDATE; COMMIT",
    ] {
        assert!(!in_doubt(sql), "{sql}");
    }
}

#[test]
fn whatever_else_there_is_makes_a_text_doubtful() {
    for sql in [
        "SELECT 1; COPY t TO STDOUT",
        "SELECT a INTO b FROM t",
        "SELECT * FROM t TABLESAMPLE system (1)",
        "SELECT * FROM f() AS g",
        "EXPLAIN SELECT 1",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "TRUNCATE t",
    ] {
        assert!(in_doubt(sql), "{sql}");
    }
}

#[test]
fn who_is_asked_can_disagree() {
    // The second reader takes a function without parentheses for a relation.
    let found = lines("LISTEN changes; SELECT * FROM current_date");
    assert!(found.contains("!readers disagree: current_date"), "{found}");
}

#[test]
fn what_follows_copy_from_stdin_is_no_data() {
    // In a script it would be, and for the second reader it is, who is asked of each again.
    assert_eq!(
        lines("COPY users FROM STDIN; DELETE FROM orders; COPY users FROM STDIN; SELECT 1"),
        "COPY [copy-in] write:public.users\nDELETE [delete] write:public.orders unbounded-write\n\
         COPY [copy-in] write:public.users\nSELECT [select]"
    );
    // What it cannot read itself hides nothing behind it.
    for unread in ["", "SELECT xmlelement(name a); "] {
        let found = lines(&format!("COPY users FROM STDIN; {unread}SELECT * FROM current_date"));
        assert!(found.contains("!readers disagree: current_date"), "{found}");
    }
}

#[test]
fn both_cut_long_names_where_the_server_does() {
    let name = format!("{}\u{e9}{}", "x".repeat(62), "y".repeat(20));
    // `lines` asks both readers, and compares.
    let found = lines(&format!("SELECT * FROM \"{name}\""));
    assert!(!found.contains("disagree"), "{found}");
}

#[test]
fn both_fold_ascii_only() {
    // The server leaves letters outside of ASCII as they are wherever they take several bytes.
    for sql in ["DELETE FROM uН", "SELECT \u{c4}b FROM \u{130}x, Users"] {
        let found = lines(sql);
        assert!(!found.contains("disagree"), "{sql}: {found}");
    }
}

#[test]
fn what_lineage_does_not_come_by_is_opaque() {
    // There is no third column to assign, which only the server refuses.
    for sql in [
        "UPDATE users SET (id, name) = ROW(1, 'a', ssn)",
        "UPDATE users SET (id, name) = ROW(1, 'a', lower('b'))",
        "EXPLAIN UPDATE users SET (id, name) = ROW(1, 'a', ssn)",
    ] {
        let found = lines(sql);
        assert!(found.contains("!readers disagree: an expression at "), "{found}");
    }
    // What the modifiers of a type name are no columns.
    for sql in ["SELECT 'POINT(1 1)'::geometry(point, 4326)", "EXPLAIN EXECUTE p (now())"] {
        assert!(!lines(sql).contains("readers disagree"), "{sql}");
    }
}
