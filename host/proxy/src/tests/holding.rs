//! Statements that wait for people, in the middle of what else a client says.

use std::time::Instant;

use portcullis_approvals::DecideError;
use portcullis_policy::event::Actor;
use portcullis_policy::{Principal, PrincipalKind};
use portcullis_wire::backend;

use super::*;
use crate::scripted::{Frames, sequence};

fn new() -> Frames {
    Frames::new()
}

fn held() -> Frames {
    new().query("select id from held")
}

/// The approval that a client was told of.
fn approval(heard: &[u8]) -> String {
    let notices = messages(heard).0.into_iter().filter(|(tag, _)| *tag == b'N');
    let texts = notices.map(|(_, body)| {
        let fields = backend::notice_fields(&body).unwrap();
        String::from_utf8(backend::field(&fields, b'M').unwrap().to_vec()).unwrap()
    });
    let waits = "this statement waits for approval ";
    let told: Vec<String> = texts
        .filter_map(|text| Some(text.strip_prefix(waits)?.split_once(':')?.0.to_owned()))
        .collect();
    let [id] = &told[..] else { panic!("told of {told:?}") };
    id.clone()
}

fn lead() -> Principal {
    Principal {
        subject: "lena".into(),
        kind: PrincipalKind::Human,
        groups: vec!["leads".into()],
        proof: "scram".into(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: "192.0.2.2:6000".into(),
        application: "psql".into(),
        role: "lena".into(),
    }
}

impl Stage<'_> {
    fn grant(&self, id: &str) -> Result<(), DecideError> {
        let actor = Actor { subject: "lena".into(), proof: "scram".into(), address: "x".into() };
        let lead = lead();
        let granted = self.rig.approvals.grant(id, &lead, actor, None, 0);
        self.runtime.block_on(granted).map(|_| ())
    }

    fn refuse(&self, id: &str) {
        let actor = Actor { subject: "lena".into(), proof: "scram".into(), address: "x".into() };
        let lead = lead();
        let refused = self.rig.approvals.refuse(id, &lead, actor, Some("no".into()));
        self.runtime.block_on(refused).unwrap();
    }

    /// Lets the session hear what was decided: by then it is.
    fn until_decided(&self, play: &mut Play) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !play.is_woken() {
            assert!(Instant::now() < deadline, "nobody tells the session");
            std::thread::yield_now();
        }
        play.settle();
    }

    /// Nothing waits any more: what was withdrawn is.
    fn until_nothing_waits(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.rig.approvals.waiting() > 0 {
            assert!(Instant::now() < deadline, "a case is left");
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_is_granted_runs_and_what_is_behind_it_waits() {
    stage(|stage| {
        let (mut play, mut postgres) = (stage.rig.play(), Postgres::default());
        play.client.send(new().query("select 1").and(&held()).query("select 1").bytes());
        let told = play.answered_by(&mut postgres);
        assert_eq!(sequence(&told), "T D*1 C:SELECT 1 Z:I");
        assert_eq!(heard(&postgres.heard), "Q H", "what is before it is asked to be answered");
        stage.grant(&approval(&told)).unwrap();
        stage.until_decided(&mut play);
        let told = play.answered_by(&mut postgres);
        assert_eq!(sequence(&told), "T D*1 C:SELECT 1 Z:I T D*1 C:SELECT 1 Z:I");
        assert_eq!(heard(&postgres.heard), "Q H Q Q");
        play.client.close();
        play.settle();
        assert_eq!(stage.endings(), ["completed", "released", "completed", "completed"]);
    });
}

#[test]
fn what_is_refused_by_people_ends_as_what_is_refused_by_rules() {
    for (said, behind, heard_at_last) in [
        (held(), "E:42501 Z:I", ""),
        (new().query("begin").and(&held()), "E:42501 Z:E", "Q H Q!"),
        (new().run("select id from held").query("select 1").sync(), "E:42501 Z:I", "P H E! S"),
    ] {
        stage(|stage| {
            let (mut play, mut postgres) = (stage.rig.play(), Postgres::default());
            play.client.send(said.bytes());
            let told = play.answered_by(&mut postgres);
            stage.refuse(&approval(&told));
            stage.until_decided(&mut play);
            assert_eq!(sequence(&play.answered_by(&mut postgres)), behind);
            assert_eq!(heard(&postgres.heard), heard_at_last);
            check_silence_behind_refusals("", &postgres.heard);
            play.client.close();
            play.settle();
            stage.endings();
        });
    }
}

/// Whoever leaves, ends or is ended takes what waits with it.
#[test]
fn nothing_waits_for_a_session_that_is_gone() {
    let ways: [fn(&Stage<'_>, &Play); 6] = [
        |_, play| play.client.close(),
        |_, play| play.client.reset(),
        |_, play| play.server.close(),
        |_, play| play.server.reset(),
        |stage, play| stage.rig.end(play.number, "enough"),
        |_, play| play.server.send(Frames::new().ready(b'I').bytes()),
    ];
    for way in ways {
        stage(|stage| {
            let mut play = stage.rig.play();
            play.client_says(held().bytes());
            let id = approval(&play.client.receive());
            assert_eq!(stage.rig.approvals.waiting(), 1);
            way(stage, &play);
            play.settle();
            assert!(play.is_over());
            stage.until_nothing_waits();
            assert!(stage.grant(&id).is_err(), "it can be granted no more");
            assert_eq!(stage.endings(), ["refused"]);
        });
    }
}

/// A failure ahead of it in the pipeline skips what waits.
#[test]
fn what_waits_behind_a_failure_is_skipped() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(new().run("select 1").run("select id from held").sync().bytes());
        let id = approval(&play.client.receive());
        let described = new().raw(b'1', b"").raw(b'2', b"").columns(&[("n", (0, 0), 23)]);
        let failed = described.error("22012", "division by zero");
        play.server_says(failed.bytes());
        assert_eq!(sequence(&play.client.receive()), "1 2 E:22012");
        stage.until_nothing_waits();
        assert!(stage.grant(&id).is_err());
        play.server_says(new().ready(b'I').bytes());
        assert_eq!(sequence(&play.client.receive()), "Z:I");
        play.client.close();
        play.settle();
        assert_eq!(stage.endings(), ["failed", "skipped"]);
    });
}

