//! What lies between two Syncs: an implicit transaction that the proxy must not end, and as
//! much as a client cares to send.

use std::time::Duration;

use end_to_end::cluster::APP;
use end_to_end::frames::{Batch, Message, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{DEVELOPER, PASSWORD};
use end_to_end::{Database, cluster};

use super::{bare, guarded};

pub async fn direct_session(database: &Database) -> Session {
    let address = ([127, 0, 0, 1], database.cluster.postgres.port()).into();
    Session::login(address, APP, PASSWORD, &database.name).await
}

/// More than the proxy keeps waiting for one connection, so that it must stop reading and go
/// on again.
#[tokio::test]
async fn a_message_of_any_size_arrives_and_is_answered() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let mut session = portcullis.session(DEVELOPER).await;
    for bytes in [1_000, 65_536, 200_000, 262_139, 262_144, 300_000, 1_000_000, 5_000_000] {
        let value = "x".repeat(bytes);
        let length = [bytes.to_string()];
        let bound = Batch::new().parse("", "SELECT length($1::text)");
        let bound = bound.bind("", "", &[&value], false).execute("", 0).sync();
        assert_eq!(first_column(&session.exchange(bound).await), length, "a Bind");
        let in_two = Batch::new().parse("", "SELECT length($1::text) + length($2::text)");
        let in_two = in_two.bind("", "", &[&value, &value], false).execute("", 0).sync();
        assert_eq!(first_column(&session.exchange(in_two).await), [(2 * bytes).to_string()]);
        // What is behind a large message arrives as well.
        let large = || Batch::new().parse("", "SELECT length($1::text)");
        let batch = large().bind("", "", &[&value], false).execute("", 0).run("SELECT 2").sync();
        let answer = session.exchange(batch).await;
        assert_eq!(first_column(&answer), [length[0].as_str(), "2"], "behind {bytes}");
        if bytes <= 1_000_000 {
            let text = format!("SELECT length('{value}')");
            assert_eq!(first_column(&session.query(&text).await), length, "a Query");
        }
    }
    copy_of_large_rows(&mut session).await;
}

async fn copy_of_large_rows(session: &mut Session) {
    session.query("CREATE TEMP TABLE large (word text)").await;
    session.send(Batch::new().query("COPY pg_temp.large FROM STDIN").bytes()).await;
    let asked = session.until(b"GE").await;
    assert_eq!(error_of(&asked), None);
    let line = format!("{}\n", "y".repeat(1_000_000));
    let mut data = Batch::new();
    for _ in 0..5 {
        data = data.raw(b'd', line.as_bytes());
    }
    let answer = session.exchange(data.raw(b'c', b"")).await;
    assert_eq!(sequence(&answer), "C:COPY 5 Z:I");
    let back = session.query("SELECT sum(length(word)) FROM pg_temp.large").await;
    assert_eq!(first_column(&back), ["5000000"]);
}

/// A step and the tags its answer ends with.
type Step = (Batch, &'static [u8]);

async fn run(session: &mut Session, steps: Vec<Step>) -> Vec<Vec<Message>> {
    let mut answers = Vec::new();
    for (batch, until) in steps {
        session.send(batch.bytes()).await;
        answers.push(session.until(until).await);
    }
    answers
}

/// What an implicit transaction did is there, or not, as without the proxy.
async fn rows_left(session: &mut Session, steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    session.query("DROP TABLE IF EXISTS pg_temp.written").await;
    session.query("CREATE TEMP TABLE written (a integer)").await;
    let answers = run(session, steps).await;
    let seen = answers.iter().map(|answer| sequence(answer)).collect();
    (seen, first_column(&session.query("SELECT count(*) FROM pg_temp.written").await))
}

const FLUSHED: &[u8] = b"CEI";
const READY: &[u8] = b"Z";
const INSERT: &str = "INSERT INTO pg_temp.written VALUES (1)";

/// What the proxy wants to know it asks between transactions, and the implicit one of a
/// segment is one.
#[tokio::test]
async fn the_proxy_asks_nothing_inside_an_implicit_transaction() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    // Settings after which the proxy must ask how texts are read, and what fails behind them.
    let settings = [
        "SET search_path = public, pg_catalog",
        "SET standard_conforming_strings = off",
        "SELECT set_config('search_path', 'public', false)",
        "CREATE TEMP TABLE IF NOT EXISTS other (a integer)",
        "DO $$ BEGIN PERFORM 1; END $$",
    ];
    for setting in settings {
        for (last, left) in [("SELECT 1 / 0", "0"), ("SELECT 1", "1")] {
            let steps = || {
                vec![
                    (Batch::new().run(INSERT).flush(), FLUSHED),
                    (Batch::new().run(setting).flush(), FLUSHED),
                    (Batch::new().run(last).sync(), READY),
                ]
            };
            let direct = rows_left(&mut direct_session(&database).await, steps()).await;
            assert_eq!(direct.1, [left], "{setting}, {last}: the server's own");
            let mut session = portcullis.session(DEVELOPER).await;
            assert_eq!(rows_left(&mut session, steps()).await, direct, "{setting}, {last}");
        }
    }
}

