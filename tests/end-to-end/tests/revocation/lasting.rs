//! What an administrator has taken back stays so, over a restart too, until it is given again.

use end_to_end::portcullis::{ANA, BOT, DATABASE, PASSWORD};
use end_to_end::{Account, Login, Portcullis, Provider, Setup, User, Wanted, cluster};
use serde_json::{Value, json};

use super::sessions::{Arrival, Ended};

const HELPER: User = User { name: "helper", ..BOT };

async fn check(portcullis: &Portcullis, what: &str, arrival: &Arrival, may: bool) {
    let came = arrival.connect(portcullis, "somebody").await.map(drop);
    match came.map_err(Ended::by) {
        Ok(()) => assert!(may, "{what} came in"),
        Err(told) => {
            assert!(!may, "{what} may come: {told:?}");
            told.check_login_failed(what);
        }
    }
}

async fn issue<'a>(portcullis: &Portcullis, login: impl Into<Login<'a>>) -> (String, Arrival) {
    let wish = json!({ "database": DATABASE, "minutes": 30 });
    let (status, issued) = portcullis.api_as(login, "POST", "/v1/credentials", Some(wish)).await;
    assert_eq!(status, 201, "{issued}");
    let text = |name: &str| issued[name].as_str().expect("text");
    (text("id").to_owned(), Arrival::new(text("user"), text("password")))
}

async fn may_ask<'a>(portcullis: &Portcullis, login: impl Into<Login<'a>>) -> bool {
    let (status, answer) = portcullis.api_as(login, "GET", "/v1/whoami", None).await;
    assert!(status == 200 || status == 401, "{answer}");
    status == 200
}

#[tokio::test]
async fn who_is_disabled_stays_out_until_enabled() {
    let provider = Provider::start().await;
    provider.put(&Account::new("token_owner").groups(&["analysts"])).await;
    let token = provider.issue(&Wanted::by("token_owner")).await.access;
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).unmatched("allow").roles().tls();
    let mut portcullis = setup
        .issuer("corp", &provider, "")
        .login_rule("method = \"token\"\nissuer = \"corp\"\nusers = [\"token_*\"]")
        .login_rule("method = \"scram\"")
        .user(HELPER)
        .user_line(HELPER, "acts_for = \"ana\"")
        .start()
        .await;
    let (_, by_credential) = issue(&portcullis, ANA).await;
    let ways = [
        ("ana", ANA.into()),
        ("ana with a short-lived password", by_credential),
        ("an agent of hers", HELPER.into()),
        ("the owner of a token", Arrival::new("token_owner", &token)),
    ];
    let check_all = async |portcullis: &Portcullis, may: bool| {
        for (what, arrival) in &ways {
            check(portcullis, what, arrival, may).await;
        }
        assert_eq!(may_ask(portcullis, ANA).await, may);
        assert_eq!(may_ask(portcullis, HELPER).await, may);
        assert_eq!(may_ask(portcullis, Login::Bearer(&token)).await, may);
        check(portcullis, "somebody else", &BOT.into(), true).await;
    };
    check_all(&portcullis, true).await;
    for subject in ["ana", "token_owner"] {
        let path = format!("/v1/principals/{subject}/disabled");
        let body = Some(json!({ "reason": format!("{subject} left") }));
        let (status, answer) = portcullis.api("PUT", &path, body).await;
        assert_eq!(status, 200, "{answer}");
    }
    check_all(&portcullis, false).await;
    portcullis.restart().await;
    check_all(&portcullis, false).await;
    let (_, listed) = portcullis.api("GET", "/v1/principals/disabled", None).await;
    let listed = listed["principals"].as_array().expect("a list");
    let said = |entry: &Value| (entry["subject"].clone(), entry["reason"].clone());
    let mut said: Vec<(Value, Value)> = listed.iter().map(said).collect();
    said.sort_by_key(|(subject, _)| subject.to_string());
    let expected = [("ana", "ana left"), ("token_owner", "token_owner left")];
    assert_eq!(said, expected.map(|(subject, reason)| (json!(subject), json!(reason))));
    assert!(listed.iter().all(|entry| entry["by"] == "admin"), "{listed:?}");
    for subject in ["ana", "token_owner"] {
        let path = format!("/v1/principals/{subject}/disabled");
        assert_eq!(portcullis.api("DELETE", &path, None).await.0, 200);
        assert_eq!(portcullis.api("DELETE", &path, None).await.0, 404, "once is enough");
    }
    check_all(&portcullis, true).await;
    portcullis.restart().await;
    check_all(&portcullis, true).await;
}

#[tokio::test]
async fn short_lived_passwords_survive_a_restart_as_they_were() {
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).unmatched("allow").roles().tls();
    let mut portcullis = setup.start().await;
    let (kept_id, kept) = issue(&portcullis, ANA).await;
    let (revoked_id, revoked) = issue(&portcullis, ANA).await;
    check(&portcullis, "one to be revoked", &revoked, true).await;
    let path = format!("/v1/credentials/{revoked_id}");
    assert_eq!(portcullis.api_as(ANA, "DELETE", &path, None).await.0, 200);
    for restarted in [false, true] {
        if restarted {
            portcullis.restart().await;
        }
        check(&portcullis, "the one that is kept", &kept, true).await;
        check(&portcullis, "the one that is revoked", &revoked, false).await;
        let (_, listed) = portcullis.api_as(ANA, "GET", "/v1/credentials", None).await;
        let listed = listed["credentials"].as_array().expect("a list");
        let ids: Vec<&Value> = listed.iter().map(|credential| &credential["id"]).collect();
        assert_eq!(ids, [&json!(kept_id)]);
    }
    // Its own password is nowhere in what is kept.
    let state = std::fs::read(portcullis.state().join("state.db")).expect("it is there");
    let contains = |text: &str| state.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!contains(PASSWORD) && !contains(kept.password()));
}
