//! Texts that the server has read under other settings than those of now.

use end_to_end::cluster;
use end_to_end::frames::{Batch, first_column, sequence, sqlstate_of};

use super::bench::Bench;

/// With backslashes as escapes it reads what is hidden, and without them it is a constant.
const TWOFOLD: &str = r"SELECT '\'' || reverse(email) FROM customers --'";
const OFF: &str = "SET standard_conforming_strings = off";
const ON: &str = "SET standard_conforming_strings = on";

/// The server goes on with what it took a text for when it was prepared.
#[tokio::test]
async fn what_was_read_otherwise_is_not_run() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    let run = |name: &str| Batch::new().bind("", name, &[], false).execute("", 0).sync();
    for (first, then) in [(OFF, ON), (ON, OFF)] {
        session.query(first).await;
        let prepared = session.exchange(Batch::new().parse("s", TWOFOLD).sync()).await;
        assert_eq!(sequence(&prepared), "1 Z:I", "{first}");
        session.query(then).await;
        let answer = session.exchange(run("s")).await;
        bench.unharmed(first, &session, &answer).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("55000"), "{}", sequence(&answer));
        // Under the settings of then it is what it was, and prepared again it is something else.
        session.query(first).await;
        let answer = session.exchange(run("s")).await;
        assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
        bench.unharmed(first, &session, &answer).await;
        session.query(then).await;
        session.exchange(Batch::new().close(b'S', "s").sync()).await;
        let again = session.exchange(Batch::new().parse("s", TWOFOLD).sync()).await;
        assert_eq!(sequence(&again), "1 Z:I");
        let answer = session.exchange(run("s")).await;
        assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
        bench.unharmed(first, &session, &answer).await;
        session.exchange(Batch::new().close(b'S', "s").sync()).await;
    }
    // What holds no backslash is read the same.
    session.exchange(Batch::new().parse("plain", "SELECT 'plain'::text").sync()).await;
    session.query(ON).await;
    assert_eq!(first_column(&session.exchange(run("plain")).await), ["plain"]);
}

/// How it reads strings the server reports whenever it is ready, also where names may lead
/// elsewhere and nobody could ask it.
#[tokio::test]
async fn what_was_prepared_behind_a_set_goes_on() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    let run = |name: &str| Batch::new().bind("", name, &[], false).execute("", 0).sync();
    session.query("BEGIN").await;
    session.query("SET search_path = public").await;
    let prepared = session.exchange(Batch::new().parse("s", r"SELECT '\d'::text").sync()).await;
    assert_eq!(sequence(&prepared), "1 Z:T");
    assert_eq!(first_column(&session.exchange(run("s")).await), [r"\d"]);
    session.query("CREATE TABLE made_meanwhile ()").await;
    session.query("COMMIT").await;
    assert_eq!(first_column(&session.exchange(run("s")).await), [r"\d"]);
}

/// What ends a transaction takes a setting back, an error too, and that is told only behind it.
#[tokio::test]
async fn a_setting_that_may_be_taken_back_is_not_counted_on() {
    let bench = Bench::new().await;
    for local in [OFF, ON].map(|set| set.replace("SET", "SET LOCAL")) {
        for batch in [
            Batch::new().run("ROLLBACK").run(TWOFOLD).sync(),
            Batch::new().query("SELECT 1/0").query(&format!("ROLLBACK; {TWOFOLD}")),
        ] {
            let mut session = bench.session().await;
            session.query(if local.ends_with("off") { ON } else { OFF }).await;
            session.query("BEGIN").await;
            session.query(&local).await;
            session.send(batch.bytes()).await;
            // Another Sync, for what has two answers and for what has one.
            session.send(Batch::new().sync().bytes()).await;
            let mut answer = session.until_ready().await;
            answer.extend(session.until_ready().await);
            bench.unharmed(&local, &session, &answer).await;
        }
    }
}

