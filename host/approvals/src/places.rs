//! How many may wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Why nothing waits, though something was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// As many wait as may.
    TooMany { waiting_max: usize },
    /// As many of this principal wait as may.
    TooManyOfOne { waiting_max: usize },
    /// A policy named nobody who could release it.
    Nobody,
    /// Approvals have stopped, or the system gave no randomness to name this one.
    Stopped,
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AskError::TooMany { waiting_max } => {
                write!(f, "{waiting_max} statements wait for approval already")
            }
            AskError::TooManyOfOne { waiting_max } => {
                write!(f, "{waiting_max} of your statements wait for approval already")
            }
            AskError::Nobody => f.write_str("the policy names nobody who could approve it"),
            AskError::Stopped => f.write_str("approvals are not available"),
        }
    }
}

impl std::error::Error for AskError {}

/// Counts what waits. Its lock is held for a few instructions, never across anything slow.
#[derive(Debug)]
pub struct Places {
    waiting_max: usize,
    waiting_per_principal_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_subject: HashMap<String, usize>,
}

impl Places {
    pub fn new(waiting_max: usize, waiting_per_principal_max: usize) -> Arc<Places> {
        Arc::new(Places { waiting_max, waiting_per_principal_max, taken: Mutex::default() })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Takes a place for `subject`; it is free again when the place is dropped.
    pub fn take(self: &Arc<Places>, subject: &str) -> Result<Place, AskError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.waiting_max {
            return Err(AskError::TooMany { waiting_max: self.waiting_max });
        }
        let own = taken.by_subject.get(subject).copied().unwrap_or_default();
        if own >= self.waiting_per_principal_max {
            return Err(AskError::TooManyOfOne { waiting_max: self.waiting_per_principal_max });
        }
        taken.all += 1;
        taken.by_subject.insert(subject.to_owned(), own + 1);
        Ok(Place { places: Arc::clone(self), subject: subject.to_owned() })
    }
}

/// One place taken.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    subject: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_subject.get_mut(&self.subject) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_subject.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_for_each() {
        let places = Places::new(3, 2);
        let first = places.take("ana").unwrap();
        let _second = places.take("ana").unwrap();
        assert_eq!(places.take("ana").unwrap_err(), AskError::TooManyOfOne { waiting_max: 2 });
        let _third = places.take("ben").unwrap();
        assert_eq!(places.take("eva").unwrap_err(), AskError::TooMany { waiting_max: 3 });
        assert_eq!(places.taken(), 3);
        drop(first);
        assert_eq!(places.taken(), 2);
        assert!(places.take("ana").is_ok());
        assert!(places.take("eva").is_ok());
    }
}
