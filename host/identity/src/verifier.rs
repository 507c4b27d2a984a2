//! What is kept of a password: enough to check a proof, not enough to make one.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::hash::{self, Key};
use crate::message::{SCRAM_SHA_256, decode, encode};

/// Iterations of a verifier made here: PostgreSQL's own default.
pub const ITERATIONS_DEFAULT: u32 = 4096;

const SALT_BYTES: usize = 16;
const SALT_BYTES_MAX: usize = 256;

/// A SCRAM verifier, written as PostgreSQL keeps it in `pg_authid`:
/// `SCRAM-SHA-256$iterations:salt$stored:server`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) stored_key: Key,
    pub(crate) server_key: Key,
}

/// Tells one password of a user from the next, and nothing else about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordMark(Key);

impl PasswordMark {
    /// As it is stored beside what stands and falls with the password.
    pub(crate) fn text(self) -> String {
        encode(&self.0)
    }
}

impl fmt::Debug for PasswordMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordMark")
    }
}

/// Why a text is not a verifier. Says nothing about its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifierError {
    /// It does not begin with `SCRAM-SHA-256$`.
    Scheme,
    Iterations,
    Salt,
    Keys,
    /// The system has no randomness for a salt.
    Randomness,
}

impl Verifier {
    /// Makes the verifier of a password. Slow in proportion to `iterations`.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        let salted = hash::salted_password(password, salt, iterations);
        Verifier {
            iterations,
            salt: salt.to_owned(),
            stored_key: hash::sha256(&hash::client_key(&salted)),
            server_key: hash::server_key(&salted),
        }
    }

    /// Makes the verifier of a password with a new salt and the default iterations.
    pub fn new(password: &str) -> Result<Verifier, VerifierError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| VerifierError::Randomness)?;
        Ok(Verifier::derive(password, &salt, ITERATIONS_DEFAULT))
    }

    /// Makes the verifier of a password that is read again with every configuration: the
    /// same each time while this process runs, so that a reload looks like nothing from
    /// outside and ends no session.
    pub fn steady(user: &str, password: &str) -> Result<Verifier, VerifierError> {
        let secret = steady_secret().ok_or(VerifierError::Randomness)?;
        let length = (user.len() as u64).to_le_bytes();
        let salt = hash::hmac_sha256(&secret, &[&length, user.as_bytes(), password.as_bytes()]);
        let salt = salt.get(..SALT_BYTES).unwrap_or_default();
        Ok(Verifier::derive(password, salt, ITERATIONS_DEFAULT))
    }

    pub(crate) fn mark(&self) -> PasswordMark {
        PasswordMark(hash::hmac_sha256(&self.stored_key, &[b"mark", &self.salt]))
    }
}

/// Drawn at first use: makes the salts of [`Verifier::steady`].
fn steady_secret() -> Option<Key> {
    static SECRET: OnceLock<Key> = OnceLock::new();
    if SECRET.get().is_none() {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        // Should two draw at once, both use the one that came first.
        let _ = SECRET.set(secret);
    }
    SECRET.get().copied()
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Verifier, VerifierError> {
        let rest = text.strip_prefix(SCRAM_SHA_256).and_then(|rest| rest.strip_prefix('$'));
        let rest = rest.ok_or(VerifierError::Scheme)?;
        let (iterations, rest) = rest.split_once(':').ok_or(VerifierError::Iterations)?;
        let iterations: u32 = iterations.parse().map_err(|_| VerifierError::Iterations)?;
        if iterations == 0 {
            return Err(VerifierError::Iterations);
        }
        let (salt, keys) = rest.split_once('$').ok_or(VerifierError::Salt)?;
        let salt = decode(salt).map_err(|_| VerifierError::Salt)?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(VerifierError::Salt);
        }
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Keys)?;
        Ok(Verifier {
            iterations,
            salt,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }
}

fn key(text: &str) -> Result<Key, VerifierError> {
    let bytes = decode(text).map_err(|_| VerifierError::Keys)?;
    bytes.try_into().map_err(|_| VerifierError::Keys)
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let salt = encode(&self.salt);
        let (stored, server) = (encode(&self.stored_key), encode(&self.server_key));
        write!(f, "{SCRAM_SHA_256}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// Without the keys: debug output ends up in logs.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VerifierError::Scheme => "a verifier begins with SCRAM-SHA-256$",
            VerifierError::Iterations => "the iterations before the ':' must be a number above 0",
            VerifierError::Salt => "the salt between ':' and '$' must be base64",
            VerifierError::Keys => "two keys of 32 bytes in base64 must follow, with a ':' between",
            VerifierError::Randomness => "the system has no random numbers",
        })
    }
}

impl std::error::Error for VerifierError {}
