//! Peers that leave, die or stop listening: the other one is told, what was asked has an end in
//! the ledger, and nothing is left.

use super::*;
use crate::scripted::{Frames, PEOPLE, sequence};

fn new() -> Frames {
    Frames::new()
}

fn query() -> Frames {
    new().query("select id from people")
}

fn columns() -> Frames {
    new().columns(&[("id", (PEOPLE, 1), 23)])
}

fn row() -> Frames {
    new().row(&[Some(b"1")])
}

/// What the server was sent since, as tags.
fn server_heard(play: &Play) -> String {
    heard(&messages(&play.server.receive()).0)
}

/// The session is over, and nothing is left of it.
fn check_gone(stage: &Stage<'_>, play: &Play, endings: &[&str]) {
    assert!(play.is_over(), "the session goes on");
    assert!(play.client.is_closed() && play.server.is_closed(), "a connection is left");
    assert!(stage.rig.sessions().is_empty(), "it is still listed");
    assert_eq!(stage.endings(), endings);
    assert_eq!(stage.records("logout").len(), 1);
}

#[test]
fn a_client_that_says_no_more_hears_what_it_asked() {
    let query = query().bytes().to_vec();
    let goodbye = [&query[..], new().raw(b'X', b"").bytes()].concat();
    for (said, closes) in [(&query, true), (&goodbye, true), (&goodbye, false)] {
        stage(|stage| {
            let mut play = stage.rig.play();
            play.client.send(said);
            if closes {
                play.client.close();
            }
            play.settle();
            play.server_says(columns().and(&row()).bytes());
            assert!(!play.is_over());
            play.server_says(new().complete("SELECT 1").ready(b'I').bytes());
            assert_eq!(sequence(&play.client.receive()), "T D*1 C:SELECT 1 Z:I");
            assert_eq!(server_heard(&play), "Q X");
            check_gone(stage, &play, &["completed"]);
        });
    }
}

/// What waits behind something else is asked as well.
#[test]
fn a_client_that_says_no_more_hears_all_that_it_asked() {
    stage(|stage| {
        let mut play = stage.rig.play();
        let mut postgres = Postgres::default();
        let all = new().query("set search_path to public").query("select 1").run("select 1");
        play.client.send(all.sync().query("select 1").bytes());
        play.client.close();
        let heard = sequence(&play.answered_by(&mut postgres));
        let query = "T D*1 C:SELECT 1 Z:I";
        assert_eq!(heard, format!("C:SET Z:I {query} 1 2 D*1 C:SELECT 1 Z:I {query}"));
        assert!(play.is_over());
        assert_eq!(stage.endings(), ["completed"; 4]);
    });
}

#[test]
fn a_client_that_says_no_more_is_not_waited_for_without_end() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client.send(query().bytes());
        play.client.close();
        play.settle();
        stage.advance(Duration::from_secs(29));
        play.settle();
        assert!(!play.is_over());
        stage.advance(Duration::from_secs(2));
        play.settle();
        assert_eq!(server_heard(&play), "Q X");
        check_gone(stage, &play, &["lost"]);
    });
}

/// Whom nothing is owed: PostgreSQL answers nothing of a pipeline before a Flush or a Sync, and
/// a COPY or half a message without the rest is nothing.
#[test]
fn a_client_that_has_asked_nothing_is_gone_when_it_says_no_more() {
    let half = query().bytes()[..9].to_vec();
    let pipeline = new().run("select id from people");
    let copy = new().query("copy notes from stdin");
    let cases: [(&[u8], Frames, &str, &[&str]); 4] = [
        (b"", new(), "X", &[]),
        (&half, new(), "X", &[]),
        (pipeline.bytes(), new(), "P B D E X", &["lost"]),
        (copy.bytes(), new().copy(b'G', 2), "Q X", &["lost"]),
    ];
    for (said, answer, heard, endings) in cases {
        stage(|stage| {
            let mut play = stage.rig.play();
            play.client_says(said);
            play.server_says(answer.bytes());
            play.client.close();
            play.settle();
            assert_eq!(server_heard(&play), heard);
            check_gone(stage, &play, endings);
        });
    }
}

#[test]
fn a_client_that_is_reset_is_gone() {
    for (answer, ending) in [
        (new(), "lost"),
        (columns().and(&row()), "lost"),
        (columns().complete("SELECT 0"), "completed"),
    ] {
        stage(|stage| {
            let mut play = stage.rig.play();
            play.client_says(query().bytes());
            play.server_says(answer.bytes());
            play.client.reset();
            play.settle();
            assert_eq!(server_heard(&play), "Q X");
            check_gone(stage, &play, &[ending]);
        });
    }
    // It shows as well when something is to be written.
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client.take_at_most(0);
        play.client_says(query().bytes());
        play.client.send(&[b'x'; 3]);
        play.server_says(columns().bytes());
        play.client.reset();
        play.settle();
        check_gone(stage, &play, &["lost"]);
    });
}

/// How an upstream dies.
type Death = fn(&Play);
const DEATHS: [Death; 2] = [|play| play.server.close(), |play| play.server.reset()];

