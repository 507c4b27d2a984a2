//! The provider changes its keys, falls silent, or changes its mind about somebody.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use end_to_end::frames::{Batch, Session, first_column, sqlstate_of};
use end_to_end::portcullis::PASSWORD;
use end_to_end::provider::header;
use end_to_end::waiting::SOON;
use end_to_end::{Account, Outage, Portcullis, Provider, Setup, Wanted, cluster, wait_until};
use serde_json::json;

use super::arrival::{Answer, Arrival, Proof};
use super::{by_token, principal, provider};

/// As often as an unknown key makes the proxy ask, in seconds.
const UNKNOWN_KEY_PAUSE_SECONDS: u64 = 10;

async fn token(provider: &Provider, account: &str) -> String {
    provider.issue(&Wanted::by(account)).await.access
}

async fn shown(portcullis: &Portcullis, user: &str, token: &str) -> Answer {
    let arrival = Arrival::of(portcullis, user).newly_come();
    arrival.arrive(Proof::Text(token.as_bytes())).await
}

async fn comes_in(portcullis: &Portcullis, user: &str, token: &str) -> Session {
    let answer = shown(portcullis, user, token).await;
    assert_eq!(answer.verdict(), "in", "{}", portcullis.log());
    answer.session
}

async fn is_alive(session: &mut Session) {
    assert_eq!(first_column(&session.query("SELECT 6 * 7").await), ["42"]);
}

#[tokio::test]
async fn new_keys_are_found_and_withdrawn_ones_forgotten() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let first = token(&provider, "ana").await;
    let mut opened_by_first = comes_in(&portcullis, "ana", &first).await;
    for _ in 0..5 {
        comes_in(&portcullis, "bo", &token(&provider, "bo").await).await;
    }
    assert_eq!(provider.requests("/jwks").await, 1, "known keys are not asked for");

    provider.rotate(true).await;
    let second = token(&provider, "ana").await;
    comes_in(&portcullis, "ana", &second).await;
    comes_in(&portcullis, "ana", &first).await;
    assert_eq!(provider.requests("/jwks").await, 2);

    provider.rotate(false).await;
    let third = token(&provider, "ana").await;
    wait_until("the newest key is found", SOON, async || {
        (shown(&portcullis, "ana", &third).await.verdict() == "in").then_some(())
    })
    .await;
    for (name, token) in [("first", &first), ("second", &second)] {
        let told = shown(&portcullis, "ana", token).await.verdict();
        assert_eq!(told, "out: 28P01 authentication failed for user \"ana\"", "{name}");
    }
    comes_in(&portcullis, "ana", &third).await;
    is_alive(&mut opened_by_first).await;
}

/// Whoever invents names of keys makes the proxy ask now and then, not each time.
#[tokio::test]
async fn invented_keys_do_not_flood_the_provider() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "").start().await;
    let real = token(&provider, "ana").await;
    comes_in(&portcullis, "ana", &real).await;
    let began = Instant::now();
    for number in 0..30 {
        let mut invented = header(&real);
        invented["kid"] = format!("invented-{number}").into();
        let (_, rest) = real.split_once('.').expect("three parts");
        let invented = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(invented.to_string()));
        let user = format!("user-{number}");
        let told = shown(&portcullis, &user, &invented).await.verdict();
        assert_eq!(told, format!("out: 28P01 authentication failed for user \"{user}\""));
    }
    let allowed = 2 + began.elapsed().as_secs() / UNKNOWN_KEY_PAUSE_SECONDS;
    let asked = provider.requests("/jwks").await;
    assert!(asked <= 1 + allowed, "asked {asked} times");
    comes_in(&portcullis, "ana", &real).await;
}

/// With SCRAM for those whom the proxy knows itself.
fn beside_passwords(setup: Setup) -> Setup {
    setup.login_rule("method = \"scram\"\nusers = [\"admin\"]")
}

async fn admin_comes_in(portcullis: &Portcullis) {
    let arrival = Arrival::of(portcullis, "admin");
    let answer = arrival.arrive(Proof::Password(PASSWORD)).await;
    assert_eq!(answer.verdict(), "in");
}

