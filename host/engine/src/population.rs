//! How many instances there are, so that one that is never let go can be seen.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts instances; clones count the same ones.
#[derive(Clone, Default)]
pub struct Population {
    count: Arc<AtomicUsize>,
}

/// An instance that is counted while this is kept.
pub(crate) struct Resident(Population);

impl Population {
    /// Instances that there are now, of all policies and workers.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) -> Resident {
        self.count.fetch_add(1, Ordering::Relaxed);
        Resident(self.clone())
    }
}

impl fmt::Debug for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Population").field(&self.count()).finish()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
