//! What changes while a statement waits: the rules, and the proxy itself.

use end_to_end::frames::{Batch, Session, sequence};
use end_to_end::portcullis::DEVELOPER;
use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, cluster, wait_until};
use serde_json::{Value, json};

use super::{
    HOLD_OR_LEASE, LEA, LEO, RISKY, SAM, UNTOUCHED, approval, ask, complaint, decide, ended,
    goes_on, grant, held, holding, pending, total, until_held,
};

const FILE: &str = "10-guard.toml";

fn file(rest: &str) -> String {
    format!("plugin = \"sql_guard.wasm\"\n{rest}\n")
}

/// Puts other rules in place of those that hold, and waits until they are in force.
async fn change(portcullis: &Portcullis, rest: &str) {
    let revision = async || {
        let (status, said) = portcullis.api("GET", "/v1/policies", None).await;
        assert_eq!(status, 200, "{said:#}");
        said["revision"].as_u64().expect("a revision")
    };
    let before = revision().await;
    portcullis.replace(FILE, file(rest));
    wait_until("the new rules are in force", SOON, async || {
        (revision().await > before).then_some(())
    })
    .await;
}

fn batches() -> [(&'static str, Batch); 2] {
    [("query", Batch::new().query(RISKY)), ("bind", Batch::new().run(RISKY).sync())]
}

async fn granted_late(portcullis: &Portcullis, id: &str) {
    let (status, said) = decide(portcullis, LEA, id, "grant", json!({})).await;
    assert_eq!((status, &said["state"]), (200, &json!("granted")), "{said:#}");
}

fn ends(answer: &str, expected: &str) -> bool {
    answer == expected || answer == format!("1 {expected}") || answer == format!("1 2 {expected}")
}

/// What no rule holds any more runs, and under the rules then in force.
#[tokio::test]
async fn a_rule_that_is_gone_releases_nothing_by_itself_and_denies_nothing() {
    for (what, batch) in batches() {
        let portcullis = held().await;
        let mut session = portcullis.session(DEVELOPER).await;
        let told = ask(&mut session, batch).await;
        change(&portcullis, "[settings]\nunbounded_writes = \"allow\"").await;
        // Others pass already.
        let mut other = portcullis.session(DEVELOPER).await;
        assert_eq!(sequence(&other.query(RISKY).await), "C:UPDATE 20 Z:I");
        let revision = approval(&portcullis, &told.id).await["revision"].clone();
        granted_late(&portcullis, &told.id).await;
        let answer = sequence(&session.until_ready().await);
        assert!(ends(&answer, "C:UPDATE 20 Z:I"), "{what}: {answer}");
        assert_eq!(total(portcullis.database()).await, UNTOUCHED + 40, "{what}");
        let ran = permitted(&portcullis, &told.id);
        assert!(ran["revision"].as_u64() > revision.as_u64(), "{what}: {ran:#}");
        assert_eq!(ran["released_by"], Value::Null, "{what}: nothing needed releasing");
    }
}

/// The one intent of the approval's session that was permitted.
fn permitted(portcullis: &Portcullis, id: &str) -> Value {
    let ledger = portcullis.ledger();
    let steps = ledger.of_kind("approval");
    let asked = steps.iter().find(|step| step["approval"] == id && step["step"] == "asked");
    let session = &asked.expect("it was asked for")["session"];
    let mut own = ledger.intents("UPDATE scratch SET amount");
    own.retain(|intent| intent["session"] == *session && intent["decision"] == "permitted");
    let [ran] = own.as_slice() else { panic!("it ran once: {own:#?}") };
    ran.clone()
}

#[tokio::test]
async fn a_rule_that_denies_by_now_denies() {
    for (what, batch) in batches() {
        let portcullis = held().await;
        let mut session = portcullis.session(DEVELOPER).await;
        let told = ask(&mut session, batch).await;
        change(&portcullis, "[settings]\nunbounded_writes = \"deny\"").await;
        granted_late(&portcullis, &told.id).await;
        let answer = session.until_ready().await;
        assert!(ends(&sequence(&answer), "E:42501 Z:I"), "{what}: {}", sequence(&answer));
        let (_, message, detail) = complaint(&answer).expect("an error");
        assert!(message.contains("every row of public.scratch"), "{what}: {message}");
        assert!(detail.starts_with("policy 10-guard, event "), "{what}: {detail}");
        assert_eq!(total(portcullis.database()).await, UNTOUCHED, "{what}");
        goes_on(&mut session).await;
    }
}

/// Other rules, and whether a grant by one of the leads is enough for them.
const CHANGED: [(&str, &str, bool); 5] = [
    ("other patience", "approvers = [\"leads\"]\nexpires_in_seconds = 60", true),
    ("more may release it", "approvers = [\"leads\", \"security\"]", true),
    ("more must release it", "approvers = [\"leads\"]\napprovals_needed = 2", false),
    ("others release it", "approvers = [\"security\"]", false),
    (
        "fewer may release it, and more must",
        "approvers = [\"security\", \"operators\"]\napprovals_needed = 2",
        false,
    ),
];

#[tokio::test]
async fn more_than_was_granted_is_asked_for_anew() {
    for (what, approval_lines, enough) in CHANGED {
        for (kind, batch) in batches() {
            let portcullis = held().await;
            let mut session = portcullis.session(DEVELOPER).await;
            let told = ask(&mut session, batch).await;
            let rules = format!(
                "[settings]\nunbounded_writes = \"approve\"\n[settings.approval]\n{approval_lines}"
            );
            change(&portcullis, &rules).await;
            granted_late(&portcullis, &told.id).await;
            if !enough {
                let (_, next) = until_held(&mut session).await;
                assert_ne!(next.id, told.id, "{what}, {kind}");
                assert_eq!(total(portcullis.database()).await, UNTOUCHED, "{what}, {kind}");
                // Now as many as are asked for by now.
                let mut state = json!("pending");
                for who in [LEA, LEO, SAM, end_to_end::portcullis::ADMIN] {
                    if state == "pending" {
                        let (_, said) =
                            decide(&portcullis, who, &next.id, "grant", json!({})).await;
                        state = approval(&portcullis, &next.id).await["state"].clone();
                        assert!(said.is_object(), "{said:#}");
                    }
                }
                assert_eq!(state, "granted", "{what}, {kind}");
            }
            let answer = sequence(&session.until_ready().await);
            assert!(ends(&answer, "C:UPDATE 20 Z:I"), "{what}, {kind}: {answer}");
            assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20, "{what}, {kind}");
        }
    }
}

