//! Policies change under load: nobody notices but by the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use end_to_end::frames::{Batch, Message, Session, error_of, sequence};
use end_to_end::portcullis::{ANA, DATABASE, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, Setup, artefacts, cluster, wait_until};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

const CONNECTIONS: usize = 10;
const QUERY: &str = "SELECT id, email FROM customers ORDER BY id LIMIT 20";
/// Slow enough that a minute's ledger can be read back, fast enough to meet every reload.
const PAUSE: Duration = Duration::from_millis(15);

fn seconds() -> u64 {
    let named = std::env::var("PORTCULLIS_RELOAD_SECONDS").ok();
    named.map_or(60, |text| text.parse().expect("PORTCULLIS_RELOAD_SECONDS is a number"))
}

fn policy(fill: u64) -> String {
    format!(
        "plugin = \"c_masker.wasm\"\n[settings]\nfill = \"fill-{fill}\"\ncolumns = [\"email\"]\n"
    )
}

/// What is wrong with every third file.
fn broken(round: u64) -> String {
    let kinds = [
        "plugin = \"c_masker.wasm\"\n[settings]\nfil = \"typo\"\n",
        "plugin = \"c_masker.wasm\"\nmode = \"enforc",
        "plugin = \"nowhere.wasm\"\n",
        "",
    ];
    kinds[usize::try_from(round).expect("small") / 3 % kinds.len()].to_owned()
}

/// The one fill that all rows of an answer show.
fn fill_of(answer: &[Message]) -> u64 {
    assert_eq!(error_of(answer), None, "{}", sequence(answer));
    let rows = answer.iter().filter(|message| message.tag == b'D');
    let fills: Vec<Option<Vec<u8>>> = rows.map(|row| row.cells().swap_remove(1)).collect();
    assert_eq!(fills.len(), 20, "{}", sequence(answer));
    assert!(fills.iter().all(|fill| *fill == fills[0]), "rows of one answer differ: {fills:?}");
    let fill = String::from_utf8(fills[0].clone().expect("not NULL")).expect("UTF-8");
    let number = fill.strip_prefix("fill-").unwrap_or_else(|| panic!("not masked: {fill}"));
    number.parse().expect("a number")
}

/// Runs one connection until told to stop, and gives the fills in the order of the answers.
async fn client(
    portcullis: &Portcullis,
    number: usize,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Vec<u64>> {
    let name = format!("client-{number}");
    let mut session = Session::connect(portcullis.address()).await;
    let parameters = [("user", ANA.name), ("database", DATABASE), ("application_name", &*name)];
    let login = session.try_login(PASSWORD, &parameters).await;
    assert!(sequence(&login).ends_with("Z:I"), "{}", sequence(&login));
    tokio::spawn(async move {
        // Half of them prepared the statement long ago, under another policy.
        let prepared = number % 2 == 1;
        if prepared {
            session.exchange(Batch::new().parse("old", QUERY).sync()).await;
        }
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fills = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let answer = if prepared {
                let binary = fills.len() % 2 == 1;
                let run = Batch::new().bind("", "old", &[], binary).execute("", 0).sync();
                session.exchange(run).await
            } else {
                session.query(QUERY).await
            };
            assert!(sequence(&answer).ends_with("Z:I"), "client {number}: {}", sequence(&answer));
            session.received.clear();
            fills.push(fill_of(&answer));
        }
        fills
    })
}

/// The statements of one client as the ledger has them, in order.
fn executed(intents: &[Value], number: usize) -> Vec<&Value> {
    let name = format!("client-{number}");
    intents
        .iter()
        .filter(|intent| {
            let message = intent["message"].as_str().unwrap_or_default();
            let runs = ["query", "bind", "execute"].contains(&message);
            intent["principal"]["application"] == *name && runs
        })
        .collect()
}

#[tokio::test]
async fn policies_change_under_load() {
    let database = cluster().await.database().await;
    let mut portcullis = Setup::new(&database)
        .policy("10-guard.toml", "sql_guard.wasm", "")
        .policy_of("50-fill.toml", &artefacts::example("c_masker.wasm"), "")
        .start()
        .await;
    portcullis.replace("50-fill.toml", policy(0));
    let mut first = portcullis.session(ANA).await;
    wait_until("the first fill is in force", SOON, async || {
        let answer = first.query("SELECT email FROM customers WHERE id = 1").await;
        let cell = answer.iter().find(|message| message.tag == b'D')?.cells().swap_remove(0);
        (cell? == b"fill-0").then_some(())
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for number in 0..CONNECTIONS {
        clients.push(client(&portcullis, number, Arc::clone(&stop)).await);
    }
    let mut ticks = interval(Duration::from_secs(1));
    let mut published = vec![0];
    for round in 1..=seconds() {
        ticks.tick().await;
        if round % 3 == 2 {
            portcullis.replace("50-fill.toml", broken(round));
        } else {
            portcullis.replace("50-fill.toml", policy(round));
            published.push(round);
        }
        assert!(portcullis.is_up());
    }
    ticks.tick().await;
    stop.store(true, Ordering::Relaxed);
    let mut fills = Vec::new();
    for client in clients {
        fills.push(client.await.expect("no connection dropped"));
    }
    check_ledger(&portcullis, &fills, &published).await;
}

/// Each answer's fill is that of the revision its record names, and somebody judged it.
async fn check_ledger(portcullis: &Portcullis, fills: &[Vec<u64>], published: &[u64]) {
    let total: usize = fills.iter().map(Vec::len).sum();
    let ledger = portcullis.ledger();
    wait_until("the last outcome is recorded", SOON, async || {
        (ledger.of_kind("outcome").len() >= total).then_some(())
    })
    .await;
    let records = ledger.records();
    let of_kind =
        |kind: &str| records.iter().filter(|r| r["kind"] == kind).cloned().collect::<Vec<_>>();
    let outcomes: BTreeMap<String, Value> = of_kind("outcome")
        .into_iter()
        .map(|outcome| (outcome["event"].as_str().unwrap_or_default().to_owned(), outcome))
        .collect();
    let intents = of_kind("intent");
    let mut fill_of_revision: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, fills) in fills.iter().enumerate() {
        let mut intents = executed(&intents, number);
        // A reload between Bind and Execute: what was bound is recorded as skipped, and the
        // execution by itself.
        intents.retain(|intent| {
            outcomes[intent["event"].as_str().unwrap_or_default()]["ending"] != "skipped"
        });
        assert_eq!(intents.len(), fills.len(), "client {number}: one record per answer");
        for (intent, fill) in intents.iter().zip(fills) {
            let answers = intent["answers"].as_array().expect("somebody judged it");
            assert!(answers.iter().any(|answer| answer["policy"] == "10-guard"), "{intent:#}");
            let outcome = &outcomes[intent["event"].as_str().unwrap_or_default()];
            assert_eq!(outcome["cells_masked"], 20, "{outcome:#}");
            assert_eq!(outcome["revision"], intent["revision"], "one statement, one revision");
            let revision = intent["revision"].as_u64().expect("a revision");
            let standing = *fill_of_revision.entry(revision).or_insert(*fill);
            assert_eq!(standing, *fill, "revision {revision} showed two fills");
        }
    }
    let seen: Vec<u64> = fill_of_revision.into_values().collect();
    assert!(seen.is_sorted(), "fills in order of their revisions: {seen:?}");
    assert!(seen.iter().all(|fill| published.contains(fill)), "{seen:?} of {published:?}");
    assert!(
        seen.len() * 2 > published.len(),
        "{} of {} files came to be",
        seen.len(),
        published.len()
    );
}
