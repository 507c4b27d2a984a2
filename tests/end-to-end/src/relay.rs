//! A server between the proxy and PostgreSQL, or before the proxy, that breaks what it passes on,
//! when it is told to.
//!
//! Everything passes as it is until a client's message holds one of the marks. Then what was
//! planned for that mark happens to this connection, and to no other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection.
#[derive(Clone, Debug)]
pub enum Fault {
    /// So many bytes of the answer pass; then the server is gone.
    Closes(usize),
    /// The same, but as of a machine that has crashed.
    Resets(usize),
    /// These bytes in place of the answer. PostgreSQL does not hear of the question.
    Answers(Vec<u8>),
    /// From then on every byte of the server's comes in a packet of its own.
    Dribbles,
}

/// The relay; it ends with the runtime that it was started on.
pub struct Relay {
    address: SocketAddr,
    plans: Arc<Plans>,
}

#[derive(Default)]
struct Plans {
    faults: Mutex<Vec<(String, Fault)>>,
    /// In front of this byte of each direction a connection pauses.
    cut_at: AtomicUsize,
}

/// Long enough that what came before it is read by itself.
const PAUSE: Duration = Duration::from_millis(2);

impl Relay {
    /// Before the server at `port`.
    pub async fn start(port: u16) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let plans = Arc::<Plans>::default();
        let known = plans.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let known = known.clone();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                        // A side that goes takes the other with it.
                        let _ = pass(client, server, &known).await;
                    }
                });
            }
        });
        Relay { address, plans }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, connections pause behind so many bytes of either direction.
    pub fn cut_at(&self, bytes: usize) {
        self.plans.cut_at.store(bytes, Ordering::Relaxed);
    }

    /// What happens when a client's message holds `mark`.
    pub fn plan(&self, mark: &str, fault: Fault) {
        let mut faults = self.plans.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push((mark.to_owned(), fault));
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, plans: &Plans) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut fault: Option<Fault> = None;
    let cut_at = plans.cut_at.load(Ordering::Relaxed);
    let (mut until_asked, mut until_answered) = (cut_at, cut_at);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                fault = fault.or_else(|| planned(plans, bytes));
                if let Some(Fault::Answers(answer)) = &fault {
                    client.write_all(answer).await?;
                } else {
                    write(&mut server, bytes, &mut until_asked).await?;
                }
            }
            read = server.read(&mut answered) => {
                let bytes = &answered[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                if fault.is_none() {
                    write(&mut client, bytes, &mut until_answered).await?;
                } else if !answer(&mut client, bytes, &mut fault).await? {
                    return Ok(());
                }
            }
        }
    }
}

fn planned(plans: &Plans, asked: &[u8]) -> Option<Fault> {
    let faults = plans.faults.lock().unwrap_or_else(PoisonError::into_inner);
    let holds = |mark: &str| asked.windows(mark.len()).any(|part| part == mark.as_bytes());
    faults.iter().find(|(mark, _)| holds(mark)).map(|(_, fault)| fault.clone())
}

/// Passes all of it on, with a pause where the connection's next `until` bytes end.
async fn write(stream: &mut TcpStream, bytes: &[u8], until: &mut usize) -> std::io::Result<()> {
    let (front, rest) = bytes.split_at(bytes.len().min(*until));
    *until -= front.len();
    stream.write_all(front).await?;
    if !front.is_empty() && !rest.is_empty() {
        tokio::time::sleep(PAUSE).await;
    }
    stream.write_all(rest).await
}

/// Passes an answer on, or as much of it as the fault lets pass; false when that is the end.
async fn answer(
    client: &mut TcpStream,
    bytes: &[u8],
    fault: &mut Option<Fault>,
) -> std::io::Result<bool> {
    match fault {
        None | Some(Fault::Answers(_)) => {}
        Some(Fault::Dribbles) => {
            for byte in bytes {
                client.write_all(&[*byte]).await?;
            }
        }
        Some(Fault::Closes(left) | Fault::Resets(left)) => {
            let passed = bytes.len().min(*left);
            *left -= passed;
            let over = *left == 0;
            client.write_all(&bytes[..passed]).await?;
            if over {
                if matches!(fault, Some(Fault::Resets(_))) {
                    client.set_zero_linger()?;
                }
                return Ok(false);
            }
        }
    }
    Ok(true)
}
