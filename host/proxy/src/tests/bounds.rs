//! A side that does not read is not read for: what a session holds is bounded.

use std::sync::Arc;

use portcullis_policy::{MaskAction, Verdict};

use super::*;
use crate::scripted::{Frames, PEOPLE, Rules};

/// Four buffers wait, one is being read, and a batch is being masked.
pub const HELD_BYTES_MAX: u64 = 4 * 65_536 + 2 * 65_536 + (1 << 20);

/// Rows that pass, and rows that go by way of a masker, to a client that takes nothing.
#[test]
fn a_client_that_does_not_read() {
    for action in [MaskAction::Pass, MaskAction::Call { handle: 0, also: Vec::new() }] {
        let rules = Rules::new(|_, _| Verdict::allow(), move |_| action.clone());
        stage_with(Given { rules, ..Given::default() }, |stage| {
            let mut play = stage.rig.play();
            play.client.take_at_most(0);
            play.client_says(Frames::new().query("select name from people").bytes());
            let columns = Frames::new().columns(&[("name", (PEOPLE, 2), 25)]);
            play.server_says(columns.bytes());
            let rows = (0..100).fold(Frames::new(), |rows, _| rows.row(&[Some(&[b'x'; 1000])]));
            for _ in 0..80 {
                play.server_says(rows.bytes());
                let held = play.server.taken_bytes() - play.client.given_bytes();
                assert!(held <= HELD_BYTES_MAX, "{held} bytes wait");
            }
            assert!(play.server.unread_bytes() > 4_000_000, "the server is not read for");
            // It goes on where it stopped, and nothing is lost.
            play.client.take_at_most(usize::MAX);
            play.server_says(Frames::new().complete("SELECT 8000").ready(b'I').bytes());
            let heard = play.client.receive();
            let (told, rest) = messages(&heard);
            assert!(rest.is_empty());
            assert_eq!(told.iter().filter(|(tag, _)| *tag == b'D').count(), 8000);
            assert_eq!(told.last().map(|(tag, _)| *tag), Some(b'Z'));
            assert_eq!(play.server.unread_bytes(), 0);
        });
    }
}

/// Queries, pipelines and COPY data to a server that takes nothing.
#[test]
fn a_server_that_does_not_read() {
    let query = Frames::new().query(&format!("select 1 /* {} */", "x".repeat(1000)));
    let pipeline = Frames::new().run(&format!("select 1 /* {} */", "x".repeat(1000))).sync();
    let data = Frames::new().copy_data(&[&b"1\t"[..], &[b'x'; 1000], b"\n"].concat());
    for (copies, said) in [(false, query), (false, pipeline), (true, data)] {
        stage(|stage| {
            let mut play = stage.rig.play();
            if copies {
                play.client_says(Frames::new().query("copy notes from stdin").bytes());
                play.server_says(Frames::new().copy(b'G', 2).bytes());
            }
            play.server.receive();
            play.server.take_at_most(0);
            for _ in 0..4_000 {
                play.client_says(said.bytes());
            }
            let held = play.client.taken_bytes() - play.server.given_bytes();
            assert!(held <= HELD_BYTES_MAX, "{held} bytes wait");
            assert!(play.client.unread_bytes() > 2_000_000, "the client is not read for");
            play.client.reset();
            play.server.reset();
            play.settle();
            assert!(play.is_over());
            stage.endings();
        });
    }
}

/// A message that says it is larger than any may be is refused at its first bytes, and one that
/// may be that large is held once.
#[test]
fn a_message_that_is_sent_slowly() {
    let limits =
        crate::settings::Limits { frame_bytes_max: 1 << 20, ..crate::settings::Limits::default() };
    stage_with(Given { limits, ..Given::default() }, |stage| {
        let mut play = stage.rig.play();
        play.client_says(&[&b"Q"[..], &(1_u32 << 20).to_be_bytes()].concat());
        assert_eq!(crate::scripted::sequence(&play.client.receive()), "E:54000");
        assert!(play.is_over());
        let mut play = stage.rig.play();
        play.client_says(&[&b"Q"[..], &((1_u32 << 20) - 1).to_be_bytes()].concat());
        for _ in 0..100 {
            play.client_says(&[b'x'; 10_000]);
        }
        assert!(!play.is_over() && play.server.given_bytes() == 0);
    });
}

/// A text that grows over the limit when it is decoded is refused, and says nothing of shorter
/// ones that differ from it in a value only.
#[test]
fn a_text_that_is_too_long_when_it_is_decoded() {
    let limits = crate::settings::Limits {
        statement_bytes_max: 1_000,
        ..crate::settings::Limits::default()
    };
    stage_with(Given { limits, ..Given::default() }, |stage| {
        let mut play = stage.rig.play();
        play.server_says(Frames::new().parameter("client_encoding", "LATIN1").bytes());
        play.client.receive();
        let text =
            |value: &[u8]| [&b"select note from notes where note = '"[..], value, b"'\0"].concat();
        let ask = |value: &[u8]| Frames::new().raw(b'Q', &text(value));
        play.client_says(ask(&[0xe9; 600]).bytes());
        assert_eq!(crate::scripted::sequence(&play.client.receive()), "E:54000 Z:I");
        assert!(play.server.receive().is_empty());
        play.client_says(ask(b"x").bytes());
        assert_eq!(play.server.receive(), ask(b"x").bytes());
    });
}

/// Short messages that are never answered, one after another, in a pipeline without an end.
#[test]
fn a_client_that_asks_and_does_not_wait() {
    stage(|stage| {
        let mut play = stage.rig.play();
        let closes = (0..100).fold(Frames::new(), |closes, _| closes.close(b'S', "s"));
        let (mut sent, mut answered) = (0, 0);
        for _ in 0..100 {
            play.client_says(closes.bytes());
            sent += 100;
        }
        // What it has been given is answered when the proxy asks for it.
        for _ in 0..10 {
            let taken = play.server.receive();
            let (told, _) = messages(&taken);
            let asked = told.iter().filter(|(tag, _)| *tag == b'C').count();
            assert!(asked <= 5_000, "{asked} messages are unanswered");
            if asked > 0 && answered + asked < sent {
                assert_eq!(told.last().map(|(tag, _)| *tag), Some(b'H'));
            }
            answered += asked;
            let answers = (0..asked).fold(Frames::new(), |answers, _| answers.raw(b'3', &[]));
            play.server_says(answers.bytes());
        }
        assert_eq!(answered, sent);
        let heard = play.client.receive();
        assert_eq!(messages(&heard).0.len(), sent);
    });
}

/// A catalog may be megabytes, and where tables come and go each statement finds another.
#[test]
fn what_was_known_before_the_catalog_changed() {
    stage(|stage| {
        let mut play = stage.rig.play();
        let mut postgres = Postgres::default();
        let mut ask = |text: &str| {
            play.client_says(Frames::new().query(text).bytes());
            play.answered_by(&mut postgres)
        };
        let shapes = ["select name from people", "select id from people", "select 1"];
        for text in shapes {
            ask(text);
        }
        let earlier = Arc::downgrade(&stage.rig.database.view());
        stage.rig.database.renew();
        assert!(earlier.upgrade().is_some(), "facts know what they were made under");
        ask(shapes[0]);
        assert!(earlier.upgrade().is_none(), "one of them was made anew, and no other is left");
    });
}
