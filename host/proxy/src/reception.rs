//! Where connections come in, and which worker gets each.
//!
//! The first worker accepts for all: the kernel's own spreading over listeners of one address is
//! uneven, and a thread that did nothing else would have to be woken for each connection, which
//! costs as much as all the rest of accepting it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::shared::Phase;

/// A connection on its way to a session; counted while it lives.
pub struct Arriving {
    socket: Socket,
    pub address: SocketAddr,
    /// Which listener it came by.
    pub listener: Arc<str>,
    pub place: Place,
}

enum Socket {
    /// Known to the runtime of the worker that accepted it, and stays there.
    Here(TcpStream),
    Elsewhere(std::net::TcpStream),
}

impl Arriving {
    /// Its socket, to be taken by the worker that it was given to.
    ///
    /// # Errors
    /// When the runtime cannot watch one more.
    pub fn into_parts(self) -> io::Result<(TcpStream, SocketAddr, Arc<str>, Place)> {
        let stream = match self.socket {
            Socket::Here(stream) => stream,
            Socket::Elsewhere(stream) => TcpStream::from_std(stream)?,
        };
        Ok((stream, self.address, self.listener, self.place))
    }
}

/// One connection's place among all, and among its worker's; given up when dropped.
pub struct Place {
    counts: [Arc<AtomicUsize>; 2],
}

impl Place {
    fn take(all: &Arc<AtomicUsize>, worker: &Arc<AtomicUsize>) -> Place {
        let counts = [all.clone(), worker.clone()];
        counts.iter().for_each(|count| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        Place { counts }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.iter().for_each(|count| {
            count.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// How a worker is reached, and how many sessions it has.
pub struct Desk {
    arrivals: mpsc::UnboundedSender<Arriving>,
    sessions: Arc<AtomicUsize>,
}

impl Desk {
    /// With what its worker gets connections from.
    pub fn new() -> (Desk, mpsc::UnboundedReceiver<Arriving>) {
        let (arrivals, receiver) = mpsc::unbounded_channel();
        (Desk { arrivals, sessions: Arc::default() }, receiver)
    }
}

/// The listeners, and the workers' desks: the first is that of the worker where this runs.
pub struct Reception {
    listeners: Vec<(Arc<str>, std::net::TcpListener)>,
    desks: Vec<Desk>,
    connections: Arc<AtomicUsize>,
    settings: Arc<ArcSwap<Settings>>,
    phases: watch::Receiver<Phase>,
}

impl Reception {
    /// `connections` is kept at the number of those that are open.
    pub fn new(
        listeners: Vec<(Arc<str>, std::net::TcpListener)>,
        desks: Vec<Desk>,
        connections: Arc<AtomicUsize>,
        settings: Arc<ArcSwap<Settings>>,
        phases: watch::Receiver<Phase>,
    ) -> Reception {
        Reception { listeners, desks, connections, settings, phases }
    }

    /// Accepts until the proxy takes no more connections; then nobody hears at its addresses,
    /// and no worker waits for more.
    pub async fn run(mut self) {
        let listeners = std::mem::take(&mut self.listeners);
        let mut phases = self.phases.clone();
        let listening = listeners.into_iter().map(|(name, listener)| {
            let reception = &self;
            async move { reception.accept_on(&name, listener).await }
        });
        tokio::select! {
            _ = join_all(listening) => {}
            _ = phases.wait_for(|phase| *phase != Phase::Running) => {}
        }
    }

    async fn accept_on(&self, name: &Arc<str>, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot accept connections"),
        };
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.arrive(stream, address, name),
                Err(error) => {
                    // Out of descriptors, most likely: others must end before this can go on.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Gives the connection to the worker with the fewest.
    fn arrive(&self, stream: TcpStream, address: SocketAddr, listener: &Arc<str>) {
        let limit = self.settings.load().limits.connections_max;
        if self.connections.load(Ordering::Relaxed) >= limit {
            tracing::warn!(%address, "too many connections");
            let mut out = Vec::new();
            portcullis_wire::encode::fatal(&mut out, &Refusal::TooManyConnections.report());
            // The socket is new and its buffer empty; what does not fit is not worth a wait.
            let _ = stream.try_write(&out);
            return;
        }
        let sessions = |(_, desk): &(usize, &Desk)| desk.sessions.load(Ordering::Relaxed);
        let Some((index, desk)) = self.desks.iter().enumerate().min_by_key(sessions) else {
            return;
        };
        let socket = match index {
            0 => Socket::Here(stream),
            _ => match stream.into_std() {
                Ok(stream) => Socket::Elsewhere(stream),
                Err(error) => return tracing::warn!(%error, "cannot hand a connection over"),
            },
        };
        let place = Place::take(&self.connections, &desk.sessions);
        // A worker that has gone gives the place up with the message.
        let _ = desk.arrivals.send(Arriving { socket, address, listener: listener.clone(), place });
    }
}
