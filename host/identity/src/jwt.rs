//! Reading a JSON Web Token strictly (RFC 7515, RFC 7519, RFC 8725).
//!
//! A token is first read by rules stricter than any library's, then checked by one; its
//! claims come out only when its signature was found right.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::algorithm::{Algorithm, install_ring};
use crate::strict_json::{self, Broken};
use crate::token::Refusal;

/// A longer token is not read.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
const KEY_ID_BYTES_MAX: usize = 256;

/// The media types of tokens that are proof of somebody, without "application/".
const KINDS: [&str; 2] = ["jwt", "at+jwt"];

/// A token that is well-formed, and signed in a way that its issuer may use. Nothing in it is
/// believed.
pub(crate) struct Unverified<'t> {
    token: &'t str,
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Map<String, Value>,
}

/// The claims of a token that its issuer signed for us, within its time.
#[derive(Debug)]
pub(crate) struct Verified {
    pub claims: Map<String, Value>,
    pub algorithm: Algorithm,
}

/// Whose tokens, for whom.
pub(crate) struct Expected<'e> {
    pub issuer: &'e str,
    pub audiences: &'e [String],
    pub clock_skew_seconds: u64,
}

impl<'t> Unverified<'t> {
    /// Reads a token of an issuer that may use `allowed`.
    pub(crate) fn read(token: &'t str, allowed: &[Algorithm]) -> Result<Unverified<'t>, Refusal> {
        let [header, claims, signature] = parts(token)?;
        let (algorithm, key_id) = check_header(&part(header)?, allowed)?;
        let claims = part(claims)?;
        if signature.is_empty() {
            return Err(Refusal::Signature);
        }
        Ok(Unverified { token, algorithm, key_id, claims })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Checks the signature, and the claims that every token has.
    pub(crate) fn verify(
        self,
        key: &DecodingKey,
        expected: &Expected<'_>,
    ) -> Result<Verified, Refusal> {
        install_ring();
        let mut validation = Validation::new(self.algorithm.to_jwt());
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[expected.issuer]);
        validation.set_audience(expected.audiences);
        validation.leeway = expected.clock_skew_seconds;
        validation.validate_nbf = true;
        jsonwebtoken::decode::<Value>(self.token, key, &validation)
            .map_err(|error| refusal(error.kind()))?;
        Ok(Verified { claims: self.claims, algorithm: self.algorithm })
    }
}

/// The issuer that a token says it is from. Nobody has proved it: it is good for choosing whom
/// to ask, and for nothing else.
///
/// # Errors
/// When the token is not well-formed, or names none.
pub fn claimed_issuer(token: &str) -> Result<String, Refusal> {
    let [_, claims, _] = parts(token)?;
    let claims = part(claims)?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned).ok_or(Refusal::Issuer)
}

fn parts(token: &str) -> Result<[&str; 3], Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Oversized);
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) => Ok([header, claims, signature]),
        _ => Err(Refusal::Malformed),
    }
}

fn part(encoded: &str) -> Result<Map<String, Value>, Refusal> {
    let text = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Refusal::Malformed)?;
    strict_json::object(&text).map_err(|broken| match broken {
        Broken::Malformed => Refusal::Malformed,
        Broken::DuplicateMember => Refusal::DuplicateMember,
    })
}

fn check_header(
    header: &Map<String, Value>,
    allowed: &[Algorithm],
) -> Result<(Algorithm, Option<String>), Refusal> {
    if header.contains_key("crit") {
        return Err(Refusal::Critical);
    }
    // Addresses of keys (`jku`, `x5u`) and thumbprints are hints that are never followed; a
    // key in the token itself has no honest use in a bearer token.
    if ["jwk", "x5c"].iter().any(|member| header.contains_key(*member)) {
        return Err(Refusal::EmbeddedKey);
    }
    // Encrypted, compressed or nested.
    if ["enc", "zip", "cty"].iter().any(|member| header.contains_key(*member)) {
        return Err(Refusal::Kind);
    }
    if !header.get("typ").is_none_or(is_kind) {
        return Err(Refusal::Kind);
    }
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Refusal::Malformed)?;
    let algorithm: Algorithm = algorithm.parse().map_err(|_| Refusal::Algorithm)?;
    if !allowed.contains(&algorithm) {
        return Err(Refusal::Algorithm);
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if !id.is_empty() && id.len() <= KEY_ID_BYTES_MAX => {
            Some(id.clone())
        }
        Some(_) => return Err(Refusal::Malformed),
    };
    Ok((algorithm, key_id))
}

fn is_kind(kind: &Value) -> bool {
    let Some(kind) = kind.as_str() else {
        return false;
    };
    let kind = kind.to_ascii_lowercase();
    KINDS.contains(&kind.strip_prefix("application/").unwrap_or(&kind))
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYetValid,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidSubject => Refusal::Subject,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            match claim.as_str() {
                "exp" => Refusal::Expired,
                "nbf" => Refusal::NotYetValid,
                "iss" => Refusal::Issuer,
                "aud" => Refusal::Audience,
                "sub" => Refusal::Subject,
                _ => Refusal::Malformed,
            }
        }
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::MissingAlgorithm
        | ErrorKind::UnsupportedAlgorithm
        | ErrorKind::InvalidKeyFormat
        | ErrorKind::InvalidEcdsaKey
        | ErrorKind::InvalidEddsaKey
        | ErrorKind::InvalidRsaKey(_) => Refusal::Algorithm,
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::InvalidToken
        | ErrorKind::RsaFailedSigning
        | ErrorKind::Signing(_)
        | ErrorKind::Base64(_)
        | ErrorKind::Json(_)
        | ErrorKind::Utf8(_)
        | ErrorKind::Provider(_)
        // The library may name more in a later version; every one is a refusal.
        | _ => Refusal::Malformed,
    }
}
