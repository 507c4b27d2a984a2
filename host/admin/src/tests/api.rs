//! What the API does for those who may.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::document::fits;
use super::http::{Answer, Ask};
use super::stage::Stage;

fn is_problem(answer: &Answer, status: u16, part: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    fits_problem(&answer.json());
    assert!(answer.json()["detail"].as_str().unwrap().contains(part), "{answer:?}");
}

fn fits_problem(problem: &Value) {
    let members: Vec<&String> = problem.as_object().unwrap().keys().collect();
    assert_eq!(members, ["detail", "status", "title", "type"]);
}

#[test]
fn health_is_open_and_says_nothing_else() {
    let stage = Stage::new();
    assert_eq!(stage.ask(Ask::get("/livez")).body, "ok\n");
    let ready = stage.ask(Ask::get("/readyz"));
    assert!(matches!(ready.status, 200 | 503), "{ready:?}");
}

#[test]
fn where_to_log_in_is_told_to_everybody() {
    let stage = Stage::new();
    let told = stage.ask(Ask::get("/v1/login-options"));
    assert_eq!((told.status, told.body.as_str()), (200, "{\"issuer\":null}"));
}

#[test]
fn metrics_have_no_names_of_people() {
    let stage = Stage::new();
    let metrics = stage.ask(Ask::get("/metrics"));
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "portcullis_sessions 0.0",
        "portcullis_decisions_total{decision=\"permitted\"} 0",
        "portcullis_approvals_pending 0.0",
        "portcullis_ledger_lag_seconds 0.25",
        "portcullis_sink_lag_seconds{policy=\"90-webhook\"} 0.0",
        "portcullis_statement_duration_seconds_count 0",
        "# EOF",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
}

#[test]
fn one_is_told_who_one_is() {
    let stage = Stage::new();
    let check = |name: &str, roles: Value| {
        let me = stage.ask(Ask::get("/v1/whoami").by(name)).json();
        fits("whoAmI", &me);
        assert_eq!((&me["subject"], &me["roles"]), (&json!(name), &roles));
        assert_eq!(me["proof"], "scram");
    };
    check("viewer", json!(["viewer"]));
    check("root", json!(["administrator"]));
    check("nobody", json!([]));
}

#[test]
fn answers_are_as_described() {
    let stage = Stage::new();
    for (path, operation) in [
        ("/v1/sessions", "listSessions"),
        ("/v1/policies", "showPolicies"),
        ("/v1/approvals", "listApprovals"),
        ("/v1/leases", "listLeases"),
        ("/v1/credentials", "listCredentials"),
        ("/v1/principals/disabled", "listDisabled"),
        ("/v1/openapi.json", "document"),
    ] {
        let answer = stage.ask(Ask::get(path).by("root"));
        assert_eq!(answer.status, 200, "{path}");
        fits(operation, &answer.json());
    }
}

#[test]
fn sessions_that_are_not_there_cannot_be_ended() {
    let stage = Stage::new();
    let end = |id: &str, body: &str| {
        stage.ask(Ask::new("DELETE", &format!("/v1/sessions/{id}")).by("operator").json(body))
    };
    is_problem(&end("7", "{}"), 404, "no session 7");
    is_problem(&end("seven", "{}"), 400, "is a number");
    is_problem(&end("7", "{\"reason\": \"a\\nb\"}"), 400, "one line");
    is_problem(&end("7", "{\"reasons\": \"x\"}"), 400, "unknown field");
    let changes = stage.heard.changes();
    assert_eq!(changes.len(), 4);
    assert_eq!(changes[0], "operator end-session /v1/sessions/7: there is no session 7");
}

