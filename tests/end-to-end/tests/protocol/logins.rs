//! Logins cut in two, wherever that may be, on both sides of the proxy.

use end_to_end::cluster::APP;
use end_to_end::frames::{Batch, Session, cancel_request, first_column, sequence};
use end_to_end::portcullis::{DATABASE, PASSWORD};
use end_to_end::waiting::SOON;
use end_to_end::{Relay, cluster, wait_until};

use super::{bare, first_packet};

/// More than either side says up to the first statement.
const LOGIN_BYTES: usize = 800;
/// More than a client says up to its proof.
const TLS_LOGIN_BYTES: usize = 600;
const CANCEL_BYTES: usize = 16;

/// By way of a relay before the proxy; another is before PostgreSQL.
async fn log_in(relays: &[Relay; 2], cut_at: usize) {
    relays.iter().for_each(|relay| relay.cut_at(cut_at));
    let mut session = Session::login(relays[0].address(), APP, PASSWORD, DATABASE).await;
    let answer = session.query("SELECT 'in'").await;
    assert_eq!(first_column(&answer), ["in"], "cut at {cut_at}: {}", sequence(&answer));
}

#[tokio::test]
async fn a_login_is_understood_wherever_it_is_cut() {
    let database = cluster().await.database().await;
    let behind = Relay::start(database.cluster.postgres.port()).await;
    let portcullis = bare(&database).relay(&behind).start().await;
    let relays = [Relay::start(portcullis.address().port()).await, behind];
    for cut_at in 1..LOGIN_BYTES {
        log_in(&relays, cut_at).await;
    }
}

#[tokio::test]
async fn a_login_over_tls_is_understood_wherever_it_is_cut() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).tls().start().await;
    let relay = Relay::start(portcullis.address().port()).await;
    for cut_at in 1..TLS_LOGIN_BYTES {
        relay.cut_at(cut_at);
        let session = Session::connect(relay.address()).await;
        let mut session = session.start_tls(portcullis.certificates().client_config()).await;
        let answer = session.try_login(PASSWORD, &super::WHO).await;
        assert!(sequence(&answer).ends_with("Z:I"), "cut at {cut_at}: {}", sequence(&answer));
    }
}

#[tokio::test]
async fn a_cancel_is_understood_wherever_it_is_cut() {
    let database = cluster().await.database().await;
    let portcullis = bare(&database).start().await;
    let relay = Relay::start(portcullis.address().port()).await;
    for cut_at in 1..CANCEL_BYTES {
        relay.cut_at(cut_at);
        let mut session = Session::login(portcullis.address(), APP, PASSWORD, DATABASE).await;
        let statement = format!("SELECT pg_sleep(60) AS until_{cut_at}");
        session.send(Batch::new().query(&statement).bytes()).await;
        let key = cancel_request(&session.cancel_key);
        // The first request may come before the server has begun.
        let told = wait_until("it is cancelled", SOON, async || {
            first_packet(relay.address(), &key).await;
            session.message_within(std::time::Duration::from_millis(250)).await
        });
        let told = told.await;
        let rest: Vec<_> = [told].into_iter().chain(session.until_ready().await).collect();
        assert!(sequence(&rest).ends_with("E:57014 Z:I"), "{cut_at}: {}", sequence(&rest));
    }
}
