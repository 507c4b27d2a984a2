//! Published vectors, ways round with their benign twins, and bytes that mean nothing.

mod attacks;
mod certificates;
mod client_certificates;
mod credentials;
mod generated;
mod issuers;
mod key_times;
mod logins;
mod methods;
mod standing;
mod throttling;
mod oauthbearer;
mod provider;
mod signer;
mod tokens;
mod vectors;

use std::sync::Arc;

use portcullis_policy::PrincipalKind;

use crate::{MockSecret, UpstreamKeys, UserConfig, Users, Verifier};

/// Users "user" with password "pencil", and "other" with password "crayon".
fn users() -> Users {
    let user = |name: &str, password: &str, salt: &[u8]| UserConfig {
        name: name.to_owned(),
        verifier: Some(Verifier::derive(password, salt, 4096)),
        certificates: Vec::new(),
        groups: vec!["analysts".to_owned()],
        kind: PrincipalKind::Human,
        acts_for: None,
        databases: None,
    };
    let users = [user("user", "pencil", &RFC_SALT), user("other", "crayon", b"0123456789abcdef")];
    Users::new(users, MockSecret::generate().unwrap())
}

fn keys(password: &str) -> Arc<UpstreamKeys> {
    Arc::new(UpstreamKeys::new(password.to_owned()))
}

/// The salt of RFC 7677's example, `W22ZaJ0SNY7soEsUEjb6gQ==`.
const RFC_SALT: [u8; 16] =
    [91, 109, 153, 104, 157, 18, 53, 142, 236, 160, 75, 20, 18, 54, 250, 129];
