//! Texts that are meant to bring a reader down, and texts that cannot be read.

use portcullis_policy::lineage::Outputs;
use portcullis_policy::statement::{Access, Action, Opaque};

use super::{analyzed, with_scope};
use crate::{Limits, analyze, shape};

/// Every bomb, at depth `n`.
fn bombs(n: usize) -> Vec<(&'static str, String)> {
    let wrap = |open: &str, inner: &str, close: &str| {
        format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n))
    };
    vec![
        ("parentheses", wrap("(", "1", ")")),
        ("sub-selects", wrap("(SELECT ", "1", ")")),
        ("from", format!("SELECT * FROM {}users{}", "(SELECT * FROM ".repeat(n), ") x".repeat(n))),
        ("sum", wrap("", "1", "+1")),
        ("minus", wrap("- ", "1", "")),
        ("not", wrap("NOT ", "true", "")),
        ("and", wrap("", "true", " AND true")),
        ("or", wrap("", "true", " OR true")),
        ("and or", wrap("", "true", " AND true OR false")),
        ("cast", wrap("", "1", "::int")),
        ("collate", wrap("", "'a'", " COLLATE \"C\"")),
        ("at", wrap("", "now()", " AT TIME ZONE 'UTC'")),
        ("is null", wrap("", "1", " IS NULL")),
        ("concat", wrap("", "'a'", "||'a'")),
        ("array", wrap("ARRAY[", "1", "]")),
        ("subscript", wrap("", "a", "[1]")),
        ("case", wrap("CASE WHEN true THEN ", "1", " END")),
        ("case label", wrap("CASE a.end WHEN ", "1", " THEN 1 END")),
        ("label", wrap("f(a.end, ", "1", ")")),
        ("function", wrap("f(", "1", ")")),
        ("operator", wrap("", "1", " OPERATOR(pg_catalog.+) 1")),
        ("between", wrap("", "1", " BETWEEN 1 AND (1)")),
        ("join", format!("SELECT * FROM users{}", " JOIN users ON true AND true".repeat(n))),
        (
            "joins in parentheses",
            format!("SELECT * FROM {}users{}", "(".repeat(n), " CROSS JOIN users)".repeat(n)),
        ),
        ("union", wrap("", "1", " UNION SELECT 1")),
        ("with", format!("{}SELECT 1{}", "WITH x AS (".repeat(n), ") SELECT 1".repeat(n))),
        ("comment", format!("{}{} DROP TABLE users", "/*".repeat(n), "*/".repeat(n))),
        ("statements", "SELECT 1;".repeat(n)),
        ("list", wrap("", "1", ",1")),
        ("names", wrap("", "a", ".a")),
        ("plus signs", wrap("", "1", "+") + "1"),
        ("unclosed", format!("SELECT {}", "(".repeat(n))),
        ("closed", format!("SELECT {}", ")".repeat(n))),
    ]
}

/// On the stack of a worker thread, whatever it is a test runs on.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn depth_bombs_leave_the_stack_whole() {
    on_small_stack(|| {
        for n in [40, 100, 300, 499, 1_000, 10_000, 1_000_000] {
            for (what, sql) in bombs(n) {
                let statements = analyzed(&sql);
                if n <= 10_000 {
                    let _ = shape(&sql, true);
                }
                let deep = n >= 1_000
                    && !["statements", "list", "names", "closed", "subscript", "label"]
                        .contains(&what)
                    && !["and", "or", "and or", "between"].contains(&what);
                if deep {
                    let opaque = statements.iter().all(|statement| !statement.opaque.is_empty());
                    assert!(opaque && !statements.is_empty(), "{what} at {n}");
                }
            }
        }
    });
}

#[test]
fn what_is_too_deep_still_names_its_relations() {
    let depth = 60;
    let sql =
        format!("SELECT * FROM {}users{}", "(SELECT * FROM ".repeat(depth), ") x".repeat(depth));
    for sql in [sql.clone(), format!("SELECT 1; {sql}")] {
        let statements = analyzed(&sql);
        let last = statements.last().expect("a statement");
        assert!(matches!(last.opaque.first(), Some(Opaque::TooComplex(_))), "{:?}", last.opaque);
        assert_eq!(last.actions, [Action::Select, Action::Other]);
        assert_eq!(last.relations.first().map(|entry| entry.name.as_str()), Some("public.users"));
        assert!(matches!(&last.outputs, Outputs::Unknown(columns) if columns.len() == 3));
    }
    assert_eq!(analyzed(&format!("SELECT 1; {sql}")).len(), 2);
}

