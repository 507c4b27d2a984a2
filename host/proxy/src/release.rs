//! What released a held message: kept for as long as the portal it opened lives.

use std::rc::Rc;
use std::sync::Arc;

use portcullis_policy::approval::{Grant, Lease};
use portcullis_policy::principal::Asker;
use portcullis_policy::{Held, Permitted, Statement};
use sha2::{Digest, Sha256};

/// A grant or a lease, and the content it was given for.
#[derive(Clone)]
pub struct Release {
    content: [u8; 32],
    by: ReleasedBy,
}

#[derive(Clone)]
enum ReleasedBy {
    Grant(Rc<Grant>),
    Lease(Arc<Lease>),
}

impl Release {
    pub fn by_grant(content: [u8; 32], grant: Grant) -> Release {
        Release { content, by: ReleasedBy::Grant(Rc::new(grant)) }
    }

    pub fn by_lease(content: [u8; 32], lease: Arc<Lease>) -> Release {
        Release { content, by: ReleasedBy::Lease(lease) }
    }

    /// As the ledger names it.
    pub fn name(&self) -> String {
        match &self.by {
            ReleasedBy::Grant(grant) => format!("approval {}", grant.case()),
            ReleasedBy::Lease(lease) => format!("lease {}", lease.id),
        }
    }

    /// Releases `held` if it is what this was given for; `now` in seconds since the epoch.
    pub fn apply<T>(
        &self,
        held: Held<T>,
        asker: &Asker,
        session: u64,
        statements: &[&Statement],
        now: u64,
    ) -> Result<Permitted<T>, Held<T>> {
        match (&self.by, statements) {
            (ReleasedBy::Grant(grant), _) => held.release(grant, session, &self.content),
            (ReleasedBy::Lease(lease), [statement]) => {
                held.release_under(lease, asker, &statement.fingerprint, now)
            }
            (ReleasedBy::Lease(_), _) => Err(held),
        }
    }
}

/// The digest that a grant binds: of all parts, each with its length, so that no two lists
/// of parts have the same.
pub fn content(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
