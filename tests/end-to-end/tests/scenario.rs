//! The driver scenario in tokio-postgres: results in binary, queries pipelined. One line per
//! check; the lines must be the same whoever answers.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use end_to_end::certificates::Rustls;
use end_to_end::waiting::SOON;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future, pin_mut, stream};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Error, SimpleQueryMessage};

/// What the scenario has seen so far.
struct Report(Vec<String>);

impl Report {
    fn line(&mut self, check: &str, value: impl Debug) {
        self.0.push(format!("{check}: {value:?}"));
    }
}

/// Runs the scenario; `tls` is used as the configuration's `sslmode` says.
pub(crate) async fn run(config: &Config, tls: &Rustls) -> Vec<String> {
    let mut report = Report(Vec::new());
    let client = connect(config, tls).await.expect("it connects");
    types(&client, &mut report).await;
    text_results(&client, &mut report).await;
    let mut client = client;
    transactions(&mut client, &mut report).await;
    errors(&client, &mut report).await;
    prepared(&client, &mut report).await;
    portals(&mut client, &mut report).await;
    pipelines(&client, &mut report).await;
    copies(&client, &mut report).await;
    cancel(&client, tls, &mut report).await;
    notifications(config, tls, &mut report).await;
    wrong_password(config, tls, &mut report).await;
    report.0
}

/// Connects and drives the connection in a task.
pub(crate) async fn connect(config: &Config, tls: &Rustls) -> Result<Client, Error> {
    let connecting = tokio::time::timeout(SOON, config.connect(tls.clone())).await;
    let (client, connection) = connecting.expect("the server answers")?;
    tokio::spawn(connection);
    Ok(client)
}

fn sqlstate(error: &Error) -> Option<(String, String, Option<String>)> {
    let error = error.as_db_error()?;
    let constraint = error.constraint().map(str::to_owned);
    Some((error.code().code().to_owned(), error.message().to_owned(), constraint))
}

async fn types(client: &Client, report: &mut Report) {
    let query = "SELECT $1::int2, $2::int4, $3::int8, $4::float4, $5::float8, $6::bool, $7::text, \
                 $8::bytea, $9::timestamptz, $10::inet, $11::int4[], $12::text[], NULL::int4 AS n";
    let when = SystemTime::UNIX_EPOCH + Duration::from_micros(1_772_323_199_123_456);
    let address = std::net::IpAddr::from([192, 0, 2, 1]);
    let numbers = vec![Some(1), None, Some(3)];
    let words = vec![Some("x".to_owned()), Some("y\"z".to_owned()), None];
    let values: [&(dyn ToSql + Sync); 12] = [
        &7i16,
        &-70_000i32,
        &9_000_000_000i64,
        &0.25f32,
        &1.5e300f64,
        &true,
        &"naïve 😀",
        &[0u8, 1, 127, 128, 255].as_slice(),
        &when,
        &address,
        &numbers,
        &words,
    ];
    let row = client.query_one(query, &values).await.expect("every type");
    report.line("int2", row.get::<_, i16>(0));
    report.line("int4", row.get::<_, i32>(1));
    report.line("int8", row.get::<_, i64>(2));
    report.line("float4", row.get::<_, f32>(3));
    report.line("float8", row.get::<_, f64>(4));
    report.line("bool", row.get::<_, bool>(5));
    report.line("text", row.get::<_, String>(6));
    report.line("bytea", row.get::<_, Vec<u8>>(7));
    report.line("timestamptz", row.get::<_, SystemTime>(8));
    report.line("inet", row.get::<_, std::net::IpAddr>(9));
    report.line("int4[]", row.get::<_, Vec<Option<i32>>>(10));
    report.line("text[]", row.get::<_, Vec<Option<String>>>(11));
    report.line("null", row.get::<_, Option<i32>>(12));
    report.line(
        "columns",
        row.columns().iter().map(|c| (c.name(), c.type_().clone())).collect::<Vec<_>>(),
    );
}

