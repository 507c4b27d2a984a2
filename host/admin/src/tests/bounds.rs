//! Large, slow and many.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::http::{Answer, Ask, connect, raw, read};
use super::stage::Stage;
use crate::{AdminLimits, PublicUrl};

fn hasty() -> Stage {
    Stage::with(|settings| {
        settings.limits = AdminLimits {
            connections_max: 4,
            head: Duration::from_millis(300),
            request: Duration::from_millis(600),
            connection: Duration::from_secs(2),
            ..AdminLimits::default()
        };
    })
}

#[test]
fn large_bodies_are_refused() {
    let stage = Stage::new();
    let check = |bytes: usize, status: u16| {
        let body = format!("{{\"reason\": \"{}\"}}", "a".repeat(bytes));
        let path = "/v1/principals/ana/disabled";
        let answer = stage.ask(Ask::new("PUT", path).by("root").json(&body));
        assert_eq!(answer.status, status, "{bytes}");
    };
    check(100, 200);
    check(1_000, 400);
    check(20_000, 413);
    let form = "a".repeat(20_000);
    let answer = stage.ask(Ask::post("/sign-in").form(&[("mark", form.as_str())]));
    assert_eq!(answer.status, 413);
    // One that does not say how long it is.
    let endless = format!(
        "PUT /v1/principals/ana/disabled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Basic {}\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\n{}\r\n",
        "cm9vdDpyb290J3Mgb3duIHNlY3JldA==",
        "a".repeat(0x5000)
    );
    assert_eq!(raw(endless.as_bytes(), stage.admin.address()).status, 413);
}

#[test]
fn large_heads_are_refused() {
    let stage = Stage::new();
    let check = |headers: String, status: u16| {
        let head =
            format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let answer = raw(head.as_bytes(), stage.admin.address());
        assert_eq!(answer.status, status, "{answer:?}");
    };
    check("X: y\r\n".to_owned(), 200);
    check(format!("X: {}\r\n", "y".repeat(16_000)), 200);
    check(format!("X: {}\r\n", "y".repeat(400_000)), 431);
    check("X: y\r\n".repeat(100), 431);
}

#[test]
fn slow_clients_are_left() {
    let stage = hasty();
    let address = stage.admin.address();
    let check = |sent: &[u8], status: u16| {
        let begun = Instant::now();
        let answer = raw(sent, address);
        assert_eq!(answer.status, status, "{:?}: {answer:?}", String::from_utf8_lossy(sent));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    };
    check(b"", 0);
    check(b"GET /livez HT", 0);
    check(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 200);
    check(
        b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\
          Content-Type: application/x-www-form-urlencoded\r\n\r\nmark",
        408,
    );
}

#[test]
fn a_change_that_takes_too_long_is_recorded() {
    let stage = hasty();
    let begun = b"PUT /v1/principals/ana/disabled HTTP/1.1\r\nHost: localhost\r\n\
          Authorization: Basic cm9vdDpyb290J3Mgb3duIHNlY3JldA==\r\nConnection: close\r\n\
          Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    assert_eq!(raw(begun, stage.admin.address()).status, 408);
    let deadline = Instant::now() + Duration::from_secs(10);
    let changes = loop {
        let changes = stage.heard.changes();
        if !changes.is_empty() || Instant::now() > deadline {
            break changes;
        }
        std::thread::yield_now();
    };
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert!(change.starts_with("root disable-principal /v1/principals/ana"), "{change}");
    assert!(change.ends_with("nobody was answered"), "{change}");
}

#[test]
fn too_many_connections_wait_and_are_served_then() {
    let stage = hasty();
    let address = stage.admin.address();
    let mut idle: Vec<_> = (0..4).map(|_| connect(Ipv4Addr::LOCALHOST, address)).collect();
    assert_eq!(stage.ask(Ask::get("/livez")).status, 200);
    for stream in &mut idle {
        assert_eq!(read(stream).status, 0, "closed without an answer");
    }
}

