//! Who may do what: all that the API offers, tried by everybody.

use std::collections::BTreeSet;

use end_to_end::portcullis::{DATABASE, PASSWORD};
use end_to_end::{Login, Portcullis, Setup, User, cluster, http};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{changes, told};

const STAFF: User = User { name: "sam", kind: "human", groups: &["staff"] };
const OPERATOR: User = User { name: "olga", kind: "human", groups: &["ops"] };
const APPROVER: User = User { name: "lee", kind: "human", groups: &["leads"] };
const ROOT: User = User { name: "rita", kind: "human", groups: &["root"] };
const NOBODY_MUCH: User = User { name: "nora", kind: "human", groups: &["guests"] };

const ROLES: &str = "roles = { viewer = [\"staff\"], operator = [\"ops\"], \
                     approver = [\"leads\"], administrator = [\"root\"] }";

/// One thing the API offers: as documented, as asked for here, what comes of it when it is
/// allowed, whose it is beside the administrator's, and its word in the ledger.
struct Offer {
    method: &'static str,
    path: &'static str,
    asked: &'static str,
    body: Option<Value>,
    done: u16,
    by: &'static [User],
    word: Option<&'static str>,
}

const ALL: &[User] = &[NOBODY_MUCH, STAFF, OPERATOR, APPROVER, ROOT];
const VIEWERS: &[User] = &[STAFF, OPERATOR, ROOT];
const OPERATORS: &[User] = &[OPERATOR, ROOT];
const APPROVERS: &[User] = &[APPROVER, ROOT];
const ROOTS: &[User] = &[ROOT];

fn offers() -> Vec<Offer> {
    let read = |path, by| Offer {
        method: "GET",
        path,
        asked: path,
        body: None,
        done: 200,
        by,
        word: None,
    };
    let change = |method, path, asked, done, by, word| Offer {
        method,
        path,
        asked,
        body: Some(json!({})),
        done,
        by,
        word: Some(word),
    };
    let wish = json!({ "database": DATABASE, "minutes": 5 });
    let disabled = "/v1/principals/{subject}/disabled";
    let subject = "/v1/principals/mallory/disabled";
    vec![
        read("/v1/whoami", ALL),
        read("/v1/openapi.json", ALL),
        read("/v1/sessions", VIEWERS),
        read("/v1/policies", VIEWERS),
        read("/v1/leases", &[STAFF, OPERATOR, APPROVER, ROOT]),
        read("/v1/approvals", APPROVERS),
        Offer {
            asked: "/v1/approvals/NOSUCH00",
            done: 404,
            ..read("/v1/approvals/{id}", APPROVERS)
        },
        read("/v1/credentials", ALL),
        read("/v1/principals/disabled", ROOTS),
        change("DELETE", "/v1/sessions/{id}", "/v1/sessions/4711", 404, OPERATORS, "end-session"),
        change(
            "POST",
            "/v1/approvals/{id}/grant",
            "/v1/approvals/NOSUCH00/grant",
            404,
            APPROVERS,
            "grant-approval",
        ),
        change(
            "POST",
            "/v1/approvals/{id}/refuse",
            "/v1/approvals/NOSUCH00/refuse",
            404,
            APPROVERS,
            "refuse-approval",
        ),
        change(
            "DELETE",
            "/v1/leases/{id}",
            "/v1/leases/NOSUCH00",
            404,
            &[OPERATOR, APPROVER, ROOT],
            "revoke-lease",
        ),
        change("POST", "/v1/reload", "/v1/reload", 200, OPERATORS, "reload"),
        Offer {
            body: Some(wish),
            ..change("POST", "/v1/credentials", "/v1/credentials", 201, ALL, "issue-credential")
        },
        change(
            "DELETE",
            "/v1/credentials/{id}",
            "/v1/credentials/nosuch",
            404,
            ALL,
            "revoke-credential",
        ),
        change("PUT", disabled, subject, 200, ROOTS, "disable-principal"),
        change("DELETE", disabled, subject, 200, ROOTS, "enable-principal"),
    ]
}

async fn start() -> Portcullis {
    let database = cluster().await.database().await;
    let mut setup = Setup::new(&database).unmatched("allow").admin_line(ROLES);
    for user in ALL {
        setup = setup.user(*user);
    }
    setup.start().await
}

