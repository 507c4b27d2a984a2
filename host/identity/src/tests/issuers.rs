//! Issuers that rotate keys, go away, lie about themselves, and log people in by browser.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use super::provider::{Provider, now};
use super::signer::{Signer, encode};
use crate::device::Pace;
use crate::{
    Algorithm, Basis, CodeLogin, CodeRequest, Ended, IssuerConfig, Issuers, KeyTimes, Proven,
    Refusal, Secret, TokenBasis, TokenError,
};

fn config(provider: &Provider) -> IssuerConfig {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = IssuerConfig::new("corp", &provider.url, vec!["portcullis".to_owned()]);
    config.algorithms = vec![Algorithm::Es256];
    config.client_id = Some("us".to_owned());
    config
}

fn start(config: IssuerConfig) -> Issuers {
    Issuers::start(vec![config]).unwrap()
}

async fn verify(issuers: &Issuers, token: String) -> Result<String, TokenError> {
    issuers.verify("corp", token).await.map(|proven| proven.subject)
}

fn unavailable(result: &Result<impl Sized, TokenError>) -> bool {
    matches!(result, Err(TokenError::Unavailable(_)))
}

#[tokio::test]
async fn keys_are_asked_for_once_and_again_when_they_rotate() {
    let (old, new, never) =
        (Signer::new("old", "ES256"), Signer::new("new", "ES256"), Signer::new("no", "ES256"));
    let provider = Provider::start(&[&old]).await;
    let issuers = start(config(&provider));
    let claims = provider.claims();
    // Two hundred at once are one question.
    let logins = (0..200).map(|_| {
        let (issuers, token) = (issuers.clone(), old.token(&claims));
        tokio::spawn(async move { verify(&issuers, token).await })
    });
    for login in logins.collect::<Vec<_>>() {
        assert_eq!(login.await.unwrap().unwrap(), "ana");
    }
    assert_eq!(provider.asked("/jwks"), 1);

    provider.publish(&[&new]);
    assert_eq!(verify(&issuers, new.token(&claims)).await.unwrap(), "ana");
    assert_eq!(provider.asked("/jwks"), 2);
    let withdrawn = verify(&issuers, old.token(&claims)).await;
    assert_eq!(withdrawn, Err(TokenError::Refused(Refusal::UnknownKey)));

    // However many unknown keys are named, the issuer is left alone for a while.
    for _ in 0..20 {
        assert!(verify(&issuers, never.token(&claims)).await.is_err());
    }
    assert_eq!(provider.asked("/jwks"), 2);
    assert_eq!(verify(&issuers, new.token(&claims)).await.unwrap(), "ana");
}

#[tokio::test]
async fn an_outage_fails_closed_once_keys_are_stale() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let token = signer.token(&provider.claims());
    let times = |fresh: u64, stale_max: u64| KeyTimes {
        fresh: Duration::from_secs(fresh),
        stale_max: Duration::from_secs(stale_max),
        failure_pause: Duration::ZERO,
        ..KeyTimes::default()
    };
    let with = |key_times| start(IssuerConfig { key_times, ..config(&provider) });
    let (kept, short, cold) = (with(times(0, 600)), with(times(0, 0)), with(times(600, 600)));
    verify(&kept, token.clone()).await.unwrap();
    verify(&short, token.clone()).await.unwrap();

    provider.go_down(true);
    assert_eq!(verify(&kept, token.clone()).await.unwrap(), "ana");
    assert!(unavailable(&verify(&short, token.clone()).await));
    assert!(unavailable(&verify(&cold, token.clone()).await));
    provider.go_down(false);
    assert_eq!(verify(&cold, token.clone()).await.unwrap(), "ana");
    assert_eq!(cold.verify("nobody", token).await.unwrap_err(), TokenError::UnknownIssuer);
}

