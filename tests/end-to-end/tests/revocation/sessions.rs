//! Sessions that are to end: one in a long statement, one whose client reads slowly, one that
//! does nothing.

use std::time::Duration;

use end_to_end::portcullis::{DATABASE, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{ClientCertificate, Database, Portcullis, User, wait_until};
use futures_util::{StreamExt, pin_mut};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};

/// No session outlives what it rests on by more.
pub const WITHIN: Duration = Duration::from_secs(5);

const SLEEP: &str = "SELECT pg_sleep(600)";
/// More than anybody waits for, a row at a time.
const STREAM: &str = "SELECT generate_series(1, 100000000), repeat('x', 1000)";
/// A slow reader takes some rows, and then nothing for a while.
const ROWS_AT_ONCE: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// How somebody comes: over TLS, with a password or a certificate.
#[derive(Clone)]
pub struct Arrival {
    user: String,
    password: String,
    certificate: Option<ClientCertificate>,
}

impl From<User> for Arrival {
    fn from(user: User) -> Arrival {
        Arrival::new(user.name, PASSWORD)
    }
}

impl Arrival {
    pub fn new(user: &str, password: &str) -> Arrival {
        Arrival { user: user.to_owned(), password: password.to_owned(), certificate: None }
    }

    pub fn showing(user: &str, certificate: ClientCertificate) -> Arrival {
        Arrival { certificate: Some(certificate), ..Arrival::new(user, "") }
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    pub async fn connect(
        &self,
        portcullis: &Portcullis,
        application: &str,
    ) -> Result<Open, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("localhost").hostaddr([127, 0, 0, 1].into()).ssl_mode(SslMode::Require);
        config.port(portcullis.address().port()).dbname(DATABASE).application_name(application);
        config.user(&self.user).password(&self.password);
        let authority = portcullis.certificates();
        let connector = match &self.certificate {
            Some(certificate) => authority.connector_with(certificate),
            None => authority.connector(),
        };
        let (client, connection) = config.connect(connector).await?;
        let connection = tokio::spawn(async move { connection.await.err().map(Ended::by) });
        Ok(Open { client, connection })
    }

    /// The same, when nothing is in the way.
    pub async fn open(&self, portcullis: &Portcullis, application: &str) -> Open {
        let open = self.connect(portcullis, application).await;
        open.unwrap_or_else(|error| {
            panic!("{} may come for {application}: {error:?}\n{}", self.user, portcullis.log())
        })
    }
}

/// An open session.
pub struct Open {
    pub client: Client,
    /// What ended it, where that was not its client.
    pub connection: JoinHandle<Option<Ended>>,
}

/// What a client was told at the end, and when.
#[derive(Clone, Debug)]
pub struct Ended {
    at: Instant,
    sqlstate: String,
    message: String,
}

impl Ended {
    pub fn by(error: tokio_postgres::Error) -> Ended {
        let told = error.as_db_error();
        Ended {
            at: Instant::now(),
            sqlstate: told.map(|told| told.code().code().to_owned()).unwrap_or_default(),
            message: told.map_or_else(|| format!("{error:?}"), |told| told.message().to_owned()),
        }
    }

    /// It says no more than that.
    pub fn check_login_failed(&self, what: &str) {
        assert_eq!(self.sqlstate, "28P01", "{what}: {self:?}");
        assert!(self.message.starts_with("authentication failed for user"), "{what}: {self:?}");
    }
}

/// Three sessions of one login.
pub struct Victims {
    /// What their applications' names begin with.
    name: String,
    ended: Vec<(&'static str, JoinHandle<Ended>)>,
    /// Tells the slow reader to read on without pauses.
    hurry: watch::Sender<bool>,
    /// As the proxy counts them: sleeping, streaming, idle.
    pub ids: Vec<u64>,
}

impl Victims {
    pub async fn begin(
        portcullis: &Portcullis,
        watcher: &Watcher,
        name: &str,
        arrival: &Arrival,
    ) -> Victims {
        let application = |kind: &str| format!("{name}/{kind}");
        let sleeping = arrival.open(portcullis, &application("sleeping")).await;
        let streaming = arrival.open(portcullis, &application("streaming")).await;
        let idle = arrival.open(portcullis, &application("idle")).await;
        idle.client.simple_query("SELECT 1").await.expect("it works before it ends");
        let (hurry, hurried) = watch::channel(false);
        let ended = vec![
            ("sleeping", tokio::spawn(sleep(sleeping))),
            ("streaming", tokio::spawn(read_slowly(streaming, hurried))),
            ("idle", tokio::spawn(stay_idle(idle))),
        ];
        watcher.until(&application("sleeping"), Some("PgSleep")).await;
        watcher.until(&application("streaming"), Some("ClientWrite")).await;
        let kinds = ["sleeping", "streaming", "idle"];
        let mut ids = Vec::new();
        for kind in kinds {
            ids.push(session_of(portcullis, &application(kind)).await);
        }
        Victims { name: name.to_owned(), ended, hurry, ids }
    }

