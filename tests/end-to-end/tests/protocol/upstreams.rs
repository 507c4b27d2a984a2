//! Upstreams that die, stutter or speak nonsense: the client is told, what ran has an end in the
//! ledger, and nobody else hears of it.

use end_to_end::frames::{Batch, Message, Session, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{ANA, DEVELOPER, Portcullis};
use end_to_end::waiting::SOON;
use end_to_end::{Database, Fault, Relay, cluster, wait_until};

use super::bare;

/// A proxy whose upstream is PostgreSQL by way of a relay.
async fn relayed(database: &Database) -> (Relay, Portcullis) {
    let relay = Relay::start(database.cluster.postgres.port()).await;
    let masked = "match = { groups = [\"analysts\"] }";
    let setup = bare(database).relay(&relay).policy("50-pii.toml", "pii_mask.wasm", masked);
    let portcullis = setup.start().await;
    (relay, portcullis)
}

/// All that the proxy still says.
async fn to_the_end(session: &mut Session) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = session.message().await {
        messages.push(message);
    }
    messages
}

/// Every statement with this in it has one end, and it is this one.
async fn check_ended(portcullis: &Portcullis, part: &str, ending: &str) {
    let ledger = portcullis.ledger();
    wait_until("it has an end", SOON, async || {
        let intents = ledger.intents(part);
        let ends = intents.iter().filter_map(|intent| ledger.outcome(intent));
        let ends: Vec<_> = ends.map(|outcome| outcome["ending"].clone()).collect();
        (!ends.is_empty() && ends.iter().all(|end| end == ending)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_middle_of_a_result() {
    let database = cluster().await.database().await;
    let (relay, mut portcullis) = relayed(&database).await;
    let mut other = portcullis.session(DEVELOPER).await;
    for (number, bytes) in [1, 30, 100_000].into_iter().enumerate() {
        for (kind, fault) in [("closes", Fault::Closes(bytes)), ("resets", Fault::Resets(bytes))] {
            let name = format!("{kind}_{number}");
            relay.plan(&name, fault);
            let query = format!("SELECT repeat('x', 100) AS {name} FROM generate_series(1, 10000)");
            let mut session = portcullis.session(DEVELOPER).await;
            session.send(Batch::new().query(&query).bytes()).await;
            let told = to_the_end(&mut session).await;
            assert!(sequence(&told).ends_with("E:08006"), "{name}: {}", sequence(&told));
            check_ended(&portcullis, &name, "lost").await;
        }
    }
    assert_eq!(first_column(&other.query("SELECT 1").await), ["1"]);
    assert!(portcullis.is_up());
}

/// One byte in a packet, masks and all.
#[tokio::test]
async fn an_upstream_that_stutters() {
    let database = cluster().await.database().await;
    let (relay, portcullis) = relayed(&database).await;
    relay.plan("stutters", Fault::Dribbles);
    for user in [DEVELOPER, ANA] {
        let (mut stutters, mut session) =
            (portcullis.session(user).await, portcullis.session(user).await);
        stutters.query("SELECT 'stutters'").await;
        let query = "SELECT * FROM customers ORDER BY id LIMIT 50";
        assert_eq!(stutters.query(query).await, session.query(query).await);
        let copy = "COPY (SELECT id, note FROM customers ORDER BY id LIMIT 50) TO STDOUT";
        assert_eq!(stutters.query(copy).await, session.query(copy).await);
        let answers = [stutters.extended(query, true).await, session.extended(query, true).await];
        assert_eq!(answers[0], answers[1]);
        let wrong = [stutters.query("SELECT 1/0").await, session.query("SELECT 1/0").await];
        assert_eq!(wrong[0], wrong[1]);
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    Batch::new().raw(tag, body).bytes().to_vec()
}

#[tokio::test]
async fn an_upstream_that_speaks_nonsense() {
    let database = cluster().await.database().await;
    let (relay, mut portcullis) = relayed(&database).await;
    let column = |table: u32, attribute: u16| {
        let mut body = b"\0\x01email\0".to_vec();
        body.extend(table.to_be_bytes());
        body.extend(attribute.to_be_bytes());
        body.extend([0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        message(b'T', &body)
    };
    let secret = |cell: &[u8]| {
        let length = (cell.len() as u32).to_be_bytes();
        message(b'D', &[&b"\0\x01"[..], &length, cell].concat())
    };
    let row = secret(b"ana@example.com");
    let described = column(0, 0);
    let nonsense: [(&str, Vec<u8>, &str); 12] = [
        ("a short row", [&described[..], &message(b'D', b"\0\x01\0\0")].concat(), "08P01"),
        (
            "a negative length",
            [&described[..], &message(b'D', b"\0\x01\xff\xff\xff\xfe")].concat(),
            "08P01",
        ),
        ("another count", [&described[..], &message(b'D', b"\0\x02")].concat(), "08P01"),
        ("rows without columns", row.clone(), "08P01"),
        ("a tag there is not", message(b'%', b""), "08P01"),
        ("an answer to another", message(b'1', b""), "08P01"),
        ("a length below four", b"D\0\0\0\x03".to_vec(), "08P01"),
        ("a gigabyte", b"D\x7f\xff\xff\xff".to_vec(), "54000"),
        ("an error without its end", message(b'E', b"SERROR"), "08P01"),
        ("a status there is not", message(b'Z', b"?"), "08P01"),
        ("a login", message(b'R', b"\0\0\0\0"), "08P01"),
        ("COPY in place of rows", [message(b'H', b"\0\0\x01\0\0"), row].concat(), "42501"),
    ];
    let mut other = portcullis.session(ANA).await;
    for (number, (what, answer, sqlstate)) in nonsense.into_iter().enumerate() {
        let name = format!("nonsense_{number}_");
        relay.plan(&name, Fault::Answers(answer));
        let mut session = portcullis.session(ANA).await;
        let query = format!("SELECT email AS {name} FROM customers");
        session.send(Batch::new().query(&query).bytes()).await;
        let told = to_the_end(&mut session).await;
        assert_eq!(sqlstate_of(&told).as_deref(), Some(sqlstate), "{what}: {}", sequence(&told));
        let shown = session.received.windows(7).any(|part| part == b"example");
        assert!(!shown, "{what}: a value was shown");
        check_ended(&portcullis, &name, "lost").await;
        assert!(portcullis.is_up(), "{what}");
    }
    assert_eq!(first_column(&other.query("SELECT 'unharmed'").await), ["unharmed"]);
}