#[test]
fn oversize_is_opaque() {
    let comment = format!("/*{}*/ DROP TABLE users", "x".repeat(9 << 20));
    let statements = analyzed(&comment);
    let [statement] = statements.as_slice() else { panic!("one statement") };
    assert_eq!(statement.actions, [Action::Drop, Action::Other]);
    assert!(matches!(statement.opaque.as_slice(), [Opaque::TooComplex(_)]));
    assert_eq!(statement.shape, "DROP TABLE users");
    let limits = Limits { tokens_max: 3, ..Limits::default() };
    let statements = with_scope(|scope| analyze("SELECT 1 + 1", scope, &limits));
    assert!(statements.iter().all(|statement| !statement.opaque.is_empty()));
}

#[test]
fn ordinary_sizes_are_read() {
    let values = vec!["(1, 'x', 2)"; 5_000].join(", ");
    let parameters = (1..=60_000).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let ors = vec!["id = 1"; 1_000].join(" OR ");
    let joins = "SELECT * FROM users a JOIN users b ON a.id = b.id".to_owned()
        + &" LEFT JOIN orders o ON o.user_id = a.id AND o.amount > 1".repeat(20);
    for sql in [
        format!("INSERT INTO orders VALUES {values}"),
        format!("SELECT * FROM users WHERE id IN ({parameters})"),
        format!("SELECT * FROM users WHERE {ors}"),
        joins,
        format!("SELECT {}", vec!["'a'"; 30].join(" || ")),
    ] {
        let statements = analyzed(&sql);
        assert_eq!(statements.len(), 1);
        let opaque = statements.iter().flat_map(|statement| &statement.opaque).next();
        assert_eq!(opaque, None, "{}", sql.get(..60).unwrap_or(&sql));
    }
}

/// A small generator: the same bytes every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % below.max(1)
    }
}

#[test]
fn garbage_never_panics() {
    const PIECES: &[&str] = &[
        "SELECT", " ", "'", "\"", "$", "$$", "$a$", "E'", "\\", "/*", "*/", "--", "\n", "(", ")",
        "[", "]", ";", ",", ".", "..", "1", "1.5e", "0x", "_", "users", "FROM", "WHERE", "é",
        "\u{a0}", "U&", "UESCAPE", "::", ":=", "=", "<", "~", "-", "+", "AND", "CASE", "END",
        "NULL", "$1", "UPDATE", "SET", "WITH", "AS", "BETWEEN", "IN", "LIMIT", "*", "\0", "COPY",
        "PREPARE", "FOR",
    ];
    let mut noise = Noise(7);
    for round in 0..6_000 {
        let mut bytes = Vec::new();
        for _ in 0..noise.next(40) {
            if round % 3 == 0 {
                bytes.push(u8::try_from(noise.next(256)).unwrap_or_default());
            } else {
                bytes.extend(PIECES[noise.next(PIECES.len())].as_bytes());
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        analyzed(&text);
        let _ = (shape(&text, true), shape(&text, false));
    }
}

#[test]
fn strings_of_unknown_syntax_are_opaque() {
    let sql = r"SELECT '\'; DELETE FROM users; --'";
    let read = |strings| {
        with_scope(|scope| {
            let scope = crate::Scope { standard_conforming_strings: strings, ..*scope };
            analyze(sql, &scope, &Limits::default())
        })
    };
    let on = read(Some(true));
    assert_eq!(on.len(), 2);
    assert_eq!(on.last().map(|last| last.action()), Some(Action::Delete));
    let off = read(Some(false));
    assert_eq!(off.len(), 1);
    assert!(off.iter().all(|one| one.opaque.is_empty() && one.relations.is_empty()));
    assert!(read(None).iter().all(|one| !one.opaque.is_empty()));
}

#[test]
fn columns_are_told_where_they_can_be() {
    let find = |sql: &str, access: Access| {
        let statements = analyzed(sql);
        let mut uses = statements.into_iter().flat_map(|statement| statement.relations);
        let found = uses.find(|entry| entry.access == access).expect("a relation");
        (found.columns.join(","), found.all_columns)
    };
    assert_eq!(find("SELECT * FROM nowhere", Access::Read), (String::new(), true));
    assert_eq!(find("DELETE FROM users WHERE id = 1", Access::Write), (String::new(), true));
}

#[test]
fn names_in_an_encoding_that_is_not_read() {
    let word: String = [0xea, 0xeb].map(crate::unread_character).into_iter().collect();
    let is_opaque = |text: String| analyzed(&text).iter().any(|found| !found.opaque.is_empty());
    for text in ["SELECT #", "SELECT 1 AS \"#\"", "SELECT 1; PREPARE a# AS SELECT 1", "SET #.b = 1"]
    {
        assert!(is_opaque(text.replace('#', &word)), "{text}");
        assert!(!is_opaque(text.replace('#', "ea")), "{text}");
    }
    for text in ["SELECT '#'", "SELECT 1 -- #", "SELECT $$#$$, E'#' /* # */"] {
        assert!(!is_opaque(text.replace('#', &word)), "{text}");
    }
}