#[test]
fn a_reload_is_recorded_and_says_what_is_wrong() {
    let stage = Stage::new();
    let done = stage.ask(Ask::post("/v1/reload").by("operator"));
    assert_eq!(done.status, 200);
    fits("reload", &done.json());
    is_problem(&stage.ask(Ask::post("/v1/reload").by("operator")), 409, "has a mistake");
    assert_eq!(
        stage.heard.changes(),
        [
            "operator reload configuration",
            "operator reload configuration",
            "operator reload /v1/reload: portcullis.toml has a mistake",
        ]
    );
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let stage = Stage::new();
    stage.heard.is_full.store(true, Ordering::Relaxed);
    is_problem(&stage.ask(Ask::post("/v1/reload").by("operator")), 503, "ledger");
    let disable = Ask::new("PUT", "/v1/principals/ana/disabled").by("root");
    is_problem(&stage.ask(disable), 503, "ledger");
    let issue = Ask::post("/v1/credentials").by("ana");
    is_problem(&stage.ask(issue.json("{\"database\":\"shop\",\"minutes\":5}")), 503, "ledger");
    assert_eq!(stage.reloads.load(Ordering::Relaxed), 0);
    assert!(!stage.settings.directory.disabled.contains("ana"));
    assert!(stage.credentials.list(std::time::SystemTime::now()).is_empty());
    stage.heard.is_full.store(false, Ordering::Relaxed);
    assert_eq!(stage.ask(Ask::post("/v1/reload").by("operator")).status, 200);
}

#[test]
fn a_short_lived_password_is_shown_once_and_makes_no_other() {
    let stage = Stage::new();
    let issue = |ask: Ask, body: &str| stage.ask(ask.json(body));
    let wanted = "{\"database\": \"shop\", \"minutes\": 5}";
    let issued = issue(Ask::post("/v1/credentials").by("ana"), wanted);
    assert_eq!(issued.status, 201, "{issued:?}");
    assert_eq!(issued.header("cache-control"), "no-store");
    let issued = issued.json();
    fits("issueCredential", &issued);
    let (user, secret) = (issued["user"].as_str().unwrap(), issued["password"].as_str().unwrap());
    let with_it = |ask: Ask| ask.basic(user, secret);
    let me = stage.ask(with_it(Ask::get("/v1/whoami"))).json();
    assert_eq!((&me["subject"], &me["proof"]), (&json!("ana"), &json!("credential")));
    is_problem(&issue(with_it(Ask::post("/v1/credentials")), wanted), 403, "cannot be used");
    let listed = stage.ask(Ask::get("/v1/credentials").by("ana"));
    fits("listCredentials", &listed.json());
    assert!(listed.body.contains(user) && !listed.body.contains(secret));
    let records = format!("{:?}", stage.heard.take());
    assert!(records.contains("5 minutes of shop") && !records.contains(secret));
}

#[test]
fn short_lived_passwords_are_bounded() {
    let stage = Stage::with(|settings| {
        settings.credential_lifetime_max = std::time::Duration::from_secs(600);
    });
    let check = |body: &str, status: u16, part: &str| {
        let answer = stage.ask(Ask::post("/v1/credentials").by("ana").json(body));
        is_problem(&answer, status, part);
    };
    check("{\"database\": \"shop\", \"minutes\": 11}", 422, "at most 10");
    check("{\"database\": \"shop\", \"minutes\": 0}", 422, "at least 1");
    check("{\"database\": \"shop\", \"minutes\": -1}", 400, "does not fit");
    check("{\"database\": \"shop\", \"minutes\": 1e9}", 400, "does not fit");
    check("{\"database\": \"payroll\", \"minutes\": 5}", 403, "not open to you");
    check("{\"database\": \"\", \"minutes\": 5}", 400, "a name");
    check("{\"minutes\": 5}", 400, "database");
    check("", 400, "database");
    let plain = Ask::post("/v1/credentials").by("ana").form(&[("database", "shop")]);
    is_problem(&stage.ask(plain), 415, "application/json");
    let made = "{\"database\": \"shop\", \"minutes\": 10}";
    let answers = (0..17).map(|_| stage.ask(Ask::post("/v1/credentials").by("ana").json(made)));
    let statuses: Vec<u16> = answers.map(|answer| answer.status).collect();
    assert_eq!((&statuses[..16], statuses[16]), (&[201; 16][..], 409));
}