/// A refusal inside a segment is an error of the segment: what was done in it is undone.
#[tokio::test]
async fn what_is_refused_inside_an_implicit_transaction_undoes_it() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let drop = "DROP TABLE scratch";
    let long = "n".repeat(64);
    let cases: Vec<(&str, Vec<Step>, &str)> = vec![
        (
            "a Query denied",
            vec![
                (Batch::new().run(INSERT).flush(), FLUSHED),
                (Batch::new().query(drop), READY),
                (Batch::new().sync(), READY),
            ],
            "0",
        ),
        (
            "a Query denied in the same batch",
            vec![(Batch::new().run(INSERT).query(drop), READY), (Batch::new().sync(), READY)],
            "0",
        ),
        (
            "a Parse denied",
            vec![
                (Batch::new().run(INSERT).flush(), FLUSHED),
                (Batch::new().run(drop).sync(), READY),
            ],
            "0",
        ),
        (
            "a name too long",
            vec![
                (Batch::new().run(INSERT).flush(), FLUSHED),
                (Batch::new().parse(&long, "SELECT 1").sync(), READY),
            ],
            "0",
        ),
        (
            "a function call denied",
            vec![
                (Batch::new().run(INSERT).flush(), FLUSHED),
                (Batch::new().function_call(4_000_000_000, &[]), READY),
                (Batch::new().sync(), READY),
            ],
            "0",
        ),
        (
            "a Query denied behind the Sync",
            vec![(Batch::new().run(INSERT).sync(), READY), (Batch::new().query(drop), READY)],
            "1",
        ),
        (
            "nothing refused",
            vec![
                (Batch::new().run(INSERT).flush(), FLUSHED),
                (Batch::new().query("SELECT 1"), READY),
                (Batch::new().sync(), READY),
            ],
            "1",
        ),
    ];
    for (what, steps, left) in cases {
        let mut session = portcullis.session(DEVELOPER).await;
        let (seen, rows) = rows_left(&mut session, steps).await;
        assert_eq!(rows, [left], "{what}: {seen:?}");
        assert_eq!(seen.iter().any(|answer| answer.contains("E:")), what != "nothing refused");
        assert!(seen.iter().all(|answer| !answer.contains("Z:E")), "{what}: {seen:?}");
        let nothing = session.message_within(Duration::from_millis(100)).await;
        assert_eq!(nothing, None, "{what}: {seen:?}");
        assert_eq!(first_column(&session.query("SELECT count(*) FROM scratch").await), ["20"]);
    }
}

