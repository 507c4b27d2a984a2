//! What reads bytes of strangers and is reached otherwise only through a network, for fuzz
//! targets.

use crate::algorithm::Algorithm;
use crate::jwks::KeySet;
use crate::jwt::Unverified;
use crate::token::Refusal;

/// Reads a token as that of an issuer which may use every algorithm there is: the algorithm and
/// the key's id that it names.
///
/// # Errors
/// When it would be refused before its signature is looked at.
pub fn token(text: &str) -> Result<(Algorithm, Option<String>), Refusal> {
    let token = Unverified::read(text, &Algorithm::ALL)?;
    Ok((token.algorithm(), token.key_id().map(str::to_owned)))
}

/// Reads a provider's document of keys. True when it is one.
pub fn key_set(document: &[u8]) -> bool {
    KeySet::parse(document).is_ok()
}
