//! Drivers get through the proxy what they get from PostgreSQL itself.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use end_to_end::cluster::APP;
use end_to_end::driver::{Driver, Target, with_target};
use end_to_end::frames::{Session, first_column, sequence};
use end_to_end::portcullis::{ANA, DATABASE, DEVELOPER, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Database, Setup, cluster, wait_until};
use tokio_postgres::config::SslMode;

use crate::scenario;

fn check_equal(what: &str, direct: &[String], proxied: &[String]) {
    for (number, (direct, proxied)) in direct.iter().zip(proxied).enumerate() {
        assert_eq!(direct, proxied, "{what}: line {number} differs");
    }
    assert_eq!(direct.len(), proxied.len(), "{what}: one has more lines");
}

/// Nothing decides anything: what is seen is the proxy itself.
fn bare(database: &Database) -> Setup {
    Setup::new(database).unmatched("allow")
}

/// The shipped policies, with the rights of somebody who develops the application.
fn guarded(database: &Database) -> Setup {
    bare(database).policy("10-guard.toml", "sql_guard.wasm", "mode = \"observe\"").policy(
        "50-pii.toml",
        "pii_mask.wasm",
        "match = { groups = [\"analysts\"] }",
    )
}

async fn check_driver(driver: Driver, tls: bool, setup: fn(&Database) -> Setup) {
    let direct_database = cluster().await.database().await;
    let proxied_database = cluster().await.database().await;
    let setup = setup(&proxied_database);
    let portcullis = if tls { setup.tls() } else { setup }.start().await;
    let authority = tls.then(|| portcullis.authority_file());
    let direct = Target {
        address: SocketAddr::from(([127, 0, 0, 1], cluster().await.postgres.port())),
        user: APP.to_owned(),
        database: direct_database.name.clone(),
        authority: authority.clone(),
    };
    let proxied = Target {
        address: portcullis.address(),
        user: DEVELOPER.name.to_owned(),
        database: DATABASE.to_owned(),
        authority,
    };
    check_equal(&format!("{driver:?}, TLS {tls}"), &driver.run(&direct), &driver.run(&proxied));
}

#[tokio::test]
async fn psql_sees_no_difference() {
    check_driver(Driver::Psql, false, bare).await;
    check_driver(Driver::Psql, true, guarded).await;
}

#[tokio::test]
async fn psycopg_sees_no_difference() {
    check_driver(Driver::Psycopg, false, guarded).await;
    check_driver(Driver::Psycopg, true, bare).await;
}

#[tokio::test]
async fn node_postgres_sees_no_difference() {
    check_driver(Driver::NodePostgres, false, guarded).await;
    check_driver(Driver::NodePostgres, true, bare).await;
}

#[tokio::test]
async fn tokio_postgres_sees_no_difference() {
    for tls in [false, true] {
        let direct_database = cluster().await.database().await;
        let proxied_database = cluster().await.database().await;
        let setup = guarded(&proxied_database);
        let portcullis = if tls { setup.tls() } else { setup }.start().await;
        let connector = portcullis.certificates().connector();
        let mode = if tls { SslMode::Require } else { SslMode::Disable };
        let mut direct = direct_database.direct();
        let mut proxied = portcullis.config(DEVELOPER);
        let direct = scenario::run(direct.ssl_mode(mode), &connector).await;
        let proxied = scenario::run(proxied.ssl_mode(mode), &connector).await;
        check_equal(&format!("tokio-postgres, TLS {tls}"), &direct, &proxied);
    }
}

/// The scenarios themselves are the same twice, so that a difference is the proxy's.
#[tokio::test]
async fn scenarios_repeat_themselves() {
    for driver in [Driver::Psql, Driver::Psycopg, Driver::NodePostgres] {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let database = cluster().await.database().await;
            let target = Target {
                address: SocketAddr::from(([127, 0, 0, 1], cluster().await.postgres.port())),
                user: APP.to_owned(),
                database: database.name,
                authority: None,
            };
            runs.push(driver.run(&target));
        }
        check_equal(&format!("{driver:?} twice"), &runs[0], &runs[1]);
        assert!(runs[0].len() > 40, "{driver:?} checked next to nothing");
    }
    let connector = cluster().await.certificates.connector();
    let mut runs = Vec::new();
    for mode in [SslMode::Disable, SslMode::Require] {
        let mut config = cluster().await.database().await.direct();
        runs.push(scenario::run(config.ssl_mode(mode), &connector).await);
    }
    check_equal("tokio-postgres twice", &runs[0], &runs[1]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut answers = Vec::new();
    for (user, password) in
        [(ANA.name, "wrong"), ("nobody-we-know", "wrong"), ("nobody-we-know", PASSWORD)]
    {
        let mut session = Session::connect(portcullis.address()).await;
        let answer = session.try_login(password, &[("user", user), ("database", DATABASE)]).await;
        assert!(session.message().await.is_none(), "{user} is still connected");
        answers.push(sequence(&answer));
    }
    assert_eq!(answers, ["R R E:28P01", "R R E:28P01", "R R E:28P01"]);
    let ledger = portcullis.ledger();
    wait_until("the ledger has the refusals", SOON, async || {
        (ledger.of_kind("login-refused").len() == 3).then_some(())
    })
    .await;
    assert!(portcullis.connect(ANA).await.query("SELECT 1", &[]).await.is_ok());
}