/// The types that tokio-postgres cannot read itself, as text.
async fn text_results(client: &Client, report: &mut Report) {
    let query = "SELECT 12345.6700::numeric, date '2026-02-28', interval '3 days 7 seconds', \
                 '00000000-0000-0000-0000-001234567890'::uuid, '{\"a\":[1,null]}'::json, \
                 '{\"b\":1}'::jsonb, NULL; SELECT 2; INSERT INTO scratch VALUES (900, 'new', 1); \
                 DELETE FROM scratch WHERE id = 900";
    for message in client.simple_query(query).await.expect("several statements") {
        match message {
            SimpleQueryMessage::Row(row) => {
                report.line("row", (0..row.len()).map(|i| row.get(i)).collect::<Vec<_>>());
            }
            SimpleQueryMessage::CommandComplete(rows) => report.line("rows", rows),
            SimpleQueryMessage::RowDescription(columns) => report.line("described", columns.len()),
            other => report.line("other", other),
        }
    }
}

async fn transactions(client: &mut Client, report: &mut Report) {
    client.batch_execute("CREATE TEMP TABLE kept (id int PRIMARY KEY)").await.expect("a table");
    let mut transaction = client.transaction().await.expect("BEGIN");
    transaction.execute("INSERT INTO kept VALUES ($1)", &[&1i32]).await.expect("a row");
    let savepoint = transaction.savepoint("here").await.expect("SAVEPOINT");
    let twice = savepoint.execute("INSERT INTO kept VALUES ($1)", &[&1i32]).await;
    report.line("unique", twice.as_ref().err().and_then(sqlstate));
    let failed = savepoint.query("SELECT 1", &[]).await;
    report.line("25P02", failed.as_ref().err().and_then(sqlstate));
    savepoint.rollback().await.expect("ROLLBACK TO");
    transaction.execute("INSERT INTO kept VALUES (2)", &[]).await.expect("a row");
    transaction.commit().await.expect("COMMIT");
    let transaction = client.transaction().await.expect("BEGIN");
    transaction.execute("DELETE FROM kept WHERE id = 2", &[]).await.expect("a row less");
    transaction.rollback().await.expect("ROLLBACK");
    let row = client.query_one("SELECT array_agg(id ORDER BY id) FROM kept", &[]).await;
    report.line("kept", row.expect("a row").get::<_, Vec<i32>>(0));
}

async fn errors(client: &Client, report: &mut Report) {
    for statement in [
        "SELEC 1",
        "SELECT 1/0",
        "SELECT nope",
        "SELECT * FROM nowhere",
        "INSERT INTO scratch VALUES (1, 'x', 1)",
        "SELECT 'x'::int",
        "SELECT 1; SELECT 1/0",
    ] {
        let simple = client.simple_query(statement).await;
        report.line(statement, simple.as_ref().err().and_then(sqlstate));
        let extended = client.query(statement, &[]).await;
        report.line(statement, extended.as_ref().err().and_then(sqlstate));
    }
    report.line("alive", client.query_one("SELECT 1", &[]).await.expect("a row").get::<_, i32>(0));
}

async fn prepared(client: &Client, report: &mut Report) {
    let statement = client.prepare("SELECT $1 + 1, $2 || '!'").await;
    report.line("ambiguous", statement.as_ref().err().and_then(sqlstate));
    let statement = client.prepare("SELECT $1::int + 1, $2::text || '!'").await.expect("prepared");
    let mut total = 0usize;
    for number in 0..100i32 {
        let row = client.query_one(&statement, &[&number, &format!("n{number}")]).await;
        let row = row.expect("a row");
        total +=
            row.get::<_, String>(1).len() + usize::try_from(row.get::<_, i32>(0)).expect("small");
    }
    report.line("prepared 100 times", total);
}

