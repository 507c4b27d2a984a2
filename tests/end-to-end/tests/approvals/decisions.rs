//! Who may decide, how many must, and how a decision is told.

use end_to_end::frames::{Batch, first_column, sequence};
use end_to_end::portcullis::{ADMIN, ANA, BOT, DEVELOPER, User};
use end_to_end::{Login, Setup, cluster};
use serde_json::{Value, json};

use super::{
    HOLD, HOLD_BRIEFLY, LEA, LEO, RAN_ONCE, REASON, RISKY, ROBOT, SAM, UNTOUCHED, approval, ask,
    complaint, decide, ended, goes_on, grant, held, holding, pending, total,
};

#[tokio::test]
async fn what_is_granted_runs_once_with_its_own_answer() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    for (round, returning) in ["", " RETURNING id"].into_iter().enumerate() {
        let statement = format!("{RISKY}{returning}");
        let told = ask(&mut session, Batch::new().query(&statement)).await;
        assert!(told.message.ends_with(REASON), "{told:?}");
        assert!(told.detail.contains("Members of leads may release it within "), "{told:?}");
        assert!(told.hint.contains(&format!("portcullis approval grant {}", told.id)), "{told:?}");
        let runs = i32::try_from(round).expect("small");
        assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20 * runs, "it has not run");
        grant(&portcullis, &told.id).await;
        let answer = session.until_ready().await;
        let expected =
            if returning.is_empty() { "C:UPDATE 20 Z:I" } else { "T D*20 C:UPDATE 20 Z:I" };
        assert_eq!(sequence(&answer), expected);
        assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20 * (runs + 1));
        assert_eq!(approval(&portcullis, &told.id).await["state"], "granted");
    }
    goes_on(&mut session).await;
}

#[tokio::test]
async fn what_is_refused_or_expires_is_an_ordinary_error() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD)
        .policy("20-brief.toml", "sql_guard.wasm", HOLD_BRIEFLY)
        .start()
        .await;
    let mut session = portcullis.session(DEVELOPER).await;
    for (comment, said) in
        [(None, "refused by lea"), (Some("not today"), "refused by lea: not today")]
    {
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        let body = json!({ "comment": comment });
        let (status, view) = decide(&portcullis, LEA, &told.id, "refuse", body).await;
        assert_eq!((status, &view["state"]), (200, &json!("refused")));
        let answer = session.until_ready().await;
        assert_eq!(sequence(&answer), "E:42501 Z:I");
        let (_, message, detail) = complaint(&answer).expect("an error");
        assert_eq!(message, "the statement was not released");
        assert_eq!(detail, format!("approval {}: {said}", told.id));
        goes_on(&mut session).await;
    }
    let told = ask(&mut session, Batch::new().query("TRUNCATE scratch")).await;
    let answer = session.until_ready().await;
    assert_eq!(sequence(&answer), "E:57014 Z:I");
    let (_, message, detail) = complaint(&answer).expect("an error");
    assert_eq!(message, "nobody released the statement in time");
    assert_eq!(detail, format!("approval {}: expired", told.id));
    ended(&portcullis, &told.id, "expired").await;
    // Whoever comes now comes too late.
    for decision in ["grant", "refuse"] {
        let (status, said) = decide(&portcullis, LEA, &told.id, decision, json!({})).await;
        assert_eq!(status, 409, "{said:#}");
    }
    goes_on(&mut session).await;
    assert_eq!(total(&database).await, UNTOUCHED);
    // What is granted in time runs.
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

/// Somebody who may not decide, the status, and what the answer says.
const NOT_THEY: [(User, u16, &str); 6] = [
    (DEVELOPER, 403, ""),
    (ANA, 403, ""),
    (BOT, 403, ""),
    (ROBOT, 403, "only people release statements"),
    (SAM, 403, "you are in none of the groups that may release it"),
    (ADMIN, 403, "you are in none of the groups that may release it"),
];

#[tokio::test]
async fn only_people_of_the_groups_named_decide() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    for decision in ["grant", "refuse"] {
        for (who, expected, part) in NOT_THEY {
            let (status, said) = decide(&portcullis, who, &told.id, decision, json!({})).await;
            assert_eq!(status, expected, "{} {decision}: {said:#}", who.name);
            assert!(said.to_string().contains(part), "{} {decision}: {said:#}", who.name);
        }
        let path = format!("/v1/approvals/{}/{decision}", told.id);
        let (status, _) = portcullis.api_as(Login::Nobody, "POST", &path, Some(json!({}))).await;
        assert_eq!(status, 401, "{decision} by nobody");
        let wrong = Login::Basic { name: LEA.name, password: "wrong" };
        let (status, _) = portcullis.api_as(wrong, "POST", &path, Some(json!({}))).await;
        assert_eq!(status, 401, "{decision} with a wrong password");
    }
    let (status, _) = decide(&portcullis, LEA, "00000000", "grant", json!({})).await;
    assert_eq!(status, 404);
    assert_eq!(pending(&portcullis).await.len(), 1, "it still waits");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