/// What the API says it offers: methods and paths.
fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = ["get", "put", "post", "delete"];
    paths
        .iter()
        .flat_map(|(path, item)| {
            let offered = methods.iter().filter(|method| !item[**method].is_null());
            offered.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

#[tokio::test]
async fn everybody_may_what_their_roles_say() {
    let portcullis = start().await;
    let offers = offers();
    let (status, document) = portcullis.api_as(STAFF, "GET", "/v1/openapi.json", None).await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut documented = documented(&document);
    // For whoever has no login yet.
    assert!(documented.remove(&("GET".to_owned(), "/v1/login-options".to_owned())));
    let tried = offers.iter().map(|offer| (offer.method.to_owned(), offer.path.to_owned()));
    assert_eq!(documented, tried.collect(), "all that is offered is tried here");
    for user in ALL {
        let mut expected = Vec::new();
        for offer in &offers {
            let may = offer.by.iter().any(|allowed| allowed.name == user.name);
            let body = offer.body.clone();
            let (status, answer) = portcullis.api_as(*user, offer.method, offer.asked, body).await;
            let wanted = if may { offer.done } else { 403 };
            let what = format!("{} {} {}", user.name, offer.method, offer.asked);
            assert_eq!(status, wanted, "{what}: {answer}");
            expected.extend(offer.word.map(|word| (word, status >= 400)));
        }
        let records = changes(&portcullis, user.name, expected.len()).await;
        let said: Vec<(&str, bool)> = records.iter().map(told).collect();
        assert_eq!(said, expected, "{}", user.name);
        assert!(records.iter().all(|record| record["by"]["proof"] == "scram"), "{records:?}");
    }
    // Last, since who asks without a login makes this address wait.
    let mut expected = Vec::new();
    for offer in &offers {
        let body = offer.body.clone();
        let asked = portcullis.api_as(Login::Nobody, offer.method, offer.asked, body).await;
        assert_eq!(asked.0, 401, "{} {}: {}", offer.method, offer.asked, asked.1);
        expected.extend(offer.word.map(|word| (word, true)));
    }
    let records = changes(&portcullis, "", expected.len()).await;
    let said: Vec<(&str, bool)> = records.iter().map(told).collect();
    assert_eq!(said, expected);
    for path in ["/livez", "/readyz", "/metrics", "/v1/login-options"] {
        assert_eq!(portcullis.api_as(Login::Nobody, "GET", path, None).await.0, 200, "{path}");
    }
    assert_eq!(portcullis.api_as(Login::Nobody, "GET", "/v2/sessions", None).await.0, 404);
    assert_eq!(portcullis.api_as(Login::Nobody, "POST", "/metrics", None).await.0, 405);
}

#[tokio::test]
async fn other_sites_cause_nothing() {
    let portcullis = start().await;
    let url = format!("{}/v1/reload", portcullis.admin_url());
    let own = portcullis.admin_url();
    let check = async |header: (&str, &str), expected: u16| {
        let request = http::client(None).post(&url).basic_auth(ROOT.name, Some(PASSWORD));
        let answer = request.header(header.0, header.1).send().await.expect("it answers");
        assert_eq!(answer.status().as_u16(), expected, "{header:?}");
    };
    check(("origin", "https://evil.example"), 403).await;
    check(("origin", "null"), 403).await;
    check(("sec-fetch-site", "cross-site"), 403).await;
    check(("sec-fetch-site", "same-site"), 403).await;
    check(("host", "evil.example"), 421).await;
    check(("origin", &own), 200).await;
    check(("sec-fetch-site", "same-origin"), 200).await;
    let records = changes(&portcullis, ROOT.name, 2).await;
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), [("reload", false); 2]);
    let refused = changes(&portcullis, "", 4).await;
    assert_eq!(refused.iter().map(told).collect::<Vec<_>>(), [("reload", true); 4]);
    // A page of another site learns nothing either.
    let request = http::client(None).get(format!("{own}/v1/sessions"));
    let request = request.basic_auth(ROOT.name, Some(PASSWORD)).header("origin", "http://a.b");
    let answer = request.send().await.expect("it answers");
    assert_eq!(answer.status().as_u16(), 403);
    assert!(answer.headers().get("access-control-allow-origin").is_none());
}

/// Failures that cost nothing, and what the eighth costs.
const TRIES: usize = 8;
const EIGHTH_MILLISECONDS: u128 = 1_600;
const LONGEST_MILLISECONDS: u128 = 5_000;

#[tokio::test]
async fn guessing_is_slow_and_tells_nothing() {
    for name in [STAFF.name, "nobody_at_all"] {
        let portcullis = start().await;
        let mut answers = BTreeSet::new();
        let mut last = 0;
        for number in 0..TRIES {
            let password = format!("guess {number}");
            let login = Login::Basic { name, password: &password };
            let since = Instant::now();
            let (status, answer) = portcullis.api_as(login, "GET", "/v1/whoami", None).await;
            last = since.elapsed().as_millis();
            answers.insert((status, answer.to_string()));
        }
        assert!(last >= EIGHTH_MILLISECONDS, "{name}: {last} ms");
        let answers: Vec<_> = answers.into_iter().collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].0, 401);
        assert!(answers[0].1.contains("the login failed"), "{answers:?}");
        let refused = portcullis.ledger().of_kind("login-refused");
        assert_eq!(refused.len(), TRIES, "{refused:?}");
        for record in &refused {
            assert_eq!(record["role"], name);
            let reason = record["reason"].as_str().expect("a reason");
            assert!(reason.starts_with("admin API: "), "{reason}");
            assert!(!reason.contains("guess"), "{reason}");
        }
        // Whoever knows the password waits a little, and gets in.
        let since = Instant::now();
        assert_eq!(portcullis.api_as(STAFF, "GET", "/v1/whoami", None).await.0, 200);
        let waited = since.elapsed().as_millis();
        assert!(waited <= 2 * LONGEST_MILLISECONDS, "{waited} ms");
    }
}
