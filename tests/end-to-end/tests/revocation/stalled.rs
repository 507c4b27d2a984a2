//! Clients that take nothing of what is sent to them.

use end_to_end::frames::{Batch, Session};
use end_to_end::portcullis::{ANA, DATABASE, DEVELOPER, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Setup, cluster, wait_until};
use serde_json::json;
use tokio::time::Instant;

use super::sessions::Watcher;

/// How much is sent before the statement that computes: somewhere between them, the proxy has
/// more than its client's side takes, and the server can send on.
const KILOBYTES: [u32; 9] = [0, 64, 256, 512, 1024, 2048, 4096, 8192, 65536];

#[tokio::test]
async fn who_reads_nothing_holds_nothing_up() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database).unmatched("allow").roles().start().await;
    let watcher = Watcher::of(&database).await;
    let mut stalled = Vec::new();
    for kilobytes in KILOBYTES {
        let mut session = Session::connect(portcullis.address()).await;
        let application = format!("stalled/{kilobytes}");
        let parameters =
            [("user", ANA.name), ("database", DATABASE), ("application_name", &application)];
        session.try_login(PASSWORD, &parameters).await;
        let query = format!(
            "SELECT repeat('x', 1000) FROM generate_series(1, {kilobytes}); SELECT pg_sleep(600)"
        );
        session.send(Batch::new().query(&query).bytes()).await;
        stalled.push(session);
    }
    let mut other = portcullis.session(DEVELOPER).await;
    for kilobytes in KILOBYTES {
        watcher.until(&format!("stalled/{kilobytes}"), None).await;
    }
    // Some compute, others wait for their client: both must be there for this to show much.
    wait_until("each has come as far as it can", SOON, async || {
        let sleeping = watcher.waiting_for("stalled/%", "PgSleep").await;
        let blocked = watcher.waiting_for("stalled/%", "ClientWrite").await;
        let all = i64::try_from(KILOBYTES.len()).expect("a few");
        (sleeping > 0 && blocked > 0 && sleeping + blocked == all).then_some(())
    })
    .await;
    let body = Some(json!({ "reason": "left" }));
    let (status, answer) = portcullis.api("PUT", "/v1/principals/ana/disabled", body).await;
    assert_eq!((status, &answer["sessions_ended"]), (200, &json!(KILOBYTES.len())), "{answer}");
    watcher.until_gone("stalled/%", Instant::now()).await;
    wait_until("they are not in the list", SOON, async || {
        let (_, answer) = portcullis.api("GET", "/v1/sessions", None).await;
        (answer["sessions"].as_array().map_or(0, Vec::len) == 1).then_some(())
    })
    .await;
    assert!(!other.query("SELECT 1").await.is_empty(), "others live on");
    drop(stalled);
}
