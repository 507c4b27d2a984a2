//! The front page: who is logged in, and logging out.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::{Jar, bad_form, is_own_form, not_own_form, page, problem_page, signed_in};
use crate::guard::Peer;
use crate::shared::Shared;

/// `GET /`
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
) -> Response {
    let body = match signed_in(&shared, &headers, address) {
        Some((caller, cookie)) => html! {
            p { "You are " strong { (caller.proven.subject) } "." }
            p class="note" {
                @match caller.roles.names().as_slice() {
                    [] => "None of your groups has a role here.",
                    names => { "Roles: " (names.join(", ")) "." }
                }
            }
            form method="post" action="/sign-out" {
                input type="hidden" name="mark" value=(shared.key.form_mark(&cookie));
                button { "Log out" }
            }
        },
        None => html! { p { a href="/sign-in" { "Log in" } } },
    };
    page(StatusCode::OK, "Portcullis", body)
}

#[derive(Deserialize)]
pub(super) struct SignOut {
    mark: String,
}

/// `POST /sign-out`
pub(super) async fn sign_out(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    form: Result<Form<SignOut>, FormRejection>,
) -> Response {
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => return problem_page(bad_form(rejection)),
    };
    let cookie = Jar::Session.read(&shared, &headers).unwrap_or_default();
    if !is_own_form(&shared, &headers, &cookie, &form.mark) {
        return problem_page(not_own_form());
    }
    shared.browsers.log_out(&cookie);
    let mut response = Redirect::to("/").into_response();
    Jar::Session.set(&shared, "", &mut response);
    response
}
