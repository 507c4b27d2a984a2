//! In a pipeline: what came before a held message is answered, what comes behind it waits.

use std::time::Duration;

use end_to_end::cluster;
use end_to_end::frames::{Batch, Session, sequence};
use end_to_end::portcullis::DEVELOPER;
use serde_json::{Value, json};

use super::{
    HOLD, LEA, RISKY, UNTOUCHED, approval, ask, complaint, decide, ended, goes_on, grant, held,
    holding, pending, total, until_held,
};

const LESS: &str = "UPDATE scratch SET amount = amount - 1";
/// Nothing comes within this, where nothing ought to come.
const SILENCE: Duration = Duration::from_millis(300);

/// Reads what is answered before the held message, up to the end of the Parse that is part
/// of it; then nothing more comes.
async fn answered_before(session: &mut Session, parses: usize) -> String {
    let mut seen = Vec::new();
    while seen.iter().filter(|tag| **tag == b'1').count() < parses {
        seen.push(session.message().await.expect("an answer").tag);
    }
    assert_eq!(session.message_within(SILENCE).await, None, "the rest waits");
    let rows = seen.iter().map(|tag| char::from(*tag));
    rows.filter(|tag| *tag != 'N').collect()
}

#[tokio::test]
async fn a_pipeline_stops_at_what_is_held_and_goes_on_in_order() {
    let portcullis = held().await;
    let batch = || {
        Batch::new()
            .run("SELECT 1")
            .run(RISKY)
            .run("SELECT amount FROM scratch WHERE id = 2")
            .sync()
    };
    for decision in ["grant", "refuse"] {
        let before = total(portcullis.database()).await;
        let mut session = portcullis.session(DEVELOPER).await;
        let told = ask(&mut session, batch()).await;
        assert_eq!(answered_before(&mut session, 2).await, "12DC1", "{decision}");
        let (status, _) = decide(&portcullis, LEA, &told.id, decision, json!({})).await;
        assert_eq!(status, 200);
        let rest = sequence(&session.until_ready().await);
        let granted = decision == "grant";
        let expected = if granted { "2 C:UPDATE 20 1 2 D*1 C:SELECT 1 Z:I" } else { "E:42501 Z:I" };
        assert_eq!(rest, expected, "{decision}");
        let grown = total(portcullis.database()).await - before;
        assert_eq!(grown, if granted { 20 } else { 0 }, "{decision}");
        goes_on(&mut session).await;
    }
}

/// Each is asked for by itself; where one is refused, the transaction that the pipeline is
/// is undone.
#[tokio::test]
async fn two_held_in_a_pipeline_are_two() {
    let portcullis = held().await;
    for second in ["grant", "refuse"] {
        let before = total(portcullis.database()).await;
        let mut session = portcullis.session(DEVELOPER).await;
        let told =
            ask(&mut session, Batch::new().run(RISKY).run(RISKY).run("SELECT 1").sync()).await;
        grant(&portcullis, &told.id).await;
        let (answered, next) = until_held(&mut session).await;
        assert_ne!(next.id, told.id);
        assert_eq!(pending(&portcullis).await.len(), 1, "one at a time");
        let view = approval(&portcullis, &next.id).await;
        assert_eq!(
            (&view["in_transaction"], &view["earlier"]),
            (&json!(true), &json!([RISKY_SHAPE]))
        );
        decide(&portcullis, LEA, &next.id, second, json!({})).await;
        let rest = [answered, session.until_ready().await].concat();
        let granted = second == "grant";
        let expected = match granted {
            true => "1 2 C:UPDATE 20 1 2 C:UPDATE 20 1 2 D*1 C:SELECT 1 Z:I",
            false => "1 2 C:UPDATE 20 1 E:42501 Z:I",
        };
        assert_eq!(sequence(&rest), expected);
        let grown = total(portcullis.database()).await - before;
        assert_eq!(grown, if granted { 40 } else { 0 }, "{second}");
    }
}

/// Nobody needs to decide on what will not run.
#[tokio::test]
async fn an_error_before_it_withdraws_what_waits() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    // Fails after a second: what is behind it waits by then.
    let failing = "SELECT 1 / length(pg_sleep(1)::text)";
    let told = ask(&mut session, Batch::new().run(failing).run(RISKY).run("SELECT 1").sync()).await;
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "1 2 E:22012 Z:I");
    let view = ended(&portcullis, &told.id, "withdrawn").await;
    assert_eq!(view["ended_because"], "an earlier statement of its pipeline failed");
    let (status, _) = decide(&portcullis, LEA, &told.id, "grant", json!({})).await;
    assert_eq!(status, 409);
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    goes_on(&mut session).await;
    // Behind a Sync, an error of the segment before withdraws nothing.
    let told = ask(&mut session, Batch::new().run(failing).sync().run(RISKY).sync()).await;
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "1 2 E:22012 Z:I");
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "1 2 C:UPDATE 20 Z:I");
}

