//! Deciding by the API, and by the link in a message.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use portcullis_approvals::{Ask as Held, Facts, Waiting};
use portcullis_policy::approval::{Need, Question};
use portcullis_policy::event::{ApprovalStep, EventId};
use portcullis_policy::principal::Asker;
use portcullis_policy::{Approval, Database, Principal, PrincipalKind, Terms};
use serde_json::json;

use super::document::fits;
use super::http::{Answer, Ask};
use super::stage::Stage;
use crate::shared::seconds_now;

/// `subject`'s statement, held for `needed` of the approvers.
fn hold(stage: &Stage, subject: &str, needed: u32) -> Waiting {
    let principal = Principal {
        subject: subject.to_owned(),
        kind: PrincipalKind::Human,
        groups: vec!["others".to_owned()],
        proof: "scram".to_owned(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: "192.0.2.7:50000".to_owned(),
        application: "psql".to_owned(),
        role: subject.to_owned(),
    };
    let database = Database { name: "shop".to_owned(), labels: Vec::new() };
    let approval = Approval {
        reason: "an UPDATE <b>of</b> many rows".to_owned(),
        approvers: vec!["approvers".to_owned(), "administrators".to_owned()],
        approvals_needed: needed,
        expires_in_seconds: 600,
    };
    let terms = Terms { lease_seconds_max: 600, acted_for_may_release: false };
    let question = Question {
        asker: Asker { principal: Arc::new(principal), database: Arc::new(database) },
        session: 7,
        content: [7; 32],
        fingerprints: vec!["f00d".to_owned()],
        needs: vec![Need { policy: "10-guard".into(), approval, terms }],
    };
    let facts = Facts {
        text: "update people set note = $1 -- <script>".to_owned(),
        command: "UPDATE".to_owned(),
        message: "query",
        relations: Vec::new(),
        rows_estimated: Some(40_000),
        earlier: vec!["begin".to_owned()],
        in_transaction: true,
        reason: "an UPDATE <b>of</b> many rows".to_owned(),
    };
    let expires_in = Duration::from_secs(600);
    let held = Held { question, facts, event: EventId(1), revision: 3, expires_in };
    stage.approvals.ask(held).unwrap()
}

/// What the waiting session is told, as the name of the case.
fn decided(mut waiting: Waiting) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    format!("{:?}", runtime.block_on(poll_fn(|cx| waiting.poll_decided(cx))))
}

fn grant(stage: &Stage, id: &str, name: &str, body: &str) -> Answer {
    stage.ask(Ask::post(&format!("/v1/approvals/{id}/grant")).by(name).json(body))
}

#[test]
fn a_statement_is_seen_granted_and_runs() {
    let stage = Stage::new();
    let waiting = hold(&stage, "ana", 1);
    let id = waiting.id().to_owned();
    let listed = stage.ask(Ask::get("/v1/approvals").by("approver"));
    fits("listApprovals", &listed.json());
    assert!(!listed.body.contains("update people"), "who is shown the text is a record");
    let shown = stage.ask(Ask::get(&format!("/v1/approvals/{id}")).by("approver"));
    fits("showApproval", &shown.json());
    assert_eq!(shown.json()["rows_estimated"], 40_000);
    let done = grant(&stage, &id, "approver", "{\"comment\": \"go\", \"lease_seconds\": 60}");
    assert_eq!(done.status, 200, "{done:?}");
    fits("grantApproval", &done.json());
    assert_eq!(done.json()["state"], "granted");
    assert!(decided(waiting).starts_with("Granted"));
    let leases = stage.ask(Ask::get("/v1/leases").by("viewer")).json();
    fits("listLeases", &leases);
    assert_eq!(leases["leases"][0]["subject"], "ana");
    let revoke = || Ask::new("DELETE", &format!("/v1/leases/{id}")).by("operator");
    let revoked = stage.ask(revoke());
    fits("revokeLease", &revoked.json());
    assert_eq!(stage.ask(revoke()).status, 404);
    let steps: Vec<String> = stage.heard.take_steps().iter().map(step).collect();
    assert_eq!(
        steps,
        ["asked", "shown to approver", "granted by approver", "ended granted", "lease ended"]
    );
}

fn step(step: &ApprovalStep) -> String {
    match step {
        ApprovalStep::Asked { .. } => "asked".to_owned(),
        ApprovalStep::Shown { to, .. } => format!("shown to {}", to.subject),
        ApprovalStep::Granted { by, .. } => format!("granted by {}", by.subject),
        ApprovalStep::Refused { by, .. } => format!("refused by {}", by.subject),
        ApprovalStep::Ended { state, .. } => format!("ended {state}"),
        ApprovalStep::LeaseRevoked { .. } => "lease ended".to_owned(),
    }
}

#[test]
fn who_may_not_decide_does_not_and_it_is_recorded() {
    let stage = Stage::new();
    let waiting = hold(&stage, "approver", 1);
    let id = waiting.id().to_owned();
    let check = |name: &str, status: u16, part: &str| {
        stage.heard.take();
        let answer = grant(&stage, &id, name, "{}");
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.body.contains(part), "{name}: {answer:?}");
        let changes = stage.heard.changes();
        assert!(changes.len() == 1 && changes[0].contains("grant-approval"), "{changes:?}");
    };
    check("approver", 403, "nobody releases their own statement");
    check("stranger", 403, "in none of the groups");
    check("operator", 403, "needs the role approver");
    let too_long = grant(&stage, &id, "second", "{\"lease_seconds\": 601}");
    assert_eq!(too_long.status, 422, "{too_long:?}");
    assert_eq!(grant(&stage, &id, "second", "{}").status, 200);
    assert!(decided(waiting).starts_with("Granted"));
    check("second", 409, "it is over");
    assert_eq!(grant(&stage, "00000000", "second", "{}").status, 404);
}

