//! Attacks with tokens, each beside the honest token that it is nearest to. All go through a
//! running issuer, as tokens of clients do.

use portcullis_policy::PrincipalKind;
use serde_json::{Value, json};

use super::provider::{Provider, now};
use super::signer::{Signer, encode};
use crate::jwt::Unverified;
use crate::{Algorithm, IssuerConfig, Issuers, KindRule, Proven, Refusal, Secret, TokenError};

struct World {
    provider: Provider,
    ec: Signer,
    ed: Signer,
    rsa: Signer,
    issuers: Issuers,
}

impl World {
    async fn new(configure: impl FnOnce(&mut IssuerConfig)) -> World {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (ec, ed) = (Signer::new("ec", "ES256"), Signer::new("ed", "EdDSA"));
        let rsa = Signer::new("rsa", "RS256");
        let provider = Provider::start(&[&ec, &ed, &rsa]).await;
        let mut config = IssuerConfig::new("corp", &provider.url, vec!["portcullis".to_owned()]);
        config.algorithms = vec![Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
        configure(&mut config);
        let issuers = Issuers::start(vec![config]).unwrap();
        World { provider, ec, ed, rsa, issuers }
    }

    fn claims(&self, changes: &[(&str, Value)]) -> Value {
        let mut claims = self.provider.claims();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        // What is null is left out.
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn with(&self, changes: &[(&str, Value)]) -> String {
        self.ec.token(&self.claims(changes))
    }

    fn headed(&self, header: &Value) -> String {
        self.ec.sign(&header.to_string(), &self.claims(&[]).to_string())
    }

    async fn verify(&self, token: &str) -> Result<Proven, TokenError> {
        self.issuers.verify("corp", token.to_owned()).await
    }

    /// The attack is refused for that reason, its twin proves somebody.
    async fn check(&self, name: &str, attack: String, why: Refusal, twin: String) {
        let refused = self.verify(&attack).await.map(|proven| proven.subject);
        assert_eq!(refused, Err(TokenError::Refused(why)), "{name}");
        if let Err(error) = self.verify(&twin).await {
            panic!("the twin of {name}: {error}");
        }
    }
}

#[tokio::test]
async fn headers_are_read_strictly() {
    let world = World::new(|_| {}).await;
    let twin = || world.with(&[]);
    let es256 = json!({"alg": "ES256", "kid": "ec"});
    let header = |changes: Value| {
        let mut header = es256.clone();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        world.headed(&header)
    };
    let claims = world.claims(&[]).to_string();
    let unsigned = |algorithm: &str, signature: &str| {
        let header = json!({"alg": algorithm, "kid": "ec"}).to_string();
        format!("{}.{}.{signature}", encode(header), encode(&claims))
    };
    // The public key, which everybody has, taken for a shared secret.
    let hs256 = |header: &Value| {
        let message = format!("{}.{}", encode(header.to_string()), encode(&claims));
        let public = world.rsa.jwk().to_string();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
        format!("{message}.{}", encode(ring::hmac::sign(&key, message.as_bytes())))
    };
    let mut other = Signer::new("ec", "ES256");
    let forged = other.token(&world.claims(&[]));
    let carried = json!({"alg": "ES256", "kid": "ec", "jwk": other.jwk()});
    let carried = other.sign(&carried.to_string(), &claims);
    other.id = "not published";
    let unknown = other.token(&world.claims(&[]));
    let cases = [
        ("none", unsigned("none", "AA"), Refusal::Algorithm),
        ("None", unsigned("None", "AA"), Refusal::Algorithm),
        ("none without signature", unsigned("none", ""), Refusal::Algorithm),
        ("an empty signature", unsigned("ES256", ""), Refusal::Signature),
        (
            "HS256 with the public key",
            hs256(&json!({"alg": "HS256", "kid": "rsa"})),
            Refusal::Algorithm,
        ),
        (
            "a MAC that says RS256",
            hs256(&json!({"alg": "RS256", "kid": "rsa"})),
            Refusal::Signature,
        ),
        ("RS256 with a key for ES256", header(json!({"alg": "RS256"})), Refusal::UnknownKey),
        ("an algorithm off the list", header(json!({"alg": "ES384"})), Refusal::Algorithm),
        ("lower case", header(json!({"alg": "es256"})), Refusal::Algorithm),
        ("no algorithm", world.headed(&json!({"kid": "ec"})), Refusal::Malformed),
        ("crit", header(json!({"crit": ["exp"]})), Refusal::Critical),
        ("crit, empty", header(json!({"crit": []})), Refusal::Critical),
        ("b64", header(json!({"b64": false, "crit": ["b64"]})), Refusal::Critical),
        ("a logout token", header(json!({"typ": "logout+jwt"})), Refusal::Kind),
        ("a proof of possession", header(json!({"typ": "dpop+jwt"})), Refusal::Kind),
        ("nested", header(json!({"cty": "JWT"})), Refusal::Kind),
        ("encrypted", header(json!({"enc": "A128GCM"})), Refusal::Kind),
        ("compressed", header(json!({"zip": "DEF"})), Refusal::Kind),
        ("its own key, and signed by it", carried, Refusal::EmbeddedKey),
        ("its own certificate", header(json!({"x5c": ["AA=="]})), Refusal::EmbeddedKey),
        ("no key id among several of one sort", header(json!({"kid": "ed"})), Refusal::UnknownKey),
        ("a path as key id", header(json!({"kid": "../../dev/null"})), Refusal::UnknownKey),
        ("SQL as key id", header(json!({"kid": "x' UNION SELECT 'ec"})), Refusal::UnknownKey),
        ("a number as key id", header(json!({"kid": 1})), Refusal::Malformed),
        ("an empty key id", header(json!({"kid": ""})), Refusal::Malformed),
        ("a long key id", header(json!({"kid": "k".repeat(300)})), Refusal::Malformed),
        ("somebody else's key, same id", forged, Refusal::Signature),
        ("somebody else's key", unknown, Refusal::UnknownKey),
    ];
    for (name, attack, why) in cases {
        world.check(name, attack, why, twin()).await;
    }
    // What is only a hint is not followed, and does not harm.
    let hints = header(json!({"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}));
    world.verify(&hints).await.unwrap();
    for kind in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        world.verify(&header(json!({"typ": kind}))).await.unwrap();
    }
    world.verify(&world.headed(&json!({"alg": "ES256"}))).await.unwrap();
}

#[tokio::test]
async fn the_form_is_read_strictly() {
    let world = World::new(|_| {}).await;
    let token = world.with(&[]);
    let parts: Vec<&str> = token.split('.').collect();
    let claims = world.claims(&[]).to_string();
    let header = r#"{"alg":"ES256","kid":"ec"}"#;
    let twice = claims.replacen('{', r#"{"sub":"root","#, 1);
    let inside = claims.replacen('{', r#"{"x":[{"a":1,"a":2}],"#, 1);
    let hidden = claims.replacen('{', r#"{"\u0073ub":"root","#, 1);
    let sign = |header: &str, claims: &str| world.ec.sign(header, claims);
    let long = |bytes: usize| world.with(&[("pad", "x".repeat(bytes).into())]);
    let mut flipped = token.clone().into_bytes();
    let last = flipped.len() - 1;
    flipped[last - 4] ^= 1;
    let cases = [
        ("empty", String::new(), Refusal::Malformed),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Refusal::Malformed),
        ("four parts", format!("{token}.AA"), Refusal::Malformed),
        ("five parts", format!("{token}.AA.AA"), Refusal::Malformed),
        ("a space before", format!(" {token}"), Refusal::Malformed),
        ("a line end behind", format!("{token}\n"), Refusal::Malformed),
        ("padding", format!("{}=.{}.{}", parts[0], parts[1], parts[2]), Refusal::Malformed),
        ("no JSON", sign("alg", &claims), Refusal::Malformed),
        ("a list", sign("[]", &claims), Refusal::Malformed),
        ("claims that are a text", sign(header, "\"ana\""), Refusal::Malformed),
        ("something behind", sign(header, &format!("{claims} {{}}")), Refusal::Malformed),
        ("a claim twice", sign(header, &twice), Refusal::DuplicateMember),
        ("a claim twice, written in two ways", sign(header, &hidden), Refusal::DuplicateMember),
        ("a member twice deep inside", sign(header, &inside), Refusal::DuplicateMember),
        (
            "an algorithm twice",
            sign(r#"{"alg":"none","alg":"ES256","kid":"ec"}"#, &claims),
            Refusal::DuplicateMember,
        ),
        (
            "deep",
            sign(header, &format!("{}{}", "[".repeat(200), "]".repeat(200))),
            Refusal::Malformed,
        ),
        ("oversized", long(12 * 1024), Refusal::Oversized),
        ("a wrong signature", String::from_utf8(flipped).unwrap(), Refusal::Signature),
        (
            "claims of another token",
            {
                let other = world.with(&[("sub", "root".into())]);
                let other: Vec<&str> = other.split('.').collect();
                format!("{}.{}.{}", parts[0], other[1], parts[2])
            },
            Refusal::Signature,
        ),
    ];
    for (name, attack, why) in cases {
        world.check(name, attack, why, token.clone()).await;
    }
    world.verify(&long(8 * 1024)).await.unwrap();
}

#[tokio::test]
async fn claims_must_fit() {
    let world = World::new(|config| {
        config.audiences.push("second".to_owned());
        config.client_id = Some("us".to_owned());
        config.clock_skew = std::time::Duration::from_secs(30);
    })
    .await;
    let url = world.provider.url.clone();
    let cases: Vec<(&str, &str, Value, Refusal, Value)> = vec![
        ("no issuer", "iss", Value::Null, Refusal::Issuer, json!(url)),
        ("another issuer", "iss", json!("https://evil.example"), Refusal::Issuer, json!(url)),
        ("almost the issuer", "iss", json!(format!("{url}/")), Refusal::Issuer, json!(url)),
        ("issuers", "iss", json!([url, "https://evil.example"]), Refusal::Issuer, json!(url)),
        ("no audience", "aud", Value::Null, Refusal::Audience, json!("portcullis")),
        ("another audience", "aud", json!("other"), Refusal::Audience, json!(["portcullis"])),
        ("a part of the audience", "aud", json!("port"), Refusal::Audience, json!("second")),
        ("no audience in a list", "aud", json!([]), Refusal::Audience, json!(["second"])),
        ("audience as object", "aud", json!({"portcullis": 1}), Refusal::Audience, json!("second")),
        (
            "two audiences for nobody known",
            "aud",
            json!(["portcullis", "x"]),
            Refusal::AuthorizedParty,
            json!(["portcullis"]),
        ),
        ("no expiry", "exp", Value::Null, Refusal::Expired, json!(now() + 5)),
        ("expired", "exp", json!(now() - 40), Refusal::Expired, json!(now() - 20)),
        (
            "expired by a fraction",
            "exp",
            json!(now() as f64 - 31.5),
            Refusal::Expired,
            json!(now() as f64 + 0.5),
        ),
        ("expiry as text", "exp", json!("9999999999"), Refusal::Expired, json!(9_999_999_999_u64)),
        ("negative expiry", "exp", json!(-1), Refusal::Expired, json!(now() + 1)),
        ("not yet", "nbf", json!(now() + 60), Refusal::NotYetValid, json!(now() + 20)),
        ("nbf as text", "nbf", json!("0"), Refusal::NotYetValid, json!(0)),
        ("from the future", "iat", json!(now() + 60), Refusal::NotYetValid, json!(now() + 20)),
        ("iat as text", "iat", json!("yesterday"), Refusal::NotYetValid, json!(now() - 1)),
        ("issued to somebody else", "azp", json!("evil"), Refusal::AuthorizedParty, json!("us")),
        ("party as a list", "azp", json!(["us"]), Refusal::AuthorizedParty, json!("portcullis")),
        ("bound to a key", "cnf", json!({"jkt": "x"}), Refusal::SenderConstrained, Value::Null),
        ("a logout", "events", json!({}), Refusal::Kind, Value::Null),
        ("no subject", "sub", Value::Null, Refusal::Subject, json!("bob")),
        ("an empty subject", "sub", json!(""), Refusal::Subject, json!("b")),
        (
            "a subject with a line end",
            "sub",
            json!("ana\nroot"),
            Refusal::Subject,
            json!("ana root"),
        ),
        ("a subject with a zero", "sub", json!("ana\u{0}"), Refusal::Subject, json!("ana")),
        ("a number as subject", "sub", json!(1), Refusal::Subject, json!("1")),
        ("a long subject", "sub", json!("s".repeat(600)), Refusal::Subject, json!("s".repeat(500))),
        ("groups of another form", "groups", json!({"a": 1}), Refusal::Groups, json!("one")),
        ("a group that is none", "groups", json!(["a", 1]), Refusal::Groups, json!(["a", "b"])),
        (
            "groups left out",
            "_claim_names",
            json!({"groups": "s"}),
            Refusal::Groups,
            json!({"other": "s"}),
        ),
        (
            "an actor that is a text",
            "act",
            json!("bot"),
            Refusal::Delegation,
            json!({"sub": "bot"}),
        ),
        (
            "an actor without subject",
            "act",
            json!({"name": "x"}),
            Refusal::Delegation,
            json!({"sub": "bot", "name": "x"}),
        ),
        (
            "an actor of another issuer",
            "act",
            json!({"sub": "bot", "iss": "https://x"}),
            Refusal::Delegation,
            json!({"sub": "bot", "iss": url}),
        ),
    ];
    for (name, claim, value, why, twin) in cases {
        world.check(name, world.with(&[(claim, value)]), why, world.with(&[(claim, twin)])).await;
    }
}

#[tokio::test]
async fn every_allowed_algorithm_works_with_its_own_key_only() {
    let world = World::new(|config| config.algorithms = Algorithm::ALL.to_vec()).await;
    let (ps, p384) = (Signer::new("rsa", "PS256"), Signer::new("p384", "ES384"));
    world.provider.publish(&[&world.ec, &world.ed, &world.rsa, &p384]);
    let claims = world.claims(&[]);
    let signers = [&world.ec, &world.ed, &world.rsa, &ps, &p384];
    for signer in signers {
        let proven = world.verify(&signer.token(&claims)).await.unwrap();
        assert_eq!((proven.subject.as_str(), proven.proof), ("ana", "oidc"));
        for other in signers.iter().filter(|other| other.algorithm != signer.algorithm) {
            let header = json!({"alg": other.algorithm, "kid": signer.id}).to_string();
            let confused = signer.sign(&header, &claims.to_string());
            assert!(world.verify(&confused).await.is_err(), "{} {}", signer.id, other.algorithm);
        }
    }
}

#[tokio::test]
async fn listed_parties_must_be_named() {
    let world = World::new(|config| config.authorized_parties = vec!["psql".to_owned()]).await;
    let cases = [
        ("azp", json!("other"), false),
        ("azp", json!("portcullis"), false),
        ("azp", json!("psql"), true),
        ("client_id", json!("other"), false),
        ("client_id", json!("psql"), true),
        ("nothing", json!(1), false),
    ];
    for (claim, value, good) in cases {
        let verdict = world.verify(&world.with(&[(claim, value.clone())])).await;
        assert_eq!(verdict.is_ok(), good, "{claim} {value}");
    }
    // `client_id` does not make up for a wrong `azp`.
    let both = world.with(&[("azp", json!("other")), ("client_id", json!("psql"))]);
    assert!(world.verify(&both).await.is_err());
}

#[tokio::test]
async fn claims_make_a_principal() {
    let world = World::new(|config| {
        config.subject_claim = "email".to_owned();
        config.subject_prefix = "corp:".to_owned();
        config.user_claim = "db_users".to_owned();
        config.groups_claim = "/realm_access/roles".to_owned();
        config.kinds = vec![
            KindRule {
                claim: "roles".to_owned(),
                value: "bot".to_owned(),
                kind: PrincipalKind::Agent,
            },
            KindRule {
                claim: "robot".to_owned(),
                value: "true".to_owned(),
                kind: PrincipalKind::Service,
            },
        ];
        config.on_behalf_of_claim = Some("acts_for".to_owned());
        config.claims = vec!["team".to_owned(), "level".to_owned(), "absent".to_owned()];
        config.databases = Some(vec!["shop".to_owned()]);
        config.recheck = Some(std::time::Duration::from_secs(60));
    })
    .await;
    let base = [
        ("email", json!("ana@corp")),
        ("db_users", json!(["ana", "ana_ro"])),
        ("realm_access", json!({"roles": ["analysts", "staff"]})),
        ("team", json!("risk")),
        ("level", json!(3)),
        ("groups", json!(["not", "these"])),
    ];
    let verify = async |more: &[(&'static str, Value)]| {
        let changes: Vec<(&str, Value)> =
            base.iter().cloned().chain(more.iter().cloned()).collect();
        world.verify(&world.with(&changes)).await
    };
    let ana = verify(&[]).await.unwrap();
    assert_eq!(ana.subject, "corp:ana@corp");
    assert_eq!(ana.kind, PrincipalKind::Human);
    assert_eq!(ana.groups, ["analysts", "staff"]);
    assert_eq!(ana.claims, [("team".into(), "risk".into()), ("level".into(), "3".into())]);
    assert!(ana.answers_to("ana_ro") && !ana.answers_to("postgres"));
    assert!(ana.may_use("shop") && !ana.may_use("bank"));
    assert!(!format!("{ana:?}").contains("eyJ"), "no token is ever printed");

    assert_eq!(verify(&[("robot", json!(true))]).await.unwrap().kind, PrincipalKind::Service);
    assert_eq!(verify(&[("robot", json!("yes"))]).await.unwrap().kind, PrincipalKind::Human);
    assert_eq!(verify(&[("roles", json!(["x", "bot"]))]).await.unwrap().kind, PrincipalKind::Agent);

    // Who acts for somebody is an agent, whatever else is said.
    let bot = verify(&[("acts_for", json!("bob@corp")), ("robot", json!(true))]).await.unwrap();
    assert_eq!(
        (bot.kind, bot.on_behalf_of.as_deref()),
        (PrincipalKind::Agent, Some("corp:bob@corp"))
    );
    let unusable = verify(&[("acts_for", json!(7))]).await.unwrap_err();
    assert_eq!(unusable, TokenError::Refused(Refusal::Delegation));

    // With an actor, or one who may be, the token's subject is whom it acts for.
    for claim in ["act", "may_act"] {
        let acting = json!({"sub": "x", "email": "bot@corp", "act": {"email": "before@corp"}});
        let bot = verify(&[(claim, acting)]).await.unwrap();
        assert_eq!((bot.subject.as_str(), bot.kind), ("corp:bot@corp", PrincipalKind::Agent));
        assert_eq!(bot.on_behalf_of.as_deref(), Some("corp:ana@corp"));
        assert!(bot.answers_to("bot@corp") && !bot.answers_to("ana"));
    }
    let no_name = verify(&[("db_users", json!([]))]).await.unwrap_err();
    assert_eq!(no_name, TokenError::Refused(Refusal::UserName));
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_no_token_is_read(text in ".{0,200}", parts in "[A-Za-z0-9_.-]{0,200}") {
        for text in [text, parts] {
            proptest::prop_assert!(Unverified::read(&text, &Algorithm::ALL).is_err());
        }
    }

    #[test]
    fn no_header_and_no_claims_make_it_panic(header in ".{0,80}", claims in ".{0,80}") {
        let token = format!("{}.{}.AA", encode(header), encode(claims));
        proptest::prop_assert!(Unverified::read(&token, &Algorithm::ALL).is_err());
    }
}

#[test]
fn secrets_are_not_printed() {
    assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret");
}
