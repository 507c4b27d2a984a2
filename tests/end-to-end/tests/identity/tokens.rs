//! A token of a real provider, as the password: whom it makes, and with which clients.

use std::process::Command;

use end_to_end::driver::{Target, with_target};
use end_to_end::portcullis::DATABASE;
use end_to_end::provider::AUDIENCE;
use end_to_end::{Account, Portcullis, Provider, Wanted, artefacts, cluster};
use serde_json::{Value, json};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::arrival::{Arrival, Proof};
use super::{by_token, principal, provider, record};

const LINES: &str = "algorithms = [\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]
claims = [\"team\", \"email\"]
kinds = [{ claim = \"kind\", value = \"job\", kind = \"service\" },
         { claim = \"kind\", value = \"robot\", kind = \"agent\" }]";

/// Comes in with a token, and gives what the ledger says of whom it is.
async fn comes_as(portcullis: &Portcullis, user: &str, token: &str) -> Value {
    let answer = Arrival::of(portcullis, user).arrive(Proof::Text(token.as_bytes())).await;
    assert_eq!(answer.verdict(), "in", "{user}\n{}", portcullis.log());
    assert_eq!(answer.asked, ["a text"]);
    let mut who = principal(portcullis, answer.address()).await;
    let members = who.as_object_mut().expect("a principal");
    members.remove("client_address");
    members.remove("application");
    who
}

/// Stays outside, and learns no more than that.
async fn stays_out(portcullis: &Portcullis, user: &str, token: &str, why: &str) {
    let arrival = Arrival::of(portcullis, user).newly_come();
    let answer = arrival.arrive(Proof::Text(token.as_bytes())).await;
    let told = format!("out: 28P01 authentication failed for user \"{user}\"");
    assert_eq!(answer.verdict(), told, "{why}");
    let record = record(portcullis, "login-refused", answer.address()).await;
    assert!(record["reason"].as_str().is_some_and(|reason| reason.ends_with(why)), "{record}");
    assert_eq!(record["role"], user);
}

#[tokio::test]
async fn a_token_says_who_it_is_of_what_kind_and_for_whom() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let bot = Account::new("bot").groups(&["agents"]).claim("kind", "robot");
    provider.put(&bot).await;
    let nightly = Account::new("nightly").groups(&["jobs"]).claim("kind", "job");
    provider.put_service(&nightly).await;
    let portcullis = by_token(&database, &provider, LINES).start().await;

    let ana = json!({
        "subject": "ana", "kind": "human", "groups": ["analysts"], "proof": "oidc",
        "claims": [["team", "risk"], ["email", "ana@shop.example"]], "role": "ana",
    });
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = provider.issue(&Wanted::by("ana").algorithm(algorithm)).await.access;
        assert_eq!(comes_as(&portcullis, "ana", &token).await, ana, "{algorithm}");
    }
    let token = provider.issue(&Wanted::by("bot")).await.access;
    let who = comes_as(&portcullis, "bot", &token).await;
    assert_eq!((&who["kind"], &who["groups"]), (&json!("agent"), &json!(["agents"])));
    let token = provider.service_token("nightly", AUDIENCE).await;
    let who = comes_as(&portcullis, "nightly", &token).await;
    assert_eq!((&who["kind"], &who["groups"]), (&json!("service"), &json!(["jobs"])));

    // An agent with a token of hers is the agent, with what she delegated, and never she.
    let token = provider.issue(&Wanted::by("ana").acted_for_by("helper")).await.access;
    let who = comes_as(&portcullis, "helper", &token).await;
    assert_eq!((&who["subject"], &who["on_behalf_of"]), (&json!("helper"), &json!("ana")));
    assert_eq!((&who["kind"], &who["groups"]), (&json!("agent"), &json!(["analysts"])));
    stays_out(&portcullis, "ana", &token, "helper may not come as ana").await;
    let may_act = json!({ "sub": "helper" });
    let token = provider.issue(&Wanted::by("ana").claim("may_act", may_act)).await.access;
    let who = comes_as(&portcullis, "helper", &token).await;
    assert_eq!((&who["kind"], &who["on_behalf_of"]), (&json!("agent"), &json!("ana")));
}

#[tokio::test]
async fn a_good_token_is_for_one_name_and_for_one_s_own_databases() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let lines = "user_claim = \"logins\"\nsubject_prefix = \"corp:\"\ndatabases = [\"shop\"]";
    let archive = format!(
        "[[database]]\nname = \"archive\"\nupstream = \"postgresql://app@127.0.0.1:{}/{}?sslmode=disable\"
         password_file = \"{{place}}/upstream-password\"",
        database.cluster.postgres.port(),
        database.name
    );
    let portcullis = by_token(&database, &provider, lines).section(&archive).start().await;
    let logins = json!(["ana", "reporting"]);
    let token = provider.issue(&Wanted::by("ana").claim("logins", logins)).await.access;
    for user in ["ana", "reporting"] {
        let who = comes_as(&portcullis, user, &token).await;
        assert_eq!((&who["subject"], &who["role"]), (&json!("corp:ana"), &json!(user)));
    }
    for user in ["bo", "corp:ana", "Ana", "ana ", "admin", "postgres"] {
        stays_out(&portcullis, user, &token, &format!("corp:ana may not come as {user}")).await;
    }
    for name in ["archive", "postgres"] {
        let elsewhere = Arrival::of(&portcullis, "ana").saying("database", name);
        let answer = elsewhere.arrive(Proof::Text(token.as_bytes())).await;
        // Which there are besides is not for those who may not use them.
        let told = format!("out: 42501 database \"{name}\" is not open to user \"ana\"");
        assert_eq!(answer.verdict(), told);
    }

    let without = provider.issue(&Wanted::by("ana")).await.access;
    stays_out(&portcullis, "ana", &without, "the token has no usable user name").await;
}

#[tokio::test]
async fn a_token_is_asked_for_over_tls_alone_and_no_password_is_taken_for_one() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    comes_as(&portcullis, "ana", &token).await;

    let plain = Arrival::of(&portcullis, "ana").in_plaintext();
    let answer = plain.arrive(Proof::Text(token.as_bytes())).await;
    assert!(answer.asked.is_empty(), "{:?}", answer.asked);
    // In plaintext the rule holds for nobody.
    let told = answer.verdict();
    assert!(told.starts_with("out: 28000 "), "{told}");

    // What would open the same name by SCRAM.
    stays_out(&portcullis, "ana", end_to_end::portcullis::PASSWORD, "malformed").await;
    stays_out(&portcullis, "ana", "", "malformed").await;
}