#[tokio::test]
async fn the_proxy_logs_in_upstream_in_every_way_there_is() {
    let ways = [
        ("by_trust", "disable"),
        ("by_password", "prefer"),
        ("by_md5", "require"),
        (APP, "disable"),
        (APP, "require"),
        (APP, "verify-ca"),
        (APP, "verify-full"),
    ];
    for (role, sslmode) in ways {
        let database = cluster().await.database().await;
        let portcullis = bare(&database).upstream(role, sslmode).start().await;
        let expected = (role.to_owned(), sslmode != "disable");
        // What one login has shown of the server the next goes by.
        for _ in 0..3 {
            let client = portcullis.connect(ANA).await;
            let query =
                "SELECT current_user::text, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let row = client.query_one(query, &[]).await;
            let row = row.unwrap_or_else(|error| panic!("{role}: {error:?}"));
            assert_eq!((row.get::<_, String>(0), row.get::<_, bool>(1)), expected, "{sslmode}");
        }
    }
}

#[tokio::test]
async fn psql_interrupts_a_statement() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let target = Target {
        address: portcullis.address(),
        user: DEVELOPER.name.to_owned(),
        database: DATABASE.to_owned(),
        authority: None,
    };
    let mut command = Command::new("psql");
    let psql = with_target(&mut command, &target)
        .args(["-X", "-v", "VERBOSITY=verbose", "-c", "SELECT pg_sleep(60)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql runs");
    let superuser = database.superuser().await;
    let query = "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%pg_sleep(60)%' \
                 AND state = 'active' AND pid <> pg_backend_pid()";
    wait_until("the statement runs", SOON, async || {
        let rows = superuser.query(query, &[&database.name]).await.expect("it answers");
        (!rows.is_empty()).then_some(())
    })
    .await;
    Command::new("kill").args(["-INT", &psql.id().to_string()]).status().expect("kill works");
    let output = psql.wait_with_output().expect("psql ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("57014"), "psql said {said}");
}

#[tokio::test]
async fn sigterm_lets_a_running_statement_finish() {
    let database = cluster().await.database().await;
    let mut portcullis = bare(&database).start().await;
    let mut working = portcullis.session(DEVELOPER).await;
    let mut idle = portcullis.session(DEVELOPER).await;
    working
        .send(end_to_end::frames::Batch::new().query("SELECT pg_sleep(1), 'done'").bytes())
        .await;
    let ledger = portcullis.ledger();
    wait_until("the statement is on its way", SOON, async || {
        (!ledger.intents("pg_sleep").is_empty()).then_some(())
    })
    .await;
    portcullis.signal("TERM");
    let answer = working.until_ready().await;
    assert!(sequence(&answer).starts_with("T D*1 C:SELECT 1"), "{}", sequence(&answer));
    let farewell = idle.until_ready().await;
    assert_eq!(sequence(&farewell), "E:57P01");
    drop(working);
    wait_until("the proxy ends", SOON, async || (!portcullis.is_up()).then_some(())).await;
}

#[tokio::test]
async fn sighup_reads_the_configuration_anew_and_drops_nobody() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let mut standing = portcullis.session(DEVELOPER).await;
    let verifier = database.cluster.scram_verifier(PASSWORD).await;
    let mut text = std::fs::read_to_string(portcullis.configuration_file()).expect("it is there");
    text.push_str(&format!("[[user]]\nname = \"newcomer\"\nscram = \"{verifier}\"\ngroups = []\n"));
    std::fs::write(portcullis.configuration_file(), text).expect("it takes text");
    portcullis.signal("HUP");
    wait_until("the newcomer is known", SOON, async || {
        let mut session = Session::connect(portcullis.address()).await;
        let parameters = [("user", "newcomer"), ("database", DATABASE)];
        let answer = session.try_login(PASSWORD, &parameters).await;
        sequence(&answer).ends_with("Z:I").then_some(())
    })
    .await;
    assert_eq!(first_column(&standing.query("SELECT 'still here'").await), ["still here"]);
    assert!(standing.message_within(Duration::from_millis(50)).await.is_none());
}
