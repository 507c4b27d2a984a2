//! What a guardrail refuses stays refused, however it is put; and a refusal leaves session
//! and transaction exactly as PostgreSQL's own error would.

mod agents;
mod attacks;

use end_to_end::cluster::APP;
use end_to_end::frames::{Batch, Message, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{DEVELOPER, PASSWORD};
use end_to_end::{Database, Portcullis, Setup, cluster};

use attacks::{HARMFUL, HARMLESS, Harmful};

/// The shipped guardrail alone, as it comes.
async fn guarded(database: &Database) -> Portcullis {
    Setup::new(database)
        .unmatched("allow")
        .policy("10-guard.toml", "sql_guard.wasm", "")
        .start()
        .await
}

async fn direct_session(database: &Database) -> Session {
    let address = ([127, 0, 0, 1], database.cluster.postgres.port()).into();
    Session::login(address, APP, PASSWORD, &database.name).await
}

async fn run(session: &mut Session, statement: &str, extended: bool) -> Vec<Message> {
    if extended { session.extended(statement, false).await } else { session.query(statement).await }
}

/// What a statement could have changed: schema, data, roles and settings.
async fn state_of(database: &Database) -> Result<String, String> {
    let client = database.superuser().await;
    let query = "
      SELECT concat_ws(';',
        (SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c),
        (SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o),
        (SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM scratch s),
        (SELECT count(*) FROM access_log), (SELECT count(*) FROM employees),
        (SELECT string_agg(relname || relkind::text || relnatts::text, ',' ORDER BY oid) FROM pg_class
          WHERE relnamespace = 'public'::regnamespace),
        (SELECT string_agg(proname, ',' ORDER BY oid) FROM pg_proc
          WHERE pronamespace = 'public'::regnamespace),
        (SELECT string_agg(extname, ',' ORDER BY oid) FROM pg_extension),
        (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting),
        (SELECT string_agg(rolname || rolsuper::text, ',' ORDER BY oid) FROM pg_roles
          WHERE rolname NOT LIKE 'verifier%'))";
    let state = client.query_one(query, &[]).await.map_err(|error| format!("{error:?}"))?;
    Ok(state.get(0))
}

/// Runs one attack and says what got past.
async fn got_past(portcullis: &Portcullis, attack: &Harmful, extended: bool) -> Option<String> {
    let before = state_of(portcullis.database()).await;
    let mut session = portcullis.session(DEVELOPER).await;
    let mut refused = false;
    for step in attack.steps {
        let answer = run(&mut session, step, extended).await;
        if answer.last().is_none_or(|message| message.tag != b'Z') {
            return Some(format!("the session ended at {step}: {}", sequence(&answer)));
        }
        refused |= sqlstate_of(&answer).as_deref() == Some("42501")
            && error_of(&answer).and_then(|error| error.field(b'D')).is_some();
    }
    session.query("ROLLBACK").await;
    let alive = first_column(&session.query("SELECT 'alive'").await);
    if alive != ["alive"] {
        return Some("the session does not go on".to_owned());
    }
    let after = state_of(portcullis.database()).await;
    if after != before {
        return Some(format!("it changed the database from {before:?} to {after:?}"));
    }
    (attack.must_refuse && !refused).then(|| "nothing was refused".to_owned())
}

#[tokio::test]
async fn no_statement_gets_past() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let mut failures = Vec::new();
    for attack in HARMFUL {
        for extended in [false, true] {
            if let Some(failure) = got_past(&portcullis, attack, extended).await {
                failures.push(format!("{:?} (extended {extended}): {failure}", attack.steps));
                // What it broke must not count against the next.
                if failure.contains("changed") {
                    let text = failures.join("\n");
                    panic!("{} failures, the last one for good:\n{text}", failures.len());
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn ordinary_statements_pass_unharmed() {
    let proxied_database = cluster().await.database().await;
    let direct_database = cluster().await.database().await;
    let portcullis = guarded(&proxied_database).await;
    let mut failures = Vec::new();
    for steps in HARMLESS {
        for extended in [false, true] {
            let mut direct = direct_session(&direct_database).await;
            let mut proxied = portcullis.session(DEVELOPER).await;
            for step in *steps {
                let expected = sequence(&run(&mut direct, step, extended).await);
                let answer = run(&mut proxied, step, extended).await;
                if sequence(&answer) != expected {
                    let why = error_of(&answer).and_then(|error| error.field(b'M'));
                    let got = sequence(&answer);
                    failures.push(format!(
                        "{step} (extended {extended}): {got}, not {expected} {why:?}"
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The denied statement, and a syntax error in its place for PostgreSQL itself.
const DENIED: &str = "DROP TABLE scratch";
const BROKEN: &str = "DROP TABEL scratch";

/// Sends the same batches to both, `$X` being the denied statement to one and the broken one
/// to the other, and compares the sequences with the codes made equal.
async fn check_sequence(name: &str, batches: &[fn(&str) -> Batch]) {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let mut proxied = portcullis.session(DEVELOPER).await;
    let mut direct = direct_session(&database).await;
    for (number, batch) in batches.iter().enumerate() {
        let mut seen = Vec::new();
        for (session, statement) in [(&mut proxied, DENIED), (&mut direct, BROKEN)] {
            let batch = batch(statement);
            session.send(batch.bytes()).await;
            let mut answer = Vec::new();
            for _ in 0..expected_ready(&batch) {
                answer.extend(session.until_ready().await);
            }
            // Another answer, had it come, would be here by now.
            answer.extend(session.query("SELECT 'end of batch'").await);
            seen.push(sequence(&answer));
        }
        let expected = seen[1].replace("42601", "42501");
        assert_eq!(seen[0], expected, "{name}, batch {number}");
    }
}

/// Every Query and Sync is answered by one ReadyForQuery: these batches keep to that.
fn expected_ready(batch: &Batch) -> usize {
    let mut rest = batch.bytes();
    let mut count = 0;
    while let [tag, a, b, c, d, ..] = *rest {
        count += usize::from(tag == b'Q' || tag == b'S');
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        rest = &rest[length + 1..];
    }
    count
}

#[tokio::test]
async fn a_refused_query_leaves_what_a_syntax_error_leaves() {
    check_sequence("idle", &[|x| Batch::new().query(x)]).await;
    check_sequence(
        "in a transaction",
        &[
            |_| Batch::new().query("BEGIN"),
            |x| Batch::new().query(x),
            |_| Batch::new().query("SELECT 1"),
            |_| Batch::new().query("COMMIT"),
            |_| Batch::new().query("SELECT 1"),
        ],
    )
    .await;
    check_sequence(
        "behind a savepoint",
        &[
            |_| Batch::new().query("BEGIN").query("SAVEPOINT here"),
            |x| Batch::new().query(x),
            |_| Batch::new().query("ROLLBACK TO here"),
            |_| Batch::new().query("COMMIT"),
        ],
    )
    .await;
    check_sequence("first of several", &[|x| Batch::new().query(&format!("{x}; SELECT 1"))]).await;
    check_sequence("last of several", &[|x| Batch::new().query(&format!("SELECT 1; {x}"))]).await;
    check_sequence("BEGIN before it", &[|x| Batch::new().query(&format!("BEGIN; {x}"))]).await;
    check_sequence(
        "a write before it",
        &[
            |x| Batch::new().query(&format!("UPDATE scratch SET word = 'new' WHERE id = 1; {x}")),
            |_| Batch::new().query("SELECT 1 FROM scratch WHERE word = 'new'"),
        ],
    )
    .await;
    check_sequence(
        "queries pipelined",
        &[|x| Batch::new().query("SELECT 1").query(x).query("SELECT 2")],
    )
    .await;
}

#[tokio::test]
async fn a_refused_parse_leaves_what_a_syntax_error_leaves() {
    check_sequence("one statement", &[|x| Batch::new().extended(x, false)]).await;
    check_sequence(
        "named",
        &[
            |x| Batch::new().parse("s", x).sync(),
            |_| Batch::new().bind("", "s", &[], false).execute("", 0).sync(),
            |_| Batch::new().parse("s", "SELECT 1").bind("", "s", &[], false).execute("", 0).sync(),
        ],
    )
    .await;
    check_sequence(
        "in the middle of a pipeline",
        &[|x| {
            Batch::new()
                .parse("a", "SELECT 1")
                .bind("a", "a", &[], false)
                .execute("a", 0)
                .parse("b", x)
                .bind("b", "b", &[], false)
                .execute("b", 0)
                .parse("c", "SELECT 3")
                .bind("c", "c", &[], false)
                .execute("c", 0)
                .sync()
                .extended("SELECT 4", false)
        }],
    )
    .await;
    check_sequence(
        "in a transaction",
        &[
            |_| Batch::new().extended("BEGIN", false),
            |x| {
                Batch::new()
                    .extended("SELECT 1", false)
                    .extended(x, false)
                    .extended("SELECT 2", false)
            },
            |_| Batch::new().extended("ROLLBACK", false),
        ],
    )
    .await;
    check_sequence(
        "twice before one Sync",
        &[|x| Batch::new().parse("", x).parse("", x).describe(b'S', "").execute("", 0).sync()],
    )
    .await;
    check_sequence(
        "after an earlier failure",
        &[|x| Batch::new().parse("", "SELECT nope").parse("", x).execute("", 0).sync()],
    )
    .await;
    check_sequence(
        "under a name already known",
        &[
            |_| Batch::new().parse("s", "SELECT 'known'").sync(),
            |x| Batch::new().parse("s", x).sync(),
            |_| Batch::new().bind("", "s", &[], false).execute("", 0).sync(),
        ],
    )
    .await;
    check_sequence(
        "a portal left over",
        &[
            |x| {
                Batch::new()
                    .parse("", "SELECT generate_series(1, 3)")
                    .bind("p", "", &[], false)
                    .execute("p", 1)
                    .parse("", x)
                    .sync()
            },
            |_| Batch::new().execute("p", 1).sync(),
        ],
    )
    .await;
    check_sequence("described", &[|x| Batch::new().parse("s", x).describe(b'S', "s").sync()]).await;
}

/// A refusal says who refused, why, what to do and where to look it up.
#[tokio::test]
async fn a_refusal_explains_itself() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let mut session = portcullis.session(DEVELOPER).await;
    let answer = session.query(DENIED).await;
    let error = error_of(&answer).expect("it is refused");
    assert_eq!(error.field(b'S').as_deref(), Some("ERROR"));
    assert_eq!(error.field(b'C').as_deref(), Some("42501"));
    let detail = error.field(b'D').expect("a detail");
    assert!(detail.contains("10-guard"), "the detail names the policy: {detail}");
    let ledger = portcullis.ledger();
    let refused = ledger.intents("DROP TABLE").pop().expect("it is recorded");
    let event = refused["event"].as_str().expect("an event id");
    assert!(detail.contains(event), "the detail names the event {event}: {detail}");
    assert_eq!(refused["decision"], "denied");
    assert!(error.field(b'M').is_some_and(|reason| reason.len() > 10), "a reason");
}

/// The unnamed statement and known names survive a refusal, as they survive an error.
#[tokio::test]
async fn names_survive_a_refusal() {
    let database = cluster().await.database().await;
    let portcullis = guarded(&database).await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.exchange(Batch::new().parse("kept", "SELECT 'kept'").sync()).await;
    let answer = session.exchange(Batch::new().parse("bad", DENIED).sync()).await;
    assert_eq!(sequence(&answer), "E:42501 Z:I");
    let again = Batch::new().bind("", "kept", &[], false).execute("", 0).sync();
    assert_eq!(first_column(&session.exchange(again).await), ["kept"]);
    let unknown = Batch::new().bind("", "bad", &[], false).execute("", 0).sync();
    assert_eq!(sqlstate_of(&session.exchange(unknown).await).as_deref(), Some("26000"));
}

/// An empty policy directory refuses, and so does the removal of the last guardrail.
#[tokio::test]
async fn what_nothing_matches_is_refused() {
    let database = cluster().await.database().await;
    let empty = Setup::new(&database).start().await;
    let answer = empty.session(DEVELOPER).await.query("SELECT 1").await;
    assert_eq!(sqlstate_of(&answer).as_deref(), Some("42501"), "{}", sequence(&answer));
    let portcullis = Setup::new(&database)
        .policy("10-guard.toml", "sql_guard.wasm", "")
        .policy("50-pii.toml", "pii_mask.wasm", "")
        .start()
        .await;
    let mut session = portcullis.session(DEVELOPER).await;
    assert_eq!(sequence(&session.query("SELECT 1").await), "T D*1 C:SELECT 1 Z:I");
    for file in ["10-guard.toml", "sql_guard.wasm"] {
        std::fs::remove_file(portcullis.plugins().join(file)).expect("it was there");
    }
    end_to_end::wait_until("its removal is in force", end_to_end::waiting::SOON, async || {
        let answer = session.query("SELECT 1").await;
        (sqlstate_of(&answer).as_deref() == Some("42501")).then_some(())
    })
    .await;
}
