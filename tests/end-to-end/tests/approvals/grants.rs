//! What a grant covers: one message of one session, once, with the values bound to it.

use end_to_end::frames::{Batch, Session, first_column, sequence};
use end_to_end::portcullis::{BOT, DEVELOPER};
use end_to_end::{Portcullis, cluster};
use serde_json::json;

use super::{
    HOLD, LEA, RISKY, UNTOUCHED, approval, ask, complaint, decide, goes_on, grant, held, holding,
    pending, total, until_held,
};

/// Takes a number, and adds it to twenty rows.
const BY: &str = "UPDATE scratch SET amount = amount + $1::numeric";
/// The same shape in another text.
const LESS: &str = "UPDATE scratch SET amount = amount - $1::numeric";

fn prepare(name: &str, text: &str) -> Batch {
    Batch::new().parse(name, text)
}

fn run_bound(batch: Batch, name: &str, value: &str) -> Batch {
    batch.bind("", name, &[value], false).execute("", 0).sync()
}

async fn grant_and_read(portcullis: &Portcullis, session: &mut Session, id: &str) -> String {
    grant(portcullis, id).await;
    sequence(&session.until_ready().await)
}

async fn refuse_and_read(portcullis: &Portcullis, session: &mut Session, id: &str) -> String {
    let (status, said) = decide(portcullis, LEA, id, "refuse", json!({})).await;
    assert_eq!(status, 200, "{said:#}");
    sequence(&session.until_ready().await)
}

/// What it is, and the messages.
type Second = (&'static str, fn() -> Batch);

/// After one was granted and ran, none of these passes on that grant.
#[tokio::test]
async fn a_grant_is_used_up() {
    let portcullis = held().await;
    let second: [Second; 6] = [
        ("the same Bind", || run_bound(Batch::new(), "add", "1")),
        ("another value", || run_bound(Batch::new(), "add", "1000")),
        ("the same value, written otherwise", || run_bound(Batch::new(), "add", "01")),
        ("another text under the name", || {
            run_bound(Batch::new().close(b'S', "add").parse("add", LESS), "add", "1")
        }),
        ("the same text without a name", || run_bound(prepare("", BY), "", "1")),
        ("another portal", || Batch::new().bind("p", "add", &["1"], false).execute("p", 0).sync()),
    ];
    let mut expected = UNTOUCHED;
    for (what, second) in second {
        let mut session = portcullis.session(DEVELOPER).await;
        let first = ask(&mut session, run_bound(prepare("add", BY), "add", "1")).await;
        let answer = grant_and_read(&portcullis, &mut session, &first.id).await;
        assert_eq!(answer, "1 2 C:UPDATE 20 Z:I", "{what}");
        expected += 20;
        let anew = ask(&mut session, second()).await;
        assert_ne!(anew.id, first.id, "{what}");
        // The first cannot be granted again either.
        let (status, _) = decide(&portcullis, LEA, &first.id, "grant", json!({})).await;
        assert_eq!(status, 409, "{what}");
        assert_eq!(pending(&portcullis).await.len(), 1, "{what}");
        let answer = refuse_and_read(&portcullis, &mut session, &anew.id).await;
        assert!(answer.ends_with("E:42501 Z:I"), "{what}: {answer}");
        assert_eq!(total(portcullis.database()).await, expected, "{what}");
        goes_on(&mut session).await;
    }
    let mut session = portcullis.session(DEVELOPER).await;
    for _ in 0..2 {
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        let answer = grant_and_read(&portcullis, &mut session, &told.id).await;
        assert_eq!(answer, "C:UPDATE 20 Z:I");
        expected += 20;
    }
    assert_eq!(total(portcullis.database()).await, expected);
}

/// A portal that was released goes on to its end, and not beyond.
#[tokio::test]
async fn a_released_portal_runs_to_its_end_and_no_further() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let returning = format!("{BY} RETURNING id");
    let batch = prepare("", &returning).bind("", "", &["1"], false);
    let batch = batch.execute("", 5).execute("", 0).sync();
    let told = ask(&mut session, batch).await;
    let answer = grant_and_read(&portcullis, &mut session, &told.id).await;
    assert_eq!(answer, "1 2 D*5 s D*15 C:UPDATE 15 Z:I");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20);
    let batch = prepare("", BY).bind("", "", &["1"], false).execute("", 0).execute("", 0).sync();
    let told = ask(&mut session, batch).await;
    let answer = grant_and_read(&portcullis, &mut session, &told.id).await;
    // As PostgreSQL has it, and what ran in the same implicit transaction is undone.
    assert_eq!(answer, "1 2 C:UPDATE 20 E:55000 Z:I");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20);
    goes_on(&mut session).await;
}