#[tokio::test]
async fn issuers_that_lie_are_not_believed() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let token = signer.token(&provider.claims());
    let path = "/.well-known/openid-configuration";
    let honest = provider.metadata();
    let changed = |name: &str, value: Value| {
        let mut metadata = honest.clone();
        metadata[name] = value;
        (200, metadata.to_string())
    };
    let lies = [
        changed("issuer", "https://evil.example".into()),
        changed("issuer", format!("{}/", provider.url).into()),
        changed("issuer", Value::Null),
        changed("jwks_uri", Value::Null),
        changed("jwks_uri", "file:///etc/passwd".into()),
        changed("jwks_uri", "http://example.com/jwks".into()),
        changed("jwks_uri", "https://user:password@example.com/jwks".into()),
        changed("jwks_uri", format!("{}/nothing", provider.url).into()),
        changed("userinfo_endpoint", "http://169.254.169.254/".into()),
        changed("token_endpoint", 7.into()),
        (200, honest.to_string().replacen('{', r#"{"issuer":"x","#, 1)),
        (200, "[]".to_owned()),
        (200, format!("{honest}{}", " ".repeat(300 * 1024))),
        (302, String::new()),
        (500, honest.to_string()),
    ];
    for (status, body) in lies {
        provider.set_raw(path, status, body.clone());
        let result = verify(&start(config(&provider)), token.clone()).await;
        assert!(unavailable(&result), "{status} {} {result:?}", &body[..body.len().min(200)]);
    }
    provider.set(path, honest);
    assert_eq!(verify(&start(config(&provider)), token).await.unwrap(), "ana");
}

#[tokio::test]
async fn only_usable_keys_are_kept() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let token = signer.token(&provider.claims());
    let with = |changes: Value| {
        let mut key = signer.jwk();
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let short = encode([1; 128]);
    let refused: Vec<Vec<Value>> = vec![
        vec![],
        vec![with(json!({"use": "enc"}))],
        vec![with(json!({"key_ops": ["sign"]}))],
        vec![with(json!({"alg": "ES384"}))],
        vec![with(json!({"alg": "HS256"}))],
        vec![with(json!({"crv": "P-384"}))],
        vec![with(json!({"crv": "secp256k1"}))],
        vec![with(json!({"kty": "oct", "k": "AAAA"}))],
        vec![with(json!({"d": "AAAA"}))],
        vec![with(json!({"x": "AAAA"}))],
        vec![with(json!({"x": "not base64!"}))],
        vec![with(json!({"kid": 7}))],
        vec![json!({"kid": "k", "kty": "RSA", "n": short, "e": "AQAB"})],
        // Which of the two signs is anybody's guess.
        vec![signer.jwk(), Signer::new("k", "ES256").jwk()],
    ];
    for keys in refused {
        provider.set("/jwks", json!({ "keys": keys }));
        let result = verify(&start(config(&provider)), token.clone()).await;
        assert_eq!(result, Err(TokenError::Refused(Refusal::UnknownKey)), "{keys:?}");
    }
    for keys in [json!({"keys": 1}), json!([]), json!({"keys": vec![signer.jwk(); 65]})] {
        provider.set("/jwks", keys);
        assert!(unavailable(&verify(&start(config(&provider)), token.clone()).await));
    }
    let good = [json!({}), json!({"alg": "ES256", "key_ops": ["verify"]})];
    for changes in good {
        let others =
            [with(changes), Signer::new("k", "EdDSA").jwk(), json!({"kty": "new"}), json!(1)];
        provider.set("/jwks", json!({ "keys": others }));
        assert_eq!(verify(&start(config(&provider)), token.clone()).await.unwrap(), "ana");
    }
}

#[tokio::test]
async fn the_issuer_must_be_who_its_certificate_says() {
    let signer = Signer::new("k", "ES256");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let provider =
        Provider::start_with(&[&signer], Some(TlsAcceptor::from(Arc::new(server)))).await;
    let token = signer.token(&provider.claims());
    let with = |pem: Option<String>| {
        let root_ca_pem = pem.map(String::into_bytes);
        Issuers::start(vec![IssuerConfig { root_ca_pem, ..config(&provider) }])
    };
    let trusting = with(Some(made.cert.pem())).unwrap();
    assert_eq!(verify(&trusting, token.clone()).await.unwrap(), "ana");
    for pem in [None, Some(other.cert.pem())] {
        assert!(unavailable(&verify(&with(pem).unwrap(), token.clone()).await));
    }
    assert!(with(Some("nothing".to_owned())).is_err());
}

#[test]
fn wrong_settings_are_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let good = IssuerConfig::new("corp", "https://id.example/realm", vec!["db".to_owned()]);
    let check = |setting: &str, change: &dyn Fn(&mut IssuerConfig)| {
        let mut config = good.clone();
        change(&mut config);
        assert_eq!(config.check().unwrap_err().setting, setting);
        assert!(Issuers::start(vec![config]).is_err());
    };
    good.check().unwrap();
    for url in [
        "id.example",
        "http://id.example",
        "https://x/?a",
        "https://x/#a",
        "https://u@x/",
        "ftp://x/",
        "http://127.0.0.1.evil.example",
    ] {
        check("url", &|config| config.url = url.to_owned());
    }
    for url in ["http://127.0.0.1:1", "http://localhost", "http://[::1]/realm"] {
        IssuerConfig { url: url.to_owned(), ..good.clone() }.check().unwrap();
    }
    check("audiences", &|config| config.audiences.clear());
    check("audiences", &|config| config.audiences = vec![String::new()]);
    check("algorithms", &|config| config.algorithms.clear());
    check("clock_skew", &|config| config.clock_skew = Duration::from_secs(301));
    check("recheck", &|config| config.recheck = Some(Duration::ZERO));
    check("login_lifetime_max", &|config| config.login_lifetime_max = Duration::ZERO);
    check("client_id", &|config| config.client_secret = Some(Secret::new("s".to_owned())));
    check("scopes", &|config| config.scopes = vec!["a b".to_owned()]);
    check("groups_claim", &|config| config.groups_claim = String::new());

    let second = |name: &str, url: &str, prefix: &str| IssuerConfig {
        name: name.to_owned(),
        url: url.to_owned(),
        subject_prefix: prefix.to_owned(),
        ..good.clone()
    };
    let together = |other| Issuers::start(vec![good.clone(), other]).is_ok();
    assert!(!together(second("corp", "https://other.example", "o:")), "one name");
    assert!(!together(second("other", "https://other.example", "")), "one name space of subjects");
    assert!(together(second("other", "https://other.example", "o:")));
    assert!(together(second("other", &good.url, "")));
    for name in ["HS256", "none", "rs256", ""] {
        assert!(name.parse::<Algorithm>().is_err());
    }
}

