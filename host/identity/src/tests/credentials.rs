//! Short-lived passwords: good for one principal, one database and some minutes.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portcullis_policy::PrincipalKind;

use super::{keys, users};
use crate::{
    AuthError, Basis, CREDENTIAL_LIFETIME_MAX, CREDENTIALS_PER_SUBJECT_MAX, ChannelBinding,
    Credential, CredentialStore, Credentials, IssueError, Issued, MockSecret, Proven, ScramClient,
    ScramServer, UserMatched, Users,
};

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn ana(users: &Users) -> Proven {
    users.by_password("user", "pencil", now()).unwrap()
}

/// Runs a login with a password at a time.
fn login_at(
    users: &Users,
    name: &str,
    password: &str,
    when: SystemTime,
) -> Result<UserMatched, AuthError> {
    let unbound = ChannelBinding::Unavailable;
    let mut server = ScramServer::begin_at(users, name, unbound.clone(), when);
    let offered = server.mechanisms().iter().copied();
    let mut client = ScramClient::begin(offered, &unbound, keys(password)).unwrap();
    let challenge = server.first(client.mechanism(), &client.first())?;
    let (_, matched) = server.finish(&client.respond(&challenge).unwrap())?;
    Ok(matched)
}

/// Users with a handle to their short-lived passwords, and one of "user" for "shop".
fn issued() -> (Users, Credentials, Issued) {
    let credentials = Credentials::in_memory();
    let users = users().with_credentials(credentials.clone());
    let issued = credentials.issue(&ana(&users), "shop", 10 * MINUTE, now()).unwrap();
    (users, credentials, issued)
}

#[test]
fn one_is_good_for_its_principal_database_and_time() {
    let (users, _, issued) = issued();
    let password = issued.password.expose();
    assert_eq!(password.len(), 26);
    assert!(issued.user.starts_with("pc_"));
    let matched = login_at(&users, &issued.user, password, now()).unwrap();
    let proven = matched.proven();
    assert_eq!(proven.subject, "user");
    assert_eq!(proven.groups, ["analysts"]);
    assert_eq!(proven.proof, "credential");
    assert_eq!(proven.expires_at, Some(now() + 10 * MINUTE));
    assert!(matches!(&proven.basis, Basis::Credential { id } if *id == issued.id));
    assert!(proven.may_use("shop") && !proven.may_use("payroll"));
    assert!(proven.answers_to(&issued.user) && !proven.answers_to("user"));
    assert!(!format!("{issued:?}").contains(password));
    for (name, password, after, expected) in [
        (issued.user.as_str(), password, 9 * MINUTE, true),
        (&issued.user, password, 10 * MINUTE, false),
        (&issued.user, "wrong", MINUTE, false),
        (&issued.user, "pencil", MINUTE, false),
        ("user", password, MINUTE, false),
        ("user", "pencil", MINUTE, true),
        ("pc_0000000000", password, MINUTE, false),
        (&issued.id, password, MINUTE, false),
    ] {
        let outcome = login_at(&users, name, password, now() + after);
        assert_eq!(outcome.is_ok(), expected, "{name} {after:?}");
        let by_password = users.by_password(name, password, now() + after);
        assert_eq!(by_password.is_some(), expected, "{name} {after:?}");
    }
}

#[test]
fn each_is_another() {
    let (users, credentials, issued) = issued();
    let other = credentials.issue(&ana(&users), "shop", MINUTE, now()).unwrap();
    assert_ne!(issued.user, other.user);
    assert_ne!(issued.password.expose(), other.password.expose());
    assert!(login_at(&users, &issued.user, other.password.expose(), now()).is_err());
}

#[test]
fn one_that_is_revoked_is_gone_for_good() {
    let (users, credentials, issued) = issued();
    let password = issued.password.expose();
    assert!(login_at(&users, &issued.user, password, now()).is_ok());
    assert!(credentials.revoke(&issued.id).unwrap());
    assert_eq!(login_at(&users, &issued.user, password, now()).unwrap_err(), AuthError::Refused);
    assert!(!credentials.revoke(&issued.id).unwrap());
    assert!(credentials.list(now()).is_empty());
}

