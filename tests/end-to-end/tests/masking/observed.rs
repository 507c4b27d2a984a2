//! A masker in observe mode: everybody sees what there is, and the ledger says what would have been
//! masked.

use end_to_end::frames::{Batch, sequence};
use end_to_end::portcullis::ANA;
use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, Setup, cluster, wait_until};

use super::{direct_session, masked};

const ADDRESSES: &str = "SELECT id, email FROM customers WHERE id <= 40 ORDER BY id";

/// How it is asked, and how many times the server is ready then.
fn ways() -> Vec<(&'static str, usize, Batch)> {
    let bound =
        |binary| Batch::new().parse("", ADDRESSES).bind("", "", &[], binary).execute("", 0).sync();
    let pages = Batch::new().query("BEGIN").parse("", ADDRESSES).bind("", "", &[], false);
    let pages = pages.execute("", 15).execute("", 15).execute("", 15).sync().query("COMMIT");
    let copy = |form: &str| Batch::new().query(&format!("COPY ({ADDRESSES}) TO STDOUT {form}"));
    vec![
        ("a query", 1, Batch::new().query(ADDRESSES)),
        ("the same once more", 1, Batch::new().query(ADDRESSES)),
        ("as text", 1, bound(false)),
        ("binary", 1, bound(true)),
        ("in pages", 3, pages),
        ("COPY", 1, copy("")),
        ("CSV", 1, copy("(FORMAT csv)")),
        ("binary COPY", 1, copy("(FORMAT binary)")),
    ]
}

/// Of all outcomes that count any. Workers record each for itself: their order says nothing.
fn counted(portcullis: &Portcullis, field: &str) -> Vec<u64> {
    let outcomes = portcullis.ledger().of_kind("outcome").into_iter();
    let cells = outcomes.filter_map(|outcome| outcome[field].as_u64());
    let mut cells: Vec<u64> = cells.filter(|cells| *cells > 0).collect();
    cells.sort_unstable();
    cells
}

#[tokio::test]
async fn what_observing_maskers_would_mask_is_counted_and_shown() {
    let database = cluster().await.database().await;
    let observing = "mode = \"observe\"\nmatch = { groups = [\"analysts\"] }";
    let setup = Setup::new(&database).unmatched("allow");
    let observed = setup.policy("50-pii.toml", "pii_mask.wasm", observing).start().await;
    let enforced = masked(&database).await;
    let mut direct = direct_session(&database).await;
    for (way, ready, batch) in ways() {
        let mut answers = Vec::new();
        let mut sessions = [observed.session(ANA).await, enforced.session(ANA).await];
        for session in sessions.iter_mut().chain([&mut direct]) {
            session.send(batch.bytes()).await;
            let mut answer = Vec::new();
            for _ in 0..ready {
                answer.extend(session.until_ready().await);
            }
            answer.retain(|message| !b"SN".contains(&message.tag));
            answers.push(answer);
        }
        let [seen, hidden, plain] = &answers[..] else { unreachable!("three were asked") };
        assert_eq!(seen, plain, "{way}: {} {}", sequence(seen), sequence(plain));
        assert_ne!(hidden, plain, "{way}: {}", sequence(hidden));
    }
    let all = |cells: Vec<u64>| (cells.iter().sum::<u64>() == 8 * 40).then_some(cells);
    let masked = wait_until("all that was masked is recorded", SOON, async || {
        all(counted(&enforced, "cells_masked"))
    });
    let would = wait_until("all that would have been is recorded", SOON, async || {
        all(counted(&observed, "cells_observed"))
    });
    assert_eq!(would.await, masked.await);
    assert_eq!(counted(&observed, "cells_masked"), [0; 0]);
    assert_eq!(counted(&enforced, "cells_observed"), [0; 0]);
}
