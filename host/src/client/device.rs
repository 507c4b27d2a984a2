//! Logging in with a browser elsewhere: the device flow (RFC 8628), against the provider
//! itself.

use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use super::api;
use super::failure::{Failure, Kind};
use super::show::{self, text};
use crate::config::is_loopback;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const INTERVAL_DEFAULT: u64 = 5;
/// What `slow_down` adds (RFC 8628, section 3.5).
const SLOWER_SECONDS: u64 = 5;
const INTERVAL_MAX: u64 = 60;
const WAIT_SECONDS_MAX: u64 = 1800;

/// A provider, and what it knows this command as.
pub struct Provider {
    pub url: String,
    pub client_id: String,
    pub scopes: Vec<String>,
}

/// What a person must do.
pub struct Code {
    pub user_code: String,
    pub verification_uri: String,
    /// With the code in it.
    pub complete: Option<String>,
    pub expires_in: Duration,
    device_code: String,
    interval: Duration,
    token_endpoint: Url,
}

/// What the provider gave, the likelier first.
pub struct Tokens(pub Vec<String>);

impl Provider {
    /// Asks for a code.
    pub fn begin(&self, client: &Client) -> Result<Code, Failure> {
        let metadata = self.metadata(client)?;
        let endpoint = |name| endpoint(&metadata, name);
        let device_endpoint = endpoint("device_authorization_endpoint").ok_or_else(|| {
            Failure::failed(format!("{} offers no device flow over https", self.url))
                .hint("use a provider's token with --token-file, or --user NAME")
        })?;
        let token_endpoint = endpoint("token_endpoint")
            .ok_or_else(|| Failure::failed(format!("{} offers no tokens over https", self.url)))?;
        let scope = self.scopes.join(" ");
        let fields = [("client_id", self.client_id.as_str()), ("scope", &scope)];
        let (is_good, answer) = self.ask(form(client, device_endpoint, &fields))?;
        if !is_good {
            return Err(self.refusal(&answer));
        }
        self.code(&answer, token_endpoint)
    }

    fn code(&self, answer: &Value, token_endpoint: Url) -> Result<Code, Failure> {
        let lacking = |name| Failure::failed(format!("{} answered without `{name}`", self.url));
        let member = |name| Some(text(answer, name)).filter(|text| !text.is_empty());
        let page = |name| member(name).filter(|uri| is_page(uri));
        let number = |name, default| answer.get(name).and_then(Value::as_u64).unwrap_or(default);
        let interval = number("interval", INTERVAL_DEFAULT).clamp(1, INTERVAL_MAX);
        let expires_in = number("expires_in", WAIT_SECONDS_MAX).min(WAIT_SECONDS_MAX);
        Ok(Code {
            user_code: member("user_code").ok_or_else(|| lacking("user_code"))?,
            verification_uri: page("verification_uri")
                .ok_or_else(|| lacking("verification_uri"))?,
            complete: page("verification_uri_complete"),
            expires_in: Duration::from_secs(expires_in),
            device_code: member("device_code").ok_or_else(|| lacking("device_code"))?,
            interval: Duration::from_secs(interval),
            token_endpoint,
        })
    }

    /// Waits until the person has confirmed.
    pub fn confirmed(
        &self,
        client: &Client,
        code: &Code,
        pause: &dyn Fn(Duration),
    ) -> Result<Tokens, Failure> {
        let started = Instant::now();
        let mut interval = code.interval;
        while started.elapsed() < code.expires_in {
            pause(interval);
            let fields = [
                ("grant_type", GRANT_TYPE),
                ("device_code", code.device_code.as_str()),
                ("client_id", self.client_id.as_str()),
            ];
            let (is_good, answer) = self.ask(form(client, code.token_endpoint.clone(), &fields))?;
            if is_good {
                return self.tokens(&answer);
            }
            match text(&answer, "error").as_str() {
                "authorization_pending" => {}
                "slow_down" => {
                    interval = interval.saturating_add(Duration::from_secs(SLOWER_SECONDS));
                }
                "expired_token" => break,
                "access_denied" => {
                    return Err(Failure::new(Kind::LoginNeeded, "the login was refused there"));
                }
                _ => return Err(self.refusal(&answer)),
            }
        }
        Err(Failure::new(Kind::LoginNeeded, "nobody confirmed in time").hint("try again"))
    }