/// What is behind a Sync is no part of what is refused before it.
#[tokio::test]
async fn a_refusal_ends_at_the_next_sync() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let batch = Batch::new().run(RISKY).run("SELECT 1").sync().run("SELECT 2").sync();
    let told = ask(&mut session, batch).await;
    decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
    assert_eq!(sequence(&session.until_ready().await), "1 E:42501 Z:I");
    assert_eq!(sequence(&session.until_ready().await), "1 2 D*1 C:SELECT 1 Z:I");
    // A Query behind a Query waits as well.
    let told = ask(&mut session, Batch::new().query(RISKY).query("SELECT 3")).await;
    assert_eq!(session.message_within(SILENCE).await, None);
    decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
    assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I");
    assert_eq!(sequence(&session.until_ready().await), "T D*1 C:SELECT 1 Z:I");
}

/// While one text under a name waits, the client has long sent another under the same.
#[tokio::test]
async fn a_name_means_what_it_meant_when_it_was_bound() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let batch = Batch::new().parse("s", RISKY).bind("", "s", &[], false).execute("", 0);
    let batch = batch.close(b'S', "s").parse("s", LESS).bind("", "s", &[], false).execute("", 0);
    let told = ask(&mut session, batch.sync()).await;
    assert_eq!(approval(&portcullis, &told.id).await["text"], RISKY_SHAPE);
    grant(&portcullis, &told.id).await;
    let (answered, next) = until_held(&mut session).await;
    assert_eq!(approval(&portcullis, &next.id).await["text"], LESS_SHAPE);
    // Nothing is committed before the Sync.
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    decide(&portcullis, LEA, &next.id, "refuse", json!({})).await;
    let rest = [answered, session.until_ready().await].concat();
    assert_eq!(sequence(&rest), "1 2 C:UPDATE 20 3 1 E:42501 Z:I");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
}

const RISKY_SHAPE: &str = "UPDATE scratch SET amount = amount + $1";
const LESS_SHAPE: &str = "UPDATE scratch SET amount = amount - $1";

/// A cancel withdraws what waits, and the rest of the pipeline up to its Sync falls with it.
#[tokio::test]
async fn a_cancelled_pipeline_answers_like_a_failed_one() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let batch = Batch::new().run("SELECT 1").run(RISKY).run("SELECT 2").sync();
    let told = ask(&mut session, batch).await;
    let request = end_to_end::frames::cancel_request(&session.cancel_key);
    Session::connect(portcullis.address()).await.send(&request).await;
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "1 2 D*1 C:SELECT 1 1 E:57014 Z:I");
    let (_, message, _) = complaint(&answer).expect("an error");
    assert_eq!(message, "canceling statement due to user request");
    ended(&portcullis, &told.id, "withdrawn").await;
    goes_on(&mut session).await;
}

/// Locks of a pipeline are those of a transaction: it waits no longer than one may.
#[tokio::test]
async fn a_pipeline_with_locks_waits_as_a_transaction_does() {
    let database = cluster().await.database().await;
    let limit = "[approvals]\nin_transaction_seconds_max = 2";
    let portcullis = holding(&database, HOLD).section(limit).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let lasts = |view: &Value| {
        let at = |name: &str| view[name].as_str().unwrap_or_default().to_owned();
        (at("asked_at"), at("expires_at"))
    };
    let one = "UPDATE scratch SET word = 'locked' WHERE id = 1";
    let told = ask(&mut session, Batch::new().run(one).run(RISKY).sync()).await;
    let view = approval(&portcullis, &told.id).await;
    assert_eq!(view["in_transaction"], true, "{view:#} {:?}", lasts(&view));
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "1 2 C:UPDATE 1 1 E:57014 Z:I");
    // Nothing is locked by what waits first.
    let told = ask(&mut session, Batch::new().run(RISKY).run(one).sync()).await;
    let view = approval(&portcullis, &told.id).await;
    assert_eq!(view["in_transaction"], false, "{view:#}");
    assert!(told.detail.contains("within 3600 seconds"), "{told:?}");
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "1 2 C:UPDATE 20 1 2 C:UPDATE 1 Z:I");
}
