//! Long results, which come in larger pieces than the server sends them in.

use std::time::{Duration, Instant};

use end_to_end::cluster;
use end_to_end::cluster::APP;
use end_to_end::frames::{Batch, error_of, first_column};
use end_to_end::portcullis::{ANA, DEVELOPER};
use end_to_end::waiting::SOON;

use super::bare;

const SSL_MODES: [&str; 2] = ["disable", "require"];

/// One behind the other, with and without masks: each is whole, and ends.
#[tokio::test]
async fn long_results_are_whole() {
    let database = cluster().await.database().await;
    for sslmode in SSL_MODES {
        let masked = "match = { groups = [\"analysts\"] }";
        let setup = bare(&database).upstream(APP, sslmode);
        let portcullis = setup.policy("50-pii.toml", "pii_mask.wasm", masked).start().await;
        for user in [DEVELOPER, ANA] {
            let mut session = portcullis.session(user).await;
            for rows in [3_000, 30_000, 100, 60_001] {
                let numbers =
                    format!("SELECT i, repeat('x', 100) FROM generate_series(1, {rows}) i");
                let copy = format!("COPY ({numbers}) TO STDOUT");
                let answer = session.query(&numbers).await;
                let told = first_column(&answer);
                let expected: Vec<String> = (1..=rows).map(|row| row.to_string()).collect();
                assert!(told == expected, "{sslmode} {rows}: {} came", told.len());
                let copied = session.query(&copy).await;
                let came = copied.iter().filter(|message| message.tag == b'd').count();
                assert_eq!((came, error_of(&copied)), (rows, None), "{sslmode}");
            }
        }
    }
}

/// What a server gives that has become slow is not kept back until there is more of it.
#[tokio::test]
async fn a_long_result_that_becomes_slow() {
    const SLOW: usize = 20;
    const PAUSE: Duration = Duration::from_millis(50);
    let database = cluster().await.database().await;
    for sslmode in SSL_MODES {
        let portcullis = bare(&database).upstream(APP, sslmode).start().await;
        let mut session = portcullis.session(DEVELOPER).await;
        // A row is more than the server keeps back itself.
        let query = format!(
            "SELECT repeat('x', 10000), CASE WHEN i > 400 THEN pg_sleep({}) END \
             FROM generate_series(1, {}) i",
            PAUSE.as_secs_f64(),
            400 + SLOW
        );
        session.send(Batch::new().query(&query).bytes()).await;
        let mut came = Vec::new();
        loop {
            let message = session.message_within(SOON).await.expect("the result goes on");
            match message.tag {
                b'D' => came.push(Instant::now()),
                b'Z' => break,
                _ => {}
            }
        }
        assert_eq!(came.len(), 400 + SLOW);
        let gaps = came.windows(2).filter(|pair| pair[1] - pair[0] > PAUSE / 2).count();
        assert!(gaps > SLOW / 2, "{sslmode}: rows came together, {gaps} times later than others");
    }
}
