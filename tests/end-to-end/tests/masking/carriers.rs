//! Functions, errors and the fast path: what carries a value out by another way than a
//! result, once a statement has read it.

use end_to_end::frames::{Batch, Message, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::leaks::Needles;
use end_to_end::portcullis::{ANA, DEVELOPER};
use end_to_end::{Database, cluster};

use super::{Way, direct_session, masked};

/// A function that puts a value somewhere, with `{}` for a text and `{n}` for a number, and
/// what must be there before.
struct Carrier {
    name: &'static str,
    before: &'static [&'static str],
    call: &'static str,
    /// Where the value could be read again.
    after: &'static str,
}

const CARRIERS: [Carrier; 10] = [
    Carrier {
        name: "set_config",
        before: &[],
        call: "set_config('my.carrier', {}, false)",
        after: "SHOW my.carrier",
    },
    Carrier {
        name: "set_config of a known parameter",
        before: &[],
        call: "pg_catalog.set_config('application_name', {}, false)",
        after: "SELECT current_setting('application_name')",
    },
    Carrier {
        name: "pg_notify",
        before: &["LISTEN carrier"],
        call: "pg_notify('carrier', {})",
        after: "SELECT 1",
    },
    Carrier {
        name: "pg_logical_emit_message",
        before: &[],
        call: "pg_logical_emit_message(false, 'carrier', {})",
        after: "SELECT 1",
    },
    Carrier {
        name: "setval",
        before: &["CREATE TEMP SEQUENCE carrier"],
        call: "setval('pg_temp.carrier', {n})",
        after: "SELECT last_value FROM pg_temp.carrier",
    },
    Carrier {
        name: "lo_from_bytea",
        before: &[],
        call: "lo_from_bytea(0, ({})::bytea)",
        after: "SELECT 1",
    },
    Carrier {
        name: "lo_put",
        before: &["DO $$ BEGIN PERFORM lo_create(70001); EXCEPTION WHEN OTHERS THEN NULL; END $$"],
        call: "lo_put(70001, 0, ({})::bytea)",
        after: "SELECT lo_get(70001)",
    },
    Carrier {
        name: "lowrite",
        before: &[
            "DO $$ BEGIN PERFORM lo_create(70001); EXCEPTION WHEN OTHERS THEN NULL; END $$",
            "BEGIN",
        ],
        call: "lowrite(lo_open(70001, 131072), ({})::bytea)",
        after: "SELECT lo_get(70001)",
    },
    Carrier {
        name: "lo_create",
        before: &["BEGIN"],
        call: "lo_create(({n})::oid)",
        after: "SELECT oid FROM pg_largeobject_metadata",
    },
    Carrier {
        name: "pg_advisory_lock",
        before: &[],
        call: "pg_advisory_lock({n})::text",
        after: "SELECT objid FROM pg_locks WHERE locktype = 'advisory'",
    },
];

/// Where a statement may have the call, with `{}` for it, and what it reads.
const PLACES: [(&str, &str); 10] = [
    ("SELECT {call} FROM customers WHERE id = 2", "email"),
    ("SELECT count(*) FROM customers WHERE id = 2 AND ({call}) IS NOT NULL", "email"),
    (
        "SELECT 1 FROM scratch WHERE id = 1 AND ({call}) IS NULL",
        "(SELECT email FROM customers WHERE id = 2)",
    ),
    ("WITH read AS (SELECT email AS e FROM customers WHERE id = 2) SELECT {call} FROM read", "e"),
    ("SELECT {call} FROM (SELECT email AS e FROM customers WHERE id = 2) AS read", "e"),
    ("SELECT s.id FROM customers c, LATERAL (SELECT {call}) AS s (id) WHERE c.id = 2", "c.email"),
    ("SELECT {call} FROM customer_contacts WHERE id = 2", "address"),
    (
        "SELECT id FROM scratch ORDER BY ({call}) IS NULL LIMIT 1",
        "(SELECT email FROM customers WHERE id = 2)",
    ),
    (
        "UPDATE scratch SET amount = 1 WHERE id = 1 AND ({call}) IS NOT NULL",
        "(SELECT email FROM customers WHERE id = 2)",
    ),
    ("EXPLAIN ANALYZE SELECT {call} FROM customers WHERE id = 2", "email"),
];

/// The call with `value` made a text or a number of.
fn filled(carrier: &Carrier, place: &str, value: &str) -> String {
    let number = format!("('x' || substr(md5({value}), 1, 7))::bit(28)::integer + 1");
    let text = format!("encode(({value})::text::bytea, 'hex')");
    place.replace("{call}", &carrier.call.replace("{n}", &number).replace("{}", &text))
}

async fn prepared(session: &mut Session, carrier: &Carrier) {
    for before in carrier.before {
        let answer = session.query(before).await;
        assert_eq!(error_of(&answer), None, "{}: {before}", carrier.name);
    }
}