#[tokio::test]
async fn while_the_provider_is_away_nobody_new_is_believed_and_nobody_is_sent_away() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let setup = Setup::new(&database).unmatched("allow").tls();
    let setup = beside_passwords(setup).issuer("corp", &provider, "recheck_seconds = 1");
    let setup = setup.login_rule("method = \"token\"\nissuer = \"corp\"");
    let mut portcullis = setup.start().await;
    let known = token(&provider, "ana").await;
    let mut session = comes_in(&portcullis, "ana", &known).await;
    for outage in [Outage::Refused, Outage::Failing, Outage::Silent] {
        provider.rotate(true).await;
        let unknown = token(&provider, "ana").await;
        provider.fail(outage).await;
        let mut tries = 0;
        let told = wait_until("an unknown key is asked about in vain", SOON, async || {
            // Under a name of its own each time: who fails often is slowed.
            tries += 1;
            let name = format!("{outage:?}-{tries}");
            let told = shown(&portcullis, &name, &unknown).await.verdict();
            // Keys were asked for a moment ago: that they do not hold this one is believed.
            (!told.starts_with("out: 28P01")).then_some(told)
        })
        .await;
        let expected = "out: 28000 the identity provider cannot be reached, so nobody new is let \
                        in (Try again; the operator's log says more.)";
        assert_eq!(told, expected, "{outage:?}");
        // What was learnt five minutes ago or less is believed.
        comes_in(&portcullis, "ana", &known).await;
        is_alive(&mut session).await;
        admin_comes_in(&portcullis).await;
        provider.recover().await;
        wait_until("the provider is believed again", SOON, async || {
            (shown(&portcullis, "ana", &unknown).await.verdict() == "in").then_some(())
        })
        .await;
    }
    is_alive(&mut session).await;

    // One that has just started knows nothing.
    provider.fail(Outage::Refused).await;
    portcullis.restart().await;
    let told = shown(&portcullis, "ana", &known).await.verdict();
    assert!(told.starts_with("out: 28000 the identity provider cannot be reached"), "{told}");
    admin_comes_in(&portcullis).await;
    provider.recover().await;
    wait_until("the provider is asked again", SOON, async || {
        (shown(&portcullis, "ana", &known).await.verdict() == "in").then_some(())
    })
    .await;
}

/// What ends a session, and what its client is told.
async fn ends(session: &mut Session, reason: &str) {
    let message = session.message().await.expect("a reason is given");
    assert_eq!(message.tag, b'E');
    let field = |code| message.field(code).unwrap_or_default();
    assert_eq!(field(b'C'), "57P01");
    assert_eq!(field(b'M'), format!("the session was ended: {reason}"));
    assert_eq!(session.message().await, None);
}

#[tokio::test]
async fn whom_the_provider_moves_or_disowns_is_sent_away() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, "recheck_seconds = 1").start().await;
    let ana = token(&provider, "ana").await;
    let mut idle = comes_in(&portcullis, "ana", &ana).await;
    let mut busy = comes_in(&portcullis, "ana", &ana).await;
    busy.send(Batch::new().query("SELECT 'busy', pg_sleep(600)").bytes()).await;
    let mut bo = comes_in(&portcullis, "bo", &token(&provider, "bo").await).await;

    // The same groups in another order are the same.
    provider.put(&Account::new("bo").groups(&["sales", "sales"])).await;
    let began = Instant::now();
    provider.put(&Account::new("ana").groups(&["guests"])).await;
    ends(&mut idle, "the groups of the login have changed").await;
    let messages = busy.until(b"E").await;
    assert_eq!(sqlstate_of(&messages).as_deref(), Some("57P01"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let superuser = database.superuser().await;
    wait_until("the statement ends in the database too", SOON, async || {
        let query = "SELECT count(*) FROM pg_stat_activity
                     WHERE query LIKE 'SELECT ''busy''%' AND state = 'active'";
        let row = superuser.query_one(query, &[]).await.expect("a row");
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;

    // The old token is as good as the provider's word for it, which is gone a second later;
    // a new one makes her who she is now.
    let mut again = comes_in(&portcullis, "ana", &ana).await;
    ends(&mut again, "the groups of the login have changed").await;
    let mut anew = comes_in(&portcullis, "ana", &token(&provider, "ana").await).await;
    let who = principal(&portcullis, anew.local_address()).await;
    assert_eq!(who["groups"], json!(["guests"]));

    provider.fail(Outage::Failing).await;
    let before = provider.requests("/me").await;
    wait_until("the provider was asked in vain", SOON, async || {
        (provider.requests("/me").await > before + 2).then_some(())
    })
    .await;
    is_alive(&mut anew).await;
    provider.recover().await;
    provider.put(&Account::new("ana").disabled()).await;
    ends(&mut anew, "the identity provider no longer accepts the login").await;
    is_alive(&mut bo).await;
}
