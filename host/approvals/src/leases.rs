//! Leases in force, as every worker sees them: a snapshot that is read without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_policy::approval::Lease;
use portcullis_policy::principal::Asker;

type BySubject = HashMap<String, Vec<Arc<Lease>>>;

/// Written by one thread only; read by all.
#[derive(Debug, Default)]
pub struct Leases {
    snapshot: ArcSwap<BySubject>,
}

impl Leases {
    /// The lease that one statement of this shape may pass under; of several the latest,
    /// which was given under the latest rules.
    pub fn find(&self, asker: &Asker, fingerprint: &str, now: u64) -> Option<Arc<Lease>> {
        let snapshot = self.snapshot.load();
        let of_subject = snapshot.get(&asker.principal.subject)?;
        let fits = |lease: &&Arc<Lease>| {
            lease.database == asker.database.name
                && lease.fingerprint == fingerprint
                && now < lease.until
        };
        of_subject.iter().rev().find(fits).cloned()
    }

    pub fn all(&self, now: u64) -> Vec<Lease> {
        let snapshot = self.snapshot.load();
        let in_force = snapshot.values().flatten().filter(|lease| now < lease.until);
        let mut all: Vec<Lease> = in_force.map(|lease| Lease::clone(lease)).collect();
        all.sort_by(|a, b| (a.until, &a.id).cmp(&(b.until, &b.id)));
        all
    }

    pub fn count(&self) -> usize {
        self.snapshot.load().values().map(Vec::len).sum()
    }

    pub fn contains(&self, id: &str, now: u64) -> bool {
        let snapshot = self.snapshot.load();
        snapshot.values().flatten().any(|lease| lease.id == id && now < lease.until)
    }

    pub fn add(&self, lease: Lease) {
        let mut next = BySubject::clone(&self.snapshot.load());
        next.entry(lease.subject.clone()).or_default().push(Arc::new(lease));
        self.snapshot.store(Arc::new(next));
    }

    /// Takes out those that `gone` says; gives their ids.
    pub fn remove(&self, gone: impl Fn(&Lease) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        let mut next = BySubject::clone(&self.snapshot.load());
        for leases in next.values_mut() {
            removed.extend(leases.iter().filter(|lease| gone(lease)).map(|lease| lease.id.clone()));
            leases.retain(|lease| !gone(lease));
        }
        if !removed.is_empty() {
            next.retain(|_, leases| !leases.is_empty());
            self.snapshot.store(Arc::new(next));
        }
        removed
    }

    /// The soonest end of one.
    pub fn next_end(&self) -> Option<u64> {
        self.snapshot.load().values().flatten().map(|lease| lease.until).min()
    }
}