fn basis(proven: &Proven) -> TokenBasis {
    let Basis::Token(basis) = &proven.basis else {
        panic!("{:?}", proven.basis);
    };
    basis.clone()
}

#[tokio::test]
async fn a_session_ends_when_its_issuer_no_longer_stands_behind_it() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let recheck = Some(Duration::from_secs(1));
    let issuers = start(IssuerConfig { recheck, ..config(&provider) });
    let token = signer.token(&provider.claims());
    let proven = issuers.verify("corp", token.clone()).await.unwrap();
    let again = async || issuers.recheck(&basis(&proven), &proven.groups).await;
    let ended = |ended| Err(TokenError::Ended(ended));

    provider.set("/userinfo", json!({"sub": "ana", "groups": ["analysts"]}));
    assert_eq!(again().await, Ok(()));
    assert!(provider.last("/userinfo").0.contains(&format!("Bearer {token}")));
    provider.set("/userinfo", json!({"sub": "ana", "groups": ["analysts", "admins"]}));
    assert_eq!(again().await, ended(Ended::GroupsChanged));
    provider.set("/userinfo", json!({"sub": "ana"}));
    assert_eq!(again().await, ended(Ended::GroupsChanged));
    provider.set("/userinfo", json!({"sub": "bob", "groups": ["analysts"]}));
    assert_eq!(again().await, ended(Ended::SubjectChanged));
    for status in [401, 403] {
        provider.set_raw("/userinfo", status, String::new());
        assert_eq!(again().await, ended(Ended::TokenRevoked));
    }
    for (status, body) in [(500, ""), (302, ""), (200, "x")] {
        provider.set_raw("/userinfo", status, body.to_owned());
        assert!(unavailable(&again().await));
    }
    provider.go_down(true);
    assert!(unavailable(&again().await));

    // Where nobody asks again, no token is kept.
    provider.go_down(false);
    let proven = start(config(&provider)).verify("corp", token).await.unwrap();
    assert_eq!(basis(&proven).access_token, None);
}