/// Held sessions end with the process, and so does what they wait for.
#[tokio::test]
async fn a_restart_withdraws_what_waits_and_keeps_what_was_granted() {
    let database = cluster().await.database().await;
    let mut portcullis = holding(&database, HOLD_OR_LEASE).start().await;
    let mut leased = portcullis.session(DEVELOPER).await;
    let told = ask(&mut leased, Batch::new().query(RISKY)).await;
    let body = json!({ "lease_seconds": 1200 });
    assert_eq!(decide(&portcullis, LEA, &told.id, "grant", body).await.0, 200);
    assert_eq!(sequence(&leased.until_ready().await), "C:UPDATE 20 Z:I");
    let lease = told.id;

    let mut waiting = portcullis.session(DEVELOPER).await;
    let ordered = ask(&mut waiting, Batch::new().query("DELETE FROM scratch")).await.id;
    portcullis.restart().await;
    let answer = waiting.until_ready().await;
    // It is told why, or the end of the session was faster.
    let codes: Vec<String> = answer.iter().filter_map(|message| message.field(b'C')).collect();
    assert!(codes.iter().any(|code| code == "57014" || code == "57P01"), "{codes:?}");
    let view = ended(&portcullis, &ordered, "withdrawn").await;
    assert_eq!(view["ended_because"], "the proxy is shutting down");

    // Without a chance to say anything.
    let mut waiting = portcullis.session(DEVELOPER).await;
    let killed = ask(&mut waiting, Batch::new().query("DELETE FROM scratch")).await.id;
    portcullis.signal("KILL");
    portcullis.restart().await;
    let view = ended(&portcullis, &killed, "withdrawn").await;
    assert_eq!(view["ended_because"], "the proxy was restarted");
    for id in [&ordered, &killed] {
        assert_eq!(decide(&portcullis, LEA, id, "grant", json!({})).await.0, 409);
    }
    assert_eq!(pending(&portcullis).await, Vec::<Value>::new());

    // The lease is what it was.
    let (_, said) = portcullis.api("GET", "/v1/leases", None).await;
    assert_eq!(said["leases"][0]["id"], json!(lease), "{said:#}");
    let mut session: Session = portcullis.session(DEVELOPER).await;
    assert_eq!(sequence(&session.query(RISKY).await), "C:UPDATE 20 Z:I");
    assert_eq!(total(&database).await, UNTOUCHED + 40);
    // And covers nothing else.
    let told = ask(&mut session, Batch::new().query("DELETE FROM scratch")).await;
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:DELETE 20 Z:I");
}

/// A waiting statement does not keep the proxy from ending.
#[tokio::test]
async fn a_proxy_that_drains_waits_for_nobody() {
    let mut portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.query("BEGIN").await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    portcullis.signal("TERM");
    let answer = session.until_ready().await;
    assert!(sequence(&answer).starts_with("E:57014"), "{}", sequence(&answer));
    let (_, message, detail) = complaint(&answer).expect("an error");
    assert_eq!(message, "the statement's approval was withdrawn");
    assert_eq!(detail, format!("approval {}: the proxy is shutting down", told.id));
    session.query("ROLLBACK").await;
    portcullis.restart().await;
    assert_eq!(approval(&portcullis, &told.id).await["state"], "withdrawn");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
}
