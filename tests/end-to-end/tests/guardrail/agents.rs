//! Agents as they come: they read, within bounds, and change nothing.

use end_to_end::frames::{Batch, error_of, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{BOT, DEVELOPER};
use end_to_end::{Setup, cluster};

use super::{guarded, run, state_of};

const READS: [&str; 9] = [
    "SELECT word FROM scratch WHERE id = 3",
    "SELECT word FROM scratch ORDER BY id LIMIT 3",
    "SELECT count(*), max(amount) FROM orders",
    "SELECT status, sum(amount) FROM orders WHERE id < 300 GROUP BY status ORDER BY status",
    "WITH few AS (SELECT word FROM scratch WHERE id < 4) SELECT word FROM few ORDER BY word",
    "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'scratch'",
    "EXPLAIN (COSTS OFF) DELETE FROM scratch WHERE id = 3",
    "SHOW search_path",
    "SET statement_timeout = '10s'",
];

/// A statement that is refused, and what the reason says.
const REFUSED: [(&str, &str); 21] = [
    ("INSERT INTO scratch VALUES (77, 'x', 1)", "INSERT would add rows to public.scratch"),
    ("UPDATE scratch SET word = 'x' WHERE id = 3", "UPDATE would change rows"),
    ("DELETE FROM scratch WHERE id = 3", "DELETE would delete rows"),
    ("DELETE FROM scratch", "effective WHERE"),
    (
        "WITH gone AS (DELETE FROM scratch WHERE id = 3 RETURNING id) SELECT id FROM gone",
        "DELETE would delete rows",
    ),
    ("EXPLAIN ANALYZE DELETE FROM scratch WHERE id = 3", "DELETE would delete rows"),
    ("PREPARE change AS DELETE FROM scratch WHERE id = 3", "DELETE would delete rows"),
    (
        "MERGE INTO scratch s USING (SELECT 3 AS id) x ON s.id = 3 WHEN MATCHED THEN DELETE",
        "MERGE would change rows",
    ),
    ("COPY scratch FROM STDIN", "COPY would add rows"),
    ("SELECT id FROM scratch WHERE id = 3 FOR UPDATE", "lock others out of public.scratch"),
    ("LOCK TABLE scratch IN EXCLUSIVE MODE", "lock others out of public.scratch"),
    ("ANALYZE scratch", "storage of public.scratch"),
    ("CREATE TABLE made (a integer)", "definitions"),
    ("CREATE TABLE made AS SELECT id FROM scratch WHERE id = 3", "definitions"),
    ("SELECT id INTO made FROM scratch WHERE id = 3", "definitions"),
    ("COMMENT ON TABLE scratch IS 'mine'", "definitions"),
    ("SELECT lo_from_bytea(0, 'x')", "the function lo_from_bytea writes"),
    ("SELECT word FROM scratch", "read every row of public.scratch"),
    ("SELECT word FROM scratch WHERE true", "read every row of public.scratch"),
    ("DECLARE every CURSOR WITH HOLD FOR TABLE scratch", "read every row of public.scratch"),
    ("COPY (SELECT word FROM scratch LIMIT 3) TO STDOUT", "row limit does not count"),
];

#[tokio::test]
async fn agents_read_and_change_nothing() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let before = state_of(&database).await;
    for extended in [false, true] {
        for statement in READS {
            let seen = run(&mut portcullis.session(BOT).await, statement, extended).await;
            let other = run(&mut portcullis.session(DEVELOPER).await, statement, extended).await;
            assert_eq!(first_column(&seen), first_column(&other), "{statement}");
            assert_eq!(sequence(&seen), sequence(&other), "{statement}");
            assert_eq!(error_of(&seen).and_then(|error| error.field(b'M')), None, "{statement}");
        }
        for (statement, part) in REFUSED {
            let mut session = portcullis.session(BOT).await;
            let answer = run(&mut session, statement, extended).await;
            let told = |field: u8| error_of(&answer).and_then(|error| error.field(field));
            let reason = told(b'M').unwrap_or_default();
            assert_eq!(sqlstate_of(&answer).as_deref(), Some("42501"), "{statement}: {reason}");
            assert!(reason.contains(part), "{statement}: {reason}");
            let hint = told(b'H').unwrap_or_default();
            assert!(hint.contains(" agents."), "{statement}: {hint}");
            assert_eq!(first_column(&session.query("SELECT 'on'").await), ["on"], "{statement}");
        }
    }
    assert_eq!(state_of(&database).await, before);
    // Who is no agent may do all of that but forget the WHERE.
    for (statement, part) in REFUSED {
        let mut session = portcullis.session(DEVELOPER).await;
        session.query("BEGIN").await;
        let answer = session.query(statement).await;
        let refused = sqlstate_of(&answer).as_deref() == Some("42501");
        assert_eq!(refused, part == "effective WHERE", "{statement}: {}", sequence(&answer));
        session.query("ROLLBACK").await;
    }
}

/// What is temporary is the agent's own.
#[tokio::test]
async fn agents_may_keep_notes_of_their_own() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let mut session = portcullis.session(BOT).await;
    for statement in [
        "CREATE TEMP TABLE notes (id integer, word text)",
        "INSERT INTO pg_temp.notes SELECT id, word FROM scratch WHERE id < 5",
        "UPDATE pg_temp.notes SET word = 'mine' WHERE id = 3",
        "DROP TABLE pg_temp.notes",
    ] {
        let answer = session.query(statement).await;
        let complaint = error_of(&answer).and_then(|error| error.field(b'M'));
        assert_eq!(complaint, None, "{statement}");
    }
}

