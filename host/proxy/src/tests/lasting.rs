//! What is remembered from one statement to the next, and what must not be.

use portcullis_policy::{Derivation, MaskAction, Verdict};

use super::*;
use crate::scripted::{Frames, PEOPLE, Rules, cells, sequence};

fn new() -> Frames {
    Frames::new()
}

/// The server stops a result that is over its limit too late; what is behind it in the same text
/// is not the client's any more.
#[test]
fn behind_a_limit_a_text_is_silent() {
    let limited = Verdict { limit_rows: Some(1), ..Verdict::allow() };
    let rules = Rules::new(move |_, _| limited.clone(), |_| MaskAction::Pass);
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let mut play = stage.rig.play();
        play.client_says(
            new().query("select id from people; select 1; copy notes to stdout").bytes(),
        );
        let result = |frames: Frames| frames.columns(&[("id", (0, 0), 23)]).row(&[Some(b"1")]);
        let over = result(new()).row(&[Some(b"2")]).complete("SELECT 2");
        let behind = result(over).notice("quoted").complete("SELECT 1");
        let copied = behind.copy(b'H', 2).copy_data(b"1\tx\n").copy_done().complete("COPY 1");
        play.server_says(copied.ready(b'I').bytes());
        assert_eq!(sequence(&play.client.receive()), "T D*1 E:54000 Z:I");
        assert!(!play.is_over());
        play.client_says(new().query("select id from people").bytes());
        play.server_says(result(new()).complete("SELECT 1").ready(b'I').bytes());
        assert_eq!(sequence(&play.client.receive()), "T D*1 C:SELECT 1 Z:I");
        let rows = stage.records("outcome").iter().map(|o| o["rows"].as_u64()).collect::<Vec<_>>();
        assert_eq!(rows, [Some(1), Some(0), Some(0), Some(1)]);
    });
}

/// Where the rest of that text waits for data, the proxy ends the wait: the client has heard that it
/// is over, and sends none.
#[test]
fn behind_a_limit_no_copy_waits_for_the_client() {
    let limited = Verdict { limit_rows: Some(1), ..Verdict::allow() };
    let rules = Rules::new(move |_, _| limited.clone(), |_| MaskAction::Pass);
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let mut play = stage.rig.play();
        let text = "select id from people; copy notes from stdin; select 1";
        play.client_says(new().query(text).bytes());
        let result = new().columns(&[("id", (0, 0), 23)]).row(&[Some(b"1")]).row(&[Some(b"2")]);
        play.server.receive();
        play.server_says(result.complete("SELECT 2").copy(b'G', 2).bytes());
        assert_eq!(sequence(&play.client.receive()), "T D*1 E:54000");
        let (told, _) = messages(&play.server.receive());
        assert_eq!(told.iter().map(|(tag, _)| char::from(*tag)).collect::<String>(), "f");
        play.server_says(new().error("57014", "called off").ready(b'I').bytes());
        assert_eq!(sequence(&play.client.receive()), "Z:I");
        play.client_says(new().query("select 1").bytes());
        let (told, _) = messages(&play.server.receive());
        assert_eq!(told.iter().map(|(tag, _)| char::from(*tag)).collect::<String>(), "Q");
        let ends = stage.records("outcome").iter().map(|o| o["ending"].clone()).collect::<Vec<_>>();
        assert_eq!(ends, ["completed", "failed", "skipped"]);
    });
}

/// The one cell of the result of the same query again, as the client is shown it.
fn shown(play: &mut Play, status: u8) -> Option<Vec<u8>> {
    play.client_says(new().query("select upper(name) from people").bytes());
    let result = new().columns(&[("upper", (0, 0), 25)]).row(&[Some(b"ADA")]);
    play.server_says(result.complete("SELECT 1").ready(status).bytes());
    let heard = play.client.receive();
    let (told, _) = messages(&heard);
    let row = told.iter().find(|(tag, _)| *tag == b'D').expect("a row");
    cells(&row.1).expect("cells").remove(0)
}

