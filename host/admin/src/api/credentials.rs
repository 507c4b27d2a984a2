//! Short-lived passwords: for oneself to have, for administrators to see and take back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portcullis_identity::{Credential, IssueError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, json, record};
use crate::caller::Caller;
use crate::extract::{Entity, Segment};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::role::Role;
use crate::shared::Shared;
use crate::text::time;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issue {
    database: String,
    minutes: u32,
}

/// `POST /v1/credentials`: the only answer that ever holds the password.
pub(super) async fn issue(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Entity(Issue { database, minutes }): Entity<Issue>,
) -> Answer {
    let lifetime = Duration::from_secs(u64::from(minutes).saturating_mul(60));
    let most = shared.settings.load().credential_lifetime_max;
    if lifetime.is_zero() || lifetime > most {
        let minutes_max = most.as_secs() / 60;
        let detail = format!("minutes must be at least 1 and at most {minutes_max}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    if database.is_empty() || database.len() > 63 || database.contains(char::is_control) {
        return Err(Problem::malformed("a database has a name of at most 63 bytes"));
    }
    let target = format!("{minutes} minutes of {database}");
    record(&shared, &caller, Operation::IssueCredential, target).await?;
    let credentials = shared.parts.credentials.clone();
    let (to, wanted) = (caller.proven.clone(), database.clone());
    let issued = shared
        .blocking(move || credentials.issue(&to, &wanted, lifetime, SystemTime::now()))
        .await?
        .map_err(problem)?;
    let body = json!({
        "id": issued.id,
        "user": issued.user,
        "password": issued.password.expose(),
        "database": database,
        "expires_at": time(issued.expires_at),
    });
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

/// `GET /v1/credentials`: one's own, and for an administrator everybody's.
pub(super) async fn list(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    let all = shared.parts.credentials.list(SystemTime::now());
    let seen = all.iter().filter(|credential| is_for(credential, &caller));
    let credentials: Vec<Value> = seen.map(|credential| view(credential)).collect();
    json(json!({ "credentials": credentials }))
}

/// `DELETE /v1/credentials/{id}`
pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Segment(id): Segment,
) -> Answer {
    let known = shared.parts.credentials.with_id(&id, SystemTime::now());
    // To others it does not exist, so that nobody learns which do.
    if !known.is_some_and(|credential| is_for(&credential, &caller)) {
        return Err(Problem::unknown("such credential"));
    }
    record(&shared, &caller, Operation::RevokeCredential, format!("credential {id}")).await?;
    let credentials = shared.parts.credentials.clone();
    let revoking = id.clone();
    match shared.blocking(move || credentials.revoke(&revoking)).await? {
        Ok(_) => Ok(json(json!({ "id": id, "revoked": true }))),
        Err(error) => {
            tracing::error!(%error, "the end of a credential could not be kept");
            let detail =
                "it is revoked, but that could not be kept: it may be back after a restart";
            Err(Problem::unavailable(detail))
        }
    }
}

fn is_for(credential: &Credential, caller: &Caller) -> bool {
    credential.subject == caller.proven.subject || caller.roles.includes(Role::Administrator)
}

fn view(credential: &Credential) -> Value {
    json!({
        "id": credential.id,
        "user": credential.user(),
        "subject": credential.subject,
        "database": credential.database,
        "issued_on": credential.issued_on,
        "issued_at": time(credential.issued_at),
        "expires_at": time(credential.expires_at),
    })
}

fn problem(error: IssueError) -> Problem {
    let status = match &error {
        IssueError::Chained | IssueError::Database | IssueError::Expired => StatusCode::FORBIDDEN,
        IssueError::Lifetime => StatusCode::UNPROCESSABLE_ENTITY,
        IssueError::TooMany => StatusCode::CONFLICT,
        IssueError::Randomness | IssueError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, error.to_string())
}
