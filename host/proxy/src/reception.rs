//! Where connections come in, and which worker gets each.
//!
//! The first worker accepts for all: the kernel's own spreading over listeners of one address is
//! uneven, and a thread that did nothing else would have to be woken for each connection, which
//! costs as much as all the rest of accepting it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::refusal::Refusal;
use crate::shared::Phase;

/// A connection on its way to a session; counted while it lives.
pub struct Arriving {
    socket: Socket,
    address: SocketAddr,
    listener: Arc<str>,
    place: Place,
}

enum Socket {
    /// Known to the runtime of the worker that accepted it, and stays there.
    Here(TcpStream),
    Elsewhere(std::net::TcpStream),
}

impl Arriving {
    /// The socket, where it comes from, which listener it came by, and its place: for the worker
    /// that it was given to.
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

    fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }
}

/// What the first worker has beside its own desk: the listeners, and the desks of the others.
pub struct Reception {
    listeners: Vec<(Arc<str>, std::net::TcpListener)>,
    own: Desk,
    others: Vec<Desk>,
    connections: Arc<AtomicUsize>,
    most: Box<dyn Fn() -> usize + Send>,
    phases: watch::Receiver<Phase>,
    /// When it was last said that there are too many.
    said: Cell<Option<Instant>>,
}

impl Reception {
    /// `connections` is kept at the number of those that are open, which `most` limits.
    pub fn new(
        listeners: Vec<(Arc<str>, std::net::TcpListener)>,
        (own, others): (Desk, Vec<Desk>),
        connections: Arc<AtomicUsize>,
        most: Box<dyn Fn() -> usize + Send>,
        phases: watch::Receiver<Phase>,
    ) -> Reception {
        let said = Cell::new(None);
        Reception { listeners, own, others, connections, most, phases, said }
    }

    /// Accepts until the proxy takes no more connections; then nobody hears at its addresses. The
    /// workers wait for more until it stops.
    pub async fn run(mut self) {
        let mut phases = self.phases.clone();
        let listeners = std::mem::take(&mut self.listeners);
        let listening = listeners.into_iter().map(|(name, listener)| {
            let reception = &self;
            async move { reception.accept_on(&name, listener).await }
        });
        tokio::select! {
            _ = join_all(listening) => {}
            _ = phases.wait_for(|phase| *phase != Phase::Running) => {}
        }
        // Whoever could say so is gone when this fails.
        let _ = phases.wait_for(|phase| *phase == Phase::Stopped).await;
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

    /// Gives the connection to the worker with the fewest; of equals to another, since this one
    /// has more to do.
    fn arrive(&self, stream: TcpStream, address: SocketAddr, listener: &Arc<str>) {
        if self.connections.load(Ordering::Relaxed) >= (self.most)() {
            self.turn_away(&stream, address);
            return;
        }
        let fewest = self.others.iter().min_by_key(|desk| desk.sessions());
        let other = fewest.filter(|desk| desk.sessions() <= self.own.sessions());
        let (desk, socket) = match other {
            None => (&self.own, Socket::Here(stream)),
            Some(desk) => match stream.into_std() {
                Ok(stream) => (desk, Socket::Elsewhere(stream)),
                Err(error) => return tracing::warn!(%error, "cannot hand a connection over"),
            },
        };
        let place = Place::take(&self.connections, &desk.sessions);
        // A worker that has gone gives the place up with the message.
        let _ = desk.arrivals.send(Arriving { socket, address, listener: listener.clone(), place });
    }

    fn turn_away(&self, stream: &TcpStream, address: SocketAddr) {
        // Once a second will do: a flood of them is to cost the sessions of this worker little.
        if self.said.get().is_none_or(|said| said.elapsed() >= Duration::from_secs(1)) {
            self.said.set(Some(Instant::now()));
            tracing::warn!(%address, "too many connections");
        }
        let mut out = Vec::new();
        portcullis_wire::encode::fatal(&mut out, &Refusal::TooManyConnections.report());
        // The socket is new and its buffer empty; what does not fit is not worth a wait.
        let _ = stream.try_write(&out);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    const MOST: usize = 4;

    async fn until(is_so: impl Fn() -> bool) {
        let waited = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waited).await.expect("it is so in time");
    }

    #[tokio::test]
    async fn each_goes_to_the_worker_with_the_fewest_and_the_first_is_spared() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (phase, phases) = watch::channel(Phase::Running);
        let (own, mut own_arrivals) = Desk::new();
        let (busy, mut busy_arrivals) = Desk::new();
        let (idle, mut idle_arrivals) = Desk::new();
        let all = Arc::new(AtomicUsize::new(0));
        let sessions = [&own, &busy, &idle].map(|desk| desk.sessions.clone());
        let counts = || sessions.each_ref().map(|count| count.load(Ordering::Relaxed));
        let before = [Place::take(&all, &sessions[0]), Place::take(&all, &sessions[1])];
        let desks = (own, vec![busy, idle]);
        let most = Box::new(|| MOST + 2);
        let listeners = vec![("default".into(), listener)];
        let reception = Reception::new(listeners, desks, all.clone(), most, phases);
        let clients = async {
            let mut clients = Vec::new();
            // Of equals the first gets the next one only when there is no other.
            for expected in [[1, 1, 1], [1, 2, 1], [1, 2, 2], [2, 2, 2]] {
                clients.push(TcpStream::connect(address).await.unwrap());
                until(|| counts() == expected).await;
            }
            let mut said = Vec::new();
            let mut one_too_many = TcpStream::connect(address).await.unwrap();
            one_too_many.read_to_end(&mut said).await.unwrap();
            assert!(String::from_utf8_lossy(&said).contains("53300"), "{said:?}");
            assert!(matches!(own_arrivals.try_recv().unwrap().socket, Socket::Here(_)));
            assert!(matches!(idle_arrivals.try_recv().unwrap().socket, Socket::Elsewhere(_)));
            let (stream, from, listener, place) =
                busy_arrivals.try_recv().unwrap().into_parts().unwrap();
            assert_eq!(from, clients[1].local_addr().unwrap());
            assert_eq!((stream.peer_addr().unwrap(), &*listener), (from, "default"));
            assert_eq!(counts(), [1, 2, 1], "what was received and dropped gives its place up");
            drop(place);
            assert_eq!(counts(), [1, 1, 1]);
            phase.send_replace(Phase::Draining);
            let mut refused = false;
            while !refused {
                refused = TcpStream::connect(address).await.is_err();
            }
            // One that came before that may have been taken still.
            while own_arrivals.try_recv().is_ok() {}
            assert!(matches!(own_arrivals.try_recv(), Err(TryRecvError::Empty)));
            phase.send_replace(Phase::Stopped);
        };
        tokio::join!(reception.run(), clients);
        assert!(matches!(own_arrivals.try_recv(), Err(TryRecvError::Disconnected)));
        drop((before, busy_arrivals, idle_arrivals));
        assert_eq!((counts(), all.load(Ordering::Relaxed)), ([0, 0, 0], 0));
    }
}
