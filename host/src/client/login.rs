//! `portcullis login` and `logout`.

use reqwest::Url;
use serde_json::{Value, json};

use super::access::{self, Surroundings};
use super::api::{self, Api};
use super::credentials;
use super::device::{Provider, Tokens};
use super::failure::{Failure, Kind};
use super::kept;
use super::show::{self, text};
use crate::cli::{Access, Login};

/// Logs in and keeps the login; then issues a password, where one is wanted.
pub fn run(
    arguments: &Login,
    around: &Surroundings<'_>,
    say: &dyn Fn(&str) -> Result<(), Failure>,
    now: i64,
) -> Result<(Value, String), Failure> {
    let access = &arguments.access;
    let base = access::address(access, around)?;
    access::check_way(&base)?;
    let directory = kept::directory(around.environment)?;
    let nobody = Api::with(access, base.clone(), access::Login::Nobody)?;
    let provider = provider(arguments, &nobody)?;
    let client = api::http(access.ca_file.as_deref(), provider.url.starts_with("https:"))?;
    let code = provider.begin(&client)?;
    say(&code.instructions())?;
    let tokens = provider.confirmed(&client, &code, around.pause)?;
    let (api, whoami, token) = accepted(access, &base, tokens)?;
    let file = kept::store(&directory, &base, &token)?;
    let subject = show::line(&whoami, "subject");
    let mut shown = format!("logged in as {subject}; kept in {}\n", file.display());
    let mut answer = json!({ "login": whoami });
    if let Some(database) = &arguments.database {
        let (credential, text) = credentials::issue(&api, database, arguments.minutes, now)?;
        shown.push_str(&format!("\n{text}"));
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("credential".to_owned(), credential);
        }
    }
    Ok((answer, shown))
}

/// The first token that the API knows somebody by.
fn accepted(access: &Access, base: &Url, tokens: Tokens) -> Result<(Api, Value, String), Failure> {
    let mut refused = Failure::failed("the provider gave no token");
    for token in tokens.0 {
        let login = access::Login::Token { token: token.clone(), is_kept: false };
        let api = Api::with(access, base.clone(), login)?;
        match api.get(&["v1", "whoami"]) {
            Ok(whoami) => return Ok((api, whoami, token)),
            Err(failure) if failure.kind == Kind::LoginNeeded => refused = failure,
            Err(failure) => return Err(failure),
        }
    }
    Err(refused.hint("the provider knows you, but the proxy takes none of its tokens for this client: see `audiences` in its [[issuer]]"))
}

/// Whom to log in with: as the command line says, or the API.
fn provider(arguments: &Login, api: &Api) -> Result<Provider, Failure> {
    if let (Some(url), Some(client_id)) = (&arguments.issuer_url, &arguments.client_id) {
        return Ok(Provider {
            url: url.clone(),
            client_id: client_id.clone(),
            scopes: arguments.scope.clone(),
        });
    }
    let unnamed = || {
        Failure::new(Kind::LoginNeeded, "the API names no provider to log in with")
            .hint("name one with --issuer-url and --client-id, or use --user NAME")
    };
    let options = match api.get(&["v1", "login-options"]) {
        Ok(options) => options,
        Err(failure) if failure.kind == Kind::Unreachable => return Err(failure),
        Err(_) => return Err(unnamed()),
    };
    let issuer = options.get("issuer").filter(|issuer| !issuer.is_null()).ok_or_else(unnamed)?;
    let mut scopes: Vec<String> = show::list(issuer, "scopes")
        .iter()
        .filter_map(|scope| scope.as_str().map(str::to_owned))
        .collect();
    if scopes.is_empty() {
        scopes = arguments.scope.clone();
    }
    let (url, client_id) = (text(issuer, "url"), text(issuer, "client_id"));
    if url.is_empty() || client_id.is_empty() {
        return Err(unnamed());
    }
    Ok(Provider { url, client_id, scopes })
}

/// Forgets the login that is kept for the API.
pub fn forget(access: &Access, around: &Surroundings<'_>) -> Result<(Value, String), Failure> {
    let base = access::address(access, around)?;
    let directory = kept::directory(around.environment)?;
    let was_there = kept::forget(&directory, &base)?;
    let shown = if was_there { "the login is forgotten\n" } else { "no login was kept\n" };
    Ok((json!({ "forgotten": was_there }), shown.to_owned()))
}
