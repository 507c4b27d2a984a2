//! Deadlines of what hardly ever takes so long.
//!
//! A timer of the runtime's makes every wait for sockets one with a time-out while it is set, for
//! all sessions of the worker, and wakes the worker to be set. Logins have deadlines of many
//! seconds and take milliseconds: it is enough that somebody looks once a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

/// What was not ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapsed;

/// Those who wait, of all workers.
#[derive(Default)]
pub struct Patience {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    bells: Vec<(Option<Instant>, Weak<Notify>)>,
    /// Nobody looks any more.
    is_over: bool,
}

impl Patience {
    /// What the future gives, unless it is given up: at the first look behind the deadline.
    pub async fn until<F: Future>(
        &self,
        deadline: Instant,
        future: F,
    ) -> Result<F::Output, Lapsed> {
        self.wait(Some(deadline), future).await
    }

    /// What the future gives, however long it takes, unless everything ends.
    pub async fn to_the_end<F: Future>(&self, future: F) -> Result<F::Output, Lapsed> {
        self.wait(None, future).await
    }

    async fn wait<F: Future>(
        &self,
        deadline: Option<Instant>,
        future: F,
    ) -> Result<F::Output, Lapsed> {
        let bell = Arc::new(Notify::new());
        {
            let mut waiting = self.lock();
            if waiting.is_over {
                return Err(Lapsed);
            }
            waiting.bells.push((deadline, Arc::downgrade(&bell)));
        }
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = bell.notified() => Err(Lapsed),
        }
    }

    /// Ends every wait whose deadline is over.
    pub fn look(&self, now: Instant) {
        self.lock().bells.retain(|(deadline, bell)| {
            let Some(bell) = bell.upgrade() else { return false };
            let lasts = deadline.is_none_or(|deadline| deadline > now);
            if !lasts {
                bell.notify_one();
            }
            lasts
        });
    }

    /// Ends every wait there is and will be.
    pub fn end(&self) {
        let mut waiting = self.lock();
        waiting.is_over = true;
        waiting.bells.drain(..).filter_map(|(_, bell)| bell.upgrade()).for_each(|bell| {
            bell.notify_one();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds it can leave it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::time::Duration;

    #[tokio::test]
    async fn what_is_late_is_given_up_at_the_next_look() {
        let (patience, now) = (Patience::default(), Instant::now());
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        assert_eq!(patience.until(now, ready(1)).await, Ok(1));
        let looks = async {
            let listed = || patience.lock().bells.len();
            assert_eq!(listed(), 3, "one has ended, and is still listed");
            patience.look(now);
            assert_eq!(listed(), 2);
            patience.look(soon);
            assert_eq!(listed(), 1);
            patience.look(later);
            assert_eq!(listed(), 0);
        };
        let first = patience.until(soon, pending::<()>());
        let second = patience.until(later, pending::<()>());
        let (first, second, ()) = tokio::join!(first, second, looks);
        assert_eq!((first, second), (Err(Lapsed), Err(Lapsed)));
    }

    #[tokio::test]
    async fn when_nobody_looks_any_more_nothing_is_waited_for() {
        let (patience, deadline) = (Patience::default(), Instant::now() + Duration::from_secs(60));
        let waiting = patience.until(deadline, pending::<()>());
        let for_long = patience.to_the_end(pending::<()>());
        let ends = async {
            patience.look(deadline - Duration::from_secs(1));
            assert_eq!(patience.lock().bells.len(), 2);
            patience.end();
        };
        let (waited, waited_long, ()) = tokio::join!(waiting, for_long, ends);
        assert_eq!((waited, waited_long), (Err(Lapsed), Err(Lapsed)));
        assert_eq!(patience.until(deadline, ready(())).await, Err(Lapsed));
    }
}
