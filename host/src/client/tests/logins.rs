//! Who asks: what goes over which road, and logins with a browser.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{Script, run};

#[test]
fn logins_stay_off_plaintext_roads() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    fs::write(&token, "abc\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let token = token.display().to_string();
    let check = |arguments: &[&str], expected: Expect| {
        let arguments: Vec<&str> = ["whoami"].iter().chain(arguments).copied().collect();
        let failure = run(&arguments, &|_| None).unwrap_err();
        expected.assert_eq(&failure.to_string().replace(&token, "TOKEN"));
    };
    let far = ["--admin", "http://portcullis.example.com:6480"];
    check(
        &[far[0], far[1], "--user", "dora"],
        expect![[r#"
        error: http://portcullis.example.com:6480/ is plaintext, and others on the way could read the login
          use https://, or a tunnel to 127.0.0.1"#]],
    );
    check(
        &[far[0], far[1], "--token-file", &token],
        expect![[r#"
        error: http://portcullis.example.com:6480/ is plaintext, and others on the way could read the login
          use https://, or a tunnel to 127.0.0.1"#]],
    );
    check(
        &["--admin", "http://127.0.0.1.example.com", "--user", "dora"],
        expect![[r#"
        error: http://127.0.0.1.example.com/ is plaintext, and others on the way could read the login
          use https://, or a tunnel to 127.0.0.1"#]],
    );
    check(
        &["--admin", "https://dora:x@portcullis.example.com"],
        expect![[r#"
        error: --admin is not where an API can be: a password does not belong into a URL, use --user
          write it as https://host:port"#]],
    );
    check(
        &["--admin", "https://portcullis.example.com/api"],
        expect![[r#"
        error: --admin is not where an API can be: it has more than scheme, host and port
          write it as https://host:port"#]],
    );
    check(
        &["--admin", "portcullis.example.com"],
        expect![[r#"
        error: --admin is not where an API can be: it is no URL
          write it as https://host:port"#]],
    );
    check(
        &["--token-file", &token, "--user", "dora"],
        expect!["error: --token-file and --user exclude each other"],
    );
    check(
        &["--password-file", &token],
        expect![[r#"
        error: --password-file needs --user
          whose password is it?"#]],
    );
    check(
        &["--token-file", "/nonexistent"],
        expect!["error: /nonexistent cannot be read: No such file or directory (os error 2)"],
    );
    check(&["--user", "do:ra"], expect!["error: a user's name has no colon here"]);
}

/// A provider that is the API, too, so that one script answers for both.
fn provider(script: &Script) -> Value {
    let url = script.url();
    json!({
        "issuer": url,
        "device_authorization_endpoint": format!("{url}/device"),
        "token_endpoint": format!("{url}/token"),
    })
}

#[test]
fn a_login_is_kept_for_its_api_alone() {
    let script = Script::new(&[]);
    let options = json!({ "issuer": { "url": script.url(), "client_id": "portcullis",
        "scopes": ["openid", "groups"] } });
    let code = json!({ "device_code": "DEVICE", "user_code": "WDJB-MJHT\u{1b}[2J",
        "verification_uri": "https://id.example.com/device", "expires_in": 600, "interval": 1 });
    let who = json!({ "subject": "ana", "roles": [] });
    let issued = json!({ "id": "abc", "user": "pc_abc", "password": "K3YK3Y",
        "expires_at": "2026-11-22T10:00:00Z" });
    script.then(&[
        (200, options),
        (200, provider(&script)),
        (200, code),
        (400, json!({ "error": "authorization_pending" })),
        (400, json!({ "error": "slow_down" })),
        (200, json!({ "id_token": "ID", "access_token": "ACCESS" })),
        // For the provider's client alone; the access token is for the proxy.
        (401, json!({ "detail": "no" })),
        (200, who.clone()),
        (201, issued),
    ]);
    let shown = script.run(&["login", "--database", "shop"]).unwrap();
    let home = script.home.path().display().to_string();
    let shown = shown.replace(&home, "STATE").replace(&script.address.port().to_string(), "PORT");
    expect![[r#"
        Open https://id.example.com/device
        and enter the code WDJB-MJHT [2J, within 10m.
        logged in as ana; kept in STATE/portcullis/login-http---127.0.0.1-PORT.json

          user          pc_abc
          password      K3YK3Y
          until         2026-11-22 10:00:00 UTC (in 1h)

        The password is not shown again. Where the proxy listens as usual:
          PGPASSWORD=K3YK3Y psql 'host=127.0.0.1 port=6432 dbname=shop user=pc_abc'
    "#]]
    .assert_eq(&shown);
    expect![[r#"
        GET /v1/login-options
        GET /.well-known/openid-configuration
        POST /device client_id=portcullis&scope=openid+groups
        POST /token grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=DEVICE&client_id=portcullis
        POST /token grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=DEVICE&client_id=portcullis
        POST /token grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=DEVICE&client_id=portcullis
        GET /v1/whoami [Bearer ID]
        GET /v1/whoami [Bearer ACCESS]
        POST /v1/credentials [Bearer ACCESS] {"database":"shop","minutes":60}"#]].assert_eq(&script.asked());
    // It is used from then on, and only there.
    script.then(&[(200, who.clone())]);
    script.run(&["whoami"]).unwrap();
    expect!["GET /v1/whoami [Bearer ACCESS]"].assert_eq(&script.asked());
    let other = Script::new(&[(200, who)]);
    let elsewhere = |name: &str| match name {
        "PORTCULLIS_ADMIN" => Some(other.url()),
        "XDG_STATE_HOME" => Some(home.clone()),
        _ => None,
    };
    run(&["whoami"], &elsewhere).unwrap();
    expect!["GET /v1/whoami"].assert_eq(&other.asked());
    // Only its owner can read it; a file that others could have written is not used.
    let directory = script.home.path().join("portcullis");
    let file = fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    script.then(&[(401, json!({ "detail": "this needs a login" }))]);
    expect![[r#"
        error: this needs a login
          log in with `portcullis login`, or ask as --user NAME"#]]
    .assert_eq(&script.run(&["whoami"]).unwrap_err().to_string());
    expect!["GET /v1/whoami"].assert_eq(&script.asked());
    assert_eq!(script.run(&["logout"]).unwrap(), "the login is forgotten\n");
    assert_eq!(script.run(&["logout"]).unwrap(), "no login was kept\n");
}

#[test]
fn logins_that_fail() {
    let flags = |script: &Script| {
        ["login", "--client-id", "cli", "--issuer-url"]
            .map(str::to_owned)
            .into_iter()
            .chain([script.url()])
            .collect::<Vec<_>>()
    };
    let check = |answers: &dyn Fn(&Script) -> Vec<(u16, Value)>, expected: Expect| {
        let script = Script::new(&[]);
        script.then(&answers(&script));
        let flags = flags(&script);
        let arguments: Vec<&str> = flags.iter().map(String::as_str).collect();
        let failure = script.run(&arguments).unwrap_err().to_string();
        expected.assert_eq(&failure.replace(&script.url(), "PROVIDER"));
    };
    let code = || {
        json!({ "device_code": "D", "user_code": "U", "verification_uri": "https://id.example.com",
            "expires_in": 600 })
    };
    let until =
        |script: &Script, last: Value| vec![(200, provider(script)), (200, code()), (400, last)];
    check(
        &|_| vec![(404, json!({}))],
        expect!["error: PROVIDER is no provider: it does not describe itself"],
    );
    check(
        &|_| vec![(200, json!({ "issuer": "https://evil.example.com" }))],
        expect!["error: PROVIDER is no provider: what is there describes another one"],
    );
    check(
        &|script| {
            let mut provider = provider(script);
            provider["token_endpoint"] = json!("http://id.example.com/token");
            vec![(200, provider)]
        },
        expect!["error: PROVIDER offers no tokens over https"],
    );
    check(
        &|script| {
            vec![(200, provider(script)), (400, json!({ "error": "unauthorized_client\u{1b}" }))]
        },
        expect!["error: PROVIDER refuses: unauthorized_client "],
    );
    check(
        &|script| {
            let mut code = code();
            code["verification_uri"] = json!("javascript:alert(1)");
            vec![(200, provider(script)), (200, code)]
        },
        expect!["error: PROVIDER answered without `verification_uri`"],
    );
    check(
        &|script| until(script, json!({ "error": "access_denied" })),
        expect!["error: the login was refused there"],
    );
    check(
        &|script| until(script, json!({ "error": "expired_token" })),
        expect![[r#"
        error: nobody confirmed in time
          try again"#]],
    );
    check(
        &|script| until(script, json!({ "error": "invalid_grant" })),
        expect!["error: PROVIDER refuses: invalid_grant"],
    );
    check(
        &|script| {
            vec![
                (200, provider(script)),
                (200, code()),
                (200, json!({ "id_token": "ID" })),
                (401, json!({ "detail": "this needs a login" })),
            ]
        },
        expect![[r#"
            error: this needs a login
              the provider knows you, but the proxy takes none of its tokens for this client: see `audiences` in its [[issuer]]"#]],
    );
    // Without flags, an API that names no provider.
    let script = Script::new(&[(200, json!({ "issuer": null })), (404, json!({}))]);
    expect![[r#"
        error: the API names no provider to log in with
          name one with --issuer-url and --client-id, or use --user NAME"#]]
    .assert_eq(&script.run(&["login"]).unwrap_err().to_string());
    expect![[r#"
        error: the API names no provider to log in with
          name one with --issuer-url and --client-id, or use --user NAME"#]]
    .assert_eq(&script.run(&["login"]).unwrap_err().to_string());
}
