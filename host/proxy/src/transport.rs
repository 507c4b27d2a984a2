//! A connection, with or without TLS, by TCP or by Unix socket; in tests, in memory.

use std::io;
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

#[cfg(any(test, feature = "scripted"))]
use crate::memory;

/// One connection.
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    ServerTls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    ClientTls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    #[cfg(any(test, feature = "scripted"))]
    Memory(memory::Stream),
}

impl Transport {
    pub fn is_tls(&self) -> bool {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => false,
            Transport::ServerTls(_) | Transport::ClientTls(_) => true,
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(_) => false,
        }
    }

    /// The leaf of the certificate chain that the client proved to own, DER.
    pub fn client_certificate(&self) -> Option<&[u8]> {
        match self {
            Transport::ServerTls(stream) => {
                let (_, connection) = stream.get_ref();
                connection.peer_certificates()?.first().map(|leaf| leaf.as_ref())
            }
            Transport::Tcp(_) | Transport::Unix(_) | Transport::ClientTls(_) => None,
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(_) => None,
        }
    }

    /// Has the kernel wake who reads when so many bytes are there, or all there will be; if there
    /// are as many now, at once. False where it cannot be told so.
    pub fn wake_at(&self, bytes: u16) -> bool {
        let stream = match self {
            Transport::Tcp(stream) => stream,
            Transport::ClientTls(stream) => stream.get_ref().0,
            Transport::ServerTls(stream) => stream.get_ref().0,
            // Whoever waits for one of these is woken by any byte.
            Transport::Unix(_) => return false,
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(_) => return false,
        };
        set_low_water_mark(stream, bytes)
    }

    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Transport::ServerTls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Transport::ClientTls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        polled.map_ok(|()| buffer.filled().len())
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::ServerTls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::ClientTls(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Sends what TLS still holds; polled until ready, since TLS keeps records of its own.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => Poll::Ready(Ok(())),
            Transport::ServerTls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::ClientTls(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Cancel safe only with its connection: a cut write leaves half a message behind.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.write_all(bytes).await,
            Transport::Unix(stream) => stream.write_all(bytes).await,
            Transport::ServerTls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Transport::ClientTls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(stream) => stream.write_all(bytes).await,
        }
    }

    /// Sends the last bytes of a connection that is dropped right behind them. Over TCP in the
    /// clear they leave together with the close, in one packet; were there no close, a fifth of a
    /// second later.
    pub async fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if let Transport::Tcp(stream) = self {
            let send = || SockRef::from(&*stream).send_with_flags(bytes, MORE);
            let sent = stream.try_io(Interest::WRITABLE, send).unwrap_or_default();
            rest = rest.get(sent..).unwrap_or_default();
        }
        match rest {
            [] => Ok(()),
            rest => self.write_all(rest).await,
        }
    }

    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let read = match self {
            Transport::Tcp(stream) => stream.read_exact(buffer).await,
            Transport::Unix(stream) => stream.read_exact(buffer).await,
            Transport::ServerTls(stream) => stream.read_exact(buffer).await,
            Transport::ClientTls(stream) => stream.read_exact(buffer).await,
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(stream) => stream.read_exact(buffer).await,
        };
        read.map(|_| ())
    }

    /// Says goodbye, as far as the peer still listens.
    pub async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody left to tell.
        let _ = match self {
            Transport::Tcp(stream) => stream.shutdown().await,
            Transport::Unix(stream) => stream.shutdown().await,
            Transport::ServerTls(stream) => stream.shutdown().await,
            Transport::ClientTls(stream) => stream.shutdown().await,
            #[cfg(any(test, feature = "scripted"))]
            Transport::Memory(stream) => stream.shutdown().await,
        };
    }
}

/// No crate that we know sets this one. Where a mark is lowered below what is there, Linux wakes
/// whoever waits (`tcp_set_rcvlowat`), and that is counted on; elsewhere nobody says so.
///
/// Source: `socket(7)`, SO_RCVLOWAT.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn set_low_water_mark(socket: &impl AsFd, bytes: u16) -> bool {
    let (socket, bytes) = (socket.as_fd().as_raw_fd(), libc::c_int::from(bytes));
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed. The kernel reads one int, and is
    // told how long that is.
    let set = unsafe {
        let value = (&raw const bytes).cast();
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, length)
    };
    set == 0
}

#[cfg(not(target_os = "linux"))]
fn set_low_water_mark(_: &impl AsFd, _: u16) -> bool {
    false
}

/// More is to come, which the kernel waits for.
#[cfg(target_os = "linux")]
const MORE: libc::c_int = libc::MSG_MORE | libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const MORE: libc::c_int = 0;

/// A protocol violation, where I/O errors are what a caller handles.
pub fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
