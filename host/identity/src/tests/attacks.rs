//! Ways round, each beside an honest exchange that differs in nothing else.

use super::{keys, users};
use crate::message::{decode, encode};
use crate::{AuthError, ChannelBinding, LoginError, ScramClient, ScramServer};

fn channel() -> ChannelBinding {
    ChannelBinding::TlsServerEndPoint(b"certificate".to_vec())
}

/// How a client's first message is received.
fn first(mechanism: &str, message: &str, binding: ChannelBinding) -> Result<(), AuthError> {
    let mut server = ScramServer::begin(&users(), "user", binding);
    server.first(mechanism, message.as_bytes()).map(drop)
}

#[test]
fn first_messages() {
    let long = format!("n,,n=,r={}", "x".repeat(600));
    let longer = format!("n,,n={},r=abc", "x".repeat(5000));
    let plain = || ChannelBinding::Unavailable;
    let (scram, plus) = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS");
    let (refused, malformed) = (Err(AuthError::Refused), Err(AuthError::Malformed));
    for (mechanism, message, binding, expected) in [
        (scram, "n,,n=,r=abc", plain(), Ok(())),
        (scram, "n,,n=*,r=abc,x=new", plain(), Ok(())),
        (scram, "y,,n=,r=abc", plain(), Ok(())),
        (scram, "n,,n=,r=abc", channel(), Ok(())),
        (plus, "p=tls-server-end-point,,n=,r=abc", channel(), Ok(())),
        // The offer of binding was taken out on the way.
        (scram, "y,,n=,r=abc", channel(), refused),
        // Binding that was not on offer, under the wrong mechanism, or of another sort.
        (plus, "p=tls-server-end-point,,n=,r=abc", plain(), malformed),
        (scram, "p=tls-server-end-point,,n=,r=abc", channel(), malformed),
        (plus, "p=tls-unique,,n=,r=abc", channel(), malformed),
        (plus, "n,,n=,r=abc", channel(), malformed),
        (plus, "y,,n=,r=abc", channel(), malformed),
        // Acting for somebody else; a mandatory extension; no nonce; odd bytes.
        (scram, "n,a=admin,n=,r=abc", plain(), malformed),
        (scram, "n,,m=1,n=,r=abc", plain(), malformed),
        (scram, "n,,n=,r=", plain(), malformed),
        (scram, "n,,n=,r=a\u{e9}c", plain(), malformed),
        (scram, "n,,n=\0,r=abc", plain(), malformed),
        (scram, "", plain(), malformed),
        (scram, &long, plain(), malformed),
        (scram, &longer, plain(), malformed),
        ("PLAIN", "n,,n=,r=abc", plain(), malformed),
        ("SCRAM-SHA-1", "n,,n=,r=abc", plain(), malformed),
    ] {
        assert_eq!(first(mechanism, message, binding), expected, "{mechanism} {message}");
    }
}

/// Changes an honest proof by `change` and says how it is received.
fn last(change: impl FnOnce(String) -> String) -> Result<(), AuthError> {
    let mut server = ScramServer::begin(&users(), "user", channel());
    let mut client =
        ScramClient::begin(server.mechanisms().iter().copied(), &channel(), keys("pencil"))
            .unwrap();
    let challenge = server.first(client.mechanism(), &client.first()).unwrap();
    let proof = String::from_utf8(client.respond(&challenge).unwrap()).unwrap();
    server.finish(change(proof).as_bytes()).map(drop)
}

#[test]
fn final_messages() {
    assert_eq!(last(|honest| honest), Ok(()));
    let cut = |text: String| text.rsplit_once(",p=").unwrap().0.to_owned();
    for (change, expected) in [
        ("zeros", Err(AuthError::Refused)),
        ("unsigned extension", Err(AuthError::Refused)),
        ("unbound", Err(AuthError::Refused)),
        ("short proof", Err(AuthError::Malformed)),
        ("long proof", Err(AuthError::Malformed)),
        ("longer proof", Err(AuthError::Malformed)),
        ("more behind the proof", Err(AuthError::Malformed)),
        ("no proof", Err(AuthError::Malformed)),
        ("other nonce", Err(AuthError::Malformed)),
        ("empty", Err(AuthError::Malformed)),
    ] {
        let outcome = last(|honest| match change {
            "zeros" => format!("{},p={}", cut(honest), encode(&[0; 32])),
            "unsigned extension" => honest.replace(",p=", ",x=1,p="),
            "unbound" => format!("c=biws,{}", honest.split_once(',').unwrap().1),
            "short proof" => format!("{},p={}", cut(honest), encode(&[0; 31])),
            "long proof" => format!("{},p={}", cut(honest), encode(&[0; 33])),
            "longer proof" => format!("{},p={}", cut(honest), encode(&[0; 99])),
            "more behind the proof" => format!("{honest}AAAA"),
            "no proof" => cut(honest),
            "other nonce" => honest.replace(",r=", ",r=x"),
            _ => String::new(),
        });
        assert_eq!(outcome, expected, "{change}");
    }
}

