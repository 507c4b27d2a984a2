//! Whatever a client says, and in whatever pieces, it hears what PostgreSQL would answer.

use super::*;
use crate::scripted::conversation::{Conversation, Turn, conversations};
use crate::scripted::sequence;

const CONVERSATIONS: &str = include_str!("../../../../tests/conversations.txt");

#[test]
fn the_played_server_answers_as_the_file_says() {
    for Conversation { name, turns } in conversations(CONVERSATIONS) {
        let mut postgres = Postgres::default();
        for (number, Turn { said, answer }) in turns.iter().enumerate() {
            let heard = sequence(&postgres.answer(&said.concat()));
            assert_eq!(heard, answer.replace("refused", "42601"), "{name}, turn {number}");
        }
    }
}

/// How what a turn says is cut into what arrives at once.
type Pieces = fn(&Turn) -> Vec<Vec<u8>>;

const WHOLE: Pieces = |turn| vec![turn.said.concat()];
const BY_MESSAGE: Pieces = |turn| turn.said.clone();
const BY_BYTE: Pieces = |turn| turn.said.concat().iter().map(|byte| vec![*byte]).collect();

/// What both sides have heard.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    client: Vec<u8>,
    server: Vec<(u8, Vec<u8>)>,
}

/// Holds a conversation with a session before the played server.
fn hold(
    stage: &mut Stage<'_>,
    conversation: &Conversation,
    pieces: impl Fn(&Turn) -> Vec<Vec<u8>>,
    prepare: impl Fn(&Play),
) -> Heard {
    stage.rig.database.forget_changes();
    let mut play = stage.rig.play();
    prepare(&play);
    let mut postgres = Postgres::default();
    let mut all = Vec::new();
    for (number, turn) in conversation.turns.iter().enumerate() {
        let mut heard = Vec::new();
        for piece in pieces(turn) {
            play.client.send(&piece);
            heard.extend(play.answered_by(&mut postgres));
        }
        let expected = turn.answer.replace("refused", "42501");
        assert_eq!(sequence(&heard), expected, "{}, turn {number}", conversation.name);
        all.extend(heard);
    }
    assert!(!play.is_over(), "{}: the session goes on", conversation.name);
    check_silence_behind_refusals(&conversation.name, &postgres.heard);
    Heard { client: steady(all), server: postgres.heard }
}

/// Without what differs each time: the names of events.
fn steady(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut digits = 0;
    for at in 0..bytes.len() {
        digits = if bytes[at].is_ascii_hexdigit() { digits + 1 } else { 0 };
        if digits == 32 {
            bytes[at - 31..=at].fill(b'0');
            digits = 0;
        }
    }
    bytes
}

#[test]
fn a_session_answers_as_the_server_does() {
    stage(|stage| {
        for conversation in conversations(CONVERSATIONS) {
            for pieces in [WHOLE, BY_MESSAGE, BY_BYTE] {
                hold(stage, &conversation, pieces, |_| {});
            }
        }
        assert!(stage.rig.sessions().is_empty(), "no session is left");
    });
}

#[test]
fn bytes_that_come_and_go_one_at_a_time_are_the_same() {
    stage(|stage| {
        for conversation in conversations(CONVERSATIONS) {
            let whole = hold(stage, &conversation, WHOLE, |_| {});
            for at_once in [1, 2, 3, 7] {
                let parts = hold(stage, &conversation, WHOLE, |play| {
                    play.client.pass_at_once(at_once);
                    play.server.pass_at_once(at_once);
                });
                assert_eq!(parts.client, whole.client, "{}", conversation.name);
                assert_eq!(own(&parts.server), own(&whole.server), "{}", conversation.name);
            }
        }
    });
}

/// The client's messages among what the server heard. When a session asks for a description,
/// or for answers, of its own depends on what has been answered already.
fn own(frames: &[(u8, Vec<u8>)]) -> Vec<(u8, Vec<u8>)> {
    let own = frames.iter().filter(|(tag, _)| !matches!(tag, b'H' | b'D'));
    own.map(|(tag, body)| (*tag, steady(body.clone()))).collect()
}

#[test]
fn messages_may_be_cut_anywhere() {
    stage(|stage| {
        for conversation in conversations(CONVERSATIONS) {
            let whole = hold(stage, &conversation, WHOLE, |_| {});
            let longest = conversation.turns.iter().map(|turn| turn.said.concat().len()).max();
            for cut in 1..longest.unwrap_or_default() {
                let pieces = |turn: &Turn| {
                    let bytes = turn.said.concat();
                    let (front, back) = bytes.split_at(cut.min(bytes.len()));
                    vec![front.to_vec(), back.to_vec()]
                };
                let parts = hold(stage, &conversation, pieces, |_| {});
                // What the server is told of a refusal depends on what it has answered by then.
                assert_eq!(parts.client, whole.client, "{}, cut at {cut}", conversation.name);
            }
        }
    });
}

/// The other direction: each answer of the server is cut at each of its bytes.
#[test]
fn answers_may_be_cut_anywhere() {
    stage(|stage| {
        for conversation in conversations(CONVERSATIONS) {
            let whole = hold(stage, &conversation, WHOLE, |_| {});
            for cut in 1..whole.client.len() {
                let heard = hold_with_answers_cut(stage, &conversation, cut);
                assert_eq!(heard, whole.client, "{}, cut at {cut}", conversation.name);
            }
        }
    });
}

fn hold_with_answers_cut(
    stage: &mut Stage<'_>,
    conversation: &Conversation,
    cut: usize,
) -> Vec<u8> {
    stage.rig.database.forget_changes();
    let mut play = stage.rig.play();
    let mut postgres = Postgres::default();
    let mut heard = Vec::new();
    for turn in &conversation.turns {
        play.client_says(&turn.said.concat());
        loop {
            let asked = play.server.receive();
            if asked.is_empty() {
                break;
            }
            let answer = postgres.answer(&asked);
            let (front, back) = answer.split_at(cut.min(answer.len()));
            play.server_says(front);
            play.server_says(back);
        }
        heard.extend(play.client.receive());
    }
    let (_, rest) = messages(&heard);
    assert!(rest.is_empty(), "{}: half a message", conversation.name);
    steady(heard)
}