#[test]
fn short_lived_passwords_are_their_holders_to_see_and_revoke() {
    let stage = Stage::new();
    let body = "{\"database\": \"shop\", \"minutes\": 5}";
    let id = |name: &str| {
        let issued = stage.ask(Ask::post("/v1/credentials").by(name).json(body)).json();
        issued["id"].as_str().unwrap().to_owned()
    };
    let (hers, his) = (id("ana"), id("nobody"));
    let seen = |name: &str| {
        let listed = stage.ask(Ask::get("/v1/credentials").by(name)).json();
        listed["credentials"].as_array().unwrap().len()
    };
    assert_eq!((seen("ana"), seen("operator"), seen("root")), (1, 0, 2));
    let revoke = |name: &str, id: &str| {
        stage.ask(Ask::new("DELETE", &format!("/v1/credentials/{id}")).by(name))
    };
    is_problem(&revoke("ana", &his), 404, "no such credential");
    is_problem(&revoke("operator", &his), 404, "no such credential");
    let done = revoke("ana", &hers);
    assert_eq!(done.status, 200);
    fits("revokeCredential", &done.json());
    is_problem(&revoke("ana", &hers), 404, "no such credential");
    assert_eq!(revoke("root", &his).status, 200);
    assert_eq!(seen("root"), 0);
}

#[test]
fn who_is_disabled_is_out_at_once_and_in_again_when_enabled() {
    let stage = Stage::new();
    let path = "/v1/principals/ana/disabled";
    let done = stage.ask(Ask::new("PUT", path).by("root").json("{\"reason\": \"left\"}"));
    assert_eq!(done.status, 200);
    fits("disablePrincipal", &done.json());
    stage.heard.take();
    assert_eq!(stage.ask(Ask::get("/v1/whoami").by("ana")).status, 401);
    let refused = format!("{:?}", stage.heard.take());
    assert!(refused.contains("LoginRefused") && refused.contains("disabled"), "{refused}");
    let listed = stage.ask(Ask::get("/v1/principals/disabled").by("root")).json();
    fits("listDisabled", &listed);
    assert_eq!(listed["principals"][0]["reason"], "left");
    let done = stage.ask(Ask::new("DELETE", path).by("root"));
    fits("enablePrincipal", &done.json());
    assert_eq!(stage.ask(Ask::get("/v1/whoami").by("ana")).status, 200);
    is_problem(&stage.ask(Ask::new("DELETE", path).by("root")), 404, "no disabled principal");
    let own = Ask::new("PUT", "/v1/principals/root/disabled").by("root");
    is_problem(&stage.ask(own), 409, "nobody disables themselves");
}

#[test]
fn subjects_may_have_any_readable_name() {
    let stage = Stage::new();
    let disable = |segment: &str| {
        let path = format!("/v1/principals/{segment}/disabled");
        stage.ask(Ask::new("PUT", &path).by("root")).status
    };
    assert_eq!(disable("CN%3Dsvc%2CO%3DShop%2FEurope"), 200);
    assert!(stage.settings.directory.disabled.contains("CN=svc,O=Shop/Europe"));
    assert_eq!(disable("a%00b"), 400);
    assert_eq!(disable("a%ff"), 400);
    assert_eq!(disable(&"a".repeat(257)), 400);
    assert_eq!(disable(""), 400);
}

#[test]
fn failed_logins_are_records_and_answers_say_nothing_else() {
    let stage = Stage::new();
    let wrong = stage.ask(Ask::get("/v1/whoami").basic("ana", "wrong"));
    let unknown = stage.ask(Ask::get("/v1/whoami").basic("eve", "wrong"));
    assert_eq!((wrong.status, &wrong.body), (401, &unknown.body));
    let records = format!("{:?}", stage.heard.take());
    for part in ["role: \"ana\"", "role: \"eve\"", "admin API: wrong name or password"] {
        assert!(records.contains(part), "{records}");
    }
    assert!(!records.contains("\"wrong\""));
}

#[test]
fn who_fails_often_waits() {
    let stage = Stage::new();
    let begun = std::time::Instant::now();
    for _ in 0..6 {
        stage.ask(Ask::get("/v1/whoami").from(9).basic("eve", "wrong"));
    }
    assert!(begun.elapsed().as_millis() >= 700, "100, 200 and 400 ms");
    let quick = std::time::Instant::now();
    assert_eq!(stage.ask(Ask::get("/v1/whoami").from(10).by("ana")).status, 200);
    assert!(quick.elapsed() < begun.elapsed(), "others do not");
}
