//! Every operation by everybody: a table of its own, so that a slip in the other one shows.

use std::collections::BTreeSet;

use super::http::Ask;
use super::stage::{Stage, USERS};
use crate::operation::Operation;

const EVERYBODY: &[&str] =
    &["nobody", "viewer", "operator", "approver", "second", "stranger", "root", "ana"];
const VIEWERS: &[&str] = &["viewer", "operator", "root"];
const OPERATORS: &[&str] = &["operator", "root"];
const APPROVERS: &[&str] = &["approver", "second", "stranger", "root"];
const ROOT: &[&str] = &["root"];

/// Method and path, and who may.
const TABLE: [(&str, &str, &[&str]); 18] = [
    ("GET", "/v1/whoami", EVERYBODY),
    ("GET", "/v1/openapi.json", EVERYBODY),
    ("GET", "/v1/sessions", VIEWERS),
    ("DELETE", "/v1/sessions/{id}", OPERATORS),
    ("GET", "/v1/approvals", APPROVERS),
    ("GET", "/v1/approvals/{id}", APPROVERS),
    ("POST", "/v1/approvals/{id}/grant", APPROVERS),
    ("POST", "/v1/approvals/{id}/refuse", APPROVERS),
    ("GET", "/v1/leases", &["viewer", "operator", "approver", "second", "stranger", "root"]),
    ("DELETE", "/v1/leases/{id}", &["operator", "approver", "second", "stranger", "root"]),
    ("GET", "/v1/policies", VIEWERS),
    ("POST", "/v1/reload", OPERATORS),
    ("POST", "/v1/credentials", EVERYBODY),
    ("GET", "/v1/credentials", EVERYBODY),
    ("DELETE", "/v1/credentials/{id}", EVERYBODY),
    ("GET", "/v1/principals/disabled", ROOT),
    ("PUT", "/v1/principals/{subject}/disabled", ROOT),
    ("DELETE", "/v1/principals/{subject}/disabled", ROOT),
];

#[test]
fn the_table_names_every_operation() {
    let routes = Operation::ALL.map(|operation| {
        let route = operation.route();
        (format!("{:?}", route.verb).to_uppercase(), route.path)
    });
    let named: BTreeSet<(String, &str)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), *path)).collect();
    assert_eq!(named, BTreeSet::from(routes));
}

#[test]
fn only_who_has_the_role_gets_through() {
    let stage = Stage::new();
    for (method, path, allowed) in TABLE {
        // Nothing is called that: who gets through is told so.
        let path = path.replace("{id}", "7Q2M9KXA").replace("{subject}", "somebody");
        for (name, _) in USERS {
            stage.heard.take();
            let answer = stage.ask(Ask::new(method, &path).by(name));
            let through = !matches!(answer.status, 401 | 403);
            assert_eq!(through, allowed.contains(&name), "{name}: {method} {path}: {answer:?}");
            if !through {
                assert_eq!(answer.header("content-type"), "application/problem+json");
                assert!(answer.json()["detail"].as_str().unwrap().contains("role"), "{answer:?}");
            }
            if !through && method != "GET" {
                let changes = stage.heard.changes();
                let refused = matches!(changes.as_slice(), [one] if one.contains("needs the role"));
                assert!(refused, "{name}: {method} {path}: {changes:?}");
            }
        }
    }
}

#[test]
fn nothing_is_done_for_who_does_not_log_in() {
    let stage = Stage::new();
    let basic = |pair: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let attempts = [
        None,
        Some("".to_owned()),
        Some("Basic".to_owned()),
        Some("Basic !!!".to_owned()),
        Some(basic("root")),
        Some(basic("root:wrong")),
        Some(basic("ROOT:root's own secret")),
        Some(basic(":root's own secret")),
        Some(basic(&format!("{}:x", "r".repeat(300)))),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.".to_owned()),
        Some("Digest username=root".to_owned()),
    ];
    for (method, path, _) in TABLE {
        let path = path.replace("{id}", "7Q2M9KXA").replace("{subject}", "somebody");
        let attempts = if path == "/v1/reload" { &attempts[..] } else { &attempts[..1] };
        for attempt in attempts {
            stage.heard.take();
            let ask = Ask::new(method, &path).header("Cookie", "portcullis-session=x");
            let ask = match attempt {
                Some(given) => ask.header("Authorization", given),
                None => ask,
            };
            let answer = stage.ask(ask);
            assert_eq!(answer.status, 401, "{method} {path} {attempt:?}: {answer:?}");
            // A browser must not ask for a password that it then sends unasked.
            assert!(!answer.header("www-authenticate").contains("Basic"));
            let records = stage.heard.take().len();
            assert_eq!(records > 0, method != "GET" || attempt.is_some(), "{method} {path}");
        }
    }
    assert_eq!(stage.reloads.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn two_logins_in_one_request_are_none() {
    let stage = Stage::new();
    let answer = stage.ask(Ask::get("/v1/whoami").by("root").by("root"));
    assert_eq!(answer.status, 401);
    assert_eq!(stage.ask(Ask::get("/v1/whoami").by("root")).status, 200);
}
