//! Our client against our server.

use std::time::SystemTime;

use super::{keys, users};
use crate::{AuthError, ChannelBinding, MockSecret, ScramClient, ScramServer, UserMatched, Users};

/// Runs a login, the channel being bound as each side sees it.
fn login(
    user: &str,
    password: &str,
    client_binding: &ChannelBinding,
    server_binding: ChannelBinding,
) -> Result<(&'static str, UserMatched), AuthError> {
    let mut server = ScramServer::begin(&users(), user, server_binding);
    let offered = server.mechanisms().iter().copied();
    let mut client = ScramClient::begin(offered, client_binding, keys(password)).unwrap();
    let challenge = server.first(client.mechanism(), &client.first())?;
    let proof = client.respond(&challenge).unwrap();
    let (signature, matched) = server.finish(&proof)?;
    client.verify(&signature).unwrap();
    Ok((client.mechanism(), matched))
}

#[test]
fn the_right_password_over_the_right_channel_is_let_in() {
    let channel = |hash: &[u8]| ChannelBinding::TlsServerEndPoint(hash.to_vec());
    let plain = ChannelBinding::Unavailable;
    for (user, password, ours, theirs, expected) in [
        ("user", "pencil", plain.clone(), plain.clone(), Ok("SCRAM-SHA-256")),
        ("other", "crayon", plain.clone(), plain.clone(), Ok("SCRAM-SHA-256")),
        ("user", "pencil", channel(b"a"), channel(b"a"), Ok("SCRAM-SHA-256-PLUS")),
        // A client that cannot bind, and one whose server cannot.
        ("user", "pencil", plain.clone(), channel(b"a"), Ok("SCRAM-SHA-256")),
        ("user", "pencil", channel(b"a"), plain.clone(), Ok("SCRAM-SHA-256")),
        ("user", "crayon", plain.clone(), plain.clone(), Err(AuthError::Refused)),
        ("user", "", plain.clone(), plain.clone(), Err(AuthError::Refused)),
        ("nobody", "pencil", plain.clone(), plain.clone(), Err(AuthError::Refused)),
        ("", "", plain.clone(), plain.clone(), Err(AuthError::Refused)),
        // Somebody in the middle shows another certificate.
        ("user", "pencil", channel(b"b"), channel(b"a"), Err(AuthError::Refused)),
    ] {
        let outcome = login(user, password, &ours, theirs.clone());
        if let Ok((_, matched)) = &outcome {
            assert_eq!(matched.proven().subject, user);
        }
        let outcome = outcome.map(|(mechanism, _)| mechanism);
        assert_eq!(outcome, expected, "{user} {password} {ours:?} {theirs:?}");
    }
}

#[test]
fn a_login_becomes_a_principal() {
    let plain = ChannelBinding::Unavailable;
    let (_, matched) = login("user", "pencil", &plain, plain.clone()).unwrap();
    let principal = matched.principal("192.0.2.1:4711", "psql", "postgres");
    assert_eq!(principal.subject, "user");
    assert_eq!(principal.groups, ["analysts"]);
    assert_eq!(principal.proof, "scram");
    assert_eq!(principal.role, "postgres");
    assert!(matched.may_use("anything"));
}

#[test]
fn a_user_kept_to_some_databases_may_use_no_other() {
    let mut user = users().named("user").unwrap().as_ref().clone();
    user.databases = Some(vec!["shop".to_owned()]);
    let users = Users::new([user], MockSecret::generate().unwrap());
    let proven = users.by_password("user", "pencil", SystemTime::now()).unwrap();
    assert!(proven.may_use("shop"));
    assert!(!proven.may_use("payroll"));
}

#[test]
fn a_login_begins_as_the_last_one_did_and_suits_no_other_offer() {
    let channel = ChannelBinding::TlsServerEndPoint(b"a".to_vec());
    let plain = ChannelBinding::Unavailable;
    for (ours, theirs, offered) in [
        (&plain, &plain, vec!["SCRAM-SHA-256"]),
        (&channel, &plain, vec!["SCRAM-SHA-256"]),
        (&channel, &channel, vec!["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]),
    ] {
        let keys = keys("pencil");
        assert!(ScramClient::begin_ahead(ours, &keys).is_none(), "nothing is known yet");
        let mut server = ScramServer::begin(&users(), "user", theirs.clone());
        let mut client = ScramClient::begin(offered.iter().copied(), ours, keys.clone()).unwrap();
        let challenge = server.first(client.mechanism(), &client.first()).unwrap();
        let (last, _) = server.finish(&client.respond(&challenge).unwrap()).unwrap();
        assert!(
            ScramClient::begin_ahead(ours, &keys).is_none(),
            "the server has not proved itself"
        );
        client.verify(&last).unwrap();
        let mut ahead = ScramClient::begin_ahead(ours, &keys).unwrap();
        assert_eq!(ahead.mechanism(), client.mechanism());
        assert!(ahead.suits(offered.iter().copied()));
        let binds = ahead.mechanism() == "SCRAM-SHA-256-PLUS";
        // Whoever takes the binding away, or offers it now, is another server than before.
        assert_eq!(ahead.suits(["SCRAM-SHA-256"]), !binds);
        assert_eq!(ahead.suits(["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]), binds || *ours == plain);
        assert!(!ahead.suits(["SCRAM-SHA-512"]));
        let mut server = ScramServer::begin(&users(), "user", theirs.clone());
        let challenge = server.first(ahead.mechanism(), &ahead.first()).unwrap();
        let (last, _) = server.finish(&ahead.respond(&challenge).unwrap()).unwrap();
        ahead.verify(&last).unwrap();
        keys.wait_to_be_asked();
        assert!(ScramClient::begin_ahead(ours, &keys).is_none());
    }
}