#[tokio::test]
async fn no_function_carries_a_masked_value_out() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let mut failures = Vec::new();
    for carrier in &CARRIERS {
        for (place, value) in PLACES {
            let text = filled(carrier, place, value);
            for way in Way::ALL {
                let mut session = portcullis.session(ANA).await;
                prepared(&mut session, carrier).await;
                let before = session.received.len();
                let answer = way.run(&mut session, &text).await;
                if sqlstate_of(&answer).as_deref() != Some("42501") {
                    failures.push(format!("{text} ({way:?}): {}", sequence(&answer)));
                }
                session.query("ROLLBACK").await;
                session.query(carrier.after).await;
                if let Some(value) = needles.leak(&session.received[before..]) {
                    failures.push(format!("{text} ({way:?}) gave away {value}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The same calls on what nobody hides, and reads of what is hidden without such a call.
#[tokio::test]
async fn who_carries_nothing_hidden_may_carry() {
    let database = cluster().await.database().await;
    let portcullis = masked(&database).await;
    for carrier in &CARRIERS {
        let text = filled(carrier, "SELECT ({call}) IS NOT NULL FROM scratch WHERE id = 2", "word");
        for way in Way::ALL {
            let mut session = portcullis.session(ANA).await;
            prepared(&mut session, carrier).await;
            let answer = way.run(&mut session, &text).await;
            let complaint = error_of(&answer).and_then(|error| error.field(b'M'));
            assert_eq!(complaint, None, "{text} ({way:?})");
            assert!(sequence(&answer).contains("D*1 C:SELECT 1"), "{}", sequence(&answer));
        }
        let text =
            filled(carrier, "SELECT ({call}) IS NOT NULL FROM customers WHERE id = 2", "email");
        let mut developer = portcullis.session(DEVELOPER).await;
        prepared(&mut developer, carrier).await;
        let answer = developer.query(&text).await;
        assert_eq!(sqlstate_of(&answer), None, "{text}: masked for ana, not for everybody");
    }
}

/// A name prepared in one statement and run in another carries no less.
#[tokio::test]
async fn a_carrier_prepared_is_a_carrier_run() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let hidden = "set_config('my.carrier', encode(email::bytea, 'hex'), false) FROM customers";
    let harmless = "set_config('my.carrier', word, false) IS NOT NULL FROM scratch WHERE id = 1";
    let scripts: [(&[&str], &str); 3] = [
        (&["PREPARE carry AS SELECT {}", "EXECUTE carry"], "prepared"),
        (&["BEGIN", "DECLARE carry CURSOR FOR SELECT {}", "FETCH ALL FROM carry"], "declared"),
        (&["CREATE TEMP TABLE carried AS SELECT {}", "SELECT 1"], "kept"),
    ];
    for (steps, what) in scripts {
        let mut session = portcullis.session(ANA).await;
        let mut errors = 0;
        for step in steps {
            let answer = session.query(&step.replace("{}", hidden)).await;
            errors += usize::from(error_of(&answer).is_some());
        }
        session.query("ROLLBACK").await;
        session.query("SHOW my.carrier").await;
        assert_eq!(needles.leak(&session.received), None, "{what}");
        assert!(errors > 0, "{what}: nothing was refused");
        let mut session = portcullis.session(ANA).await;
        for step in steps {
            let answer = session.query(&step.replace("{}", harmless)).await;
            assert_eq!(error_of(&answer), None, "{what}");
        }
    }
}

/// A call past SQL tells nothing of its result's columns, so there is none where anything is
/// hidden.
#[tokio::test]
async fn the_fast_path_is_closed_to_who_sees_masks() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let superuser = database.superuser().await;
    let query = "SELECT oid, proname::text FROM pg_proc WHERE proname IN ('current_setting', \
                 'query_to_xml', 'abs') AND proargtypes[0]::regtype::text IN ('text', 'integer')";
    let rows = superuser.query(query, &[]).await.expect("they exist");
    let oid = |name: &str| {
        let found = rows.iter().find(|row| row.get::<_, &str>(1) == name);
        found.expect("it is built in").get::<_, u32>(0)
    };
    let xml = || {
        let arguments: [&[u8]; 4] = [b"SELECT email FROM customers", b"f", b"f", b""];
        Batch::new().function_call(oid("query_to_xml"), &arguments)
    };
    for begin in [false, true] {
        // Nothing has been asked for yet, so that nothing is known of any column.
        let mut session = portcullis.session(ANA).await;
        if begin {
            session.query("BEGIN").await;
        }
        let answer = session.exchange(xml()).await;
        assert_eq!(needles.leak(&session.received), None, "{}", sequence(&answer));
        let state = if begin { "Z:E" } else { "Z:I" };
        assert!(sequence(&answer).starts_with("E:"), "{}", sequence(&answer));
        assert!(sequence(&answer).ends_with(state), "{}", sequence(&answer));
        session.query("ROLLBACK").await;
        assert_eq!(first_column(&session.query("SELECT 1").await), ["1"]);
        // In a batch with what is allowed, nothing comes out of step.
        let abs = Batch::new().function_call(oid("abs"), &[b"-7"]);
        session.send(&[abs.bytes(), Batch::new().query("SELECT 2").bytes()].concat()).await;
        assert!(sequence(&session.until_ready().await).starts_with("E:"));
        assert_eq!(first_column(&session.until_ready().await), ["2"]);
    }
    let mut developer = portcullis.session(DEVELOPER).await;
    let answer = developer.exchange(xml()).await;
    assert_eq!(sequence(&answer), "V Z:I", "who sees everything may call");
    assert!(needles.leak(&developer.received).is_some(), "and sees everything");
}

/// Two tables of accounts, one known by a masked value and one by a number, with references
/// that are checked only when the transaction ends.
const DEFERRED: &str = "
    CREATE TABLE accounts (id integer PRIMARY KEY, email text UNIQUE);
    INSERT INTO accounts SELECT id, email FROM ONLY customers;
    CREATE TABLE logins (email text REFERENCES accounts (email) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO logins SELECT email FROM accounts;
    CREATE TABLE places (id integer PRIMARY KEY);
    INSERT INTO places SELECT id FROM scratch;
    CREATE TABLE visits (id integer REFERENCES places (id) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO visits SELECT id FROM places;";

/// Moments at which a deferred constraint is checked, behind the statement that breaks it.
fn moments(delete: &str) -> Vec<(&'static str, Vec<Batch>)> {
    let query = |text: &str| Batch::new().query(text);
    vec![
        ("at the end of the statement", vec![query(delete)]),
        ("at the end of the text", vec![query(&format!("{delete}; SELECT 1"))]),
        ("at COMMIT", vec![query("BEGIN"), query(delete), query("SELECT 1"), query("COMMIT")]),
        ("at COMMIT in the same text", vec![query(&format!("BEGIN; {delete}; COMMIT"))]),
        ("at Sync", vec![Batch::new().run(delete).sync()]),
        ("at a later Sync", vec![Batch::new().run(delete).run("SELECT 1").flush().sync()]),
        (
            "at an extended COMMIT",
            vec![Batch::new().run("BEGIN").run(delete).sync(), Batch::new().run("COMMIT").sync()],
        ),
        (
            "when asked for",
            vec![query("BEGIN"), query(delete), query("SET CONSTRAINTS ALL IMMEDIATE")],
        ),
        (
            "behind a savepoint",
            vec![
                query("BEGIN"),
                query("SAVEPOINT s"),
                query(delete),
                query("RELEASE s"),
                query("COMMIT"),
            ],
        ),
        (
            "in a pipeline",
            vec![Batch::new().run("BEGIN").run(delete).run("COMMIT").run("SELECT 1").sync()],
        ),
    ]
}

async fn last_answer(session: &mut Session, batches: Vec<Batch>) -> Vec<Message> {
    let mut answer = Vec::new();
    for batch in batches {
        answer = session.exchange(batch).await;
    }
    answer
}

#[tokio::test]
async fn a_deferred_error_quotes_nothing_that_is_hidden() {
    let database = deferred().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let hidden = "DELETE FROM accounts WHERE id = 3";
    let mut direct = direct_session(&database).await;
    last_answer(&mut direct, moments(hidden).remove(0).1).await;
    assert!(needles.leak(&direct.received).is_some(), "the server's own error does quote");
    for (what, batches) in moments(hidden) {
        let mut session = portcullis.session(ANA).await;
        let answer = last_answer(&mut session, batches).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("23503"), "{what}: {}", sequence(&answer));
        assert_eq!(needles.leak(&session.received), None, "{what}");
        let table = error_of(&answer).and_then(|error| error.field(b't'));
        assert_eq!(table.as_deref(), Some("logins"), "{what}: names are no values");
    }
    // What was withheld in one transaction is not in the next.
    let mut session = portcullis.session(ANA).await;
    session.query(hidden).await;
    let next = session.query("SELECT 'word'::integer").await;
    let message = error_of(&next).and_then(|error| error.field(b'M')).unwrap_or_default();
    assert!(message.contains("\"word\""), "{message}");
}

#[tokio::test]
async fn a_deferred_error_about_what_is_shown_is_told_whole() {
    let database = deferred().await;
    let portcullis = masked(&database).await;
    let count = moments("").len();
    for index in 0..count {
        let shown = || moments("DELETE FROM places WHERE id = 3").remove(index);
        let (what, batches) = shown();
        let direct = last_answer(&mut direct_session(&database).await, batches).await;
        let mut session = portcullis.session(ANA).await;
        let proxied = last_answer(&mut session, shown().1).await;
        assert_eq!(sequence(&proxied), sequence(&direct), "{what}");
        assert_eq!(error_of(&proxied), error_of(&direct), "{what}");
    }
}

async fn deferred() -> Database {
    let database = cluster().await.database().await;
    let mut owner = direct_session(&database).await;
    let made = owner.query(DEFERRED).await;
    assert_eq!(error_of(&made), None);
    database
}