/// EXECUTE sets what it names sets, before the server tells.
#[tokio::test]
async fn a_setting_made_by_name_is_not_counted_on() {
    // The guard would refuse it already.
    let bench = Bench::masking_alone().await;
    for (first, then) in [(ON, "off"), (OFF, "on")] {
        let mut session = bench.session().await;
        session.query(first).await;
        let set = format!("SELECT set_config('standard_conforming_strings', '{then}', false)");
        session.query(&format!("PREPARE p AS {set}")).await;
        let batch = Batch::new().run("EXECUTE p").run(TWOFOLD).sync();
        let answer = session.exchange(batch).await;
        bench.unharmed(first, &session, &answer).await;
    }
}

/// An encoding that was set in a transaction is another behind its end, and a name with it.
#[tokio::test]
async fn an_encoding_that_may_be_taken_back_is_not_counted_on() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    for end in ["ROLLBACK", "COMMIT"] {
        session.query("BEGIN").await;
        session.query("SET LOCAL client_encoding = 'LATIN1'").await;
        let batch = Batch::new().run(end).run("SELECT 'é'::text").sync();
        let answer = session.exchange(batch).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("22021"), "{}", sequence(&answer));
        // Behind its Sync it waits for what the server tells.
        session.query("BEGIN").await;
        session.query("SET LOCAL client_encoding = 'LATIN1'").await;
        session.send(Batch::new().run(end).sync().run("SELECT 'é'::text").sync().bytes()).await;
        session.until_ready().await;
        assert_eq!(first_column(&session.until_ready().await), ["é"]);
    }
}

/// In a transaction the server's word counts as soon as nothing runs that could take it back.
#[tokio::test]
async fn a_setting_made_in_a_transaction_is_counted_on() {
    let bench = Bench::new().await;
    let mut session = bench.session().await;
    session.query("BEGIN").await;
    session.query("SET LOCAL standard_conforming_strings = off").await;
    session.send(Batch::new().query("SELECT 1").query(r"SELECT 'it\'s é'::text").bytes()).await;
    session.until_ready().await;
    assert_eq!(first_column(&session.until_ready().await), ["it's é"]);
    let batch = Batch::new().run("SET LOCAL search_path = public").run("SELECT 'é'::text").sync();
    assert_eq!(sqlstate_of(&session.exchange(batch).await).as_deref(), Some("22021"));
    session.query("ROLLBACK").await;
    // A path alone says nothing of encodings.
    session.query("BEGIN").await;
    let batch = Batch::new().run("SET LOCAL search_path = public").run("SELECT 'é'::text").sync();
    let answer = session.exchange(batch).await;
    assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
}

/// What a failed transaction kept from being prepared anew is read as the server reads it then.
#[tokio::test]
async fn what_is_sent_again_is_read_again() {
    // The guard would refuse the block already.
    let bench = Bench::masking_alone().await;
    let commit = Batch::new().run("COMMIT").flush();
    let bind = |name: &str| Batch::new().bind("", name, &[], false);
    let mut session = bench.session().await;
    session.query(ON).await;
    session.exchange(Batch::new().parse("s", TWOFOLD).sync()).await;
    session.query("DO $$ BEGIN END $$").await;
    for set in [OFF, "BEGIN", "SET LOCAL standard_conforming_strings = on", "SAVEPOINT a"] {
        session.query(set).await;
    }
    session.query("SELECT 1/0").await;
    let refused = session.exchange(bind("s").sync()).await;
    assert_eq!(sqlstate_of(&refused).as_deref(), Some("25P02"), "{}", sequence(&refused));
    session.query("ROLLBACK TO a").await;
    session.send(commit.bytes()).await;
    session.until(b"C").await;
    let answer = session.exchange(bind("s").execute("", 0).sync()).await;
    bench.unharmed("behind COMMIT", &session, &answer).await;
}

