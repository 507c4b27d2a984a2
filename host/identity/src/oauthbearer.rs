//! SASL OAUTHBEARER, the server's side (RFC 7628), as libpq speaks it.

use serde_json::json;

use crate::issuer_config::IssuerConfig;
use crate::jwt;
use crate::secret::Secret;
use crate::server::AuthError;

/// The mechanism's name.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// Between the parts of a message.
const SEPARATOR: char = '\u{1}';
/// A token, and a little for names.
const MESSAGE_BYTES_MAX: usize = jwt::TOKEN_BYTES_MAX + 1024;

/// What a client says first.
#[derive(Debug, PartialEq, Eq)]
pub enum BearerFirst {
    /// Here is a token.
    Token(Secret),
    /// It has none, and asks where to get one.
    Discovery,
}

/// An exchange after the token was refused, or none was shown.
#[derive(Debug)]
pub struct BearerFailure {
    challenge: Vec<u8>,
}

impl BearerFirst {
    /// Reads the client's first message: `n,,^Aauth=Bearer token^A^A`, without a token for
    /// discovery.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] also for clients that want to act for somebody else (`a=`) or
    /// to bind the channel, for which the mechanism has no means.
    pub fn parse(message: &[u8]) -> Result<BearerFirst, AuthError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(AuthError::Malformed);
        }
        let text = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let pairs = ["n,,\u{1}", "y,,\u{1}"].iter().find_map(|header| text.strip_prefix(header));
        // One separator ends the last pair, another the message.
        let pairs = pairs.and_then(|rest| rest.strip_suffix("\u{1}\u{1}"));
        let mut auth = None;
        for pair in pairs.ok_or(AuthError::Malformed)?.split(SEPARATOR) {
            let (key, value) = pair.split_once('=').ok_or(AuthError::Malformed)?;
            if !is_key(key) || !value.bytes().all(is_value) {
                return Err(AuthError::Malformed);
            }
            if key == "auth" && auth.replace(value).is_some() {
                return Err(AuthError::Malformed);
            }
        }
        match auth.ok_or(AuthError::Malformed)? {
            "" => Ok(BearerFirst::Discovery),
            credentials => bearer(credentials),
        }
    }
}

impl BearerFailure {
    /// What a client must know to get a token of `issuer`. The same for every token that is
    /// refused, and for none.
    pub fn of(issuer: &IssuerConfig) -> BearerFailure {
        let answer = json!({
            "status": "invalid_token",
            "scope": issuer.scope(),
            "openid-configuration": issuer.discovery_url(),
        });
        BearerFailure { challenge: answer.to_string().into_bytes() }
    }

    /// Goes out as AuthenticationSASLContinue.
    pub fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    /// Reads the client's answer to the challenge, after which the login has failed: refused
    /// as it should be, or malformed.
    pub fn finish(self, answer: &[u8]) -> AuthError {
        match answer {
            [0x01] => AuthError::Refused,
            _ => AuthError::Malformed,
        }
    }
}

/// RFC 6750, section 2.1; the scheme's case does not count.
fn bearer(credentials: &str) -> Result<BearerFirst, AuthError> {
    let (scheme, token) = credentials.split_once(' ').ok_or(AuthError::Malformed)?;
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let known = scheme.eq_ignore_ascii_case("Bearer");
    if !known || body.is_empty() || !body.bytes().all(is_token) {
        return Err(AuthError::Malformed);
    }
    Ok(BearerFirst::Token(Secret::new(token.to_owned())))
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_value(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | b' ' | b'\t' | b'\r' | b'\n')
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}