/// A grant for one session is none for another that waits with the very same.
#[tokio::test]
async fn a_grant_is_for_one_session() {
    let portcullis = held().await;
    let mut one = portcullis.session(DEVELOPER).await;
    let mut other = portcullis.session(DEVELOPER).await;
    let (mine, theirs) = (
        ask(&mut one, Batch::new().query(RISKY)).await,
        ask(&mut other, Batch::new().query(RISKY)).await,
    );
    let answer = grant_and_read(&portcullis, &mut one, &mine.id).await;
    assert_eq!(answer, "C:UPDATE 20 Z:I");
    assert_eq!(approval(&portcullis, &theirs.id).await["state"], "pending");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20);
    let answer = refuse_and_read(&portcullis, &mut other, &theirs.id).await;
    assert_eq!(answer, "E:42501 Z:I");
}

/// Values are bound, and approvers see that there are some, not which.
#[tokio::test]
async fn what_is_bound_runs_with_its_values() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, run_bound(prepare("add", BY), "add", "7")).await;
    let view = approval(&portcullis, &told.id).await;
    assert_eq!(view["message"], "bind");
    assert_eq!(view["text"], "UPDATE scratch SET amount = amount + $1::numeric");
    let answer = grant_and_read(&portcullis, &mut session, &told.id).await;
    assert_eq!(answer, "1 2 C:UPDATE 20 Z:I");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 7 * 20);
}

/// Several statements in one Query are one message: they wait, run or fall together.
#[tokio::test]
async fn several_statements_in_one_query_wait_together() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let text = format!("SELECT 1; {RISKY}; DELETE FROM scratch; SELECT count(*) FROM scratch");
    session.send(Batch::new().query(&text).bytes()).await;
    let (before, told) = until_held(&mut session).await;
    assert_eq!(sequence(&before), "", "nothing of it has run");
    assert!(told.message.contains("UPDATE without") && told.message.contains("DELETE without"));
    assert_eq!(refuse_and_read(&portcullis, &mut session, &told.id).await, "E:42501 Z:I");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    let told = ask(&mut session, Batch::new().query(&text)).await;
    let answer = grant_and_read(&portcullis, &mut session, &told.id).await;
    assert_eq!(answer, "T D*1 C:SELECT 1 C:UPDATE 20 C:DELETE 20 T D*1 C:SELECT 1 Z:I");
    assert_eq!(total(portcullis.database()).await, 0);
}

/// A statement prepared in SQL is asked for by what it does, each time it runs.
#[tokio::test]
async fn what_sql_prepares_is_asked_for_when_it_runs() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let prepare = "PREPARE add (numeric) AS UPDATE scratch SET amount = amount + $1";
    session.send(Batch::new().query(prepare).bytes()).await;
    let (_, told) = until_held(&mut session).await;
    assert_eq!(grant_and_read(&portcullis, &mut session, &told.id).await, "C:PREPARE Z:I");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    for (value, expected) in [(1, UNTOUCHED + 20), (2, UNTOUCHED + 60)] {
        let run = format!("EXECUTE add({value})");
        let told = ask(&mut session, Batch::new().query(&run)).await;
        let (_, said) = decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
        assert_eq!(said["state"], "refused");
        assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I");
        let told = ask(&mut session, Batch::new().query(&run)).await;
        let view = approval(&portcullis, &told.id).await;
        assert!(view["relations"].to_string().contains("public.scratch"), "{view:#}");
        let answer = grant_and_read(&portcullis, &mut session, &told.id).await;
        assert_eq!(answer, "C:UPDATE 20 Z:I");
        assert_eq!(total(portcullis.database()).await, expected);
    }
}