#[test]
fn a_proof_is_good_once_and_only_in_its_turn() {
    let begin = || ScramServer::begin(&users(), "user", ChannelBinding::Unavailable);
    let mut server = begin();
    let unbound = ChannelBinding::Unavailable;
    let mut client = ScramClient::begin(["SCRAM-SHA-256"], &unbound, keys("pencil")).unwrap();
    assert_eq!(server.finish(b"c=biws,r=x,p=x").unwrap_err(), AuthError::Malformed);
    assert_eq!(server.first("SCRAM-SHA-256", &client.first()), Err(AuthError::Malformed));

    let mut server = begin();
    let challenge = server.first("SCRAM-SHA-256", &client.first()).unwrap();
    let proof = client.respond(&challenge).unwrap();
    assert!(server.finish(&proof).is_ok());
    assert_eq!(server.finish(&proof).unwrap_err(), AuthError::Malformed);

    // Replayed to another exchange, whose nonce is its own.
    let mut server = begin();
    server.first("SCRAM-SHA-256", &client.first()).unwrap();
    assert_eq!(server.finish(&proof).unwrap_err(), AuthError::Malformed);
}

#[test]
fn the_name_inside_the_message_counts_for_nothing() {
    let mut server = ScramServer::begin(&users(), "user", ChannelBinding::Unavailable);
    let unbound = &ChannelBinding::Unavailable;
    let nonce = "abcdef".to_owned();
    let client =
        ScramClient::begin_with(["SCRAM-SHA-256"], unbound, keys("pencil"), "other", nonce);
    let mut client = client.unwrap();
    let challenge = server.first("SCRAM-SHA-256", &client.first()).unwrap();
    let (_, matched) = server.finish(&client.respond(&challenge).unwrap()).unwrap();
    assert_eq!(matched.proven().subject, "user");
}

/// Salt and iterations that a server shows for a name.
fn salt(users: &crate::Users, name: &str) -> String {
    let mut server = ScramServer::begin(users, name, ChannelBinding::Unavailable);
    let challenge = server.first("SCRAM-SHA-256", b"n,,n=,r=abc").unwrap();
    String::from_utf8(challenge).unwrap().split_once(",s=").unwrap().1.to_owned()
}

#[test]
fn a_name_that_nobody_has_looks_like_one_that_somebody_has() {
    let users = users();
    let (real, mock) = (salt(&users, "user"), salt(&users, "nobody"));
    assert_eq!(mock, salt(&users, "nobody"));
    assert_ne!(mock, salt(&users, "nobody else"));
    assert_eq!(mock.len(), real.len());
    let salt_length = |text: &str| decode(text.split_once(",i=").unwrap().0).unwrap().len();
    assert_eq!(salt_length(&mock), salt_length(&real));
    assert!(mock.ends_with(",i=4096"), "{mock}");
}

#[test]
fn who_has_no_password_and_who_was_issued_one_look_like_nobody() {
    let now = std::time::SystemTime::now();
    let named = |name: &str| users().named(name).unwrap().as_ref().clone();
    let mut slow = named("user");
    slow.verifier = Some(crate::Verifier::derive("pencil", &[7; 24], 9000));
    let mut robot = named("other");
    robot.verifier = None;
    let mock = crate::MockSecret::generate().unwrap();
    let credentials = crate::Credentials::in_memory();
    let users = crate::Users::new([slow, robot], mock).with_credentials(credentials.clone());
    let to = users.by_password("user", "pencil", now).unwrap();
    let lifetime = std::time::Duration::from_secs(60);
    let issued = credentials.issue(&to, "shop", lifetime, now).unwrap();

    let form = |name: &str| {
        let shown = salt(&users, name);
        assert_eq!(shown, salt(&users, name), "{name}");
        let (salt, iterations) = shown.split_once(",i=").unwrap();
        (decode(salt).unwrap().len(), iterations.to_owned())
    };
    let (ours, theirs) = ((24, "9000".to_owned()), (16, "4096".to_owned()));
    for (name, expected) in [
        ("user", &ours),
        // One has no password, the other does not exist.
        ("other", &ours),
        ("nobody", &ours),
        // The first was issued, the other was not.
        (&issued.user, &theirs),
        ("pc_0123456789", &theirs),
    ] {
        assert_eq!(form(name), *expected, "{name}");
    }
    for (name, password, expected) in [
        ("user", "pencil", true),
        ("user", "crayon", false),
        ("other", "crayon", false),
        ("other", "", false),
        ("nobody", "pencil", false),
        (&issued.user, issued.password.expose(), true),
        (&issued.user, "pencil", false),
        ("pc_0123456789", issued.password.expose(), false),
    ] {
        let unbound = ChannelBinding::Unavailable;
        let mut server = ScramServer::begin(&users, name, unbound.clone());
        let offered = server.mechanisms().iter().copied();
        let mut client = ScramClient::begin(offered, &unbound, keys(password)).unwrap();
        let challenge = server.first(client.mechanism(), &client.first()).unwrap();
        let outcome = server.finish(&client.respond(&challenge).unwrap()).map(drop);
        let expected = if expected { Ok(()) } else { Err(AuthError::Refused) };
        assert_eq!(outcome, expected, "{name} {password}");
    }
}

