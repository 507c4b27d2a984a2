//! Which hash binds to which certificate.

use crate::{ChannelBinding, tls_server_end_point};

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap();
    let mut element = vec![tag];
    match length {
        0..=127 => element.push(length as u8),
        128..=255 => element.extend([0x81, length as u8]),
        256.. => element.extend([&[0x82], length.to_be_bytes().as_slice()].concat()),
    }
    element.extend_from_slice(contents);
    element
}

/// What matters of a certificate: something to be signed, and the signature's algorithm.
fn certificate(signed_bytes: usize, oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    let signed = element(0x30, &vec![0; signed_bytes]);
    let algorithm = element(0x30, &[element(0x06, oid), parameters.to_vec()].concat());
    let signature = element(0x03, &[0; 64]);
    element(0x30, &[signed, algorithm, signature].concat())
}

const NULL: &[u8] = &[0x05, 0x00];

fn rsa(last: u8) -> Vec<u8> {
    vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]
}

fn ecdsa(last: u8) -> Vec<u8> {
    vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last]
}

/// RSASSA-PSS parameters that name a hash of the SHA-2 family.
fn pss(last: u8) -> Vec<u8> {
    let oid = element(0x06, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]);
    element(0x30, &element(0xa0, &element(0x30, &oid)))
}

#[test]
fn the_hash_is_that_of_the_signature() {
    let ed25519 = [0x2b, 0x65, 0x70];
    for (name, certificate, hash_bytes) in [
        ("sha256WithRSA", certificate(20, &rsa(11), NULL), Some(32)),
        ("sha384WithRSA", certificate(200, &rsa(12), NULL), Some(48)),
        ("sha512WithRSA", certificate(2000, &rsa(13), NULL), Some(64)),
        ("sha224WithRSA", certificate(20, &rsa(14), NULL), Some(28)),
        ("md5WithRSA", certificate(20, &rsa(4), NULL), Some(32)),
        ("sha1WithRSA", certificate(20, &rsa(5), NULL), Some(32)),
        ("ecdsa-sha256", certificate(20, &ecdsa(2), &[]), Some(32)),
        ("ecdsa-sha384", certificate(20, &ecdsa(3), &[]), Some(48)),
        ("ecdsa-sha512", certificate(20, &ecdsa(4), &[]), Some(64)),
        ("pss-sha256", certificate(20, &rsa(10), &pss(1)), Some(32)),
        ("pss-sha512", certificate(20, &rsa(10), &pss(3)), Some(64)),
        ("pss by default", certificate(20, &rsa(10), &element(0x30, &[])), Some(32)),
        ("ed25519", certificate(20, &ed25519, &[]), None),
        ("pss with an unknown hash", certificate(20, &rsa(10), &pss(9)), None),
        ("unknown", certificate(20, &rsa(99), NULL), None),
        ("nothing", Vec::new(), None),
    ] {
        let hash = tls_server_end_point(&certificate);
        assert_eq!(hash.as_ref().map(Vec::len), hash_bytes, "{name}");
        let binding = ChannelBinding::to_certificate(&certificate);
        assert_eq!(binding == ChannelBinding::Unavailable, hash.is_none(), "{name}");
    }
}

#[test]
fn a_certificate_cut_anywhere_is_no_certificate() {
    let whole = certificate(200, &rsa(11), NULL);
    for length in 0..whole.len() {
        assert_eq!(tls_server_end_point(&whole[..length]), None, "{length}");
    }
    assert!(tls_server_end_point(&whole).is_some());
}
