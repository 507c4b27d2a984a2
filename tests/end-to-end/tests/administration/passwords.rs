//! Short-lived passwords: issued, listed, used, taken back.

use end_to_end::frames::{Session, sequence, sqlstate_of};
use end_to_end::portcullis::{ADMIN, ANA, BOT, DATABASE};
use end_to_end::waiting::SOON;
use end_to_end::{Login, Portcullis, Setup, cluster, wait_until};
use serde_json::{Value, json};

use super::{changes, told};

async fn start() -> Portcullis {
    let database = cluster().await.database().await;
    Setup::new(&database).unmatched("allow").roles().start().await
}

async fn ids<'a>(portcullis: &Portcullis, login: impl Into<Login<'a>>) -> Vec<Value> {
    let (status, answer) = portcullis.api_as(login, "GET", "/v1/credentials", None).await;
    assert_eq!(status, 200, "{answer}");
    assert!(!answer.to_string().contains("password"), "shown once: {answer}");
    let listed = answer["credentials"].as_array().expect("a list");
    listed.iter().map(|credential| credential["id"].clone()).collect()
}

#[tokio::test]
async fn a_password_is_shown_once_and_logs_in_until_revoked() {
    let portcullis = start().await;
    let wish = Some(json!({ "database": DATABASE, "minutes": 30 }));
    let (status, issued) = portcullis.api_as(ANA, "POST", "/v1/credentials", wish).await;
    assert_eq!((status, &issued["database"]), (201, &json!(DATABASE)), "{issued}");
    let text = |name: &str| issued[name].as_str().expect("text").to_owned();
    let (id, user, password) = (text("id"), text("user"), text("password"));
    assert!(user.starts_with("pc_") && password.len() >= 26, "{user}, {password}");

    let mut psql = portcullis.psql_with(&[], &[("PGUSER", &user), ("PGPASSWORD", &password)]);
    psql.wait_for("shop=> ").await;
    psql.type_line("SELECT 6 * 7 AS answer;");
    assert!(psql.wait_for("(1 row)").await.contains(" 42\n"));
    let (_, answer) = portcullis.api("GET", "/v1/sessions", None).await;
    let session = &answer["sessions"][0];
    let said = [&session["subject"], &session["proof"], &session["groups"]];
    assert_eq!(said, [&json!("ana"), &json!("credential"), &json!(["analysts"])]);
    assert_eq!(session["expires_at"], issued["expires_at"]);

    assert_eq!(ids(&portcullis, ANA).await, [json!(id)]);
    assert_eq!(ids(&portcullis, ADMIN).await, [json!(id)], "administrators see everybody's");
    assert_eq!(ids(&portcullis, BOT).await, Vec::<Value>::new());
    let path = format!("/v1/credentials/{id}");
    assert_eq!(portcullis.api_as(BOT, "DELETE", &path, None).await.0, 404, "nobody else's");
    assert_eq!(portcullis.api_as(ANA, "DELETE", &path, None).await.0, 200);
    wait_until("its session has ended", SOON, async || {
        let (_, answer) = portcullis.api("GET", "/v1/sessions", None).await;
        (answer["sessions"] == json!([])).then_some(())
    })
    .await;
    psql.type_line("SELECT 1;");
    psql.wait_for("your short-lived password has been revoked").await;
    let mut again = Session::connect(portcullis.address()).await;
    let parameters = [("user", user.as_str()), ("database", DATABASE)];
    let refused = again.try_login(&password, &parameters).await;
    assert_eq!(sqlstate_of(&refused).as_deref(), Some("28P01"), "{}", sequence(&refused));
    let by_ana = changes(&portcullis, ANA.name, 2).await;
    let expected = [("issue-credential", false), ("revoke-credential", false)];
    assert_eq!(by_ana.iter().map(told).collect::<Vec<_>>(), expected);
    let by_bot = changes(&portcullis, BOT.name, 1).await;
    assert_eq!(by_bot.iter().map(told).collect::<Vec<_>>(), [("revoke-credential", true)]);
    assert!(!portcullis.ledger().text().contains(&password), "secrets are not recorded");
    assert!(!portcullis.log().contains(&password), "nor logged");
}

#[tokio::test]
async fn a_password_is_good_for_what_was_asked_and_no_more() {
    let database = cluster().await.database().await;
    let line = "[credentials]\nlifetime_minutes_max = 10";
    let setup = Setup::new(&database).unmatched("allow").roles().section(line);
    let setup = setup.user_line(BOT, "databases = [\"shop\"]");
    let portcullis = setup.start().await;
    let check = async |login: Login<'_>, database: &str, minutes: u32, expected: u16| {
        let wish = Some(json!({ "database": database, "minutes": minutes }));
        let (status, answer) = portcullis.api_as(login, "POST", "/v1/credentials", wish).await;
        assert_eq!(status, expected, "{database} for {minutes}: {answer}");
        answer
    };
    let issued = check(ANA.into(), DATABASE, 10, 201).await;
    check(ANA.into(), DATABASE, 11, 422).await;
    check(ANA.into(), DATABASE, 0, 422).await;
    check(ANA.into(), "", 5, 400).await;
    check(BOT.into(), DATABASE, 5, 201).await;
    check(BOT.into(), "payroll", 5, 403).await;
    check(Login::Nobody, DATABASE, 5, 401).await;
    let text = |name: &str| issued[name].as_str().expect("text");
    let by_password = Login::Basic { name: text("user"), password: text("password") };
    // It opens the API too, but not the way to another one.
    let (status, who) = portcullis.api_as(by_password, "GET", "/v1/whoami", None).await;
    assert_eq!((status, &who["proof"]), (200, &json!("credential")), "{who}");
    check(by_password, DATABASE, 5, 403).await;
    let elsewhere = [("user", text("user")), ("database", "payroll")];
    let mut session = Session::connect(portcullis.address()).await;
    let refused = session.try_login(text("password"), &elsewhere).await;
    assert!(sqlstate_of(&refused).is_some(), "{}", sequence(&refused));
}

#[tokio::test]
async fn the_command_issues_lists_and_revokes() {
    let portcullis = start().await;
    let issue = ["credential", "issue", "--database", DATABASE, "--minutes", "5"];
    let output = portcullis.cli_as(ANA, &issue).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().last().expect("a line to copy");
    assert!(line.starts_with("  PGPASSWORD=") && line.contains("dbname=shop"), "{said}");
    let listed = portcullis.cli_as(ANA, &["credential", "list", "--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let id = listed["credentials"][0]["id"].as_str().expect("one");
    assert!(line.contains(&format!("user=pc_{id}")), "{said}");
    let shown = portcullis.cli_as(ANA, &["credential", "list"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.starts_with("ID") && shown.contains(id) && shown.contains("ana"), "{shown}");
    let output = portcullis.cli_as(ANA, &["credential", "revoke", id]).await;
    assert!(output.status.success(), "{output:?}");
    let shown = portcullis.cli_as(ANA, &["credential", "list"]).await;
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "no passwords live\n");
}

#[tokio::test]
async fn unknown_names_are_as_wrong_passwords() {
    let portcullis = start().await;
    let wish = Some(json!({ "database": DATABASE, "minutes": 5 }));
    let (_, issued) = portcullis.api_as(ANA, "POST", "/v1/credentials", wish).await;
    let user = issued["user"].as_str().expect("text");
    for name in [user, "pc_0000000000", "pc_", "ana"] {
        let mut session = Session::connect(portcullis.address()).await;
        let refused = session.try_login("guess", &[("user", name), ("database", DATABASE)]).await;
        assert_eq!(sequence(&refused), "R R E:28P01", "{name}");
    }
}
