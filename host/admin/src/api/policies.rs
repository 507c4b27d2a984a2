//! What is in force, and reading the configuration again.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use portcullis_engine::SetSummary;
use serde_json::{Value, json};

use super::{Answer, json, record};
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::shared::Shared;

/// `GET /v1/policies`: the revision in force, its policies, and what could not be put into
/// force.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let summary = shared.parts.sets.borrow().clone();
    json(policies(&summary))
}

/// `POST /v1/reload`
pub(super) async fn reload(State(shared): State<Arc<Shared>>, caller: Caller) -> Answer {
    record(&shared, &caller, Operation::Reload, "configuration".to_owned()).await?;
    let reload = shared.parts.reload.clone();
    match shared.blocking(move || reload()).await? {
        Ok(()) => Ok(json(json!({ "reloaded": true }))),
        Err(reason) => Err(Problem::conflict(reason)),
    }
}

fn policies(summary: &SetSummary) -> Value {
    let policies = summary.policies.iter().map(|policy| {
        json!({
            "name": &*policy.name,
            "plugin": policy.plugin,
            "digest": policy.digest.to_string(),
            "mode": policy.mode.as_str(),
            "kinds": policy.kinds.names(),
            "match": policy.matching,
            "deadline_ms": policy.deadline_ms,
            "memory_bytes_max": policy.memory_bytes_max,
        })
    });
    let failures = summary.failures.iter().map(|failure| {
        json!({
            "policy": &*failure.policy,
            "file": failure.file.display().to_string(),
            "line": failure.line,
            "reason": failure.reason,
            "last_good_in_force": failure.last_good_in_force,
        })
    });
    json!({
        "revision": summary.revision,
        "policies": policies.collect::<Vec<Value>>(),
        "failures": failures.collect::<Vec<Value>>(),
    })
}
