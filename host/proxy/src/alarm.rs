//! A wait that costs a worker nothing while it lasts.
//!
//! While a timer of the runtime's is set, each turn that waits for sockets is one with a time-out:
//! a look at the clock and a timer in the kernel, tens of thousands of times a second for what is
//! due a hundred times. A timer of the system's is a file that becomes readable once.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
pub use runtime::Alarm;
#[cfg(target_os = "linux")]
pub use system::Alarm;

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{AsyncRead, ReadBuf};
    use tokio::net::unix::pipe::Receiver;

    use super::{Context, Duration, Poll, io};
    use std::pin::Pin;

    pub struct Alarm {
        /// To the runtime a file that something can be read from, like a pipe.
        timer: Receiver,
    }

    impl Alarm {
        /// To be called by what runs on the runtime.
        ///
        /// # Errors
        /// Where the system has no more files.
        pub fn new() -> io::Result<Alarm> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Alarm { timer: Receiver::from_owned_fd_unchecked(timer)? })
        }

        /// It is to ring when so much time has passed, and not when it was to before.
        ///
        /// # Errors
        /// Where the system refuses the timer.
        pub fn set(&mut self, delay: Duration) -> io::Result<()> {
            // None at all would mean never.
            let delay = delay.max(Duration::from_nanos(1));
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: delay.try_into().map_err(io::Error::other)?,
            };
            Ok(timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).map(|_| ())?)
        }

        /// Ready when it has rung.
        ///
        /// # Errors
        /// Where the timer cannot be read.
        pub fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            // How often it rang.
            let mut count = [0; 8];
            Pin::new(&mut self.timer).poll_read(cx, &mut ReadBuf::new(&mut count))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod runtime {
    use super::{Context, Duration, Poll, io};
    use std::pin::Pin;
    use tokio::time::{Sleep, sleep};

    pub struct Alarm {
        sleep: Pin<Box<Sleep>>,
    }

    impl Alarm {
        /// # Errors
        /// None here.
        pub fn new() -> io::Result<Alarm> {
            Ok(Alarm { sleep: Box::pin(sleep(Duration::ZERO)) })
        }

        /// It is to ring when so much time has passed, and not when it was to before.
        ///
        /// # Errors
        /// None here.
        pub fn set(&mut self, delay: Duration) -> io::Result<()> {
            self.sleep = Box::pin(sleep(delay));
            Ok(())
        }

        /// Ready when it has rung.
        ///
        /// # Errors
        /// None here.
        pub fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.sleep.as_mut().poll(cx).map(Ok)
        }
    }
}

impl Alarm {
    /// Ready when so much time has passed.
    ///
    /// Cancel safe: the next wait sets the timer anew.
    ///
    /// # Errors
    /// Where the system refuses the timer.
    pub async fn after(&mut self, delay: Duration) -> io::Result<()> {
        self.set(delay)?;
        poll_fn(|cx| self.poll_rung(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn it_rings_once_the_time_is_over_and_can_be_set_again() {
        let mut alarm = Alarm::new().unwrap();
        for millis in [0, 2, 5] {
            let (begun, delay) = (Instant::now(), Duration::from_millis(millis));
            alarm.after(delay).await.unwrap();
            assert!(begun.elapsed() >= delay);
        }
        // One that nobody waits for any more is not heard by the next.
        let given_up = tokio::time::timeout(Duration::ZERO, alarm.after(Duration::from_secs(60)));
        assert!(given_up.await.is_err());
        alarm.after(Duration::from_millis(1)).await.unwrap();
    }
}
