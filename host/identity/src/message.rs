//! SCRAM's messages: `k=value` pairs between commas.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Key;

/// SCRAM without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// SCRAM bound to the TLS channel.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// A message longer than this is not read. The longest honest one holds a user name.
const MESSAGE_BYTES_MAX: usize = 4096;
/// A nonce longer than this is refused. Drivers send 18 to 64 characters.
const NONCE_BYTES_MAX: usize = 512;
const SALT_BYTES_MAX: usize = 256;
const NONCE_RANDOM_BYTES: usize = 18;

/// What a message was found to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(text).map_err(|_| Malformed)
}

/// A key or a hash.
fn decode_key(text: &str) -> Result<Key, Malformed> {
    let mut key = Key::default();
    match STANDARD.decode_slice(text, &mut key) {
        Ok(length) if length == key.len() => Ok(key),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

/// Half of a nonce; `None` where the system has no randomness.
pub(crate) fn new_nonce() -> Option<String> {
    let mut random = [0; NONCE_RANDOM_BYTES];
    getrandom::fill(&mut random).ok()?;
    Some(encode(&random))
}

/// What the client says about channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingFlag {
    /// "n": the client cannot.
    Unable,
    /// "y": it could, but saw no offer.
    NotOffered,
    /// "p=tls-server-end-point".
    TlsServerEndPoint,
}

impl BindingFlag {
    pub(crate) fn header(self) -> &'static str {
        match self {
            BindingFlag::Unable => "n,,",
            BindingFlag::NotOffered => "y,,",
            BindingFlag::TlsServerEndPoint => "p=tls-server-end-point,,",
        }
    }
}

/// `client-first-message`. The user name in it is not kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst<'a> {
    pub flag: BindingFlag,
    pub bare: &'a str,
    pub nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<ClientFirst<'a>, Malformed> {
        let text = text(message)?;
        let flags = [BindingFlag::Unable, BindingFlag::NotOffered, BindingFlag::TlsServerEndPoint];
        // The header ends in two commas: nobody may act for somebody else (`a=`).
        let (flag, bare) = flags
            .into_iter()
            .find_map(|flag| Some((flag, text.strip_prefix(flag.header())?)))
            .ok_or(Malformed)?;
        let mut attributes = bare.split(',');
        attribute(&mut attributes, "n=")?;
        let nonce = nonce(attribute(&mut attributes, "r=")?)?;
        Ok(ClientFirst { flag, bare, nonce })
    }
}

/// `client-final-message`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal<'a> {
    /// The message up to its proof: the part that is signed.
    pub without_proof: &'a str,
    pub binding: Vec<u8>,
    pub nonce: &'a str,
    pub proof: Key,
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<ClientFinal<'a>, Malformed> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = decode(attribute(&mut attributes, "c=")?)?;
        let nonce = nonce(attribute(&mut attributes, "r=")?)?;
        let proof = decode_key(proof)?;
        Ok(ClientFinal { without_proof, binding, nonce, proof })
    }
}

/// `server-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerFirst<'a> {
    pub text: &'a str,
    pub nonce: &'a str,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<ServerFirst<'a>, Malformed> {
        let text = text(message)?;
        let mut attributes = text.split(',');
        let nonce = nonce(attribute(&mut attributes, "r=")?)?;
        let salt = decode(attribute(&mut attributes, "s=")?)?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(Malformed);
        }
        let iterations = attribute(&mut attributes, "i=")?.parse().map_err(|_| Malformed)?;
        Ok(ServerFirst { text, nonce, salt, iterations })
    }
}

/// `server-final-message`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerFinal {
    Signature(Key),
    /// The server refuses ("e=").
    Refused,
}

impl ServerFinal {
    pub(crate) fn parse(message: &[u8]) -> Result<ServerFinal, Malformed> {
        let text = text(message)?;
        let mut attributes = text.split(',');
        let first = attributes.next().ok_or(Malformed)?;
        if first.starts_with("e=") {
            return Ok(ServerFinal::Refused);
        }
        let signature = decode_key(first.strip_prefix("v=").ok_or(Malformed)?)?;
        Ok(ServerFinal::Signature(signature))
    }
}

fn text(message: &[u8]) -> Result<&str, Malformed> {
    if message.len() > MESSAGE_BYTES_MAX || message.contains(&0) {
        return Err(Malformed);
    }
    std::str::from_utf8(message).map_err(|_| Malformed)
}

/// The next attribute, which must be `name`. An unknown one in its place is refused, as
/// mandatory extensions ("m=") must be; unknown ones at the end are passed over.
fn attribute<'a>(
    attributes: &mut impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<&'a str, Malformed> {
    attributes.next().and_then(|attribute| attribute.strip_prefix(name)).ok_or(Malformed)
}

fn nonce(nonce: &str) -> Result<&str, Malformed> {
    let printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX || !printable {
        return Err(Malformed);
    }
    Ok(nonce)
}
