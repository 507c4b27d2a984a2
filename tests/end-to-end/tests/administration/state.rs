//! What the API tells of the proxy: who asks, who is connected, what is in force.

use end_to_end::portcullis::{ADMIN, ANA, BOT, DATABASE, DEVELOPER};
use end_to_end::waiting::SOON;
use end_to_end::{Account, Login, Portcullis, Provider, Setup, Wanted, cluster, wait_until};
use serde_json::{Value, json};

use super::{VIEWER, changes, told};

async fn who_am_i<'a>(portcullis: &Portcullis, login: impl Into<Login<'a>>) -> Value {
    let (status, answer) = portcullis.api_as(login, "GET", "/v1/whoami", None).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn who_asks_is_told_who_they_are() {
    let provider = Provider::start().await;
    provider.put(&Account::new("kim").groups(&["staff", "leads"])).await;
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).roles().user(VIEWER).issuer("corp", &provider, "");
    let portcullis = setup.start().await;
    let check = |answer: &Value, subject: &str, kind: &str, proof: &str, roles: &[&str]| {
        let said = [&answer["subject"], &answer["kind"], &answer["proof"], &answer["roles"]];
        assert_eq!(said, [&json!(subject), &json!(kind), &json!(proof), &json!(roles)]);
    };
    let ana = who_am_i(&portcullis, ANA).await;
    check(&ana, "ana", "human", "scram", &[]);
    assert_eq!((&ana["groups"], &ana["expires_at"]), (&json!(["analysts"]), &Value::Null));
    check(&who_am_i(&portcullis, BOT).await, "bot", "agent", "scram", &[]);
    check(&who_am_i(&portcullis, VIEWER).await, "vera", "human", "scram", &["viewer"]);
    let all = ["operator", "approver", "administrator"];
    check(&who_am_i(&portcullis, ADMIN).await, "admin", "human", "scram", &all);
    let token = provider.issue(&Wanted::by("kim")).await.access;
    let kim = who_am_i(&portcullis, Login::Bearer(&token)).await;
    check(&kim, "kim", "human", "oidc", &["viewer", "approver"]);
    assert!(kim["expires_at"].is_string(), "{kim}");
    let delegated = provider.issue(&Wanted::by("kim").acted_for_by("robo")).await.access;
    let agent = who_am_i(&portcullis, Login::Bearer(&delegated)).await;
    assert_eq!((&agent["subject"], &agent["kind"]), (&json!("robo"), &json!("agent")));
    assert_eq!(agent["on_behalf_of"], "kim");
    let foreign = provider.issue(&Wanted::by("kim").audience("payroll")).await.access;
    let (status, _) = portcullis.api_as(Login::Bearer(&foreign), "GET", "/v1/whoami", None).await;
    assert_eq!(status, 401, "a token for somebody else");
}

async fn sessions(portcullis: &Portcullis) -> Vec<Value> {
    let (status, answer) = portcullis.api_as(VIEWER, "GET", "/v1/sessions", None).await;
    assert_eq!(status, 200, "{answer}");
    answer["sessions"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn who_is_connected_is_listed_with_what_they_do() {
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).unmatched("allow").roles().user(VIEWER);
    let portcullis = setup.start().await;
    assert_eq!(sessions(&portcullis).await, Vec::<Value>::new());
    let ana = portcullis.connect(ANA).await;
    let bot = portcullis.connect(BOT).await;
    let developer = portcullis.connect(DEVELOPER).await;
    for _ in 0..3 {
        ana.batch_execute("SELECT 1").await.expect("it runs");
    }
    bot.batch_execute("BEGIN").await.expect("it begins");
    let running = tokio::spawn(async move {
        drop(developer.batch_execute("SELECT pg_sleep(600)").await);
    });
    let states = wait_until("all are in their states", SOON, async || {
        let listed = sessions(&portcullis).await;
        let states: Vec<&str> =
            listed.iter().filter_map(|session| session["state"].as_str()).collect();
        (states == ["idle", "in transaction", "running"]).then_some(listed)
    })
    .await;
    for (session, user) in states.iter().zip([ANA, BOT, DEVELOPER]) {
        assert_eq!(session["subject"], user.name);
        assert_eq!(session["kind"], user.kind);
        assert_eq!(session["groups"], json!(user.groups));
        assert_eq!(session["proof"], "scram");
        assert_eq!(session["database"], DATABASE);
        assert_eq!(session["application"], "end-to-end");
        let from = session["client_address"].as_str().expect("an address");
        assert!(from.starts_with("127.0.0.1:"), "{from}");
        assert!(session["since"].is_string() && session["expires_at"].is_null(), "{session}");
    }
    assert_eq!(states[0]["statements"], 3);
    let id = states[2]["id"].as_u64().expect("a number");
    let path = format!("/v1/sessions/{id}");
    let body = Some(json!({ "reason": "two\nlines" }));
    assert_eq!(portcullis.api("DELETE", &path, body).await.0, 400);
    assert_eq!(portcullis.api("DELETE", "/v1/sessions/first", Some(json!({}))).await.0, 400);
    assert_eq!(portcullis.api("DELETE", &path, Some(json!({ "resaon": "" }))).await.0, 400);
    assert_eq!(sessions(&portcullis).await.len(), 3, "nothing ended");
    assert_eq!(portcullis.api("DELETE", &path, Some(json!({}))).await.0, 200);
    running.await.expect("it ends without a panic");
    wait_until("two are left", SOON, async || {
        (sessions(&portcullis).await.len() == 2).then_some(())
    })
    .await;
    let records = changes(&portcullis, ADMIN.name, 4).await;
    let expected = [true, true, true, false].map(|refused| ("end-session", refused));
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), expected);
}

