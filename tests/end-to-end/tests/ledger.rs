//! Nothing runs unrecorded, what is recorded gives nothing away, and sinks get all of it.

use std::collections::{HashMap, HashSet};

use end_to_end::frames::{Batch, Session, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{ANA, DATABASE, DEVELOPER, PASSWORD};
use end_to_end::receiver::Receiver;
use end_to_end::waiting::SOON;
use end_to_end::{Database, Portcullis, Setup, cluster, wait_until};
use serde_json::Value;

fn shipped(database: &Database) -> Setup {
    Setup::new(database).policy("10-guard.toml", "sql_guard.wasm", "").policy(
        "50-pii.toml",
        "pii_mask.wasm",
        "",
    )
}

/// Every outcome there is, each under its event, once `count` are there.
async fn outcomes(portcullis: &Portcullis, count: usize) -> HashMap<String, Value> {
    let ledger = portcullis.ledger();
    wait_until("the outcomes are recorded", SOON, async || {
        let outcomes = ledger.of_kind("outcome");
        (outcomes.len() >= count).then_some(outcomes)
    })
    .await
    .into_iter()
    .map(|outcome| (event_of(&outcome), outcome))
    .collect()
}

fn event_of(record: &Value) -> String {
    record["event"].as_str().expect("an event id").to_owned()
}

#[tokio::test]
async fn every_statement_has_its_intent_and_then_its_outcome() {
    let database = cluster().await.database().await;
    let portcullis = shipped(&database).start().await;
    let mut session = portcullis.session(ANA).await;
    let cases = [
        ("SELECT id, email FROM customers WHERE id < 4", "permitted", "completed", "3"),
        ("UPDATE scratch SET word = 'x' WHERE id = 1", "permitted", "completed", "1"),
        ("SELECT 1 / (id - id) FROM scratch", "permitted", "failed", "22012"),
        ("DELETE FROM scratch", "denied", "refused", ""),
        ("COPY scratch TO STDOUT", "permitted", "completed", "20"),
    ];
    for (statement, ..) in cases {
        session.query(statement).await;
    }
    let outcomes = outcomes(&portcullis, cases.len()).await;
    let intents = portcullis.ledger().of_kind("intent");
    assert_eq!(intents.len(), cases.len(), "{intents:#?}");
    for (intent, (statement, decision, ending, detail)) in intents.iter().zip(cases) {
        assert_eq!(intent["decision"], decision, "{statement}");
        assert_eq!(intent["principal"]["subject"], "ana");
        assert_eq!(intent["principal"]["application"], "");
        assert_eq!(intent["database"], DATABASE);
        assert_eq!(intent["message"], "query");
        let answers = intent["answers"].as_array().expect("policies answered");
        assert!(answers.iter().any(|answer| answer["policy"] == "10-guard"), "{intent:#}");
        let outcome = &outcomes[&event_of(intent)];
        assert_eq!(outcome["ending"], ending, "{statement}");
        assert!(outcome["seq"].as_u64() > intent["seq"].as_u64(), "{statement}");
        assert_eq!(outcome["revision"], intent["revision"], "{statement}");
        let told = match ending {
            "completed" => outcome["rows"].to_string(),
            "failed" => outcome["sqlstate"].as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        assert_eq!(told, detail, "{statement}");
    }
    let masked = &outcomes[&event_of(&intents[0])]["cells_masked"];
    assert_eq!(masked.as_u64(), Some(3), "three addresses");
}

#[tokio::test]
async fn the_extended_protocol_is_recorded_at_every_step() {
    let database = cluster().await.database().await;
    let portcullis = shipped(&database).start().await;
    let mut session = portcullis.session(ANA).await;
    let prepared =
        Batch::new().parse("s", "SELECT id FROM scratch WHERE id < $1::text::int").sync();
    session.exchange(prepared).await;
    for _ in 0..3 {
        let run = Batch::new().bind("", "s", &["4"], false).execute("", 0).sync();
        assert_eq!(sequence(&session.exchange(run).await), "2 D*3 C:SELECT 3 Z:I");
    }
    let ledger = portcullis.ledger();
    let executed = wait_until("all are recorded", SOON, async || {
        let mut intents = ledger.intents("scratch");
        // An execution shares the record of the Bind it was bound for.
        intents.retain(|intent| intent["message"] == "bind");
        (intents.len() == 3 && ledger.of_kind("outcome").len() >= 3).then_some(intents)
    })
    .await;
    for intent in executed {
        assert_eq!(ledger.outcome(&intent).expect("an outcome")["rows"], 3);
    }
}

#[tokio::test]
async fn what_was_skipped_or_lost_is_recorded_so() {
    let database = cluster().await.database().await;
    let portcullis = shipped(&database).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let pipeline = Batch::new()
        .parse("", "SELECT nope")
        .parse("late", "SELECT 1 AS never_ran")
        .bind("", "late", &[], false)
        .execute("", 0)
        .sync();
    session.exchange(pipeline).await;
    session.send(Batch::new().query("SELECT pg_sleep(2)").bytes()).await;
    let ledger = portcullis.ledger();
    wait_until("it is on its way", SOON, async || {
        (!ledger.intents("pg_sleep").is_empty()).then_some(())
    })
    .await;
    drop(session);
    wait_until("the loss is recorded", SOON, async || {
        let intent = ledger.intents("pg_sleep").pop()?;
        let ending = ledger.outcome(&intent)?["ending"].as_str()?.to_owned();
        // The server may have noticed first and cancelled it.
        ["lost", "failed", "completed"].contains(&ending.as_str()).then_some(())
    })
    .await;
    let skipped = ledger.intents("never_ran");
    assert!(!skipped.is_empty(), "what was skipped has a record too");
    for intent in skipped {
        let outcome = ledger.outcome(&intent).expect("an outcome");
        assert_eq!(outcome["ending"], "skipped", "{intent:#}");
    }
}

#[tokio::test]
async fn values_and_secrets_are_not_recorded() {
    let database = cluster().await.database().await;
    let portcullis = shipped(&database).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let secrets = [
        "SELECT * FROM customers WHERE email = 'sec0@example.com'",
        "SELECT * FROM customers WHERE email = $q$sec1@example.com$q$ OR phone = E'sec\\x32x'",
        "ALTER ROLE app PASSWORD 'sec3-hunter2'",
        "CREATE ROLE x WITH ENCRYPTED PASSWORD 'sec4-hunter2'",
        "SELECT 'sec5' -- sec6 in a comment",
        "SELEC 'sec7 in what nobody can read",
        "SET application_name = 'sec8'",
        "SELECT 40061234, 3.50069e7 /* sec9 */",
        "DO $$ BEGIN PERFORM 'sec10'; END $$",
        "INSERT INTO scratch VALUES (801, U&'sec\\0031\\0031', 1)",
        "SELECT 1 AS \"public\" FROM scratch WHERE word LIKE 'sec12%'",
    ];
    for statement in secrets {
        session.query(statement).await;
        session.extended(statement, false).await;
    }
    let bound = Batch::new()
        .parse("", "SELECT $1::text")
        .bind("", "", &["sec13-bound"], false)
        .execute("", 0)
        .sync();
    session.exchange(bound).await;
    let ledger = portcullis.ledger();
    wait_until("the last is recorded", SOON, async || {
        ledger.text().contains("\"bind\"").then_some(())
    })
    .await;
    for kept in [ledger.text(), portcullis.log()] {
        for secret in [
            "sec0",
            "sec1@",
            "sec\\\\x32",
            "hunter2",
            "sec5",
            "sec6",
            "sec7",
            "sec8",
            "40061234",
            "sec9",
            "sec10",
            "sec\\\\0031",
            "sec12",
            "sec13",
            PASSWORD,
        ] {
            assert!(!kept.contains(secret), "{secret} was kept: {kept}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_run() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database).unmatched("allow").file_kilobytes_max(128).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let mut ran = 0;
    let mut refusal = None;
    for number in 1000..6000 {
        let answer = session.query(&format!("INSERT INTO scratch VALUES ({number}, 'x', 1)")).await;
        match sqlstate_of(&answer) {
            None => ran += 1,
            Some(state) => {
                refusal = Some(state);
                break;
            }
        }
    }
    assert_eq!(refusal.as_deref(), Some("58030"), "after {ran} statements");
    let again = session.query("INSERT INTO scratch VALUES (6001, 'x', 1)").await;
    assert_eq!(sequence(&again), "E:58030 Z:I", "the session goes on, refusing");
    let superuser = database.superuser().await;
    let row = superuser.query_one("SELECT count(*) FROM scratch WHERE id >= 1000", &[]).await;
    let rows: i64 = row.expect("a count").get(0);
    assert_eq!(rows, ran, "what was refused did not run");
    let recorded = portcullis.ledger().intents("INSERT INTO scratch").len();
    assert!(recorded >= usize::try_from(ran).expect("small"), "{recorded} records of {ran}");
}

fn with_sink(database: &Database, receiver: &Receiver) -> Setup {
    let sink = format!(
        "[settings]\ntarget = \"siem\"\nrecords_max = 20\n[targets.siem]\nurl = \"{}\"\n",
        receiver.url()
    );
    shipped(database).policy("90-webhook.toml", "webhook_sink.wasm", &sink)
}

/// Positions in the ledger, stream by stream.
fn positions(records: &[Value]) -> Vec<(String, u64)> {
    let position = |record: &Value| {
        let stream = record["stream"].as_str().expect("a stream").to_owned();
        (stream, record["seq"].as_u64().expect("a number"))
    };
    records.iter().map(position).collect()
}

/// Waits until the receiver has all that the ledger holds, and checks the order: within a
/// stream each record either repeats one already delivered or is the very next.
async fn check_delivery(portcullis: &Portcullis, receiver: &Receiver) -> usize {
    let ledger = portcullis.ledger();
    wait_until("every record is delivered", SOON, async || {
        let wanted: HashSet<_> = positions(&ledger.records()).into_iter().collect();
        let delivered: HashSet<_> = positions(&receiver.records()).into_iter().collect();
        wanted.is_subset(&delivered).then_some(())
    })
    .await;
    let mut last: HashMap<String, u64> = HashMap::new();
    let delivered = positions(&receiver.records());
    for (stream, seq) in &delivered {
        let last = last.entry(stream.clone()).or_insert(seq - 1);
        assert!(*seq <= *last + 1, "stream {stream}: {seq} came after {last}");
        *last = (*last).max(*seq);
    }
    delivered.len()
}

async fn work(portcullis: &Portcullis, statements: u32) {
    let mut session: Session = portcullis.session(DEVELOPER).await;
    for _ in 0..statements {
        assert_eq!(first_column(&session.query("SELECT 1").await), ["1"]);
    }
}

#[tokio::test]
async fn a_sink_gets_every_record_in_order_though_its_receiver_fails() {
    let database = cluster().await.database().await;
    let receiver = Receiver::start(3).await;
    let portcullis = with_sink(&database, &receiver).start().await;
    work(&portcullis, 200).await;
    check_delivery(&portcullis, &receiver).await;
    let received = receiver.records();
    for kind in ["started", "policy-set", "login", "intent", "outcome"] {
        assert!(received.iter().any(|record| record["kind"] == kind), "no {kind}");
    }
}

#[tokio::test]
async fn a_sink_goes_on_after_a_restart_where_it_was() {
    let database = cluster().await.database().await;
    let receiver = Receiver::start(0).await;
    let mut portcullis = with_sink(&database, &receiver).start().await;
    work(&portcullis, 100).await;
    let before = check_delivery(&portcullis, &receiver).await;
    portcullis.restart().await;
    work(&portcullis, 50).await;
    let after = check_delivery(&portcullis, &receiver).await;
    let records = portcullis.ledger().records().len();
    assert!(before >= 200, "{before} records of 100 statements");
    // At least once, but not all anew: what may repeat is a batch, not the history.
    assert!(after <= records + 60, "{after} deliveries of {records} records");
}
