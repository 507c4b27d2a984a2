//! Pages in a browser: a link to an approval, and the login that it demands.

use end_to_end::frames::{Batch, Session, sequence};
use end_to_end::portcullis::{ADMIN, ANA, PASSWORD};
use end_to_end::receiver::Receiver;
use end_to_end::waiting::SOON;
use end_to_end::{
    Account, Browser, Page, Portcullis, Provider, Setup, User, cluster, http, wait_until,
};
use serde_json::Value;

use super::{LEAD, VIEWER, changes, told};

const UPDATE: &str = "UPDATE orders SET status = 'cancelled' WHERE id = 7";
const GUARD: &str = "[settings]\nwrites = \"approve\"\n[settings.approval]\n\
                     approvers = [\"leads\"]";

/// A proxy that holds what writes, and tells a receiver of it.
struct Place {
    portcullis: Portcullis,
    receiver: Receiver,
}

impl Place {
    async fn start(provider: Option<&Provider>) -> Place {
        let receiver = Receiver::start(0).await;
        let database = cluster().await.database().await;
        let webhook = format!("[[approvals.webhook]]\nurl = \"{}\"", receiver.url());
        let mut setup = Setup::new(&database).unmatched("allow").roles().user(LEAD).user(VIEWER);
        if let Some(provider) = provider {
            setup = setup.issuer("corp", provider, "scopes = [\"openid\", \"groups\"]");
            setup = setup.admin_line("issuer = \"corp\"");
        }
        setup = setup.policy("10-guard.toml", "sql_guard.wasm", GUARD).section(&webhook);
        Place { portcullis: setup.start().await, receiver }
    }

    /// Somebody's statement that waits, and the link to it.
    async fn held(&self) -> (Session, String) {
        let known = self.receiver.records().len();
        let mut session = self.portcullis.session(ANA).await;
        session.send(Batch::new().query(UPDATE).bytes()).await;
        let link = wait_until("it is announced", SOON, async || {
            let records = self.receiver.records();
            let asked = records.get(known..)?.iter().find(|r| r["type"] == "approval.asked")?;
            asked["links"][0].as_str().map(str::to_owned)
        })
        .await;
        assert!(link.starts_with(&format!("{}/approve/", self.portcullis.admin_url())), "{link}");
        (session, link)
    }

    /// Opens a link as somebody who is not logged in, and logs in as a local user.
    async fn open_as(&self, browser: &Browser, link: &str, user: User) -> Page {
        let page = browser.open(link).await;
        check_private(&page);
        let path = page.links().into_iter().next().expect("the way to the login");
        let form = browser.open(&format!("{}{path}", self.portcullis.admin_url())).await;
        let fields = [("name", user.name), ("password", PASSWORD)];
        let page = browser.submit(&form, &fields).await;
        assert_eq!(page.status, 200, "{page:#?}");
        self.follow(browser, &page).await
    }

    /// Goes where the page leads that is shown after a login.
    async fn follow(&self, browser: &Browser, page: &Page) -> Page {
        let next = page.links().into_iter().next().expect("it leads on");
        browser.open(&format!("{}{next}", self.portcullis.admin_url())).await
    }

    fn steps(&self, step: &str) -> Vec<Value> {
        let mut steps = self.portcullis.ledger().of_kind("approval");
        steps.retain(|record| record["step"] == step);
        steps
    }
}

/// Nothing of what waits is seen, and nobody may frame, keep or script the page.
fn check_private(page: &Page) {
    assert_eq!(page.status, 200, "{page:#?}");
    // A token may have any letters in a row, and has no others around them.
    let mut words = page.body.split(|letter: char| !letter.is_ascii_alphanumeric());
    let told = words.find(|word| ["UPDATE", "orders", "ana"].contains(word));
    assert_eq!(told, None, "{page:#?}");
    check_headers(page);
}

fn check_headers(page: &Page) {
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(!page.body.contains("<script"), "{page:#?}");
}