const HOLD_READS: &str = "[settings]
unbounded_reads = \"approve\"
[settings.approval]
approvers = [\"leads\"]
";

/// What a cursor was released for, its FETCHes go on with; another cursor asks anew.
#[tokio::test]
async fn a_cursor_is_fetched_from_under_its_own_grant() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD_READS).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    session.query("BEGIN").await;
    let declare = "DECLARE c CURSOR FOR SELECT word FROM scratch ORDER BY id";
    let told = ask(&mut session, Batch::new().query(declare)).await;
    assert_eq!(grant_and_read(&portcullis, &mut session, &told.id).await, "C:DECLARE CURSOR Z:T");
    for (fetch, expected) in [
        ("FETCH 2 FROM c", "T D*2 C:FETCH 2 Z:T"),
        ("MOVE 1 IN c", "C:MOVE 1 Z:T"),
        ("FETCH ALL FROM c", "T D*17 C:FETCH 17 Z:T"),
    ] {
        assert_eq!(sequence(&session.query(fetch).await), expected, "{fetch}");
    }
    // Under the same name, another one.
    assert_eq!(sequence(&session.query("CLOSE c").await), "C:CLOSE CURSOR Z:T");
    let other = "DECLARE c CURSOR FOR SELECT name FROM customers";
    let told = ask(&mut session, Batch::new().query(other)).await;
    assert_eq!(refuse_and_read(&portcullis, &mut session, &told.id).await, "E:42501 Z:E");
    session.query("ROLLBACK").await;
    goes_on(&mut session).await;
    // What needs no approval needs none through a cursor either.
    session.query("BEGIN").await;
    let few = session.query("DECLARE c CURSOR FOR SELECT word FROM scratch WHERE id < 4").await;
    assert_eq!(sequence(&few), "C:DECLARE CURSOR Z:T");
    let fetched = session.query("FETCH ALL FROM c").await;
    assert_eq!(sequence(&fetched), "T D*3 C:FETCH 3 Z:T");
}

/// COPY waits before its data is asked for.
#[tokio::test]
async fn a_copy_waits_before_its_data() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD).start().await;
    let mut session = portcullis.session(BOT).await;
    let copy = "COPY scratch (id, word) FROM STDIN";
    let told = ask(&mut session, Batch::new().query(copy)).await;
    assert!(told.message.contains("COPY would add rows"), "{told:?}");
    assert_eq!(refuse_and_read(&portcullis, &mut session, &told.id).await, "E:42501 Z:I");
    for extended in [false, true] {
        let batch =
            if extended { Batch::new().run(copy).flush() } else { Batch::new().query(copy) };
        let told = ask(&mut session, batch).await;
        grant(&portcullis, &told.id).await;
        let asked = session.until(b"GEZ").await;
        assert!(sequence(&asked).ends_with('G'), "{}", sequence(&asked));
        let row = format!("{}\tcopied\n", 100 + u32::from(extended));
        let data = Batch::new().raw(b'd', row.as_bytes()).raw(b'c', b"");
        let answer = session.exchange(if extended { data.sync() } else { data }).await;
        assert_eq!(sequence(&answer), "C:COPY 1 Z:I");
    }
    let client = database.superuser().await;
    let copied = "SELECT count(*)::int FROM scratch WHERE word = 'copied'";
    let copied: i32 = client.query_one(copied, &[]).await.expect("it can be read").get(0);
    assert_eq!(copied, 2);
}

/// lo_creat, which writes, by the fast path.
#[tokio::test]
async fn a_call_past_sql_waits_like_any_other() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD).start().await;
    let mut session = portcullis.session(BOT).await;
    let call = || Batch::new().function_call(957, &[b"131072"]);
    let told = ask(&mut session, call()).await;
    assert!(told.message.contains("lo_creat"), "{told:?}");
    assert_eq!(refuse_and_read(&portcullis, &mut session, &told.id).await, "E:42501 Z:I");
    let told = ask(&mut session, call()).await;
    assert_eq!(grant_and_read(&portcullis, &mut session, &told.id).await, "V Z:I");
    goes_on(&mut session).await;
}

/// What a masked or limited result is, it stays under a grant.
#[tokio::test]
async fn a_grant_lifts_no_other_rule() {
    let database = cluster().await.database().await;
    let policy =
        format!("{HOLD_READS}[[settings.exception]]\nkinds = [\"human\"]\nlimit_rows = 7\n");
    let portcullis = holding(&database, &policy).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query("SELECT word FROM scratch")).await;
    grant(&portcullis, &told.id).await;
    let answer = session.until_ready().await;
    assert_eq!(first_column(&answer).len(), 7);
    assert_eq!(complaint(&answer).map(|(code, _, _)| code).as_deref(), Some("54000"));
    goes_on(&mut session).await;
    let denied = session.query("DELETE FROM scratch").await;
    assert_eq!(sequence(&denied), "E:42501 Z:I");
}
