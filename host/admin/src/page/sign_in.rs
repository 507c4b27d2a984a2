//! Logging a browser in: by name and password, or at an issuer (authorization code and PKCE).

use std::sync::Arc;
use std::time::Instant;

use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use portcullis_identity::{CodeLogin, CodeRequest, Proven, Secret};
use serde::Deserialize;

use super::{
    Jar, bad_form, go_on, is_own_form, next_path, not_own_form, page, problem_page, signed_in,
};
use crate::caller;
use crate::guard::Peer;
use crate::problem::Problem;
use crate::secret;
use crate::shared::Shared;

/// How a failed login at an issuer is counted before anybody is named.
const BROWSER: &str = "(browser)";

#[derive(Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

/// `GET /sign-in`
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let next = next(wanted);
    if signed_in(&shared, &headers, address).is_some() {
        return Redirect::to(&next).into_response();
    }
    offer(&shared, &headers, StatusCode::OK, &next, html! {})
}

/// The form, and a cookie that ties what is sent to this browser.
fn offer(
    shared: &Shared,
    headers: &HeaderMap,
    status: StatusCode,
    next: &str,
    before: Markup,
) -> Response {
    let carried = Jar::Login.read(shared, headers).filter(|cookie| super::is_token(cookie));
    let Some(cookie) = carried.or_else(secret::random) else {
        return problem_page(Problem::unavailable("this system has no randomness"));
    };
    let issuer = shared.settings.load().browser_issuer.clone();
    let body = html! {
        (before)
        @if let Some(issuer) = &issuer {
            p { a href=(format!("/sign-in/issuer?next={next}")) { "Log in with " (issuer) } }
        }
        form method="post" action="/sign-in" {
            input type="hidden" name="mark" value=(shared.key.form_mark(&cookie));
            input type="hidden" name="next" value=(next);
            label { "Name" br; input name="name" autocomplete="username" required; }
            label {
                "Password" br;
                input type="password" name="password" autocomplete="current-password" required;
            }
            button { "Log in" }
        }
    };
    let mut response = page(status, "Log in", body);
    Jar::Login.set(shared, &cookie, &mut response);
    response
}

#[derive(Deserialize)]
pub(super) struct Filled {
    mark: String,
    name: String,
    password: String,
    next: Option<String>,
}

/// `POST /sign-in`
pub(super) async fn by_password(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
    form: Result<Form<Filled>, FormRejection>,
) -> Response {
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => return problem_page(bad_form(rejection)),
    };
    let cookie = Jar::Login.read(&shared, &headers);
    if !cookie.is_some_and(|cookie| is_own_form(&shared, &headers, &cookie, &form.mark)) {
        return problem_page(not_own_form());
    }
    let next = next_path(form.next.as_deref());
    match caller::by_password(&shared, &form.name, &form.password, address).await {
        Ok(caller) => log_in(&shared, &headers, caller.proven, &next),
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            let failed = html! { p { strong { "The login failed." } } };
            offer(&shared, &headers, StatusCode::FORBIDDEN, &next, failed)
        }
        Err(problem) => problem_page(problem),
    }
}

/// `GET /sign-in/issuer`: sends the browser to the issuer.
pub(super) async fn at_issuer(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let settings = shared.settings.load_full();
    let Some(issuer) = &settings.browser_issuer else {
        return problem_page(Problem::new(StatusCode::NOT_FOUND, "no issuer is configured"));
    };
    let Some(cookie) = Jar::Login.read(&shared, &headers) else {
        // A cookie that the first page set did not come back, or nobody saw that page.
        return Redirect::to("/sign-in").into_response();
    };
    let begun = shared.flows.begin(&cookie, issuer, &next(wanted), Instant::now());
    let Some(begun) = begun else {
        return problem_page(Problem::unavailable("this system has no randomness"));
    };
    let request = CodeRequest {
        redirect_uri: redirect_uri(&shared),
        state: begun.state,
        nonce: begun.nonce,
        pkce_challenge: begun.pkce_challenge,
    };
    match settings.directory.issuers.authorization_url(issuer, request).await {
        Ok(url) => Redirect::to(&url).into_response(),
        Err(error) => {
            tracing::warn!(%error, issuer, "a browser cannot be sent to its issuer");
            problem_page(Problem::unavailable(error.for_client()))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Back {
    state: String,
    code: Option<String>,
    /// RFC 9207: who sent the browser back.
    iss: Option<String>,
}

/// `GET /sign-in/callback`: the browser is back with a code, which is good once.
pub(super) async fn back_from_issuer(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
    back: Result<Query<Back>, QueryRejection>,
) -> Response {
    let Ok(Query(back)) = back else {
        return problem_page(Problem::malformed("the issuer's answer could not be read"));
    };
    let cookie = Jar::Login.read(&shared, &headers).unwrap_or_default();
    let Some(flow) = shared.flows.finish(&back.state, &cookie, Instant::now()) else {
        let detail = "this login is over, or it began in another browser: begin again";
        return problem_page(Problem::forbidden(detail));
    };
    let issuers = shared.settings.load().directory.issuers.clone();
    let mixed_up = back
        .iss
        .as_deref()
        .is_some_and(|said| issuers.config(&flow.issuer).is_none_or(|issuer| issuer.url != said));
    let Some(code) = back.code.filter(|_| !mixed_up) else {
        return problem_page(Problem::forbidden("the issuer did not let you in"));
    };
    let login = CodeLogin {
        code: Secret::new(code),
        redirect_uri: redirect_uri(&shared),
        pkce_verifier: Secret::new(flow.pkce_verifier),
        nonce: flow.nonce,
    };
    let proven = issuers.exchange_code(&flow.issuer, login).await;
    let proven = proven.map_err(caller::Unproven::from);
    match caller::settle(&shared, proven, BROWSER, address).await {
        Ok(caller) => log_in(&shared, &headers, caller.proven, &flow.next),
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            problem_page(Problem { status: StatusCode::FORBIDDEN, ..problem })
        }
        Err(problem) => problem_page(problem),
    }
}

/// A new cookie for each login: one that somebody planted before is worth nothing.
fn log_in(shared: &Shared, headers: &HeaderMap, proven: Proven, next: &str) -> Response {
    if let Some(old) = Jar::Session.read(shared, headers) {
        shared.browsers.log_out(&old);
    }
    let Some(cookie) = shared.browsers.log_in(proven, Instant::now()) else {
        return problem_page(Problem::unavailable("too many browsers are logged in"));
    };
    let mut response = go_on(next);
    Jar::Session.set(shared, &cookie, &mut response);
    Jar::Login.set(shared, "", &mut response);
    response
}

fn redirect_uri(shared: &Shared) -> String {
    format!("{}/sign-in/callback", shared.url())
}

fn next(wanted: Result<Query<Wanted>, QueryRejection>) -> String {
    let wanted = wanted.ok().and_then(|Query(wanted)| wanted.next);
    next_path(wanted.as_deref())
}
