//! Shapes, keys, and the lexer beneath them.

use expect_test::{Expect, expect};

use super::{analyzed, line};
use crate::lexer::{Kind, Lexer, tokens};
use crate::{KeyCutter, shape};

fn check(sql: &str, expected: Expect) {
    let shown = match shape(sql, true) {
        Ok(shape) => format!("{}\n{}", shape.text, shape.key),
        Err(reason) => reason.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn literals_leave_the_shape_and_stay_in_the_key_where_they_count() {
    check(
        "SELECT abalance FROM pgbench_accounts WHERE aid = 123",
        expect![[r#"
            SELECT abalance FROM pgbench_accounts WHERE aid = $1
            SELECT abalance FROM pgbench_accounts WHERE aid = $?"#]],
    );
    check(
        "UPDATE t SET a = a + -5, b = 'x' WHERE id = 7;",
        expect![[r#"
            UPDATE t SET a = a + -$1, b = $2 WHERE id = $3;
            UPDATE t SET a = a + -$?, b = $? WHERE id = $?;"#]],
    );
    check(
        "INSERT INTO t (a, b) VALUES (1, -2, 'x', lower('Y')), (3, 4, NULL, f(5))",
        expect![[r#"
            INSERT INTO t (a, b) VALUES ($1, -$2, $3, lower($4)), ($5, $6, NULL, f($7))
            INSERT INTO t (a, b) VALUES ($?, -$?, $?, lower('Y')), ($?, $?, NULL, f(5))"#]],
    );
    check(
        "SELECT * FROM t WHERE a IN (1, 2) AND b BETWEEN 3 AND 4 AND c LIKE 'x%'",
        expect![[r#"
            SELECT * FROM t WHERE a IN ($1, $2) AND b BETWEEN $3 AND $4 AND c LIKE $5
            SELECT * FROM t WHERE a IN ($?, $?) AND b BETWEEN $? AND $? AND c LIKE 'x%'"#]],
    );
    check(
        "SELECT * FROM t WHERE 1 = 1 AND 'a' = b LIMIT 10 OFFSET 5",
        expect![[r#"
        SELECT * FROM t WHERE $1 = $2 AND $3 = b LIMIT $4 OFFSET $5
        SELECT * FROM t WHERE 1 = 1 AND 'a' = b LIMIT 10 OFFSET 5"#]],
    );
    check(
        "DELETE FROM t WHERE a = 1 OR a <> 1",
        expect![[r#"
        DELETE FROM t WHERE a = $1 OR a <> $2
        DELETE FROM t WHERE a = 1 OR a <> 1"#]],
    );
    check(
        "SELECT set_config('role', 'x', false), a[3]",
        expect![[r#"
        SELECT set_config($1, $2, false), a[$3]
        SELECT set_config('role', 'x', false), a[3]"#]],
    );
    check(
        "SET search_path = 'a'; SELECT a FROM t WHERE a = 1 AND b = $3",
        expect![[r#"
            SET search_path = $4; SELECT a FROM t WHERE a = $5 AND b = $3
            SET search_path = 'a'; SELECT a FROM t WHERE a = $? AND b = $3"#]],
    );
    check(
        "ALTER ROLE x PASSWORD 'secret' -- 'comment'",
        expect![[r#"
        ALTER ROLE x PASSWORD $1
        ALTER ROLE x PASSWORD 'secret'"#]],
    );
    check(
        "SELECT E'a\\'b', $q$ it's $q$, 0x1F, 1_000, B'1', X'ff', U&'x' UESCAPE '!', 'a'\n 'b'",
        expect![[r#"
        SELECT $1, $2, $3, $4, $5, $6, $7 UESCAPE $8, $9
        SELECT E'a\'b', $q$ it's $q$, 0x1F, 1_000, B'1', X'ff', U&'x' UESCAPE '!', 'a'
         'b'"#]],
    );
    check("SELECT * FROM t WHERE a = 'x' 'y", expect!["unparsed: unterminated quoted string"]);
    check(
        "SELECT a FROM t WHERE a ~ 'x' AND a = 'b\\'",
        expect![[r#"
        SELECT a FROM t WHERE a ~ $1 AND a = $2
        SELECT a FROM t WHERE a ~ 'x' AND a = 'b\'"#]],
    );
    check(
        "SELECT U&\"d!0061t\" UESCAPE '!' FROM t WHERE true = 5",
        expect![[r#"
        SELECT U&"d!0061t" UESCAPE $1 FROM t WHERE true = $2
        SELECT U&"d!0061t" UESCAPE '!' FROM t WHERE true = 5"#]],
    );
    check(
        "EXECUTE p ('x'); PREPARE q AS SELECT * FROM t WHERE a = 1",
        expect![[r#"
        EXECUTE p ($1); PREPARE q AS SELECT * FROM t WHERE a = $2
        EXECUTE p ('x'); PREPARE q AS SELECT * FROM t WHERE a = 1"#]],
    );
    check(
        "SELECT /* secret */ 1 -- secret",
        expect![[r#"
        SELECT $1
        SELECT 1"#]],
    );
}

/// Whether the second text is the first with other values, to who only compares.
fn fits(text: &str, other: &str) -> bool {
    let mut cutter = KeyCutter::default();
    cutter.cut(text, true).unwrap();
    let fits = cutter.template(text).fits(other);
    if fits {
        let key = |text| shape(text, true).unwrap().key;
        assert_eq!(key(text), key(other), "{other:?} is taken for {text:?}");
    }
    fits
}

#[test]
fn a_text_with_other_values_is_known_by_its_bytes() {
    let text = "SELECT a FROM t WHERE id = 5 AND n = 'x' AND m > -7;";
    for other in [
        text,
        "SELECT a FROM t WHERE id = 4711 AND n = '' AND m > -0;",
        "SELECT a FROM t WHERE id = 0 AND n = 'ü; -- /*' AND m > -7;",
    ] {
        assert!(fits(text, other), "{other}");
    }
    for other in [
        "",
        "SELECT a FROM t WHERE id = 5 AND n = 'x' AND m > -7",
        "SELECT a FROM t WHERE id = 5 AND n = 'x' AND m > -7;;",
        "SELECT a FROM u WHERE id = 5 AND n = 'x' AND m > -7;",
        "SELECT a FROM t WHERE id =  AND n = 'x' AND m > -7;",
        "SELECT a FROM t WHERE id = x AND n = 'x' AND m > -7;",
        "SELECT a FROM t WHERE id = 5.0 AND n = 'x' AND m > -7;",
        "SELECT a FROM t WHERE id = 1_0 AND n = 'x' AND m > -7;",
        "SELECT a FROM t WHERE id = 5 AND n = 'x''y' AND m > -7;",
        "SELECT a FROM t WHERE id = 5 AND n = 'x\\' AND m > -7;",
        "SELECT a FROM t WHERE id = 5 AND n = 'x' OR '' = '' AND m > -7;",
        "SELECT a FROM t WHERE id = 5 AND n = 'x\n' 'y' AND m > -7;",
        "SELECT a FROM t WHERE id = 5 AND n = 'x",
    ] {
        assert!(!fits(text, other), "{other}");
    }
    // What a fact can depend on is no value.
    assert!(!fits("SELECT a FROM t LIMIT 5", "SELECT a FROM t LIMIT 6"));
    assert!(!fits("DELETE FROM t WHERE a = 1 OR a <> 1", "DELETE FROM t WHERE a = 1 OR a <> 2"));
    assert!(!fits("SELECT set_config('a', 'x', true)", "SELECT set_config('b', 'x', true)"));
    // Nor is what is more than digits or a plain text: it counts as it is written.
    assert!(!fits("SELECT a FROM t WHERE b = 1.5", "SELECT a FROM t WHERE b = 2.5"));
    assert!(!fits("SELECT a FROM t WHERE b = 'it''s'", "SELECT a FROM t WHERE b = 'is'"));
}

#[test]
fn secrets_appear_in_no_shape() {
    for sql in [
        "CREATE ROLE x PASSWORD 'hunter2'",
        "ALTER USER x WITH ENCRYPTED PASSWORD $$hunter2$$",
        "CREATE USER MAPPING FOR x SERVER s OPTIONS (password E'hunter2')",
        "/* hunter2 */ SELECT 1 -- hunter2",
        "DO 'hunter2'",
        "COPY t FROM 'hunter2'",
        "SELECT * FROM t WHERE a = 'hunter2' OR b = U&'hunter2'",
        "SELECT 'hunter2",
        "SELEC 'hunter2'",
        "SELECT 1; SELEC 'hunter2'",
    ] {
        for statement in analyzed(sql) {
            let shown = format!("{} {:?}", statement.shape, statement.opaque);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn equal_keys_have_equal_facts() {
    let values = ["1", "2", "'a'", "'%'", "'role'", "'delete from users'", "0", "''"];
    for (pattern, holes) in [
        ("SELECT * FROM users WHERE id = # AND name = #", 2),
        ("DELETE FROM users WHERE id = # OR id <> #", 2),
        ("DELETE FROM users WHERE NOT (id = # AND id <> #)", 2),
        ("DELETE FROM users WHERE # = #", 2),
        ("DELETE FROM users WHERE #::int = #", 2),
        ("DELETE FROM users WHERE #::pg_catalog.int4 > #", 2),
        ("DELETE FROM users WHERE #::numeric(10, 2) <> #", 2),
        ("DELETE FROM users WHERE #::double precision = #", 2),
        ("DELETE FROM users WHERE text # <> #", 2),
        ("DELETE FROM users WHERE pg_catalog.text # <> #", 2),
        ("DELETE FROM users WHERE interval # day <> #", 2),
        ("DELETE FROM users WHERE CAST(# AS int) = #", 2),
        ("DELETE FROM users WHERE #::int = $2 OR $1::int = #", 2),
        ("DELETE FROM users WHERE id + # IN (id + #)", 2),
        ("DELETE FROM users WHERE # + id IN (# + id)", 2),
        ("DELETE FROM users WHERE (id + #) IN (id, (id + #))", 2),
        ("DELETE FROM users WHERE # * id COLLATE \"C\" IN (# * id COLLATE \"C\")", 2),
        ("DELETE FROM users WHERE id * # NOT IN (id * #, id)", 2),
        ("DELETE FROM users WHERE id + # BETWEEN id + # AND id + #", 3),
        ("DELETE FROM users WHERE id = # AND id + # BETWEEN id + # AND #", 4),
        ("DELETE FROM users WHERE (#) = (#)", 2),
        ("DELETE FROM users WHERE # IN (#, #)", 3),
        ("DELETE FROM users WHERE id IN (#, #)", 2),
        ("DELETE FROM users WHERE name LIKE #", 1),
        ("DELETE FROM users WHERE name ~ #", 1),
        ("DELETE FROM users WHERE id BETWEEN # AND # OR id = #", 3),
        ("DELETE FROM users WHERE true = # OR CASE WHEN # THEN # END", 3),
        ("UPDATE users SET name = #, id = id + # WHERE id = # AND # = #", 5),
        ("SELECT set_config(#, #, false)", 2),
        ("SELECT * FROM users WHERE id = # LIMIT #", 2),
        ("EXPLAIN (ANALYZE #) DELETE FROM users", 1),
        ("PREPARE p AS SELECT * FROM users WHERE id = #", 1),
        ("INSERT INTO users VALUES (#, set_config(#, #, true))", 3),
        ("WITH x AS (DELETE FROM users WHERE id = # OR # = #) SELECT #", 4),
    ] {
        let mut known = std::collections::HashMap::new();
        for index in 0..values.len().pow(holes) {
            let mut sql = pattern.to_owned();
            let mut rest = index;
            for _ in 0..holes {
                sql = sql.replacen('#', values[rest % values.len()], 1);
                rest /= values.len();
                // Three values in three places say as much as eight in five.
                if holes > 3 && rest % values.len() > 2 {
                    rest /= values.len();
                }
            }
            if index % 7 != 0 && holes > 3 {
                continue;
            }
            let key = shape(&sql, true).expect("a shape").key;
            let facts = analyzed(&sql).iter().map(line).collect::<Vec<_>>().join("\n");
            let first = known.entry(key).or_insert_with(|| (facts.clone(), sql.clone()));
            assert_eq!(first.0, facts, "{sql} has the key of {}", first.1);
        }
    }
}

/// Texts whose tokens must be PostgreSQL's.
const CORPUS: &[&str] = &[
    "SELECT a.b, \"c\"\"d\", 'it''s', 1, 1.5, .5, 5., 1e10, 1.5E-3, 0x1F, 0o17, 0b11, 1_000 FROM t;",
    "SELECT 1..2, a[1:2], :x, a::int, f(a := 1, b => 2), $1, $12",
    "SELECT E'a\\'b\\\\', e'\\n', B'01', x'1F', N'n', U&'\\0061', U&\"\\0061\" UESCAPE '!'",
    "SELECT B'1'' X', x'f''f', B'1'\n'0', U&'a''b'",
    "SELECT $$a$$, $tag$ $$ $ta$ $tag$, $é$x$é$, a$b$c, _a$1",
    "SELECT 'a'\n'b', 'a' -- c\n 'b', 'a'\r\n\t'b'",
    "SELECT 'a' 'b'",
    "SELECT 1--2\n+3, 1- -2, 1 -/* x */- 2, a=-1, a<-1, a@-1, a||-1, a!=b, a<>b, a<=b, a>=b, a->b, a->>b, a#>b, a?b, a?|b, a*-1, @-1, !!1, ~-1",
    "/* a /* b */ c */ SELECT /**/ 1 /*/ */",
    "-- only\nSELECT 1 -- end",
    "SELECT café, \u{a0}x, \"é\", 'é', naïve",
    "SELECT 1;;SELECT 2; -- x\n;",
    "SELECT a=+b, a=+-b, a+-b, a-+b, a&-b, a<->b, a<#>b, 1%-1, %-1, ^-1, |/ 25, ||/ 27",
    "SELECT \"a;b\", 'a;b', $$;$$ /* ; */",
    "SELECT '', \"a\", E'', $$$$",
    "SELECT 1 AS e, 2 AS b, 3 AS x, 4 AS u, 5 AS n, u & 'a'",
    "SELECT '\\', 'x'",
    "SELECT 1.e5, 1.5.5, 1...5",
    "SELECT a\u{b}b, a\u{c}b",
];

#[test]
fn tokens_are_those_of_postgresql() {
    for sql in CORPUS {
        let scanned = pg_query::scan(sql).map(|scan| {
            let comment = |token: i32| [275, 276].contains(&token);
            let tokens = scan.tokens.into_iter().filter(|token| !comment(token.token));
            tokens.map(|token| (token.start as usize, token.end as usize)).collect::<Vec<_>>()
        });
        let mut lexer = Lexer::new(sql, true);
        let mut ours = Vec::new();
        let mut uncut = None;
        loop {
            match lexer.next() {
                Ok(Some(token))
                    if token.kind == Kind::Symbol && sql.as_bytes()[token.start] == 0 => {}
                Ok(Some(token)) => ours.push((token.start, token.end)),
                Ok(None) => break,
                Err(why) => {
                    uncut = Some(why);
                    break;
                }
            }
        }
        match scanned {
            Ok(theirs) => {
                assert_eq!(uncut, None, "{sql}");
                let text = |spans: &[(usize, usize)]| {
                    spans.iter().map(|(a, b)| sql[*a..*b].to_owned()).collect::<Vec<_>>()
                };
                assert_eq!(text(&ours), text(&theirs), "{sql}");
            }
            Err(_) => assert!(uncut.is_some(), "PostgreSQL refuses {sql}"),
        }
    }
}

#[test]
fn statements_end_where_postgresql_ends_them() {
    for sql in CORPUS {
        let Ok(parts) = pg_query::split_with_scanner(sql) else { continue };
        let ours = crate::deep::split(sql, true);
        let trim = |parts: &[&str]| {
            let own = |part: &&str| {
                let tokens = tokens(part, true).ok()?;
                Some(part[tokens.first()?.start..tokens.last()?.end].to_owned())
            };
            parts.iter().filter_map(own).collect::<Vec<_>>()
        };
        assert_eq!(trim(&ours), trim(&parts), "{sql}");
    }
}
