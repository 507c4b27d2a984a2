//! Subjects that an administrator has shut out, whatever they can prove.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// How many subjects may be disabled at once.
pub const DISABLED_MAX: usize = 100_000;

/// One subject that is shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledSubject {
    pub subject: String,
    /// The administrator who did it.
    pub by: String,
    pub reason: String,
    pub at: SystemTime,
}

/// Where it outlives a restart who is shut out.
pub trait DisabledStore: Send {
    fn load(&mut self) -> io::Result<Vec<DisabledSubject>>;
    /// Keeps one, in place of an earlier one for the same subject; when this has returned,
    /// it is safe on disk.
    fn insert(&mut self, disabled: &DisabledSubject) -> io::Result<()>;
    /// Forgets one; that there is none is no error.
    fn remove(&mut self, subject: &str) -> io::Result<()>;
}

/// Who is shut out: a handle to share. It lives as long as the process does.
///
/// A subject is a name, whoever vouched for it: shutting out "ana" shuts out the user of
/// the configuration, the issuers' "ana", what acts for her, and what she was issued.
#[derive(Clone)]
pub struct Disabled {
    shared: Arc<Shared>,
}

struct Shared {
    by_subject: RwLock<HashMap<String, Arc<DisabledSubject>>>,
    store: Mutex<Box<dyn DisabledStore>>,
}

impl Disabled {
    pub fn open(mut store: Box<dyn DisabledStore>) -> io::Result<Disabled> {
        let loaded = store.load()?.into_iter();
        let by_subject = loaded.map(|entry| (entry.subject.clone(), Arc::new(entry))).collect();
        let shared = Shared { by_subject: RwLock::new(by_subject), store: Mutex::new(store) };
        Ok(Disabled { shared: Arc::new(shared) })
    }

    /// Nobody, and kept nowhere.
    pub fn in_memory() -> Disabled {
        let shared = Shared {
            by_subject: RwLock::new(HashMap::new()),
            store: Mutex::new(Box::new(Nowhere)),
        };
        Disabled { shared: Arc::new(shared) }
    }

    /// Shuts a subject out. It counts at once, even if the store fails; then it would be
    /// over with a restart, which the error says.
    pub fn disable(&self, entry: DisabledSubject) -> io::Result<()> {
        let mut store = self.shared.store.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Arc::new(entry.clone());
        let kept = self.write(|by_subject| {
            let room = by_subject.len() < DISABLED_MAX || by_subject.contains_key(&entry.subject);
            room.then(|| by_subject.insert(entry.subject.clone(), known)).is_some()
        });
        if !kept {
            return Err(io::Error::other("too many principals are disabled"));
        }
        store.insert(&entry)
    }

    /// Lets a subject in again; false where it was not shut out. The store comes first: what
    /// would be shut out again after a restart is shut out.
    pub fn enable(&self, subject: &str) -> io::Result<bool> {
        let mut store = self.shared.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.remove(subject)?;
        Ok(self.write(|by_subject| by_subject.remove(subject)).is_some())
    }

    pub fn contains(&self, subject: &str) -> bool {
        let by_subject = self.shared.by_subject.read().unwrap_or_else(PoisonError::into_inner);
        by_subject.contains_key(subject)
    }

    /// Everybody shut out, by name.
    pub fn list(&self) -> Vec<Arc<DisabledSubject>> {
        let by_subject = self.shared.by_subject.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<DisabledSubject>> = by_subject.values().cloned().collect();
        drop(by_subject);
        all.sort_by(|one, other| one.subject.cmp(&other.subject));
        all
    }

    fn write<R>(&self, change: impl FnOnce(&mut HashMap<String, Arc<DisabledSubject>>) -> R) -> R {
        change(&mut self.shared.by_subject.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Disabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disabled").finish_non_exhaustive()
    }
}

/// For a proxy that keeps nothing over a restart.
struct Nowhere;

impl DisabledStore for Nowhere {
    fn load(&mut self) -> io::Result<Vec<DisabledSubject>> {
        Ok(Vec::new())
    }

    fn insert(&mut self, _: &DisabledSubject) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
