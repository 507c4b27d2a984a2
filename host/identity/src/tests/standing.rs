//! What ends a login, and what does not.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portcullis_policy::PrincipalKind;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::client_certificates as certificates;
use crate::{
    Certificate, Credentials, Disabled, DisabledStore, DisabledSubject, Lapsed, MockSecret, Proven,
    Revocations, Standing, UserConfig, Users, Verifier,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Of the logins by password, short-lived password and certificate.
type Outcomes = [Result<(), Lapsed>; 3];

/// Users anew, as a reload makes them, after a change to the first.
fn reloaded(change: impl FnOnce(&mut UserConfig)) -> Users {
    let named = |name: &str| super::users().named(name).unwrap().as_ref().clone();
    let mut users = [named("user"), named("other")];
    users[0].acts_for = Some("ana".to_owned());
    users[0].certificates = vec!["cn:user".parse().unwrap()];
    change(&mut users[0]);
    Users::new(users, MockSecret::generate().unwrap())
}

fn now() -> SystemTime {
    certificates::valid(60)
}

fn holds(proven: &Proven, users: &Users, disabled: &Disabled) -> Result<(), Lapsed> {
    let revocations = Revocations::default();
    Standing { users, disabled, revocations: &revocations }.holds(proven, now())
}

/// The user as proved by password, by short-lived password and by certificate.
fn logins() -> (Credentials, [Proven; 3]) {
    let credentials = Credentials::in_memory();
    let users = reloaded(|_| {}).with_credentials(credentials.clone());
    let password = users.by_password("user", "pencil", now()).unwrap();
    let issued = credentials.issue(&password, "shop", MINUTE, now()).unwrap();
    let credential = users.by_password(&issued.user, issued.password.expose(), now()).unwrap();
    let name = (DnType::CommonName, rcgen::DnValue::from("user"));
    let certificate = Certificate::read(&certificates::certificate(&[name], &[])).unwrap();
    let certificate = users.by_certificate(&Arc::new(certificate), "user", now()).unwrap();
    (credentials, [password, credential, certificate])
}

#[test]
fn a_reload_ends_the_logins_of_those_it_changes() {
    use Lapsed::{CertificateUnmapped, CredentialRevoked, PasswordChanged, UserChanged, UserGone};
    type Change = fn(&mut UserConfig);
    let changed = [Err(UserChanged), Err(CredentialRevoked), Err(UserChanged)];
    let same_password: Change = |user| {
        user.verifier = user.verifier.as_ref().unwrap().to_string().parse().ok();
    };
    let other_password: Change =
        |user| user.verifier = Some(Verifier::derive("pen", &[1; 16], 4096));
    let other_salt: Change =
        |user| user.verifier = Some(Verifier::derive("pencil", &[1; 16], 4096));
    let cases: [(&str, Change, Outcomes); 12] = [
        ("nothing", |_| {}, [Ok(()); 3]),
        ("the password again", same_password, [Ok(()); 3]),
        ("password", other_password, [Err(PasswordChanged), Err(CredentialRevoked), Ok(())]),
        ("salt", other_salt, [Err(PasswordChanged), Err(CredentialRevoked), Ok(())]),
        (
            "no password",
            |user| user.verifier = None,
            [Err(UserGone), Err(CredentialRevoked), Ok(())],
        ),
        (
            "certificates",
            |user| user.certificates = vec!["cn:somebody".parse().unwrap()],
            [Ok(()), Ok(()), Err(CertificateUnmapped)],
        ),
        (
            "name",
            |user| "somebody".clone_into(&mut user.name),
            [Err(UserGone), Err(CredentialRevoked), Err(CertificateUnmapped)],
        ),
        ("dropped from a group", |user| user.groups.clear(), changed),
        ("added to a group", |user| user.groups.push("dba".to_owned()), changed),
        ("kind", |user| user.kind = PrincipalKind::Agent, changed),
        ("acts for", |user| user.acts_for = Some("bob".to_owned()), changed),
        (
            "databases",
            |user| user.databases = Some(vec!["shop".to_owned()]),
            // The short-lived password is good for that one only anyway.
            [Err(UserChanged), Ok(()), Err(UserChanged)],
        ),
    ];
    let (credentials, logins) = logins();
    for (name, change, expected) in cases {
        let users = reloaded(change).with_credentials(credentials.clone());
        let found = logins.each_ref().map(|login| holds(login, &users, &Disabled::in_memory()));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn who_is_disabled_is_out_however_they_came() {
    let (credentials, logins) = logins();
    let users = reloaded(|_| {}).with_credentials(credentials);
    let other = users.by_password("other", "crayon", now()).unwrap();
    let disabled = Disabled::in_memory();
    let entry = |subject: &str| DisabledSubject {
        subject: subject.to_owned(),
        by: "root".to_owned(),
        reason: "left".to_owned(),
        at: now(),
    };
    // By its own name, and by that of the human it acts for.
    for subject in ["user", "ana"] {
        disabled.disable(entry(subject)).unwrap();
        for login in &logins {
            assert_eq!(holds(login, &users, &disabled), Err(Lapsed::Disabled), "{subject}");
        }
        assert_eq!(holds(&other, &users, &disabled), Ok(()), "{subject}");
        assert_eq!(disabled.list()[0].subject, subject);
        assert!(disabled.enable(subject).unwrap());
        assert!(!disabled.enable(subject).unwrap());
        for login in &logins {
            assert_eq!(holds(login, &users, &disabled), Ok(()), "{subject}");
        }
    }
}

#[test]
fn a_login_ends_with_what_it_was_proved_by() {
    let (credentials, logins) = logins();
    let users = reloaded(|_| {}).with_credentials(credentials);
    let (disabled, revocations) = (Disabled::in_memory(), Revocations::default());
    let standing = Standing { users: &users, disabled: &disabled, revocations: &revocations };
    let year = 365 * 24 * 60 * 60;
    let expired = Err(Lapsed::Expired);
    for (when, expected) in [
        (now(), [Ok(()); 3]),
        (now() + MINUTE - Duration::from_secs(1), [Ok(()); 3]),
        (now() + MINUTE, [Ok(()), expired, Ok(())]),
        (certificates::valid(year), [Ok(()), expired, expired]),
    ] {
        let found = logins.each_ref().map(|login| standing.holds(login, when));
        assert_eq!(found, expected, "{when:?}");
    }
}

#[test]
fn a_short_lived_password_taken_back_ends_its_sessions() {
    let (credentials, [password, credential, certificate]) = logins();
    let users = reloaded(|_| {}).with_credentials(credentials.clone());
    let id = credentials.list(now())[0].id.clone();
    credentials.revoke(&id).unwrap();
    let disabled = Disabled::in_memory();
    assert_eq!(holds(&credential, &users, &disabled), Err(Lapsed::CredentialRevoked));
    assert_eq!(holds(&password, &users, &disabled), Ok(()));
    assert_eq!(holds(&certificate, &users, &disabled), Ok(()));
}

/// An authority called `name`.
fn authority(name: &str) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
    Issuer::new(params, KeyPair::generate().unwrap())
}

/// A certificate of "user" with this serial number.
fn issued_by(authority: &Issuer<'_, KeyPair>, serial: &[u8]) -> Arc<Certificate> {
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(2031, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "user");
    let issued = params.signed_by(&KeyPair::generate().unwrap(), authority).unwrap();
    Arc::new(Certificate::read(issued.der()).unwrap())
}

fn list(authority: &Issuer<'_, KeyPair>, serials: &[&[u8]]) -> Vec<u8> {
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2030, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2030, 1, 1),
        next_update: date_time_ymd(2031, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().der().to_vec()
}

#[test]
fn a_certificate_taken_back_ends_its_sessions() {
    let (one, other) = (authority("one"), authority("other"));
    let lists = [list(&one, &[&[0x0a, 0xff], &[0x80, 1]]), list(&other, &[])];
    let revocations = Revocations::read(lists.iter().map(Vec::as_slice)).unwrap();
    let (users, disabled) = (reloaded(|_| {}), Disabled::in_memory());
    let standing = Standing { users: &users, disabled: &disabled, revocations: &revocations };
    let revoked = Err(Lapsed::CertificateRevoked);
    for (authority, serial, expected) in [
        (&one, &[0x0a, 0xff][..], revoked),
        (&one, &[0x80, 1], revoked),
        (&one, &[0x0a], Ok(())),
        (&one, &[0x0a, 0xff, 0], Ok(())),
        // Another authority's numbers are its own.
        (&other, &[0x0a, 0xff], Ok(())),
    ] {
        let certificate = issued_by(authority, serial);
        let proven = users.by_certificate(&certificate, "user", now()).unwrap();
        assert_eq!(standing.holds(&proven, now()), expected, "{:?}", certificate.id);
    }
    let cut = lists[0].split_last().unwrap().1;
    assert!(Revocations::read([lists[1].as_slice(), cut]).is_err());
}

#[test]
fn passwords_read_again_are_the_same_passwords() {
    let steady = |user: &str, password: &str| Verifier::steady(user, password).unwrap();
    assert_eq!(steady("user", "pencil"), steady("user", "pencil"));
    assert_ne!(steady("user", "pencil"), steady("user", "crayon"));
    assert_ne!(steady("user", "pencil"), steady("other", "pencil"));
    assert_ne!(steady("user", "pencil").to_string(), Verifier::new("pencil").unwrap().to_string());
    let with = |password: &str| reloaded(|user| user.verifier = Some(steady("user", password)));
    let proven = with("pen").by_password("user", "pen", now()).unwrap();
    assert_eq!(holds(&proven, &with("pen"), &Disabled::in_memory()), Ok(()));
    let changed = holds(&proven, &with("pin"), &Disabled::in_memory());
    assert_eq!(changed, Err(Lapsed::PasswordChanged));
}

/// A store that a test can look into, and break.
#[derive(Clone, Default)]
struct Shelf {
    kept: Arc<Mutex<Vec<DisabledSubject>>>,
    broken: bool,
}

impl DisabledStore for Shelf {
    fn load(&mut self) -> io::Result<Vec<DisabledSubject>> {
        Ok(self.kept.lock().unwrap().clone())
    }

    fn insert(&mut self, disabled: &DisabledSubject) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.lock().unwrap().push(disabled.clone());
        Ok(())
    }

    fn remove(&mut self, subject: &str) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.lock().unwrap().retain(|entry| entry.subject != subject);
        Ok(())
    }
}

#[test]
fn who_is_disabled_stays_so_over_a_restart_and_a_full_disk() {
    let shelf = Shelf::default();
    let entry = DisabledSubject {
        subject: "ana".to_owned(),
        by: "root".to_owned(),
        reason: "left".to_owned(),
        at: now(),
    };
    let open = |shelf: Shelf| Disabled::open(Box::new(shelf)).unwrap();
    open(shelf.clone()).disable(entry.clone()).unwrap();
    let again = open(shelf.clone());
    assert!(again.contains("ana") && !again.contains("Ana"));
    // What cannot be written counts where it shuts out, and does not where it lets in.
    let broken = open(Shelf { broken: true, ..shelf });
    assert!(broken.enable("ana").is_err());
    assert!(broken.contains("ana"));
    assert!(broken.disable(DisabledSubject { subject: "bob".to_owned(), ..entry }).is_err());
    assert!(broken.contains("bob"));
}
