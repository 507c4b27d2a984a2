//! What a record looks like.

use expect_test::{Expect, expect};
use portcullis_policy::event::{DecisionMade, Ending, Event, EventId, Notable, Outcome};
use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{
    Access, Action, Fault, FaultKind, Mode, Opaque, Outputs, RelationUse, Statement, Verdict,
    VerdictAnswer,
};
use time::OffsetDateTime;

use super::{database, outcome, principal};
use crate::head::Place;
use crate::record::{Note, Writer};
use crate::statements::{Intent, Part};

fn place() -> Place {
    let now = OffsetDateTime::from_unix_timestamp_nanos(1_800_000_000_000_042_999).unwrap();
    Place { seq: 12, now: now.into() }
}

fn pretty(line: &[u8]) -> String {
    assert_eq!(line.last(), Some(&b'\n'));
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let text = std::str::from_utf8(line).unwrap();
    serde_json::from_str::<serde_json::Value>(text).unwrap();
    text.replace(",\"", ",\n\"")
}

fn check(event: &Event, expected: Expect) {
    let mut line = Vec::new();
    Writer::of("0").event(&mut line, place(), event);
    expected.assert_eq(&pretty(&line));
}

fn statement() -> Statement {
    Statement {
        text: "select email from users where id = 17".to_owned(),
        shape: "select email from users where id = $1".to_owned(),
        fingerprint: "fp".to_owned(),
        actions: vec![Action::Select],
        command: "SELECT".to_owned(),
        relations: Vec::new(),
        functions: Vec::new(),
        parameters_set: Vec::new(),
        unbounded_write: false,
        unbounded_read: false,
        opaque: Vec::new(),
        outputs: Outputs::Nothing,
        written: Vec::new(),
        columns: Vec::new(),
        redefined: Vec::new(),
        carriers: Vec::new(),
        effect: SessionEffect::None,
        copy: None,
    }
}

fn check_intent(intent: &Intent<'_>, expected: Expect) {
    let mut line = Vec::new();
    Writer::of("0").intent(&mut line, place(), intent);
    expected.assert_eq(&pretty(&line));
}

