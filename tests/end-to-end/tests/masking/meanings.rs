//! Texts and names that the server takes for something else than the proxy has judged:
//! another encoding, other rules for strings, a name cut short, an answer out of step.

use end_to_end::cluster::APP;
use end_to_end::frames::{Batch, Message, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{ANA, DATABASE, PASSWORD};

use super::bench::{Bench, step};
use super::direct_session;

/// A value in a form that no inspection of content knows.
const HIDDEN: &str = "SELECT encode(email::bytea, 'hex') FROM customers ORDER BY id LIMIT 5";
const HARMLESS: &str = "SELECT word FROM scratch ORDER BY id";

/// The end of an answer that is ahead of ReadyForQuery.
const FLUSHED: &[u8] = b"CEsIZ";
const READY: &[u8] = b"Z";

/// In these a byte of a character may look like a backslash or a quote.
#[tokio::test]
async fn no_encoding_that_hides_quotes_is_let_in() {
    let bench = Bench::new().await;
    let login = async |more: (&str, &str)| {
        let mut session = Session::connect(bench.portcullis.address()).await;
        let who = [("user", ANA.name), ("database", DATABASE), more];
        let answer = session.try_login(PASSWORD, &who).await;
        (session, answer)
    };
    for more in [
        ("client_encoding", "SJIS"),
        ("client_encoding", "'sjis'"),
        ("client_encoding", "big5"),
        ("CLIENT_ENCODING", "SJIS"),
        ("Client_Encoding", "GBK"),
        ("options", "-c client_encoding=SJIS"),
        ("options", "-cclient_encoding=SJIS"),
        ("options", "--client_encoding=UHC"),
        ("options", "--client-encoding=GB18030"),
        ("options", "-c CLIENT_ENCODING=SHIFT_JIS_2004"),
        ("options", "-c client_encoding=UTF8 -c client_encoding=JOHAB"),
        ("options", "-c client\\_encoding=SJIS"),
    ] {
        let (mut session, answer) = login(more).await;
        // Whoever gets in shows what could be done with it.
        if sequence(&answer).ends_with("Z:I") {
            let smuggled =
                b"SELECT E'\x81\x5c' || encode(email::bytea, $$hex$$) FROM customers -- '\0";
            session.exchange(Batch::new().raw(b'Q', smuggled)).await;
        }
        bench.unharmed(&format!("{more:?}"), &session, &answer).await;
        let state = sqlstate_of(&answer).unwrap_or_default();
        assert!(["0A000", "42501"].contains(&&*state), "{more:?}: {}", sequence(&answer));
    }
    for more in [
        ("client_encoding", "UTF8"),
        ("CLIENT_ENCODING", "utf-8"),
        ("client_encoding", "LATIN1"),
        ("options", "-c client_encoding=LATIN1"),
        ("options", "--client-encoding=UTF8"),
    ] {
        let (mut session, answer) = login(more).await;
        assert!(sequence(&answer).ends_with("Z:I"), "{more:?}: {}", sequence(&answer));
        assert_eq!(first_column(&session.query("SELECT 'it''s'").await), ["it's"], "{more:?}");
    }
}

/// What a setting is now the server tells only when the segment ends.
#[tokio::test]
async fn a_setting_changed_in_mid_segment_changes_no_reading_behind_it() {
    let bench = Bench::new().await;
    let strings: [&[u8]; 2] = [
        b"SELECT '\\'' || encode(email::bytea, 'hex') FROM customers --'",
        b"WITH a AS (SELECT '\\''), b AS (DELETE FROM scratch RETURNING 1) \
          SELECT count(*) FROM b --') SELECT 1",
    ];
    let encodings: [&[u8]; 2] = [
        b"SELECT E'\xc3\x81\x5c' || encode(email::bytea, $$hex$$) FROM customers -- '",
        b"WITH a AS (SELECT E'\xc3\x81\x5c'), b AS (DELETE FROM scratch RETURNING 1) \
          SELECT count(*) FROM b --') SELECT 1",
    ];
    let cases = [
        ("SET standard_conforming_strings = off", strings),
        ("SET LOCAL standard_conforming_strings TO 'off'", strings),
        ("SELECT set_config('standard_conforming_strings', 'off', false)", strings),
        ("SET client_encoding TO 'SJIS'", encodings),
        ("SET client_encoding TO E'SJ\\x49S'", encodings),
        ("SET client_encoding TO E'\\123JIS'", encodings),
        ("SET NAMES E'SJ\\x49S'", encodings),
        ("SET client_encoding TO U&'SJ\\0049S'", encodings),
        ("SET client_encoding TO $$SJIS$$", encodings),
        ("SET client_encoding TO 'SJ'\n'IS'", encodings),
        ("SET client_encoding TO \"SJIS\"", encodings),
        ("SET client_encoding = sjis", encodings),
        ("SET SESSION \"client_encoding\" = Shift_JIS", encodings),
        ("SELECT set_config('client_encoding', 'SJ' || 'IS', false)", encodings),
        ("SET standard_conforming_strings = 0", strings),
        ("SET standard_conforming_strings = E'\\x6fff'", strings),
        ("SET NAMES 'SJIS'", encodings),
        ("SELECT set_config('client_' || 'encoding', 'SJIS', false)", encodings),
    ];
    let mut failures = Vec::new();
    for (set, smuggled) in cases {
        for text in smuggled {
            for flushed in [true, false] {
                let what = format!("{set}, flushed {flushed}, {}", String::from_utf8_lossy(text));
                let direct =
                    segment(direct_session(&bench.database).await, set, text, flushed).await;
                if bench.harm("", &direct.0, &direct.1).await.is_none() {
                    failures.push(format!("{what} is harmless even without the proxy"));
                }
                let (session, answer) = segment(bench.session().await, set, text, flushed).await;
                failures.extend(bench.harm(&what, &session, &answer).await);
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A setting changed, and a text behind it in the same segment.
async fn segment(
    mut session: Session,
    set: &str,
    text: &[u8],
    flushed: bool,
) -> (Session, Vec<Message>) {
    let mut batch = Batch::new().run(set);
    if flushed {
        step(&mut session, (batch.flush(), FLUSHED)).await;
        batch = Batch::new();
    }
    let batch = batch.raw(b'P', &[b"\0", text, b"\0\0\0"].concat()).bind("", "", &[], false);
    let batch = batch.describe(b'P', "").execute("", 0).sync();
    let answer = step(&mut session, (batch, READY)).await;
    (session, answer)
}

#[tokio::test]
async fn a_setting_changed_in_mid_segment_disturbs_nobody() {
    let bench = Bench::new().await;
    for set in [
        "SET standard_conforming_strings = off",
        "SET client_encoding TO 'LATIN1'",
        "SET search_path TO public, pg_catalog",
    ] {
        let flushed = || {
            vec![
                (Batch::new().run(set).flush(), FLUSHED),
                (Batch::new().run("SELECT count(*) FROM orders").sync(), READY),
                (Batch::new().extended(HARMLESS, false), READY),
            ]
        };
        bench.same_as_direct(set, flushed).await;
        let at_once = || {
            let batch = Batch::new().run(set).run("SELECT count(*) FROM orders").sync();
            vec![(batch, READY), (Batch::new().query(HARMLESS), READY)]
        };
        bench.same_as_direct(set, at_once).await;
    }
    // Once it is known how strings are read, they are read so.
    let known = || {
        vec![
            (Batch::new().query("SET standard_conforming_strings = off"), READY),
            (Batch::new().query("SELECT 'it\\'s', word FROM scratch ORDER BY id"), READY),
        ]
    };
    bench.same_as_direct("strings read the old way", known).await;
}

/// A name one byte longer than the server keeps, and its neighbour.
fn long(last: char) -> String {
    format!("{}{last}", "n".repeat(63))
}

#[tokio::test]
async fn two_names_that_are_one_to_the_server_are_not_confused() {
    let bench = Bench::new().await;
    let (one, other) = (long('x'), long('y'));
    let kept = "n".repeat(63);
    let prepare = |name: &str, text: &str| Batch::new().parse(name, text).describe(b'S', name);
    let run = |name: &str| Batch::new().bind("", name, &[], false).execute("", 0).sync();
    let portal = |name: &str, text: &str| {
        Batch::new().parse("", text).bind(name, "", &[], false).describe(b'P', name)
    };
    let cases: Vec<(&str, Vec<Batch>)> = vec![
        (
            "statements cut short",
            vec![
                prepare(&one, HARMLESS).sync(),
                Batch::new().close(b'S', &other).parse(&other, HIDDEN).sync(),
                run(&one),
            ],
        ),
        (
            "a statement cut short and the one it is cut to",
            vec![
                prepare(&kept, HARMLESS).sync(),
                Batch::new().close(b'S', &one).parse(&one, HIDDEN).sync(),
                run(&kept),
            ],
        ),
        (
            "portals cut short",
            vec![
                Batch::new().query("BEGIN"),
                portal(&one, HARMLESS).sync(),
                Batch::new().close(b'P', &other).sync(),
                Batch::new().parse("", HIDDEN).bind(&other, "", &[], false).sync(),
                Batch::new().execute(&one, 0).sync(),
            ],
        ),
        (
            "PREPARE of names cut short",
            vec![
                Batch::new().query(&format!("PREPARE {one} AS {HARMLESS}")),
                Batch::new().query(&format!("DEALLOCATE {other}")),
                Batch::new().query(&format!("PREPARE {other} AS {HIDDEN}")),
                Batch::new().query(&format!("EXECUTE {one}")),
                run(&kept),
            ],
        ),
        (
            "cursors of names cut short",
            vec![
                Batch::new().query("BEGIN"),
                Batch::new().query(&format!("DECLARE {one} CURSOR FOR {HARMLESS}")),
                Batch::new().query(&format!("CLOSE {other}")),
                Batch::new().query(&format!("DECLARE {other} CURSOR FOR {HIDDEN}")),
                Batch::new().query(&format!("FETCH 5 FROM {one}")),
            ],
        ),
    ];
    for (what, batches) in cases {
        let mut session = bench.session().await;
        let mut answer = Vec::new();
        for batch in batches {
            answer = session.exchange(batch).await;
        }
        bench.unharmed(what, &session, &answer).await;
    }
    let longest_names = || {
        let (one, other) = (format!("{}x", "n".repeat(62)), format!("{}y", "n".repeat(62)));
        vec![
            (prepare(&one, HARMLESS).sync(), READY),
            (prepare(&other, "SELECT count(*) FROM orders").sync(), READY),
            (run(&one), READY),
            (run(&other), READY),
            (Batch::new().query("BEGIN"), READY),
            (portal(&one, HARMLESS).sync(), READY),
            (Batch::new().execute(&one, 0).sync(), READY),
        ]
    };
    bench.same_as_direct("names as long as they may be", longest_names).await;
}

/// A name in an encoding of one byte a character is another name when the encoding changes.
#[tokio::test]
async fn a_name_that_the_server_converts_is_not_confused() {
    let bench = Bench::new().await;
    let name = b"\xc3\xa9";
    let parse = |text: &str| Batch::new().raw(b'P', &[name, text.as_bytes()].join(&0)).sync();
    let body = |text: &str| format!("{text}\0\0\0");
    let describe = |batch: Batch| batch.raw(b'D', &[b"S", &name[..], b"\0"].concat()).sync();
    let bind = [b"\0", &name[..], b"\0\0\0\0\0\0\0"].concat();
    let run = Batch::new().raw(b'B', &bind).execute("", 0).sync();
    let mut session = Session::connect(bench.portcullis.address()).await;
    let who = [("user", ANA.name), ("database", DATABASE), ("client_encoding", "LATIN1")];
    session.try_login(PASSWORD, &who).await;
    session.exchange(parse(&body(HIDDEN))).await;
    session.query("SET client_encoding = 'UTF8'").await;
    session.exchange(parse(&body("SELECT 'harmless'::text"))).await;
    session.exchange(describe(Batch::new())).await;
    session.query("SET client_encoding = 'LATIN1'").await;
    let answer = session.exchange(run).await;
    bench.unharmed("a name of LATIN1", &session, &answer).await;
    let plain = || {
        let run = Batch::new().bind("", "plain", &[], false).execute("", 0).sync();
        vec![
            (Batch::new().query("SET client_encoding = 'LATIN1'"), READY),
            (Batch::new().parse("plain", HARMLESS).sync(), READY),
            (Batch::new().query("SET client_encoding = 'UTF8'"), READY),
            (run, READY),
        ]
    };
    bench.same_as_direct("a name of ASCII", plain).await;
}

/// COPY swallows a Sync, or does not when it has failed first. Whoever counts wrongly takes
/// one statement's rows for another's.
#[tokio::test]
async fn a_sync_inside_copy_puts_no_answer_out_of_step() {
    let bench = Bench::new().await;
    let copy = || Batch::new().run("COPY pg_temp.counted FROM STDIN");
    let line = |line: &str| Batch::new().raw(b'd', line.as_bytes());
    let done = || Batch::new().raw(b'c', b"");
    let sync = || Batch::new().sync();
    // Behind the server's CopyInResponse.
    let scripts: Vec<(&str, Vec<Batch>)> = vec![
        ("ahead of bad data", vec![sync(), line("x\n"), done()]),
        ("twice", vec![sync(), sync(), line("x\n"), done()]),
        ("between", vec![line("1\n"), sync(), line("x\n"), sync(), done()]),
        ("behind the failure", vec![line("x\n"), sync(), sync(), done()]),
        ("and called off", vec![sync(), Batch::new().raw(b'f', b"no more\0"), sync()]),
    ];
    for (what, parts) in scripts {
        let mut session = bench.session().await;
        session.query("CREATE TEMP TABLE counted (a integer)").await;
        step(&mut session, (copy().flush(), b"GE")).await;
        session.send(parts.iter().fold(Batch::new(), Batch::and).bytes()).await;
        session.until(b"E").await;
        // One more Sync than needed may be answered; what is asked then must not be shown.
        let harmless = Batch::new().run("SELECT 'harmless'::text").sync();
        step(&mut session, (harmless, READY)).await;
        let hidden = Batch::new().run(HIDDEN).sync();
        let mut answer = step(&mut session, (hidden, READY)).await;
        while !answer.is_empty() && !answer.iter().any(|message| b"CE".contains(&message.tag)) {
            answer = session.until(READY).await;
        }
        bench.unharmed(what, &session, &answer).await;
    }
    let flushed = || {
        vec![
            (Batch::new().query("CREATE TEMP TABLE counted (a integer)"), READY),
            (copy().flush(), &b"GE"[..]),
            (sync().raw(b'd', b"1\n").sync().raw(b'd', b"2\n").raw(b'c', b"").sync(), READY),
            (Batch::new().query("SELECT count(*) FROM pg_temp.counted"), READY),
        ]
    };
    bench.same_as_direct("a Sync inside COPY", flushed).await;
    // As libpq does it: a Sync behind the Execute, and another behind the data.
    let at_once = || {
        vec![
            (Batch::new().query("CREATE TEMP TABLE counted (a integer)"), READY),
            (copy().sync(), &b"GE"[..]),
            (Batch::new().raw(b'd', b"1\n").raw(b'c', b"").sync(), READY),
            (Batch::new().query("SELECT count(*) FROM pg_temp.counted"), READY),
        ]
    };
    bench.same_as_direct("a Sync behind COPY", at_once).await;
}

/// Only this transaction sees what it has made of a view.
#[tokio::test]
async fn a_view_redefined_in_an_open_transaction_is_not_taken_for_what_it_was() {
    let bench = Bench::new().await;
    let hidden = "encode(email::bytea, 'hex') AS word FROM customers";
    let redefined = [
        vec![format!("CREATE OR REPLACE VIEW shown AS SELECT {hidden}")],
        vec![
            format!("CREATE VIEW aside AS SELECT {hidden}"),
            "ALTER VIEW shown RENAME TO away".to_owned(),
            "ALTER VIEW aside RENAME TO shown".to_owned(),
        ],
        vec![
            format!("CREATE SCHEMA nearer CREATE VIEW shown AS SELECT {hidden}"),
            "SET LOCAL search_path = nearer, public".to_owned(),
        ],
        vec![format!("CREATE TEMP VIEW shown AS SELECT {hidden}")],
    ];
    let reads =
        ["SELECT word FROM shown", "COPY (SELECT word FROM shown) TO STDOUT", "TABLE shown"];
    let mut owner = direct_session(&bench.database).await;
    owner.query("CREATE VIEW shown AS SELECT word FROM scratch").await;
    // The proxy knows the view as it was.
    let before = bench.session().await.query("SELECT word FROM shown").await;
    assert_eq!(first_column(&before).len(), 20, "{}", sequence(&before));
    for steps in &redefined {
        for read in reads {
            let mut session = bench.session().await;
            session.query("BEGIN").await;
            for definition in steps {
                let made = session.query(definition).await;
                assert_eq!(error_of(&made), None, "{definition}");
            }
            let simple = session.query(read).await;
            bench.unharmed(read, &session, &simple).await;
            let extended = session.extended(read, false).await;
            bench.unharmed(read, &session, &extended).await;
        }
    }
    let redefine = "CREATE OR REPLACE VIEW shown AS SELECT word FROM scratch WHERE id < 5";
    let committed = || {
        vec![
            (Batch::new().query("BEGIN"), READY),
            (Batch::new().query(redefine), READY),
            (Batch::new().query("COMMIT"), READY),
            (Batch::new().query("SELECT word FROM shown"), READY),
            (Batch::new().extended("SELECT word FROM shown", false), READY),
        ]
    };
    bench.same_as_direct("a view redefined and committed", committed).await;
}

/// Nor is a view redefined in the same text, or the same segment, as it is read in.
#[tokio::test]
async fn a_view_redefined_ahead_of_its_reading_is_not_taken_for_what_it_was() {
    let bench = Bench::new().await;
    let mut owner = direct_session(&bench.database).await;
    let define = |query: &str| format!("CREATE OR REPLACE VIEW shown AS {query}");
    let hidden = define("SELECT encode(email::bytea, 'hex') AS word FROM customers");
    let harmless = define("SELECT word FROM scratch");
    let read = "SELECT word FROM shown ORDER BY word";
    type Way = (&'static str, fn(&str, &str) -> Batch);
    let ways: [Way; 6] = [
        ("a transaction in one text", |define, read| {
            Batch::new().query(&format!("BEGIN; {define}; {read}"))
        }),
        ("one text", |define, read| Batch::new().query(&format!("{define}; {read}"))),
        ("two texts at once", |define, read| Batch::new().query("BEGIN").query(define).query(read)),
        ("one segment", |define, read| Batch::new().run(define).extended(read, false)),
        ("one segment, read twice", |define, read| {
            Batch::new().run(define).run(read).extended(read, true)
        }),
        ("a transaction in one segment", |define, read| {
            Batch::new().run("BEGIN").run(define).extended(read, false)
        }),
    ];
    let mut failures = Vec::new();
    for (what, way) in ways {
        owner.query(&harmless).await;
        let before = bench.session().await.query(read).await;
        assert_eq!(first_column(&before).len(), 20, "the proxy knows the view as it was");
        let mut session = bench.session().await;
        let batch = way(&hidden, read).query("ROLLBACK").query("SELECT 'the end'");
        session.send(batch.bytes()).await;
        let mut answer = Vec::new();
        while first_column(&answer) != ["the end"] {
            answer = session.until_ready().await;
            assert!(!answer.is_empty(), "{what}: the session ended");
        }
        failures.extend(bench.harm(what, &session, &answer).await);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The portal runs what the name stands for when it runs, not when it was described.
#[tokio::test]
async fn a_described_portal_of_execute_does_not_show_what_the_name_stands_for_later() {
    let bench = Bench::new().await;
    let described = || {
        Batch::new().parse("x", "EXECUTE s").bind("p", "x", &[], false).describe(b'P', "p").flush()
    };
    let redefine = ["DEALLOCATE s", &format!("PREPARE s AS {HIDDEN}")].map(str::to_owned);
    for flushed in [true, false] {
        let mut session = bench.session().await;
        session.query("BEGIN").await;
        session.query(&format!("PREPARE s AS {HARMLESS}")).await;
        step(&mut session, (described(), b"TnE")).await;
        let mut rest = Batch::new();
        for text in &redefine {
            rest = rest.run(text);
            if flushed {
                step(&mut session, (rest.flush(), FLUSHED)).await;
                rest = Batch::new();
            }
        }
        let answer = step(&mut session, (rest.execute("p", 0).sync(), READY)).await;
        bench.unharmed("a portal of EXECUTE", &session, &answer).await;
    }
    let not_redefined = || {
        vec![
            (Batch::new().query("BEGIN"), READY),
            (Batch::new().query(&format!("PREPARE s AS {HARMLESS}")), READY),
            (described(), &b"TnE"[..]),
            (Batch::new().execute("p", 0).sync(), READY),
        ]
    };
    bench.same_as_direct("a portal of EXECUTE", not_redefined).await;
}

/// The tests above are about something: past the proxy the same bytes show a value.
#[tokio::test]
async fn without_the_proxy_these_texts_mean_what_they_hide() {
    let bench = Bench::new().await;
    let mut session =
        Session::connect(([127, 0, 0, 1], bench.database.cluster.postgres.port()).into()).await;
    let who = [
        ("user", APP),
        ("database", &*bench.database.name),
        ("options", "-c client_encoding=SJIS"),
    ];
    session.try_login(PASSWORD, &who).await;
    let smuggled = b"SELECT E'\x81\x5c' || encode(email::bytea, $$hex$$) FROM customers -- '\0";
    session.exchange(Batch::new().raw(b'Q', smuggled)).await;
    assert!(bench.gives_away(&session), "encoding");
    let mut session = direct_session(&bench.database).await;
    session.exchange(Batch::new().parse(&long('x'), HIDDEN).sync()).await;
    let run = Batch::new().bind("", &long('y'), &[], false).execute("", 0).sync();
    session.exchange(run).await;
    assert!(bench.gives_away(&session), "names");
}

/// A Parse that the server refuses changes no name: what EXECUTE runs by then is what is
/// judged, whatever the client has said meanwhile.
#[tokio::test]
async fn execute_is_judged_by_what_the_server_took_the_name_for() {
    let bench = Bench::new().await;
    let harmless = "SELECT word FROM scratch ORDER BY id LIMIT 1";
    let runs: [fn(Batch) -> Batch; 3] = [
        |batch| batch.query("EXECUTE s"),
        |batch| batch.run("EXECUTE s").sync(),
        |batch| batch.parse("x", "EXECUTE s").bind("", "x", &[], false).execute("", 0).sync(),
    ];
    for run in runs {
        let mut session = bench.session().await;
        session.exchange(Batch::new().parse("s", HIDDEN).sync()).await;
        let mut answer = session.exchange(run(Batch::new().parse("s", harmless).sync())).await;
        answer.extend(session.until_ready().await);
        bench.unharmed("EXECUTE of a name that was refused", &session, &answer).await;
    }
    // In one go, and not refused.
    let mut session = bench.session().await;
    let batch = Batch::new().parse("s", "SELECT 7").sync().query("EXECUTE s");
    let mut answer = session.exchange(batch).await;
    answer.extend(session.until_ready().await);
    assert_eq!(first_column(&answer), ["7"]);
}
