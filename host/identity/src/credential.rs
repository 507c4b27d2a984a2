//! Short-lived passwords, for clients that can prove who they are in no better way.
//!
//! Somebody who has logged in is given a user name and a password that are good for one
//! database and some minutes. Only a verifier of the password is kept.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use portcullis_policy::PrincipalKind;

use crate::proven::{Basis, Proven};
use crate::secret::Secret;
use crate::verifier::Verifier;

/// How the user names of short-lived passwords begin; no user of the configuration may be
/// called so.
pub const CREDENTIAL_PREFIX: &str = "pc_";
/// The longest that one may be good for, whatever the configuration says.
pub const CREDENTIAL_LIFETIME_MAX: Duration = Duration::from_hours(24);
/// How many one subject may hold at once.
pub const CREDENTIALS_PER_SUBJECT_MAX: usize = 16;
/// How many there may be at once.
pub const CREDENTIALS_MAX: usize = 10_000;

const ID_CHARACTERS: usize = 10;
/// Five bits each: more than the 128 that nobody guesses.
const PASSWORD_CHARACTERS: usize = 26;
/// Crockford's, so that nothing in a password is mistaken for something else.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// One short-lived password, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: String,
    pub verifier: Verifier,
    /// Whom it was issued to, as they were proved then.
    pub subject: String,
    pub kind: PrincipalKind,
    pub groups: Vec<String>,
    pub on_behalf_of: Option<String>,
    pub claims: Vec<(String, String)>,
    /// How they had proved it.
    pub issued_on: String,
    /// The user of the configuration that they were, if they were one: the credential is
    /// good only while that user is still there and still the same.
    pub of_user: Option<String>,
    /// Tells that user's password from the next one, where it was what proved them.
    pub of_password: Option<String>,
    /// The one database it is good for.
    pub database: String,
    pub issued_at: SystemTime,
    pub expires_at: SystemTime,
}

impl Credential {
    /// The user name to come as.
    pub fn user(&self) -> String {
        format!("{CREDENTIAL_PREFIX}{}", self.id)
    }

    pub(crate) fn proven(&self) -> Proven {
        Proven {
            subject: self.subject.clone(),
            kind: self.kind,
            groups: self.groups.clone(),
            proof: "credential",
            on_behalf_of: self.on_behalf_of.clone(),
            claims: self.claims.clone(),
            names: vec![self.user()],
            databases: Some(vec![self.database.clone()]),
            expires_at: Some(self.expires_at),
            basis: Basis::Credential { id: self.id.clone() },
        }
    }
}

/// A new short-lived password. It is shown once; nothing remembers it.
#[derive(Debug)]
pub struct Issued {
    pub id: String,
    pub user: String,
    pub password: Secret,
    pub expires_at: SystemTime,
}

/// Why a short-lived password is not issued.
#[derive(Debug)]
pub enum IssueError {
    /// The login that asks is itself by such a password; it would never end.
    Chained,
    /// The database is not open to who asks.
    Database,
    /// No time at all, or longer than [`CREDENTIAL_LIFETIME_MAX`].
    Lifetime,
    /// The proof that asks has itself expired.
    Expired,
    /// The subject holds as many as it may, or all together do.
    TooMany,
    /// The system has no random numbers.
    Randomness,
    /// It could not be stored.
    Store(io::Error),
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IssueError::Chained => "a short-lived password cannot be used to get another one",
            IssueError::Database => "this database is not open to you",
            IssueError::Lifetime => "the lifetime must be above zero and at most a day",
            IssueError::Expired => "your own login has expired",
            IssueError::TooMany => "there are too many short-lived passwords: revoke one first",
            IssueError::Randomness => "the system has no random numbers",
            IssueError::Store(error) => return write!(f, "it could not be stored: {error}"),
        })
    }
}

impl std::error::Error for IssueError {}