#[test]
fn an_intent_with_everything() {
    let mut statement = statement();
    statement.relations.push(RelationUse {
        name: "public.users".to_owned(),
        resolved: true,
        oid: Some(16_400),
        access: Access::Read,
        columns: vec!["email".to_owned()],
        all_columns: false,
        labels: vec!["pii.email".to_owned()],
    });
    statement.functions.push("lower".to_owned());
    statement.opaque.push(Opaque::Body("f".to_owned()));
    let decision = DecisionMade::Denied {
        policy: Some("10-guard".into()),
        reason: "a \"quoted\"\nreason".to_owned(),
    };
    let answer = |answer| VerdictAnswer { policy: "10-guard".into(), mode: Mode::Enforce, answer };
    let verdict = Verdict { tags: vec!["bulk".to_owned()], ..Verdict::deny("no") };
    let fault = Fault { kind: FaultKind::Trap, message: "unreachable".to_owned() };
    check_intent(
        &Intent {
            event: EventId(0x1234),
            asker: &Part::asker(7, &principal(), &database()),
            message: "query",
            statement: &Part::statement(&statement),
            parameters: 2,
            ruling: &Part::ruling(
                &decision,
                &[answer(Ok(verdict)), answer(Err(fault))],
                Some("lease 7"),
                4,
            ),
        },
        expect![[r#"
            {"v":1,
            "seq":12,
            "stream":"0",
            "time":"2027-01-15T08:00:00.000042Z",
            "kind":"intent",
            "event":"00000000000000000000000000001234",
            "session":7,
            "principal":{"subject":"ana",
            "kind":"human",
            "groups":["analysts"],
            "proof":"scram",
            "client_address":"192.0.2.1:4711",
            "application":"psql",
            "role":"ana"},
            "database":"shop",
            "message":"query",
            "text":"select email from users where id = $1",
            "fingerprint":"fp",
            "command":"SELECT",
            "actions":["select"],
            "relations":[{"name":"public.users",
            "access":"read",
            "columns":["email"],
            "labels":["pii.email"]}],
            "functions":["lower"],
            "opaque":["body not seen: f"],
            "parameters":2,
            "decision":"denied",
            "policy":"10-guard",
            "reason":"a \"quoted\"\nreason",
            "answers":[{"policy":"10-guard",
            "mode":"enforce",
            "answer":"deny",
            "tags":["bulk"]},{"policy":"10-guard",
            "mode":"enforce",
            "answer":"fault: trap"}],
            "released_by":"lease 7",
            "revision":4}
        "#]],
    );
}

#[test]
fn an_intent_with_nothing_to_add() {
    check_intent(
        &Intent {
            event: EventId(0x1234),
            asker: &Part::asker(7, &principal(), &database()),
            message: "query",
            statement: &Part::statement(&statement()),
            parameters: 0,
            ruling: &Part::ruling(&DecisionMade::Permitted, &[], None, 4),
        },
        expect![[r#"
            {"v":1,
            "seq":12,
            "stream":"0",
            "time":"2027-01-15T08:00:00.000042Z",
            "kind":"intent",
            "event":"00000000000000000000000000001234",
            "session":7,
            "principal":{"subject":"ana",
            "kind":"human",
            "groups":["analysts"],
            "proof":"scram",
            "client_address":"192.0.2.1:4711",
            "application":"psql",
            "role":"ana"},
            "database":"shop",
            "message":"query",
            "text":"select email from users where id = $1",
            "fingerprint":"fp",
            "command":"SELECT",
            "actions":["select"],
            "decision":"permitted",
            "revision":4}
        "#]],
    );
}

#[test]
fn an_outcome() {
    check(
        &outcome(EventId(0x1234)),
        expect![[r#"
            {"v":1,
            "seq":12,
            "stream":"0",
            "time":"2027-01-15T08:00:00.000042Z",
            "kind":"outcome",
            "event":"00000000000000000000000000001234",
            "session":7,
            "ending":"completed",
            "tag":"SELECT 3",
            "rows":3,
            "bytes":120,
            "cells_masked":2,
            "labels_masked":["pii.email"],
            "cells_observed":5,
            "duration_us":815,
            "revision":4}
        "#]],
    );
}

#[test]
fn endings() {
    let mut lines = String::new();
    for ending in [
        Ending::Completed { tag: "DELETE 2".to_owned() },
        Ending::Failed { sqlstate: "23505".to_owned() },
        Ending::Suspended,
        Ending::Skipped,
        Ending::Refused,
        Ending::Lost,
    ] {
        let Event::Outcome(outcome) = outcome(EventId(1)) else { unreachable!() };
        let mut line = Vec::new();
        let event = Event::Outcome(Outcome { ending, ..outcome });
        Writer::of("0").event(&mut line, place(), &event);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let fields = ["ending", "tag", "sqlstate"].map(|name| line[name].as_str().unwrap_or("-"));
        lines.push_str(&fields.join(" "));
        lines.push('\n');
    }
    expect![[r#"
        completed DELETE 2 -
        failed - 23505
        suspended - -
        skipped - -
        refused - -
        lost - -
    "#]]
    .assert_eq(&lines);
}

#[test]
fn everything_else() {
    let mut lines = Vec::new();
    for notable in [
        Notable::Started { version: "0.1.0" },
        Notable::Stopped,
        Notable::Login { session: 7, principal: principal(), database: database() },
        Notable::LoginRefused {
            role: "eve".to_owned(),
            client_address: "192.0.2.9:1".to_owned(),
            reason: "password authentication failed".to_owned(),
        },
        Notable::Logout { session: 7, statements: 3 },
        Notable::PolicySet {
            revision: 5,
            changes: vec!["50-pii changed".to_owned()],
            failures: Vec::new(),
        },
        Notable::Fault { policy: "50-pii".into(), kind: "trap", message: "unreachable".to_owned() },
    ] {
        Writer::of("0").event(&mut lines, place(), &Event::Notable(notable));
    }
    for note in [
        Note::Recovered { segment: 3, bytes_removed: 17 },
        Note::Resumed { since: "then", error: "full", first_seq: 3, last_seq: 9, unwritten: 1 },
        Note::Unsynced { first_seq: 3, last_seq: 9, error: "gone" },
    ] {
        Writer::of("0").note(&mut lines, place(), &note);
    }
    let text = String::from_utf8(lines).unwrap();
    let shared = "{\"v\":1,\"seq\":12,\"stream\":\"0\",\"time\":\"2027-01-15T08:00:00.000042Z\",";
    assert!(text.lines().all(|line| line.starts_with(shared)), "{text}");
    expect![[r#"
        "kind":"started","version":"0.1.0"}
        "kind":"stopped"}
        "kind":"login","session":7,"principal":{"subject":"ana","kind":"human","groups":["analysts"],"proof":"scram","client_address":"192.0.2.1:4711","application":"psql","role":"ana"},"database":"shop"}
        "kind":"login-refused","role":"eve","client_address":"192.0.2.9:1","reason":"password authentication failed"}
        "kind":"logout","session":7,"statements":3}
        "kind":"policy-set","revision":5,"changes":["50-pii changed"],"failures":[]}
        "kind":"fault","policy":"50-pii","fault":"trap","message":"unreachable"}
        "kind":"ledger-recovered","segment":3,"bytes_removed":17}
        "kind":"ledger-resumed","since":"then","error":"full","first_seq":3,"last_seq":9,"unwritten":1}
        "kind":"ledger-unsynced","first_seq":3,"last_seq":9,"error":"gone"}
    "#]]
    .assert_eq(&text.replace(shared, ""));
}