async fn policies(portcullis: &Portcullis) -> Value {
    let (status, answer) = portcullis.api_as(VIEWER, "GET", "/v1/policies", None).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn policies_are_listed_with_what_failed() {
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).roles().user(VIEWER);
    let portcullis =
        setup.policy("10-guard.toml", "sql_guard.wasm", "mode = \"observe\"").start().await;
    let before = policies(&portcullis).await;
    let list = before["policies"].as_array().expect("a list");
    assert_eq!(list.len(), 1, "{before}");
    assert_eq!((&list[0]["name"], &list[0]["mode"]), (&json!("10-guard"), &json!("observe")));
    assert_eq!(list[0]["kinds"], json!(["guardrail"]));
    assert_eq!(before["failures"], json!([]));
    portcullis.replace("10-guard.toml", "plugin = \"sql_guard.wasm\"\nmode = \"obsreve\"\n");
    let after = wait_until("the failure is listed", SOON, async || {
        let now = policies(&portcullis).await;
        now["failures"].as_array().is_some_and(|failures| !failures.is_empty()).then_some(now)
    })
    .await;
    let failure = &after["failures"][0];
    assert_eq!((&failure["policy"], &failure["line"]), (&json!("10-guard"), &json!(2)));
    assert_eq!(failure["last_good_in_force"], true);
    assert!(failure["reason"].as_str().is_some_and(|reason| reason.contains("obsreve")));
    assert_eq!(after["policies"][0]["mode"], "observe", "the last good one stays");
    portcullis.replace("10-guard.toml", "plugin = \"sql_guard.wasm\"\n");
    wait_until("the mend is in force", SOON, async || {
        let now = policies(&portcullis).await;
        let mended = now["failures"] == json!([]) && now["policies"][0]["mode"] == "enforce";
        (mended && now["revision"].as_u64() > before["revision"].as_u64()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_is_wrong_changes_nothing() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database).unmatched("allow").roles().start().await;
    let file = portcullis.configuration_file();
    let good = std::fs::read_to_string(&file).expect("it is there");
    let write = |text: &str| std::fs::write(&file, text).expect("the directory takes files");
    let session = portcullis.connect(BOT).await;

    write(&good.replace("kind = \"agent\"", "kind = \"robot\""));
    let (status, answer) = portcullis.api("POST", "/v1/reload", None).await;
    assert_eq!(status, 409, "{answer}");
    let detail = answer["detail"].as_str().expect("a sentence");
    assert!(detail.contains("robot") && detail.contains("portcullis.toml"), "{detail}");
    assert_eq!(who_am_i(&portcullis, BOT).await["kind"], "agent", "the old one is in force");
    session.batch_execute("SELECT 1").await.expect("sessions go on");

    write(&good.replace("groups = [\"analysts\"]", "groups = [\"staff\"]"));
    let (status, answer) = portcullis.api("POST", "/v1/reload", None).await;
    assert_eq!((status, &answer["reloaded"]), (200, &json!(true)), "{answer}");
    assert_eq!(who_am_i(&portcullis, ANA).await["roles"], json!(["viewer"]));
    session.batch_execute("SELECT 1").await.expect("others' sessions go on");
    let records = changes(&portcullis, ADMIN.name, 3).await;
    // Tried, refused; tried.
    let said: Vec<_> = records.iter().map(told).collect();
    assert_eq!(said, [("reload", false), ("reload", true), ("reload", false)]);
}
