//! Connections: so many, so long, with heads so large.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::guard::Peer;
use crate::settings::AdminLimits;
use crate::shared::Shared;

/// When the system has no sockets to give, asking at once again does not help.
const PAUSE: Duration = Duration::from_millis(100);
/// What is being answered when it stops gets this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// Answers until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    router: Router,
    mut stop: oneshot::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(shared.settings.load().limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, address) = listener.accept().await?;
            io::Result::Ok((place, stream, address))
        };
        tokio::select! {
            // A sender that is gone says the same.
            _ = &mut stop => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection of the admin API ended by a panic");
                }
            }
            accepted = accepted => match accepted {
                Ok((place, stream, address)) => {
                    let (shared, router) = (shared.clone(), router.clone());
                    connections.spawn(async move {
                        connection(stream, address, &shared, router).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin API cannot accept");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    let rest = async { while connections.join_next().await.is_some() {} };
    // Idle connections would never end by themselves: they are dropped.
    let _ = tokio::time::timeout(FAREWELL, rest).await;
}

async fn connection(stream: TcpStream, address: SocketAddr, shared: &Shared, router: Router) {
    let settings = shared.settings.load_full();
    let limits = settings.limits;
    let served = async {
        match &settings.tls {
            Some(tls) => {
                let accept = TlsAcceptor::from(tls.clone()).accept(stream);
                match tokio::time::timeout(limits.head, accept).await {
                    Ok(Ok(stream)) => answer(stream, address, limits, router).await,
                    Ok(Err(error)) => tracing::debug!(%error, %address, "no TLS session"),
                    Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
                }
            }
            None => answer(stream, address, limits, router).await,
        }
    };
    if tokio::time::timeout(limits.connection, served).await.is_err() {
        tracing::debug!(%address, "a connection of the admin API lived its time");
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    limits: AdminLimits,
    router: Router,
) {
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(address));
        hyper::service::Service::call(&router, request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, %address, "a connection of the admin API ended early");
    }
}
