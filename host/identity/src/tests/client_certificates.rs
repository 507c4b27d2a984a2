//! Which certificate is whose. That it is genuine has been seen to before.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_policy::PrincipalKind;
use proptest::prelude::*;
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString};
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber, date_time_ymd};

use crate::{
    Basis, Certificate, CertificateError, CertificateName, CertificateNameError, MockSecret,
    UserConfig, Users,
};

fn common_name(name: &str) -> (DnType, DnValue) {
    (DnType::CommonName, DnValue::Utf8String(name.to_owned()))
}

fn organization(name: &str) -> (DnType, DnValue) {
    (DnType::OrganizationName, DnValue::Utf8String(name.to_owned()))
}

fn ia5(text: &str) -> Ia5String {
    Ia5String::try_from(text).unwrap()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(ia5(name))
}

fn email(name: &str) -> SanType {
    SanType::Rfc822Name(ia5(name))
}

fn uri(name: &str) -> SanType {
    SanType::URI(ia5(name))
}

/// A certificate of the year 2030 with this subject and these alternative names.
pub fn certificate(subject: &[(DnType, DnValue)], names: &[SanType]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xff, 0x00]));
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    params.subject_alt_names = names.to_vec();
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// Seconds after the certificates begin to be valid.
pub fn valid(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000 + seconds)
}

pub fn user(name: &str, certificates: &[&str]) -> UserConfig {
    UserConfig {
        name: name.to_owned(),
        verifier: None,
        certificates: certificates.iter().map(|text| text.parse().unwrap()).collect(),
        groups: vec!["staff".to_owned()],
        kind: PrincipalKind::Service,
        acts_for: None,
        databases: None,
    }
}

pub fn users() -> Users {
    let users = [
        user("ana", &["cn:ana", "email:ana@Example.com"]),
        user("bob", &["CN=bob, O=Example, C=NL"]),
        user("svc", &["uri:spiffe://example.com/svc", "dns:Svc.example.com"]),
        user("one", &["cn:both", "cn:one"]),
        user("two", &["dns:both.example.com", "cn:one"]),
    ];
    Users::new(users, MockSecret::generate().unwrap())
}

/// What a certificate comes to for a client that comes as `startup_user` while it is valid.
fn asked(
    subject: &[(DnType, DnValue)],
    names: &[SanType],
    startup_user: &str,
) -> Result<String, CertificateError> {
    let certificate = Arc::new(Certificate::read(&certificate(subject, names))?);
    let proven = users().by_certificate(&certificate, startup_user, valid(0))?;
    Ok(proven.subject)
}

