//! Tokens that are wrong in one thing each, shown beside the one they were made from.
//!
//! Every one is shown under a name of its own and from an address of its own: failures are
//! slowed by both.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use end_to_end::http;
use end_to_end::provider::{AUDIENCE, claims, header};
use end_to_end::{Account, Portcullis, Provider, Wanted, cluster};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::arrival::{Arrival, Proof};
use super::{by_token, provider, record};

const LINES: &str = "algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]";

const ALGORITHM: &str = "the token's algorithm is not allowed for its issuer and key";
const AUDIENCES: &str = "the token is for somebody else";
const CRITICAL: &str = "the token demands an extension that is not known here";
const DELEGATION: &str = "the token's actor cannot be followed";
const EXPIRED: &str = "the token has expired";
const GROUPS: &str = "the token's groups are missing or unusable";
const ISSUER: &str = "the token is from another issuer";
const KEY: &str = "the token's key is not one of its issuer";
const KIND: &str = "the token is of another sort";
const MALFORMED: &str = "the token is malformed";
const NOT_YET: &str = "the token is not valid yet";
const OVERSIZED: &str = "the token is too long";
const OWN_KEY: &str = "the token brings its own key";
const PARTY: &str = "the token was issued to a client that is not allowed";
const SIGNATURE: &str = "the token's signature is wrong";
const SUBJECT: &str = "the token has no usable subject";
const TWICE: &str = "the token says something twice";

/// Somebody who has a real token, a key of their own, and what the world may know.
struct Forger {
    token: String,
    header: Value,
    claims: Value,
    /// The issuer's public keys.
    keys: Vec<Value>,
    own: Ed25519KeyPair,
    /// Where somebody listens who would gladly lend a key.
    trap: String,
}

type Forge = fn(&Forger) -> String;

impl Forger {
    async fn of(provider: &Provider, token: String, trap: &TcpListener) -> Forger {
        let answer = http::client(None).get(format!("{}/jwks", provider.issuer())).send().await;
        let text = answer.expect("the provider answers").text().await.expect("text");
        let keys: Value = serde_json::from_str(&text).expect("JSON");
        let trap = trap.local_addr().expect("it listens");
        Forger {
            header: header(&token),
            claims: claims(&token),
            keys: keys["keys"].as_array().expect("a list").clone(),
            own: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed"),
            trap: format!("http://{trap}/jwks"),
            token,
        }
    }

    fn parts(&self) -> [&str; 3] {
        let parts: Vec<&str> = self.token.split('.').collect();
        parts.try_into().expect("three parts")
    }

    /// The real one under a header with other members; null takes one away.
    fn headed(&self, changes: &Value) -> String {
        let [_, claims, signature] = self.parts();
        format!("{}.{claims}.{signature}", encoded(&changed(&self.header, changes).to_string()))
    }

    /// The real one with other claims.
    fn claiming(&self, changes: &Value) -> String {
        let [header, _, signature] = self.parts();
        format!("{header}.{}.{signature}", encoded(&changed(&self.claims, changes).to_string()))
    }

