//! The JSON API: one module per thing it is about.

mod approvals;
mod credentials;
mod document;
mod leases;
mod policies;
mod principals;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use portcullis_policy::event::Notable;

use crate::caller::Caller;
use crate::guard;
use crate::operation::{Operation, Verb};
use crate::problem::Problem;
use crate::shared::Shared;

pub(crate) use approvals::problem as approval_problem;

const REASON_BYTES_MAX: usize = 200;

/// What a handler gives.
type Answer = Result<Response, Problem>;

/// Every operation at its route, behind a guard of its own.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for operation in Operation::ALL {
        let state = (Arc::clone(shared), operation);
        let guarded = handler(operation).route_layer(from_fn_with_state(state, guard::admit));
        router = router.route(operation.route().path, guarded);
    }
    router
}

fn handler(operation: Operation) -> MethodRouter<Arc<Shared>> {
    let verb = match operation.route().verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Delete => MethodFilter::DELETE,
    };
    match operation {
        Operation::WhoAmI => on(verb, principals::who_am_i),
        Operation::Document => on(verb, document::show),
        Operation::ListSessions => on(verb, sessions::list),
        Operation::EndSession => on(verb, sessions::end),
        Operation::ListApprovals => on(verb, approvals::list),
        Operation::ShowApproval => on(verb, approvals::show),
        Operation::GrantApproval => on(verb, approvals::grant),
        Operation::RefuseApproval => on(verb, approvals::refuse),
        Operation::ListLeases => on(verb, leases::list),
        Operation::RevokeLease => on(verb, leases::revoke),
        Operation::ShowPolicies => on(verb, policies::show),
        Operation::Reload => on(verb, policies::reload),
        Operation::IssueCredential => on(verb, credentials::issue),
        Operation::ListCredentials => on(verb, credentials::list),
        Operation::RevokeCredential => on(verb, credentials::revoke),
        Operation::ListDisabled => on(verb, principals::disabled),
        Operation::DisablePrincipal => on(verb, principals::disable),
        Operation::EnablePrincipal => on(verb, principals::enable),
    }
}

/// Records a change that is about to be made: what cannot be recorded is not done. What
/// refuses it later is a record of its own.
async fn record(
    shared: &Shared,
    caller: &Caller,
    operation: Operation,
    target: String,
) -> Result<(), Problem> {
    let Some(action) = operation.route().change else { return Ok(()) };
    let by = caller.actor();
    shared.record(Notable::Administered { by, action, target, refused: None }).await
}

/// Why something is done, on one line; none when it is empty.
fn one_line(reason: Option<String>) -> Result<Option<String>, Problem> {
    let reason = reason.unwrap_or_default();
    let reason = reason.trim();
    if reason.len() > REASON_BYTES_MAX || reason.contains(char::is_control) {
        let detail = format!("a reason is one line of at most {REASON_BYTES_MAX} bytes");
        return Err(Problem::malformed(detail));
    }
    Ok((!reason.is_empty()).then(|| reason.to_owned()))
}

fn json(value: serde_json::Value) -> Response {
    axum::Json(value).into_response()
}
