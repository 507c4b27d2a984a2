//! The few cryptographic steps SCRAM-SHA-256 is made of.

use std::borrow::Cow;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// A key or a hash.
pub(crate) type Key = [u8; 32];

pub(crate) fn sha256(data: &[u8]) -> Key {
    Sha256::digest(data).into()
}

/// HMAC-SHA-256 over the parts, one after another.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Key {
    // HMAC takes keys of any length, so the one error it could give cannot happen; were it
    // to, a key of zeros would match nothing.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn xor(one: &Key, other: &Key) -> Key {
    let mut result = *one;
    for (byte, with) in result.iter_mut().zip(other) {
        *byte ^= with;
    }
    result
}

/// `SaltedPassword`: slow on purpose, in proportion to `iterations`.
pub(crate) fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    let mut key = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(normalized(password).as_bytes(), salt, iterations, &mut key);
    key
}

pub(crate) fn client_key(salted_password: &Key) -> Key {
    hmac_sha256(salted_password, &[b"Client Key"])
}

pub(crate) fn server_key(salted_password: &Key) -> Key {
    hmac_sha256(salted_password, &[b"Server Key"])
}

/// SASLprep; a password it does not allow counts as it is, as in PostgreSQL.
fn normalized(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_normalized_as_postgresql_does() {
        for (password, normal) in [
            ("pencil", "pencil"),
            // A soft hyphen maps to nothing, a no-break space to a space, and the ninth
            // Roman numeral is spelt out.
            ("I\u{ad}X", "IX"),
            ("a\u{a0}b", "a b"),
            ("\u{2168}", "IX"),
            // Not allowed: a control character, and mixed directions.
            ("a\u{7}b", "a\u{7}b"),
            ("\u{627}1", "\u{627}1"),
        ] {
            assert_eq!(normalized(password), normal, "{password:?}");
        }
    }
}
