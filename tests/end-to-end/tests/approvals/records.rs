//! What the ledger has of it: every step, by whom, with what proof.

use end_to_end::frames::{Batch, cancel_request, sequence};
use end_to_end::portcullis::DEVELOPER;
use end_to_end::waiting::SOON;
use end_to_end::{Ledger, Portcullis, Session, cluster, wait_until};
use serde_json::{Value, json};

use super::{HOLD_OR_LEASE, LEA, LEO, REASON, RISKY, ask, decide, ended, held, holding};

/// The steps of one approval, in order.
fn steps(ledger: &Ledger, id: &str) -> Vec<Value> {
    let mut steps = ledger.of_kind("approval");
    steps.retain(|step| step["approval"] == id || step["lease"] == id);
    steps
}

fn names(steps: &[Value]) -> Vec<&str> {
    steps.iter().filter_map(|step| step["step"].as_str()).collect()
}

/// The outcome of an intent, which may be a moment behind.
async fn outcome(ledger: &Ledger, intent: &Value) -> Value {
    wait_until("the outcome is recorded", SOON, async || ledger.outcome(intent)).await
}

/// The intents of an approval's session for its statement: held ones, and those that ran.
fn intents(ledger: &Ledger, asked: &Value) -> Vec<Value> {
    let mut own = ledger.intents("scratch");
    own.retain(|intent| intent["session"] == asked["session"]);
    own
}

#[tokio::test]
async fn every_step_of_a_grant_is_on_record() {
    for extended in [false, true] {
        let portcullis = held().await;
        let ledger = portcullis.ledger();
        let mut session = portcullis.session(DEVELOPER).await;
        let batch =
            if extended { Batch::new().run(RISKY).sync() } else { Batch::new().query(RISKY) };
        let told = ask(&mut session, batch).await;
        let path = format!("/v1/approvals/{}", told.id);
        let (status, _) = portcullis.api_as(LEO, "GET", &path, None).await;
        assert_eq!(status, 200);
        let body = json!({ "comment": "as discussed" });
        assert_eq!(decide(&portcullis, LEA, &told.id, "grant", body).await.0, 200);
        assert!(sequence(&session.until_ready().await).ends_with("C:UPDATE 20 Z:I"));

        let steps = steps(&ledger, &told.id);
        assert_eq!(names(&steps), ["asked", "shown", "granted", "ended"], "{steps:#?}");
        let [asked, shown, granted, end] = steps.as_slice() else { panic!("four steps") };
        assert_eq!(asked["reason"], REASON);
        assert_eq!(
            (&asked["approvers"], &asked["approvals_needed"]),
            (&json!(["leads"]), &json!(1))
        );
        assert_eq!(
            (&shown["by"]["subject"], &shown["by"]["proof"]),
            (&json!("leo"), &json!("scram"))
        );
        assert_eq!(
            (&granted["by"]["subject"], &granted["by"]["proof"]),
            (&json!("lea"), &json!("scram"))
        );
        let from = granted["by"]["address"].as_str().unwrap_or_default();
        assert!(from.starts_with("127.0.0.1"), "{granted:#}");
        assert_eq!(granted["comment"], "as discussed");
        assert_eq!((&end["state"], &end["reason"]), (&json!("granted"), &json!("granted by lea")));

        let own = intents(&ledger, asked);
        let held = own.iter().find(|intent| intent["event"] == asked["event"]);
        let held = held.unwrap_or_else(|| panic!("the held intent: {own:#?}"));
        assert_eq!((&held["decision"], &held["reason"]), (&json!("held"), &json!(REASON)));
        assert_eq!(held["principal"]["subject"], DEVELOPER.name);
        assert_eq!(outcome(&ledger, held).await["ending"], "released");
        let permitted: Vec<&Value> =
            own.iter().filter(|intent| intent["decision"] == "permitted").collect();
        let [ran] = permitted.as_slice() else { panic!("it ran once: {own:#?}") };
        assert_eq!(ran["released_by"], format!("approval {}", told.id));
        assert_ne!(ran["event"], held["event"], "an event of its own");
        let result = outcome(&ledger, ran).await;
        assert_eq!((&result["ending"], &result["tag"]), (&json!("completed"), &json!("UPDATE 20")));
        // In the order in which it came to be.
        let all = ledger.records();
        let place = |record: &Value| all.iter().position(|other| other == record);
        let order = [place(held), place(asked), place(granted), place(end), place(ran)];
        same_stream_in_order(&all, &order);
    }
}

/// Sequence numbers grow within a stream; sessions and approvals may have different ones.
fn same_stream_in_order(all: &[Value], places: &[Option<usize>]) {
    let records: Vec<&Value> =
        places.iter().map(|place| &all[place.expect("it is there")]).collect();
    for pair in records.windows(2) {
        if pair[0]["stream"] == pair[1]["stream"] {
            assert!(pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64(), "{pair:#?}");
        }
        assert!(pair[0]["at"].as_str() <= pair[1]["at"].as_str(), "{pair:#?}");
    }
}

