//! The API's own description.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// OpenAPI 3.1; a test holds it against the routes and their answers.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /v1/openapi.json`
pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
