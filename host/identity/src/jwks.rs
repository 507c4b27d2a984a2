//! An issuer's public keys (RFC 7517), and how long they are believed.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::algorithm::Algorithm;
use crate::strict_json::{self, Broken};
use crate::token::Refusal;

/// What more keys than these say is not read: honest sets have a handful.
const KEYS_MAX: usize = 64;
/// As in tokens.
const KEY_ID_BYTES_MAX: usize = 256;
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Members that only a private or a symmetric key has.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The keys of one issuer that can check signatures.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// What the key says it is for, if it says so.
    algorithm: Option<Algorithm>,
    shape: Shape,
    key: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeySet {
    /// Reads a key set. Keys of other sorts and uses are passed over, and so are those whose
    /// private part is shown to the world.
    pub(crate) fn parse(document: &[u8]) -> Result<KeySet, Broken> {
        let document = strict_json::object(document)?;
        let Some(Value::Array(keys)) = document.get("keys") else {
            return Err(Broken::Malformed);
        };
        if keys.len() > KEYS_MAX {
            return Err(Broken::Malformed);
        }
        let keys = keys.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        Ok(KeySet { keys })
    }

    /// The one key that a token with this header can be signed by. A token without a key id
    /// is for an issuer with a single key of that sort.
    pub(crate) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&DecodingKey, Refusal> {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut fitting = self.keys.iter().filter(named).filter(|key| key.serves(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (None | Some(_), _) => Err(Refusal::UnknownKey),
        }
    }
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Key> {
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) || !signs(jwk) {
            return None;
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Some(id.clone()),
            Some(_) => return None,
        };
        // A key for an algorithm that is not known here serves nothing.
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str()?.parse().ok()?),
        };
        let (shape, key) = public_key(jwk)?;
        Some(Key { id, algorithm, shape, key })
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        self.shape == shape_for(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

fn shape_for(algorithm: Algorithm) -> Shape {
    match algorithm {
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => Shape::Rsa,
        Algorithm::Es256 => Shape::P256,
        Algorithm::Es384 => Shape::P384,
        Algorithm::EdDsa => Shape::Ed25519,
    }
}

fn signs(jwk: &Map<String, Value>) -> bool {
    let used = match jwk.get("use") {
        None => true,
        Some(purpose) => purpose.as_str() == Some("sig"),
    };
    let operates = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => {
            operations.iter().any(|operation| operation.as_str() == Some("verify"))
        }
        Some(_) => false,
    };
    used && operates
}

fn public_key(jwk: &Map<String, Value>) -> Option<(Shape, DecodingKey)> {
    let curve = jwk.get("crv").and_then(Value::as_str);
    match (jwk.get("kty")?.as_str()?, curve) {
        ("RSA", _) => {
            let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
            let fits = RSA_MODULUS_BYTES.contains(&modulus.len());
            let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
            fits.then_some((Shape::Rsa, key))
        }
        ("EC", Some("P-256")) => Some((Shape::P256, point(jwk, 32)?)),
        ("EC", Some("P-384")) => Some((Shape::P384, point(jwk, 48)?)),
        ("OKP", Some("Ed25519")) => {
            let key = bytes(jwk, "x").filter(|x| x.len() == 32)?;
            Some((Shape::Ed25519, DecodingKey::from_ed_der(&key)))
        }
        _ => None,
    }
}

/// The uncompressed form of a point of a curve with coordinates of `length` bytes.
fn point(jwk: &Map<String, Value>, length: usize) -> Option<DecodingKey> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return None;
    }
    Some(DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
}

fn bytes(jwk: &Map<String, Value>, member: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(member)?.as_str()?).ok()
}

/// How long what an issuer published is believed, and how often it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    /// Younger keys are used without asking: a key that was taken back is believed so long.
    pub fresh: Duration,
    /// Older keys are not used when the issuer cannot be reached: new logins fail.
    pub stale_max: Duration,
    /// A token that names an unknown key makes the proxy ask, but not more often than this.
    pub unknown_key_pause: Duration,
    /// After an attempt that failed nobody is asked for so long.
    pub failure_pause: Duration,
}

impl Default for KeyTimes {
    fn default() -> KeyTimes {
        KeyTimes {
            fresh: Duration::from_secs(300),
            stale_max: Duration::from_secs(900),
            unknown_key_pause: Duration::from_secs(10),
            failure_pause: Duration::from_secs(5),
        }
    }
}

/// What an issuer published, and when it was asked.
pub(crate) struct Published<T> {
    times: KeyTimes,
    known: Option<(Rc<T>, Instant)>,
    /// The last attempt that failed, if none has succeeded since.
    failed_at: Option<Instant>,
    /// The last time that an unknown key made us ask.
    forced_at: Option<Instant>,
}

/// What to do for a login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<R> {
    /// What is known suffices.
    Use(R),
    /// It does, but it is time to ask again.
    Refresh(R),
    /// Ask, and come back.
    Fetch,
    /// What is known is fresh, and this is not in it.
    Refuse(Refusal),
    /// The issuer was asked in vain, and what is known is too old.
    Unavailable,
}

impl<T> Published<T> {
    pub(crate) fn new(times: KeyTimes) -> Published<T> {
        Published { times, known: None, failed_at: None, forced_at: None }
    }

    /// What to do at `now`, given how to look up what a login needs.
    pub(crate) fn consult<R>(
        &self,
        now: Instant,
        look_up: impl FnOnce(&Rc<T>) -> Result<R, Refusal>,
    ) -> Step<R> {
        let past = |at: Instant, pause: Duration| now.saturating_duration_since(at) >= pause;
        let may_ask = self.failed_at.is_none_or(|at| past(at, self.times.failure_pause));
        let ask = if may_ask { Step::Fetch } else { Step::Unavailable };
        let Some((known, at)) = &self.known else {
            return ask;
        };
        if past(*at, self.times.stale_max.max(self.times.fresh)) {
            return ask;
        }
        let fresh = !past(*at, self.times.fresh);
        match look_up(known) {
            Ok(found) if fresh || !may_ask => Step::Use(found),
            Ok(found) => Step::Refresh(found),
            Err(_) if !fresh => ask,
            Err(refusal) => {
                let pause = self.times.unknown_key_pause;
                let may_force = self.forced_at.is_none_or(|at| past(at, pause));
                if may_force && may_ask { Step::Fetch } else { Step::Refuse(refusal) }
            }
        }
    }

    /// What a login gets for whose sake the issuer was just asked; `None` where that failed,
    /// and what was known before does not suffice.
    pub(crate) fn after_asking<R>(
        &self,
        now: Instant,
        look_up: impl FnOnce(&Rc<T>) -> Result<R, Refusal>,
    ) -> Option<Result<R, Refusal>> {
        let (known, at) = self.known.as_ref()?;
        let found = look_up(known);
        if self.failed_at.is_none() {
            return Some(found);
        }
        let usable = now.saturating_duration_since(*at) < self.times.stale_max;
        found.ok().filter(|_| usable).map(Ok)
    }

    /// An attempt is under way because of [`Step::Fetch`].
    pub(crate) fn asking(&mut self, now: Instant) {
        let fresh = |at: Instant| now.saturating_duration_since(at) < self.times.fresh;
        if self.known.as_ref().is_some_and(|(_, at)| fresh(*at)) {
            self.forced_at = Some(now);
        }
    }

    /// The attempt's outcome.
    pub(crate) fn asked(&mut self, outcome: Option<Rc<T>>, now: Instant) {
        match outcome {
            Some(known) => {
                self.known = Some((known, now));
                self.failed_at = None;
            }
            None => self.failed_at = Some(now),
        }
    }
}
