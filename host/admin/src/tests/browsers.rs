//! What other sites, other browsers and old cookies cannot do.

use super::http::{Answer, Ask};
use super::stage::{Stage, password};

#[test]
fn pages_forbid_what_browsers_could_do_wrong() {
    let stage = Stage::new();
    for path in ["/", "/sign-in", "/login/unknown", "/approve/x", "/v1/whoami", "/metrics", "/none"]
    {
        let answer = stage.ask(Ask::get(path));
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{path}: {policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.headers(name), [value], "{path}: {name}");
        }
        assert!(answer.headers("access-control-allow-origin").is_empty());
        assert!(!answer.body.contains("<script"), "{path}");
    }
}

#[test]
fn cookies_are_for_this_site_only() {
    let stage = Stage::new();
    let form = stage.ask(Ask::get("/sign-in"));
    let (mark, secret) = (form.mark(), password("ana"));
    let fields = [("mark", mark.as_str()), ("name", "ana"), ("password", secret.as_str())];
    let done = stage.ask(Ask::post("/sign-in").cookies(&form.cookies()).form(&fields));
    let set = done.headers("set-cookie");
    let session = set.iter().find(|line| line.starts_with("portcullis-session=")).unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(session.contains(part), "{session}");
    }
    assert!(!session.contains("Domain"), "{session}");
}

/// A login as the browser would send it, with one thing changed.
fn log_in(stage: &Stage, change: impl FnOnce(Ask) -> Ask, mark: Option<&str>) -> Answer {
    let form = stage.ask(Ask::get("/sign-in"));
    let own = form.mark();
    let secret = password("ana");
    let fields = [("mark", mark.unwrap_or(&own)), ("name", "ana"), ("password", secret.as_str())];
    let ask = Ask::post("/sign-in").cookies(&form.cookies()).form(&fields);
    stage.ask(change(ask))
}

#[test]
fn only_our_own_form_logs_in() {
    let stage = Stage::new();
    let address = stage.admin.address();
    let own = format!("http://{address}");
    let check = |name: &str, value: &str, status: u16| {
        let answer = log_in(&stage, |ask| ask.header(name, value), None);
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
    };
    check("Origin", &own, 200);
    check("Sec-Fetch-Site", "same-origin", 200);
    check("Sec-Fetch-Site", "cross-site", 403);
    check("Sec-Fetch-Site", "same-site", 403);
    check("Origin", "https://evil.example", 403);
    check("Origin", "null", 403);
    check("Origin", &format!("{own}.evil.example"), 403);
    let others = stage.ask(Ask::get("/sign-in")).mark();
    assert_eq!(log_in(&stage, |ask| ask, Some(&others)).status, 403, "another browser's form");
    assert_eq!(log_in(&stage, |ask| ask, Some("")).status, 403);
    let fields = [("mark", ""), ("name", "ana"), ("password", "x")];
    assert_eq!(stage.ask(Ask::post("/sign-in").form(&fields)).status, 403, "no cookie");
    assert!(stage.heard.take().is_empty(), "none of these was a login");
}

#[test]
fn the_api_is_not_for_other_sites() {
    let stage = Stage::new();
    let check = |name: &str, value: &str, status: u16| {
        let answer = stage.ask(Ask::post("/v1/reload").by("operator").header(name, value));
        assert_eq!(answer.status, status, "{name}: {value}");
    };
    check("Sec-Fetch-Site", "cross-site", 403);
    check("Origin", "https://evil.example", 403);
    check("Origin", "null", 403);
    check("Sec-Fetch-Site", "none", 200);
}

#[test]
fn a_name_of_another_site_is_not_ours() {
    let stage = Stage::with(|settings| {
        let url = crate::PublicUrl::parse("https://gate.example.com").unwrap();
        settings.public_url = Some(url);
    });
    let check = |host: &str, status: u16| {
        assert_eq!(stage.ask(Ask::get("/livez").host(host)).status, status, "{host}");
    };
    check("127.0.0.1:6480", 200);
    check("localhost", 200);
    check("[::1]:6480", 200);
    check("gate.example.com", 200);
    check("evil.example", 421);
    check("gate.example.com.evil.example", 421);
    check("127.0.0.1.evil.example:6480", 421);
    check("", 421);
}

#[test]
fn a_cookie_ends_with_its_login() {
    let stage = Stage::new();
    let front = |cookies: &[String]| stage.ask(Ask::get("/").cookies(cookies)).body;
    let cookies = stage.log_in("ana", "/");
    let page = stage.ask(Ask::get("/").cookies(&cookies));
    assert!(page.body.contains("ana"));
    let out = |mark: &str| {
        stage.ask(Ask::post("/sign-out").cookies(&cookies).form(&[("mark", mark)])).status
    };
    assert_eq!(out("x"), 403);
    assert!(front(&cookies).contains("ana"));
    assert_eq!(out(&page.mark()), 303);
    assert!(!front(&cookies).contains("ana"));
    let cookies = stage.log_in("ana", "/");
    let twice = [cookies[0].clone(), cookies[0].clone()];
    assert!(!front(&twice).contains("ana"), "two cookies of one name are none");
    let path = "/v1/principals/ana/disabled";
    assert_eq!(stage.ask(Ask::new("PUT", path).by("root")).status, 200);
    assert!(!front(&cookies).contains("ana"), "disabled meanwhile");
}

#[test]
fn a_failed_login_by_form_is_a_record_and_shows_no_more() {
    let stage = Stage::new();
    let form = stage.ask(Ask::get("/sign-in"));
    let mark = form.mark();
    let fields = [("mark", mark.as_str()), ("name", "<b>eve"), ("password", "x")];
    let answer = stage.ask(Ask::post("/sign-in").cookies(&form.cookies()).form(&fields));
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("The login failed") && !answer.body.contains("<b>"));
    assert!(format!("{:?}", stage.heard.take()).contains("LoginRefused"));
}

#[test]
fn a_login_that_waits_for_nobody_is_not_found() {
    let stage = Stage::new();
    let page = stage.ask(Ask::get("/login/AAAAAAAAAAAAAAAAAAAAAA"));
    assert!(page.status == 404 && page.body.contains("nothing waits here"), "{page:?}");
}