/// How it can end otherwise, and what the steps and the session's records say then.
async fn check_end(
    portcullis: &Portcullis,
    steps_expected: &[&str],
    state: &str,
    reason: &str,
    end: impl AsyncFnOnce(&mut Session, &str),
) {
    let ledger = portcullis.ledger();
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    end(&mut session, &told.id).await;
    drop(session);
    // What shows it is a step too.
    ended(portcullis, &told.id, state).await;
    let mut steps = steps(&ledger, &told.id);
    steps.retain(|step| step["step"] != "shown");
    assert_eq!(names(&steps), steps_expected, "{state}: {steps:#?}");
    let last = steps.last().expect("it ended");
    assert_eq!((&last["state"], &last["reason"]), (&json!(state), &json!(reason)), "{last:#}");
    let own = intents(&ledger, &steps[0]);
    let [held] = own.as_slice() else { panic!("it was held and never ran: {own:#?}") };
    assert_eq!(held["decision"], "held", "{state}");
    assert_eq!(outcome(&ledger, held).await["ending"], "refused", "{state}");
}

#[tokio::test]
async fn every_other_end_is_on_record() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD_OR_LEASE).start().await;
    check_end(
        &portcullis,
        &["asked", "refused", "ended"],
        "refused",
        "refused by leo: no",
        async |session, id| {
            let body = json!({ "comment": "no" });
            assert_eq!(decide(&portcullis, LEO, id, "refuse", body).await.0, 200);
            assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I");
        },
    )
    .await;
    check_end(
        &portcullis,
        &["asked", "ended"],
        "withdrawn",
        "cancelled by the client",
        async |session, _| {
            let request = cancel_request(&session.cancel_key);
            Session::connect(portcullis.address()).await.send(&request).await;
            assert_eq!(sequence(&session.until_ready().await), "E:57014 Z:I");
        },
    )
    .await;
    check_end(
        &portcullis,
        &["asked", "ended"],
        "withdrawn",
        "the client disconnected",
        async |_, _| {},
    )
    .await;
    let briefly = "[approvals]\nwait_seconds_max = 1";
    let portcullis = holding(&database, HOLD_OR_LEASE).section(briefly).start().await;
    check_end(&portcullis, &["asked", "ended"], "expired", "", async |session, _| {
        assert_eq!(sequence(&session.until_ready().await), "E:57014 Z:I");
    })
    .await;
}

/// A cancel of somebody else's making, with a wrong key, withdraws nothing.
#[tokio::test]
async fn a_cancel_with_a_wrong_key_withdraws_nothing() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let other = portcullis.session(LEA).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let mut wrong = session.cancel_key.clone();
    let last = wrong.last_mut().expect("a key has bytes");
    *last ^= 1;
    for key in [&wrong, &other.cancel_key] {
        Session::connect(portcullis.address()).await.send(&cancel_request(key)).await;
    }
    // Both have been heard before this is answered.
    assert_eq!(super::pending(&portcullis).await.len(), 1);
    super::grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

/// What runs under a lease says so, and who took the lease back is on record.
#[tokio::test]
async fn what_a_lease_lets_pass_is_on_record() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD_OR_LEASE).start().await;
    let ledger = portcullis.ledger();
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let body = json!({ "lease_seconds": 60 });
    assert_eq!(decide(&portcullis, LEA, &told.id, "grant", body).await.0, 200);
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    let mut other = portcullis.session(DEVELOPER).await;
    assert_eq!(sequence(&other.query(RISKY).await), "C:UPDATE 20 Z:I");
    let by = |name: String| {
        let mut own = ledger.intents("UPDATE scratch");
        own.retain(|intent| intent["released_by"] == name.as_str());
        own
    };
    assert_eq!(by(format!("approval {}", told.id)).len(), 1);
    let [leased] = <[Value; 1]>::try_from(by(format!("lease {}", told.id))).expect("one");
    assert_eq!(leased["decision"], "permitted", "{leased:#}");
    let path = format!("/v1/leases/{}", told.id);
    assert_eq!(portcullis.api("DELETE", &path, None).await.0, 200);
    let steps = steps(&ledger, &told.id);
    assert_eq!(names(&steps), ["asked", "granted", "ended", "lease-revoked"], "{steps:#?}");
    assert_eq!(steps[1]["lease_seconds"], 60);
    assert_eq!(steps[3]["by"]["subject"], "admin");
}

/// Those who tried and may not are on record as well.
#[tokio::test]
async fn refused_attempts_are_on_record() {
    let portcullis = held().await;
    let mut session = portcullis.session(LEA).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    assert_eq!(decide(&portcullis, LEA, &told.id, "grant", json!({})).await.0, 403);
    assert_eq!(decide(&portcullis, DEVELOPER, &told.id, "grant", json!({})).await.0, 403);
    let tried = portcullis.ledger().of_kind("administered");
    let tried: Vec<&Value> =
        tried.iter().filter(|record| record["target"].to_string().contains(&told.id)).collect();
    let by: Vec<&Value> = tried.iter().map(|record| &record["by"]["subject"]).collect();
    assert_eq!(by, ["lea", "app"], "{tried:#?}");
    assert!(tried.iter().all(|record| record["refused"].is_string()), "{tried:#?}");
    assert_eq!(decide(&portcullis, LEO, &told.id, "grant", json!({})).await.0, 200);
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}
