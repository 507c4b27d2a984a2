//! Binding a login to the TLS channel it runs in: `tls-server-end-point` of RFC 5929.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// What a login can be bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// No TLS, or a certificate for which no binding is defined.
    Unavailable,
    /// The hash that [`tls_server_end_point`] makes of the server's certificate.
    TlsServerEndPoint(Vec<u8>),
}

impl ChannelBinding {
    /// Binding to a TLS session in which the server showed `cert_der`.
    pub fn to_certificate(cert_der: &[u8]) -> ChannelBinding {
        match tls_server_end_point(cert_der) {
            Some(hash) => ChannelBinding::TlsServerEndPoint(hash),
            None => ChannelBinding::Unavailable,
        }
    }
}

/// The hash of a certificate by its own signature's hash function; SHA-256 in place of MD5
/// and SHA-1. `None` where the signature has no hash function of its own (Ed25519), or one
/// not known here.
pub fn tls_server_end_point(cert_der: &[u8]) -> Option<Vec<u8>> {
    let (certificate, _) = element(cert_der, SEQUENCE)?;
    let (_to_be_signed, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    let hash = if oid == RSASSA_PSS { pss_hash(parameters)? } else { hash_of(oid)? };
    Some(match hash {
        Hash::Sha224 => Sha224::digest(cert_der).to_vec(),
        Hash::Sha256 => Sha256::digest(cert_der).to_vec(),
        Hash::Sha384 => Sha384::digest(cert_der).to_vec(),
        Hash::Sha512 => Sha512::digest(cert_der).to_vec(),
    })
}

#[derive(Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const PSS_HASH: u8 = 0xa0;
/// 1.2.840.113549.1.1: RSA; what follows is the signature scheme.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 1.2.840.10045.4.3: ECDSA with a hash of the SHA-2 family.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
/// 1.2.840.10045.4.1: ECDSA with SHA-1.
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
/// 2.16.840.1.101.3.4.2: the SHA-2 family itself.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// 1.3.14.3.2.26.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];

fn hash_of(oid: &[u8]) -> Option<Hash> {
    if oid == ECDSA_SHA1 {
        return Some(Hash::Sha256);
    }
    let (last, family) = oid.split_last()?;
    match (family, last) {
        // MD5 and SHA-1 are replaced.
        (RSA, 4 | 5 | 11) | (ECDSA, 2) => Some(Hash::Sha256),
        (RSA, 12) | (ECDSA, 3) => Some(Hash::Sha384),
        (RSA, 13) | (ECDSA, 4) => Some(Hash::Sha512),
        (RSA, 14) | (ECDSA, 1) => Some(Hash::Sha224),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in the parameters; left out, it is SHA-1, which is replaced.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    if parameters.is_empty() {
        return Some(Hash::Sha256);
    }
    let (parameters, _) = element(parameters, SEQUENCE)?;
    if parameters.first() != Some(&PSS_HASH) {
        return Some(Hash::Sha256);
    }
    let (hash, _) = element(parameters, PSS_HASH)?;
    let (hash, _) = element(hash, SEQUENCE)?;
    let (oid, _) = element(hash, OBJECT_IDENTIFIER)?;
    if oid == SHA1 {
        return Some(Hash::Sha256);
    }
    let (last, family) = oid.split_last()?;
    match (family, last) {
        (SHA2, 1) => Some(Hash::Sha256),
        (SHA2, 2) => Some(Hash::Sha384),
        (SHA2, 3) => Some(Hash::Sha512),
        (SHA2, 4) => Some(Hash::Sha224),
        _ => None,
    }
}

/// The contents of the DER element at the front of `input`, which must have `tag`, and what
/// follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    // Up to 127 the byte is the length; above, it counts the bytes of the length.
    let (length, rest) = match first.checked_sub(0x80) {
        None => (usize::from(first), rest),
        Some(count) => {
            let (digits, rest) = rest.split_at_checked(usize::from(count))?;
            (big_endian(digits)?, rest)
        }
    };
    rest.split_at_checked(length)
}

fn big_endian(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0_usize, |number, digit| {
        number.checked_mul(256)?.checked_add(usize::from(*digit))
    })
}
