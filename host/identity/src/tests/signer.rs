//! Keys that issuers sign with, in tests.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

/// A private key, and what is published of it.
pub(super) struct Signer {
    pub id: &'static str,
    pub algorithm: &'static str,
    key: Private,
}

enum Private {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    /// A new key; for RSA, which takes long to make, always the same.
    pub(super) fn new(id: &'static str, algorithm: &'static str) -> Signer {
        let random = SystemRandom::new();
        let ec = |kind| {
            let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            Private::Ec(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap())
        };
        let key = match algorithm {
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" => {
                let key = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Private::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
            }
            "RS256" | "PS256" => {
                Private::Rsa(RsaKeyPair::from_der(include_bytes!("rsa-2048.der")).unwrap())
            }
            other => panic!("no keys for {other}"),
        };
        Signer { id, algorithm, key }
    }

    /// The public key, with `kid` and `use`.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Private::Ec(key) => {
                let coordinates = &key.public_key().as_ref()[1..];
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let curve = if self.algorithm == "ES256" { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Private::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
            Private::Rsa(key) => {
                let key = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "n": encode(&key.n), "e": encode(&key.e)})
            }
        };
        jwk["kid"] = self.id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token with an honest header.
    pub(super) fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "kid": self.id, "typ": "JWT"});
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token of any two texts.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.key {
            Private::Ec(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Private::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let scheme: &'static dyn ring::signature::RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                key.sign(scheme, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", encode(&signature))
    }
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