/// psql, psycopg and tokio-postgres know nothing of tokens: to them it is a password.
#[tokio::test]
async fn ordinary_clients_bring_a_token_as_their_password() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    typed_into_psql(&portcullis, &token).await;
    by_psycopg(&portcullis, &provider, &token).await;

    let mut config = Config::new();
    config.host("localhost").port(portcullis.address().port()).user("ana").password(&token);
    config.dbname(DATABASE).ssl_mode(SslMode::Require);
    let connector = portcullis.certificates().connector();
    let (client, connection) = config.connect(connector.clone()).await.expect("she comes in");
    tokio::spawn(connection);
    let row = client.query_one("SELECT 6 * 7", &[]).await.expect("a row");
    assert_eq!(row.get::<_, i32>(0), 42);
    let refused = config.user("bo").connect(connector).await.map(drop);
    let refused = refused.expect_err("it is not his token");
    assert_eq!(refused.code().map(|code| code.code()), Some("28P01"));
}

async fn typed_into_psql(portcullis: &Portcullis, token: &str) {
    let mut psql = portcullis.psql_with(&[], &[("PGUSER", "ana")]);
    psql.wait_for("Password for user ana: ").await;
    psql.type_line(token);
    psql.wait_for("shop=> ").await;
    assert!(!psql.screen().contains(token), "it is not shown");
    psql.type_line("SELECT 6 * 7 AS answer;");
    psql.wait_for(" 42\n").await;

    let mut psql = portcullis.psql_with(&[], &[("PGUSER", "bo"), ("PGPASSWORD", token)]);
    psql.wait_for("FATAL:  authentication failed for user \"bo\"").await;
    assert_ne!(psql.exit_code().await, 0);
    let variables = [("PGUSER", "ana"), ("PGPASSWORD", token), ("PGSSLMODE", "disable")];
    let mut psql = portcullis.psql_with(&[], &variables);
    psql.wait_for("FATAL:  user \"ana\" may not log in to this database from here").await;
}

async fn by_psycopg(portcullis: &Portcullis, provider: &Provider, token: &str) {
    const SCRIPT: &str = "import psycopg, os\n\
        for user in ('ana', 'bo'):\n\
        \x20   try:\n\
        \x20       with psycopg.connect(user=user) as connection:\n\
        \x20           print(connection.execute('SELECT 6 * 7').fetchone()[0])\n\
        \x20   except psycopg.OperationalError as error:\n\
        \x20       print('authentication failed for user \"bo\"' in str(error))\n";
    let target = Target {
        address: portcullis.address(),
        user: "ana".to_owned(),
        database: DATABASE.to_owned(),
        authority: Some(portcullis.authority_file()),
    };
    let mut command = Command::new(artefacts::tool("venv/bin/python"));
    with_target(&mut command, &target).env("PGPASSWORD", token).args(["-c", SCRIPT]);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("waiting does not panic").expect("Python runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\nTrue\n", "{output:?}");
    // Nobody but the proxy asked for keys, and it once.
    assert_eq!(provider.requests("/jwks").await, 1);
}

/// A token is a secret like a password: it is good for the database elsewhere, too.
#[tokio::test]
async fn tokens_are_written_down_nowhere() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "recheck_seconds = 1").start().await;
    let token = provider.issue(&Wanted::by("ana")).await.access;
    comes_as(&portcullis, "ana", &token).await;
    stays_out(&portcullis, "bo", &token, "ana may not come as bo").await;
    let (_, signature) = token.rsplit_once('.').expect("three parts");
    for (place, text) in [("log", portcullis.log()), ("ledger", portcullis.ledger().text())] {
        assert!(!text.contains(signature), "the {place} has it");
    }
}