/// Inside a transaction that has made something nobody else can see, a result is masked more
/// strictly; afterwards it is masked as before.
#[test]
fn a_stricter_mask_does_not_outlast_its_transaction() {
    let rules = Rules::new(
        |_, _| Verdict::allow(),
        |column| match column.derivation {
            Derivation::Unknown => MaskAction::Nullify,
            Derivation::Direct | Derivation::Derived | Derivation::None | Derivation::Count => {
                MaskAction::Constant("masked".into())
            }
        },
    );
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let mut play = stage.rig.play();
        let masked = Some(b"masked".to_vec());
        assert_eq!(shown(&mut play, b'I'), masked);
        assert_eq!(shown(&mut play, b'I'), masked);
        let made = "create function f() returns int language sql as ''";
        for (text, tag) in [("begin", "BEGIN"), (made, "CREATE FUNCTION")] {
            play.client_says(new().query(text).bytes());
            play.server_says(new().complete(tag).ready(b'T').bytes());
        }
        // The catalog was read again, and does not have it.
        stage.rig.database.forget_changes();
        play.client.receive();
        assert_eq!(shown(&mut play, b'T'), None);
        assert_eq!(shown(&mut play, b'T'), None);
        play.client_says(new().query("rollback").bytes());
        play.server_says(new().complete("ROLLBACK").ready(b'I').bytes());
        stage.rig.database.forget_changes();
        play.client.receive();
        assert_eq!(shown(&mut play, b'I'), masked);
        assert_eq!(shown(&mut play, b'I'), masked);
    });
}

/// A cursor without WITH HOLD is gone with its transaction, and takes no room behind it.
#[test]
fn cursors_end_with_their_transactions() {
    let limits = crate::settings::Limits { names_max: 3, ..crate::settings::Limits::default() };
    stage_with(Given { limits, ..Given::default() }, |stage| {
        let mut play = stage.rig.play();
        for turn in 0..10 {
            let declare = format!("declare c{turn} cursor for select id from people");
            for (text, tag, status) in [
                ("begin", "BEGIN", b'T'),
                (declare.as_str(), "DECLARE CURSOR", b'T'),
                ("commit", "COMMIT", b'I'),
            ] {
                play.client_says(new().query(text).bytes());
                play.server_says(new().complete(tag).ready(status).bytes());
            }
        }
        play.client.receive();
        play.client_says(new().parse("s", "select 1").sync().bytes());
        play.server_says(new().raw(b'1', &[]).ready(b'I').bytes());
        assert_eq!(sequence(&play.client.receive()), "1 Z:I");
    });
}

/// The server ends the session while it is asked something of the proxy's own.
#[test]
fn a_goodbye_in_answer_to_the_proxy_is_for_the_client() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(new().query("set search_path to public").bytes());
        play.server_says(new().complete("SET").ready(b'I').bytes());
        play.client_says(new().query("select id from people").bytes());
        assert_eq!(heard(&messages(&play.server.receive()).0), "Q Q");
        play.server_says(new().fatal("57P01", "terminating connection").bytes());
        assert_eq!(sequence(&play.client.receive()), "C:SET Z:I E:57P01");
        assert!(play.is_over());
    });
}

/// The server refuses to prepare several statements at once; each of them has an end all the same.
#[test]
fn a_prepared_text_of_several_statements_has_as_many_ends() {
    stage(|stage| {
        let mut play = stage.rig.play();
        play.client_says(new().run("select id from people; select 1").sync().bytes());
        play.server_says(
            new().error("42601", "cannot insert multiple commands").ready(b'I').bytes(),
        );
        assert_eq!(sequence(&play.client.receive()), "E:42601 Z:I");
        assert_eq!(stage.endings(), ["skipped", "skipped"]);
    });
}

/// Two connections of one principal send the same text, and what answers them has other columns:
/// each is masked by its own plan, also where the other has made a new one meanwhile.
#[test]
fn a_masker_serves_its_own_plan_only() {
    let rules = Rules::new(
        |_, _| Verdict::allow(),
        |column| match column.name.as_str() {
            "hidden" => MaskAction::Constant("masked".into()),
            _ => MaskAction::Pass,
        },
    );
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let (mut one, mut other) = (stage.rig.play(), stage.rig.play());
        let query = new().query("select upper(name) from people");
        let narrow = || new().columns(&[("hidden", (0, 0), 25)]);
        let wide = || new().columns(&[("shown", (0, 0), 25), ("hidden", (0, 0), 25)]);
        let ends = || new().complete("SELECT 1").ready(b'I');
        let row = |play: &Play| {
            let heard = play.client.receive();
            let (told, _) = messages(&heard);
            let row = told.iter().find(|(tag, _)| *tag == b'D').expect("a row");
            cells(&row.1).expect("cells")
        };
        let (ada, masked) = (Some(b"ada".to_vec()), Some(b"masked".to_vec()));
        for _ in 0..3 {
            one.client_says(query.bytes());
            one.server_says(narrow().bytes());
            other.client_says(query.bytes());
            other.server_says(wide().row(&[Some(b"ada"), Some(b"ada")]).and(&ends()).bytes());
            assert_eq!(row(&other), [ada.clone(), masked.clone()]);
            one.server_says(new().row(&[Some(b"ada")]).and(&ends()).bytes());
            assert_eq!(row(&one), std::slice::from_ref(&masked));
        }
        assert!(!one.is_over() && !other.is_over());
    });
}

