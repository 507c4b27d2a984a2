//! Random names, and marks that only this process can make.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bits enough that nobody guesses one.
const RANDOM_BYTES: usize = 32;

/// 256 random bits, as a cookie or an address can carry them; `None` where the system has
/// no randomness.
pub(crate) fn random() -> Option<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// The PKCE challenge of a verifier (RFC 7636, S256), and what is kept of a cookie.
pub(crate) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

pub(crate) fn same(one: &str, other: &str) -> bool {
    bool::from(one.as_bytes().ct_eq(other.as_bytes()))
}

/// Drawn once per process; as long as a block of the hash, which is what HMAC takes as it is.
pub(crate) struct Key([u8; 64]);

impl Key {
    pub fn generate() -> Option<Key> {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).ok()?;
        Some(Key(bytes))
    }

    /// What a form must carry beside the cookie: a site that can make a browser send the
    /// cookie still cannot read it, and so cannot make this.
    pub fn form_mark(&self, cookie: &str) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new(&self.0.into());
        mac.update(b"form:");
        mac.update(cookie.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    pub fn is_mark(&self, cookie: &str, mark: &str) -> bool {
        same(&self.form_mark(cookie), mark)
    }
}