    /// Each is told `reason` within the time allowed since `since`, the server has forgotten
    /// them by then, and the ledger has their ends.
    pub async fn check(
        self,
        portcullis: &Portcullis,
        watcher: &Watcher,
        since: Instant,
        reason: &str,
    ) {
        let name = &self.name;
        self.hurry.send_replace(true);
        watcher.until_gone(&format!("{name}/%"), since).await;
        for (kind, ended) in self.ended {
            let ended = tokio::time::timeout(SOON, ended).await;
            let ended = ended.unwrap_or_else(|_| panic!("{name}: {kind} goes on"));
            let ended = ended.expect("clients do not panic");
            assert_eq!(ended.sqlstate, "57P01", "{name}: {kind}: {ended:?}");
            assert!(ended.message.contains(reason), "{name}: {kind}: {ended:?}");
            let took = ended.at.saturating_duration_since(since);
            assert!(took <= WITHIN, "{name}: {kind} ended after {took:?}");
        }
        check_records(portcullis, name, &self.ids, reason).await;
    }
}

async fn sleep(open: Open) -> Ended {
    let answer = open.client.simple_query(SLEEP).await;
    Ended::by(answer.expect_err("nobody sleeps that long"))
}

async fn read_slowly(open: Open, hurried: watch::Receiver<bool>) -> Ended {
    let rows = open.client.simple_query_raw(STREAM).await.expect("it begins");
    pin_mut!(rows);
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if !*hurried.borrow() {
            ticks.tick().await;
        }
        for _ in 0..ROWS_AT_ONCE {
            match rows.next().await.expect("it does not come to its end") {
                Ok(_) => {}
                Err(error) => return Ended::by(error),
            }
        }
    }
}

async fn stay_idle(open: Open) -> Ended {
    let ended = open.connection.await.expect("the connection does not panic");
    drop(open.client);
    ended.expect("it is told why")
}

/// The ledger has that these sessions were ended, why, and that they are over.
async fn check_records(portcullis: &Portcullis, name: &str, ids: &[u64], reason: &str) {
    let ledger = portcullis.ledger();
    wait_until(&format!("{name}: the ends are recorded"), SOON, async || {
        let (ended, over) = (ledger.of_kind("session-ended"), ledger.of_kind("logout"));
        let has = |records: &[Value], id: u64| records.iter().any(|r| r["session"] == id);
        ids.iter().all(|id| has(&ended, *id) && has(&over, *id)).then_some(())
    })
    .await;
    for id in ids {
        let mut ends = ledger.of_kind("session-ended");
        ends.retain(|record| record["session"] == *id);
        assert_eq!(ends.len(), 1, "{name}: {ends:?}");
        let said = ends[0]["reason"].as_str().expect("a reason");
        assert!(said.contains(reason), "{name}: {said}");
    }
    let mut slept = ledger.intents("pg_sleep");
    slept.retain(|intent| intent["session"] == ids[0]);
    let outcome = ledger.outcome(&slept[0]).expect("recorded before the logout");
    assert_eq!(outcome["ending"], "lost", "{name}: {outcome}");
}

/// The number of the one session whose client calls itself so.
pub async fn session_of(portcullis: &Portcullis, application: &str) -> u64 {
    let (status, answer) = portcullis.api("GET", "/v1/sessions", None).await;
    assert_eq!(status, 200, "{answer}");
    let sessions = answer["sessions"].as_array().expect("a list");
    let mut found = sessions.iter().filter(|session| session["application"] == application);
    let id = found.next().and_then(|session| session["id"].as_u64());
    assert!(found.next().is_none(), "{application} is there once");
    id.unwrap_or_else(|| panic!("{application} is not in {answer}"))
}

/// Looks at the server's own list of sessions.
pub struct Watcher {
    client: Client,
    database: String,
}

impl Watcher {
    pub async fn of(database: &Database) -> Watcher {
        Watcher { client: database.superuser().await, database: database.name.clone() }
    }

    /// Waits until the session of this application runs something, and for what it waits.
    pub async fn until(&self, application: &str, waits_for: Option<&str>) {
        wait_until(&format!("{application} runs, {waits_for:?}"), SOON, async || {
            let query = "SELECT 1 FROM pg_stat_activity WHERE datname = $1
                         AND application_name = $2 AND state = 'active'
                         AND ($3::text IS NULL OR wait_event = $3)";
            let found = self.client.query(query, &[&self.database, &application, &waits_for]).await;
            (found.expect("a good query").len() == 1).then_some(())
        })
        .await;
    }

    /// How many sessions are there whose application's name is like this.
    pub async fn count(&self, pattern: &str) -> i64 {
        let query = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = $1 AND application_name LIKE $2";
        let found = self.client.query_one(query, &[&self.database, &pattern]).await;
        found.expect("a good query").get(0)
    }

    /// How many of those wait for this.
    pub async fn waiting_for(&self, pattern: &str, event: &str) -> i64 {
        let query = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = $1 AND application_name LIKE $2 AND wait_event = $3";
        let found = self.client.query_one(query, &[&self.database, &pattern, &event]).await;
        found.expect("a good query").get(0)
    }

    /// Waits until none is there, and holds that against the time allowed.
    pub async fn until_gone(&self, pattern: &str, since: Instant) {
        wait_until(&format!("{pattern} are gone at the server"), SOON, async || {
            (self.count(pattern).await == 0).then_some(())
        })
        .await;
        let took = since.elapsed();
        assert!(took <= WITHIN, "{pattern} were gone at the server after {took:?}");
    }
}