fn id_token(provider: &Provider, signer: &Signer, changes: Value) -> String {
    let mut claims = provider.claims();
    claims["aud"] = "us".into();
    let half = Sha256::digest("opaque")[..16].to_vec();
    claims["at_hash"] = encode(half).into();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signer.token(&claims)
}

fn answer(id_token: &str) -> Value {
    json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": id_token})
}

#[tokio::test]
async fn a_code_proves_the_one_who_logged_in() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let client_secret = Some(Secret::new("s&cret".to_owned()));
    let issuers = start(IssuerConfig { client_secret, ..config(&provider) });
    let request = CodeRequest {
        redirect_uri: "https://admin.example/callback".to_owned(),
        state: "st&te".to_owned(),
        nonce: "n1".to_owned(),
        pkce_challenge: "challenge".to_owned(),
    };
    let url = issuers.authorization_url("corp", request).await.unwrap();
    let expected = "/authorize?response_type=code&client_id=us&redirect_uri=https%3A%2F%2Fadmin.example%2Fcallback&scope=openid&state=st%26te&nonce=n1&code_challenge=challenge&code_challenge_method=S256";
    assert_eq!(url, format!("{}{expected}", provider.url));

    let exchange = async |tokens: Value| {
        provider.set("/token", tokens);
        let login = CodeLogin {
            code: Secret::new("c0de".to_owned()),
            redirect_uri: "https://admin.example/callback".to_owned(),
            pkce_verifier: Secret::new("verifier".to_owned()),
            nonce: "n1".to_owned(),
        };
        issuers.exchange_code("corp", login).await
    };
    let token = |changes| id_token(&provider, &signer, changes);
    provider.set("/userinfo", json!({"sub": "ana", "groups": ["not", "these"], "aud": "x"}));
    let ana = exchange(answer(&token(json!({"nonce": "n1"})))).await.unwrap();
    assert_eq!((ana.subject.as_str(), ana.proof), ("ana", "oidc"));
    assert_eq!(ana.groups, ["analysts"], "what the identity token says counts");
    let (head, body) = provider.last("/token");
    assert_eq!(
        body,
        "grant_type=authorization_code&code=c0de&redirect_uri=https%3A%2F%2Fadmin.example%2Fcallback&code_verifier=verifier"
    );
    // "us:s%26cret"
    assert!(head.contains("Basic dXM6cyUyNmNyZXQ="), "{head}");

    let good = json!({"nonce": "n1"});
    let mut no_bearer = answer(&token(good.clone()));
    no_bearer["token_type"] = "DPoP".into();
    let mut swapped = answer(&token(good.clone()));
    swapped["access_token"] = "another".into();
    let refused = [
        (answer(&token(json!({}))), Refusal::Nonce),
        (answer(&token(json!({"nonce": "n2"}))), Refusal::Nonce),
        (answer(&token(json!({"nonce": ["n1"]}))), Refusal::Nonce),
        (answer(&token(json!({"nonce": "n1", "aud": "portcullis"}))), Refusal::Audience),
        (answer(&token(json!({"nonce": "n1", "aud": ["us", "x"]}))), Refusal::AuthorizedParty),
        (answer(&token(json!({"nonce": "n1", "azp": "x"}))), Refusal::AuthorizedParty),
        (answer(&token(json!({"nonce": "n1", "exp": now() - 60}))), Refusal::Expired),
        (swapped, Refusal::AccessToken),
        (no_bearer, Refusal::Answer),
        (
            json!({"access_token": signer.token(&provider.claims()), "token_type": "Bearer"}),
            Refusal::Answer,
        ),
        (json!({}), Refusal::Answer),
    ];
    for (tokens, why) in refused {
        let result = exchange(tokens.clone()).await.map(|proven| proven.subject);
        assert_eq!(result, Err(TokenError::Refused(why)), "{tokens}");
    }
    provider.set("/userinfo", json!({"sub": "bob"}));
    assert!(exchange(answer(&token(good))).await.is_err(), "userinfo of somebody else");
}

