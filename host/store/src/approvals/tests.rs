use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis_approvals::{Facts, Said, Who};
use portcullis_policy::approval::Need;
use portcullis_policy::event::{EventId, RelationTouched};
use portcullis_policy::{Access, Approval, PrincipalKind, Terms};

use super::*;

fn need() -> Need {
    Need {
        policy: "20-guard".into(),
        approval: Approval {
            reason: "writes many rows".into(),
            approvers: vec!["leads".into(), "on call".into()],
            approvals_needed: 2,
            expires_in_seconds: 60,
        },
        terms: Terms { lease_seconds_max: 600, acted_for_may_release: true },
    }
}

fn view(id: &str, standing: Standing, ended_at: Option<u64>) -> View {
    View {
        id: id.into(),
        standing,
        ended_because: ended_at.map(|_| "granted by ben, 'eva'".into()),
        who: Who {
            subject: "bot".into(),
            kind: PrincipalKind::Agent,
            groups: vec!["agents".into()],
            proof: "oidc".into(),
            on_behalf_of: Some("ana".into()),
            client_address: "[2001:db8::1]:5000".into(),
            application: "\u{0}psql \u{1f980}".into(),
            role: "bot".into(),
        },
        database: "shop".into(),
        session: u64::MAX,
        event: EventId(u128::MAX - 5),
        revision: 4,
        content: [200; 32],
        fingerprints: vec!["f1".into()],
        facts: Facts {
            text: "UPDATE orders SET paid = $1".into(),
            command: "UPDATE".into(),
            message: "execute",
            relations: vec![RelationTouched {
                name: "public.orders".into(),
                access: Access::Write,
                columns: vec!["paid".into()],
                labels: vec!["finance".into()],
            }],
            rows_estimated: Some(u64::MAX),
            earlier: vec!["BEGIN".into()],
            in_transaction: true,
            reason: "writes many rows".into(),
        },
        needs: vec![need()],
        granted_by: vec![Said {
            by: "ben".into(),
            proof: "certificate".into(),
            comment: Some("go; drop table approval".into()),
            at: 5,
        }],
        lease_seconds_max: 600,
        asked_at: 1,
        expires_at: 61,
        ended_at,
    }
}

fn pending(id: &str) -> View {
    view(id, Standing::Pending, None)
}

fn lease(id: &str, until: u64) -> Lease {
    Lease {
        id: id.into(),
        subject: "bot".into(),
        database: "shop".into(),
        fingerprint: "f1".into(),
        until,
        granted_by: vec!["ben".into(), "eva".into()],
        needs: vec![need()],
    }
}

fn reopened(state: State, directory: &Path) -> State {
    drop(state);
    State::open(directory).unwrap()
}

fn load(state: &mut State) -> Kept {
    Store::load(state).unwrap()
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::open(directory.path()).unwrap();
    let granted = view("AAAAAAAA", Standing::Granted, Some(9));
    state.keep(&pending("AAAAAAAA"), None).unwrap();
    state.keep(&granted, Some(&lease("AAAAAAAA", 100))).unwrap();
    state.keep(&pending("BBBBBBBB"), None).unwrap();
    state
        .keep(&view("CCCCCCCC", Standing::Granted, Some(8)), Some(&lease("CCCCCCCC", 50)))
        .unwrap();
    state.keep(&view("DDDDDDDD", Standing::Refused, Some(7)), None).unwrap();

    let mut state = reopened(state, directory.path());
    let kept = load(&mut state);
    assert_eq!(kept.pending, [pending("BBBBBBBB")]);
    assert_eq!(kept.leases, [lease("AAAAAAAA", 100), lease("CCCCCCCC", 50)]);
    assert_eq!(state.case("AAAAAAAA").unwrap(), Some(granted));
    assert_eq!(state.case("EEEEEEEE").unwrap(), None);
    let ended = |state: &mut State, count_max| {
        let ended = state.ended(count_max).unwrap();
        ended.into_iter().map(|view| view.id).collect::<Vec<_>>()
    };
    assert_eq!(ended(&mut state, 9), ["AAAAAAAA", "CCCCCCCC", "DDDDDDDD"]);
    assert_eq!(ended(&mut state, 1), ["AAAAAAAA"]);

    state.remove_lease("AAAAAAAA").unwrap();
    state.remove_lease("AAAAAAAA").unwrap();
    let mut state = reopened(state, directory.path());
    assert_eq!(load(&mut state).leases, [lease("CCCCCCCC", 50)]);
}

#[test]
fn old_cases_are_forgotten_and_what_waits_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::open(directory.path()).unwrap();
    state.keep(&pending("AAAAAAAA"), None).unwrap();
    for ended_at in 10..20 {
        let id = format!("BBBBBB{ended_at}");
        state.keep(&view(&id, Standing::Expired, Some(ended_at)), None).unwrap();
    }
    let mut check = |count_max, ended_before, left: &[u64]| {
        state.forget(count_max, ended_before).unwrap();
        let ended = state.ended(100).unwrap();
        assert_eq!(ended.iter().filter_map(|view| view.ended_at).collect::<Vec<_>>(), left);
        assert_eq!(load(&mut state).pending.len(), 1);
    };
    check(100, 0, &[19, 18, 17, 16, 15, 14, 13, 12, 11, 10]);
    check(100, 14, &[19, 18, 17, 16, 15, 14]);
    check(3, 0, &[19, 18, 17]);
    check(0, u64::MAX, &[]);
}

