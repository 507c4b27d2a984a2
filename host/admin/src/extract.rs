//! Parts of a request, read strictly; what does not fit is a problem in words.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::guard::Peer;
use crate::problem::Problem;

const SEGMENT_BYTES_MAX: usize = 256;

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // Only the guard puts one there; a route without it serves nobody.
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::login)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Peer, Problem> {
        let peer = parts.extensions.get::<Peer>().copied();
        peer.ok_or_else(|| Problem::unavailable("the address of the caller is not known"))
    }
}

/// The one variable part of a path.
pub(crate) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segment, Problem> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        let Path(segment) = read.map_err(|_| Problem::malformed("the path is not UTF-8"))?;
        let readable = !segment.is_empty()
            && !segment.contains(char::is_control)
            && segment.len() <= SEGMENT_BYTES_MAX;
        if readable { Ok(Segment(segment)) } else { Err(Problem::malformed("no such name")) }
    }
}

/// A body of JSON with known members only; without a body, all of them are absent.
pub(crate) struct Entity<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Entity<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Entity<T>, Problem> {
        let declared = request.headers().get(header::CONTENT_TYPE).cloned();
        let body = match Bytes::from_request(request, state).await {
            Ok(body) => body,
            Err(rejection) => return Err(unread(rejection)),
        };
        if body.is_empty() {
            return read(b"{}");
        }
        let declared = declared.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = declared.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            let detail = "send application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        read(&body)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Entity<T>, Problem> {
    let read = serde_json::from_slice(body);
    read.map(Entity).map_err(|error| Problem::malformed(format!("the body does not fit: {error}")))
}

pub(crate) fn unread(rejection: BytesRejection) -> Problem {
    let status = rejection.into_response().status();
    let detail = if status == StatusCode::PAYLOAD_TOO_LARGE {
        "the body is too large"
    } else {
        "the body could not be read"
    };
    Problem::new(status, detail)
}
