//! Pages for people: without scripts, pictures, or anything from elsewhere.

mod approve;
mod front;
mod sign_in;
mod waiting;

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cookie::{Cookie, SameSite};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

use crate::caller::{self, Caller};
use crate::guard::is_from_another_site;
use crate::problem::{Problem, Refusal};
use crate::shared::Shared;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;\
color:#1c2024;background:#fff}h1{font-size:1.4rem}dt{font-weight:600;margin-top:.6rem}\
dd{margin:0}pre{background:#f2f4f6;padding:.8rem;overflow-x:auto;white-space:pre-wrap;\
overflow-wrap:anywhere}input,textarea,button{font:inherit;padding:.4rem .6rem;margin:.2rem 0}\
textarea{width:100%;box-sizing:border-box}label{display:block;margin-top:.8rem}\
.code{font:600 1.6rem monospace;letter-spacing:.1em}.note{color:#5a6570}\
@media(prefers-color-scheme:dark){body{color:#e6e8ea;background:#15181b}pre{background:#22272c}\
a{color:#8ab4f8}.note{color:#9aa5b0}}";

/// Styles by their digest, forms to ourselves, and nothing else at all.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    )
});

/// Every page at its path.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(front::show))
        .route("/login/{id}", get(waiting::show))
        .route("/approve/{token}", get(approve::show).post(approve::decide))
        .route("/sign-in", get(sign_in::show).post(sign_in::by_password))
        .route("/sign-in/issuer", get(sign_in::at_issuer))
        .route("/sign-in/callback", get(sign_in::back_from_issuer))
        .route("/sign-out", post(front::sign_out))
}

fn page(status: StatusCode, title: &str, body: Markup) -> Response {
    with_head(status, title, body, html! {})
}

fn with_head(status: StatusCode, title: &str, body: Markup, head: Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " - Portcullis" }
                style { (PreEscaped(STYLE)) }
                (head)
            }
            body { main { h1 { (title) } (body) } }
        }
    };
    let mut response = (status, page.into_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A problem, as people read it.
fn problem_page(problem: Problem) -> Response {
    let title = problem.status.canonical_reason().unwrap_or("Refused");
    let mut response = page(problem.status, title, html! { p { (problem.detail) "." } });
    response.extensions_mut().insert(Refusal(problem.detail));
    response
}

/// Names of cookies. `__Host-` makes browsers insist on TLS and on this very host.
#[derive(Clone, Copy)]
enum Jar {
    /// A browser that is logged in.
    Session,
    /// A browser that is about to: it ties a login to the browser that began it.
    Login,
}

impl Jar {
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Jar::Session, true) => "__Host-portcullis-session",
            (Jar::Session, false) => "portcullis-session",
            (Jar::Login, true) => "__Host-portcullis-login",
            (Jar::Login, false) => "portcullis-login",
        }
    }

    /// What the browser carries; nothing when it carries two.
    fn read(self, shared: &Shared, headers: &HeaderMap) -> Option<String> {
        let name = self.name(shared.url().is_secure());
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let cookies = lines.flat_map(Cookie::split_parse).flatten();
        let mut named = cookies.filter(|cookie| cookie.name() == name);
        let (Some(one), None) = (named.next(), named.next()) else { return None };
        Some(one.value().to_owned())
    }

    fn set(self, shared: &Shared, value: &str, response: &mut Response) {
        let secure = shared.url().is_secure();
        let same_site = match self {
            Jar::Session => SameSite::Strict,
            // An issuer sends the browser back here, and then it must be with it.
            Jar::Login => SameSite::Lax,
        };
        let mut cookie = Cookie::build((self.name(secure), value.to_owned()))
            .path("/")
            .http_only(true)
            .secure(secure)
            .same_site(same_site)
            .build();
        if value.is_empty() {
            cookie.make_removal();
        }
        if let Ok(line) = HeaderValue::from_str(&cookie.to_string()) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
    }
}

/// Who is logged in in this browser, with the cookie; who does not hold any more is not.
fn signed_in(
    shared: &Shared,
    headers: &HeaderMap,
    address: SocketAddr,
) -> Option<(Caller, String)> {
    let cookie = Jar::Session.read(shared, headers)?;
    let proven = shared.browsers.who(&cookie, Instant::now())?;
    match caller::caller(shared, proven, address) {
        Ok(caller) => Some((caller, cookie)),
        Err(reason) => {
            tracing::info!(reason, "a browser was logged out");
            shared.browsers.log_out(&cookie);
            None
        }
    }
}

/// Was this form filled in on a page of ours, in the browser that carries `cookie`?
fn is_own_form(shared: &Shared, headers: &HeaderMap, cookie: &str, mark: &str) -> bool {
    !is_from_another_site(headers) && shared.key.is_mark(cookie, mark)
}

fn not_own_form() -> Problem {
    Problem::forbidden("this form did not come from a page that this browser was shown here")
}

fn bad_form(rejection: FormRejection) -> Problem {
    let status = rejection.into_response().status();
    let detail = if status == StatusCode::PAYLOAD_TOO_LARGE {
        "the form is too large"
    } else {
        "the form could not be read"
    };
    Problem::new(status, detail)
}

/// Goes to a path of ours. After a login elsewhere the browser must be told by a page: in a
/// redirect it would not send a cookie that is for this site only.
fn go_on(next: &str) -> Response {
    let refresh = html! { meta http-equiv="refresh" content=(format!("0; url={next}")); };
    with_head(StatusCode::OK, "Logged in", html! { p { a href=(next) { "Continue" } } }, refresh)
}

/// The paths that a login may lead to; anything else becomes the front page, so that nobody
/// is led elsewhere by a link that begins here.
fn next_path(wanted: Option<&str>) -> String {
    let token = wanted.and_then(|path| path.strip_prefix("/approve/"));
    match token {
        Some(token) if is_token(token) => format!("/approve/{token}"),
        Some(_) | None => "/".to_owned(),
    }
}

fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= 256 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        let check = |wanted: &str, expected: &str| {
            assert_eq!(next_path(Some(wanted)), expected, "{wanted}");
        };
        check("/approve/abc-DEF_1", "/approve/abc-DEF_1");
        check("/approve/", "/");
        check("/approve/a/b", "/");
        check("/approve/a?b", "/");
        check("/approve/a%2f", "/");
        check("/approve/a\"><script>", "/");
        check("//evil.example/approve/a", "/");
        check("https://evil.example/approve/a", "/");
        check("/\\evil.example", "/");
        check("", "/");
    }
}
