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
use axum::routing::{MethodRouter, delete, get, post, put};
use portcullis_policy::event::Notable;

use crate::caller::Caller;
use crate::guard;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::shared::Shared;

pub(crate) use approvals::problem as approval_problem;

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
    match operation {
        Operation::WhoAmI => get(principals::who_am_i),
        Operation::Document => get(document::show),
        Operation::ListSessions => get(sessions::list),
        Operation::EndSession => delete(sessions::end),
        Operation::ListApprovals => get(approvals::list),
        Operation::ShowApproval => get(approvals::show),
        Operation::GrantApproval => post(approvals::grant),
        Operation::RefuseApproval => post(approvals::refuse),
        Operation::ListLeases => get(leases::list),
        Operation::RevokeLease => delete(leases::revoke),
        Operation::ShowPolicies => get(policies::show),
        Operation::Reload => post(policies::reload),
        Operation::IssueCredential => post(credentials::issue),
        Operation::ListCredentials => get(credentials::list),
        Operation::RevokeCredential => delete(credentials::revoke),
        Operation::ListDisabled => get(principals::disabled),
        Operation::DisablePrincipal => put(principals::disable),
        Operation::EnablePrincipal => delete(principals::enable),
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

fn json(value: serde_json::Value) -> Response {
    axum::Json(value).into_response()
}
