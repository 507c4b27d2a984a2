//! Login rules: the first that holds decides, by what a client says before any proof.

use std::net::Ipv4Addr;

use end_to_end::portcullis::PASSWORD;
use end_to_end::waiting::SOON;
use end_to_end::{Database, Portcullis, Provider, Setup, cluster, wait_until};

use super::arrival::{Arrival, Proof};
use super::{provider, record};

const SCRAM: &str = "SCRAM-SHA-256";
const BOUND: &str = "SCRAM-SHA-256-PLUS SCRAM-SHA-256";
const TOKEN: &str = "a text";
const BEARER: &str = "OAUTHBEARER";
const REFUSED: &str = "refused";

const RULES: [&str; 7] = [
    "method = \"refuse\"\nusers = [\"postgres\", \"root*\"]",
    "method = \"scram\"\nusers = [\"svc_*\"]\naddresses = [\"127.5.0.0/16\"]",
    "method = \"refuse\"\nusers = [\"svc_*\"]",
    "method = \"oauthbearer\"\nissuer = \"corp\"\nusers = [\"*_app\"]\ntls = true",
    "method = \"token\"\nissuer = \"corp\"\ndatabases = [\"shop\"]\ntls = true",
    "method = \"scram\"\ndatabases = [\"shop\"]\ntls = false\naddresses = [\"127.0.0.0/9\"]",
    "method = \"scram\"\ndatabases = [\"arch*\"]\nlisteners = [\"default\"]",
];

fn with_rules(database: &Database, provider: &Provider) -> Setup {
    let setup = Setup::new(database).unmatched("allow").tls().issuer("corp", provider, "");
    let setup = setup.listen_line("name = \"default\"");
    RULES.iter().fold(setup, |setup, rule| setup.login_rule(rule))
}

/// What somebody is asked for first.
async fn asked(arrival: &Arrival) -> String {
    let answer = arrival.arrive(Proof::Nothing).await;
    match answer.asked.first() {
        Some(asked) => asked.clone(),
        None => {
            let told = answer.verdict();
            assert!(told.starts_with("out: 28000 user "), "{told}");
            assert!(told.contains("may not log in to this database from here"), "{told}");
            REFUSED.to_owned()
        }
    }
}

#[tokio::test]
async fn the_first_rule_that_holds_decides() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = with_rules(&database, &provider).start().await;
    let near = Ipv4Addr::new(127, 0, 0, 9);
    let fifth = Ipv4Addr::new(127, 5, 0, 9);
    let far = Ipv4Addr::new(127, 200, 0, 9);
    for (user, database, source, tls, expected) in [
        ("postgres", "shop", near, true, REFUSED),
        ("root", "shop", near, true, REFUSED),
        ("root2", "archive", near, false, REFUSED),
        ("Postgres", "shop", near, true, TOKEN),
        ("svc_etl", "shop", fifth, true, BOUND),
        ("svc_etl", "shop", fifth, false, SCRAM),
        ("svc_etl", "shop", near, true, REFUSED),
        ("svc_", "archive", near, false, REFUSED),
        ("svc", "shop", near, true, TOKEN),
        ("web_app", "shop", near, true, BEARER),
        ("web_app", "nowhere", near, true, BEARER),
        ("web_app", "shop", near, false, SCRAM),
        ("ana", "shop", near, true, TOKEN),
        ("ana", "shop", far, true, TOKEN),
        ("ana", "shop", near, false, SCRAM),
        ("ana", "shop", far, false, REFUSED),
        ("ana", "archive", near, true, BOUND),
        ("ana", "archive", far, false, SCRAM),
        // No rule holds: whoever was not thought of is not let in.
        ("ana", "nowhere", near, true, REFUSED),
        ("ana", "nowhere", near, false, REFUSED),
        // Without a database it is the one called as the user.
        ("shop", "", near, true, TOKEN),
        ("ana", "", near, true, REFUSED),
    ] {
        let arrival = Arrival::of(&portcullis, user).from(source);
        // A database is named, or left out.
        let arrival = arrival.saying("database", database);
        let arrival = if tls { arrival } else { arrival.in_plaintext() };
        let found = asked(&arrival).await;
        assert_eq!(found, expected, "{user} to {database} from {source}, TLS {tls}");
    }
}

async fn told(portcullis: &Portcullis, user: &str) -> String {
    let arrival = Arrival::of(portcullis, user).newly_come();
    arrival.arrive(Proof::Password(PASSWORD)).await.verdict()
}

#[tokio::test]
async fn without_rules_everybody_has_a_password_and_new_rules_are_taken_up() {
    let database = cluster().await.database().await;
    let portcullis = Setup::new(&database).unmatched("allow").start().await;
    assert_eq!(told(&portcullis, "ana").await, "in");
    let file = portcullis.configuration_file();
    let before = std::fs::read_to_string(&file).expect("our file");
    let rule = "\n[[login]]\nmethod = \"scram\"\nusers = [\"bot\"]\n";
    std::fs::write(&file, format!("{before}{rule}")).expect("our file");
    portcullis.signal("HUP");
    wait_until("the rule is in force", SOON, async || {
        told(&portcullis, "ana").await.starts_with("out: 28000 ").then_some(())
    })
    .await;
    assert_eq!(told(&portcullis, "bot").await, "in");
    // One that makes no sense changes nothing.
    std::fs::write(&file, format!("{before}\n[[login]]\nmethod = \"scrum\"\n")).expect("our file");
    portcullis.signal("HUP");
    wait_until("the rule was found wanting", SOON, async || {
        portcullis.log().contains("scrum").then_some(())
    })
    .await;
    assert!(told(&portcullis, "ana").await.starts_with("out: 28000 "));
    assert_eq!(told(&portcullis, "bot").await, "in");
    let arrival = Arrival::of(&portcullis, "ana").newly_come();
    let answer = arrival.arrive(Proof::Password(PASSWORD)).await;
    assert_eq!(record(&portcullis, "login-refused", answer.address()).await["role"], "ana");
}