/// Describe sends it again as well, and asks nobody what it means.
#[tokio::test]
async fn what_was_sent_again_to_be_described_is_read_again() {
    let bench = Bench::masking_alone().await;
    let mut session = bench.session().await;
    session.query(ON).await;
    session.exchange(Batch::new().parse("s", TWOFOLD).sync()).await;
    session.query("DO $$ BEGIN END $$").await;
    for set in [OFF, "BEGIN", "SET LOCAL standard_conforming_strings = on"] {
        session.query(set).await;
    }
    let commit = Batch::new().parse("c", "COMMIT").bind("pc", "c", &[], false).sync();
    session.exchange(commit).await;
    session.send(Batch::new().execute("pc", 0).flush().bytes()).await;
    session.until(b"C").await;
    session.exchange(Batch::new().describe(b'S', "s").sync()).await;
    session.query(ON).await;
    let run = Batch::new().bind("", "s", &[], false).execute("", 0).sync();
    let answer = session.exchange(run).await;
    bench.unharmed("behind Describe", &session, &answer).await;
    assert_eq!(sqlstate_of(&answer).as_deref(), Some("55000"), "{}", sequence(&answer));
}

/// One table's name is another's in another encoding.
#[tokio::test]
async fn a_name_is_looked_up_in_the_encoding_that_it_is_sent_in() {
    let bench = Bench::masking_alone().await;
    for (hidden, decoy) in [("Ã©", "é"), ("ü", "Ã¼"), ("клиенты", "êëèåíòû")] {
        let hidden = format!("CREATE TABLE \"{hidden}\" AS SELECT email AS word FROM customers");
        let decoy = format!("CREATE TABLE \"{decoy}\" AS SELECT ''::text AS word");
        bench.make(&[&*hidden, &*decoy]).await;
    }
    // In UTF-8 the bytes of the first would be its decoy's name; in LATIN1 those of the third.
    // That of the second, decoded twice, would be its decoy's.
    let names: [(&str, &[u8]); 4] = [
        ("UTF8", "Ã©".as_bytes()),
        ("LATIN1", &[0xc3, 0xa9]),
        ("LATIN1", &[0xfc]),
        ("WIN1251", &[0xea, 0xeb, 0xe8, 0xe5, 0xed, 0xf2, 0xfb]),
    ];
    for (encoding, name) in names {
        let mut session = bench.session().await;
        session.query(&format!("SET client_encoding = '{encoding}'")).await;
        let read = in_bytes("SELECT encode(word::bytea, 'hex') FROM \"#\"", name);
        let declare = [b"DECLARE c CURSOR FOR ", &*read].concat();
        let mut answer = session.exchange(query(&read)).await;
        session.query("BEGIN").await;
        answer.extend(session.exchange(query(&declare)).await);
        answer.extend(session.query("FETCH ALL FROM c").await);
        bench.unharmed(encoding, &session, &answer).await;
        if encoding != "WIN1251" {
            assert_eq!(sqlstate_of(&answer), None, "{encoding}: {}", sequence(&answer));
        }
    }
}

/// A path is told in the session's encoding.
#[tokio::test]
async fn a_path_is_read_in_the_encoding_that_it_is_told_in() {
    let bench = Bench::masking_alone().await;
    let made = [
        "CREATE SCHEMA \"donnÃ©es\"",
        "CREATE TABLE \"donnÃ©es\".words AS SELECT email AS word FROM customers",
        "CREATE SCHEMA \"données\"",
        "CREATE TABLE \"données\".words AS SELECT ''::text AS word",
        "CREATE TABLE words AS SELECT ''::text AS word",
    ];
    bench.make(&made).await;
    for encoding in ["LATIN1", "WIN1252"] {
        let mut session = bench.session().await;
        session.query(&format!("SET client_encoding = '{encoding}'")).await;
        let set = in_bytes("SET search_path = \"donn#es\", public", &[0xc3, 0xa9]);
        session.exchange(query(&set)).await;
        let answer = session.query("SELECT encode(word::bytea, 'hex') FROM words").await;
        bench.unharmed(encoding, &session, &answer).await;
        let path = session.query("SHOW search_path").await;
        assert_eq!(sqlstate_of(&path), None, "{}", sequence(&path));
    }
}