#[test]
fn when_the_upstream_dies_its_client_is_told() {
    let rows = columns().and(&row()).and(&row());
    let complete = columns().complete("SELECT 0");
    // How much of the last message has come.
    for (answer, cut, told, ending) in [
        (new(), 0, "E:08006", "lost"),
        (rows.clone(), 0, "T D*2 E:08006", "lost"),
        (rows.clone(), 1, "T D*1 E:08006", "lost"),
        (rows, row().bytes().len() - 1, "T D*1 E:08006", "lost"),
        (columns(), 1, "E:08006", "lost"),
        (complete.clone(), 0, "T C:SELECT 0 E:08006", "completed"),
        (complete.clone().ready(b'I'), 1, "T C:SELECT 0 E:08006", "completed"),
        (complete.ready(b'I'), 0, "T C:SELECT 0 Z:I E:08006", "completed"),
    ] {
        for die in DEATHS {
            stage(|stage| {
                let mut play = stage.rig.play();
                play.client_says(query().bytes());
                play.server_says(&answer.bytes()[..answer.bytes().len() - cut]);
                die(&play);
                play.settle();
                assert_eq!(sequence(&play.client.receive()), told);
                check_gone(stage, &play, &[ending]);
            });
        }
    }
}

#[test]
fn when_the_upstream_dies_in_a_pipeline_all_of_it_has_an_end() {
    stage(|stage| {
        let mut play = stage.rig.play();
        let pipeline = new().run("select id from people").run("select id from notes").sync();
        play.client_says(pipeline.bytes());
        let parsed = new().raw(b'1', b"").raw(b'2', b"");
        play.server_says(parsed.and(&columns()).and(&row()).complete("SELECT 1").bytes());
        play.server.close();
        play.settle();
        assert_eq!(sequence(&play.client.receive()), "1 2 D*1 C:SELECT 1 E:08006");
        check_gone(stage, &play, &["completed", "lost"]);
    });
    // What was bound and never executed has not run.
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(new().parse("", "select 1").bind("", "").flush().bytes());
        play.server.reset();
        play.settle();
        assert_eq!(sequence(&play.client.receive()), "E:08006");
        assert_eq!(stage.endings().len(), 1);
        assert!(play.is_over());
    });
}

/// What the server says last is what the client is told, and nothing more.
#[test]
fn an_upstream_that_says_why_it_ends_is_passed_on() {
    let fatal = || new().fatal("57P01", "terminating connection due to administrator command");
    for (asked, answer, told) in [
        (false, fatal(), "E:57P01"),
        (true, fatal(), "E:57P01"),
        (true, columns().and(&row()).and(&fatal()), "T D*1 E:57P01"),
        // An error that ends nothing is not why.
        (true, new().error("22012", "division by zero"), "E:22012 E:08006"),
    ] {
        stage(|stage| {
            let mut play = stage.rig.play();
            if asked {
                play.client_says(query().bytes());
            }
            play.server_says(answer.bytes());
            play.server.close();
            play.settle();
            assert_eq!(sequence(&play.client.receive()), told);
            assert!(play.is_over());
        });
    }
}

/// Neither side waits for the other for ever.
#[test]
fn a_peer_that_takes_nothing_holds_up_no_goodbye() {
    // The client takes nothing, and the server dies.
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client.take_at_most(0);
        play.client_says(query().bytes());
        play.server_says(columns().and(&row()).bytes());
        play.server.close();
        play.settle();
        assert!(!play.is_over(), "it may be about to listen");
        stage.advance(Duration::from_secs(3));
        play.settle();
        check_gone(stage, &play, &["lost"]);
    });
    // The server takes nothing, and the client leaves.
    stage(|stage| {
        let mut play = stage.rig.play();
        play.server.take_at_most(0);
        play.client_says(query().bytes());
        play.client.reset();
        play.settle();
        stage.advance(Duration::from_secs(3));
        play.settle();
        check_gone(stage, &play, &["lost"]);
    });
}

#[test]
fn a_session_is_ended_from_outside() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(query().bytes());
        play.server_says(columns().and(&row()).bytes());
        stage.rig.end(play.number, "enough");
        play.settle();
        assert_eq!(sequence(&play.client.receive()), "T D*1 E:57P01");
        check_gone(stage, &play, &["lost"]);
    });
}

/// A proxy that drains lets transactions end, and pipelines and COPY with them.
#[test]
fn a_session_ends_between_transactions() {
    let mut postgres = Postgres::default();
    stage(|stage| {
        let mut play = stage.rig.play();
        stage.rig.drain();
        play.settle();
        assert_eq!(sequence(&play.client.receive()), "E:57P01");
        assert!(play.is_over());
    });
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client.send(new().query("begin").bytes());
        assert_eq!(sequence(&play.answered_by(&mut postgres)), "C:BEGIN Z:T");
        stage.rig.drain();
        play.client.send(new().query("select 1").bytes());
        assert_eq!(sequence(&play.answered_by(&mut postgres)), "T D*1 C:SELECT 1 Z:T");
        play.client.send(new().query("commit").bytes());
        assert_eq!(sequence(&play.answered_by(&mut postgres)), "C:COMMIT Z:I E:57P01");
        check_gone(stage, &play, &["completed"; 3]);
    });
}
