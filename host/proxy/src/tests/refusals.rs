//! What is refused, and what the server hears of it: nothing, or something that can only fail
//! and then nothing up to the Sync.

use portcullis_policy::{MaskAction, Verdict};

use super::*;
use crate::scripted::{Frames, Rules, sequence};

/// Says all turns; the client must hear these answers, and the server these messages.
fn check(stage: &mut Stage<'_>, turns: &[(Frames, &str)], heard_by_server: &str) {
    let mut play = stage.rig.play();
    let mut postgres = Postgres::default();
    for (said, answer) in turns {
        play.client.send(said.bytes());
        assert_eq!(sequence(&play.answered_by(&mut postgres)), *answer, "{turns:?}");
    }
    assert_eq!(heard(&postgres.heard), heard_by_server, "{turns:?}");
    check_silence_behind_refusals("", &postgres.heard);
    play.client.close();
    play.settle();
    assert!(play.is_over());
    stage.endings();
}

fn new() -> Frames {
    Frames::new()
}

#[test]
fn refused_queries() {
    stage(|stage| {
        let refused = || new().query("select id from forbidden");
        let allowed = || new().query("select id from people");
        check(stage, &[(refused(), "E:42501 Z:I")], "");
        check(stage, &[(allowed(), "T D*1 C:SELECT 1 Z:I")], "Q");
        check(stage, &[(new().query("select 1; select id from forbidden"), "E:42501 Z:I")], "");
        let begin = || (new().query("begin"), "C:BEGIN Z:T");
        let again = || (new().query("select 1"), "E:25P02 Z:E");
        check(stage, &[begin(), (refused(), "E:42501 Z:E"), again()], "Q Q! Q");
        let fails = || (new().query("select 1/0"), "E:22012 Z:E");
        // Where the transaction has failed already, nothing more can be done to it.
        check(stage, &[begin(), fails(), (refused(), "E:42501 Z:E"), again()], "Q Q Q");
        let all = refused().query("begin").and(&refused()).query("rollback").and(&refused());
        let answer = "E:42501 Z:I C:BEGIN Z:T E:42501 Z:E C:ROLLBACK Z:I E:42501 Z:I";
        check(stage, &[(all, answer)], "Q Q! Q Q!");
    });
}

#[test]
fn refused_parses() {
    stage(|stage| {
        let refused = || new().parse("s", "select id from forbidden");
        check(stage, &[(refused().sync(), "E:42501 Z:I")], "E! S");
        let behind = || refused().bind("", "s").execute("", 0).close(b'S', "s").flush();
        check(stage, &[(behind().sync(), "E:42501 Z:I")], "E! S");
        check(stage, &[(behind(), "E:42501"), (new().sync(), "Z:I")], "E! S");
        // A query before the Sync has no answer at all.
        let queries = behind().query("select 1").query("select id from forbidden").sync();
        check(stage, &[(queries.query("select 1"), "E:42501 Z:I T D*1 C:SELECT 1 Z:I")], "E! S Q");
        let middle = new().run("select 1").and(&behind()).run("select 1").sync();
        check(stage, &[(middle, "1 2 D*1 C:SELECT 1 E:42501 Z:I")], "P B D E E! S");
        // Several pipelines at once: each is refused and ends by itself.
        let several = behind().sync().and(&behind()).sync().run("select 1").sync();
        let answer = "E:42501 Z:I E:42501 Z:I 1 2 D*1 C:SELECT 1 Z:I";
        check(stage, &[(several, answer)], "E! S E! S P B D E S");
        // Behind an earlier failure nothing is refused any more.
        let failed = (new().parse("", "select 1/0").bind("", "").flush(), "1 E:22012");
        check(stage, &[failed, (behind(), ""), (new().sync(), "Z:I")], "P B H S");
        let begun = new().run("begin").sync().and(&behind()).sync();
        let answer = "1 2 C:BEGIN Z:T E:42501 Z:E";
        check(
            stage,
            &[(begun, answer), (new().query("rollback"), "C:ROLLBACK Z:I")],
            "P B E S E! S Q",
        );
    });
}

