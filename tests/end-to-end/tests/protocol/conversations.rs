//! What clients say in every order there is, and in whatever pieces: PostgreSQL answers it, and
//! so does the proxy before it.

use end_to_end::conversation::{Conversation, conversations};
use end_to_end::frames::{Batch, Message, Session, first_column, sequence};
use end_to_end::portcullis::DEVELOPER;
use end_to_end::waiting::SOON;
use end_to_end::{Database, cluster, wait_until};

use super::segments::direct_session;
use super::{bare, guarded};

const CONVERSATIONS: &str = include_str!("../../../conversations.txt");

/// What these say the guard cannot read, and refuses. They are held in memory, without it.
const UNREAD: [&str; 3] = [
    "a description in a transaction that has failed, behind what nobody sees into",
    "a statement that is bound where the transaction has failed, behind what nobody sees into",
    "the same behind what leaves that transaction, in one pipeline",
];

/// A database with the table that conversations are about.
async fn database() -> Database {
    let database = cluster().await.database().await;
    let superuser = database.superuser().await;
    let table = "CREATE TABLE notes (id int, note text); GRANT ALL ON notes TO PUBLIC";
    superuser.batch_execute(table).await.expect("a new table");
    database
}

/// Answers up to those that are expected; more or other ones show at once or in the next turn.
async fn heard(session: &mut Session, expected: &str) -> String {
    let mut messages: Vec<Message> = Vec::new();
    while sequence(&messages) != expected {
        match session.message_within(SOON).await {
            Some(message) => messages.push(message),
            None => break,
        }
        if !expected.starts_with(sequence(&messages).split("D*").next().unwrap_or_default()) {
            break;
        }
    }
    sequence(&messages)
}

/// Holds a conversation; `refused` is what a refusal is called here.
async fn hold(
    session: &mut Session,
    conversation: &Conversation,
    refused: &str,
    piece_bytes: usize,
) {
    for (number, turn) in conversation.turns.iter().enumerate() {
        for piece in turn.said.concat().chunks(piece_bytes) {
            session.send(piece).await;
        }
        let expected = turn.answer.replace("refused", refused);
        let heard = heard(session, &expected).await;
        assert_eq!(heard, expected, "{}, turn {number}", conversation.name);
    }
    // Nothing is left over that would be taken for the next one's.
    let last = session.query("SELECT 'last'").await;
    assert_eq!(sequence(&last), "T D*1 C:SELECT 1 Z:I", "{}", conversation.name);
    assert_eq!(first_column(&last), ["last"], "{}", conversation.name);
}

/// The file says of PostgreSQL what is true.
#[tokio::test]
async fn postgresql_answers_as_the_file_says() {
    let database = database().await;
    let superuser = database.superuser().await;
    for conversation in conversations(CONVERSATIONS) {
        superuser.batch_execute("TRUNCATE notes").await.expect("an empty table");
        let mut session = direct_session(&database).await;
        hold(&mut session, &conversation, "42601", usize::MAX).await;
    }
}

/// Whole, and one byte in a packet.
#[tokio::test]
async fn the_proxy_answers_as_postgresql_does() {
    let database = database().await;
    let portcullis = guarded(&database).await;
    let superuser = database.superuser().await;
    let is_read = |conversation: &Conversation| !UNREAD.contains(&conversation.name.as_str());
    for piece_bytes in [usize::MAX, 1] {
        for conversation in conversations(CONVERSATIONS).into_iter().filter(is_read) {
            superuser.batch_execute("TRUNCATE notes").await.expect("an empty table");
            let mut session = portcullis.session(DEVELOPER).await;
            hold(&mut session, &conversation, "42501", piece_bytes).await;
        }
    }
}

/// A client that says no more but listens hears what PostgreSQL would still tell it.
#[tokio::test]
async fn a_half_closed_client_hears_the_rest() {
    let database = database().await;
    let portcullis = bare(&database).start().await;
    let query =
        || Batch::new().query("SELECT pg_sleep(0.5)").query("SELECT generate_series(1, 500)");
    let pipeline = || Batch::new().run("SELECT generate_series(1, 500)").sync();
    let said = [query(), pipeline(), query().raw(b'X', b""), Batch::new().run("SELECT 1")];
    for batch in said {
        let mut heard = Vec::new();
        for mut session in [direct_session(&database).await, portcullis.session(DEVELOPER).await] {
            session.send(batch.bytes()).await;
            session.finish().await;
            let mut messages = Vec::new();
            while let Some(message) = session.message().await {
                messages.push(message);
            }
            heard.push(sequence(&messages));
        }
        assert_eq!(heard[0], heard[1], "{:?}", batch.bytes().escape_ascii().to_string());
    }
    let ledger = portcullis.ledger();
    wait_until("all are gone", SOON, async || {
        (ledger.of_kind("login").len() == ledger.of_kind("logout").len()).then_some(())
    })
    .await;
}
