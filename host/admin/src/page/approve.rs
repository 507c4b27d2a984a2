//! Where the link in a message leads: one approval, to be granted or refused.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use portcullis_approvals::{LinkError, View};
use portcullis_policy::approval::Standing;
use portcullis_policy::event::{Actor, Notable};
use serde::Deserialize;

use super::{bad_form, is_own_form, is_token, not_own_form, page, problem_page, signed_in};
use crate::api::approval_problem;
use crate::caller::{self, Caller};
use crate::extract::Segment;
use crate::guard::Peer;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::shared::{Shared, seconds_now};
use crate::text::seconds;

/// `GET /approve/{token}`: looks, and uses nothing up, since chat rooms fetch what they are
/// shown. Nothing of the approval is seen without a login.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
    Segment(token): Segment,
) -> Response {
    let id = match shared.parts.links.peek(&token, seconds_now()) {
        Ok(id) => id,
        Err(error) => return problem_page(link_problem(error)),
    };
    let Some((caller, cookie)) = signed_in(&shared, &headers, address) else {
        return log_in_first(&token);
    };
    if let Err(problem) = caller.meets(Operation::ShowApproval.route().need) {
        return problem_page(problem);
    }
    match shared.parts.approvals.show(&id, caller.actor()).await {
        Ok(view) => facts(&view, &token, &shared.key.form_mark(&cookie)),
        Err(error) => problem_page(approval_problem(error)),
    }
}

#[derive(Deserialize)]
pub(super) struct Decision {
    mark: String,
    decision: String,
    comment: Option<String>,
    lease_minutes: Option<String>,
}

/// `POST /approve/{token}`
pub(super) async fn decide(
    State(shared): State<Arc<Shared>>,
    Peer(address): Peer,
    headers: HeaderMap,
    Segment(token): Segment,
    form: Result<Form<Decision>, FormRejection>,
) -> Response {
    let Some((caller, cookie)) = signed_in(&shared, &headers, address) else {
        let refused = Problem::forbidden("this needs a login");
        let by = caller::anonymous(address);
        let recorded = record_refusal(&shared, by, "", &refused).await;
        caller::hold_back_failed(&shared, "", address).await;
        return match recorded {
            Ok(()) => log_in_first(&token),
            Err(problem) => problem_page(problem),
        };
    };
    let decided = match form {
        Ok(Form(form)) if is_own_form(&shared, &headers, &cookie, &form.mark) => {
            take(&shared, &caller, &token, form).await
        }
        Ok(_) => Err(not_own_form()),
        Err(rejection) => Err(bad_form(rejection)),
    };
    match decided {
        Ok(view) => outcome(&view),
        Err(problem) => match record_refusal(&shared, caller.actor(), &token, &problem).await {
            Ok(()) => problem_page(problem),
            Err(problem) => problem_page(problem),
        },
    }
}

/// Counts the decision, and uses the link up with it. One that does not count leaves the
/// link to those who may.
async fn take(
    shared: &Shared,
    caller: &Caller,
    token: &str,
    form: Decision,
) -> Result<View, Problem> {
    let _only_one = shared.link_in_use.lock().await;
    let (links, approvals) = (&shared.parts.links, &shared.parts.approvals);
    let id = links.peek(token, seconds_now()).map_err(link_problem)?;
    let (by, actor) = (caller.principal(), caller.actor());
    let decided = match form.decision.as_str() {
        "grant" => {
            caller.meets(Operation::GrantApproval.route().need)?;
            let lease = lease_seconds(form.lease_minutes.as_deref())?;
            approvals.grant(&id, &by, actor, form.comment, lease).await
        }
        "refuse" => {
            caller.meets(Operation::RefuseApproval.route().need)?;
            approvals.refuse(&id, &by, actor, form.comment).await
        }
        _ => return Err(Problem::malformed("a decision is grant or refuse")),
    };
    let view = decided.map_err(approval_problem)?;
    if let Err(error) = links.redeem(token, seconds_now()) {
        // The decision stands; the case it was about is decided or has this vote.
        tracing::warn!(%error, "a link that was used could not be marked so");
    }
    Ok(view)
}

fn lease_seconds(minutes: Option<&str>) -> Result<u32, Problem> {
    let minutes = match minutes.map(str::trim) {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| Problem::malformed("minutes are a number"))?,
    };
    60_u32.checked_mul(minutes).ok_or_else(|| Problem::malformed("no lease is that long"))
}