/// Where short-lived passwords outlive a restart.
pub trait CredentialStore: Send {
    /// Everything kept, expired or not.
    fn load(&mut self) -> io::Result<Vec<Credential>>;
    /// Keeps one; when this has returned, it is safe on disk.
    fn insert(&mut self, credential: &Credential) -> io::Result<()>;
    /// Forgets one; that there is none is no error.
    fn remove(&mut self, id: &str) -> io::Result<()>;
}

/// All short-lived passwords: a handle to share. They live as long as the process does,
/// while the users of the configuration come and go.
#[derive(Clone)]
pub struct Credentials {
    shared: Arc<Shared>,
}

struct Shared {
    /// By user name. Read at each login, written only where one is issued or ends.
    by_user: RwLock<HashMap<String, Arc<Credential>>>,
    /// Whoever writes holds this for the whole of it, so that the bounds hold and a slow
    /// disk delays no login.
    store: Mutex<Box<dyn CredentialStore>>,
}

impl Credentials {
    /// Those that the store holds and that are still good.
    pub fn open(mut store: Box<dyn CredentialStore>, now: SystemTime) -> io::Result<Credentials> {
        let mut by_user = HashMap::new();
        for credential in store.load()? {
            if credential.expires_at > now {
                by_user.insert(credential.user(), Arc::new(credential));
            } else {
                store.remove(&credential.id)?;
            }
        }
        let shared = Shared { by_user: RwLock::new(by_user), store: Mutex::new(store) };
        Ok(Credentials { shared: Arc::new(shared) })
    }

    /// None, and kept nowhere.
    pub fn in_memory() -> Credentials {
        let shared =
            Shared { by_user: RwLock::new(HashMap::new()), store: Mutex::new(Box::new(Nowhere)) };
        Credentials { shared: Arc::new(shared) }
    }

    /// Makes a password for who has proved to be `to`, good for `database` from `now` on.
    /// It takes milliseconds of computing and waits for the store.
    pub fn issue(
        &self,
        to: &Proven,
        database: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let expires_at = expiry(to, database, lifetime, now)?;
        let id = random_text(ID_CHARACTERS)?;
        let password = Secret::new(random_text(PASSWORD_CHARACTERS)?);
        let verifier = Verifier::new(password.expose()).map_err(|_| IssueError::Randomness)?;
        let credential = Credential {
            id: id.clone(),
            verifier,
            subject: to.subject.clone(),
            kind: to.kind,
            groups: to.groups.clone(),
            on_behalf_of: to.on_behalf_of.clone(),
            claims: to.claims.clone(),
            issued_on: to.proof.to_owned(),
            of_user: user_behind(&to.basis),
            of_password: password_behind(&to.basis),
            database: database.to_owned(),
            issued_at: now,
            expires_at,
        };
        let user = credential.user();
        self.keep(credential, now)?;
        Ok(Issued { id, user, password, expires_at })
    }

    /// Takes one back; its sessions end. False where there is none. It counts at once, even
    /// if the store fails; then it would come back with a restart, which the error says.
    pub fn revoke(&self, id: &str) -> io::Result<bool> {
        let mut store = self.store();
        let user = format!("{CREDENTIAL_PREFIX}{id}");
        let known = self.write(|by_user| by_user.remove(&user)).is_some();
        store.remove(id)?;
        Ok(known)
    }

    /// Those that are good at `now`, the oldest first.
    pub fn list(&self, now: SystemTime) -> Vec<Arc<Credential>> {
        let by_user = self.shared.by_user.read().unwrap_or_else(PoisonError::into_inner);
        let good = by_user.values().filter(|credential| credential.expires_at > now);
        let mut all: Vec<Arc<Credential>> = good.cloned().collect();
        drop(by_user);
        all.sort_by(|one, other| (one.issued_at, &one.id).cmp(&(other.issued_at, &other.id)));
        all
    }

    /// The one with this id, if it is good at `now`.
    pub fn with_id(&self, id: &str, now: SystemTime) -> Option<Arc<Credential>> {
        self.of(&format!("{CREDENTIAL_PREFIX}{id}"), now)
    }

