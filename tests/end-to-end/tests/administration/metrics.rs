//! Numbers for machines to watch: right ones, and nothing about anybody.

use std::collections::{BTreeMap, BTreeSet};

use end_to_end::frames::sqlstate_of;
use end_to_end::portcullis::{ADMIN, ANA, BOT, DEVELOPER, PASSWORD};
use end_to_end::receiver::Receiver;
use end_to_end::waiting::SOON;
use end_to_end::{Login, Portcullis, Setup, artefacts, cluster, wait_until};

use super::VIEWER;

/// What must not occur: names of people, groups and databases, and words of statements.
const PRIVATE: [&str; 17] = [
    "ana",
    "bot",
    "vera",
    "app",
    "admin",
    "analysts",
    "operators",
    "staff",
    "customers",
    "birth_date",
    "example.com",
    "SELECT",
    "select",
    "DELETE",
    "pg_sleep",
    "127.0.0.1",
    "end-to-end",
];

/// Samples by name and labels, as written.
async fn metrics(portcullis: &Portcullis) -> BTreeMap<String, f64> {
    let (status, text) = portcullis.api_as(Login::Nobody, "GET", "/metrics", None).await;
    assert_eq!(status, 200);
    let text = text.as_str().expect("text").to_owned();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("a number: {line}")))
        })
        .collect()
}

async fn start(receiver: &Receiver) -> Portcullis {
    let database = cluster().await.database().await;
    let sink =
        format!("[settings]\ntarget = \"siem\"\n[targets.siem]\nurl = \"{}\"\n", receiver.url());
    Setup::new(&database)
        .unmatched("allow")
        .roles()
        .user(VIEWER)
        .database_line("column_labels = { \"public.customers.birth_date\" = \"secret\" }")
        .policy(
            "10-guard.toml",
            "sql_guard.wasm",
            "[settings]\nwrites = \"approve\"\n\
            [settings.approval]\napprovers = [\"leads\"]",
        )
        .policy("50-pii.toml", "pii_mask.wasm", "match = { groups = [\"analysts\"] }")
        .policy("90-webhook.toml", "webhook_sink.wasm", &sink)
        .start()
        .await
}

#[tokio::test]
async fn metrics_count_and_tell_of_nobody() {
    let receiver = Receiver::start(0).await;
    let portcullis = start(&receiver).await;
    let of = |samples: &BTreeMap<String, f64>, name: &str| {
        let found = samples.get(&format!("portcullis_{name}"));
        found.copied().unwrap_or_else(|| panic!("{name} is not among {samples:#?}"))
    };
    let mut ana = portcullis.session(ANA).await;
    let mut bot = portcullis.session(BOT).await;
    let mut wrong = end_to_end::Session::connect(portcullis.address()).await;
    let parameters = [("user", DEVELOPER.name), ("database", "shop")];
    assert_eq!(sqlstate_of(&wrong.try_login("guess", &parameters).await).as_deref(), Some("28P01"));
    let query = "SELECT birth_date, email FROM customers WHERE email LIKE '%example.com' LIMIT 5";
    assert_eq!(sqlstate_of(&ana.query(query).await), None);
    let denied = "DROP TABLE customers";
    assert_eq!(sqlstate_of(&bot.query(denied).await).as_deref(), Some("42501"));
    let held = "DELETE FROM customers WHERE id = 4711";
    ana.send(end_to_end::frames::Batch::new().query(held).bytes()).await;
    let samples = wait_until("all is counted", SOON, async || {
        let samples = metrics(&portcullis).await;
        let counted = of(&samples, "approvals_pending") == 1.0
            && of(&samples, "cells_masked_total") >= 10.0
            && of(&samples, "statement_duration_seconds_count") >= 1.0;
        counted.then_some(samples)
    })
    .await;
    let expected = [
        ("sessions", 2.0),
        ("logins_total", 2.0),
        ("logins_refused_total", 1.0),
        ("decisions_total{decision=\"denied\"}", 1.0),
        ("decisions_total{decision=\"held\"}", 1.0),
        ("cells_masked_total", 10.0),
        ("cells_masked_by_label_total{label=\"secret\"}", 5.0),
        ("faults_total", 0.0),
        ("rows_total", 5.0),
        ("policies", 3.0),
        ("policies_failed", 0.0),
        ("leases", 0.0),
    ];
    for (name, value) in expected {
        assert!((of(&samples, name) - value).abs() < 0.5, "{name}: {samples:#?}");
    }
    assert!(of(&samples, "decisions_total{decision=\"permitted\"}") >= 1.0);
    assert!(of(&samples, "policy_revision") >= 1.0);
    assert!(of(&samples, "bytes_out_total") > 0.0);
    for lag in ["ledger_lag_seconds", "sink_lag_seconds{policy=\"90-webhook\"}"] {
        assert!((0.0..60.0).contains(&of(&samples, lag)), "{lag}: {samples:#?}");
    }
    check_histogram(&samples, "statement_duration_seconds");
    // The first call of each policy is a swap's cost too.
    check_histogram(&samples, "policy_swap_seconds");
    let (_, text) = portcullis.api_as(Login::Nobody, "GET", "/metrics", None).await;
    let text = text.as_str().expect("text");
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    for word in PRIVATE {
        let told = match word.chars().all(|c| c.is_ascii_alphanumeric()) {
            true => words.contains(word),
            false => text.contains(word),
        };
        assert!(!told, "{word} is told: {text}");
    }
    let output = portcullis.cli_as(VIEWER, &["metrics"]).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("portcullis_sessions 2"), "{printed}");
    assert!(!printed.contains(PASSWORD) && output.status.success());
    drop((ana, bot));
    wait_until("nobody is left, and nothing waits", SOON, async || {
        let samples = metrics(&portcullis).await;
        let left = of(&samples, "sessions") + of(&samples, "approvals_pending");
        (left < 0.5).then_some(())
    })
    .await;
}

/// Buckets count up to the count.
fn check_histogram(samples: &BTreeMap<String, f64>, name: &str) {
    let start = &format!("portcullis_{name}_bucket{{le=\"");
    let mut buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|(name, value)| {
            let bound = name.strip_prefix(start)?.strip_suffix("\"}")?;
            Some((bound.parse().unwrap_or(f64::INFINITY), *value))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(buckets.len() > 5, "{samples:#?}");
    assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{buckets:?}");
    let count = samples[&format!("portcullis_{name}_count")];
    assert_eq!(buckets.last().map(|(_, value)| *value), Some(count), "{buckets:?}");
    assert!(samples[&format!("portcullis_{name}_sum")] > 0.0);
}

/// A policy that fails is counted, and named.
#[tokio::test]
async fn faults_are_counted() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database)
        .unmatched("allow")
        .roles()
        .policy_of("10-slow.toml", &artefacts::example("python_guardrail.wasm"), "deadline_ms = 1")
        .start()
        .await;
    let mut session = portcullis.session(DEVELOPER).await;
    // It is told of every one of them, which takes longer than it has.
    let calls: Vec<String> = (0..3_000).map(|number| format!("missing_{number}()")).collect();
    let long = format!("SELECT {}", calls.join(", "));
    wait_until("a fault is counted", SOON, async || {
        session.query(&long).await;
        let samples = metrics(&portcullis).await;
        (samples["portcullis_faults_total"] >= 1.0).then_some(())
    })
    .await;
    let text = portcullis.api_as(ADMIN, "GET", "/metrics", None).await.1.to_string();
    assert!(!text.contains("SELECT"), "{text}");
}