    /// An identity token says who it was; an access token may say so too.
    fn tokens(&self, answer: &Value) -> Result<Tokens, Failure> {
        let tokens: Vec<String> = ["id_token", "access_token"]
            .map(|name| text(answer, name))
            .into_iter()
            .filter(|token| !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic()))
            .collect();
        if tokens.is_empty() {
            return Err(Failure::failed(format!("{} answered without a token", self.url)));
        }
        Ok(Tokens(tokens))
    }

    fn metadata(&self, client: &Client) -> Result<Value, Failure> {
        let wrong = |why: &str| Failure::failed(format!("{} is no provider: {why}", self.url));
        let document =
            format!("{}/.well-known/openid-configuration", self.url.trim_end_matches('/'));
        let Some(document) = safe(&document) else {
            return Err(wrong("its address must begin with https://"));
        };
        let (is_good, metadata) = self.ask(client.get(document))?;
        if !is_good {
            return Err(wrong("it does not describe itself"));
        }
        // A page that describes somebody else leads the person to somebody else.
        if text(&metadata, "issuer") != self.url {
            return Err(wrong("what is there describes another one"));
        }
        Ok(metadata)
    }

    /// Whether it went well, and the JSON.
    fn ask(&self, request: RequestBuilder) -> Result<(bool, Value), Failure> {
        let unreachable = |error: &reqwest::Error| match self.url.parse() {
            Ok(url) => api::no_answer(&url, error),
            Err(_) => Failure::new(Kind::Unreachable, "the provider does not answer"),
        };
        let response = request
            .header("accept", "application/json")
            .send()
            .map_err(|error| unreachable(&error))?;
        let is_good = response.status().is_success();
        let body = api::read(response).map_err(Failure::failed)?;
        let json = serde_json::from_str(&body)
            .map_err(|_| Failure::failed(format!("{} did not answer in JSON", self.url)))?;
        Ok((is_good, json))
    }

    fn refusal(&self, answer: &Value) -> Failure {
        let why = [text(answer, "error"), text(answer, "error_description")];
        let why: Vec<String> = why.into_iter().filter(|why| !why.is_empty()).collect();
        Failure::failed(format!("{} refuses: {}", self.url, why.join(": ")))
    }
}

impl Code {
    /// What the person reads.
    pub fn instructions(&self) -> String {
        let length = show::length(self.expires_in.as_secs());
        let (uri, code) = (show::one(&self.verification_uri), show::one(&self.user_code));
        match &self.complete {
            Some(complete) => format!(
                "Open {}\nand confirm the code {code}, within {length}.\nOr enter the code at {uri}\n",
                show::one(complete)
            ),
            None => format!("Open {uri}\nand enter the code {code}, within {length}.\n"),
        }
    }
}

fn form(client: &Client, url: Url, fields: &[(&str, &str)]) -> RequestBuilder {
    // A URL's query is written as a form is.
    let mut written = url.clone();
    written.query_pairs_mut().clear().extend_pairs(fields);
    client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(written.query().unwrap_or_default().to_owned())
}

fn endpoint(metadata: &Value, name: &str) -> Option<Url> {
    metadata.get(name).and_then(Value::as_str).and_then(safe)
}

/// A URL that secrets may be sent to.
fn safe(url: &str) -> Option<Url> {
    let url: Url = url.parse().ok()?;
    (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))).then_some(url)
}

/// A page that a person may be sent to.
fn is_page(uri: &str) -> bool {
    uri.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}