#[test]
fn a_grant_and_its_lease_are_kept_both_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::open(directory.path()).unwrap();
    state.keep(&pending("AAAAAAAA"), None).unwrap();
    state.keep(&pending("BBBBBBBB"), None).unwrap();
    state.keep(&view("AAAAAAAA", Standing::Granted, Some(9)), Some(&lease("AAAAAAAA", 9))).unwrap();
    // The lease is there already, so it is the second half that fails.
    let twice =
        state.keep(&view("BBBBBBBB", Standing::Granted, Some(9)), Some(&lease("AAAAAAAA", 9)));
    assert!(twice.is_err());
    assert_eq!(state.case("BBBBBBBB").unwrap(), Some(pending("BBBBBBBB")));
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::open(directory.path()).unwrap();
    state.keep(&pending("AAAAAAAA"), None).unwrap();
    let pages: i64 =
        state.change(|file| file.pragma_query_value(None, "page_count", |row| row.get(0))).unwrap();
    state.change(|file| file.pragma_update(None, "max_page_count", pages).or(Ok(()))).unwrap();
    let mut large = pending("BBBBBBBB");
    large.facts.text = "x".repeat(100_000);
    let error = state.keep(&large, None).unwrap_err().to_string();
    assert!(error.contains("full"), "{error}");
    assert_eq!(load(&mut state).pending, [pending("AAAAAAAA")]);
    let mut state = reopened(state, directory.path());
    assert_eq!(load(&mut state).pending, [pending("AAAAAAAA")]);
    state.keep(&large, None).unwrap();
}

#[test]
fn what_could_not_be_read_again_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::open(directory.path()).unwrap();
    let mut unknown = pending("AAAAAAAA");
    unknown.facts.message = "copy";
    assert!(state.keep(&unknown, None).is_err());
    assert!(load(&mut state).pending.is_empty());
}

#[test]
fn what_cannot_be_read_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = State::open(directory.path()).unwrap();
    state.keep(&pending("AAAAAAAA"), None).unwrap();
    let check = |state: &mut State, from: &str, to: &str, readable: bool| {
        let change = "UPDATE approval SET content = replace(content, ?1, ?2)";
        state.change(|file| file.execute(change, [from, to])).unwrap();
        let loaded = Store::load(state);
        assert_eq!(loaded.is_ok(), readable, "{to}");
        if let Err(error) = loaded {
            assert!(!error.to_string().contains("orders"), "it quotes nothing: {error}");
        }
        state.change(|file| file.execute(change, [to, from])).unwrap();
    };
    check(&mut state, "orders", "order_lines", true);
    check(&mut state, "\"pending\"", "\"perhaps\"", false);
    check(&mut state, "\"agent\"", "\"root\"", false);
    check(&mut state, "\"write\"", "\"all\"", false);
    check(&mut state, "\"execute\"", "\"copy\"", false);
    check(&mut state, "\"revision\":4", "\"revision\":-4", false);
    check(&mut state, "\"revision\":4", "\"revision\":4,\"more\":1", false);
    check(&mut state, "\"session\"", "\"sitting\"", false);
}

const CHILD: &str = "PORTCULLIS_TEST_STATE";

/// Not a test of its own: what [`nothing_acknowledged_is_lost_when_the_process_is_killed`]
/// runs in a process that it kills.
#[test]
fn keep_until_killed() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let mut state = State::open(Path::new(&directory)).unwrap();
    let mut out = std::io::stdout();
    for number in 0..100_000_u32 {
        let id = format!("{number:08}");
        state.keep(&pending(&id), None).unwrap();
        state.keep(&view(&id, Standing::Granted, Some(9)), Some(&lease(&id, 100))).unwrap();
        writeln!(out, "\nkept {id}").unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..4 {
        let inside = directory.path().join(round.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "approvals::tests::keep_until_killed", "--nocapture"])
            .env(CHILD, &inside)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut kept = lines.filter_map(|line| line.strip_prefix("kept ").map(str::to_owned));
        let mut ids: Vec<String> = kept.by_ref().take(round * 7).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        ids.extend(kept);

        let mut state = State::open(&inside).unwrap();
        let leases = load(&mut state).leases;
        for id in &ids {
            assert_eq!(state.case(id).unwrap().unwrap().standing, Standing::Granted, "{id}");
            assert!(leases.iter().any(|lease| lease.id == *id), "{id}");
        }
        let granted = state.ended(1_000_000).unwrap().len();
        assert_eq!(granted, leases.len(), "no grant without its lease, no lease without its grant");
        acknowledged += ids.len();
    }
    assert!(acknowledged >= 7 + 14 + 21);
}