async fn portals(client: &mut Client, report: &mut Report) {
    let transaction = client.transaction().await.expect("BEGIN");
    let query = "SELECT id FROM scratch WHERE id > $1 ORDER BY id";
    let portal = transaction.bind(query, &[&2i32]).await.expect("a portal");
    loop {
        let rows = transaction.query_portal(&portal, 7).await.expect("rows");
        report.line("portal", rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
        if rows.len() < 7 {
            break;
        }
    }
    transaction.commit().await.expect("COMMIT");
}

async fn pipelines(client: &Client, report: &mut Report) {
    let numbers: Vec<i32> = (0..50).collect();
    let one = |number: &i32| {
        let number = *number;
        async move {
            client
                .query_one("SELECT $1::int * 2", &[&number])
                .await
                .expect("a row")
                .get::<_, i32>(0)
        }
    };
    let answers: Vec<i32> = future::join_all(numbers.iter().map(one)).await;
    report.line("pipelined", answers);
    let (first, second, third) = future::join3(
        client.query("SELECT 1", &[]),
        client.query("SELECT 1/0", &[]),
        client.query("SELECT 3", &[]),
    )
    .await;
    report.line(
        "around an error",
        (first.is_ok(), second.as_ref().err().and_then(sqlstate), third.is_ok()),
    );
}

async fn copies(client: &Client, report: &mut Report) {
    client.batch_execute("CREATE TEMP TABLE copied (id int, word text)").await.expect("a table");
    let sink = client.copy_in("COPY copied FROM STDIN").await.expect("COPY");
    pin_mut!(sink);
    let lines = (0..500).map(|n| Ok(bytes::Bytes::from(format!("{n}\tword {n}\n"))));
    sink.send_all(&mut stream::iter(lines)).await.expect("data");
    report.line("copied in", sink.finish().await.expect("it ends"));
    for format in ["text", "csv", "binary"] {
        let copy = format!("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT (FORMAT {format})");
        let out = client.copy_out(copy.as_str()).await.expect("COPY");
        let chunks: Vec<bytes::Bytes> = out.try_collect().await.expect("data");
        report.line(format, chunks.concat().len());
    }
    let sink = client.copy_in("COPY copied FROM STDIN").await.expect("COPY");
    pin_mut!(sink);
    sink.send(bytes::Bytes::from_static(b"no number\tx\n")).await.expect("data");
    let refused: Result<u64, Error> = sink.finish().await;
    report.line("broken copy", refused.as_ref().err().and_then(sqlstate));
    report.line("alive", client.query_one("SELECT 1", &[]).await.is_ok());
}

async fn cancel(client: &Client, tls: &Rustls, report: &mut Report) {
    let token = client.cancel_token();
    let began = Instant::now();
    let cancelling = async {
        tokio::time::timeout(Duration::from_millis(300), future::pending::<()>())
            .await
            .expect_err("it pends");
        token.cancel_query(tls.clone()).await.expect("the server takes it");
    };
    let (slept, ()) = future::join(client.simple_query("SELECT pg_sleep(30)"), cancelling).await;
    report.line("cancelled", slept.as_ref().err().and_then(sqlstate));
    report.line("in time", began.elapsed() < Duration::from_secs(5));
    report.line("alive", client.query_one("SELECT 1", &[]).await.is_ok());
}

async fn notifications(config: &Config, tls: &Rustls, report: &mut Report) {
    let (client, mut connection) = config.connect(tls.clone()).await.expect("it connects");
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            let _ = heard.send(message);
        }
    });
    client.batch_execute("LISTEN news").await.expect("LISTEN");
    let other = connect(config, tls).await.expect("it connects");
    other.batch_execute("NOTIFY news, 'it''s here'").await.expect("NOTIFY");
    other.query("SELECT pg_notify('news', $1)", &[&"again"]).await.expect("NOTIFY");
    for _ in 0..2 {
        let heard = tokio::time::timeout(Duration::from_secs(10), hearing.recv()).await;
        match heard.expect("in time") {
            Some(AsyncMessage::Notification(note)) => report.line(note.channel(), note.payload()),
            other => report.line("instead of a notification", other.is_some()),
        }
    }
    client.batch_execute("DROP TABLE IF EXISTS never_was").await.expect("nothing to drop");
    match hearing.recv().await {
        Some(AsyncMessage::Notice(notice)) => report.line("notice", notice.message()),
        other => report.line("instead of a notice", other.is_some()),
    }
}

async fn wrong_password(config: &Config, tls: &Rustls, report: &mut Report) {
    let mut config = config.clone();
    config.password("wrong");
    let refused = connect(&config, tls).await.err().and_then(|error| error.code().cloned());
    report.line("wrong password", refused == Some(SqlState::INVALID_PASSWORD));
}
