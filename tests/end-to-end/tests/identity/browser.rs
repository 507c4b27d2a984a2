//! A login that a person confirms in a browser, while plain psql waits.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use end_to_end::browser::Page;
use end_to_end::driver::{Target, with_target};
use end_to_end::frames::Session;
use end_to_end::portcullis::DATABASE;
use end_to_end::waiting::SOON;
use end_to_end::{
    Database, Outage, Portcullis, Provider, Setup, Terminal, artefacts, cluster, wait_until,
};
use serde_json::json;

use super::arrival::{Answer, Arrival};
use super::{principal, provider, record};

const SCOPES: &str = "scopes = [\"openid\", \"profile\", \"groups\"]\nclaims = [\"team\"]";

/// Everybody must confirm in a browser; `limits` are those of `[browser_login]`.
fn by_browser(database: &Database, provider: &Provider, limits: &str) -> Setup {
    Setup::new(database)
        .unmatched("allow")
        .roles()
        .issuer("corp", provider, SCOPES)
        .login_rule("method = \"browser\"\nissuer = \"corp\"")
        .section(&format!("[browser_login]\n{limits}"))
}

/// psql, and the address that it was told to open.
async fn waiting_psql(portcullis: &Portcullis, user: &str) -> (Terminal, String) {
    let mut psql = portcullis.psql_with(&[], &[("PGUSER", user)]);
    psql.wait_for("NOTICE:  to log in, open ").await;
    let address = psql.wait_for("\n").await.trim().to_owned();
    assert!(address.starts_with(&format!("{}/login/", portcullis.admin_url())), "{address}");
    (psql, address)
}

/// The same, as a client that shows every byte.
async fn waiting(arrival: &Arrival) -> (Answer, String) {
    let mut answer = arrival.knock().await;
    answer.messages = answer.session.until(b"NE").await;
    let notice = answer.messages.last().expect("something is said").clone();
    let text = notice.field(b'M').unwrap_or_default();
    let address = text.strip_prefix("to log in, open ").unwrap_or_default().to_owned();
    (answer, address)
}

/// The code on the page, which the person is to compare.
fn code(page: &Page) -> String {
    assert_eq!(page.status, 200, "{page:#?}");
    let (_, rest) = page.body.split_once("class=\"code\">").expect("a code");
    rest.split('<').next().expect("its end").to_owned()
}

async fn is_gone(provider: &Provider, address: &str) {
    wait_until("the page is gone", SOON, async || {
        (provider.browser().open(address).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn psql_waits_until_the_right_person_has_confirmed() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "").start().await;
    let (mut psql, address) = waiting_psql(&portcullis, "ana").await;
    let page = provider.browser().open(&address).await;
    let code = code(&page);
    let told = psql.wait_for("HINT:  ").await;
    let detail = format!("Confirm the code {code}. It lets 127.0.0.1 into database shop as ana");
    assert!(told.contains(&detail), "{told}");
    for header in ["content-security-policy", "cache-control"] {
        assert!(!page.header(header).is_empty(), "{header} in {page:#?}");
    }
    let link = format!("href=\"{}", provider.device_page());
    assert!(page.body.contains(&link), "{page:#?}");
    assert!(page.body.contains(DATABASE) && page.body.contains(">ana<"), "{page:#?}");
    assert!(portcullis.ledger().of_kind("login").is_empty(), "nobody is in yet");

    provider.confirm_device(&code, "ana").await;
    psql.wait_for("shop=> ").await;
    psql.type_line("SELECT 6 * 7 AS answer;");
    psql.wait_for(" 42\n").await;
    let login = &portcullis.ledger().of_kind("login")[0]["principal"];
    let client = login["client_address"].as_str().expect("an address");
    assert!(page.body.contains(client), "the page has {client}: {page:#?}");
    assert_eq!((&login["subject"], &login["proof"]), (&json!("ana"), &json!("device")));
    assert_eq!((&login["groups"], &login["kind"]), (&json!(["analysts"]), &json!("human")));
    assert_eq!(login["claims"], json!([["team", "risk"]]));
    is_gone(&provider, &address).await;
}

/// A link that was passed on opens nothing for whoever follows it, and nothing for whoever
/// passed it on.
#[tokio::test]
async fn a_stranger_who_confirms_opens_nothing() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "").start().await;
    let (mut psql, address) = waiting_psql(&portcullis, "ana").await;
    let code = code(&provider.browser().open(&address).await);
    provider.confirm_device(&code, "bo").await;
    psql.wait_for("FATAL:  authentication failed for user \"ana\"").await;
    assert_ne!(psql.exit_code().await, 0);
    is_gone(&provider, &address).await;
    let refused = portcullis.ledger().of_kind("login-refused");
    let reason = refused[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.ends_with("bo may not come as ana"), "{reason}");

    let (mut psql, address) = waiting_psql(&portcullis, "bo").await;
    provider.confirm_device(&self::code(&provider.browser().open(&address).await), "bo").await;
    psql.wait_for("shop=> ").await;
    let logins = portcullis.ledger().of_kind("login");
    assert_eq!((logins.len(), &logins[0]["principal"]["subject"]), (1, &json!("bo")));
}