#[test]
fn a_certificate_is_whose_name_it_has() {
    let is = |user: &str| Ok(user.to_owned());
    let nobody = Err(CertificateError::Nobody);
    let country =
        (DnType::CountryName, DnValue::PrintableString(PrintableString::try_from("NL").unwrap()));
    let bob = [country.clone(), organization("Example"), common_name("bob")];
    let turned = [common_name("bob"), organization("Example"), country.clone()];
    for (subject, names, user, expected) in [
        (&[common_name("ana")][..], &[][..], "ana", is("ana")),
        (&[organization("Any"), common_name("ana")], &[], "ana", is("ana")),
        (&[], &[email("ana@example.COM")], "ana", is("ana")),
        (&[common_name("else")], &[email("x@y"), email("ana@example.com")], "ana", is("ana")),
        (&bob, &[], "bob", is("bob")),
        (&[], &[uri("spiffe://example.com/svc")], "svc", is("svc")),
        (&[], &[dns("svc.EXAMPLE.com")], "svc", is("svc")),
        // Somebody else's: the client's word does not choose.
        (&[common_name("ana")], &[], "bob", Err(CertificateError::OtherUser)),
        (&[common_name("ana")], &[], "", Err(CertificateError::OtherUser)),
        (&[common_name("ana")], &[], "nobody", Err(CertificateError::OtherUser)),
        // Nearly.
        (&[common_name("Ana")], &[], "ana", nobody.clone()),
        (&[common_name("ana ")], &[], "ana", nobody.clone()),
        (&[common_name("an\u{430}")], &[], "ana", nobody.clone()),
        (&[], &[email("Ana@example.com")], "ana", nobody.clone()),
        (&[], &[email("ana@example.com.evil")], "ana", nobody.clone()),
        (&[], &[uri("spiffe://example.com/svc/")], "svc", nobody.clone()),
        (&[], &[uri("SPIFFE://example.com/svc")], "svc", nobody.clone()),
        // A name of one sort is none of another.
        (&[], &[dns("ana")], "ana", nobody.clone()),
        (&[organization("ana")], &[], "ana", nobody.clone()),
        (&[], &[uri("ana@example.com")], "ana", nobody.clone()),
        (&[common_name("svc.example.com")], &[], "svc", nobody.clone()),
        // A whole subject is whole, and in order.
        (&[common_name("bob")], &[], "bob", nobody.clone()),
        (&turned, &[], "bob", nobody.clone()),
        (&[country, organization("Example,CN=bob")], &[], "bob", nobody.clone()),
        (&[common_name("bob,O=Example,C=NL")], &[], "bob", nobody.clone()),
        (&[], &[], "ana", nobody),
    ] {
        assert_eq!(asked(subject, names, user), expected, "{subject:?} {names:?} {user}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let second = (DnType::CustomDnType(vec![2, 5, 4, 3]), DnValue::Utf8String("bob".to_owned()));
    let teletex = DnValue::TeletexString(TeletexString::try_from("ana").unwrap());
    let bmp = DnValue::BmpString(BmpString::try_from("ana").unwrap());
    let ok = Ok("ana".to_owned());
    let control = Err(CertificateError::ControlCharacter);
    let wildcard = Err(CertificateError::Wildcard);
    for (subject, names, expected) in [
        (&[common_name("ana")][..], &[][..], ok.clone()),
        (&[common_name("ana"), second], &[], Err(CertificateError::CommonNames)),
        // Read by some as "ana".
        (&[common_name("ana\0.evil.example")], &[], control.clone()),
        (&[common_name("ana\0")], &[], control.clone()),
        (&[common_name("ana\n")], &[], control.clone()),
        (&[common_name("ana"), organization("a\0b")], &[], control.clone()),
        (&[common_name("ana")], &[dns("host\0.example.com")], control.clone()),
        (&[], &[email("ana@example.com\0.evil")], control.clone()),
        (&[], &[email("ana@example.com"), uri("x:\u{1}")], control),
        (&[common_name("*")], &[], wildcard.clone()),
        (&[common_name("ana")], &[dns("*.example.com")], wildcard.clone()),
        (&[], &[email("*@example.com")], wildcard),
        // Encodings that are read in more than one way.
        (&[(DnType::CommonName, teletex.clone())], &[], Err(CertificateError::Unreadable)),
        (&[(DnType::CommonName, bmp)], &[], Err(CertificateError::Unreadable)),
        (&[common_name("ana"), (DnType::OrganizationName, teletex)], &[], ok),
        // Names of two users, or one name that two have.
        (&[common_name("both")], &[dns("both.example.com")], Err(CertificateError::Ambiguous)),
        (&[common_name("ana")], &[dns("both.example.com")], Err(CertificateError::Ambiguous)),
        (&[common_name("one")], &[], Err(CertificateError::Ambiguous)),
    ] {
        assert_eq!(asked(subject, names, "ana"), expected, "{subject:?} {names:?}");
    }
    let many: Vec<SanType> = (0..200).map(|number| dns(&format!("h{number}"))).collect();
    let unreadable = Err(CertificateError::Unreadable);
    assert_eq!(asked(&[common_name("ana")], &many, "ana"), unreadable);
    assert_eq!(asked(&[common_name("ana")], many.get(..50).unwrap(), "ana"), Ok("ana".to_owned()));
}

#[test]
fn a_certificate_is_good_in_its_time() {
    let read = Certificate::read(&certificate(&[common_name("ana")], &[])).unwrap();
    assert_eq!((read.id.serial.as_str(), read.id.issuer.as_str()), ("aff00", "CN=ana"));
    let read = Arc::new(read);
    let year = 365 * 24 * 60 * 60;
    for (when, expected) in [
        (valid(0), Ok(())),
        (valid(year - 1), Ok(())),
        (valid(0) - Duration::from_secs(1), Err(CertificateError::NotYetValid)),
        (valid(year), Err(CertificateError::Expired)),
        (SystemTime::UNIX_EPOCH, Err(CertificateError::NotYetValid)),
    ] {
        let outcome = users().by_certificate(&read, "ana", when).map(drop);
        assert_eq!(outcome, expected, "{when:?}");
    }
    let proven = users().by_certificate(&read, "ana", valid(0)).unwrap();
    assert_eq!(proven.expires_at, Some(valid(year)));
    assert_eq!(proven.proof, "certificate");
    assert!(proven.answers_to("ana") && !proven.answers_to("bob"));
    assert!(matches!(&proven.basis, Basis::Certificate { user, .. } if user == "ana"));
    let claim = ("certificate_subject".to_owned(), "CN=ana".to_owned());
    assert!(proven.claims.contains(&claim), "{:?}", proven.claims);
}

#[test]
fn a_user_with_certificates_alone_has_no_password() {
    let users = users();
    for password in ["", "ana", "pencil"] {
        assert!(users.by_password("ana", password, valid(0)).is_none(), "{password}");
    }
}

#[test]
fn names_of_the_configuration() {
    use CertificateNameError::{Empty, Form, Wildcard};
    for (text, expected) in [
        ("cn:ana", Ok("cn:ana")),
        ("cn:Ana Example", Ok("cn:Ana Example")),
        ("dns:Host.Example", Ok("dns:host.example")),
        ("email:Ana@Example.com", Ok("email:Ana@example.com")),
        ("uri:spiffe://a/*", Ok("uri:spiffe://a/*")),
        ("CN=ana,O=Example", Ok("CN=ana,O=Example")),
        ("cn=ana, o = Example ,2.5.4.6=NL", Ok("CN=ana,O=Example,C=NL")),
        ("CN=ana+UID=7,1.2.3=x", Ok("CN=ana+UID=7,1.2.3=x")),
        ("UID=7+CN=ana", Ok("CN=ana+UID=7")),
        (r"CN=a\,b,O=x\+y", Ok(r"CN=a\,b,O=x\+y")),
        (r"CN=a\2cb", Ok(r"CN=a\,b")),
        (r"CN=\ a\ ", Ok(r"CN=\ a\ ")),
        (r"CN=\c3\a9", Ok("CN=é")),
        (r"CN=\#a", Ok(r"CN=\#a")),
        ("CN=a=b", Ok("CN=a=b")),
        ("cn:", Err(Empty)),
        ("cn:*", Err(Wildcard)),
        ("dns:*.example.com", Err(Wildcard)),
        ("email:*@example.com", Err(Wildcard)),
        ("cn:a\0", Err(Form)),
        ("", Err(Form)),
        ("ana", Err(Form)),
        ("ip:10.0.0.1", Err(Form)),
        ("CN=", Err(Form)),
        ("CN=ana,", Err(Form)),
        ("=ana", Err(Form)),
        ("NAME=ana", Err(Form)),
        ("CN=#0401", Err(Form)),
        ("CN=\"ana\"", Err(Form)),
        ("CN=a;O=b", Err(Form)),
        (r"CN=ana\", Err(Form)),
        (r"CN=a\0g", Err(Form)),
        (r"CN=a\00b", Err(Form)),
        (r"CN=\ff", Err(Form)),
    ] {
        let read: Result<CertificateName, _> = text.parse();
        assert_eq!(read.map(|name| name.to_string()).as_deref(), expected.as_deref(), "{text}");
    }
}

proptest! {
    /// Whatever a subject's values are, the text of it is read as that very subject, and no
    /// other one has the same text.
    #[test]
    fn a_subject_is_written_in_one_way(
        name in "[ a#,+\"\\\\;<>=é*b]{1,6}", place in "[ a#,+\"\\\\;<>=éCN]{1,6}",
    ) {
        prop_assume!(!name.contains('*'));
        let read = Certificate::read(&certificate(&[organization(&place), common_name(&name)], &[]));
        let read = read.unwrap();
        let whole: CertificateName = read.subject.parse().unwrap();
        prop_assert_eq!(whole.to_string(), read.subject.clone());
        prop_assert!(read.names().contains(&whole));
        prop_assert!(read.names().contains(&CertificateName::CommonName(name)));
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Certificate::read(&bytes).is_err());
        prop_assert!(crate::Revocations::read([bytes.as_slice()]).is_err());
    }
}

#[test]
fn a_certificate_cut_or_followed_is_none() {
    let whole = certificate(&[common_name("ana")], &[dns("host")]);
    assert!(Certificate::read(&whole).is_ok());
    for length in 0..whole.len() {
        let cut = Certificate::read(&whole[..length]);
        assert_eq!(cut, Err(CertificateError::Unreadable), "{length}");
    }
    let followed = [whole.as_slice(), &[0]].concat();
    assert_eq!(Certificate::read(&followed), Err(CertificateError::Unreadable));
}