async fn record_refusal(
    shared: &Shared,
    by: Actor,
    token: &str,
    problem: &Problem,
) -> Result<(), Problem> {
    let id = shared.parts.links.peek(token, seconds_now());
    let target = id.map_or_else(|_| "approval by link".to_owned(), |id| format!("approval {id}"));
    let refused = Some(problem.detail.clone());
    shared.record(Notable::Administered { by, action: "decide-by-link", target, refused }).await
}

fn link_problem(error: LinkError) -> Problem {
    let status = match error {
        LinkError::Forged => StatusCode::NOT_FOUND,
        LinkError::Expired | LinkError::UsedBefore => StatusCode::GONE,
        LinkError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, error.to_string())
}

/// A browser that follows a link from elsewhere does not send our cookie with it, so that
/// this is also what those see who are logged in; then one step takes them on.
fn log_in_first(token: &str) -> Response {
    let next = if is_token(token) { token } else { "" };
    let body = html! {
        p { "Somebody waits for a decision. Log in to see what it is about." }
        p { a href=(format!("/sign-in?next=/approve/{next}")) { "Log in" } }
    };
    page(StatusCode::OK, "An approval", body)
}

fn facts(view: &View, token: &str, mark: &str) -> Response {
    let body = html! {
        p { (view.facts.reason) }
        (who(view))
        pre { (view.facts.text) }
        (relations(view))
        @if !view.facts.earlier.is_empty() {
            h2 { "Earlier in its transaction" }
            @for text in &view.facts.earlier { pre { (text) } }
        }
        @for said in &view.granted_by {
            p { "Granted by " (said.by) @if let Some(comment) = &said.comment { ": " (comment) } }
        }
        @if view.standing == Standing::Pending {
            (form(view, token, mark))
        } @else {
            p { strong { "It is over: " (view.standing.as_str()) "." } }
        }
    };
    page(StatusCode::OK, &format!("Approval {}", view.id), body)
}

fn who(view: &View) -> Markup {
    html! {
        dl {
            dt { "Asked by" }
            dd {
                (view.who.subject) " (" (view.who.kind.as_str()) ")"
                @if let Some(human) = &view.who.on_behalf_of { ", for " (human) }
                ", from " (view.who.client_address)
            }
            dt { "In" } dd { (view.database) }
            dt { "Until" } dd { (seconds(view.expires_at)) }
            dt { "May be released by" }
            dd { (view.approvals_needed()) " of " (view.approvers().join(", ")) }
        }
    }
}

fn relations(view: &View) -> Markup {
    html! {
        dl {
            @for relation in &view.facts.relations {
                dt { (relation.name) ": " (relation.access.as_str()) }
                dd {
                    (relation.columns.join(", "))
                    @if !relation.labels.is_empty() { " (" (relation.labels.join(", ")) ")" }
                }
            }
            @if let Some(rows) = view.facts.rows_estimated {
                dt { "Rows, as the plan estimates" } dd { (rows) }
            }
        }
    }
}

fn form(view: &View, token: &str, mark: &str) -> Markup {
    let minutes_max = view.lease_seconds_max / 60;
    html! {
        form method="post" action=(format!("/approve/{token}")) {
            input type="hidden" name="mark" value=(mark);
            label { "Comment" textarea name="comment" rows="2" maxlength="900" {} }
            @if minutes_max > 0 {
                label {
                    "Let the same shape pass for this many minutes (at most " (minutes_max) ")" br;
                    input name="lease_minutes" type="number" min="0" max=(minutes_max) value="0";
                }
            }
            button name="decision" value="grant" { "Grant" }
            " "
            button name="decision" value="refuse" { "Refuse" }
        }
    }
}

fn outcome(view: &View) -> Response {
    let body = html! {
        @match view.standing {
            Standing::Granted => p { "It is granted, and runs." },
            Standing::Refused => p { "It is refused." },
            Standing::Pending => p {
                "Your grant is counted: " (view.granted_by.len()) " of "
                (view.approvals_needed()) ". This link is used; others decide with one of their "
                "own, or with " code { "portcullis approval grant " (view.id) } "."
            },
            Standing::Expired | Standing::Withdrawn => p { "It is over." },
        }
    };
    page(StatusCode::OK, &format!("Approval {}", view.id), body)
}
