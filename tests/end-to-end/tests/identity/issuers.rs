//! Issuers themselves: one that is not who it says, several side by side, many logins at once.

use std::time::Duration;

use end_to_end::certificates::Certificates;
use end_to_end::waiting::SOON;
use end_to_end::{Account, Portcullis, Provider, Setup, Wanted, cluster};

use super::arrival::{Answer, Arrival, Proof};
use super::{by_token, principal, provider, record};

async fn shown(portcullis: &Portcullis, user: &str, token: &str) -> Answer {
    let arrival = Arrival::of(portcullis, user).newly_come();
    arrival.arrive(Proof::Text(token.as_bytes())).await
}

/// Its keys are taken from nobody whose certificate is not one that was named for it.
#[tokio::test]
async fn an_issuer_must_prove_itself() {
    let database = cluster().await.database().await;
    let ours = Provider::start_tls(&cluster().await.certificates).await;
    let others: &'static Certificates = Box::leak(Box::default());
    let pretender = Provider::start_tls(others).await;
    for provider in [&ours, &pretender] {
        provider.put(&Account::new("ana").groups(&["analysts"])).await;
    }
    let setup = Setup::new(&database).unmatched("allow").tls();
    let setup = setup.issuer("corp", &ours, "").issuer("pretender", &pretender, PREFIX);
    let setup = setup.login_rule("method = \"token\"\nissuer = \"corp\"\ndatabases = [\"shop\"]");
    let portcullis = setup.login_rule("method = \"token\"\nissuer = \"pretender\"").start().await;

    let token = ours.issue(&Wanted::by("ana")).await.access;
    assert_eq!(shown(&portcullis, "ana", &token).await.verdict(), "in");
    let token = pretender.issue(&Wanted::by("ana")).await.access;
    let elsewhere = Arrival::of(&portcullis, "ana").saying("database", "elsewhere").newly_come();
    let told = elsewhere.arrive(Proof::Text(token.as_bytes())).await.verdict();
    assert!(told.starts_with("out: 28000 the identity provider cannot be reached"), "{told}");
    assert_eq!(pretender.requests("/jwks").await, 0);
}

const PREFIX: &str = "subject_prefix = \"other:\"";

/// The address must be the one in its own metadata, byte for byte: otherwise one tenant's
/// keys would do for another's.
#[tokio::test]
async fn an_issuer_goes_by_one_address() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = Setup::new(&database)
        .unmatched("allow")
        .tls()
        .section(&format!(
            "[[issuer]]\nname = \"corp\"\nurl = \"{}/\"\naudiences = [\"portcullis\"]",
            provider.issuer()
        ))
        .login_rule("method = \"token\"\nissuer = \"corp\"")
        .start()
        .await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let answer = shown(&portcullis, "ana", &token).await;
    assert!(answer.verdict().starts_with("out: 28000 "), "{}", answer.verdict());
    record(&portcullis, "login-refused", answer.address()).await;
    assert!(portcullis.log().contains("its metadata is that of another issuer"));
}

/// Each proves its own people alone, and nobody of the one is somebody of the other.
#[tokio::test]
async fn two_issuers_do_not_speak_for_one_another() {
    let database = cluster().await.database().await;
    let [corp, partner] = [provider().await, provider().await];
    let setup = Setup::new(&database).unmatched("allow").tls();
    let setup = setup.issuer("corp", &corp, "subject_prefix = \"corp:\"");
    let lines = "subject_prefix = \"partner:\"\nuser_claim = \"login\"";
    let setup = setup.issuer("partner", &partner, lines);
    let rule = "method = \"token\"\nissuer = \"partner\"\nusers = [\"p_*\"]";
    let setup = setup.login_rule(rule).login_rule("method = \"token\"\nissuer = \"corp\"");
    let portcullis = setup.start().await;
    let with_login = |account: &str, login: &str| Wanted::by(account).claim("login", login);
    let corp_ana = corp.issue(&with_login("ana", "p_ana")).await.access;
    let partner_ana = partner.issue(&with_login("ana", "p_ana")).await.access;
    let partner_as_ana = partner.issue(&with_login("ana", "ana")).await.access;
    for (name, user, token, subject) in [
        ("ours", "ana", &corp_ana, Some("corp:ana")),
        ("theirs", "p_ana", &partner_ana, Some("partner:ana")),
        ("ours where theirs is asked for", "p_ana", &corp_ana, None),
        ("theirs where ours is asked for", "ana", &partner_ana, None),
        ("theirs with a name of ours", "ana", &partner_as_ana, None),
        ("theirs under another name", "p_bo", &partner_ana, None),
    ] {
        let answer = shown(&portcullis, user, token).await;
        match subject {
            Some(subject) => {
                assert_eq!(answer.verdict(), "in", "{name}");
                let who = principal(&portcullis, answer.address()).await;
                assert_eq!(who["subject"], subject, "{name}");
            }
            None => {
                let told = format!("out: 28P01 authentication failed for user \"{user}\"");
                assert_eq!(answer.verdict(), told, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn many_logins_at_once_ask_for_the_keys_once() {
    const LOGINS: usize = 20;
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    let arrival = Arrival::of(&portcullis, "ana");
    let proof = Proof::Text(token.as_bytes());
    let answers = futures_util::future::join_all((0..LOGINS).map(|_| arrival.arrive(proof))).await;
    for answer in answers {
        assert_eq!(answer.verdict(), "in");
    }
    assert_eq!(provider.requests("/jwks").await, 1);
}

/// A token's end is the session's, whatever else its issuer thinks of it.
#[tokio::test]
async fn a_session_ends_with_its_token() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "clock_skew_seconds = 0").start().await;
    let brief = provider.issue(&Wanted::by("ana").lifetime_seconds(4)).await.access;
    let long = provider.issue(&Wanted::by("bo")).await.access;
    let mut ends = shown(&portcullis, "ana", &brief).await;
    let mut stays = shown(&portcullis, "bo", &long).await;
    assert_eq!((ends.verdict(), stays.verdict()), ("in".to_owned(), "in".to_owned()));
    let told = tokio::time::timeout(SOON, ends.session.message()).await.expect("it ends");
    let told = told.expect("a reason is given");
    assert_eq!(told.field(b'C').as_deref(), Some("57P01"));
    let message = told.field(b'M').unwrap_or_default();
    assert_eq!(message, "the session was ended: your login has expired");
    let again = shown(&portcullis, "ana", &brief).await.verdict();
    assert_eq!(again, "out: 28P01 authentication failed for user \"ana\"");
    assert!(stays.session.message_within(Duration::from_millis(200)).await.is_none());
    let answer = stays.session.query("SELECT 1").await;
    assert_eq!(answer.last().map(|message| message.tag), Some(b'Z'));
}
