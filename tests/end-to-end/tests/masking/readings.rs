//! Texts that the server has read under other settings than those of now.

use end_to_end::frames::{Batch, first_column, sequence, sqlstate_of};

use super::meanings::Bench;

/// With backslashes as escapes it reads what is hidden, and without them it is a constant.
const TWOFOLD: &str = r"SELECT '\'' || reverse(email) FROM customers --'";
const OFF: &str = "SET standard_conforming_strings = off";
const ON: &str = "SET standard_conforming_strings = on";

/// The server goes on with what it took a text for when it was prepared.
#[tokio::test]
async fn what_was_read_otherwise_is_not_run() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    let run = |name: &str| Batch::new().bind("", name, &[], false).execute("", 0).sync();
    for (first, then) in [(OFF, ON), (ON, OFF)] {
        session.query(first).await;
        let prepared = session.exchange(Batch::new().parse("s", TWOFOLD).sync()).await;
        assert_eq!(sequence(&prepared), "1 Z:I", "{first}");
        session.query(then).await;
        let answer = session.exchange(run("s")).await;
        bench.unharmed(first, &session, &answer).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("55000"), "{}", sequence(&answer));
        // Under the settings of then it is what it was, and prepared again it is something else.
        session.query(first).await;
        let answer = session.exchange(run("s")).await;
        assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
        bench.unharmed(first, &session, &answer).await;
        session.query(then).await;
        session.exchange(Batch::new().close(b'S', "s").sync()).await;
        let again = session.exchange(Batch::new().parse("s", TWOFOLD).sync()).await;
        assert_eq!(sequence(&again), "1 Z:I");
        let answer = session.exchange(run("s")).await;
        assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
        bench.unharmed(first, &session, &answer).await;
        session.exchange(Batch::new().close(b'S', "s").sync()).await;
    }
    // What holds no backslash is read the same.
    session.exchange(Batch::new().parse("plain", "SELECT 'plain'::text").sync()).await;
    session.query(ON).await;
    assert_eq!(first_column(&session.exchange(run("plain")).await), ["plain"]);
}

/// How it reads strings the server reports whenever it is ready, also where names may lead
/// elsewhere and nobody could ask it.
#[tokio::test]
async fn what_was_prepared_behind_a_set_goes_on() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    let run = |name: &str| Batch::new().bind("", name, &[], false).execute("", 0).sync();
    session.query("BEGIN").await;
    session.query("SET search_path = public").await;
    let prepared = session.exchange(Batch::new().parse("s", r"SELECT '\d'::text").sync()).await;
    assert_eq!(sequence(&prepared), "1 Z:T");
    assert_eq!(first_column(&session.exchange(run("s")).await), [r"\d"]);
    session.query("CREATE TABLE made_meanwhile ()").await;
    session.query("COMMIT").await;
    assert_eq!(first_column(&session.exchange(run("s")).await), [r"\d"]);
}

/// What ends a transaction takes a setting back, an error too, and that is told only behind it.
#[tokio::test]
async fn a_setting_that_may_be_taken_back_is_not_counted_on() {
    let bench = Bench::new().await;
    for local in [OFF, ON].map(|set| set.replace("SET", "SET LOCAL")) {
        for batch in [
            Batch::new().run("ROLLBACK").run(TWOFOLD).sync(),
            Batch::new().query("SELECT 1/0").query(&format!("ROLLBACK; {TWOFOLD}")),
        ] {
            let mut session = bench.session().await;
            session.query(if local.ends_with("off") { ON } else { OFF }).await;
            session.query("BEGIN").await;
            session.query(&local).await;
            session.send(batch.bytes()).await;
            // Another Sync, for what has two answers and for what has one.
            session.send(Batch::new().sync().bytes()).await;
            let mut answer = session.until_ready().await;
            answer.extend(session.until_ready().await);
            bench.unharmed(&local, &session, &answer).await;
        }
    }
}

/// EXECUTE sets what it names sets, before the server tells.
#[tokio::test]
async fn a_setting_made_by_name_is_not_counted_on() {
    // The guard would refuse it already.
    let bench = Bench::masking_alone().await;
    for (first, then) in [(ON, "off"), (OFF, "on")] {
        let mut session = bench.session().await;
        session.query(first).await;
        let set = format!("SELECT set_config('standard_conforming_strings', '{then}', false)");
        session.query(&format!("PREPARE p AS {set}")).await;
        let batch = Batch::new().run("EXECUTE p").run(TWOFOLD).sync();
        let answer = session.exchange(batch).await;
        bench.unharmed(first, &session, &answer).await;
    }
}

/// An encoding that was set in a transaction is another behind its end, and a name with it.
#[tokio::test]
async fn an_encoding_that_may_be_taken_back_is_not_counted_on() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    for end in ["ROLLBACK", "COMMIT"] {
        session.query("BEGIN").await;
        session.query("SET LOCAL client_encoding = 'LATIN1'").await;
        let batch = Batch::new().run(end).run("SELECT 'é'::text").sync();
        let answer = session.exchange(batch).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("22021"), "{}", sequence(&answer));
        // Behind its Sync it waits for what the server tells.
        session.query("BEGIN").await;
        session.query("SET LOCAL client_encoding = 'LATIN1'").await;
        session.send(Batch::new().run(end).sync().run("SELECT 'é'::text").sync().bytes()).await;
        session.until_ready().await;
        assert_eq!(first_column(&session.until_ready().await), ["é"]);
    }
}

/// In a transaction the server's word counts as soon as nothing runs that could take it back.
#[tokio::test]
async fn a_setting_made_in_a_transaction_is_counted_on() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    session.query("BEGIN").await;
    session.query("SET LOCAL standard_conforming_strings = off").await;
    session.send(Batch::new().query("SELECT 1").query(r"SELECT 'it\'s é'::text").bytes()).await;
    session.until_ready().await;
    assert_eq!(first_column(&session.until_ready().await), ["it's é"]);
    let batch = Batch::new().run("SET LOCAL search_path = public").run("SELECT 'é'::text").sync();
    assert_eq!(sqlstate_of(&session.exchange(batch).await).as_deref(), Some("22021"));
    session.query("ROLLBACK").await;
    // A path alone says nothing of encodings.
    session.query("BEGIN").await;
    let batch = Batch::new().run("SET LOCAL search_path = public").run("SELECT 'é'::text").sync();
    let answer = session.exchange(batch).await;
    assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
}