#[tokio::test]
async fn a_link_releases_once_and_only_to_who_may() {
    let place = Place::start(None).await;
    let (mut session, link) = place.held().await;

    // A login, but no approver's.
    let viewer = Browser::new(None);
    let page = place.open_as(&viewer, &link, VIEWER).await;
    assert_eq!(page.status, 403, "{page:#?}");
    assert!(!page.body.contains("UPDATE"), "{page:#?}");

    let lead = Browser::new(None);
    let page = place.open_as(&lead, &link, LEAD).await;
    assert_eq!(page.status, 200, "{page:#?}");
    for part in ["UPDATE orders SET status = ", "ana", "leads", "127.0.0.1"] {
        assert!(page.body.contains(part), "{part}: {page:#?}");
    }
    assert!(!page.body.contains("'cancelled'"), "literals are left out: {page:#?}");
    check_headers(&page);
    // Looking uses nothing up.
    let page = lead.open(&link).await;
    assert!(page.asks_for("mark"), "{page:#?}");

    // A form that is not of this browser's pages counts for nothing.
    let other = place.open_as(&Browser::new(None), &link, LEAD).await;
    let stolen = other.form().expect("a form").fields;
    let stolen = stolen.iter().find(|(name, _)| name == "mark").expect("a mark").1.clone();
    for mark in ["", "guess", stolen.as_str()] {
        let refused = lead.submit(&page, &[("mark", mark), ("decision", "grant")]).await;
        assert_eq!(refused.status, 403, "{refused:#?}");
    }
    let refused = lead.submit(&page, &[("decision", "perhaps")]).await;
    assert_eq!(refused.status, 400, "{refused:#?}");
    // Nor without a login, nor by who may not.
    let nobody = Browser::new(None).submit(&page, &[("decision", "grant")]).await;
    check_private(&nobody);
    let refused = viewer.submit(&page, &[("decision", "grant")]).await;
    assert_eq!(refused.status, 403, "{refused:#?}");
    assert!(place.steps("granted").is_empty());

    let done = lead.submit(&page, &[("decision", "grant"), ("comment", "go on")]).await;
    assert!(done.status == 200 && done.body.contains("granted"), "{done:#?}");
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "C:UPDATE 1 Z:I");
    for used in [lead.open(&link).await, lead.submit(&page, &[("decision", "grant")]).await] {
        assert_eq!(used.status, 410, "{used:#?}");
    }
    let granted = place.steps("granted");
    assert_eq!(granted.len(), 1);
    let by = (&granted[0]["by"]["subject"], &granted[0]["by"]["proof"]);
    assert_eq!(by, (&LEAD.name.into(), &"scram".into()));
    assert_eq!(granted[0]["comment"], "go on");
    assert!(place.steps("shown").iter().all(|step| step["by"]["subject"] == LEAD.name));
    let expect = async |by: &str, count: usize| {
        let records = changes(&place.portcullis, by, count).await;
        let said: Vec<_> = records.iter().map(told).collect();
        assert_eq!(said, vec![("decide-by-link", true); count], "{by}");
    };
    expect(LEAD.name, 5).await;
    expect(VIEWER.name, 1).await;
    expect("", 1).await;
}

#[tokio::test]
async fn a_link_can_refuse_and_a_changed_one_is_none() {
    let place = Place::start(None).await;
    let (mut session, link) = place.held().await;
    let lead = Browser::new(None);
    let page = place.open_as(&lead, &link, LEAD).await;
    let mut changed = link.clone();
    let last = changed.pop().expect("a link");
    changed.push(if last == 'A' { 'B' } else { 'A' });
    for wrong in [changed.as_str(), &link[..link.len() - 1], &format!("{link}A")] {
        let page = lead.open(wrong).await;
        assert_eq!(page.status, 404, "{page:#?}");
    }
    let done = lead.submit(&page, &[("decision", "refuse"), ("comment", "not today")]).await;
    assert!(done.status == 200 && done.body.contains("refused"), "{done:#?}");
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "E:42501 Z:I");
    let (session, link) = place.held().await;
    drop(session);
    wait_until("it is withdrawn", SOON, async || {
        place.steps("ended").iter().any(|step| step["state"] == "withdrawn").then_some(())
    })
    .await;
    let page = lead.open(&link).await;
    assert!(page.body.contains("withdrawn") && page.form().is_none(), "{page:#?}");
}

/// How a browser comes to the provider's own page.
async fn to_provider(place: &Place, browser: &Browser, link: &str) -> Page {
    let page = browser.open(link).await;
    check_private(&page);
    let sign_in = page.links().into_iter().next().expect("the way to the login");
    let page = browser.open(&format!("{}{sign_in}", place.portcullis.admin_url())).await;
    let links = page.links();
    let issuer = links.iter().find(|link| link.starts_with("/sign-in/issuer"));
    let issuer = issuer.unwrap_or_else(|| panic!("there is no way to the provider: {page:#?}"));
    browser.open(&format!("{}{issuer}", place.portcullis.admin_url())).await
}