    /// With a key of our own, which the header may speak of.
    fn signed_by_own(&self, changes: &Value) -> String {
        let header = changed(&self.header, &json!({ "alg": "EdDSA" }));
        let header = changed(&header, changes).to_string();
        let signed = format!("{}.{}", encoded(&header), encoded(&self.claims.to_string()));
        let signature = self.own.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn own_key(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.own.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "own", "alg": "EdDSA" })
    }

    /// With a secret that everybody knows.
    fn signed_with(&self, algorithm: &str, secret: &[u8]) -> String {
        let header = changed(&self.header, &json!({ "alg": algorithm })).to_string();
        let signed = format!("{}.{}", encoded(&header), encoded(&self.claims.to_string()));
        let kind = if algorithm == "HS512" { hmac::HMAC_SHA512 } else { hmac::HMAC_SHA256 };
        let mark = hmac::sign(&hmac::Key::new(kind, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
    }

    /// The issuer's public key of this sort: "RSA", "EC" or "OKP".
    fn key(&self, sort: &str) -> &Value {
        self.keys.iter().find(|key| key["kty"] == sort).expect("it has one")
    }

    fn part_of_key(&self, sort: &str, part: &str) -> Vec<u8> {
        let text = self.key(sort)[part].as_str().expect("a number");
        URL_SAFE_NO_PAD.decode(text).expect("in base64")
    }

    /// As a file that operators hand around.
    fn public_pem(&self) -> String {
        const PREFIX: [u8; 27] = [
            0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
            0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0, 4,
        ];
        let point = [self.part_of_key("EC", "x"), self.part_of_key("EC", "y")].concat();
        let der = STANDARD.encode([&PREFIX[..], &point].concat());
        let (first, second) = der.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn changed(object: &Value, changes: &Value) -> Value {
    let mut object = object.as_object().expect("an object").clone();
    for (name, value) in changes.as_object().expect("an object") {
        object.remove(name);
        if !value.is_null() {
            object.insert(name.clone(), value.clone());
        }
    }
    object.into()
}

/// `{"sub":"admin","sub":…}` and the like: the same member once more, ahead of the others.
fn doubled(object: &Value, member: &str) -> String {
    let text = object.to_string();
    format!("{{{member},{}", text.strip_prefix('{').expect("an object"))
}

/// What needs nothing but a real token and what the world may know.
const FORGED: &[(&str, Forge, &str)] = &[
    ("alg none", |f| f.headed(&json!({ "alg": "none" })), ALGORITHM),
    ("alg NONE", |f| f.headed(&json!({ "alg": "NONE" })), ALGORITHM),
    ("alg nOnE, unsigned", |f| unsigned(&f.headed(&json!({ "alg": "nOnE" }))), ALGORITHM),
    ("alg none, unsigned", |f| unsigned(&f.headed(&json!({ "alg": "none" }))), ALGORITHM),
    ("no alg", |f| f.headed(&json!({ "alg": null })), MALFORMED),
    ("alg is a list", |f| f.headed(&json!({ "alg": ["RS256"] })), MALFORMED),
    ("alg rs256", |f| f.headed(&json!({ "alg": "rs256" })), ALGORITHM),
    ("alg not on the list", |f| f.headed(&json!({ "alg": "PS256" })), ALGORITHM),
    ("HS256, modulus", |f| f.signed_with("HS256", &f.part_of_key("RSA", "n")), ALGORITHM),
    ("HS256, JWK", |f| f.signed_with("HS256", f.key("RSA").to_string().as_bytes()), ALGORITHM),
    ("HS256, PEM", |f| f.signed_with("HS256", f.public_pem().as_bytes()), ALGORITHM),
    ("HS512, PEM", |f| f.signed_with("HS512", f.public_pem().as_bytes()), ALGORITHM),
    ("HS256, no secret", |f| f.signed_with("HS256", b""), ALGORITHM),
    ("another subject", |f| f.claiming(&json!({ "sub": "admin" })), SIGNATURE),
    ("another group", |f| f.claiming(&json!({ "groups": ["operators"] })), SIGNATURE),
    ("a longer life", |f| f.claiming(&json!({ "exp": 4_000_000_000_u64 })), SIGNATURE),
    ("unsigned", |f| unsigned(&f.token), SIGNATURE),
    ("a letter of the signature", |f| one_letter_off(&f.token), SIGNATURE),
    ("half a signature", |f| f.token[..f.token.len() - 38].to_owned(), SIGNATURE),
    ("own key", |f| f.signed_by_own(&json!({ "kid": null })), SIGNATURE),
    ("own key, their name", |f| f.signed_by_own(&json!({ "kid": f.key("OKP")["kid"] })), SIGNATURE),
    ("own key, its name", |f| f.signed_by_own(&json!({ "kid": "own" })), KEY),
    ("own key, inside", |f| f.signed_by_own(&json!({ "jwk": f.own_key() })), OWN_KEY),
    ("x5c", |f| f.signed_by_own(&json!({ "x5c": ["MIIB"] })), OWN_KEY),
    ("jku", |f| f.signed_by_own(&json!({ "kid": "own", "jku": f.trap })), KEY),
    ("x5u", |f| f.signed_by_own(&json!({ "kid": "own", "x5u": f.trap })), KEY),
    ("kid of another sort", |f| f.headed(&json!({ "kid": f.key("EC")["kid"] })), KEY),
    ("alg of another sort", |f| f.headed(&json!({ "alg": "ES256" })), KEY),
    ("kid is a path", |f| f.headed(&json!({ "kid": "../../../../dev/null" })), KEY),
    ("kid is SQL", |f| f.headed(&json!({ "kid": "x' UNION SELECT 'key' --" })), KEY),
    ("kid is an address", |f| f.headed(&json!({ "kid": f.trap })), KEY),
    ("kid is empty", |f| f.headed(&json!({ "kid": "" })), MALFORMED),
    ("kid is a number", |f| f.headed(&json!({ "kid": 0 })), MALFORMED),
    ("kid is long", |f| f.headed(&json!({ "kid": "k".repeat(300) })), MALFORMED),
    ("no kid", |f| f.headed(&json!({ "kid": null })), SIGNATURE),
    ("crit", |f| f.headed(&json!({ "crit": ["exp"] })), CRITICAL),
    ("crit, empty", |f| f.headed(&json!({ "crit": [] })), CRITICAL),
    ("b64 is off", |f| f.headed(&json!({ "b64": false, "crit": ["b64"] })), CRITICAL),
    ("a logout token", |f| f.headed(&json!({ "typ": "logout+jwt" })), KIND),
    ("no kind that is known", |f| f.headed(&json!({ "typ": 7 })), KIND),
    ("encrypted", |f| f.headed(&json!({ "enc": "A256GCM" })), KIND),
    ("compressed", |f| f.headed(&json!({ "zip": "DEF" })), KIND),
    ("nested", |f| f.headed(&json!({ "cty": "JWT" })), KIND),
    ("two algs", |f| reheaded(f, &doubled(&f.header, "\"alg\":\"none\"")), TWICE),
    ("two subjects", |f| reclaimed(f, &doubled(&f.claims, "\"sub\":\"admin\"")), TWICE),
    ("two, one escaped", |f| reclaimed(f, &doubled(&f.claims, "\"s\\u0075b\":\"admin\"")), TWICE),
    ("two inside", |f| reclaimed(f, &doubled(&f.claims, "\"act\":{\"sub\":1,\"sub\":2}")), TWICE),
    ("claims are a list", |f| reclaimed(f, "[]"), MALFORMED),
    ("bytes after the claims", |f| reclaimed(f, &format!("{}{{}}", f.claims)), MALFORMED),
    ("no token", |_| "a password".to_owned(), MALFORMED),
    ("two parts", |f| f.parts()[..2].join("."), MALFORMED),
    ("five parts", |f| format!("{}..", f.token), MALFORMED),
    ("two tokens", |f| format!("{}.{}", f.token, f.token), MALFORMED),
    ("padded", |f| format!("{}=", f.parts().join("=.")), MALFORMED),
    ("a space ahead", |f| format!(" {}", f.token), MALFORMED),
    ("with its scheme", |f| format!("Bearer {}", f.token), MALFORMED),
    ("empty parts", |_| "..".to_owned(), MALFORMED),
    ("long", |f| format!("{}{}", f.token, "A".repeat(20_000)), OVERSIZED),
];

fn unsigned(token: &str) -> String {
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    format!("{signed}.")
}

fn one_letter_off(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}

fn reheaded(forger: &Forger, header: &str) -> String {
    let [_, claims, signature] = forger.parts();
    format!("{}.{claims}.{signature}", encoded(header))
}

fn reclaimed(forger: &Forger, claims: &str) -> String {
    let [header, _, signature] = forger.parts();
    format!("{header}.{}.{signature}", encoded(claims))
}

/// What the provider can be asked to sign: claims that are wrong, claims that are right.
fn issued(issuer: &str, user: &str) -> Vec<(&'static str, Value, Value)> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("it is later").as_secs();
    let aud = |aud: Value| json!({ "aud": aud });
    // Clocks may differ by a minute, which is the default.
    let mut cases = vec![
        (EXPIRED, json!({ "exp": now - 120 }), json!({ "exp": now - 20 })),
        (EXPIRED, json!({ "exp": null }), json!({ "exp": now + 20 })),
        (EXPIRED, json!({ "exp": 0 }), json!({ "exp": 4_000_000_000_u64 })),
        (EXPIRED, json!({ "exp": "4000000000" }), json!({ "exp": 4_000_000_000.5 })),
        (NOT_YET, json!({ "nbf": now + 200 }), json!({ "nbf": now + 20 })),
        (NOT_YET, json!({ "iat": now + 200 }), json!({ "iat": now + 20 })),
        (NOT_YET, json!({ "nbf": "soon" }), json!({ "nbf": 0 })),
        (ISSUER, json!({ "iss": format!("{issuer}/") }), json!({ "iss": issuer })),
        (ISSUER, json!({ "iss": "https://id.example.com" }), json!({})),
        (ISSUER, json!({ "iss": [issuer] }), json!({})),
        (ISSUER, json!({ "iss": null }), json!({})),
        (AUDIENCES, aud(json!("payroll")), aud(json!(AUDIENCE))),
        (AUDIENCES, aud(json!(["payroll"])), aud(json!([AUDIENCE]))),
        (AUDIENCES, aud(json!("portcullis ")), json!({})),
        (AUDIENCES, aud(json!([])), json!({})),
        (AUDIENCES, aud(json!({ AUDIENCE: true })), json!({})),
    ];
    let both = json!([AUDIENCE, "payroll"]);
    let act = |issuer: &str| json!({ "act": { "sub": user, "iss": issuer } });
    cases.extend([
        (PARTY, aud(both.clone()), json!({ "aud": both, "azp": AUDIENCE })),
        (PARTY, json!({ "azp": "other-application" }), json!({ "azp": AUDIENCE })),
        (PARTY, json!({ "azp": [AUDIENCE] }), json!({})),
        (SUBJECT, json!({ "sub": null }), json!({})),
        (SUBJECT, json!({ "sub": 7 }), json!({})),
        (SUBJECT, json!({ "sub": "" }), json!({})),
        (DELEGATION, act("https://id.example.com"), act(issuer)),
        (DELEGATION, json!({ "act": user }), json!({ "act": { "sub": user } })),
        (DELEGATION, json!({ "may_act": [] }), json!({ "may_act": { "sub": user } })),
        (GROUPS, json!({ "groups": 7 }), json!({ "groups": [] })),
        (GROUPS, json!({ "groups": [["analysts"]] }), json!({ "groups": "analysts" })),
        (GROUPS, json!({ "groups": ["a\u{0}b"] }), json!({ "groups": ["a b"] })),
        (GROUPS, json!({ "_claim_names": { "groups": "g" } }), json!({ "_claim_names": {} })),
        ("is bound to a key of its holder", json!({ "cnf": { "jkt": "x" } }), json!({})),
        (KIND, json!({ "events": {} }), json!({ "event": {} })),
        (OVERSIZED, json!({ "pad": "x".repeat(14_000) }), json!({ "pad": "x".repeat(8_000) })),
    ]);
    cases
}

/// One refusal for all, and the ledger alone has the reason.
async fn stays_out(portcullis: &Portcullis, user: &str, token: &[u8], name: &str, why: &str) {
    let answer = Arrival::of(portcullis, user).newly_come().arrive(Proof::Text(token)).await;
    let told = format!("out: 28P01 authentication failed for user \"{user}\"");
    assert_eq!(answer.verdict(), told, "{name}");
    let record = record(portcullis, "login-refused", answer.address()).await;
    let reason = record["reason"].as_str().unwrap_or_default();
    assert!(reason.ends_with(why), "{name}: {reason}");
}

async fn comes_in(portcullis: &Portcullis, user: &str, token: &str, name: &str) {
    let arrival = Arrival::of(portcullis, user).newly_come();
    let answer = arrival.arrive(Proof::Text(token.as_bytes())).await;
    assert_eq!(answer.verdict(), "in", "beside {name}");
}

/// An account, and a token for it.
async fn newcomer(provider: &Provider, user: &str) -> String {
    provider.put(&Account::new(user).groups(&["analysts"])).await;
    provider.issue(&Wanted::by(user)).await.access
}

#[tokio::test]
async fn what_is_forged_from_a_real_token_is_refused_alike() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, LINES).start().await;
    let trap = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    for (number, (name, forge, why)) in FORGED.iter().enumerate() {
        let user = format!("user-{number}");
        let forger = Forger::of(&provider, newcomer(&provider, &user).await, &trap).await;
        let forged = forge(&forger);
        stays_out(&portcullis, &user, forged.as_bytes(), name, why).await;
        comes_in(&portcullis, &user, &forger.token, name).await;
    }
    // An address in a token is never gone to, and names of unknown keys lead back to the
    // issuer now and then, not each time.
    let came = tokio::time::timeout(std::time::Duration::ZERO, trap.accept()).await;
    assert!(came.is_err(), "somebody followed a header");
    let asked_by_us = FORGED.len() as u64;
    let asked = provider.requests("/jwks").await - asked_by_us;
    assert!(asked < 10, "the proxy asked for keys {asked} times");
}

#[tokio::test]
async fn what_the_issuer_signed_for_another_purpose_is_refused_alike() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let portcullis = by_token(&database, &provider, LINES).start().await;
    let number = issued(provider.issuer(), "").len();
    for number in 0..number {
        let user = format!("user-{number}");
        newcomer(&provider, &user).await;
        let (why, wrong, right) = issued(provider.issuer(), &user).remove(number);
        let name = format!("{wrong} beside {right}");
        let token = async |claims: &Value| {
            let wanted = claims.as_object().expect("an object").iter();
            let wanted = wanted
                .fold(Wanted::by(&user), |wanted, (name, value)| wanted.claim(name, value.clone()));
            provider.issue(&wanted).await.access
        };
        stays_out(&portcullis, &user, token(&wrong).await.as_bytes(), &name, why).await;
        comes_in(&portcullis, &user, &token(&right).await, &name).await;
    }
}