#[test]
fn one_refusal_ends_it() {
    let stage = Stage::new();
    let waiting = hold(&stage, "ana", 2);
    let path = format!("/v1/approvals/{}/refuse", waiting.id());
    let done = stage.ask(Ask::post(&path).by("second").json("{\"comment\": \"not now\"}"));
    fits("refuseApproval", &done.json());
    assert!(decided(waiting).contains("refused by second: not now"));
    assert_eq!(stage.ask(Ask::post(&path).by("approver")).status, 409);
}

fn link(stage: &Stage, id: &str) -> String {
    let token = stage.links.issue(id, seconds_now() + 600).unwrap();
    format!("/approve/{token}")
}

#[test]
fn a_link_leads_to_a_login_and_is_good_for_one_decision() {
    let stage = Stage::new();
    let waiting = hold(&stage, "ana", 1);
    let link = link(&stage, waiting.id());
    for _ in 0..3 {
        // As a chat room does that shows what a link leads to.
        let page = stage.ask(Ask::get(&link));
        assert_eq!(page.status, 200);
        assert!(page.body.contains("Log in") && !page.body.contains("people"), "{}", page.body);
    }
    let cookies = stage.log_in("approver", &link);
    let page = stage.ask(Ask::get(&link).cookies(&cookies));
    assert!(page.body.contains("update people set note = $1"), "{}", page.body);
    assert!(!page.body.contains("<script>") && !page.body.contains("<b>"), "{}", page.body);
    let mark = page.mark();
    let fields = [("mark", mark.as_str()), ("decision", "grant"), ("lease_minutes", "10")];
    let decide = || Ask::post(&link).cookies(&cookies).form(&fields);
    let done = stage.ask(decide());
    assert!(done.status == 200 && done.body.contains("It is granted"), "{done:?}");
    assert!(decided(waiting).starts_with("Granted"));
    assert_eq!(stage.ask(decide()).status, 410, "a second time");
    assert_eq!(stage.ask(Ask::get(&link)).status, 410);
    assert_eq!(
        stage.ask(Ask::get("/v1/leases").by("viewer")).json()["leases"][0]["subject"],
        "ana"
    );
}

#[test]
fn who_may_not_decide_does_not_use_a_link_up() {
    let stage = Stage::new();
    let waiting = hold(&stage, "approver", 1);
    let link = link(&stage, waiting.id());
    let decide = |name: &str| {
        let cookies = stage.log_in(name, &link);
        let page = stage.ask(Ask::get(&link).cookies(&cookies));
        let mark = if page.mark().is_empty() { "x".to_owned() } else { page.mark() };
        let fields = [("mark", mark.as_str()), ("decision", "grant")];
        stage.heard.take();
        stage.ask(Ask::post(&link).cookies(&cookies).form(&fields))
    };
    let check = |name: &str, part: &str| {
        let answer = decide(name);
        assert!(answer.status == 403 && answer.body.contains(part), "{name}: {answer:?}");
        let changes = stage.heard.changes();
        let target = format!("{name} decide-by-link approval {}", waiting.id());
        assert!(changes.len() == 1 && changes[0].starts_with(&target), "{changes:?}");
    };
    check("approver", "nobody releases their own statement");
    check("stranger", "in none of the groups");
    // One without the role sees no page, and so no form.
    check("operator", "did not come from a page");
    assert_eq!(decide("second").status, 200);
}

#[test]
fn of_two_who_use_a_link_at_once_one_finds_it_used() {
    let stage = Stage::new();
    let waiting = hold(&stage, "ana", 2);
    let link = link(&stage, waiting.id());
    let ready: Vec<Ask> = ["approver", "second"]
        .into_iter()
        .map(|name| {
            let cookies = stage.log_in(name, &link);
            let mark = stage.ask(Ask::get(&link).cookies(&cookies)).mark();
            let fields = [("mark", mark.as_str()), ("decision", "grant")];
            Ask::post(&link).cookies(&cookies).form(&fields)
        })
        .collect();
    let address = stage.admin.address();
    let at_once: Vec<_> =
        ready.into_iter().map(|ask| std::thread::spawn(move || ask.send(address).status)).collect();
    let mut statuses: Vec<u16> = at_once.into_iter().map(|one| one.join().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410]);
    let shown = stage.ask(Ask::get(&format!("/v1/approvals/{}", waiting.id())).by("root")).json();
    assert_eq!((&shown["state"], &shown["granted"]), (&json!("pending"), &json!(1)));
}

#[test]
fn forged_and_expired_links_lead_nowhere() {
    let stage = Stage::new();
    let waiting = hold(&stage, "ana", 1);
    let good = link(&stage, waiting.id());
    let check = |path: &str, status: u16| {
        assert_eq!(stage.ask(Ask::get(path)).status, status, "{path}");
    };
    check(&good, 200);
    let changed =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
    check(&changed, 404);
    check("/approve/x", 404);
    check(&format!("/approve/{}", waiting.id()), 404);
    let other = portcullis_approvals::Links::new().unwrap();
    let foreign = other.issue(waiting.id(), seconds_now() + 600).unwrap();
    check(&format!("/approve/{foreign}"), 404);
    let expired = stage.links.issue(waiting.id(), seconds_now()).unwrap();
    check(&format!("/approve/{expired}"), 410);
}
