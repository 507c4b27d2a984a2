//! tokio-postgres.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio_postgres::{Client, Config, NoTls, Row, SimpleQueryMessage};

use super::counted::Counted;
use crate::failure::Failure;
use crate::stage::{DATABASE, PASSWORD};
use crate::target::Target;
use crate::workload::Keys;

const PAUSE: Duration = Duration::from_millis(20);
const KEYED: &str = "SELECT subject, email, notes FROM people WHERE id = ";
/// A connection is as old as this many turns when it is replaced.
const TURNS_MAX: usize = 100;

pub(super) fn run(target: &Target, stop: &AtomicBool) -> Result<Counted, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::to("start a runtime"))?;
    runtime.block_on(async {
        let mut driver = Driver { counted: Counted::default(), keys: Keys::new(3) };
        while !stop.load(Ordering::Relaxed) {
            let mut config = Config::new();
            config.host("127.0.0.1").port(target.address.port()).user(&target.login.user);
            config.password(PASSWORD).dbname(DATABASE);
            let (mut client, connection) =
                config.connect(NoTls).await.map_err(Failure::to("connect"))?;
            let connection = tokio::spawn(connection);
            for _ in 0..TURNS_MAX {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let turned = driver.turn(&mut client).await;
                turned.map_err(|error| Failure::new(format!("cannot ask: {}", whole(&*error))))?;
                tokio::time::sleep(PAUSE).await;
            }
            drop(client);
            let ended = connection.await.map_err(Failure::to("end a connection"))?;
            ended.map_err(Failure::to("end a connection"))?;
        }
        Ok(driver.counted)
    })
}

struct Driver {
    counted: Counted,
    keys: Keys,
}

type Asked = Result<(), Box<dyn std::error::Error>>;

impl Driver {
    async fn turn(&mut self, client: &mut Client) -> Asked {
        let mut key = || i32::try_from(self.keys.next().unwrap_or(1)).unwrap_or(1);
        let text = format!("{KEYED}$1");
        let row = client.query_one(&text, &[&key()]).await?;
        is_masked(&row)?;
        let prepared = client.prepare(&text).await?;
        let (one, other) = (key(), key());
        // One behind the other, without waiting.
        let (one, other): ([&(dyn tokio_postgres::types::ToSql + Sync); 1], _) =
            ([&one], [&other as _]);
        let both = futures_util::future::join(
            client.query_one(&prepared, &one),
            client.query_one(&prepared, &other),
        )
        .await;
        is_masked(&both.0?)?;
        is_masked(&both.1?)?;
        let simple = client.simple_query(&format!("{KEYED}{}", key())).await?;
        let masked = simple.iter().any(|message| {
            let SimpleQueryMessage::Row(row) = message else { return false };
            row.get(1).is_some_and(looks_masked)
        });
        masked.then_some(()).ok_or("a simple query was not masked")?;
        self.counted.completed += 4;
        self.transaction(client).await?;
        self.refused(client).await
    }

    async fn transaction(&mut self, client: &mut Client) -> Asked {
        let transaction = client.transaction().await?;
        let text = "SELECT subject, email FROM people WHERE id < 300";
        let rows = transaction.query(text, &[]).await?;
        rows.iter().try_for_each(is_masked)?;
        let copy = transaction.copy_out(&format!("COPY ({text}) TO STDOUT")).await?;
        let mut copy = std::pin::pin!(copy);
        while let Some(bytes) = copy.next().await {
            if bytes?.windows(5).any(|window| window == b"user2") {
                return Err("a copied row was not masked".into());
            }
        }
        transaction.commit().await?;
        // BEGIN, the query, the copy and COMMIT.
        self.counted.completed += 4;
        Ok(())
    }

    async fn refused(&mut self, client: &Client) -> Asked {
        let code = |answer: Result<Vec<Row>, tokio_postgres::Error>| {
            let error = answer.err();
            error.and_then(|error| error.code().map(|code| code.code().to_owned()))
        };
        let failing = "SELECT 1 / (id - id) FROM people WHERE id = 5";
        if code(client.query(failing, &[]).await).as_deref() != Some("22012") {
            return Err("a division by zero went well".into());
        }
        self.counted.failed += 1;
        if code(client.query("DELETE FROM people", &[]).await).as_deref() != Some("42501") {
            return Err("a DELETE without WHERE went through".into());
        }
        self.counted.denied += 1;
        Ok(())
    }
}

/// With what is behind it: the driver's own words for what a server says are "db error".
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn is_masked(row: &Row) -> Asked {
    let email: &str = row.try_get(1)?;
    if looks_masked(email) { Ok(()) } else { Err(format!("not masked: {email}").into()) }
}

fn looks_masked(email: &str) -> bool {
    email.starts_with("u***@example")
}