#[test]
fn a_connection_ends_when_its_time_is_over() {
    let stage = Stage::with(|settings| {
        settings.limits.connection = Duration::from_millis(500);
        settings.limits.head = Duration::from_secs(20);
    });
    let mut stream = connect(Ipv4Addr::LOCALHOST, stage.admin.address());
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let begun = Instant::now();
    stream.write_all(request).unwrap();
    assert_eq!(read(&mut stream).status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

#[test]
fn what_is_no_http_is_refused() {
    let stage = Stage::new();
    let check = |bytes: &[u8], statuses: &[u16]| {
        let answer = raw(bytes, stage.admin.address());
        assert!(statuses.contains(&answer.status), "{answer:?}");
    };
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400]);
    check(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", &[421]);
    check(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[200, 400]);
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 0]);
    let refused = |method: &str, path: &str| stage.ask(Ask::new(method, path)).status;
    assert_eq!(refused("POST", "/livez"), 405);
    assert_eq!(refused("PUT", "/v1/reload"), 405);
    assert_eq!(refused("GET", "/v2/sessions"), 404);
    assert_eq!(refused("GET", "/v1/../livez"), 404);
}

/// A certificate for localhost, and a client that trusts it.
fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let der = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der).unwrap();
    let client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

fn over_tls(stage: &Stage, client: &Arc<rustls::ClientConfig>, request: &str) -> Answer {
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(client.clone(), name).unwrap();
    let stream = connect(Ipv4Addr::LOCALHOST, stage.admin.address());
    let mut stream = rustls::StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
    Answer::read(&bytes)
}

#[test]
fn over_tls_any_name_is_served_and_plain_text_is_not() {
    let (server, client) = tls();
    let stage = Stage::with(|settings| {
        settings.tls = Some(server);
        settings.limits.head = Duration::from_millis(500);
    });
    let head = "Host: gate.example.com\r\nConnection: close\r\n\r\n";
    let answer = over_tls(&stage, &client, &format!("GET /sign-in HTTP/1.1\r\n{head}"));
    assert_eq!(answer.status, 200);
    assert!(answer.header("strict-transport-security").contains("max-age"));
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-portcullis-login=") && cookie.contains("Secure"),
        "{cookie}"
    );
    assert_eq!(stage.ask(Ask::get("/livez")).status, 0, "plain text");
    assert_eq!(raw(b"", stage.admin.address()).status, 0, "a handshake that never comes");
    let answer = over_tls(&stage, &client, &format!("GET /livez HTTP/1.1\r\n{head}"));
    assert_eq!(answer.status, 200);
}

#[test]
fn metrics_beyond_this_machine_are_for_viewers() {
    let (server, client) = tls();
    let stage = Stage::with(|settings| {
        settings.tls = Some(server);
        settings.address = "0.0.0.0:0".parse().unwrap();
    });
    let get = |path: &str, more: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n{more}\r\n");
        over_tls(&stage, &client, &request).status
    };
    let viewer = "Authorization: Basic dmlld2VyOnZpZXdlcidzIG93biBzZWNyZXQ=\r\n";
    let nobody = "Authorization: Basic bm9ib2R5Om5vYm9keSdzIG93biBzZWNyZXQ=\r\n";
    assert_eq!(get("/livez", ""), 200);
    assert_eq!(get("/metrics", ""), 401);
    assert_eq!(get("/metrics", nobody), 403);
    assert_eq!(get("/metrics", viewer), 200);
}

#[test]
fn passwords_never_cross_a_network_in_clear_text() {
    let stage = Stage::new();
    let check = |change: &dyn Fn(&mut crate::AdminSettings), part: &str| {
        let mut settings = stage.settings.clone();
        change(&mut settings);
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check(&|settings| settings.address = "0.0.0.0:0".parse().unwrap(), "loopback");
    check(&|settings| settings.address = "192.0.2.1:6480".parse().unwrap(), "loopback");
    check(&|settings| settings.address = "[::]:0".parse().unwrap(), "loopback");
    check(
        &|settings| {
            settings.tls = Some(tls().0);
            settings.public_url = Some(PublicUrl::parse("http://localhost").unwrap());
        },
        "https://",
    );
    assert!(stage.settings.check().is_ok());
}
