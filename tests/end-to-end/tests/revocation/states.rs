//! A session ends whatever it is in the middle of, and gives back what it held.

use end_to_end::frames::{Batch, Session, error_of, first_column, sequence};
use end_to_end::portcullis::{ANA, BOT, DATABASE, DEVELOPER, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Account, Database, Portcullis, Provider, Setup, cluster, wait_until};
use serde_json::json;
use tokio::time::Instant;

use super::sessions::{WITHIN, Watcher};

const GUARD: &str = "match = { kinds = [\"agent\"] }\n[settings]\nwrites = \"approve\"\n\
                     [settings.agents]\nwrites = \"approve\"\n\
                     [settings.approval]\napprovers = [\"leads\"]";

/// Does something, and says what the last message of the answer is.
async fn begin(portcullis: &Portcullis, name: &str, batch: Batch, until: &[u8]) -> Session {
    let mut session = Session::connect(portcullis.address()).await;
    let application = format!("state/{name}");
    let parameters =
        [("user", ANA.name), ("database", DATABASE), ("application_name", &application)];
    session.try_login(PASSWORD, &parameters).await;
    session.send(batch.bytes()).await;
    let answer = session.until(until).await;
    assert!(error_of(&answer).is_none() && !answer.is_empty(), "{name}: {}", sequence(&answer));
    session
}

async fn start(database: &Database) -> Portcullis {
    let setup = Setup::new(database).unmatched("allow").roles();
    setup.policy("10-guard.toml", "sql_guard.wasm", GUARD).start().await
}

#[tokio::test]
async fn a_session_ends_whatever_it_is_doing() {
    let database = cluster().await.database().await;
    let portcullis = start(&database).await;
    let watcher = Watcher::of(&database).await;
    let query = |text: &str| Batch::new().query(text);
    let lock = "BEGIN; UPDATE orders SET status = 'lost' WHERE id = 7";
    let copy = "COPY orders (id) FROM STDIN";
    let cursor = Batch::new().query("BEGIN").parse("", "SELECT generate_series(1, 100)");
    let cursor = cursor.bind("open", "", &[], false).execute("open", 3).flush();
    let half = Batch::new().parse("half", "SELECT 1").flush();
    let mut sessions = vec![
        ("in a transaction with a lock", begin(&portcullis, "lock", query(lock), b"Z").await),
        ("in a failed one", begin(&portcullis, "begun", query("BEGIN"), b"Z").await),
        ("in a COPY", begin(&portcullis, "copy", query(copy), b"G").await),
        ("with an open portal", begin(&portcullis, "portal", cursor, b"s").await),
        ("in half a pipeline", begin(&portcullis, "pipeline", half, b"1").await),
    ];
    let failed = sessions[1].1.query("SELECT 1 / 0").await;
    assert!(sequence(&failed).ends_with("E:22012 Z:E"), "{}", sequence(&failed));
    // Somebody else waits for the lock meanwhile.
    let mut other = portcullis.session(DEVELOPER).await;
    let update = Batch::new().query("UPDATE orders SET status = 'kept' WHERE id = 7");
    other.send(update.bytes()).await;

    let body = Some(json!({ "reason": "left" }));
    let (status, answer) = portcullis.api("PUT", "/v1/principals/ana/disabled", body).await;
    assert_eq!((status, &answer["sessions_ended"]), (200, &json!(sessions.len())), "{answer}");
    let since = Instant::now();
    for (what, session) in &mut sessions {
        let told = session.until_ready().await;
        let error = error_of(&told).unwrap_or_else(|| panic!("{what}: {}", sequence(&told)));
        assert_eq!(error.field(b'C').as_deref(), Some("57P01"), "{what}");
        assert!(since.elapsed() <= WITHIN, "{what}");
        assert_eq!(session.message().await, None, "{what}: nothing comes after that");
    }
    watcher.until_gone("state/%", since).await;
    assert_eq!(sequence(&other.until_ready().await), "C:UPDATE 1 Z:I", "the lock is free");
    let kept = other.query("SELECT status FROM orders WHERE id = 7").await;
    assert_eq!(first_column(&kept), ["kept"]);
}

