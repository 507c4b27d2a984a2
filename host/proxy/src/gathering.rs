//! Long results come in larger pieces than the server sends them in.
//!
//! PostgreSQL sends eight kilobytes at a time. Where it is as fast as the proxy, the proxy is woken
//! for each of them, and the client in turn, which takes more time than all that is done with the
//! rows. So once a result has shown to be long the kernel is told to wake nobody for less than a
//! mark, and an alarm looks after what stays below it: the end of the result, or the rows of a
//! server that has become slow.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::transport::Transport;

/// A result, or what is left of it, is long from here on: what it takes in all is a multiple of
/// what its end may have to wait.
const LONG_BYTES: usize = 2 << 20;
/// Less than a buffer, so that a read takes all that there is; and less than the kernel takes
/// without being asked for.
const MARK_BYTES: u16 = 48 << 10;
/// How long less than the mark may wait.
const PATIENCE: Duration = Duration::from_millis(2);

/// What one session's results have come to.
#[derive(Default)]
pub struct Gathering {
    /// Of the result, since its rows last were waited for.
    bytes: usize,
    /// The mark is up, and this rings when nothing came for too long.
    alarm: Option<Box<Alarm>>,
}

impl Gathering {
    /// So much was read, and the result goes on or does not.
    pub fn has_read(&mut self, upstream: &Transport, bytes: usize, goes_on: bool) {
        if !goes_on {
            return self.start_again(upstream);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes < LONG_BYTES {
            return;
        }
        if self.alarm.is_none() && upstream.wake_at(MARK_BYTES) {
            self.alarm = Alarm::new().ok().map(Box::new);
        }
        let is_set = self.alarm.as_mut().is_some_and(|alarm| alarm.set(PATIENCE).is_ok());
        if !is_set {
            // Nobody would look after the rest.
            self.start_again(upstream);
        }
    }

    /// To be polled by whoever waits for the server: where that has taken too long, what there is
    /// wakes them from here on.
    pub fn poll(&mut self, cx: &mut Context<'_>, upstream: &Transport) {
        if let Some(alarm) = &mut self.alarm
            && let Poll::Ready(_) = alarm.poll_rung(cx)
        {
            self.start_again(upstream);
        }
    }

    fn start_again(&mut self, upstream: &Transport) {
        if self.bytes >= LONG_BYTES {
            upstream.wake_at(1);
        }
        *self = Gathering::default();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    /// Long for what is on its way already.
    const NEVER: Duration = Duration::from_millis(100);
    const SOON: Duration = Duration::from_secs(20);

    /// Ready when something is there, by the runtime's word, with or without the alarm.
    async fn read(upstream: &mut Transport, mut gathering: Option<&mut Gathering>) -> usize {
        let mut space = vec![0; 1 << 16];
        let wait = poll_fn(|cx| {
            let read = upstream.poll_read(cx, &mut space);
            if let (true, Some(gathering)) = (read.is_pending(), &mut gathering) {
                gathering.poll(cx, upstream);
            }
            read
        });
        wait.await.expect("the connection stands")
    }

    #[tokio::test]
    async fn less_than_the_mark_waits_for_more_or_for_the_alarm() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut upstream = Transport::Tcp(listener.accept().await.unwrap().0);
        let mut gathering = Gathering::default();
        let half = vec![0; usize::from(MARK_BYTES) / 2];

        gathering.has_read(&upstream, LONG_BYTES - 1, true);
        server.write_all(&[0]).await.unwrap();
        assert_eq!(timeout(SOON, read(&mut upstream, None)).await, Ok(1), "it is not long yet");

        gathering.has_read(&upstream, 1, true);
        server.write_all(&half).await.unwrap();
        assert!(timeout(NEVER, read(&mut upstream, None)).await.is_err(), "it is below the mark");
        server.write_all(&half).await.unwrap();
        assert_eq!(timeout(SOON, read(&mut upstream, None)).await, Ok(2 * half.len()));

        gathering.has_read(&upstream, 1, true);
        server.write_all(&half).await.unwrap();
        let late = read(&mut upstream, Some(&mut gathering));
        assert_eq!(timeout(SOON, late).await, Ok(half.len()), "the alarm lets it through");
        server.write_all(&[0]).await.unwrap();
        assert_eq!(timeout(SOON, read(&mut upstream, None)).await, Ok(1), "and what follows");

        gathering.has_read(&upstream, LONG_BYTES, true);
        gathering.has_read(&upstream, 1, false);
        server.write_all(&[0]).await.unwrap();
        assert_eq!(timeout(SOON, read(&mut upstream, None)).await, Ok(1), "the result is over");
    }
}
