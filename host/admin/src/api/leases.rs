//! Leases: shapes that pass without asking again, for a while.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::approvals::problem;
use super::{Answer, json};
use crate::caller::Caller;
use crate::extract::Segment;
use crate::shared::Shared;
use crate::text::seconds;

/// `GET /v1/leases`
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let leases = shared.parts.approvals.leases();
    let leases = leases.iter().map(|lease| {
        json!({
            "id": lease.id,
            "subject": lease.subject,
            "database": lease.database,
            "fingerprint": lease.fingerprint,
            "until": seconds(lease.until),
            "granted_by": lease.granted_by,
            "policies": lease.needs.iter().map(|need| &*need.policy).collect::<Vec<&str>>(),
        })
    });
    json(json!({ "leases": leases.collect::<Vec<Value>>() }))
}

/// `DELETE /v1/leases/{id}`. The step itself is the record.
pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(id): Segment,
) -> Answer {
    shared.parts.approvals.revoke_lease(&id, caller.actor()).await.map_err(problem)?;
    Ok(json(json!({ "id": id, "revoked": true })))
}