#[tokio::test]
async fn who_declines_or_does_not_come_opens_nothing() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let setup = by_browser(&database, &provider, "wait_seconds_max = 10");
    let portcullis = setup.start().await;
    let (mut declined, address) = waiting_psql(&portcullis, "ana").await;
    provider.deny_device(&code(&provider.browser().open(&address).await)).await;
    declined.wait_for("FATAL:  authentication failed for user \"ana\"").await;
    is_gone(&provider, &address).await;

    // The issuer gives two seconds to this one, we ten to that one.
    let (mut late, address) = waiting_psql(&portcullis, "ana").await;
    let late_code = code(&provider.browser().open(&address).await);
    provider.lifetime("device_code", 2).await;
    let (mut later, _) = waiting_psql(&portcullis, "bo").await;
    later.wait_for("FATAL:  nobody confirmed the login in time").await;
    late.wait_for("FATAL:  nobody confirmed the login in time").await;
    is_gone(&provider, &address).await;
    // A confirmation that comes after that has nobody to let in.
    provider.lifetime("device_code", 600).await;
    provider.confirm_device(&late_code, "ana").await;
    let (mut psql, address) = waiting_psql(&portcullis, "ana").await;
    provider.confirm_device(&code(&provider.browser().open(&address).await), "ana").await;
    psql.wait_for("shop=> ").await;
    assert_eq!(portcullis.ledger().of_kind("login").len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_takes_its_login_along() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "waiting_max = 2").start().await;
    let arrival = Arrival::of(&portcullis, "ana");
    let (mut first, first_address) = waiting(&arrival).await;
    let first_code = code(&provider.browser().open(&first_address).await);
    let (second, second_address) = waiting(&arrival).await;
    assert_ne!(first_address, second_address);

    // As many wait as may.
    let asked = provider.requests("/device/auth").await;
    let (third, _) = waiting(&arrival).await;
    assert_eq!(
        third.verdict(),
        "out: 53300 too many logins wait for a browser (Try again in a moment.)"
    );
    assert_eq!(provider.requests("/device/auth").await, asked, "the provider heard nothing");

    // One hangs up; another speaks before it was answered, as somebody would who has to say
    // something first and hopes that it is read later.
    drop(second);
    is_gone(&provider, &second_address).await;
    let (mut hasty, hasty_address) = waiting(&arrival).await;
    let batch = end_to_end::frames::Batch::new().query("SELECT 1");
    hasty.session.send(batch.bytes()).await;
    is_gone(&provider, &hasty_address).await;
    assert_eq!(hasty.session.message().await, None);

    // What was confirmed for nobody lets nobody in.
    let (gone, gone_address) = waiting(&arrival).await;
    let gone_code = code(&provider.browser().open(&gone_address).await);
    drop(gone);
    is_gone(&provider, &gone_address).await;
    provider.confirm_device(&gone_code, "ana").await;
    provider.confirm_device(&first_code, "ana").await;
    first.messages = first.session.until_ready().await;
    assert_eq!(first.verdict(), "in");
    assert_eq!(portcullis.ledger().of_kind("login").len(), 1);
}

