//! In a transaction: it stays open while something waits, with its locks, for a limited time.

use end_to_end::frames::{Batch, sequence};
use end_to_end::portcullis::DEVELOPER;
use end_to_end::{Database, cluster};
use serde_json::{Value, json};

use super::{
    HOLD, LEA, RAN_ONCE, RISKY, UNTOUCHED, approval, ask, complaint, decide, ended, goes_on, grant,
    held, holding, total,
};

const EARLIER: &str = "UPDATE scratch SET word = 'mine' WHERE id = 1";
const TAKEN: &str = "SELECT id FROM scratch WHERE id = 1 FOR UPDATE NOWAIT";

/// True while somebody else has the row that [`EARLIER`] changes.
async fn is_locked(database: &Database) -> bool {
    let client = database.superuser().await;
    client.query(TAKEN, &[]).await.is_err()
}

#[tokio::test]
async fn a_transaction_stays_open_while_something_waits() {
    let portcullis = held().await;
    let database = portcullis.database().clone();
    for (decision, answer, end) in
        [("grant", "C:UPDATE 20 Z:T", "COMMIT"), ("refuse", "E:42501 Z:E", "ROLLBACK")]
    {
        let mut session = portcullis.session(DEVELOPER).await;
        assert_eq!(sequence(&session.query("BEGIN").await), "C:BEGIN Z:T");
        assert_eq!(sequence(&session.query(EARLIER).await), "C:UPDATE 1 Z:T");
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        assert!(is_locked(&database).await, "{decision}");
        let (status, _) = decide(&portcullis, LEA, &told.id, decision, json!({})).await;
        assert_eq!(status, 200);
        assert_eq!(sequence(&session.until_ready().await), answer, "{decision}");
        let granted = decision == "grant";
        assert_eq!(is_locked(&database).await, granted, "{decision}: an error lets go of locks");
        // COMMIT of a failed transaction is its ROLLBACK.
        let ended = session.query("COMMIT").await;
        assert_eq!(sequence(&ended), format!("C:{end} Z:I"), "{decision}");
        assert!(!is_locked(&database).await, "{decision}");
        assert_eq!(total(&database).await, RAN_ONCE, "{decision}");
    }
}

/// Approvers are told what ran before in the transaction, without its values, and how much
/// the statement would touch.
#[tokio::test]
async fn approvers_are_shown_what_the_transaction_did() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.query("SELECT 'before the transaction'").await;
    session.query("BEGIN").await;
    session.query(EARLIER).await;
    let secret = "SELECT word FROM scratch WHERE word = 'a secret'";
    session.extended(secret, false).await;
    let told = ask(&mut session, Batch::new().query("DELETE FROM scratch")).await;
    let view = approval(&portcullis, &told.id).await;
    let earlier = json!([
        "BEGIN",
        "UPDATE scratch SET word = $1 WHERE id = $2",
        "SELECT word FROM scratch WHERE word = $1",
    ]);
    assert_eq!(view["earlier"], earlier, "{view:#}");
    assert_eq!(view["in_transaction"], true);
    assert_eq!(view["text"], "DELETE FROM scratch");
    assert_eq!(view["command"], "DELETE");
    assert_eq!((&view["subject"], &view["proof"]), (&json!("app"), &json!("scram")));
    assert!(view["rows_estimated"].as_u64().is_some_and(|rows| rows >= 20), "{view:#}");
    let relation = &view["relations"][0];
    assert_eq!(
        (&relation["name"], &relation["access"]),
        (&json!("public.scratch"), &json!("write"))
    );
    let output = portcullis.cli_as(LEA, &["approval", "show", &told.id]).await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "DELETE FROM scratch",
        "UPDATE scratch SET word = $1 WHERE id = $2",
        "open: its locks are held while this waits",
        "by the plan",
        "write public.scratch",
        &format!("portcullis approval grant {}", told.id),
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!view.to_string().contains("a secret") && !shown.contains("a secret"), "{shown}");
    // A list tells less: who saw the statement is a record.
    let (_, list) = portcullis.api("GET", "/v1/approvals", None).await;
    assert!(!list.to_string().contains("DELETE FROM"), "{list:#}");
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:DELETE 20 Z:T");
    // What another transaction ran is not shown with the next.
    session.query("ROLLBACK").await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let view = approval(&portcullis, &told.id).await;
    assert_eq!((&view["earlier"], &view["in_transaction"]), (&json!([]), &json!(false)));
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
}

/// Others wait for its locks, so that it waits for a shorter time, and then fails as any
/// statement does.
#[tokio::test]
async fn a_transaction_waits_for_a_shorter_time() {
    let database = cluster().await.database().await;
    let limit = "[approvals]\nin_transaction_seconds_max = 6";
    let portcullis = holding(&database, HOLD).section(limit).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.query("BEGIN").await;
    session.query(EARLIER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    assert!(told.detail.contains("within 6 seconds"), "{told:?}");
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "E:57014 Z:E");
    let (_, message, _) = complaint(&answer).expect("an error");
    assert_eq!(message, "nobody released the statement in time");
    ended(&portcullis, &told.id, "expired").await;
    assert_eq!(sequence(&session.query("SELECT 1").await), "E:25P02 Z:E");
    assert_eq!(sequence(&session.query("ROLLBACK").await), "C:ROLLBACK Z:I");
    assert!(!is_locked(&database).await);
    // In time it runs; and outside a transaction there is more of it.
    session.query("BEGIN").await;
    session.query(EARLIER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:T");
    session.query("COMMIT").await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    assert!(told.detail.contains("within 3600 seconds"), "{told:?}");
    let none: Value = json!({});
    decide(&portcullis, LEA, &told.id, "refuse", none).await;
    assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I");
    assert_eq!(total(&database).await, RAN_ONCE);
    goes_on(&mut session).await;
}

/// A savepoint holds against a refusal as against any error.
#[tokio::test]
async fn a_savepoint_survives_a_refusal() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.query("BEGIN").await;
    session.query(EARLIER).await;
    session.query("SAVEPOINT here").await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
    assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:E");
    assert_eq!(sequence(&session.query("ROLLBACK TO here").await), "C:ROLLBACK Z:T");
    assert_eq!(sequence(&session.query("COMMIT").await), "C:COMMIT Z:I");
    let client = portcullis.database().superuser().await;
    let word = client.query_one("SELECT word FROM scratch WHERE id = 1", &[]).await;
    let word: String = word.expect("it is there").get(0);
    assert_eq!(word, "mine");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
}
