//! Texts with a COPY from the client in them, behind which the rest of the text runs.

use end_to_end::frames::{Batch, sequence};

use super::bench::Bench;

/// A value in a form that no inspection of content knows.
const HIDDEN: &str = "SELECT encode(email::bytea, 'hex') AS a FROM customers ORDER BY id LIMIT 5";

/// What a name stands for, how it is made to stand for something else, and how it is then used.
struct Redefined {
    before: fn() -> Batch,
    by: &'static str,
    used: fn() -> Batch,
}

const WAYS: [Redefined; 3] = [
    Redefined {
        before: || Batch::new().query("PREPARE s AS SELECT 'x'::text AS a"),
        by: "DEALLOCATE s; PREPARE s AS",
        used: || Batch::new().query("EXECUTE s"),
    },
    Redefined {
        before: || Batch::new().query("DECLARE c CURSOR WITH HOLD FOR SELECT 'x'::text AS a"),
        by: "CLOSE c; DECLARE c CURSOR WITH HOLD FOR",
        used: || Batch::new().query("FETCH 5 FROM c"),
    },
    Redefined {
        before: || Batch::new().parse("s", "SELECT 'x'::text AS a").describe(b'S', "s").sync(),
        by: "DEALLOCATE s; PREPARE s AS",
        used: || Batch::new().bind("", "s", &[], false).execute("", 0).sync(),
    },
];

/// The data, or its end, is read while the text runs; what is sent behind it is understood when the
/// text has run, and not before.
#[tokio::test]
async fn what_runs_behind_a_copy_is_known_before_what_follows_is_read() {
    let bench = Bench::new().await;
    // The second reader of texts can make nothing of the last.
    for ahead in ["", "SELECT 1; ", "SELECT xmlelement(name a); "] {
        for end in [(b'c', &b""[..]), (b'f', b"no more\0")] {
            for (number, way) in WAYS.iter().enumerate() {
                for data in [&[][..], &[&b"900\tx\n"[..]]] {
                    let mut session = bench.session().await;
                    session.query("CREATE TEMP TABLE counted (id integer, word text)").await;
                    session.exchange((way.before)()).await;
                    let by = way.by;
                    let text = format!("{ahead}COPY pg_temp.counted FROM STDIN; {by} {HIDDEN}");
                    let mut batch = Batch::new().query(&text);
                    for line in data {
                        batch = batch.raw(b'd', line);
                    }
                    let batch = batch.raw(end.0, end.1).and(&(way.used)());
                    session.send(batch.bytes()).await;
                    let first = session.until_ready().await;
                    let used = session.until_ready().await;
                    let what = format!("{ahead} {number} {}", sequence(&first));
                    bench.unharmed(&what, &session, &used).await;
                    let again = session.exchange((way.used)()).await;
                    bench.unharmed(&what, &session, &again).await;
                }
            }
        }
    }
}

/// A statement or cursor whose Close was discarded may be another by then, where something ran that
/// nobody saw into.
#[tokio::test]
async fn what_comes_back_may_have_been_taken_over() {
    let bench = Bench::masking_alone().await;
    for (number, way) in WAYS.iter().enumerate() {
        let (name, kind) = if number == 1 { ("c", b'P') } else { ("s", b'S') };
        let mut session = bench.session().await;
        session.exchange((way.before)()).await;
        session.exchange(Batch::new().parse("", "SELECT 1").sync()).await;
        let hidden = HIDDEN.replace('\'', "''");
        let steps = way.by.split("; ").collect::<Vec<_>>();
        let block =
            format!("DO $$ BEGIN EXECUTE '{}'; EXECUTE '{} {hidden}'; END $$", steps[0], steps[1]);
        let failing = Batch::new().parse("b", "SELECT 1/0").bind("b", "b", &[], false);
        let batch = failing.execute("b", 0).close(kind, name).sync().query(&block);
        session.send(batch.bytes()).await;
        session.until_ready().await;
        let ran = session.until_ready().await;
        let used = session.exchange((way.used)()).await;
        bench.unharmed(&format!("{number} {}", sequence(&ran)), &session, &used).await;
    }
}
