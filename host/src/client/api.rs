//! Requests to the admin API, and what its answers mean.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use reqwest::{Certificate, Method, StatusCode, Url, redirect};
use serde_json::Value;

use super::access::{self, Login, Surroundings};
use super::failure::{Failure, Kind};
use crate::cli::Access;

/// An API that answers more has gone mad.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The admin API, asked as somebody.
pub struct Api {
    client: Client,
    base: Url,
    login: Login,
}

impl Api {
    /// What the command line asks for. Nothing is sent yet.
    pub fn open(options: &Access, around: &Surroundings<'_>) -> Result<Api, Failure> {
        let base = access::address(options, around)?;
        let login = access::login(options, &base, around)?;
        Api::with(options, base, login)
    }

    /// As somebody else, or nobody.
    pub fn with(options: &Access, base: Url, login: Login) -> Result<Api, Failure> {
        let client = http(options.ca_file.as_deref(), base.scheme() == "https")?;
        Ok(Api { client, base, login })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    pub fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.send(Method::GET, path, None)
    }

    /// The answer's JSON; null where there is none.
    pub fn send(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.request(method, self.url(path)?);
        if let Some(body) = body {
            let body = body.to_string();
            request = request.header("content-type", "application/json").body(body);
        }
        self.value(request)
    }

    fn value(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let (status, text) = self.answer(request)?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| self.strange("it is no JSON"))
    }

    /// The answer as it is, whatever its status.
    pub fn text(&self, path: &[&str]) -> Result<(StatusCode, String), Failure> {
        self.answer(self.request(Method::GET, self.url(path)?))
    }

    /// The answer as it is, where it is one.
    pub fn text_of(&self, path: &[&str]) -> Result<String, Failure> {
        let (status, text) = self.text(path)?;
        if status.is_success() { Ok(text) } else { Err(self.refusal(status, &text)) }
    }

    /// Each element is one segment, whatever is in it.
    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear();
            for segment in path {
                // These two mean another path to everything that reads URLs.
                if matches!(*segment, "" | "." | "..") {
                    return Err(Failure::new(Kind::Gone, format!("there is no `{segment}`")));
                }
                segments.push(segment);
            }
        }
        Ok(url)
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url).header("accept", "application/json");
        match &self.login {
            Login::Nobody => request,
            Login::Password { user, password } => request.basic_auth(user, Some(password)),
            Login::Token { token, .. } => request.bearer_auth(token),
        }
    }

    fn answer(&self, request: RequestBuilder) -> Result<(StatusCode, String), Failure> {
        let response = request.send().map_err(|error| unreachable(&self.base, &error))?;
        let status = response.status();
        let text = read(response).map_err(|why| self.strange(&why))?;
        Ok((status, text))
    }

    fn strange(&self, why: &str) -> Failure {
        Failure::failed(format!("what answers at {} is not the admin API: {why}", self.base))
            .hint("name the API with --admin or PORTCULLIS_ADMIN")
    }

    fn refusal(&self, status: StatusCode, text: &str) -> Failure {
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        let message = said.get("detail").and_then(Value::as_str).map(str::to_owned);
        let kind = match status {
            StatusCode::UNAUTHORIZED => Kind::LoginNeeded,
            StatusCode::FORBIDDEN => Kind::NotAllowed,
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => Kind::Gone,
            _ => Kind::Failed,
        };
        let message = message.unwrap_or_else(|| format!("the admin API answered {status}"));
        let failure = Failure::new(kind, message);
        match kind {
            Kind::LoginNeeded => failure.hint(self.login_hint()),
            Kind::NotAllowed => failure.hint("`portcullis whoami` says what you may do"),
            Kind::Failed | Kind::Gone | Kind::Unreachable => failure,
        }
    }

    fn login_hint(&self) -> &'static str {
        match &self.login {
            Login::Nobody => "log in with `portcullis login`, or ask as --user NAME",
            Login::Password { .. } => {
                "name or password are wrong, or the password is not yet or no longer good"
            }
            Login::Token { is_kept: true, .. } => {
                "the login that is kept has expired: `portcullis login`"
            }
            Login::Token { is_kept: false, .. } => "the token is not, or no longer, good here",
        }
    }
}

/// A client that follows nobody elsewhere, and trusts `ca_file` alone where there is one.
pub fn http(ca_file: Option<&Path>, is_tls: bool) -> Result<Client, Failure> {
    let mut builder: ClientBuilder = Client::builder()
        // Elsewhere nobody is known, and secrets are not for them.
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    if !is_tls {
        // Through a proxy, what is for this machine would leave it.
        builder = builder.no_proxy();
    }
    if let Some(path) = ca_file {
        let failed =
            |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
        let pem = fs::read(path).map_err(|error| failed(&error))?;
        let roots = Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
        if roots.is_empty() {
            return Err(failed(&"there is no certificate in it"));
        }
        builder = builder.tls_certs_only(roots);
    }
    builder.build().map_err(|error| Failure::failed(format!("no HTTP client: {}", deepest(&error))))
}

/// The body, within bounds.
pub fn read(response: Response) -> Result<String, String> {
    let mut body = Vec::new();
    response
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut body)
        .map_err(|error| format!("it broke off: {error}"))?;
    String::from_utf8(body).map_err(|_| "it is no text".to_owned())
}

/// Why nothing answered at the API's address.
fn unreachable(base: &Url, error: &reqwest::Error) -> Failure {
    let hint = "is it running, with [admin] in its configuration? --admin names another place";
    let failure = no_answer(base, error);
    if failure.has_hint() { failure } else { failure.hint(hint) }
}

/// Why nothing answered.
pub fn no_answer(at: &Url, error: &reqwest::Error) -> Failure {
    let why = deepest(error);
    let failure = Failure::new(Kind::Unreachable, format!("{at} does not answer: {why}"));
    match why.to_ascii_lowercase().contains("certificate") {
        true => failure.hint("name the authority that signed it with --ca-file"),
        false => failure,
    }
}

/// What it comes down to, without the URL, which may hold secrets.
fn deepest(error: &reqwest::Error) -> String {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    if error.is_timeout() { "it took too long".to_owned() } else { deepest.to_string() }
}
