use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_identity::{Credentials, Disabled, Verifier};
use portcullis_policy::PrincipalKind;

use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn credential(id: &str, expires_in: u64) -> Credential {
    let at = UNIX_EPOCH + NOW;
    Credential {
        id: id.into(),
        verifier: Verifier::derive("secret", b"salt of this one", 4096),
        subject: "ana".into(),
        kind: PrincipalKind::Human,
        groups: vec!["staff".into()],
        on_behalf_of: None,
        claims: vec![("team".into(), "\u{e9}'\"".into())],
        issued_on: "device".into(),
        of_user: Some("ana".into()),
        of_password: Some("mark".into()),
        database: "shop".into(),
        issued_at: at,
        expires_at: at + Duration::from_secs(expires_in),
    }
}

fn open(directory: &Path) -> State {
    State::open(directory).unwrap()
}

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

#[test]
fn short_lived_passwords_outlive_a_restart_as_verifiers_until_they_expire() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = open(directory.path());
    CredentialStore::insert(&mut state, &credential("a", 60)).unwrap();
    CredentialStore::insert(&mut state, &credential("b", 1)).unwrap();
    assert!(CredentialStore::insert(&mut state, &credential("a", 60)).is_err(), "never in place");
    drop(state);

    let loaded = CredentialStore::load(&mut open(directory.path())).unwrap();
    assert_eq!(loaded, [credential("a", 60), credential("b", 1)]);

    let later = now() + Duration::from_secs(1);
    let credentials = Credentials::open(Box::new(open(directory.path())), later).unwrap();
    let ids = |credentials: &Credentials| {
        credentials.list(later).iter().map(|credential| credential.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&credentials), ["a"]);
    assert!(credentials.revoke("a").unwrap());
    assert!(!credentials.revoke("a").unwrap());
    drop(credentials);
    assert!(CredentialStore::load(&mut open(directory.path())).unwrap().is_empty());
}

#[test]
fn who_is_shut_out_stays_so_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |subject: &str, reason: &str| DisabledSubject {
        subject: subject.into(),
        by: "kim".into(),
        reason: reason.into(),
        at: now(),
    };
    let disabled = Disabled::open(Box::new(open(directory.path()))).unwrap();
    disabled.disable(entry("ana", "left")).unwrap();
    disabled.disable(entry("ana", "left the company")).unwrap();
    disabled.disable(entry("'; DROP TABLE disabled", "odd")).unwrap();
    drop(disabled);

    let disabled = Disabled::open(Box::new(open(directory.path()))).unwrap();
    let list: Vec<DisabledSubject> =
        disabled.list().iter().map(|entry| DisabledSubject::clone(entry)).collect();
    assert_eq!(list, [entry("'; DROP TABLE disabled", "odd"), entry("ana", "left the company")]);
    assert!(disabled.enable("ana").unwrap());
    assert!(!disabled.enable("ana").unwrap());
    drop(disabled);
    let disabled = Disabled::open(Box::new(open(directory.path()))).unwrap();
    assert!(!disabled.contains("ana"));
    assert!(disabled.contains("'; DROP TABLE disabled"));
}

#[test]
fn a_verifier_that_cannot_be_read_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut state = open(directory.path());
    CredentialStore::insert(&mut state, &credential("a", 60)).unwrap();
    state.change(|file| file.execute("UPDATE credential SET verifier = 'secret'", [])).unwrap();
    let error = CredentialStore::load(&mut state).unwrap_err().to_string();
    assert_eq!(error, "the state file holds an unknown verifier");
}
