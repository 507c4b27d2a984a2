//! What released a held message: kept for as long as the portal it opened lives.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use portcullis_policy::approval::{Grant, Lease};
use portcullis_policy::principal::Asker;
use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{Action, Held, Permitted, Statement};
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

    pub fn lease(&self) -> Option<&Lease> {
        match &self.by {
            ReleasedBy::Lease(lease) => Some(lease),
            ReleasedBy::Grant(_) => None,
        }
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
            (ReleasedBy::Lease(lease), [statement]) => match repeatable(asker, statement) {
                Some(repeatable) => held.release_under(lease, asker, &repeatable, now),
                None => Err(held),
            },
            (ReleasedBy::Lease(_), _) => Err(held),
        }
    }
}

/// What a lease is for: the shape, and what it does as policies see it, so that the same text
/// under another search path is another. None where the next of the same shape could do
/// something else: what nobody can see into, what a name stands for, and code in literals.
///
/// It begins with the fingerprint that the ledger has. That alone is no digest that nobody
/// could find two texts for.
pub fn repeatable(asker: &Asker, statement: &Statement) -> Option<String> {
    let by_name =
        matches!(statement.effect, SessionEffect::Execute { .. } | SessionEffect::Fetch { .. });
    let in_literals = statement.actions.iter().copied().any(acts_on_literals);
    let resolved = statement.relations.iter().all(|relation| relation.resolved);
    if by_name || in_literals || !resolved || !statement.opaque.is_empty() {
        return None;
    }
    // Who released it must not be whom an agent acts for by now.
    let acts_for = asker.principal.on_behalf_of.as_deref().unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![statement.shape.as_bytes()];
    parts.extend([asker.principal.kind.as_str().as_bytes(), acts_for.as_bytes()]);
    parts.extend(statement.actions.iter().map(|action| action.as_str().as_bytes()));
    for relation in &statement.relations {
        parts.extend([relation.name.as_bytes(), relation.access.as_str().as_bytes()]);
    }
    parts.extend(statement.functions.iter().chain(&statement.parameters_set).map(String::as_bytes));
    let bounds = [u8::from(statement.unbounded_write), u8::from(statement.unbounded_read)];
    parts.push(&bounds);
    let digest = content(&parts);
    let mut name = format!("{}-", statement.fingerprint);
    for byte in digest.iter().take(LEASE_DIGEST_BYTES) {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    Some(name)
}

/// Half of it names a lease well enough.
const LEASE_DIGEST_BYTES: usize = 16;

/// Does what it does stand in its literals: a program, a body, a value of a setting?
fn acts_on_literals(action: Action) -> bool {
    match action {
        Action::CopyFile
        | Action::CopyProgram
        | Action::Create
        | Action::Alter
        | Action::Grant
        | Action::Call
        | Action::DoBlock
        | Action::ExecuteDynamic
        | Action::Set
        | Action::Load
        | Action::Other => true,
        Action::Select
        | Action::Insert
        | Action::Update
        | Action::Delete
        | Action::Merge
        | Action::Truncate
        | Action::CopyIn
        | Action::CopyOut
        | Action::Drop
        | Action::Explain
        | Action::Show
        | Action::Transaction
        | Action::Discard
        | Action::ListenNotify
        | Action::Lock
        | Action::Vacuum => false,
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
