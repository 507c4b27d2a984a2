//! Browser logins at an issuer, up to the point where it would have to vouch for somebody.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_identity::{IssuerConfig, Issuers};

use super::http::Ask;
use super::stage::Stage;

/// Publishes its metadata, and knows no code. Ends with the test.
struct Provider {
    url: String,
    codes_seen: Arc<AtomicUsize>,
}

impl Provider {
    fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let codes_seen = Arc::new(AtomicUsize::new(0));
        let (own, seen) = (url.clone(), codes_seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &own, &seen);
            }
        });
        Provider { url, codes_seen }
    }

    fn stage(&self) -> Stage {
        Stage::with(|settings| {
            let mut config = IssuerConfig::new("corp", &self.url, vec!["portcullis".to_owned()]);
            config.client_id = Some("portcullis".to_owned());
            settings.directory.issuers = Issuers::start(vec![config]).unwrap();
            settings.browser_issuer = Some("corp".to_owned());
            settings.token_issuers = vec!["corp".to_owned()];
        })
    }
}

fn answer(mut stream: TcpStream, own: &str, codes_seen: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, answer) = if first.contains("openid-configuration") {
        let metadata = serde_json::json!({
            "issuer": own,
            "authorization_endpoint": format!("{own}/authorize"),
            "token_endpoint": format!("{own}/token"),
            "jwks_uri": format!("{own}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        });
        ("200 OK", metadata.to_string())
    } else if first.contains("/keys") {
        // 2,048 bits of a modulus: nothing here is signed with it.
        let modulus = format!("{}w", "v".repeat(341));
        let key = serde_json::json!({
            "kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "n": modulus, "e": "AQAB",
        });
        ("200 OK", serde_json::json!({ "keys": [key] }).to_string())
    } else {
        if String::from_utf8_lossy(&body).contains("code=") {
            codes_seen.fetch_add(1, Ordering::Relaxed);
        }
        ("400 Bad Request", "{\"error\": \"invalid_grant\"}".to_owned())
    };
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
}

/// Where the browser is sent, and the cookies it carries.
fn begin(stage: &Stage) -> (String, Vec<String>) {
    let page = stage.ask(Ask::get("/sign-in"));
    assert!(page.body.contains("Log in with corp"), "{}", page.body);
    let cookies = page.cookies();
    let sent = stage.ask(Ask::get("/sign-in/issuer?next=/").cookies(&cookies));
    assert_eq!(sent.status, 303, "{sent:?}");
    (sent.header("location").to_owned(), cookies)
}

fn parameter<'u>(url: &'u str, name: &str) -> &'u str {
    let rest = url.split(&format!("{name}=")).nth(1).unwrap_or_default();
    rest.split('&').next().unwrap_or_default()
}

#[test]
fn a_browser_is_sent_with_proof_of_possession() {
    let provider = Provider::start();
    let stage = provider.stage();
    let (url, _) = begin(&stage);
    assert!(url.starts_with(&format!("{}/authorize?", provider.url)), "{url}");
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    assert_eq!(parameter(&url, "code_challenge").len(), 43);
    assert_eq!(parameter(&url, "response_type"), "code");
    let (another, _) = begin(&stage);
    for secret in ["state", "nonce", "code_challenge"] {
        assert!(!parameter(&url, secret).is_empty(), "{secret}");
        assert_ne!(parameter(&url, secret), parameter(&another, secret), "{secret}");
    }
}

#[test]
fn a_code_is_taken_once_from_the_browser_that_began() {
    let provider = Provider::start();
    let stage = provider.stage();
    let back = |state: &str, more: &str, cookies: &[String]| {
        let path = format!("/sign-in/callback?code=abc&state={state}{more}");
        stage.ask(Ask::get(&path).cookies(cookies))
    };
    let codes_seen = || provider.codes_seen.load(Ordering::Relaxed);

    let (url, cookies) = begin(&stage);
    let state = parameter(&url, "state");
    let answer = back(state, "", &cookies);
    assert!(answer.status == 403 && answer.cookies().is_empty(), "{answer:?}");
    assert_eq!(codes_seen(), 1, "the issuer was asked, and did not know the code");
    assert!(back(state, "", &cookies).body.contains("this login is over"));

    let (url, _) = begin(&stage);
    let (_, foreign) = begin(&stage);
    assert!(back(parameter(&url, "state"), "", &foreign).body.contains("another browser"));
    assert!(back(parameter(&url, "state"), "", &[]).body.contains("this login is over"));
    assert!(back("made-up", "", &foreign).body.contains("this login is over"));

    let (url, cookies) = begin(&stage);
    let mixed_up = back(parameter(&url, "state"), "&iss=https://evil.example", &cookies);
    assert!(mixed_up.body.contains("did not let you in"), "{mixed_up:?}");
    assert_eq!(codes_seen(), 1, "none of these reached the issuer");
}

#[test]
fn a_token_that_nobody_signed_is_refused_and_recorded() {
    let provider = Provider::start();
    let stage = provider.stage();
    let forged = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.";
    let answer = stage.ask(Ask::get("/v1/whoami").header("Authorization", forged));
    assert_eq!(answer.status, 401);
    let records = format!("{:?}", stage.heard.take());
    assert!(records.contains("(token)") && !records.contains("eyJ"), "{records}");
}

#[test]
fn a_login_that_no_issuer_can_judge_does_not_count() {
    // Nobody listens on that port.
    let gone = "http://127.0.0.1:1";
    let provider = Provider::start();
    let stage = Stage::with(|settings| {
        let config = |name: &str, url: &str, prefix: &str| {
            let mut config = IssuerConfig::new(name, url, vec!["portcullis".to_owned()]);
            config.subject_prefix = prefix.to_owned();
            config
        };
        let configs = vec![config("corp", &provider.url, "corp:"), config("gone", gone, "gone:")];
        settings.directory.issuers = Issuers::start(configs).unwrap();
        settings.token_issuers = vec!["corp".to_owned(), "gone".to_owned()];
    });
    let check = |issuer: &str, status: u16, recorded: &str| {
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(serde_json::json!({"alg": "RS256", "kid": "k"}));
        let claims = part(serde_json::json!({"iss": issuer, "sub": "root"}));
        let shown = format!("Bearer {header}.{claims}.AAAA");
        let answer = stage.ask(Ask::get("/v1/whoami").header("Authorization", &shown));
        assert_eq!(answer.status, status, "{issuer}: {answer:?}");
        let records = format!("{:?}", stage.heard.take());
        assert!(records.contains(recorded), "{issuer}: {records}");
    };
    check(gone, 503, "[]");
    check(&provider.url, 401, "signature is wrong");
    check("https://elsewhere.example", 401, "from another issuer");
}

#[test]
fn issuers_that_are_not_configured_are_refused_at_the_start() {
    let stage = Stage::new();
    let mut settings = stage.settings.clone();
    settings.browser_issuer = Some("corp".to_owned());
    assert!(stage.admin.reload(settings).unwrap_err().to_string().contains("corp"));
}
