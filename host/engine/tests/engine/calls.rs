//! Well-behaved calls: what reaches the guest and what comes back.

use std::rc::Rc;

use portcullis_policy::set::Parameters;
use portcullis_policy::{Coverage, Decision, MaskAction, Masked, Mode, Request, VerdictAnswer};

use crate::harness::{
    Bench, cells, database, hostile, judge, judge_on, plan, policy, principal, sample, statement,
};

#[test]
fn a_guardrail_is_asked_and_its_verdict_comes_back_whole() {
    let bench = Bench::hostile("behaviour = \"deny\"\nfill = \"Ana\"");
    let verdict = bench.judge("select 1").unwrap();
    let Decision::Deny(denial) = verdict.decision else { panic!("it denies") };
    assert_eq!(denial.reason, "Ana says no");
    assert_eq!(verdict.tags, ["call 1", "Ana"]);
}

#[test]
fn an_instance_serves_many_calls_and_each_worker_has_its_own() {
    let bench = Bench::hostile("");
    let other = bench.engine.hub().worker();
    let call = |answers: Vec<VerdictAnswer>| answers[0].answer.clone().unwrap().tags[0].clone();
    assert_eq!(call(judge(&*bench.set(), "select 1")), "call 1");
    assert_eq!(call(judge(&*bench.set(), "select 1")), "call 2");
    assert_eq!(call(judge(&*other.current(), "select 1")), "call 1");
}

#[test]
fn parameters_are_seen_during_their_judgement_only() {
    struct Values(Vec<Option<&'static str>>);
    impl Parameters for Values {
        fn count(&self) -> u32 {
            self.0.len() as u32
        }
        fn text(&self, index: u32) -> Option<String> {
            self.0[index as usize].map(str::to_owned)
        }
    }
    let bench = Bench::hostile("behaviour = \"parameters\"");
    let (principal, database, statement) = (principal(), database("shop"), statement("s"));
    let request = Request {
        principal: &principal,
        database: &database,
        statement: &statement,
        text: &statement.text,
        in_transaction: false,
        now: 1,
        attributes: &[],
    };
    let answers = bench.set().judge(&request, &Values(vec![Some("secret"), None]));
    // The guest asks for one more than there are.
    assert_eq!(answers[0].answer.clone().unwrap().tags, ["secret", "NULL", "NULL"]);
    assert_eq!(bench.judge("s").unwrap().tags, ["NULL"]);
}

#[test]
fn a_masker_plans_and_masks() {
    let bench = Bench::hostile("fill = \"#\"");
    let set = bench.set();
    let answers = plan(&*set, 2);
    let call = || MaskAction::Call { handle: 7, also: vec![0] };
    assert_eq!(answers[0].answer, Ok(vec![call(), call()]));
    let batch = cells(&[Some("a@x"), None, Some("b@y")]);
    let masked = set.mask(&"10-hostile".into(), 7, &batch, std::slice::from_ref(&batch));
    let Ok(Masked::Replaced(replaced)) = masked else { panic!("{masked:?}") };
    assert_eq!(replaced.cell(0), Some(Some(&b"#7+1"[..])));
    assert_eq!(replaced.cell(1), Some(None));
    assert_eq!(replaced.cell(2), Some(Some(&b"#7+1"[..])));
    let nobody = set.mask(&"nobody".into(), 7, &batch, &[]).unwrap_err();
    assert_eq!(nobody.kind.as_str(), "unavailable");
}

#[test]
fn classifiers_label_columns_and_the_surest_word_counts() {
    let first = policy("");
    let second = policy("fill = \"x\"");
    let bench = Bench::open(&[
        ("h.wasm", hostile()),
        ("10.toml", first.as_bytes()),
        ("20.toml", second.as_bytes()),
    ]);
    let labels = bench.set().classify(&[sample("pii.email"), sample("secret")]);
    let labels = labels.expect("both classifiers answer");
    let names: Vec<Vec<&str>> = labels
        .iter()
        .map(|labels| labels.iter().map(|label| label.name.as_str()).collect())
        .collect();
    assert_eq!(names, [["pii.email"], ["secret"]]);
}

#[test]
fn a_policy_is_asked_where_it_matches_and_covers_only_what_it_enforces() {
    let text = |mode: &str, on: &str| {
        format!("plugin = \"h.wasm\"\nmode = \"{mode}\"\nmatch = {{ databases = [\"{on}\"] }}\n")
    };
    let bench = Bench::open(&[
        ("h.wasm", hostile()),
        ("20-enforce.toml", text("enforce", "sh*").as_bytes()),
        ("10-observe.toml", text("observe", "crm").as_bytes()),
    ]);
    let set = bench.set();
    let asked = |on: &str| -> Vec<(String, Mode)> {
        let answers = judge_on(&*set, "select 1", on);
        answers.into_iter().map(|answer| (answer.policy.to_string(), answer.mode)).collect()
    };
    assert_eq!(asked("shop"), [("20-enforce".to_owned(), Mode::Enforce)]);
    assert_eq!(asked("crm"), [("10-observe".to_owned(), Mode::Observe)]);
    assert_eq!(asked("other"), []);
    let covered = |on: &str| set.coverage(&principal(), &database(on));
    assert_eq!(covered("shop"), Coverage { guardrail: true, masker: true });
    assert_eq!(covered("crm"), Coverage::default());
}

#[test]
fn an_override_puts_every_policy_into_one_mode() {
    let enforce = b"plugin = \"h.wasm\"\nmode = \"enforce\"\n";
    let files: [(&str, &[u8]); 2] = [("h.wasm", hostile()), ("10.toml", enforce)];
    let bench = Bench::open_with(&files, |config| config.mode_override = Some(Mode::Observe));
    assert_eq!(judge(&*bench.set(), "select 1")[0].mode, Mode::Observe);
}

#[test]
fn an_empty_directory_is_an_empty_set_that_covers_nothing() {
    let bench = Bench::open(&[]);
    let set = bench.set();
    assert_eq!(set.revision(), 1);
    assert!(judge(&*set, "select 1").is_empty());
    assert_eq!(set.coverage(&principal(), &database("shop")), Coverage::default());
}

#[test]
fn the_same_set_is_handed_out_until_another_is_published() {
    let bench = Bench::hostile("");
    assert!(Rc::ptr_eq(&bench.set(), &bench.set()));
}
