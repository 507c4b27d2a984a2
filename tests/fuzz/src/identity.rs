//! What strangers say about who they are, and what an upstream says while the proxy logs in.

use std::sync::{Arc, OnceLock};

use portcullis_identity::{
    BearerFirst, Certificate, CertificateName, ChannelBinding, MockSecret, Revocations,
    ScramClient, ScramServer, UpstreamKeys, UserConfig, Users, Verifier, claimed_issuer, fuzzing,
};
use portcullis_policy::PrincipalKind;

fn users() -> &'static Users {
    static USERS: OnceLock<Users> = OnceLock::new();
    USERS.get_or_init(|| {
        let user = UserConfig {
            name: "ana".into(),
            verifier: Some(Verifier::derive("nobody guesses this", b"a salt", 4096)),
            certificates: Vec::new(),
            groups: Vec::new(),
            kind: PrincipalKind::Human,
            acts_for: None,
            databases: None,
        };
        Users::new([user], MockSecret::generate().expect("random numbers"))
    })
}

/// Two messages, with a `#` where the server's nonce belongs. Nobody comes in.
pub fn scram_server(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let (user, bound) = (if choice & 1 == 0 { "ana" } else { "bob" }, choice & 2 != 0);
    let binding = match bound {
        true => ChannelBinding::TlsServerEndPoint(vec![7; 32]),
        false => ChannelBinding::Unavailable,
    };
    let mechanism = if choice & 4 == 0 { "SCRAM-SHA-256" } else { "SCRAM-SHA-256-PLUS" };
    let (first, last) = halves(data);
    let mut server = ScramServer::begin(users(), user, binding);
    let Ok(challenge) = server.first(mechanism, first) else { return };
    let challenge = String::from_utf8(challenge).expect("a text");
    let nonce = challenge.strip_prefix("r=").and_then(|rest| rest.split(',').next());
    let last = filled(last, nonce.expect("a nonce"));
    assert!(server.finish(&last).is_err(), "somebody came in without a password");
}

/// Two messages, with a `#` where the client's nonce belongs. No server that does not know the
/// password is believed.
pub fn scram_client(data: &[u8]) {
    static KEYS: OnceLock<Arc<UpstreamKeys>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| Arc::new(UpstreamKeys::new("nobody guesses this".into())));
    let (first, last) = halves(data);
    let client = ScramClient::begin(["SCRAM-SHA-256"], &ChannelBinding::Unavailable, keys.clone());
    let mut client = client.expect("a mechanism that is known");
    let said = String::from_utf8(client.first()).expect("a text");
    let (_, nonce) = said.split_once("r=").expect("a nonce");
    let first = filled(first, nonce);
    // What it costs to derive keys is no matter of reading.
    if client.is_costly(&first) && !first.windows(6).any(|part| part == b"i=4096") {
        return;
    }
    if client.respond(&first).is_ok() {
        assert!(client.verify(last).is_err(), "a stranger was believed");
    }
}

/// At the first line end.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

fn filled(data: &[u8], nonce: &str) -> Vec<u8> {
    data.split(|byte| *byte == b'#').collect::<Vec<_>>().join(nonce.as_bytes())
}

/// A token as a password, or in OAUTHBEARER's first message; and the documents of a provider.
pub fn token(data: &[u8]) {
    let _ = BearerFirst::parse(data);
    let _ = fuzzing::key_set(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = claimed_issuer(text);
    if let Ok((algorithm, key_id)) = fuzzing::token(text) {
        // What a library for tokens reads in it is the same.
        let header = jsonwebtoken::decode_header(text).expect("a header");
        assert_eq!(format!("{:?}", header.alg), algorithm.as_str());
        assert_eq!(header.kid, key_id);
    }
}

/// A certificate, a list of revoked ones, or a name of one as the configuration spells it.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::read(data) {
        for name in certificate.names() {
            let text = name.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            same_again(name, is_unwritable(name));
        }
    }
    let _ = Revocations::read([data]);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(name) = text.parse::<CertificateName>()
    {
        same_again(&name, false);
    }
}

/// What a name is written as is that name, for whoever copies it into the configuration.
fn same_again(name: &CertificateName, is_unwritable: bool) {
    match name.to_string().parse::<CertificateName>() {
        Ok(again) => assert_eq!(again, *name),
        Err(error) => assert!(is_unwritable, "{name}: {error}"),
    }
}

/// No configuration has an empty name, or a subject with a value that is empty or no text.
fn is_unwritable(name: &CertificateName) -> bool {
    let text = name.to_string();
    match name {
        CertificateName::Subject(_) => {
            ["=#", "=,", "=+"].iter().any(|value| text.contains(value)) || text.ends_with('=')
        }
        CertificateName::CommonName(_)
        | CertificateName::Dns(_)
        | CertificateName::Email(_)
        | CertificateName::Uri(_) => text.ends_with(':'),
    }
}
