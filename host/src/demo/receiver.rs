//! A receiver of audit records, as a company's own would be: HTTP in, lines on disk.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::oneshot;

use super::place::private;

/// More than the sink puts into one request.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A running receiver, on a thread of its own until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a free port of this machine and appends what it is posted to `file`.
    pub fn start(file: &Path) -> io::Result<Receiver> {
        let file = Arc::new(Mutex::new(private(file)?));
        let router = Router::new()
            .route("/records", post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(file);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            runtime.block_on(async {
                let served = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    axum::serve(listener, router).await
                };
                tokio::select! {
                    served = served => if let Err(error) = served {
                        tracing::error!(%error, "the receiver of audit records has ended");
                    },
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("receiver".into()).spawn(serve)?;
        Ok(Receiver { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Dropping the sender ends the service as well as sending does.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is not kept is not acknowledged, so the sink sends it again.
async fn receive(State(file): State<Arc<Mutex<File>>>, body: Bytes) -> StatusCode {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    match file.write_all(&body) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
