//! Everything that is answered, in one place.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::api;
use crate::guard;
use crate::metrics;
use crate::page;
use crate::problem::Problem;
use crate::shared::Shared;

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let body_bytes_max = shared.settings.load().limits.body_bytes_max;
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::show))
        .route("/v1/login-options", get(login_options))
        .merge(api::router(shared))
        .merge(page::router())
        .fallback(async || Problem::unknown("such page"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here")
        })
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(shared), guard::bound))
        .with_state(Arc::clone(shared))
}

/// Where the command line may send people to log in. Nothing in it is a secret: the issuer
/// itself tells it to everybody.
async fn login_options(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let settings = shared.settings.load();
    let named = settings.browser_issuer.as_ref();
    let issuer = named.and_then(|issuer| settings.directory.issuers.config(issuer));
    Json(json!({
        "issuer": issuer.map(|issuer| json!({
            "url": issuer.url,
            "client_id": issuer.client_id,
            "scopes": issuer.scopes,
        })),
    }))
}

/// Ready once a policy set is in force.
async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.parts.sets.borrow().revision > 0 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no policy set is in force yet\n")
    }
}