#[tokio::test]
async fn approvers_log_in_at_their_provider() {
    let provider = Provider::start().await;
    provider.put(&Account::new("kim").groups(&["leads"])).await;
    provider.put(&Account::new("sue").groups(&["guests"])).await;
    let place = Place::start(Some(&provider)).await;
    let (mut session, link) = place.held().await;

    let guest = Browser::new(None);
    let page = to_provider(&place, &guest, &link).await;
    let page = provider.log_in(&guest, page, "sue").await;
    let page = place.follow(&guest, &page).await;
    assert_eq!(page.status, 403, "{page:#?}");

    let lead = Browser::new(None);
    let page = to_provider(&place, &lead, &link).await;
    let page = provider.log_in(&lead, page, "kim").await;
    assert!(page.url.contains("/sign-in/callback"), "{page:#?}");
    let page = place.follow(&lead, &page).await;
    let done = lead.submit(&page, &[("decision", "grant")]).await;
    assert_eq!(done.status, 200, "{done:#?}");
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 1 Z:I");
    let granted = place.steps("granted");
    let by = (&granted[0]["by"]["subject"], &granted[0]["by"]["proof"]);
    assert_eq!(by, (&"kim".into(), &"oidc".into()), "{granted:?}");
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_another_browser_or_twice() {
    let provider = Provider::start().await;
    provider.put(&Account::new("kim").groups(&["leads"])).await;
    let place = Place::start(Some(&provider)).await;
    let (_session, link) = place.held().await;
    let began = async || {
        let browser = Browser::new(None).stopping_at(provider.issuer());
        let page = to_provider(&place, &browser, &link).await;
        let back = provider.authorize(&page.url, "kim").await;
        assert!(back.contains("code="), "{back}");
        (browser, back)
    };
    // Led astray: the code is brought to a browser that did not begin this.
    let (owner, back) = began().await;
    let stranger = Browser::new(None);
    stranger.open(&format!("{}/sign-in", place.portcullis.admin_url())).await;
    assert_eq!(stranger.open(&back).await.status, 403);
    assert_eq!(owner.open(&back).await.status, 403, "it is over then");

    let (owner, back) = began().await;
    let forged = back.replace("state=", "state=x");
    assert_eq!(owner.open(&forged).await.status, 403);
    let page = owner.open(&back).await;
    assert_eq!(page.status, 200, "{page:#?}");
    assert!(place.follow(&owner, &page).await.asks_for("mark"));
    assert_eq!(owner.open(&back).await.status, 403, "no code is taken twice");

    let browser = Browser::new(None).stopping_at(provider.issuer());
    let page = to_provider(&place, &browser, &link).await;
    let denied = provider.refuse_authorization(&page.url).await;
    assert_eq!(browser.open(&denied).await.status, 403);
}

#[tokio::test]
async fn who_is_logged_in_by_cookie_can_log_out_and_be_shut_out() {
    let place = Place::start(None).await;
    let (_session, link) = place.held().await;
    let url = place.portcullis.admin_url();
    let lead = Browser::new(None);
    place.open_as(&lead, &link, LEAD).await;
    let front = lead.open(&url).await;
    assert!(front.body.contains(LEAD.name) && front.body.contains("approver"), "{front:#?}");
    // No cookie opens the API.
    let page = lead.open(&format!("{url}/v1/approvals")).await;
    assert_eq!(page.status, 401, "{page:#?}");
    let refused = lead.submit(&front, &[("mark", "guess")]).await;
    assert_eq!(refused.status, 403);
    let out = lead.submit(&front, &[]).await;
    assert!(!out.body.contains(LEAD.name), "{out:#?}");
    check_private(&lead.open(&link).await);

    let page = place.open_as(&lead, &link, LEAD).await;
    assert!(page.asks_for("mark"), "{page:#?}");
    let path = format!("/v1/principals/{}/disabled", LEAD.name);
    let body = Some(serde_json::json!({}));
    assert_eq!(place.portcullis.api_as(ADMIN, "PUT", &path, body).await.0, 200);
    check_private(&lead.open(&link).await);

    // A wrong password, and a form that another site fills in.
    let form = Browser::new(None);
    let page = form.open(&format!("{url}/sign-in")).await;
    let wrong = form.submit(&page, &[("name", ANA.name), ("password", "guess")]).await;
    assert_eq!(wrong.status, 403, "{wrong:#?}");
    assert!(form.open(&url).await.links().contains(&"/sign-in".to_owned()));
    let filled = [("name", ADMIN.name), ("password", PASSWORD), ("mark", "guess")];
    let request = http::client(None).post(format!("{url}/sign-in")).form(&filled);
    assert_eq!(request.send().await.expect("it answers").status().as_u16(), 403);
    let right = form.submit(&page, &[("name", ANA.name), ("password", PASSWORD)]).await;
    assert_eq!(right.status, 200, "{right:#?}");
    assert!(form.open(&url).await.body.contains(ANA.name));
}
