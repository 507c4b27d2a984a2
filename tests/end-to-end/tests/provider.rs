//! The harness itself: a provider that does what it is told, and terminals.

use std::sync::Arc;
use std::time::Duration;

use end_to_end::certificates::Certificates;
use end_to_end::provider::{AUDIENCE, CLIENT, CLIENT_SECRET, CLIENT_WITH_SECRET, claims, header};
use end_to_end::{Account, ClientCertificate, Holder, Outage, Provider, Terminal, Wanted};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 7636's own example.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn with_ana() -> Provider {
    let provider = Provider::start().await;
    provider.put(&Account::new("ana").groups(&["analysts"]).claim("team", "risk")).await;
    provider
}

#[tokio::test]
async fn tokens_say_who_somebody_is_for_as_long_as_they_are() {
    let provider = with_ana().await;
    let wanted = Wanted::by("ana").lifetime_seconds(60).acted_for_by("bot");
    let tokens = provider.issue(&wanted).await;
    let access = claims(&tokens.access);
    assert_eq!(access["iss"], provider.issuer());
    assert_eq!(access["aud"], AUDIENCE);
    assert_eq!(access["sub"], "ana");
    assert_eq!(access["groups"], json!(["analysts"]));
    assert_eq!(access["act"], json!({ "sub": "bot" }));
    let lasts = access["exp"].as_u64().zip(access["iat"].as_u64());
    assert_eq!(lasts.map(|(end, start)| end - start), Some(60));
    assert_eq!(claims(&tokens.id)["aud"], CLIENT);
    assert_eq!(claims(&tokens.id)["team"], "risk");

    for token in [&tokens.access, &tokens.opaque] {
        let (status, who) = provider.userinfo(token).await;
        assert_eq!((status, &who["groups"]), (200, &json!(["analysts"])));
    }
    provider.put(&Account::new("ana").groups(&["guests"])).await;
    assert_eq!(provider.userinfo(&tokens.access).await.1["groups"], json!(["guests"]));
    provider.put(&Account::new("ana").disabled()).await;
    assert_eq!(provider.userinfo(&tokens.access).await.0, 401);
}

#[tokio::test]
async fn tokens_can_be_wrong_in_one_thing() {
    let provider = with_ana().await;
    let token = async |wanted: Wanted| provider.issue(&wanted).await.access;
    let wanted = || Wanted::by("ana");
    assert_eq!(claims(&token(wanted().audience("payroll")).await)["aud"], "payroll");
    let several = json!([AUDIENCE, "payroll"]);
    assert_eq!(claims(&token(wanted().claim("aud", several.clone())).await)["aud"], several);
    assert_eq!(header(&token(wanted().algorithm("ES256")).await)["alg"], "ES256");
    let without = token(wanted().claim("groups", Value::Null)).await;
    assert_eq!(claims(&without).get("groups"), None);
}

#[tokio::test]
async fn services_have_tokens_of_their_own() {
    let provider = Provider::start().await;
    let nightly = Account::new("nightly").groups(&["jobs"]).claim("kind", "service");
    provider.put_service(&nightly).await;
    let token = claims(&provider.service_token("nightly", AUDIENCE).await);
    assert_eq!((&token["sub"], &token["kind"]), (&json!("nightly"), &json!("service")));
    assert_eq!(token["groups"], json!(["jobs"]));
}

#[tokio::test]
async fn keys_rotate_and_old_ones_stay_or_go() {
    let provider = with_ana().await;
    let kid = |token: &str| header(token)["kid"].as_str().expect("a key's name").to_owned();
    let old = kid(&provider.issue(&Wanted::by("ana")).await.access);
    let kept = provider.rotate(true).await;
    assert!(kept.contains(&old));
    let new = kid(&provider.issue(&Wanted::by("ana")).await.access);
    assert!(new != old && kept.contains(&new));
    let replaced = provider.rotate(false).await;
    assert!(!replaced.contains(&old) && !replaced.contains(&new));
}