#[tokio::test]
async fn a_device_login_waits_for_the_person() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let issuers = start(config(&provider));
    let page = format!("{}/activate", provider.url);
    let begun = json!({"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": page,
        "verification_uri_complete": format!("{page}?code=ABCD-EFGH"), "expires_in": 600, "interval": 1});
    provider.set("/device", begun.clone());
    provider.set("/userinfo", json!({"sub": "ana", "groups": ["staff"], "act": {"sub": "x"}}));
    let token = id_token(&provider, &signer, json!({"groups": null}));
    let pending = (400, json!({"error": "authorization_pending"}));
    let confirmed = (200, answer(&token));
    provider.queue("/token", &[pending, (503, json!({})), confirmed]);
    let login = issuers.begin_device("corp").await.unwrap();
    assert_eq!(login.user_code, "ABCD-EFGH");
    assert_eq!(login.verification_uri, page);
    assert!(login.expires_in > Duration::from_secs(590));
    let ana = login.confirmed().await.unwrap();
    assert_eq!(ana.groups, ["staff"], "what the identity token leaves out is asked for");
    assert_eq!((ana.subject.as_str(), ana.proof, ana.on_behalf_of), ("ana", "device", None));
    let soon = std::time::SystemTime::now() + Duration::from_secs(301);
    assert!(ana.expires_at.unwrap() < soon, "as long as the access token is good");
    assert_eq!(provider.last("/device").1, "scope=openid&client_id=us");
    assert!(provider.last("/token").1.ends_with("device_code=d&client_id=us"));

    for (error, expected) in [
        ("access_denied", TokenError::Declined),
        ("expired_token", TokenError::TimedOut),
        ("invalid_grant", TokenError::Refused(Refusal::Answer)),
    ] {
        provider.queue("/token", &[(400, json!({ "error": error }))]);
        let login = issuers.begin_device("corp").await.unwrap();
        assert_eq!(login.confirmed().await.map(|proven| proven.subject), Err(expected));
    }

    let mut hasty = begun.clone();
    hasty["expires_in"] = json!(0.2);
    provider.set("/device", hasty);
    let login = issuers.begin_device("corp").await.unwrap();
    assert_eq!(login.confirmed().await.unwrap_err(), TokenError::TimedOut);

    for (name, value) in [
        ("user_code", json!("A\u{1b}[2J")),
        ("user_code", json!("A\nB")),
        ("user_code", json!("")),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri", json!("http://evil.example/")),
        ("device_code", json!(7)),
        ("expires_in", Value::Null),
        ("expires_in", json!(-1)),
    ] {
        let mut wrong = begun.clone();
        wrong[name] = value;
        provider.set("/device", wrong.clone());
        let refused = issuers.begin_device("corp").await.map(|login| login.user_code);
        assert_eq!(refused, Err(TokenError::Refused(Refusal::Answer)), "{wrong}");
    }
}

#[tokio::test]
async fn giving_up_a_login_stops_the_asking() {
    let signer = Signer::new("k", "ES256");
    let provider = Provider::start(&[&signer]).await;
    let issuers = start(config(&provider));
    let page = format!("{}/activate", provider.url);
    provider.set(
        "/device",
        json!({"device_code": "d", "user_code": "A", "verification_uri": page,
        "expires_in": 600, "interval": 60}),
    );
    let login = issuers.begin_device("corp").await.unwrap();
    assert_eq!(issuers.under_way(), 0);
    let waiting = tokio::spawn(login.confirmed());
    let until = async |wanted: usize| {
        while issuers.under_way() != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), until(1)).await.unwrap();
    waiting.abort();
    tokio::time::timeout(Duration::from_secs(10), until(0)).await.unwrap();
    assert_eq!(provider.asked("/token"), 0);
}

#[test]
fn the_issuer_sets_the_pace() {
    let seconds = |number| Some(Duration::from_secs(number));
    let pause = |asked| Pace::of(asked).pause.as_secs();
    assert_eq!(
        (pause(None), pause(seconds(0)), pause(seconds(7)), pause(seconds(900))),
        (5, 1, 7, 60)
    );
    let pace = Pace::of(seconds(5));
    assert_eq!(pace.slower().pause.as_secs(), 10);
    assert_eq!(pace.backed_off().backed_off().pause.as_secs(), 20);
    assert_eq!((0..20).fold(pace, |pace, _| pace.slower()).pause.as_secs(), 60);
}