/// What a configuration that was read again makes of one.
fn after(change: impl FnOnce(&mut crate::UserConfig)) -> bool {
    let (users, credentials, issued) = issued();
    let mut user = users.named("user").unwrap().as_ref().clone();
    change(&mut user);
    let users = Users::new([user], MockSecret::generate().unwrap()).with_credentials(credentials);
    login_at(&users, &issued.user, issued.password.expose(), now()).is_ok()
}

#[test]
fn one_stands_and_falls_with_its_user() {
    assert!(after(|_| {}));
    assert!(after(|user| user.databases = Some(vec!["shop".to_owned()])));
    assert!(!after(|user| "somebody".clone_into(&mut user.name)));
    assert!(!after(|user| user.groups.clear()));
    assert!(!after(|user| user.groups.push("dba".to_owned())));
    assert!(!after(|user| user.kind = PrincipalKind::Agent));
    assert!(!after(|user| user.acts_for = Some("bob".to_owned())));
    assert!(!after(|user| user.databases = Some(vec!["payroll".to_owned()])));
}

/// Asks for one, on behalf of "user" changed so.
fn ask(lifetime: Duration, change: impl FnOnce(&mut Proven)) -> Result<SystemTime, String> {
    let (users, credentials, _) = issued();
    let mut to = ana(&users);
    change(&mut to);
    let issued = credentials.issue(&to, "shop", lifetime, now());
    issued.map(|issued| issued.expires_at).map_err(|error| error.to_string())
}

#[test]
fn some_are_not_issued() {
    let soon = now() + MINUTE;
    assert_eq!(ask(MINUTE, |_| {}), Ok(soon));
    assert_eq!(ask(CREDENTIAL_LIFETIME_MAX, |_| {}), Ok(now() + CREDENTIAL_LIFETIME_MAX));
    assert_eq!(ask(MINUTE, |to| to.databases = Some(vec!["shop".to_owned()])), Ok(soon));
    assert_eq!(ask(MINUTE, |to| to.expires_at = Some(soon)), Ok(soon));
    let lifetime = IssueError::Lifetime.to_string();
    assert_eq!(ask(Duration::ZERO, |_| {}), Err(lifetime.clone()));
    assert_eq!(ask(CREDENTIAL_LIFETIME_MAX + MINUTE, |_| {}), Err(lifetime));
    let database = IssueError::Database.to_string();
    assert_eq!(ask(MINUTE, |to| to.databases = Some(vec!["payroll".to_owned()])), Err(database));
    let expired = IssueError::Expired.to_string();
    assert_eq!(ask(MINUTE, |to| to.expires_at = Some(now())), Err(expired));
    // One gotten with another would never end.
    let chained = IssueError::Chained.to_string();
    let by_credential = |to: &mut Proven| to.basis = Basis::Credential { id: "x".to_owned() };
    assert_eq!(ask(MINUTE, by_credential), Err(chained));
}

#[test]
fn nobody_holds_many() {
    let (users, credentials, _) = issued();
    let to = ana(&users);
    for _ in 1..CREDENTIALS_PER_SUBJECT_MAX {
        credentials.issue(&to, "shop", 5 * MINUTE, now()).unwrap();
    }
    let refused = credentials.issue(&to, "shop", MINUTE, now());
    assert!(matches!(refused, Err(IssueError::TooMany)));
    let other = users.by_password("other", "crayon", now()).unwrap();
    assert!(credentials.issue(&other, "shop", MINUTE, now()).is_ok());
    // The expired make room.
    assert!(credentials.issue(&to, "shop", MINUTE, now() + 6 * MINUTE).is_ok());
    assert_eq!(credentials.list(now() + 6 * MINUTE).len(), 2);
}