/// Of letters that nobody knows here two names may be one to the server, and one name two.
#[tokio::test]
async fn names_that_cannot_be_read_explain_nothing() {
    let bench = Bench::masking_alone().await;
    // The 22nd letter counts for the server, which has two bytes for each.
    let long = [0xe9; 22];
    let texts = [
        in_bytes(
            &format!(
                "SELECT (SELECT \"#\" FROM (SELECT w AS U&\"\\0439\" FROM {HEX} h) i) FROM \
                 (SELECT ''::text AS \"#\") o"
            ),
            &[0xe9],
        ),
        in_bytes(&two_names("\"#a\"", "\"#b\""), &long),
    ];
    for text in texts {
        let set = "SET client_encoding = 'WIN1251'";
        gives_away_only_directly(&bench, &[set.as_bytes(), &text]).await;
    }
    // A literal may hold them: the guard denies what is opaque.
    let guarded = Bench::new().await;
    let mut session = guarded.session().await;
    session.query("SET client_encoding = 'WIN1251'").await;
    for (text, sqlstate) in [("SELECT length('#')", None), ("SELECT 1 AS \"#\"", Some("42501"))] {
        let answer = session.exchange(query(&in_bytes(text, &[0xe9]))).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), sqlstate, "{}", sequence(&answer));
    }
}

/// Where the server keeps names in another encoding it cuts them elsewhere.
#[tokio::test]
async fn names_of_a_database_in_another_encoding_explain_nothing() {
    let database = cluster().await.database_in("LATIN1").await;
    let portcullis = super::masked(&database).await;
    let bench = Bench::of(database, portcullis).await;
    let written = "é".repeat(40);
    let escaped = "\\00e9".repeat(40);
    let prepared = format!("PREPARE U&\"{escaped}b\" AS SELECT w FROM {HEX} AS hidden");
    for texts in [
        &[&*two_names(&format!("\"{written}a\""), &format!("\"{written}b\""))][..],
        &[&*two_names(&format!("U&\"{escaped}a\""), &format!("U&\"{escaped}b\""))],
        &[
            &*prepared,
            &format!("PREPARE U&\"{escaped}a\" AS SELECT ''::text"),
            &format!("EXECUTE U&\"{escaped}b\""),
        ],
    ] {
        let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        gives_away_only_directly(&bench, &texts).await;
    }
    let mut session = bench.session().await;
    assert_eq!(first_column(&session.query("SELECT length('é')").await), ["1"]);
}

/// Addresses in a form that no inspection of content knows.
const HEX: &str = "(SELECT encode(email::bytea, 'hex') AS w FROM customers LIMIT 1)";

/// What is hidden is read under the second name, and the first has nothing.
fn two_names(first: &str, second: &str) -> String {
    format!("SELECT {second}.w FROM (SELECT ''::text AS w) {first}, {HEX} {second}")
}

/// The texts mean what they are meant to mean to the server.
async fn gives_away_only_directly(bench: &Bench, texts: &[&[u8]]) {
    let what = String::from_utf8_lossy(&texts.concat()).into_owned();
    let mut direct = super::direct_session(&bench.database).await;
    let mut session = bench.session().await;
    let mut answer = Vec::new();
    for text in texts {
        direct.exchange(query(text)).await;
        answer = session.exchange(query(text)).await;
    }
    assert!(bench.gives_away(&direct), "{what} gives nothing away");
    bench.unharmed(&what, &session, &answer).await;
}

/// A text with these bytes for each `#`.
fn in_bytes(text: &str, bytes: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.split('#').map(str::as_bytes).collect();
    parts.join(bytes)
}

fn query(text: &[u8]) -> Batch {
    Batch::new().raw(b'Q', &[text, b"\0"].concat())
}
