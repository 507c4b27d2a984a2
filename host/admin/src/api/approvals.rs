//! Approvals: what waits, its facts, and deciding it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use portcullis_approvals::{DecideError, View};
use portcullis_policy::approval::Ineligible;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, json};
use crate::caller::Caller;
use crate::extract::{Entity, Segment};
use crate::problem::Problem;
use crate::shared::Shared;
use crate::text::seconds;

/// `GET /v1/approvals`: without the statements, as who sees one is a record.
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let views = shared.parts.approvals.list().await;
    let approvals: Vec<Value> = views.iter().map(summary).collect();
    json(json!({ "approvals": approvals }))
}

/// `GET /v1/approvals/{id}`
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(id): Segment,
) -> Answer {
    let view = shared.parts.approvals.show(&id, caller.actor()).await.map_err(problem)?;
    Ok(json(whole(&view)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Granting {
    comment: Option<String>,
    #[serde(default)]
    lease_seconds: u32,
}

/// `POST /v1/approvals/{id}/grant`. The step itself is the record.
pub(super) async fn grant(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(id): Segment,
    Entity(granting): Entity<Granting>,
) -> Answer {
    let (by, actor) = (caller.principal(), caller.actor());
    let Granting { comment, lease_seconds } = granting;
    let granted = shared.parts.approvals.grant(&id, &by, actor, comment, lease_seconds).await;
    Ok(json(whole(&granted.map_err(problem)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusing {
    comment: Option<String>,
}

/// `POST /v1/approvals/{id}/refuse`. The step itself is the record.
pub(super) async fn refuse(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(id): Segment,
    Entity(refusing): Entity<Refusing>,
) -> Answer {
    let (by, actor) = (caller.principal(), caller.actor());
    let refused = shared.parts.approvals.refuse(&id, &by, actor, refusing.comment).await;
    Ok(json(whole(&refused.map_err(problem)?)))
}

/// What an approver is told, with the status that says whose matter it is.
pub(crate) fn problem(error: DecideError) -> Problem {
    let status = match &error {
        DecideError::Unknown => StatusCode::NOT_FOUND,
        DecideError::Ineligible(Ineligible::Over | Ineligible::VotedAlready) => {
            StatusCode::CONFLICT
        }
        DecideError::Ineligible(
            Ineligible::NotHuman
            | Ineligible::OwnStatement
            | Ineligible::ActedFor
            | Ineligible::NotApprover,
        ) => StatusCode::FORBIDDEN,
        DecideError::Ineligible(Ineligible::NoLease) | DecideError::CommentTooLong { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        DecideError::TooManyLeases { .. } => StatusCode::CONFLICT,
        DecideError::NotKept { .. } | DecideError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, error.to_string())
}

fn summary(view: &View) -> Value {
    json!({
        "id": view.id,
        "state": view.standing.as_str(),
        "subject": view.who.subject,
        "kind": view.who.kind.as_str(),
        "on_behalf_of": view.who.on_behalf_of,
        "database": view.database,
        "session": view.session,
        "command": view.facts.command,
        "reason": view.facts.reason,
        "approvers": view.approvers(),
        "approvals_needed": view.approvals_needed(),
        "granted": view.granted_by.len(),
        "asked_at": seconds(view.asked_at),
        "expires_at": seconds(view.expires_at),
        "ended_at": view.ended_at.map(seconds),
        "ended_because": view.ended_because,
    })
}

fn whole(view: &View) -> Value {
    let mut all = summary(view);
    let relations = view.facts.relations.iter().map(|relation| {
        json!({
            "name": relation.name,
            "access": relation.access.as_str(),
            "columns": relation.columns,
            "labels": relation.labels,
        })
    });
    let granted = view.granted_by.iter().map(|said| {
        json!({
            "by": said.by,
            "proof": said.proof,
            "comment": said.comment,
            "at": seconds(said.at),
        })
    });
    let facts = json!({
        "groups": view.who.groups,
        "proof": view.who.proof,
        "client_address": view.who.client_address,
        "application": view.who.application,
        "role": view.who.role,
        "event": view.event.to_string(),
        "revision": view.revision,
        "text": view.facts.text,
        "message": view.facts.message,
        "fingerprints": view.fingerprints,
        "relations": relations.collect::<Vec<Value>>(),
        "rows_estimated": view.facts.rows_estimated,
        "earlier": view.facts.earlier,
        "in_transaction": view.facts.in_transaction,
        "policies": view.needs.iter().map(|need| &*need.policy).collect::<Vec<&str>>(),
        "granted_by": granted.collect::<Vec<Value>>(),
        "lease_seconds_max": view.lease_seconds_max,
    });
    if let (Value::Object(all), Value::Object(facts)) = (&mut all, facts) {
        all.extend(facts);
    }
    all
}