#[tokio::test]
async fn agents_read_as_many_rows_as_their_limit_and_no_more() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let rows = |rows: u32| format!("SELECT n FROM generate_series(1, {rows}) AS n");
    for extended in [false, true] {
        let mut session = portcullis.session(BOT).await;
        let just = run(&mut session, &rows(1000), extended).await;
        assert_eq!((first_column(&just).len(), sqlstate_of(&just)), (1000, None));
        for more in [1001, 500_000] {
            let over = run(&mut session, &rows(more), extended).await;
            assert_eq!(first_column(&over).len(), 1000, "{more}: {}", sequence(&over));
            assert_eq!(sqlstate_of(&over).as_deref(), Some("54000"), "{}", sequence(&over));
        }
        assert_eq!(first_column(&session.query("SELECT 'on'").await), ["on"]);
        let mut developer = portcullis.session(DEVELOPER).await;
        let all = run(&mut developer, &rows(1001), extended).await;
        assert_eq!((first_column(&all).len(), sqlstate_of(&all)), (1001, None));
    }
    let mut session = portcullis.session(BOT).await;
    session.query("BEGIN").await;
    session.query(&format!("DECLARE every CURSOR FOR {}", rows(2000))).await;
    let over = session.query("FETCH ALL FROM every").await;
    assert_eq!(sqlstate_of(&over).as_deref(), Some("54000"), "{}", sequence(&over));
}

/// A result that comes in pages is one result, however the pages are asked for.
#[tokio::test]
async fn pages_of_a_result_count_together() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let rows = |rows: u32| format!("SELECT n FROM generate_series(1, {rows}) AS n");
    type Way = (&'static str, fn(&str) -> Batch, fn() -> Batch);
    let declare = |text: &str| Batch::new().query(&format!("DECLARE every CURSOR FOR {text}"));
    let ways: [Way; 4] = [
        (
            "a portal",
            |text| Batch::new().parse("", text).bind("every", "", &[], false).sync(),
            || Batch::new().describe(b'P', "every").execute("every", 400).sync(),
        ),
        ("a cursor", declare, || Batch::new().query("FETCH 400 FROM every")),
        ("a cursor, extended", declare, || Batch::new().extended("FETCH 400 FROM every", false)),
        (
            "a portal as a cursor",
            |text| Batch::new().parse("", text).bind("every", "", &[], false).sync(),
            || Batch::new().query("FETCH 400 FROM every"),
        ),
    ];
    for (what, open, page) in ways {
        // Just as many as are allowed, and more.
        for (count, seen) in [(1000, vec![400, 400, 200]), (2000, vec![400, 400, 200])] {
            let mut session = portcullis.session(BOT).await;
            session.query("BEGIN").await;
            session.exchange(open(&rows(count))).await;
            let mut pages = Vec::new();
            for _ in 0..3 {
                let answer = session.exchange(page()).await;
                pages.push(first_column(&answer).len());
                let over = count == 2000 && pages.len() == 3;
                let state = sqlstate_of(&answer);
                assert_eq!(state.as_deref(), over.then_some("54000"), "{what}, {count}: {pages:?}");
            }
            assert_eq!(pages, seen, "{what}, {count}");
            session.query("ROLLBACK").await;
            assert_eq!(first_column(&session.query("SELECT 'on'").await), ["on"], "{what}");
        }
        // Another result has a count of its own.
        let mut session = portcullis.session(BOT).await;
        session.query("BEGIN").await;
        for _ in 0..2 {
            session.exchange(open(&rows(400))).await;
            let answer = session.exchange(page()).await;
            assert_eq!(first_column(&answer).len(), 400, "{what}: {}", sequence(&answer));
            session.query("CLOSE every").await;
        }
    }
}

/// What is sent behind a result over its limit is neither stopped in its place nor run.
#[tokio::test]
async fn a_limit_stops_nothing_else() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let over = "SELECT n FROM generate_series(1, 1001) AS n";
    for _ in 0..20 {
        let mut session = portcullis.session(BOT).await;
        let batch = Batch::new().query(over).run(over).run("SELECT 'unseen'").sync();
        session.send(batch.query("SELECT 'on'").bytes()).await;
        for what in ["simple", "extended"] {
            let answer = session.until_ready().await;
            assert_eq!(sqlstate_of(&answer).as_deref(), Some("54000"), "{what}");
            assert_eq!(first_column(&answer).len(), 1000, "{what}: {}", sequence(&answer));
        }
        let answer = session.until_ready().await;
        assert_eq!(first_column(&answer), ["on"], "{}", sequence(&answer));
    }
}

/// All of it is settings.
#[tokio::test]
async fn what_agents_may_do_is_a_setting() {
    let database = cluster().await.database().await;
    let settings = "[settings.agents]\nwrites = \"allow\"\nunbounded_reads = \"allow\"\n\
                    limit_rows = 5\n[[settings.exception]]\nsubjects = [\"bot\"]\n\
                    databases = [\"elsewhere\"]\nlimit_rows = \"none\"";
    let portcullis = Setup::new(&database)
        .unmatched("allow")
        .policy("10-guard.toml", "sql_guard.wasm", settings)
        .start()
        .await;
    let mut session = portcullis.session(BOT).await;
    let written = session.query("UPDATE scratch SET word = 'x' WHERE id = 3").await;
    assert_eq!(sequence(&written), "C:UPDATE 1 Z:I");
    let batch = Batch::new().extended("SELECT word FROM scratch", false);
    let read = session.exchange(batch).await;
    assert_eq!((first_column(&read).len(), sqlstate_of(&read).as_deref()), (5, Some("54000")));
    let made = session.query("CREATE TABLE made (a integer)").await;
    assert_eq!(sqlstate_of(&made).as_deref(), Some("42501"), "the rest stays careful");
}