/// Starts a device login and gives the device's code and the person's.
async fn begin_device(provider: &Provider) -> (String, String) {
    let fields = [("client_id", CLIENT), ("scope", "openid profile groups")];
    let (status, begun) = provider.post("/device/auth", &fields).await;
    assert_eq!((status, &begun["interval"]), (200, &json!(1)), "{begun}");
    assert_eq!(begun["verification_uri"], provider.device_page());
    let text = |name: &str| begun[name].as_str().expect("a code").to_owned();
    (text("device_code"), text("user_code"))
}

async fn poll_device(provider: &Provider, code: &str) -> (u16, Value) {
    let fields = [("grant_type", DEVICE_GRANT), ("device_code", code), ("client_id", CLIENT)];
    provider.post("/token", &fields).await
}

#[tokio::test]
async fn devices_are_confirmed_and_denied_on_the_provider_s_pages() {
    let provider = with_ana().await;
    let (device, user) = begin_device(&provider).await;
    provider.slow_down(1).await;
    assert_eq!(poll_device(&provider, &device).await.1["error"], "slow_down");
    assert_eq!(poll_device(&provider, &device).await.1["error"], "authorization_pending");
    provider.confirm_device(&user, "ana").await;
    let (status, tokens) = poll_device(&provider, &device).await;
    assert_eq!(status, 200, "{tokens}");
    let id = claims(tokens["id_token"].as_str().expect("an ID token"));
    assert_eq!((&id["sub"], &id["groups"]), (&json!("ana"), &json!(["analysts"])));
    let access = tokens["access_token"].as_str().expect("an access token");
    assert_eq!(provider.userinfo(access).await.0, 200);
    provider.revoke(access).await;
    assert_eq!(provider.userinfo(access).await.0, 401);

    let (device, user) = begin_device(&provider).await;
    provider.deny_device(&user).await;
    assert_eq!(poll_device(&provider, &device).await.1["error"], "access_denied");
}

#[tokio::test]
async fn people_come_back_with_a_code_or_without() {
    let certificates: &'static Certificates = Box::leak(Box::default());
    let provider = Provider::start_tls(certificates).await;
    provider.put(&Account::new("lea").groups(&["leads"])).await;
    let issuer = provider.issuer();
    assert!(issuer.starts_with("https://localhost:"), "{issuer}");
    let back = "http://127.0.0.1:9/sign-in/callback";
    let url = format!(
        "{issuer}/auth?client_id={CLIENT_WITH_SECRET}&response_type=code&scope=openid%20groups\
         &redirect_uri={back}&state=s1&nonce=n1&code_challenge={CHALLENGE}\
         &code_challenge_method=S256"
    );
    let sent = provider.authorize(&url, "lea").await;
    let query = sent.strip_prefix(back).and_then(|rest| rest.strip_prefix('?'));
    let mut parts = query.expect("back to where it came from").split('&');
    let code = parts.find_map(|part| part.strip_prefix("code=")).expect("with a code");
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_WITH_SECRET),
        ("client_secret", CLIENT_SECRET),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", back),
    ];
    let (status, tokens) = provider.post("/token", &fields).await;
    assert_eq!(status, 200, "{tokens}");
    let id = claims(tokens["id_token"].as_str().expect("an ID token"));
    assert_eq!((&id["nonce"], &id["groups"]), (&json!("n1"), &json!(["leads"])));

    let refused = provider.refuse_authorization(&url).await;
    assert!(refused.starts_with(back) && refused.contains("error=access_denied"), "{refused}");
}

#[tokio::test]
async fn an_outage_ends_with_everything_still_there() {
    let provider = with_ana().await;
    let tokens = provider.issue(&Wanted::by("ana")).await;
    provider.fail(Outage::Failing).await;
    assert_eq!(provider.userinfo(&tokens.access).await.0, 503);
    provider.fail(Outage::Silent).await;
    let asked = provider.userinfo(&tokens.access);
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    provider.fail(Outage::Refused).await;
    let address = provider.issuer().trim_start_matches("http://").to_owned();
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
    provider.recover().await;
    let before = provider.requests("/me").await;
    assert_eq!(provider.userinfo(&tokens.access).await.0, 200);
    assert_eq!(provider.requests("/me").await, before + 1);
}