/// A key cancels what its own session waits for, and nobody else's.
#[test]
fn only_the_right_key_cancels() {
    stage(|stage| {
        let (mut one, mut two) = (stage.rig.play(), stage.rig.play());
        for play in [&mut one, &mut two] {
            play.client_says(held().bytes());
            approval(&play.client.receive());
        }
        let key = one.cancel_key.clone();
        let mut forged = key.1.clone();
        forged[0] ^= 1;
        for (process_id, secret) in [
            (key.0, forged),
            (two.cancel_key.0, key.1.clone()),
            (key.0, Vec::new()),
            (0, key.1.clone()),
        ] {
            stage.runtime.block_on(stage.rig.cancel(process_id, &secret));
            assert!(!one.is_woken() && !two.is_woken(), "somebody else's key did something");
        }
        stage.runtime.block_on(stage.rig.cancel(key.0, &key.1));
        one.settle();
        two.settle();
        assert_eq!(sequence(&one.client.receive()), "E:57014 Z:I");
        assert_eq!(two.client.receive(), b"");
        // With its session the key is gone.
        one.client.close();
        one.settle();
        stage.runtime.block_on(stage.rig.cancel(key.0, &key.1));
        two.client.close();
        two.settle();
        stage.until_nothing_waits();
    });
}

/// While people are waited for, a client can send only so much.
#[test]
fn what_is_sent_behind_it_is_bounded() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(held().bytes());
        play.client.receive();
        for _ in 0..2_000 {
            play.client_says(new().query(&"x".repeat(1_000)).bytes());
        }
        assert_eq!(sequence(&play.client.receive()), "E:54000");
        assert!(play.is_over());
        stage.until_nothing_waits();
    });
}