/// What was found out for one connection is known to the next, and a change of the rules makes all
/// of it be asked anew.
#[test]
fn connections_of_one_principal_are_asked_about_once() {
    use std::cell::Cell;
    use std::rc::Rc;
    let planned = Rc::new(Cell::new(0));
    let rules = |mask: &str| {
        let (planned, mask) = (planned.clone(), MaskAction::Constant(mask.into()));
        Rules::new(
            |_, _| Verdict::allow(),
            move |_| {
                planned.update(|times| times + 1);
                mask.clone()
            },
        )
    };
    stage_with(Given { rules: rules("one"), ..Given::default() }, |stage| {
        for _ in 0..3 {
            let mut play = stage.rig.play();
            assert_eq!(shown(&mut play, b'I'), Some(b"one".to_vec()));
        }
        let once = planned.get();
        stage.rig.publish(rules("other"));
        let mut play = stage.rig.play();
        assert_eq!(shown(&mut play, b'I'), Some(b"other".to_vec()));
        assert_eq!(planned.get(), 2 * once, "the first plan served all three");
    });
}

/// While a masker fails nothing is shown; that is not what was found out, and the next result is
/// planned anew.
#[test]
fn a_plan_that_failed_is_not_kept() {
    let rules = Rules::default();
    let fails = rules.fails.clone();
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let shown = |play: &mut Play| {
            play.client_says(new().query("select name from people").bytes());
            let result = new().columns(&[("name", (PEOPLE, 2), 25)]).row(&[Some(b"ada")]);
            play.server_says(result.complete("SELECT 1").ready(b'I').bytes());
            let heard = play.client.receive();
            let (told, _) = messages(&heard);
            let row = told.iter().find(|(tag, _)| *tag == b'D').expect("a row");
            cells(&row.1).expect("cells").remove(0)
        };
        fails.set(true);
        assert_eq!(shown(&mut stage.rig.play()), None);
        fails.set(false);
        let mut play = stage.rig.play();
        assert_eq!(shown(&mut play), Some(b"ada".to_vec()));
        fails.set(true);
        assert_eq!(shown(&mut play), Some(b"ada".to_vec()), "what was planned serves on");
    });
}

/// An error of a statement that touches what is hidden is withheld; where a masker fails it is
/// withheld as well, and that is not kept either.
#[test]
fn a_doubt_about_errors_is_not_kept() {
    let rules = Rules::new(|_, _| Verdict::allow(), |_| MaskAction::Pass);
    let fails = rules.fails.clone();
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let is_withheld = |play: &mut Play| {
            play.client_says(new().query("select email from people").bytes());
            play.server_says(new().error("22P02", "quoted").ready(b'I').bytes());
            let heard = play.client.receive();
            String::from_utf8_lossy(&heard).contains("withheld")
        };
        fails.set(true);
        assert!(is_withheld(&mut stage.rig.play()));
        fails.set(false);
        assert!(!is_withheld(&mut stage.rig.play()));
    });
}

/// So is a refusal because it could not be told what is hidden.
#[test]
fn a_refusal_in_doubt_is_not_kept() {
    let rules = Rules::new(|_, _| Verdict::allow(), |_| MaskAction::Pass);
    let fails = rules.fails.clone();
    stage_with(Given { rules, ..Given::default() }, |stage| {
        let passes = |play: &mut Play| {
            play.client_says(new().query("update people set email = 'x' where id = 1").bytes());
            !play.server.receive().is_empty()
        };
        fails.set(true);
        assert!(!passes(&mut stage.rig.play()));
        fails.set(false);
        assert!(passes(&mut stage.rig.play()));
    });
}

/// What a client sends together with the end of its login is taken up without another byte, and
/// half a message with the rest of it.
#[test]
fn what_came_with_the_login_is_read() {
    let query = new().query("select id from people").bytes().to_vec();
    for cut in 1..=query.len() {
        stage(|stage| {
            let (sent, rest) = query.split_at(cut);
            let mut play = stage.rig.play_behind(sent);
            play.settle();
            assert_eq!(play.server.receive(), if rest.is_empty() { &query[..] } else { &[] });
            if !rest.is_empty() {
                play.client_says(rest);
                assert_eq!(play.server.receive(), query);
            }
        });
    }
}
