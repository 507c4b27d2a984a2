//! RFC 7677, section 3, both sides; and what PostgreSQL itself computes.

use super::{RFC_SALT, keys, users};
use crate::{ChannelBinding, ScramClient, ScramServer, Verifier, md5_response};

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

#[test]
fn the_server_answers_as_the_rfc_says() {
    let mut server = ScramServer::begin(&users(), "user", ChannelBinding::Unavailable);
    let first = server.first_with("SCRAM-SHA-256", CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
    assert_eq!(String::from_utf8(first).unwrap(), SERVER_FIRST);
    let (last, matched) = server.finish(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(last).unwrap(), SERVER_FINAL);
    assert_eq!(matched.proven().subject, "user");
}

#[test]
fn the_client_answers_as_the_rfc_says() {
    let keys = keys("pencil");
    for round in ["derived", "cached"] {
        let nonce = CLIENT_NONCE.to_owned();
        let mechanisms = ["SCRAM-SHA-256"];
        let unbound = &ChannelBinding::Unavailable;
        let client = ScramClient::begin_with(mechanisms, unbound, keys.clone(), "user", nonce);
        let mut client = client.unwrap();
        assert_eq!(String::from_utf8(client.first()).unwrap(), CLIENT_FIRST, "{round}");
        assert_eq!(client.is_costly(SERVER_FIRST.as_bytes()), round == "derived");
        let last = client.respond(SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(last).unwrap(), CLIENT_FINAL, "{round}");
        client.verify(SERVER_FINAL.as_bytes()).unwrap();
    }
}

#[test]
fn a_verifier_is_written_as_postgresql_writes_it() {
    let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(Verifier::derive("pencil", &RFC_SALT, 4096).to_string(), text);
    let parsed: Verifier = text.parse().unwrap();
    assert_eq!(parsed.to_string(), text);
    assert_eq!(format!("{parsed:?}"), "Verifier { iterations: 4096, .. }");
}

#[test]
fn what_is_not_a_verifier_says_where_it_goes_wrong() {
    let key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
    for (text, complaint) in [
        (String::new(), "a verifier begins with SCRAM-SHA-256$"),
        ("md5c3c6db0d0f0e6f8b1b7e1f2a".to_owned(), "a verifier begins with SCRAM-SHA-256$"),
        (
            format!("SCRAM-SHA-256$0:c2FsdA==${key}:{key}"),
            "the iterations before the ':' must be a number above 0",
        ),
        (
            format!("SCRAM-SHA-256$4096:%%${key}:{key}"),
            "the salt between ':' and '$' must be base64",
        ),
        (
            format!("SCRAM-SHA-256$4096:c2FsdA==${key}"),
            "two keys of 32 bytes in base64 must follow, with a ':' between",
        ),
        (
            format!("SCRAM-SHA-256$4096:c2FsdA==${key}:c2hvcnQ="),
            "two keys of 32 bytes in base64 must follow, with a ':' between",
        ),
    ] {
        let error = text.parse::<Verifier>().unwrap_err();
        assert_eq!(error.to_string(), complaint, "{text}");
    }
    assert!(format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}").parse::<Verifier>().is_ok());
}

#[test]
fn md5_is_answered_as_libpq_does() {
    assert_eq!(
        md5_response("md5_user", "password", [0x2a, 0x3d, 0x8f, 0xe0]),
        "md562af4dd09bbb41884907a838a3233294"
    );
}
