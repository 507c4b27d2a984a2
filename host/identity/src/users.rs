//! The users of the configuration.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use portcullis_policy::{Principal, PrincipalKind};

use crate::hash::{Key, hmac_sha256};
use crate::verifier::{ITERATIONS_DEFAULT, Verifier};

const MOCK_SALT_BYTES: usize = 16;

/// One user, as configured.
#[derive(Clone, Debug)]
pub struct UserConfig {
    pub name: String,
    pub verifier: Verifier,
    pub groups: Vec<String>,
    pub kind: PrincipalKind,
    /// The databases this user may name; `None` for all.
    pub databases: Option<Vec<String>>,
}

/// A user who may prove to be one.
pub type User = UserConfig;

/// Drawn once per process, and kept when the configuration is read again: makes the salts of
/// users who do not exist.
#[derive(Clone)]
pub struct MockSecret(Key);

impl MockSecret {
    /// `None` where the system has no randomness.
    pub fn generate() -> Option<MockSecret> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        Some(MockSecret(secret))
    }
}

impl fmt::Debug for MockSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockSecret")
    }
}

/// All users, by name.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: HashMap<String, Arc<User>>,
    /// What the salts of existing users look like, in a stable order: those of others look
    /// the same.
    forms: Vec<SaltForm>,
    mock: MockSecret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SaltForm {
    iterations: u32,
    salt_bytes: usize,
}

impl Users {
    /// Of two users with the same name the later one counts; the configuration refuses that.
    pub fn new(users: impl IntoIterator<Item = UserConfig>, mock: MockSecret) -> Users {
        let by_name: HashMap<String, Arc<User>> =
            users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect();
        let form = |user: &Arc<User>| SaltForm {
            iterations: user.verifier.iterations,
            salt_bytes: user.verifier.salt.len(),
        };
        let mut forms: Vec<SaltForm> = by_name.values().map(form).collect();
        forms.sort_unstable();
        Users { by_name, forms, mock }
    }

    /// The user called `name`.
    pub fn named(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// What an exchange with `name` is checked against: for a name that nobody has, a
    /// verifier that nothing fits and that is the same each time.
    pub(crate) fn verifier(&self, name: &str) -> Verifier {
        let mock = self.mock_verifier(name);
        self.named(name).map_or(mock, |user| user.verifier.clone())
    }

    fn mock_verifier(&self, name: &str) -> Verifier {
        let drawn = hmac_sha256(&self.mock.0, &[b"form", name.as_bytes()]);
        let form = self.mock_form(&drawn);
        let mut salt = Vec::with_capacity(form.salt_bytes);
        for block in 0..form.salt_bytes.div_ceil(32) {
            let number = (block as u64).to_le_bytes();
            salt.extend(hmac_sha256(&self.mock.0, &[b"salt", &number, name.as_bytes()]));
        }
        salt.truncate(form.salt_bytes);
        let stored_key = hmac_sha256(&self.mock.0, &[b"stored", name.as_bytes()]);
        let server_key = hmac_sha256(&self.mock.0, &[b"server", name.as_bytes()]);
        Verifier { iterations: form.iterations, salt, stored_key, server_key }
    }

    fn mock_form(&self, drawn: &Key) -> SaltForm {
        let number = drawn.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte));
        let usual = SaltForm { iterations: ITERATIONS_DEFAULT, salt_bytes: MOCK_SALT_BYTES };
        let index = number.checked_rem(self.forms.len()).unwrap_or_default();
        self.forms.get(index).copied().unwrap_or(usual)
    }
}

/// Proof that a client is a user. Only a finished exchange makes one.
#[derive(Clone, Debug)]
pub struct UserMatched {
    user: Arc<User>,
}

impl UserMatched {
    pub(crate) fn proven(user: Arc<User>) -> UserMatched {
        UserMatched { user }
    }

    pub fn user(&self) -> &User {
        &self.user
    }

    /// May this user name `database`?
    pub fn may_use(&self, database: &str) -> bool {
        let named = |databases: &Vec<String>| databases.iter().any(|allowed| allowed == database);
        self.user.databases.as_ref().is_none_or(named)
    }

    /// The principal of a session; the last two are the client's own word.
    pub fn principal(&self, client_address: &str, application: &str, role: &str) -> Principal {
        Principal {
            subject: self.user.name.clone(),
            kind: self.user.kind,
            groups: self.user.groups.clone(),
            proof: "scram".to_owned(),
            on_behalf_of: None,
            claims: Vec::new(),
            client_address: client_address.to_owned(),
            application: application.to_owned(),
            role: role.to_owned(),
        }
    }
}