/// Portals are names as well, and as many of them are refused as of statements.
#[tokio::test]
async fn a_session_holds_no_more_names_than_it_may() {
    const MOST: usize = 50;
    let database = cluster().await.database().await;
    let limited = format!("limits.names_max = {MOST}");
    let portcullis = bare(&database).top_line(&limited).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.query("BEGIN").await;
    let mut portals = Batch::new().parse("one", "SELECT $1::text");
    for number in 0..2 * MOST {
        portals = portals.bind(&format!("portal {number}"), "one", &["x"], false);
    }
    let answer = session.exchange(portals.sync()).await;
    assert_eq!(sqlstate_of(&answer).as_deref(), Some("54000"), "{}", sequence(&answer));
    let bound = answer.iter().filter(|message| message.tag == b'2').count();
    assert!(bound < MOST && bound + 2 >= MOST, "{bound} were bound");
    session.query("ROLLBACK").await;
    let again = session.exchange(Batch::new().parse("two", "SELECT 2").sync()).await;
    assert_eq!(sequence(&again), "1 Z:I", "the portals ended with the transaction");
    // One after the other there may be any number of them.
    let mut portals = Batch::new().query("BEGIN").parse("three", "SELECT $1::text");
    for number in 0..4 * MOST {
        let name = format!("portal {number}");
        portals = portals.bind(&name, "three", &["x"], false).close(b'P', &name);
    }
    session.send(portals.sync().bytes()).await;
    session.until_ready().await;
    let answer = session.until_ready().await;
    assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
    let mut unnamed = Batch::new();
    for _ in 0..4 * MOST {
        unnamed = unnamed.bind("", "three", &["x"], false).execute("", 0);
    }
    let answer = session.exchange(unnamed.sync()).await;
    assert_eq!(first_column(&answer).len(), 4 * MOST);
}

/// Texts and bound values are kept as long as somebody could still use them, and no more of
/// them than the limit says.
#[tokio::test]
async fn a_session_holds_no_more_than_its_limit() {
    let database = cluster().await.database().await;
    let limit = "[limits]\nnames_bytes_max = 1_000_000";
    let portcullis = bare(&database).section(limit).start().await;
    let value = "x".repeat(300_000);
    let comment = format!("SELECT 1 /* {value} */");
    let parse = || Batch::new().parse("kept", "SELECT length($1::text)");
    type Fill = fn(Batch, usize, &str, &str) -> Batch;
    let ways: [(&str, Fill); 3] = [
        ("portals", |batch, index, value, _| {
            batch.bind(&format!("p{index}"), "kept", &[value], false)
        }),
        // Each takes the place of the one before, which the server may yet have to go back to.
        ("one portal, in a pipeline", |batch, _, value, _| batch.bind("", "kept", &[value], false)),
        ("statements", |batch, index, _, text| batch.parse(&format!("s{index}"), text)),
    ];
    for (what, fill) in ways {
        let mut session = portcullis.session(DEVELOPER).await;
        session.exchange(parse().sync()).await;
        let fitting = (0..3).fold(Batch::new(), |batch, i| fill(batch, i, &value, &comment));
        let answer = session.exchange(fitting.sync()).await;
        assert_eq!(sqlstate_of(&answer), None, "{what}: {}", sequence(&answer));
        let mut session = portcullis.session(DEVELOPER).await;
        session.exchange(parse().sync()).await;
        let many = (0..10).fold(Batch::new(), |batch, i| fill(batch, i, &value, &comment));
        let answer = session.exchange(many.sync()).await;
        let over = sqlstate_of(&answer);
        // How much of a pipeline is on its way at once is not the client's to say.
        let some = what.contains("pipeline") && over.is_none();
        assert!(some || over.as_deref() == Some("54000"), "{what}: {}", sequence(&answer));
        // What is let go of makes room.
        let close = (0..3).fold(Batch::new(), |batch, i| batch.close(b'S', &format!("s{i}")));
        session.exchange(close.sync()).await;
        let next = Batch::new().parse("again", &comment).bind("", "kept", &[&value], false);
        let answer = session.exchange(next.execute("", 0).sync()).await;
        assert_eq!(first_column(&answer), ["300000"], "{what}: {}", sequence(&answer));
    }
    // By SQL what is too much is defined, but stands for nothing that is known.
    let mut session = portcullis.session(DEVELOPER).await;
    for index in 0..5 {
        session.query(&format!("PREPARE s{index} AS {comment}")).await;
    }
    assert_eq!(first_column(&session.query("SELECT 'on'").await), ["on"]);
}
