//! Who one is, and who is shut out.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use portcullis_identity::DisabledSubject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, json, one_line, record};
use crate::caller::Caller;
use crate::extract::{Entity, Segment};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::text::time;

/// `GET /v1/whoami`
pub(super) async fn who_am_i(caller: Caller) -> Response {
    let proven = &caller.proven;
    json(json!({
        "subject": proven.subject,
        "kind": proven.kind.as_str(),
        "groups": proven.groups,
        "proof": proven.proof,
        "on_behalf_of": proven.on_behalf_of,
        "expires_at": proven.expires_at.map(time),
        "roles": caller.roles.names(),
    }))
}

/// `GET /v1/principals/disabled`
pub(super) async fn disabled(State(shared): State<Arc<Shared>>) -> Response {
    let all = shared.settings.load().directory.disabled.list();
    let principals = all.iter().map(|entry| {
        json!({
            "subject": entry.subject,
            "by": entry.by,
            "reason": entry.reason,
            "at": time(entry.at),
        })
    });
    json(json!({ "principals": principals.collect::<Vec<Value>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disable {
    reason: Option<String>,
}

/// `PUT /v1/principals/{subject}/disabled`
pub(super) async fn disable(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(subject): Segment,
    Entity(Disable { reason }): Entity<Disable>,
) -> Answer {
    let reason = one_line(reason)?.unwrap_or_default();
    if subject == caller.proven.subject {
        return Err(Problem::conflict("nobody disables themselves: ask another administrator"));
    }
    record(&shared, &caller, Operation::DisablePrincipal, subject.clone()).await?;
    let disabled = shared.settings.load().directory.disabled.clone();
    let by = caller.proven.subject.clone();
    let entry = DisabledSubject { subject: subject.clone(), by, reason, at: SystemTime::now() };
    let kept = shared.blocking(move || disabled.disable(entry)).await?;
    // At once; the proxy's own look at who may stay would take seconds.
    let gone = |session: &portcullis_proxy::SessionView| {
        session.subject == subject || session.on_behalf_of.as_ref() == Some(&subject)
    };
    let ended = shared.parts.control.end_where("an administrator disabled this principal", &gone);
    match kept {
        Ok(()) => {
            Ok(json(json!({ "subject": subject, "disabled": true, "sessions_ended": ended })))
        }
        Err(error) => {
            tracing::error!(%error, "a disabled principal could not be kept");
            Err(Problem::unavailable(format!("it could not be kept: {error}")))
        }
    }
}

/// `DELETE /v1/principals/{subject}/disabled`
pub(super) async fn enable(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(subject): Segment,
) -> Answer {
    if !shared.settings.load().directory.disabled.contains(&subject) {
        return Err(Problem::unknown("disabled principal of that name"));
    }
    record(&shared, &caller, Operation::EnablePrincipal, subject.clone()).await?;
    let disabled = shared.settings.load().directory.disabled.clone();
    let enabling = subject.clone();
    match shared.blocking(move || disabled.enable(&enabling)).await? {
        Ok(_) => Ok(json(json!({ "subject": subject, "disabled": false }))),
        Err(error) => {
            tracing::error!(%error, "a principal could not be enabled");
            Err(Problem::unavailable("it could not be kept, so the principal stays disabled"))
        }
    }
}