#[tokio::test]
async fn pages_show_what_clients_say_and_run_none_of_it() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "").start().await;
    let arrival = Arrival::of(&portcullis, "<script>alert(1)</script>");
    let arrival = arrival.saying("database", "\"><img src=x>");
    let (_answer, address) = waiting(&arrival).await;
    let page = provider.browser().open(&address).await;
    assert!(page.body.contains("&lt;script&gt;alert(1)"), "{page:#?}");
    assert!(!page.body.contains("<script") && !page.body.contains("<img"), "{page:#?}");
    for guess in ["", "0", &"0".repeat(32), "..%2f..%2flogin"] {
        let guessed = format!("{}/login/{guess}", portcullis.admin_url());
        assert_eq!(provider.browser().open(&guessed).await.status, 404, "{guess}");
    }
}

/// The provider says to ask less often, then fails for a while; the person notices nothing.
#[tokio::test]
async fn a_login_outlasts_a_provider_that_stumbles() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "").start().await;
    let (mut slowed, address) = waiting(&Arrival::of(&portcullis, "bo")).await;
    provider.slow_down(1).await;
    wait_until("it was told to slow down", SOON, async || {
        (provider.requests("/token").await > 0).then_some(())
    })
    .await;
    provider.confirm_device(&code(&provider.browser().open(&address).await), "bo").await;
    slowed.messages = slowed.session.until_ready().await;
    assert_eq!(slowed.verdict(), "in");

    let (mut psql, address) = waiting_psql(&portcullis, "ana").await;
    let code = code(&provider.browser().open(&address).await);
    provider.fail(Outage::Failing).await;
    let before = provider.requests("/token").await;
    wait_until("the provider failed a poll", SOON, async || {
        (provider.requests("/token").await > before).then_some(())
    })
    .await;
    provider.recover().await;
    provider.confirm_device(&code, "ana").await;
    psql.wait_for("shop=> ").await;
}

/// node-postgres hands over what it is told while it connects, and waits.
#[tokio::test]
async fn drivers_that_show_notices_wait_too() {
    const SCRIPT: &str = "const { Client } = require(process.env.PG);\n\
        const client = new Client();\n\
        client.on('notice', (notice) => console.error(notice.message));\n\
        client.connect().then(() => client.query('SELECT 6 * 7 AS answer'))\n\
        .then((result) => { console.log(result.rows[0].answer); return client.end(); });";
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "").start().await;
    let target = Target {
        address: portcullis.address(),
        user: "ana".to_owned(),
        database: DATABASE.to_owned(),
        authority: None,
    };
    let mut command = Command::new("node");
    with_target(&mut command, &target).env("PG", artefacts::tool("node_modules/pg"));
    command.args(["-e", SCRIPT]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Node.js runs");
    let said = child.stderr.take().expect("it is piped");
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).map(|_| line)
    });
    let line = tokio::time::timeout(SOON, line).await.expect("something is said");
    let line = line.expect("reading does not panic").expect("a line");
    let address = line.trim().strip_prefix("to log in, open ").expect("an address");
    provider.confirm_device(&code(&provider.browser().open(address).await), "ana").await;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
    let output = output.expect("waiting does not panic").expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{output:?}");
}

/// The provider is out of reach: nobody is shown an address that leads nowhere.
#[tokio::test]
async fn without_a_provider_nobody_waits() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_browser(&database, &provider, "").start().await;
    provider.fail(Outage::Refused).await;
    let (answer, address) = waiting(&Arrival::of(&portcullis, "ana")).await;
    let told = answer.verdict();
    assert!(told.starts_with("out: 28000 the identity provider cannot be reached"), "{told}");
    assert_eq!(address, "");
    record(&portcullis, "login-refused", answer.address()).await;
    provider.recover().await;
    let again = wait_until("the provider is asked again", SOON, async || {
        let (answer, address) = waiting(&Arrival::of(&portcullis, "ana")).await;
        (!address.is_empty()).then_some((answer, address))
    });
    let (mut answer, address) = again.await;
    provider.confirm_device(&code(&provider.browser().open(&address).await), "ana").await;
    let session: &mut Session = &mut answer.session;
    answer.messages = session.until_ready().await;
    assert_eq!(answer.verdict(), "in");
    assert_eq!(principal(&portcullis, answer.address()).await["subject"], "ana");
}
