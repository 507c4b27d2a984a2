//! Views that mean something else than the proxy knows: redefined a moment ago, or locked.

use end_to_end::frames::{Batch, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::{ANA, DEVELOPER};
use end_to_end::wait_until;
use end_to_end::waiting::SOON;

use super::bench::Bench;
use super::direct_session;

const REDEFINE: &str =
    "CREATE OR REPLACE VIEW shown AS SELECT encode(email::bytea, 'hex') AS word FROM customers";
const READ: &str = "SELECT word FROM shown ORDER BY word";

/// Until the view's new meaning can be seen, what is copied or carried out of it could be
/// anything.
#[tokio::test]
async fn what_a_view_redefined_shows_is_not_copied_either() {
    let bench = Bench::new().await;
    let mut owner = direct_session(&bench.database).await;
    let carry = "SELECT set_config('my.carrier', word, false) FROM shown LIMIT 1";
    let moves = [
        ("INSERT INTO scratch SELECT 100 + row_number() OVER (), word FROM shown", "scratch"),
        ("UPDATE scratch SET word = (SELECT min(word) FROM shown) WHERE id = 1", "scratch"),
        ("CREATE TABLE copied AS SELECT word FROM shown", "copied"),
        (carry, "(SELECT current_setting('my.carrier', true) AS word) AS carried"),
    ];
    type Way = fn(&str, &str) -> Vec<Batch>;
    let ways: [Way; 4] = [
        |define, moved| vec![Batch::new().query(&format!("{define}; {moved}"))],
        |define, moved| vec![Batch::new().query(define).query(moved)],
        |define, moved| vec![Batch::new().run(define).run(moved).sync()],
        |define, moved| {
            let steps = ["BEGIN", define, moved, "COMMIT"];
            steps.iter().map(|step| Batch::new().query(step)).collect()
        },
    ];
    for (moved, kept_in) in moves {
        for (index, way) in ways.iter().enumerate() {
            owner.query("CREATE OR REPLACE VIEW shown AS SELECT word FROM scratch").await;
            owner.query("DROP TABLE IF EXISTS copied").await;
            let mut session = bench.session().await;
            session.query(READ).await;
            for batch in way(REDEFINE, moved) {
                session.exchange(batch).await;
            }
            // Whatever is still to come comes first.
            session.query("ROLLBACK").await;
            let read = format!("SELECT word FROM {kept_in} ORDER BY word");
            let answer = session.query(&read).await;
            bench.unharmed(&format!("{moved}, way {index}"), &session, &answer).await;
            let mut session = bench.session().await;
            let answer = session.query(&read).await;
            bench.unharmed(&format!("{moved}, way {index}, later"), &session, &answer).await;
        }
    }
    // Who sees no mask may, and so may everybody what reads nothing.
    let mut developer = bench.portcullis.session(DEVELOPER).await;
    let mut ana = bench.session().await;
    for (session, moved) in
        [(&mut developer, moves[0].0), (&mut ana, "INSERT INTO scratch VALUES (200, 'own')")]
    {
        for step in ["BEGIN", "CREATE VIEW aside AS SELECT word FROM scratch", moved, "ROLLBACK"] {
            let answer = session.query(step).await;
            assert_eq!(error_of(&answer).and_then(|error| error.field(b'M')), None, "{step}");
        }
    }
}

/// A text sent right behind the one that redefines a view is judged when that is done.
#[tokio::test]
async fn what_is_sent_behind_a_redefinition_is_judged_behind_it() {
    let bench = Bench::new().await;
    let mut owner = direct_session(&bench.database).await;
    let ways: [fn() -> Batch; 3] = [
        || Batch::new().query(REDEFINE).query(READ),
        || Batch::new().run(REDEFINE).sync().run(READ).sync(),
        || Batch::new().run(REDEFINE).flush().extended(READ, false),
    ];
    for (index, way) in ways.iter().enumerate() {
        owner.query("CREATE OR REPLACE VIEW shown AS SELECT word FROM scratch").await;
        let mut session = bench.session().await;
        assert_eq!(first_column(&session.query(READ).await).len(), 20);
        let batch = way().query("SELECT 'the end'");
        session.send(batch.bytes()).await;
        let mut answer = Vec::new();
        while first_column(&answer) != ["the end"] {
            answer = session.until_ready().await;
            assert!(!answer.is_empty(), "way {index}: the session ended");
        }
        bench.unharmed(&format!("way {index}"), &session, &answer).await;
    }
}

/// Somebody's open transaction locks a view, and with it what reads it.
async fn locker(bench: &Bench) -> Session {
    let mut locker = direct_session(&bench.database).await;
    for step in ["CREATE VIEW mine AS SELECT 1 AS one", "BEGIN", "ALTER VIEW mine RENAME TO away"] {
        assert_eq!(error_of(&locker.query(step).await), None, "{step}");
    }
    locker
}

#[tokio::test]
async fn a_locked_view_keeps_nobody_out() {
    let bench = Bench::new().await;
    let mut owner = direct_session(&bench.database).await;
    owner.query("CREATE VIEW shown AS SELECT word FROM scratch").await;
    let mut locker = locker(&bench).await;
    // Nothing has been read of this database yet: not even the first read waits for the lock.
    for _ in 0..2 {
        let mut session = bench.session().await;
        assert_eq!(first_column(&session.query(READ).await).len(), 20);
        // The catalog is read again for the next one.
        let made = session.query("CREATE OR REPLACE VIEW aside AS SELECT 1 AS one").await;
        assert_eq!(error_of(&made), None, "{}", sequence(&made));
    }
    assert_eq!(error_of(&locker.query("ROLLBACK").await), None);
    let own = "SELECT one FROM mine";
    wait_until("the view is known once its lock is gone", SOON, async || {
        (first_column(&bench.session().await.query(own).await) == ["1"]).then_some(())
    })
    .await;
}

/// Nor does a lock keep the proxy from seeing that another view has changed.
#[tokio::test]
async fn a_locked_view_hides_no_redefinition() {
    let bench = Bench::new().await;
    let mut owner = direct_session(&bench.database).await;
    owner.query("CREATE VIEW shown AS SELECT word FROM scratch").await;
    let mut session = bench.session().await;
    assert_eq!(first_column(&session.query(READ).await).len(), 20);
    let _locker = locker(&bench).await;
    for extended in [false, true] {
        let made = session.query(REDEFINE).await;
        assert_eq!(error_of(&made), None, "{}", sequence(&made));
        let answer = match extended {
            false => session.query(READ).await,
            true => session.extended(READ, true).await,
        };
        bench.unharmed("a view redefined beside a locked one", &session, &answer).await;
        session.query("CREATE OR REPLACE VIEW shown AS SELECT word FROM scratch").await;
        assert_eq!(first_column(&session.query(READ).await).len(), 20, "and back");
    }
}

/// A view that was locked when it was to be read is unknown, and what it shows is hidden.
#[tokio::test]
async fn a_view_that_could_not_be_read_shows_nothing() {
    let bench = Bench::new().await;
    let mut locker = direct_session(&bench.database).await;
    let define = REDEFINE.replace("CREATE OR REPLACE", "CREATE");
    locker.query(&define).await;
    locker.query("BEGIN").await;
    locker.query("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await;
    let mut session = bench.portcullis.session(ANA).await;
    assert_eq!(first_column(&session.query("SELECT 1").await), ["1"]);
    for read in [READ, "SELECT word || '' AS word FROM shown", "SELECT upper(word) FROM shown"] {
        // It waits for the lock, judged while the view was unknown.
        session.send(Batch::new().query(read).bytes()).await;
        session.send(Batch::new().query("SELECT 'the end'").bytes()).await;
        wait_until("the statement waits for the lock", SOON, async || {
            let mut other = direct_session(&bench.database).await;
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND \
                           relation = 'customers'::regclass";
            (first_column(&other.query(waiting).await) == ["1"]).then_some(())
        })
        .await;
        locker.query("COMMIT").await;
        let answer = session.until_ready().await;
        session.until_ready().await;
        bench.unharmed(read, &session, &answer).await;
        assert!(sqlstate_of(&answer).is_none_or(|state| state == "42501"), "{read}");
        locker.query("BEGIN").await;
        locker.query("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await;
        // What is known of the view by now is forgotten again.
        session.query("CREATE OR REPLACE VIEW aside AS SELECT 1 AS one").await;
    }
}

/// A table that is locked when it is first asked for is not taken for an empty one.
#[tokio::test]
async fn a_table_that_could_not_be_looked_at_is_not_shown() {
    let bench = Bench::new().await;
    let read = "SELECT encode(note::bytea, 'hex') FROM customers";
    let mut locker = direct_session(&bench.database).await;
    locker.query("BEGIN").await;
    locker.query("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await;
    let mut session = bench.session().await;
    for extended in [false, true] {
        let answer = match extended {
            false => session.query(read).await,
            true => session.extended(read, false).await,
        };
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("42501"), "{}", sequence(&answer));
    }
    // What nobody has locked is read meanwhile.
    assert_eq!(first_column(&session.query("SELECT word FROM scratch").await).len(), 20);
    locker.query("COMMIT").await;
    let answer = session.query(read).await;
    assert_eq!(sqlstate_of(&answer), None, "{}", sequence(&answer));
    bench.unharmed(read, &session, &answer).await;
    assert!(first_column(&session.query("SELECT count(*) FROM customers").await) != ["0"]);
}
