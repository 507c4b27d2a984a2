use std::sync::Arc;

use super::*;
use crate::judge::{Ruling, Unmatched, judge};
use crate::principal::Database;
use crate::set::{Coverage, Mode, VerdictAnswer};
use crate::verdict::{Decision, Terms, Verdict};

const HOUR: u64 = 3_600;
const CONTENT: [u8; 32] = [7; 32];

fn person(subject: &str, groups: &[&str]) -> Principal {
    Principal {
        subject: subject.to_owned(),
        kind: PrincipalKind::Human,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        proof: "scram".to_owned(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: String::new(),
        application: String::new(),
        role: String::new(),
    }
}

fn agent_of(human: &str) -> Principal {
    let kind = PrincipalKind::Agent;
    Principal { kind, on_behalf_of: Some(human.to_owned()), ..person("bot", &["agents"]) }
}

fn approval(approvers: &[&str], approvals_needed: u32) -> Approval {
    Approval {
        reason: "risky".into(),
        approvers: approvers.iter().map(|group| (*group).to_owned()).collect(),
        approvals_needed,
        expires_in_seconds: 60,
    }
}

fn need(policy: &str, approvers: &[&str], approvals_needed: u32, terms: Terms) -> Need {
    Need { policy: policy.into(), approval: approval(approvers, approvals_needed), terms }
}

fn asker(principal: Principal) -> Asker {
    let database = Database { name: "shop".into(), labels: Vec::new() };
    Asker { principal: Arc::new(principal), database: Arc::new(database) }
}

fn case(principal: Principal, needs: Vec<Need>) -> Case {
    let question = Question {
        asker: asker(principal),
        session: 3,
        content: CONTENT,
        fingerprints: vec!["f1".into()],
        needs,
    };
    Case::new("abc".into(), question, 0, HOUR)
}

fn held(approvals: &[(&str, Approval)]) -> Held<()> {
    let answers: Vec<VerdictAnswer> = approvals
        .iter()
        .map(|(policy, approval)| VerdictAnswer {
            policy: (*policy).into(),
            mode: Mode::Enforce,
            answer: Ok(Verdict {
                decision: Decision::RequireApproval(approval.clone()),
                ..Verdict::allow()
            }),
        })
        .collect();
    let covered = Coverage { guardrail: true, masker: true };
    match judge((), &answers, covered, Unmatched::Deny) {
        Ruling::Held(held) => held,
        Ruling::Permitted(_) | Ruling::Denied(_) => panic!("it is held"),
    }
}

fn said(result: Result<Standing, Ineligible>) -> String {
    match result {
        Ok(standing) => standing.as_str().to_owned(),
        Err(why) => why.to_string(),
    }
}

#[test]
fn who_may_release() {
    let strict = || vec![need("10", &["dba"], 1, Terms::default())];
    let lenient = || {
        let terms = Terms { acted_for_may_release: true, ..Terms::default() };
        vec![need("10", &["dba"], 1, terms)]
    };
    let check = |principal: Principal, needs: Vec<Need>, approver: Principal, expected: &str| {
        let result = case(principal, needs).grant(&approver, None, 0, 1);
        assert_eq!(said(result), expected);
    };
    let ana = || person("ana", &["analysts"]);
    check(ana(), strict(), person("dora", &["dba"]), "granted");
    check(ana(), strict(), person("eve", &["ops"]), &Ineligible::NotApprover.to_string());
    check(ana(), strict(), person("ana", &["dba"]), &Ineligible::OwnStatement.to_string());
    check(agent_of("dora"), strict(), person("dora", &["dba"]), &Ineligible::ActedFor.to_string());
    check(agent_of("dora"), lenient(), person("dora", &["dba"]), "granted");
    check(agent_of("dora"), strict(), person("dan", &["dba"]), "granted");
    let robot = Principal { kind: PrincipalKind::Agent, ..person("robot", &["dba"]) };
    check(ana(), strict(), robot, &Ineligible::NotHuman.to_string());
    let service = Principal { kind: PrincipalKind::Service, ..person("cron", &["dba"]) };
    check(ana(), strict(), service, &Ineligible::NotHuman.to_string());
}

#[test]
fn a_quorum_is_of_different_people_and_of_every_policy() {
    let needs = vec![
        need("10", &["dba"], 2, Terms::default()),
        need("20", &["legal"], 1, Terms::default()),
    ];
    let mut case = case(person("ana", &[]), needs);
    let mut step = |approver: Principal, expected: &str| {
        assert_eq!(said(case.grant(&approver, None, 0, 1)), expected);
    };
    step(person("dora", &["dba"]), "pending");
    step(person("dora", &["dba"]), &Ineligible::VotedAlready.to_string());
    step(person("lee", &["legal"]), "pending");
    step(person("dan", &["dba"]), "granted");
    step(person("dirk", &["dba"]), &Ineligible::Over.to_string());
    assert!(case.granted().is_some());
}

#[test]
fn it_ends_once() {
    let new = || case(person("ana", &[]), vec![need("10", &["dba"], 1, Terms::default())]);
    let dora = person("dora", &["dba"]);

    let mut refused = new();
    assert_eq!(refused.refuse(&person("eve", &[]), None, 1), Err(Ineligible::NotApprover));
    assert_eq!(refused.refuse(&dora, Some("not today".into()), 1), Ok(()));
    assert_eq!(refused.ended_because(), Some("refused by dora: not today"));
    assert_eq!(refused.grant(&dora, None, 0, 1), Err(Ineligible::Over));
    assert!(refused.granted().is_none() && !refused.withdraw("gone"));

    let mut expired = new();
    assert!(!expired.expire(HOUR - 1) && expired.expire(HOUR) && !expired.expire(HOUR + 1));
    assert_eq!(new().grant(&dora, None, 0, HOUR), Err(Ineligible::Over));

    let mut withdrawn = new();
    assert!(withdrawn.withdraw("cancelled") && !withdrawn.withdraw("disconnected"));
    assert_eq!(withdrawn.grant(&dora, None, 0, 1), Err(Ineligible::Over));
    assert_eq!(withdrawn.ended_because(), Some("cancelled"));
}

#[test]
fn a_grant_releases_that_message_of_that_session_and_no_more_than_was_asked() {
    let mut case = case(person("ana", &[]), vec![need("10", &["dba"], 1, Terms::default())]);
    assert_eq!(case.grant(&person("dora", &["dba"]), None, 0, 1), Ok(Standing::Granted));
    let grant = case.granted().unwrap();
    let check =
        |approvals: &[(&str, Approval)], session: u64, content: [u8; 32], expected: bool| {
            assert_eq!(held(approvals).release(&grant, session, &content).is_ok(), expected);
        };
    let same = || ("10", approval(&["dba"], 1));
    check(&[same()], 3, CONTENT, true);
    check(&[same()], 4, CONTENT, false);
    check(&[same()], 3, [8; 32], false);
    // The rules have changed since.
    check(&[("10", approval(&["dba", "leads"], 1))], 3, CONTENT, true);
    check(&[("10", approval(&["leads"], 1))], 3, CONTENT, false);
    check(&[("10", approval(&["dba"], 2))], 3, CONTENT, false);
    check(&[same(), ("20", approval(&["dba"], 1))], 3, CONTENT, false);
}

#[test]
fn a_lease_is_for_one_shape_one_principal_and_a_time() {
    let terms = Terms { lease_seconds_max: 600, ..Terms::default() };
    let mut case = case(person("ana", &[]), vec![need("10", &["dba"], 1, terms)]);
    let dora = person("dora", &["dba"]);
    assert_eq!(case.grant(&dora, None, 601, 1), Err(Ineligible::NoLease));
    assert_eq!(case.grant(&dora, None, 600, 1), Ok(Standing::Granted));
    let lease = case.lease(100).unwrap();
    let check = |subject: &str, fingerprint: &str, now: u64, expected: bool| {
        let held = held(&[("10", approval(&["dba"], 1))]);
        let asker = asker(person(subject, &[]));
        assert_eq!(held.release_under(&lease, &asker, fingerprint, now).is_ok(), expected);
    };
    check("ana", "f1", 699, true);
    check("ana", "f1", 700, false);
    check("ana", "f2", 100, false);
    check("bob", "f1", 100, false);
}

#[test]
fn without_terms_or_with_several_statements_there_is_no_lease() {
    let dora = person("dora", &["dba"]);
    let mut plain = case(person("ana", &[]), vec![need("10", &["dba"], 1, Terms::default())]);
    assert_eq!(plain.grant(&dora, None, 1, 1), Err(Ineligible::NoLease));
    let terms = Terms { lease_seconds_max: 600, ..Terms::default() };
    let mut several = case(person("ana", &[]), vec![need("10", &["dba"], 1, terms)]);
    several.question.fingerprints.push("f2".into());
    assert_eq!(several.grant(&dora, None, 60, 1), Err(Ineligible::NoLease));
}
