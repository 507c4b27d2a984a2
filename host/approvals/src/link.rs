//! One-time links to one approval, for messages to chat rooms.
//!
//! A link carries no power: it leads to the approver's own login. What it adds is that nobody
//! finds an approval's page by guessing, and that a link that was used is worth nothing to
//! who reads the message later.
//!
//! A token is `version (1) | nonce (16) | good until (8, seconds) | approval (8) | mac (32)`
//! in URL-safe base64. The key of the mac lives in memory only, so all links die with the
//! process, as do the sessions that wait for their approvals; and so the list of used ones
//! has nothing to survive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::id;

/// A block of SHA-256, which the key of an HMAC fills.
const KEY_BYTES: usize = 64;
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 16;
const SIGNED_BYTES: usize = 1 + NONCE_BYTES + 8 + id::LENGTH;
const TOKEN_BYTES: usize = SIGNED_BYTES + 32;
/// Used links that are remembered until they expire; when there are more, none is accepted.
const USED_MAX: usize = 100_000;
/// What else this key might ever sign is no link.
const PURPOSE: &[u8] = b"portcullis approval link\0";

/// Why a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Not made by this process, or changed since.
    Forged,
    Expired,
    UsedBefore,
    /// Too many were used to remember one more.
    Busy,
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LinkError::Forged => "this link is not valid",
            LinkError::Expired => "this link has expired",
            LinkError::UsedBefore => "this link was used before",
            LinkError::Busy => "too many links were used; try again later",
        })
    }
}

impl std::error::Error for LinkError {}

/// Makes links and says whether one is good; cheap to clone.
#[derive(Clone)]
pub struct Links {
    key: Hmac<Sha256>,
    /// Nonces of used links, and until when each would be good.
    used: Arc<Mutex<HashMap<[u8; NONCE_BYTES], u64>>>,
}

impl Links {
    /// With a new key.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Links, getrandom::Error> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key)?;
        Ok(Links::with_key(&key))
    }

    fn with_key(key: &[u8; KEY_BYTES]) -> Links {
        let mut key = Hmac::new(key.into());
        key.update(PURPOSE);
        Links { key, used: Arc::default() }
    }

    /// A token for `approval`, good once and until then.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn issue(&self, approval: &str, good_until: u64) -> Result<String, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let mut token = Vec::with_capacity(TOKEN_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&good_until.to_be_bytes());
        token.extend_from_slice(approval.as_bytes());
        let mac = self.key.clone().chain_update(&token).finalize().into_bytes();
        token.extend_from_slice(&mac);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// The approval that a token leads to, without using it up: chat rooms fetch the links
    /// in their messages, and people reload pages.
    ///
    /// # Errors
    /// When it is not good now.
    pub fn peek(&self, token: &str, now: u64) -> Result<String, LinkError> {
        let link = self.read(token, now)?;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&link.nonce) { Err(LinkError::UsedBefore) } else { Ok(link.approval) }
    }

    /// The same, and never again: for the moment when the approver has logged in.
    ///
    /// # Errors
    /// When it is not good now.
    pub fn redeem(&self, token: &str, now: u64) -> Result<String, LinkError> {
        let link = self.read(token, now)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&link.nonce) {
            return Err(LinkError::UsedBefore);
        }
        if used.len() >= USED_MAX {
            used.retain(|_, good_until| *good_until > now);
        }
        if used.len() >= USED_MAX {
            return Err(LinkError::Busy);
        }
        used.insert(link.nonce, link.good_until);
        Ok(link.approval)
    }

    fn read(&self, token: &str, now: u64) -> Result<Link, LinkError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| LinkError::Forged)?;
        let (signed, mac) = bytes.split_first_chunk::<SIGNED_BYTES>().ok_or(LinkError::Forged)?;
        self.key.clone().chain_update(signed).verify_slice(mac).map_err(|_| LinkError::Forged)?;
        let link = Link::read(signed).ok_or(LinkError::Forged)?;
        if now < link.good_until { Ok(link) } else { Err(LinkError::Expired) }
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links")
    }
}

struct Link {
    nonce: [u8; NONCE_BYTES],
    good_until: u64,
    approval: String,
}

impl Link {
    fn read(signed: &[u8; SIGNED_BYTES]) -> Option<Link> {
        let (version, rest) = signed.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (good_until, approval) = rest.split_first_chunk::<8>()?;
        let approval = std::str::from_utf8(approval).ok().and_then(id::read)?;
        let good_until = u64::from_be_bytes(*good_until);
        (*version == VERSION).then_some(Link { nonce: *nonce, good_until, approval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_BYTES] = [9; KEY_BYTES];
    const ID: &str = "7Q2M9KXA";

    fn check(token: &str, now: u64, expected: Result<&str, LinkError>) {
        let links = Links::with_key(&KEY);
        let expected = expected.map(str::to_owned);
        assert_eq!(links.peek(token, now), expected, "peek {token}");
        assert_eq!(links.redeem(token, now), expected, "redeem {token}");
    }

    fn changed(token: &str, at: usize) -> String {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        bytes[at] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn only_what_was_issued_leads_anywhere() {
        let token = Links::with_key(&KEY).issue(ID, 100).unwrap();
        assert_eq!(token.len(), 87);
        check(&token, 99, Ok(ID));
        for at in 0..TOKEN_BYTES {
            check(&changed(&token, at), 99, Err(LinkError::Forged));
        }
        check(
            &Links::with_key(&[8; KEY_BYTES]).issue(ID, 100).unwrap(),
            99,
            Err(LinkError::Forged),
        );
        check(&Links::new().unwrap().issue(ID, 100).unwrap(), 99, Err(LinkError::Forged));
        let shorter = token.get(..86).unwrap();
        for forged in ["", "a", ID, shorter, &format!("{token}A"), &format!("{token}=")] {
            check(forged, 99, Err(LinkError::Forged));
        }
    }

    #[test]
    fn links_expire() {
        let token = Links::with_key(&KEY).issue(ID, 100).unwrap();
        check(&token, 0, Ok(ID));
        check(&token, 100, Err(LinkError::Expired));
        check(&token, u64::MAX, Err(LinkError::Expired));
    }

    #[test]
    fn a_link_is_looked_at_often_and_used_once() {
        let links = Links::new().unwrap();
        let [one, other] = [(), ()].map(|()| links.issue(ID, 100).unwrap());
        assert_ne!(one, other);
        assert_eq!(links.peek(&one, 1), Ok(ID.to_owned()));
        assert_eq!(links.peek(&one, 1), Ok(ID.to_owned()));
        assert_eq!(links.redeem(&one, 1), Ok(ID.to_owned()));
        assert_eq!(links.peek(&one, 1), Err(LinkError::UsedBefore));
        assert_eq!(links.clone().redeem(&one, 1), Err(LinkError::UsedBefore));
        assert_eq!(links.redeem(&other, 1), Ok(ID.to_owned()));
    }
}
