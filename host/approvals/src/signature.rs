//! What a webhook's receiver checks: that a message came from here, and not long ago.
//!
//! The header `Portcullis-Signature: t=1700000000,v1=5257…` has the second at which the
//! message was sent, and HMAC-SHA256 in hexadecimal, keyed with the webhook's secret, over
//! that number as written, a full stop, and the body. A receiver computes the same over the
//! body as it came, compares in constant time, and refuses what is older than some minutes.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header that carries it.
pub const HEADER: &str = "portcullis-signature";

/// The header's value for a message sent at `sent_at`, in seconds since the Unix epoch.
pub fn sign(secret: &[u8], sent_at: u64, body: &[u8]) -> String {
    let mut header = format!("t={sent_at},v1=");
    // HMAC takes keys of any length, so the one error it could give cannot happen; were it
    // to, a signature that ends here fits nothing.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return header };
    let mac = mac.chain_update(format!("{sent_at}.")).chain_update(body);
    for byte in mac.finalize().into_bytes() {
        // Writing to a string does not fail.
        let _ = write!(header, "{byte:02x}");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_computes_the_same() {
        let check = |secret: &[u8], sent_at, body: &str, digest: &str| {
            let expected = format!("t={sent_at},v1={digest}");
            assert_eq!(sign(secret, sent_at, body.as_bytes()), expected);
        };
        // What `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac KEY` says.
        let body = "{\"a\":1}";
        check(
            b"a secret of bytes",
            1_700_000_000,
            body,
            "d7d869ec0386022a705662295cc7c90040e3ed432fef40d3b1d454ec83e40b9c",
        );
        check(
            &[b'k'; 100],
            1_700_000_000,
            body,
            "e0b419ce90349e7bf07569fb4c3e646db7042eb8c074a060f9d00f9df36890d1",
        );
        check(
            b"a secret of bytes",
            1_700_000_001,
            "",
            "483524b60b19562fed38107cec2447ec530d6822c8864deb90a90be8ab93b98a",
        );
    }
}
