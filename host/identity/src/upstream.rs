//! The proxy's own passwords, and what is kept so that a login is cheap.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::hash::{self, Key};
use crate::message::Malformed;

/// How many iterations an upstream may ask for. Fewer than RFC 7677's minimum would let
/// whoever poses as the upstream guess the password cheaply from our proof; more would let
/// it spend our processor.
pub const ITERATIONS_ACCEPTED: RangeInclusive<u32> = 4096..=600_000;

/// How long an upstream is not told ahead any more that did not take it up. It may have been
/// restarting.
const WAITS_FOR: Duration = Duration::from_secs(600);

/// A role's verifier changes when its password does; while one does, two are in use.
const CACHED_MAX: usize = 4;

/// Why the proxy could not log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// The upstream offers no mechanism we know.
    NoMechanism,
    Malformed,
    /// It asks for this many iterations, outside of [`ITERATIONS_ACCEPTED`].
    Iterations(u32),
    /// Its nonce does not continue ours.
    Nonce,
    /// It refused the login.
    Refused,
    /// It does not know the password: it is not the server we mean.
    Signature,
    /// The system has no random numbers.
    Unavailable,
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            LoginError::NoMechanism => "the upstream offers no SCRAM mechanism that is known here",
            LoginError::Malformed => "the upstream sent a malformed SCRAM message",
            LoginError::Iterations(found) => {
                let (least, most) = ITERATIONS_ACCEPTED.into_inner();
                return write!(
                    f,
                    "the upstream asks for {found} SCRAM iterations; between {least} and {most} are accepted"
                );
            }
            LoginError::Nonce => "the upstream's SCRAM nonce does not continue ours",
            LoginError::Refused => "the upstream refused the login",
            LoginError::Signature => "the upstream could not prove that it knows the password",
            LoginError::Unavailable => "the system has no random numbers",
        };
        f.write_str(text)
    }
}

impl std::error::Error for LoginError {}

impl From<Malformed> for LoginError {
    fn from(_: Malformed) -> LoginError {
        LoginError::Malformed
    }
}

/// The password for one upstream, and what logins there have shown. Shared by all connections
/// and workers: only the first login with a salt pays for the derivation.
pub struct UpstreamKeys {
    password: String,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    keys: Vec<Derived>,
    /// Of the last login that succeeded.
    mechanism: Option<&'static str>,
    /// Until then the next login waits until it is asked for.
    waits_until: Option<Instant>,
}

#[derive(Clone)]
pub(crate) struct Derived {
    salt: Vec<u8>,
    iterations: u32,
    pub client_key: Key,
    pub server_key: Key,
}

impl UpstreamKeys {
    pub fn new(password: String) -> UpstreamKeys {
        UpstreamKeys { password, shown: Mutex::default() }
    }

    /// The password itself, for an upstream that asks for it in clear text or as md5.
    pub fn password(&self) -> &str {
        &self.password
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mechanism by which the next login may begin before it is asked for.
    pub(crate) fn mechanism(&self) -> Option<&'static str> {
        let shown = self.shown();
        let waits = shown.waits_until.is_some_and(|until| Instant::now() < until);
        shown.mechanism.filter(|_| !waits)
    }

    /// The upstream did not take up a login that began before it had asked for one: for
    /// a while none begins so any more.
    pub fn wait_to_be_asked(&self) {
        self.shown().waits_until = Instant::now().checked_add(WAITS_FOR);
    }

    pub(crate) fn cached(&self, salt: &[u8], iterations: u32) -> Option<Derived> {
        let fits = |keys: &&Derived| keys.salt == salt && keys.iterations == iterations;
        self.shown().keys.iter().find(fits).cloned()
    }

    pub(crate) fn derive(&self, salt: &[u8], iterations: u32) -> Derived {
        if let Some(keys) = self.cached(salt, iterations) {
            return keys;
        }
        // Not under the lock: other workers may need keys that are there.
        let salted = hash::salted_password(&self.password, salt, iterations);
        Derived {
            salt: salt.to_owned(),
            iterations,
            client_key: hash::client_key(&salted),
            server_key: hash::server_key(&salted),
        }
    }

    /// Keeps what led to a login: what a stranger asked for is not worth keeping.
    pub(crate) fn keep(&self, keys: Derived, mechanism: &'static str) {
        let mut shown = self.shown();
        shown.mechanism = Some(mechanism);
        let same = |known: &Derived| known.salt == keys.salt && known.iterations == keys.iterations;
        if shown.keys.iter().any(same) {
            return;
        }
        if shown.keys.len() >= CACHED_MAX {
            shown.keys.remove(0);
        }
        shown.keys.push(keys);
    }
}

/// Without the password: debug output ends up in logs.
impl fmt::Debug for UpstreamKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamKeys").finish_non_exhaustive()
    }
}

/// The answer to AuthenticationMD5Password, without its terminating zero.
pub fn md5_response(user: &str, password: &str, salt: [u8; 4]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(user).finalize();
    let outer = Md5::new().chain_update(hex(&inner)).chain_update(salt).finalize();
    format!("md5{}", hex(&outer))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
