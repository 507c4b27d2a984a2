//! Portals whose names and tables are others by the time they run.

use end_to_end::frames::{Batch, first_column, sequence, sqlstate_of};

use super::bench::{Bench, run_all};

/// The server has read the rows that the name stood for, and describes those it stands for now.
#[tokio::test]
async fn a_portal_goes_on_with_what_its_name_stood_for() {
    let bench = Bench::masking_alone().await;
    let hidden = "SELECT email FROM customers";
    let shown = "SELECT word FROM scratch WHERE id < 9";
    for (define, run, undo) in [
        ("DECLARE c CURSOR FOR", "FETCH ALL FROM c", "CLOSE c"),
        ("PREPARE c AS", "EXECUTE c", "DEALLOCATE c"),
    ] {
        let mut session = bench.session().await;
        session.query("BEGIN").await;
        session.query(&format!("{define} {hidden}")).await;
        let first = Batch::new().parse("f", run).bind("p", "f", &[], false).execute("p", 1).sync();
        let first = session.exchange(first).await;
        assert!(sequence(&first).contains("D*1 s"), "{}", sequence(&first));
        session.query(undo).await;
        session.query(&format!("{define} {shown}")).await;
        let rest = session.exchange(Batch::new().execute("p", 0).sync()).await;
        bench.unharmed(run, &session, &rest).await;
        assert_eq!(sqlstate_of(&rest).as_deref(), Some("55000"), "{}", sequence(&rest));
        // What it names is as it was: it goes on.
        session.query("ROLLBACK").await;
        session.query("BEGIN").await;
        session.query(undo).await;
        session.query("ROLLBACK").await;
        session.query("BEGIN").await;
        session.query(&format!("{define} {shown}")).await;
        let again = Batch::new().bind("p", "f", &[], false).execute("p", 1).execute("p", 0).sync();
        let again = session.exchange(again).await;
        assert_eq!(sqlstate_of(&again), None, "{}", sequence(&again));
        assert!(first_column(&again).len() > 1);
    }
}

/// Two tables of one name in two schemas, one with what is hidden, and one text for both.
async fn doubled() -> (Bench, &'static str) {
    let bench = Bench::masking_alone().await;
    let made = [
        "CREATE SCHEMA b",
        // In a form that no inspection of content knows.
        "CREATE TABLE rates AS SELECT id, encode(email::bytea, 'hex') AS iban FROM customers",
        "CREATE TABLE b.rates AS SELECT 1 AS id, 'x'::text AS word",
    ];
    bench.make(&made).await;
    (bench, "SELECT x FROM rates AS t(a, x) ORDER BY a")
}

/// What is described under one path is not what is planned under the one taken back to.
#[tokio::test]
async fn a_description_is_of_the_path_that_it_was_planned_under() {
    let (bench, text) = doubled().await;
    let mut session = bench.session().await;
    for step in ["BEGIN", "SAVEPOINT a", "SET LOCAL search_path = b, public"] {
        session.query(step).await;
    }
    session.exchange(Batch::new().parse("s", text).describe(b'S', "s").sync()).await;
    let back = Batch::new().run("ROLLBACK TO a").bind("p", "s", &[], false).execute("p", 0).sync();
    let answer = session.exchange(back).await;
    assert_eq!(first_column(&answer).len(), 205, "{}", sequence(&answer));
    bench.unharmed("taken back", &session, &answer).await;
    // The same of two portals.
    let mut session = bench.session().await;
    session.query("BEGIN").await;
    session.query("SET LOCAL search_path = public").await;
    session.exchange(Batch::new().parse("s", text).bind("p1", "s", &[], false).sync()).await;
    session.query("SET LOCAL search_path = b").await;
    let second = Batch::new().bind("p2", "s", &[], false).describe(b'P', "p2").sync();
    session.exchange(second).await;
    let answer = session.exchange(Batch::new().execute("p1", 0).sync()).await;
    assert_eq!(first_column(&answer).len(), 205, "{}", sequence(&answer));
    bench.unharmed("two portals", &session, &answer).await;
}

/// A cursor that outlives its transaction shows what its names meant there, which nobody else saw.
#[tokio::test]
async fn a_cursor_is_of_what_its_names_meant() {
    let bench = Bench::masking_alone().await;
    let harmless = "CREATE OR REPLACE VIEW swapped AS SELECT id, word AS x FROM scratch";
    let hidden = "CREATE OR REPLACE VIEW swapped AS SELECT id, email AS x FROM customers";
    let declare = "DECLARE c CURSOR WITH HOLD FOR \
                   SELECT encode(convert_to(x, 'UTF8'), 'hex') FROM swapped";
    bench.make(&[harmless]).await;
    let together = format!("{hidden}; {declare}");
    for steps in [&["BEGIN", hidden, declare, "COMMIT", harmless][..], &[&together, harmless]] {
        let mut session = bench.session().await;
        run_all(&mut session, steps).await;
        let answer = session.query("FETCH 3 FROM c").await;
        assert!(sequence(&answer).contains("D*3"), "{}", sequence(&answer));
        bench.unharmed("FETCH", &session, &answer).await;
    }
    // One of what everybody sees goes on as it is.
    let mut session = bench.session().await;
    session
        .query("DECLARE d CURSOR WITH HOLD FOR SELECT upper(word) FROM scratch ORDER BY id")
        .await;
    assert_eq!(first_column(&session.query("FETCH 2 FROM d").await), ["WORD 1", "WORD 2"]);
}

/// What an EXECUTE is given comes out as a parameter, which has no source.
#[tokio::test]
async fn what_a_statement_is_given_is_from_somewhere() {
    let bench = Bench::masking_alone().await;
    bench
        .make(&["SELECT lo_from_bytea(77777, (SELECT email::bytea FROM customers LIMIT 1))"])
        .await;
    let mut session = bench.session().await;
    let prepared = [
        "PREPARE p (bytea) AS SELECT encode($1, 'hex')",
        "PREPARE q (bytea) AS UPDATE scratch SET word = encode($1, 'hex')",
        "EXECUTE q ('ab')",
    ];
    run_all(&mut session, &prepared).await;
    for step in [
        "EXECUTE p (lo_get(77777))",
        "EXPLAIN ANALYZE EXECUTE p (lo_get(77777))",
        "EXECUTE q (lo_get(77777))",
        "TABLE scratch",
    ] {
        let answer = session.query(step).await;
        bench.unharmed(step, &session, &answer).await;
    }
    let answer = session.query("EXECUTE p ('a'::bytea || 'b')").await;
    assert_eq!(first_column(&answer), ["6162"], "{}", sequence(&answer));
}