#[tokio::test]
async fn what_waits_for_approval_ends_with_its_session() {
    let database = cluster().await.database().await;
    let portcullis = start(&database).await;
    let mut bot = portcullis.session(BOT).await;
    let update = Batch::new().query("UPDATE orders SET status = 'lost' WHERE id = 7");
    bot.send(update.bytes()).await;
    let session = wait_until("it waits", SOON, async || {
        let (_, answer) = portcullis.api("GET", "/v1/sessions", None).await;
        (answer["sessions"][0]["state"] == "waiting").then(|| answer["sessions"][0].clone())
    })
    .await;
    let (id, approval) = (&session["id"], session["approval"].as_str().expect("its id"));
    let body = Some(json!({ "reason": "enough" }));
    let path = format!("/v1/sessions/{id}");
    assert_eq!(portcullis.api("DELETE", &path, body).await.0, 200);
    let told = bot.until_ready().await;
    let error = error_of(&told).expect("it is told").clone();
    assert_eq!(error.field(b'C').as_deref(), Some("57P01"), "{}", sequence(&told));
    let message = error.field(b'M').unwrap_or_default();
    assert!(message.contains("by an administrator: enough"), "{message}");
    let ledger = portcullis.ledger();
    wait_until("the approval is over", SOON, async || {
        let steps = ledger.of_kind("approval");
        let over = |step: &&serde_json::Value| {
            step["approval"] == approval && step["state"] == "withdrawn"
        };
        steps.iter().find(over).map(drop)
    })
    .await;
    let grant = format!("/v1/approvals/{approval}/grant");
    let (status, answer) = portcullis.api("POST", &grant, Some(json!({}))).await;
    assert!(status == 403 || status == 409, "too late: {status} {answer}");
    let client = database.superuser().await;
    let row = client.query_one("SELECT status FROM orders WHERE id = 7", &[]).await;
    assert_ne!(row.expect("it is there").get::<_, String>(0), "lost");
}

/// A login in the browser rests on a token as well.
#[tokio::test]
async fn who_logged_in_by_browser_is_asked_about_again() {
    let provider = Provider::start().await;
    let database = cluster().await.database().await;
    let lines = "recheck_seconds = 1\nscopes = [\"openid\", \"groups\"]";
    let setup = Setup::new(&database).unmatched("allow").roles();
    let portcullis = setup
        .issuer("corp", &provider, lines)
        .login_rule("method = \"browser\"\nissuer = \"corp\"")
        .start()
        .await;
    let watcher = Watcher::of(&database).await;
    let mut screens = Vec::new();
    for name in ["stays", "changes"] {
        provider.put(&Account::new(name).groups(&["analysts"])).await;
        let variables = [("PGUSER", name), ("PGAPPNAME", name)];
        let mut psql = portcullis.psql_with(&[], &variables);
        psql.wait_for("NOTICE:  to log in, open ").await;
        let address = psql.wait_for("\n").await.trim().to_owned();
        let page = provider.browser().open(&address).await;
        let links = page.links();
        provider.confirm_device_link(links.first().expect("the way on"), name).await;
        psql.wait_for("shop=> ").await;
        psql.type_line("SELECT pg_sleep(600);");
        watcher.until(name, Some("PgSleep")).await;
        screens.push(psql);
    }
    provider.put(&Account::new("changes").groups(&["guests"])).await;
    let since = Instant::now();
    watcher.until_gone("changes", since).await;
    screens[1].wait_for("the groups of the login have changed").await;
    assert_eq!(watcher.count("stays").await, 1, "the other one goes on");
    let ended = portcullis.ledger().of_kind("session-ended");
    assert_eq!(ended.len(), 1, "{ended:?}");
}