/// What our client makes of a server's first message, made from our nonce.
fn challenged(challenge: impl FnOnce(&str) -> String) -> Result<(), LoginError> {
    let unbound = ChannelBinding::Unavailable;
    let mut client = ScramClient::begin(["SCRAM-SHA-256"], &unbound, keys("pencil")).unwrap();
    let first = String::from_utf8(client.first()).unwrap();
    let nonce = first.split_once("r=").unwrap().1.to_owned();
    client.respond(challenge(&nonce).as_bytes()).map(drop)
}

#[test]
fn upstream_challenges() {
    let s = "s=W22ZaJ0SNY7soEsUEjb6gQ==";
    assert_eq!(challenged(|nonce| format!("r={nonce}x,{s},i=4096")), Ok(()));
    for (name, expected) in [
        ("few iterations", LoginError::Iterations(1)),
        ("many iterations", LoginError::Iterations(u32::MAX)),
        ("endless iterations", LoginError::Malformed),
        ("no iterations", LoginError::Malformed),
        ("our nonce alone", LoginError::Nonce),
        ("another nonce", LoginError::Nonce),
        ("long nonce", LoginError::Malformed),
        ("no salt", LoginError::Malformed),
        ("long salt", LoginError::Malformed),
        ("mandatory extension", LoginError::Malformed),
        ("nothing", LoginError::Malformed),
    ] {
        let outcome = challenged(|nonce| match name {
            "few iterations" => format!("r={nonce}x,{s},i=1"),
            "many iterations" => format!("r={nonce}x,{s},i=4294967295"),
            "endless iterations" => format!("r={nonce}x,{s},i=99999999999"),
            "no iterations" => format!("r={nonce}x,{s}"),
            "our nonce alone" => format!("r={nonce},{s},i=4096"),
            "another nonce" => format!("r=abc,{s},i=4096"),
            "long nonce" => format!("r={nonce}{},{s},i=4096", "x".repeat(600)),
            "no salt" => format!("r={nonce}x,s=,i=4096"),
            "long salt" => format!("r={nonce}x,s={},i=4096", encode(&[1; 400])),
            "mandatory extension" => format!("m=1,r={nonce}x,{s},i=4096"),
            _ => String::new(),
        });
        assert_eq!(outcome, Err(expected), "{name}");
    }
}

#[test]
fn an_upstream_must_know_the_password_too() {
    let s = "s=W22ZaJ0SNY7soEsUEjb6gQ==";
    let proven = || {
        let unbound = ChannelBinding::Unavailable;
        let mut client = ScramClient::begin(["SCRAM-SHA-256"], &unbound, keys("pencil")).unwrap();
        let first = String::from_utf8(client.first()).unwrap();
        let nonce = first.split_once("r=").unwrap().1;
        client.respond(format!("r={nonce}x,{s},i=4096").as_bytes()).unwrap();
        client
    };
    let forged = format!("v={}", encode(&[7; 32]));
    assert_eq!(proven().verify(forged.as_bytes()), Err(LoginError::Signature));
    assert_eq!(proven().verify(b"e=invalid-proof"), Err(LoginError::Refused));
    assert_eq!(proven().verify(b"v=c2hvcnQ="), Err(LoginError::Malformed));
    assert_eq!(proven().verify(b""), Err(LoginError::Malformed));
}

#[test]
fn an_upstream_without_a_known_mechanism_is_refused() {
    let begin = |offered: &[&'static str], binding: &ChannelBinding| {
        ScramClient::begin(offered.iter().copied(), binding, keys("pencil"))
            .map(|client| client.mechanism())
    };
    let plain = &ChannelBinding::Unavailable;
    assert_eq!(begin(&["SCRAM-SHA-256"], plain), Ok("SCRAM-SHA-256"));
    assert_eq!(begin(&["SCRAM-SHA-256-PLUS"], plain), Err(LoginError::NoMechanism));
    assert_eq!(begin(&["SCRAM-SHA-256-PLUS"], &channel()), Ok("SCRAM-SHA-256-PLUS"));
    assert_eq!(begin(&["PLAIN"], plain), Err(LoginError::NoMechanism));
    assert_eq!(begin(&[], plain), Err(LoginError::NoMechanism));
}
