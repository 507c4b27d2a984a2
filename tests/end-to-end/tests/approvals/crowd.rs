//! Many at once.

use end_to_end::frames::{Batch, sequence};
use end_to_end::portcullis::{ANA, DEVELOPER};
use end_to_end::{Session, cluster};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{HOLD, LEA, LEO, Told, UNTOUCHED, approval, ask, decide, holding, pending, total};

const CROWD: usize = 100;

/// Each changes one number by one, so that none is lost and none counts twice.
const RISKY: &str = "UPDATE scratch SET amount = amount + 1 WHERE id = 1 OR id = id";

async fn waiting(portcullis: &end_to_end::Portcullis, number: usize) -> (Session, Told) {
    // Under the limit for one principal.
    let user = if number.is_multiple_of(2) { DEVELOPER } else { ANA };
    let mut session = portcullis.session(user).await;
    let batch = match number % 4 {
        0 | 1 => Batch::new().query(RISKY),
        _ => Batch::new().run(RISKY).sync(),
    };
    let told = ask(&mut session, batch).await;
    (session, told)
}

#[tokio::test]
async fn a_hundred_wait_at_once_and_each_gets_its_own_answer() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD).start().await;
    let mut sessions = Vec::new();
    for start in (0..CROWD).step_by(10) {
        let some = (start..start + 10).map(|number| waiting(&portcullis, number));
        sessions.extend(join_all(some).await);
    }
    assert_eq!(pending(&portcullis).await.len(), CROWD);
    let mut ids: Vec<&str> = sessions.iter().map(|(_, told)| told.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CROWD, "each has its own");
    // Somebody who waits for nobody is not held up.
    let mut other = portcullis.session(DEVELOPER).await;
    assert_eq!(sequence(&other.query("SELECT 1").await), "T D*1 C:SELECT 1 Z:I");
    assert_eq!(total(&database).await, UNTOUCHED);

    // Nine of ten are granted, by two people, in another order than they came.
    let numbers: Vec<usize> = (0..CROWD).rev().collect();
    for some in numbers.chunks(10) {
        let decisions = some.iter().map(|&number| {
            let who = if number.is_multiple_of(3) { LEA } else { LEO };
            let decision = if number % 10 == 7 { "refuse" } else { "grant" };
            decide(&portcullis, who, &sessions[number].1.id, decision, json!({}))
        });
        for (status, said) in join_all(decisions).await {
            assert_eq!(status, 200, "{said:#}");
        }
    }
    let mut runs = 0;
    for (number, (session, told)) in sessions.iter_mut().enumerate() {
        let answer = sequence(&session.until_ready().await);
        let expected = if number % 10 == 7 { "E:42501 Z:I" } else { "C:UPDATE 20 Z:I" };
        assert!(answer.ends_with(expected), "{number} ({}): {answer}", told.id);
        runs += i32::from(number % 10 != 7);
    }
    assert_eq!(total(&database).await, UNTOUCHED + 20 * runs);
    assert_eq!(pending(&portcullis).await, Vec::<Value>::new());
    let (_, told) = &sessions[0];
    assert_eq!(approval(&portcullis, &told.id).await["state"], "granted");
}

/// All of them go at once.
#[tokio::test]
async fn a_crowd_that_leaves_withdraws_everything() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD).start().await;
    let mut sessions = join_all((0..30).map(|number| waiting(&portcullis, number))).await;
    assert_eq!(pending(&portcullis).await.len(), 30);
    let (mut first, kept) = sessions.remove(0);
    drop(sessions);
    end_to_end::wait_until("all others are withdrawn", end_to_end::waiting::SOON, async || {
        (pending(&portcullis).await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(decide(&portcullis, LEA, &kept.id, "grant", json!({})).await.0, 200);
    assert_eq!(sequence(&first.until_ready().await), "C:UPDATE 20 Z:I");
    assert_eq!(total(&database).await, UNTOUCHED + 20);
}
