//! Sessions: who is connected, and ending them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use portcullis_proxy::{SessionState, SessionView};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, json, one_line, record};
use crate::caller::Caller;
use crate::extract::{Entity, Segment};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::text::time;

/// `GET /v1/sessions`
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let sessions: Vec<Value> = shared.parts.control.sessions().iter().map(session).collect();
    json(json!({ "sessions": sessions }))
}

/// Why, as the client is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    reason: Option<String>,
}

/// `DELETE /v1/sessions/{id}`
pub(super) async fn end(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(id): Segment,
    Entity(end): Entity<End>,
) -> Answer {
    let number: u64 = id.parse().map_err(|_| Problem::malformed("a session's id is a number"))?;
    let reason = match one_line(end.reason)? {
        None => "ended by an administrator".to_owned(),
        Some(reason) => format!("ended by an administrator: {reason}"),
    };
    let known = shared.parts.control.sessions().iter().any(|session| session.id == number);
    if !known {
        return Err(Problem::unknown(format!("session {number}")));
    }
    record(&shared, &caller, Operation::EndSession, format!("session {number}")).await?;
    if !shared.parts.control.end(number, &reason) {
        return Err(Problem::unknown(format!("session {number} any more")));
    }
    Ok(json(json!({ "id": number, "ended": true })))
}

fn session(session: &SessionView) -> Value {
    let approval = match &session.state {
        SessionState::Waiting { approval } => Some(approval),
        SessionState::Idle | SessionState::Running | SessionState::InTransaction => None,
    };
    json!({
        "id": session.id,
        "subject": session.subject,
        "kind": session.kind.as_str(),
        "groups": session.groups,
        "proof": session.proof,
        "on_behalf_of": session.on_behalf_of,
        "database": session.database,
        "client_address": session.client_address,
        "application": session.application,
        "since": time(session.since),
        "expires_at": session.expires_at.map(time),
        "statements": session.statements,
        "state": session.state.as_str(),
        "approval": approval,
    })
}
