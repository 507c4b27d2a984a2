//! The control surface over a running proxy: health and what is in force.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use portcullis_engine::SetSummary;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the API shows.
#[derive(Clone)]
pub struct Parts {
    pub sets: watch::Receiver<Arc<SetSummary>>,
}

/// The API, served by a thread of its own until dropped.
pub struct Admin {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the address cannot be listened on, or is not one of this machine's own: there is
    /// no login here, so nobody else may ask.
    pub fn start(address: SocketAddr, parts: Parts) -> io::Result<Admin> {
        if !address.ip().is_loopback() {
            let message = "the admin API has no login, so its address must be a loopback one";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                let served = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    axum::serve(listener, router(parts)).await
                };
                tokio::select! {
                    served = served => if let Err(error) = served {
                        tracing::error!(%error, "the admin API has ended");
                    },
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("admin".into()).spawn(serve)?;
        Ok(Admin { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // Dropping the sender ends the service as well as sending does.
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the admin API ended by a panic");
        }
    }
}

fn router(parts: Parts) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/policies", get(policies))
        .with_state(parts)
}

/// Ready once a policy set is in force.
async fn ready(State(parts): State<Parts>) -> (StatusCode, &'static str) {
    if parts.sets.borrow().revision > 0 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no policy set is in force yet\n")
    }
}

/// The revision in force, its policies, and what could not be put into force.
async fn policies(State(parts): State<Parts>) -> Json<Value> {
    let summary = parts.sets.borrow().clone();
    let policies: Vec<Value> = summary
        .policies
        .iter()
        .map(|policy| {
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
        })
        .collect();
    let failures: Vec<Value> = summary
        .failures
        .iter()
        .map(|failure| {
            json!({
                "policy": &*failure.policy,
                "file": failure.file.display().to_string(),
                "line": failure.line,
                "reason": failure.reason,
                "last_good_in_force": failure.last_good_in_force,
            })
        })
        .collect();
    Json(json!({ "revision": summary.revision, "policies": policies, "failures": failures }))
}