/// By the value that is bound.
#[test]
fn refused_binds() {
    let rules = || {
        let judge = |_: &portcullis_policy::Statement,
                     values: &dyn portcullis_policy::Parameters| {
            match values.text(0).as_deref() {
                Some("no") => Verdict::deny("not that one"),
                _ => Verdict::allow(),
            }
        };
        Rules::new(judge, |_| MaskAction::Pass)
    };
    stage_with(Given { rules: rules(), ..Given::default() }, |stage| {
        let bound = |value: &str| {
            new().parse("s", "select $1").bind_value("", "s", value.as_bytes()).execute("", 0)
        };
        check(stage, &[(bound("yes").sync(), "1 2 D*1 C:SELECT 1 Z:I")], "P B D E S");
        check(stage, &[(bound("no").sync(), "1 E:42501 Z:I")], "P E! S");
        check(stage, &[(bound("no").run("select 1").flush(), "1 E:42501")], "P E!");
        // The portal is still there, as far as the client is told, and so is the statement.
        let kept = new().parse("s", "select $1").sync();
        let again = new().bind_value("", "s", b"no").sync().bind_value("", "s", b"yes").sync();
        let answer = "1 Z:I E:42501 Z:I 2 Z:I";
        check(stage, &[(kept.and(&again), answer)], "P S E! S B S");
    });
}

/// By rules that are in force since the Bind.
#[test]
fn refused_executes() {
    let strict = || Rules::new(|_, _| Verdict::deny("not any more"), |_| MaskAction::Pass);
    for (behind, answer) in [
        (new().sync(), "E:42501 Z:I"),
        (new().run("select 1").execute("", 0).query("select 1").sync(), "E:42501 Z:I"),
        (new().flush(), "E:42501"),
    ] {
        stage(|stage| {
            let mut play = stage.rig.play();
            let mut postgres = Postgres::default();
            play.client.send(new().parse("", "select 1").bind("", "").flush().bytes());
            assert_eq!(sequence(&play.answered_by(&mut postgres)), "1 2");
            stage.rig.publish(strict());
            play.client.send(new().execute("", 0).and(&behind).bytes());
            assert_eq!(sequence(&play.answered_by(&mut postgres)), answer);
            let heard = heard(&postgres.heard);
            assert!(heard == "P B H E! S" || heard == "P B H E!", "{heard}");
            play.client.close();
            play.settle();
            // The Bind's record ends as one of what never ran.
            assert_eq!(stage.endings(), ["skipped", "refused"]);
        });
    }
}

#[test]
fn refused_function_calls() {
    stage(|stage| {
        let call = || new().raw(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        check(stage, &[(call(), "E:42501 Z:I")], "");
        let begin = (new().query("begin"), "C:BEGIN Z:T");
        check(stage, &[begin, (call(), "E:42501 Z:E")], "Q Q!");
        let behind = new().parse("s", "select id from forbidden").and(&call()).sync();
        check(stage, &[(behind, "E:42501 Z:I")], "E! S");
    });
}

/// Only the error that the stand-in causes is the refusal; another one stays what it is.
#[test]
fn another_error_is_not_taken_for_the_refusal() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(new().parse("s", "select id from forbidden").sync().bytes());
        play.server_says(new().error("57P05", "something else").ready(b'I').bytes());
        assert_eq!(sequence(&play.client.receive()), "E:57P05 Z:I");
        play.client_says(new().query("begin").bytes());
        play.server_says(new().complete("BEGIN").ready(b'T').bytes());
        play.client_says(new().query("select id from forbidden").bytes());
        play.server_says(new().error("42601", "syntax error at \"x\"").ready(b'E').bytes());
        assert_eq!(sequence(&play.client.receive()), "C:BEGIN Z:T E:42601 Z:E");
    });
}
