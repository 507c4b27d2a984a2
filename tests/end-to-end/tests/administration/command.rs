//! The command line: what it prints, and what its exit codes mean.

use std::process::Output;

use end_to_end::portcullis::{ADMIN, ANA};
use end_to_end::waiting::SOON;
use end_to_end::{Login, Portcullis, Setup, cluster, wait_until};
use serde_json::{Value, json};

use super::{VIEWER, changes, told};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;
const LOGIN_NEEDED: i32 = 3;
const NOT_ALLOWED: i32 = 4;
const GONE: i32 = 5;
const UNREACHABLE: i32 = 6;

async fn start() -> Portcullis {
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).unmatched("allow").roles().user(VIEWER);
    setup.policy("10-guard.toml", "sql_guard.wasm", "mode = \"observe\"").start().await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, and gives what it printed: for people where it went well, else what went wrong.
async fn check<'a>(
    portcullis: &Portcullis,
    login: impl Into<Login<'a>>,
    arguments: &[&str],
    code: i32,
) -> String {
    let Output { status, stdout, stderr } = portcullis.cli_as(login, arguments).await;
    let (out, err) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(code), "{arguments:?}: {out}{err}");
    if code == DONE {
        assert_eq!(err, "", "{arguments:?}");
        return out;
    }
    assert_eq!(out, "", "{arguments:?}");
    err
}

#[tokio::test]
async fn the_command_says_how_it_went() {
    let portcullis = start().await;
    let session = portcullis.connect(ANA).await;
    let wrong = Login::Basic { name: VIEWER.name, password: "guess" };
    check(&portcullis, ADMIN, &["session", "list"], DONE).await;
    check(&portcullis, ADMIN, &["session", "lsit"], WRONG_USAGE).await;
    check(&portcullis, ADMIN, &["session", "end", "1"], WRONG_USAGE).await;
    check(&portcullis, Login::Nobody, &["session", "list"], LOGIN_NEEDED).await;
    check(&portcullis, wrong, &["session", "list"], LOGIN_NEEDED).await;
    check(&portcullis, ANA, &["session", "list"], NOT_ALLOWED).await;
    let end = |id| ["session", "end", id, "--reason", "enough"];
    check(&portcullis, VIEWER, &end("1"), NOT_ALLOWED).await;
    check(&portcullis, ADMIN, &end("4711"), GONE).await;
    check(&portcullis, ADMIN, &["approval", "show", "NOSUCH00"], GONE).await;
    check(&portcullis, ADMIN, &["credential", "revoke", "nosuch"], GONE).await;
    check(&portcullis, ADMIN, &["principal", "enable", "mallory"], GONE).await;
    let nowhere = ["session", "list", "--admin", "http://127.0.0.1:1"];
    check(&portcullis, ADMIN, &nowhere, UNREACHABLE).await;
    let plain = ["session", "list", "--admin", "http://portcullis.example"];
    let said = check(&portcullis, ADMIN, &plain, FAILED).await;
    assert!(said.contains("plaintext"), "{said}");
    session.batch_execute("SELECT 1").await.expect("nobody ended it");
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let portcullis = start().await;
    let said = check(&portcullis, VIEWER, &["session", "list"], DONE).await;
    assert_eq!(said, "nobody is connected\n");
    let session = portcullis.connect(ANA).await;
    let said = check(&portcullis, VIEWER, &["session", "list"], DONE).await;
    assert!(said.starts_with("ID  WHO  KIND"), "{said}");
    let line = said.lines().nth(1).expect("one session");
    for part in ["ana", "human", "scram", "shop", "127.0.0.1:", "end-to-end", "idle"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let said = check(&portcullis, VIEWER, &["session", "list", "--json"], DONE).await;
    let listed: Value = serde_json::from_str(&said).expect("JSON");
    let id = listed["sessions"][0]["id"].to_string();
    check(&portcullis, ADMIN, &["session", "end", &id, "--reason", "lunch"], DONE).await;
    wait_until("it has ended", SOON, async || session.is_closed().then_some(())).await;
    let records = changes(&portcullis, ADMIN.name, 1).await;
    assert_eq!(records[0]["target"], format!("session {id}"));
}

#[tokio::test]
async fn status_and_reload_say_what_is_in_force() {
    let portcullis = start().await;
    let said = check(&portcullis, VIEWER, &["status"], DONE).await;
    assert!(said.starts_with("ready\n") && said.contains("1 policy in force"), "{said}");
    assert!(said.contains("10-guard") && said.contains("observe"), "{said}");
    assert!(!said.contains("not in force"), "{said}");
    portcullis.replace("20-more.toml", "plugin = \"nowhere.wasm\"\n");
    wait_until("the failure is told", SOON, async || {
        let said = text(&portcullis.cli_as(VIEWER, &["status"]).await.stdout);
        (said.contains("not in force: 20-more") && said.contains("nowhere.wasm")).then_some(())
    })
    .await;
    let said = check(&portcullis, ADMIN, &["reload"], DONE).await;
    assert!(said.contains("portcullis status"), "{said}");
    check(&portcullis, VIEWER, &["reload"], NOT_ALLOWED).await;
    let file = portcullis.configuration_file();
    let good = std::fs::read_to_string(&file).expect("it is there");
    std::fs::write(&file, good.replace("[listen]", "[lisent]")).expect("it takes text");
    let Output { status, stderr, .. } = portcullis.cli(&["reload"]).await;
    assert!(!status.success() && text(&stderr).contains("lisent"), "{}", text(&stderr));
}

#[tokio::test]
async fn principals_are_disabled_and_enabled() {
    let portcullis = start().await;
    let said = check(&portcullis, ADMIN, &["principal", "list"], DONE).await;
    assert_eq!(said, "nobody is shut out\n");
    let disable = ["principal", "disable", "ana", "--reason", "on leave"];
    check(&portcullis, VIEWER, &disable, NOT_ALLOWED).await;
    check(&portcullis, ADMIN, &disable, DONE).await;
    check(&portcullis, ADMIN, &["principal", "disable", "admin"], GONE).await;
    let said = check(&portcullis, ADMIN, &["principal", "list"], DONE).await;
    assert!(said.contains("ana") && said.contains("on leave"), "{said}");
    check(&portcullis, ANA, &["whoami"], LOGIN_NEEDED).await;
    // A name may hold what paths are made of.
    let odd = "https://id.example/a?b|c%2f@d";
    check(&portcullis, ADMIN, &["principal", "disable", odd], DONE).await;
    let listed = portcullis.api("GET", "/v1/principals/disabled", None).await.1;
    let subjects: Vec<&Value> =
        listed["principals"].as_array().expect("a list").iter().map(|p| &p["subject"]).collect();
    assert!(subjects.contains(&&json!(odd)) && subjects.len() == 2, "{listed}");
    for subject in ["ana", odd] {
        check(&portcullis, ADMIN, &["principal", "enable", subject], DONE).await;
    }
    check(&portcullis, ANA, &["whoami"], DONE).await;
    let refused = changes(&portcullis, VIEWER.name, 1).await;
    assert_eq!(refused.iter().map(told).collect::<Vec<_>>(), [("disable-principal", true)]);
}