    /// The one that a client means who comes as `startup_user`.
    pub(crate) fn of(&self, startup_user: &str, now: SystemTime) -> Option<Arc<Credential>> {
        let by_user = self.shared.by_user.read().unwrap_or_else(PoisonError::into_inner);
        let credential = by_user.get(startup_user).cloned();
        drop(by_user);
        credential.filter(|credential| credential.expires_at > now)
    }

    fn keep(&self, credential: Credential, now: SystemTime) -> Result<(), IssueError> {
        let mut store = self.store();
        self.forget_expired(&mut **store, now).map_err(IssueError::Store)?;
        let (mine, all) = self.write(|by_user| {
            let same = |held: &&Arc<Credential>| held.subject == credential.subject;
            (by_user.values().filter(same).count(), by_user.len())
        });
        if mine >= CREDENTIALS_PER_SUBJECT_MAX || all >= CREDENTIALS_MAX {
            return Err(IssueError::TooMany);
        }
        // On disk first: one that cannot be kept is not given out.
        store.insert(&credential).map_err(IssueError::Store)?;
        self.write(|by_user| by_user.insert(credential.user(), Arc::new(credential)));
        Ok(())
    }

    fn forget_expired(&self, store: &mut dyn CredentialStore, now: SystemTime) -> io::Result<()> {
        let expired = self.write(|by_user| {
            let expired = by_user.extract_if(|_, credential| credential.expires_at <= now);
            expired.map(|(_, credential)| credential.id.clone()).collect::<Vec<_>>()
        });
        expired.iter().try_for_each(|id| store.remove(id))
    }

    fn store(&self) -> MutexGuard<'_, Box<dyn CredentialStore>> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<R>(&self, change: impl FnOnce(&mut HashMap<String, Arc<Credential>>) -> R) -> R {
        change(&mut self.shared.by_user.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// For a proxy that keeps nothing over a restart.
struct Nowhere;

impl CredentialStore for Nowhere {
    fn load(&mut self) -> io::Result<Vec<Credential>> {
        Ok(Vec::new())
    }

    fn insert(&mut self, _: &Credential) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Until when a credential may be good. One that a certificate led to ends with it; a token
/// is short-lived by design and has done its work when it is shown.
fn expiry(
    to: &Proven,
    database: &str,
    lifetime: Duration,
    now: SystemTime,
) -> Result<SystemTime, IssueError> {
    if lifetime.is_zero() || lifetime > CREDENTIAL_LIFETIME_MAX {
        return Err(IssueError::Lifetime);
    }
    if !to.may_use(database) {
        return Err(IssueError::Database);
    }
    if to.expires_at.is_some_and(|until| until <= now) {
        return Err(IssueError::Expired);
    }
    let wanted = now.checked_add(lifetime).ok_or(IssueError::Lifetime)?;
    match &to.basis {
        Basis::User { .. } | Basis::Token(_) => Ok(wanted),
        Basis::Certificate { .. } => Ok(to.expires_at.map_or(wanted, |until| until.min(wanted))),
        Basis::Credential { .. } => Err(IssueError::Chained),
    }
}

fn user_behind(basis: &Basis) -> Option<String> {
    match basis {
        Basis::User { name, .. } | Basis::Certificate { user: name, .. } => Some(name.clone()),
        Basis::Credential { .. } | Basis::Token(_) => None,
    }
}

fn password_behind(basis: &Basis) -> Option<String> {
    match basis {
        Basis::User { password, .. } => Some(password.text()),
        Basis::Certificate { .. } | Basis::Credential { .. } | Basis::Token(_) => None,
    }
}

fn random_text(characters: usize) -> Result<String, IssueError> {
    let mut random = vec![0; characters];
    getrandom::fill(&mut random).map_err(|_| IssueError::Randomness)?;
    // 256 is a multiple of 32, so every character is as likely as another.
    let character = |byte: u8| ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0');
    Ok(random.into_iter().map(|byte| char::from(character(byte))).collect())
}