#[tokio::test]
async fn tokens_of_others_and_other_secrets_are_refused_alike() {
    let database = cluster().await.database().await;
    let provider = provider().await;
    let stranger = Provider::start().await;
    let lines = format!("{LINES}\nauthorized_parties = [\"portcullis\"]");
    let portcullis = by_token(&database, &provider, &lines).start().await;
    let ours = newcomer(&provider, "ana").await;
    newcomer(&stranger, "ana").await;
    let theirs = stranger.issue(&Wanted::by("ana")).await;
    let as_ours = Wanted::by("ana").claim("iss", provider.issuer());
    let as_ours = stranger.issue(&as_ours).await.access;
    let tokens = provider.issue(&Wanted::by("ana")).await;
    let other_client = Wanted::by("ana").client(end_to_end::provider::OTHER_CLIENT);
    let other_client = provider.issue(&other_client).await;
    let other_algorithm = provider.issue(&Wanted::by("ana").algorithm("PS256")).await.access;
    let zero_inside = format!("{ours}\0");
    let cases: &[(&str, &[u8], &str)] = &[
        ("of another provider", theirs.access.as_bytes(), KEY),
        ("of another provider in ours' name", as_ours.as_bytes(), KEY),
        ("opaque", tokens.opaque.as_bytes(), MALFORMED),
        ("an identity token of another client", other_client.id.as_bytes(), AUDIENCES),
        ("issued to another client", other_client.access.as_bytes(), PARTY),
        ("by an algorithm that is not allowed", other_algorithm.as_bytes(), ALGORITHM),
        ("with a zero inside", zero_inside.as_bytes(), MALFORMED),
        ("not text", &[0xff, 0xfe, b'.', b'.'], "the token is not text"),
    ];
    for (name, token, why) in cases {
        stays_out(&portcullis, "ana", token, name, why).await;
    }
    comes_in(&portcullis, "ana", &ours, "all of them").await;
    // More than any password message holds.
    let endless = "A".repeat(100_000);
    let arrival = Arrival::of(&portcullis, "ana").newly_come();
    let verdict = arrival.arrive(Proof::Text(endless.as_bytes())).await.verdict();
    assert_ne!(verdict, "in");
    comes_in(&portcullis, "ana", &ours, "an endless one").await;
}