/// A store that a test can look into, and break.
#[derive(Clone, Default)]
struct Shelf {
    kept: Arc<Mutex<HashMap<String, Credential>>>,
    broken: bool,
}

impl CredentialStore for Shelf {
    fn load(&mut self) -> io::Result<Vec<Credential>> {
        Ok(self.kept.lock().unwrap().values().cloned().collect())
    }

    fn insert(&mut self, credential: &Credential) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.lock().unwrap().insert(credential.id.clone(), credential.clone());
        Ok(())
    }

    fn remove(&mut self, id: &str) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.lock().unwrap().remove(id);
        Ok(())
    }
}

#[test]
fn they_outlive_the_process_until_they_end() {
    let shelf = Shelf::default();
    let open = |when| Credentials::open(Box::new(shelf.clone()), when).unwrap();
    let credentials = open(now());
    let to = ana(&users());
    let short = credentials.issue(&to, "shop", MINUTE, now()).unwrap();
    let long = credentials.issue(&to, "shop", 9 * MINUTE, now()).unwrap();
    let gone = credentials.issue(&to, "shop", 9 * MINUTE, now()).unwrap();
    credentials.revoke(&gone.id).unwrap();
    let kept = format!("{:?}", shelf.kept.lock().unwrap());
    assert!(!kept.contains(long.password.expose()));

    let later = now() + 5 * MINUTE;
    let users = users().with_credentials(open(later));
    for (issued, expected) in [(&long, true), (&short, false), (&gone, false)] {
        let outcome = login_at(&users, &issued.user, issued.password.expose(), later);
        assert_eq!(outcome.is_ok(), expected, "{}", issued.id);
    }
    assert_eq!(shelf.kept.lock().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_kept_is_not_given_out() {
    let broken = Shelf { broken: true, ..Shelf::default() };
    let credentials = Credentials::open(Box::new(broken), now()).unwrap();
    let refused = credentials.issue(&ana(&users()), "shop", MINUTE, now());
    assert!(matches!(refused, Err(IssueError::Store(_))));
    assert!(credentials.list(now()).is_empty());
}

#[test]
fn one_that_cannot_be_forgotten_on_disk_is_forgotten_all_the_same() {
    let (users, _, _) = issued();
    let shelf = Shelf::default();
    let working = Credentials::open(Box::new(shelf.clone()), now()).unwrap();
    let issued = working.issue(&ana(&users), "shop", MINUTE, now()).unwrap();
    let broken = Credentials::open(Box::new(Shelf { broken: true, ..shelf }), now()).unwrap();
    assert!(broken.revoke(&issued.id).is_err());
    assert!(broken.with_id(&issued.id, now()).is_none());
}

#[test]
fn a_token_s_principal_is_carried_on() {
    let (users, credentials, _) = issued();
    let mut to = ana(&users);
    to.basis = Basis::Token(crate::TokenBasis {
        issuer: "corp".to_owned(),
        token_subject: "agent".to_owned(),
        access_token: None,
        token_digest: [0; 32],
    });
    "somebody else".clone_into(&mut to.subject);
    to.kind = PrincipalKind::Agent;
    to.on_behalf_of = Some("ana".to_owned());
    to.claims = vec![("team".to_owned(), "blue".to_owned())];
    to.expires_at = Some(now() + MINUTE);
    let issued = credentials.issue(&to, "shop", 10 * MINUTE, now()).unwrap();
    assert_eq!(issued.expires_at, now() + 10 * MINUTE);
    let matched = login_at(&users, &issued.user, issued.password.expose(), now()).unwrap();
    let principal = matched.principal("192.0.2.1:1", "psql", "postgres");
    assert_eq!(principal.subject, "somebody else");
    assert_eq!(principal.on_behalf_of.as_deref(), Some("ana"));
    assert_eq!(principal.kind, PrincipalKind::Agent);
    assert_eq!(principal.claims, [("team".to_owned(), "blue".to_owned())]);
}
