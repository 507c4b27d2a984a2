//! OAUTHBEARER, message by message.

use crate::{AuthError, BearerFailure, BearerFirst, IssuerConfig, Secret};

fn check(message: &str, expected: Result<BearerFirst, AuthError>) {
    let message = message.replace('^', "\u{1}");
    assert_eq!(BearerFirst::parse(message.as_bytes()), expected, "{message:?}");
}

#[test]
fn what_libpq_says_is_understood() {
    let token = |text: &str| Ok(BearerFirst::Token(Secret::new(text.to_owned())));
    check("n,,^auth=Bearer a.b-_.c^^", token("a.b-_.c"));
    check("n,,^auth=^^", Ok(BearerFirst::Discovery));
    check("y,,^auth=Bearer a^^", token("a"));
    check("n,,^auth=bearer   a==^^", token("a=="));
    check("n,,^host=db.example^port=5432^auth=Bearer a^other=x y^^", token("a"));
}

#[test]
fn anything_else_is_malformed() {
    let refused = [
        "",
        "^",
        "n,,",
        "n,,^",
        "n,,^^",
        "auth=Bearer a^^",
        "n,,auth=Bearer a^^",
        // It wants to act for somebody else, or to bind the channel.
        "n,a=root,^auth=Bearer a^^",
        "p=tls-server-end-point,,^auth=Bearer a^^",
        // Unterminated, or something behind.
        "n,,^auth=Bearer a^",
        "n,,^auth=Bearer a",
        "n,,^auth=Bearer a^^x",
        "n,,^auth=Bearer a^^^",
        "n,,^^auth=Bearer a^^",
        // Twice, no key, a strange key.
        "n,,^auth=Bearer a^auth=Bearer b^^",
        "n,,^auth=^auth=Bearer b^^",
        "n,,^=x^auth=Bearer a^^",
        "n,,^auth1=x^auth=Bearer a^^",
        "n,,^auth^^",
        "n,,^AUTH=Bearer a^^",
        // No bearer token.
        "n,,^auth=Basic a^^",
        "n,,^auth=Bearer^^",
        "n,,^auth=Bearer ^^",
        "n,,^auth=Bearer ==^^",
        "n,,^auth=Bearer a b^^",
        "n,,^auth=Bearer a\u{0}^^",
        "n,,^auth=Bearer é^^",
        "n,,^auth=Bearer a=b^^",
        "n,,^auth= Bearer a^^",
    ];
    for message in refused {
        check(message, Err(AuthError::Malformed));
    }
    let long = format!("n,,^auth=Bearer {}^^", "a".repeat(18 * 1024));
    check(&long, Err(AuthError::Malformed));
}

#[test]
fn a_failure_says_where_tokens_come_from() {
    let mut issuer = IssuerConfig::new("corp", "https://id.example/", vec!["db".to_owned()]);
    issuer.scopes = vec!["openid".to_owned(), "groups".to_owned()];
    let failure = BearerFailure::of(&issuer);
    let challenge: serde_json::Value = serde_json::from_slice(failure.challenge()).unwrap();
    let expected = serde_json::json!({
        "status": "invalid_token",
        "scope": "openid groups",
        "openid-configuration": "https://id.example/.well-known/openid-configuration",
    });
    assert_eq!(challenge, expected);
    assert_eq!(failure.finish(b"\x01"), AuthError::Refused);
    for answer in [&b""[..], b"\x01\x01", b"n,,\x01auth=Bearer a\x01\x01"] {
        assert_eq!(BearerFailure::of(&issuer).finish(answer), AuthError::Malformed);
    }
}

proptest::proptest! {
    #[test]
    fn no_message_makes_it_panic(message in proptest::collection::vec(0_u8..=255, 0..100)) {
        let _ = BearerFirst::parse(&message);
        let first = [b"n,,\x01auth=", message.as_slice(), b"\x01\x01"].concat();
        let _ = BearerFirst::parse(&first);
    }
}
