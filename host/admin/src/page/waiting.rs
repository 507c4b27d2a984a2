//! The page for a person whose psql waits for a login in the browser.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::{page, problem_page};
use crate::extract::Segment;
use crate::problem::Problem;
use crate::settings::{host, is_loopback};
use crate::shared::Shared;
use crate::text::time;

/// `GET /login/{id}`: whoever has the id was shown it by the waiting session, and nobody can
/// guess one. What the page gives is the means to confirm a login as oneself; whether that
/// one may be who the session says is the proxy's to decide.
pub(super) async fn show(State(shared): State<Arc<Shared>>, Segment(id): Segment) -> Response {
    let Some(login) = shared.parts.control.browser_login(&id) else {
        let detail = "nothing waits here: the login is over, or the address is not complete";
        return problem_page(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let body = html! {
        p { "A database client waits for you to log in:" }
        dl {
            dt { "It comes from" } dd { (login.client_address) }
            dt { "for the database" } dd { (login.database) }
            dt { "as the user" } dd { (login.startup_user) }
            dt { "and waits until" } dd { (time(login.until)) }
        }
        p {
            strong { "Go on only if that is you, just now." }
            " Whoever sent you this address would else use the database in your name."
        }
        p { "Your code is" }
        p class="code" { (login.user_code) }
        @if is_web_address(&login.verification_uri) {
            p { a href=(login.verification_uri) rel="noreferrer" { "Go on to log in" } }
        } @else {
            p { "Enter it at " (login.verification_uri) }
        }
    };
    page(StatusCode::OK, "Log in to the database", body)
}

/// An issuer's own word is no reason to run what it sends as a script.
fn is_web_address(uri: &str) -> bool {
    let rest = |scheme: &str| uri.strip_prefix(scheme);
    let authority = |rest: &str| rest.split(['/', '?', '#']).next().map(host).map(is_loopback);
    rest("https://").is_some() || rest("http://").and_then(authority) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_become_links() {
        let check = |uri: &str, expected: bool| assert_eq!(is_web_address(uri), expected, "{uri}");
        check("https://id.example.com/device?user_code=WDJB-MJHT", true);
        check("http://127.0.0.1:9000/device", true);
        check("http://localhost/device", true);
        check("http://id.example.com/device", false);
        check("javascript:alert(1)", false);
        check("data:text/html,x", false);
        check("//id.example.com", false);
        check("", false);
    }
}