#[tokio::test]
async fn who_is_disabled_or_mistyped_does_not_get_in() {
    let provider = with_ana().await;
    let (_, user) = begin_device(&provider).await;
    let browser = provider.browser();
    let page = browser.open(&provider.device_page()).await;
    let wrong = browser.submit(&page, &[("user_code", "BBBB-BBBB")]).await;
    assert!(wrong.body.contains("incorrect"), "{wrong:#?}");
    let asked = browser.submit(&wrong, &[("user_code", &user)]).await;
    let login = browser.submit(&asked, &[]).await;
    let refused = browser.submit(&login, &[("account", "ana"), ("password", "guess")]).await;
    assert_eq!(refused.status, 403);
    provider.put(&Account::new("ana").disabled()).await;
    let password = end_to_end::provider::password("ana");
    let refused = browser.submit(&login, &[("account", "ana"), ("password", &password)]).await;
    assert_eq!(refused.status, 403);
    provider.put(&Account::new("ana")).await;
    let done = provider.log_in(&browser, login, "ana").await;
    assert!(done.body.contains("Sign-in Success"), "{done:#?}");
}

/// Shows a certificate to a server that wants one of `authority` and knows what it took back.
async fn shown(
    authority: &Certificates,
    revoked: &[&ClientCertificate],
    certificate: &ClientCertificate,
) -> Result<(), String> {
    let list =
        CertificateRevocationListDer::from_pem_slice(authority.revocations(revoked).as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.authority_pem.as_bytes());
    roots.add(root.expect("PEM")).expect("an authority");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .with_crls([list.expect("PEM")])
            .build()
            .expect("a verifier");
    let own = CertificateDer::from_pem_slice(authority.certificate_pem.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(authority.key_pem.as_bytes()).expect("PEM");
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own], key)
        .expect("they belong together");
    let (near, far) = tokio::io::duplex(65_536);
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(authority.client_config_with(certificate));
    let client = tokio::spawn(connector.connect(name, near));
    let taken = TlsAcceptor::from(Arc::new(server)).accept(far).await;
    drop(client.await);
    taken.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn client_certificates_are_good_until_something_is_wrong_with_them() {
    let authority = Certificates::new();
    let good = authority.client(&Holder::named("ana"));
    let other = authority.client(&Holder::named("ana"));
    let check = async |certificate: &ClientCertificate, expected: Option<&str>| {
        let result = shown(&authority, &[&other], certificate).await;
        match (result, expected) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) if error.contains(part) => {}
            (result, expected) => panic!("{result:?}, where {expected:?} was expected"),
        }
    };
    check(&good, None).await;
    check(&other, Some("Revoked")).await;
    let holder = Holder { expired: true, ..Holder::named("ana") };
    check(&authority.client(&holder), Some("expired")).await;
    let holder = Holder { server: true, ..Holder::named("ana") };
    check(&authority.client(&holder), Some("usage")).await;
    // An authority of the same name with a key of its own.
    check(&Certificates::new().client(&Holder::named("ana")), Some("BadSignature")).await;
    let holder = Holder {
        second_common_name: "admin",
        organisation: "Shop",
        unit: "Risk",
        dns: &["ana.shop.example"],
        emails: &["ana@shop.example"],
        uris: &["spiffe://shop.example/ana"],
        ..Holder::named("ana")
    };
    check(&authority.client(&holder), None).await;
}

#[tokio::test]
async fn a_terminal_shows_takes_and_interrupts() {
    let cluster = end_to_end::cluster().await;
    let url = cluster.postgres.superuser_url("postgres");
    let mut psql = Terminal::psql(&[&url], &[]);
    psql.wait_for("postgres=# ").await;
    psql.type_line("DO $$ BEGIN RAISE NOTICE 'waiting'; PERFORM pg_sleep(600); END $$;");
    psql.wait_for("NOTICE:  waiting").await;
    psql.interrupt();
    psql.wait_for("ERROR:  canceling statement due to user request").await;
    psql.wait_for("postgres=# ").await;
    psql.type_line("SELECT 6 * 7 AS answer;");
    let shown = psql.wait_for("(1 row)").await;
    assert!(shown.contains(" answer \n") && shown.contains(" 42\n"), "{shown}");
    psql.wait_for("postgres=# ").await;
    psql.end_of_input();
    assert_eq!(psql.exit_code().await, 0);
}
