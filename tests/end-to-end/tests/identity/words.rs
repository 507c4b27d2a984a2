//! A client's own word for itself: whatever it says at startup or later, the ledger has whom
//! it proved to be.

use end_to_end::frames::sequence;
use end_to_end::portcullis::{ADMIN, ANA, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, Setup, Wanted, cluster, wait_until};
use serde_json::{Value, json};

use super::arrival::{Answer, Arrival, Proof};
use super::{by_token, principal, provider};

/// What of a principal is proof, and not the client's word.
fn proved(principal: &Value) -> Value {
    let mut proved = principal.clone();
    let members = proved.as_object_mut().expect("a principal");
    for word in ["application", "client_address"] {
        members.remove(word);
    }
    proved
}

/// Words that somebody says who wants to be taken for the administrator.
const WORDS: &[(&str, &str)] = &[
    ("application_name", "admin"),
    ("application_name", "subject=admin groups=operators kind=human"),
    ("application_name", "{\"subject\":\"admin\"}"),
    ("application_name", "ana\",\"groups\":[\"operators\"],\"x\":\""),
    ("options", "-c application_name=admin"),
    ("options", "-c search_path=admin"),
    ("client_encoding", "LATIN1"),
    // Refused, all of these. PostgreSQL itself does not know the first.
    ("fallback_application_name", "admin"),
    ("options", "-c role=app"),
    ("options", "-c session_authorization=admin"),
    ("options", "--role=app"),
    ("options", "-c portcullis.subject=admin"),
    ("options", "-crole=app -c application_name=x"),
    ("options", "-r"),
    ("role", "app"),
    ("Role", "app"),
    ("session_authorization", "admin"),
    ("portcullis.subject", "admin"),
    ("subject", "admin"),
    ("groups", "operators"),
    ("user ", "admin"),
    ("User", "admin"),
    ("replication", "database"),
    ("_pq_.subject", "admin"),
];

/// So many of them are harmless, and change nothing about who comes.
const HARMLESS: usize = 7;

async fn comes(portcullis: &Portcullis, proof: Proof<'_>, name: &str, value: &str) -> Answer {
    Arrival::of(portcullis, "ana").newly_come().saying(name, value).arrive(proof).await
}

async fn check_words(portcullis: &Portcullis, proof: Proof<'_>) {
    let answer = comes(portcullis, proof, "application_name", "end-to-end").await;
    assert_eq!(answer.verdict(), "in", "{}", portcullis.log());
    let ana = principal(portcullis, answer.address()).await;
    assert_eq!((&ana["subject"], &ana["application"]), (&json!("ana"), &json!("end-to-end")));
    for (number, (name, value)) in WORDS.iter().enumerate() {
        let answer = comes(portcullis, proof, name, value).await;
        let told = answer.verdict();
        let harmless = number < HARMLESS || name.starts_with("_pq_.");
        assert_eq!(told == "in", harmless, "{name}={value}: {told}");
        if harmless {
            let who = principal(portcullis, answer.address()).await;
            assert_eq!(proved(&who), proved(&ana), "{name}={value}");
        } else {
            assert!(told.starts_with("out: 42501") || told.starts_with("out: 0A000"), "{told}");
        }
    }
}

#[tokio::test]
async fn nothing_that_is_said_at_startup_changes_who_it_is() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database).unmatched("allow").start().await;
    check_words(&portcullis, Proof::Password(PASSWORD)).await;

    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    check_words(&portcullis, Proof::Text(token.as_bytes())).await;
    // As somebody else by name, with the same proof: it stays outside.
    for user in ["admin", "bo", "app", "ana,admin", "ana\u{a0}", "an\u{430}"] {
        let arrival = Arrival::of(&portcullis, user).newly_come();
        let told = arrival.arrive(Proof::Text(token.as_bytes())).await.verdict();
        assert_eq!(told, format!("out: 28P01 authentication failed for user \"{user}\""));
    }
}

/// Two users in one startup packet: whichever is taken must be the one that is proved.
#[tokio::test]
async fn two_names_are_not_one_name_for_proof_and_another_for_the_record() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    for [first, second] in [["ana", "admin"], ["admin", "ana"]] {
        let arrival = Arrival::of(&portcullis, first).newly_come().saying_too("user", second);
        let answer = arrival.arrive(Proof::Text(token.as_bytes())).await;
        let told = answer.verdict();
        if told == "in" {
            let who = principal(&portcullis, answer.address()).await;
            assert_eq!((&who["subject"], &who["role"]), (&json!("ana"), &json!("ana")));
        } else {
            assert!(told.starts_with("out: "), "{told}");
        }
    }
}

/// Once in, a client calls itself what it likes: records go on naming whom it proved to be.
#[tokio::test]
async fn nothing_that_is_said_later_changes_who_it_is() {
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).unmatched("allow");
    let portcullis = setup.start().await;
    let mut session = portcullis.session(ANA).await;
    let statements = [
        "SET application_name = 'admin'",
        "SET SESSION AUTHORIZATION app",
        "SET ROLE app",
        "RESET SESSION AUTHORIZATION",
        "SELECT set_config('application_name', 'admin', false)",
        "DISCARD ALL",
        "SELECT current_user, session_user",
    ];
    for statement in statements {
        let answer = session.query(statement).await;
        assert!(sequence(&answer).ends_with("Z:I"), "{statement}: {}", sequence(&answer));
    }
    let ledger = portcullis.ledger();
    let intents = wait_until("all are recorded", SOON, async || {
        let intents = ledger.of_kind("intent");
        (intents.len() == statements.len()).then_some(intents)
    })
    .await;
    let login = principal(&portcullis, session.local_address()).await;
    for intent in intents {
        assert_eq!(proved(&intent["principal"]), proved(&login), "{intent}");
        assert_eq!(intent["principal"]["client_address"], login["client_address"]);
    }
    // The administrator is somebody else, with the same words.
    let answer = Arrival::of(&portcullis, ADMIN.name)
        .saying("application_name", "admin")
        .arrive(Proof::Password(PASSWORD))
        .await;
    let admin = principal(&portcullis, answer.address()).await;
    assert_ne!(proved(&admin), proved(&login));
}