/// Nobody's group makes the own statement somebody else's.
#[tokio::test]
async fn nobody_releases_their_own_statement() {
    let portcullis = held().await;
    // In a second session, too: it is the person that counts.
    let mut session = portcullis.session(LEA).await;
    let _second = portcullis.session(LEA).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    for decision in ["grant", "refuse"] {
        let (status, said) = decide(&portcullis, LEA, &told.id, decision, json!({})).await;
        assert_eq!(status, 403, "{decision}: {said:#}");
        assert!(said.to_string().contains("nobody releases their own statement"), "{said:#}");
    }
    let output = portcullis.cli_as(LEA, &["approval", "grant", &told.id]).await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(total(portcullis.database()).await, UNTOUCHED);
    let (status, _) = decide(&portcullis, LEO, &told.id, "grant", json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

#[tokio::test]
async fn the_human_an_agent_acts_for_releases_nothing_unless_a_policy_says_so() {
    let database = cluster().await.database().await;
    let allowed = format!("{HOLD}[approval]\nacted_for_may_release = true\n");
    for (policy, may) in [(HOLD, false), (allowed.as_str(), true)] {
        let acting = |setup: Setup| setup.user_line(BOT, "acts_for = \"lea\"");
        let portcullis = acting(holding(&database, policy)).start().await;
        let mut session = portcullis.session(BOT).await;
        let update = "UPDATE scratch SET word = 'by a bot' WHERE id = 3";
        let told = ask(&mut session, Batch::new().query(update)).await;
        let view = approval(&portcullis, &told.id).await;
        assert_eq!((&view["kind"], &view["on_behalf_of"]), (&json!("agent"), &json!("lea")));
        let (status, said) = decide(&portcullis, LEA, &told.id, "grant", json!({})).await;
        assert_eq!(status == 200, may, "{said:#}");
        if !may {
            assert!(said.to_string().contains("the agent acts for you"), "{said:#}");
            let (status, _) = decide(&portcullis, LEO, &told.id, "grant", json!({})).await;
            assert_eq!(status, 200);
        }
        assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 1 Z:I");
    }
}

const QUORUM: &str = "[settings]
unbounded_writes = \"approve\"
[settings.approval]
approvers = [\"leads\", \"security\"]
approvals_needed = 2
";

#[tokio::test]
async fn two_must_grant_where_a_policy_asks_for_two() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, QUORUM).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    assert!(told.detail.contains("Members of leads, security may release it"), "{told:?}");
    let say = async |who: User| decide(&portcullis, who, &told.id, "grant", json!({})).await;
    let (status, view) = say(LEA).await;
    assert_eq!((status, &view["state"], &view["granted"]), (200, &json!("pending"), &json!(1)));
    let (status, said) = say(LEA).await;
    assert_eq!(status, 409, "{said:#}");
    assert!(said.to_string().contains("you have granted it already"), "{said:#}");
    assert_eq!(total(&database).await, UNTOUCHED);
    let (status, view) = say(SAM).await;
    assert_eq!((status, &view["state"]), (200, &json!("granted")));
    let by: Vec<&Value> =
        view["granted_by"].as_array().expect("a list").iter().map(|said| &said["by"]).collect();
    assert_eq!(by, ["lea", "sam"]);
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    // After one grant, one refusal still ends it.
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    decide(&portcullis, LEA, &told.id, "grant", json!({})).await;
    decide(&portcullis, LEO, &told.id, "refuse", json!({})).await;
    assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I");
    assert_eq!(total(&database).await, RAN_ONCE);
}

/// Whoever is first counts; the other is told that it is over. It runs once or not at all.
#[tokio::test]
async fn of_two_who_decide_at_once_one_counts() {
    let portcullis = held().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let mut ran = 0;
    for round in 0..12 {
        let second = if round % 2 == 0 { "grant" } else { "refuse" };
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        let (one, other) = tokio::join!(
            decide(&portcullis, LEA, &told.id, "grant", json!({})),
            decide(&portcullis, LEO, &told.id, second, json!({}))
        );
        let mut statuses = [one.0, other.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{one:?} {other:?}");
        let granted = one.0 == 200 || second == "grant";
        let answer = session.until_ready().await;
        assert_eq!(sequence(&answer), if granted { "C:UPDATE 20 Z:I" } else { "E:42501 Z:I" });
        ran += i32::from(granted);
        let view = approval(&portcullis, &told.id).await;
        let counted = view["granted_by"].as_array().map_or(0, Vec::len);
        assert_eq!(counted, usize::from(granted), "{view:#}");
    }
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20 * ran);
}

/// Two grants at once make a quorum of two: both count, and it runs once.
#[tokio::test]
async fn two_who_grant_at_once_are_two() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, QUORUM).start().await;
    let mut session = portcullis.session(DEVELOPER).await;
    for _ in 0..5 {
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        let (one, other) = tokio::join!(
            decide(&portcullis, LEA, &told.id, "grant", json!({})),
            decide(&portcullis, LEO, &told.id, "grant", json!({}))
        );
        assert_eq!((one.0, other.0), (200, 200));
        assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    }
    assert_eq!(total(&database).await, UNTOUCHED + 100);
}

/// Where nobody can be asked, nothing waits.
#[tokio::test]
async fn more_than_may_wait_are_refused_at_once() {
    let database = cluster().await.database().await;
    let portcullis = holding(&database, HOLD).section("[approvals]\nwaiting_max = 2").start().await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let mut session = portcullis.session(DEVELOPER).await;
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        sessions.push((session, told));
    }
    let mut third = portcullis.session(DEVELOPER).await;
    let answer = third.query(RISKY).await;
    assert_eq!(sequence(&answer), "E:42501 Z:I");
    let (_, message, _) = complaint(&answer).expect("an error");
    assert!(message.contains(REASON) && message.contains("needs approval, and"), "{message}");
    goes_on(&mut third).await;
    // Once one is over there is room again.
    let (mut first, told) = sessions.swap_remove(0);
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&first.until_ready().await), "C:UPDATE 20 Z:I");
    let told =
        ask(&mut third, Batch::new().query("UPDATE scratch SET word = 'w' RETURNING 'x'")).await;
    grant(&portcullis, &told.id).await;
    assert_eq!(first_column(&third.until_ready().await).len(), 20);
}
