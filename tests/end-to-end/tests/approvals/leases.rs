//! Leases: one shape of one principal passes for a while; and the command line and the API, by
//! which approvals and leases are seen and decided.

use std::process::Output;

use end_to_end::frames::{Batch, sequence};
use end_to_end::portcullis::{ADMIN, ANA, DEVELOPER, User};
use end_to_end::{Login, Portcullis, cluster};
use serde_json::{Value, json};

use super::{
    HOLD_OR_LEASE, LEA, LEO, RISKY, UNTOUCHED, approval, ask, decide, goes_on, grant, held,
    holding, pending, total,
};

async fn leasing() -> Portcullis {
    let database = cluster().await.database().await;
    holding(&database, HOLD_OR_LEASE).start().await
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs it as `who`, and it must end with `code`.
async fn cli(portcullis: &Portcullis, who: User, words: &[&str], code: i32) -> Output {
    let output = portcullis.cli_as(who, words).await;
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}{}", out(&output), err(&output));
    output
}

#[tokio::test]
async fn a_lease_lets_the_same_shape_pass_until_it_is_revoked() {
    let portcullis = leasing().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    assert_eq!(approval(&portcullis, &told.id).await["lease_seconds_max"], 1800);
    let words =
        ["approval", "grant", told.id.as_str(), "--lease-minutes", "20", "--comment", "all day"];
    cli(&portcullis, LEA, &words, 0).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");

    // The same shape with other values, in another session, by another protocol: no question.
    let mut other = portcullis.session(DEVELOPER).await;
    let like = "update  scratch set amount = amount + 2 /* the same shape */";
    for batch in [Batch::new().query(like), Batch::new().run(RISKY).sync()] {
        let answer = other.exchange(batch).await;
        assert!(sequence(&answer).ends_with("C:UPDATE 20 Z:I"), "{}", sequence(&answer));
    }
    assert_eq!(total(portcullis.database()).await, UNTOUCHED + 20 + 40 + 20);

    // Another shape, two statements at once, and somebody else are asked.
    for text in ["UPDATE scratch SET amount = amount - 1", &format!("{RISKY}; SELECT 1")] {
        let told = ask(&mut other, Batch::new().query(text)).await;
        decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
        assert_eq!(sequence(&other.until_ready().await), "E:42501 Z:I", "{text}");
    }
    let mut ana = portcullis.session(ANA).await;
    let hers = ask(&mut ana, Batch::new().query(RISKY)).await;
    decide(&portcullis, LEA, &hers.id, "refuse", json!({})).await;
    assert_eq!(sequence(&ana.until_ready().await), "E:42501 Z:I");

    // It is seen.
    let (_, said) = portcullis.api("GET", "/v1/leases", None).await;
    let lease = &said["leases"][0];
    for (name, value) in [
        ("id", json!(told.id)),
        ("subject", json!("app")),
        ("database", json!("shop")),
        ("granted_by", json!(["lea"])),
        ("policies", json!(["10-guard"])),
    ] {
        assert_eq!(lease[name], value, "{said:#}");
    }
    let shown = out(&cli(&portcullis, LEA, &["approval", "leases"], 0).await);
    assert!(shown.contains(&told.id) && shown.contains("app") && shown.contains("lea"), "{shown}");

    // Revoked, it is nothing any more, from this moment on.
    cli(&portcullis, ANA, &["approval", "revoke", &told.id], 4).await;
    let shown = out(&cli(&portcullis, ADMIN, &["approval", "revoke", &told.id], 0).await);
    assert!(shown.contains(&format!("the lease {} is taken back", told.id)), "{shown}");
    let told = ask(&mut other, Batch::new().query(RISKY)).await;
    cli(&portcullis, ADMIN, &["approval", "revoke", &told.id], 5).await;
    let (_, said) = portcullis.api("GET", "/v1/leases", None).await;
    assert_eq!(said["leases"], json!([]));
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&other.until_ready().await), "C:UPDATE 20 Z:I");
}

/// A lease of so many seconds, and the status of the grant that asks for it.
const ASKED_FOR: [(u32, u16); 4] = [(1801, 422), (u32::MAX, 422), (1800, 200), (1, 200)];

#[tokio::test]
async fn a_lease_is_no_longer_than_its_policy_allows() {
    let portcullis = leasing().await;
    for (seconds, expected) in ASKED_FOR {
        let mut session = portcullis.session(DEVELOPER).await;
        let text = format!("UPDATE scratch SET amount = amount + 1 RETURNING id AS i{seconds}");
        let told = ask(&mut session, Batch::new().query(&text)).await;
        let body = json!({ "lease_seconds": seconds });
        let (status, said) = decide(&portcullis, LEA, &told.id, "grant", body).await;
        assert_eq!(status, expected, "{seconds}: {said:#}");
        if status != 200 {
            // It waits on; without the lease it is granted.
            grant(&portcullis, &told.id).await;
        }
        assert!(sequence(&session.until_ready().await).ends_with("C:UPDATE 20 Z:I"));
    }
    // Where a policy allows none there is none.
    let without = held().await;
    let mut session = without.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    assert_eq!(approval(&without, &told.id).await["lease_seconds_max"], 0);
    let (status, _) = decide(&without, LEA, &told.id, "grant", json!({ "lease_seconds": 1 })).await;
    assert_eq!(status, 422);
    cli(&without, LEO, &["approval", "grant", &told.id, "--lease-minutes", "1"], 1).await;
    grant(&without, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

/// A lease that ends is over without anybody's doing.
#[tokio::test]
async fn a_lease_ends_by_itself() {
    let portcullis = leasing().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let body = json!({ "lease_seconds": 2 });
    assert_eq!(decide(&portcullis, LEA, &told.id, "grant", body).await.0, 200);
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    let limit = end_to_end::waiting::SOON;
    end_to_end::wait_until("the lease is over", limit, async || {
        let (_, said) = portcullis.api("GET", "/v1/leases", None).await;
        said["leases"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

/// A lease is worth what the policy's rules are by now.
#[tokio::test]
async fn a_lease_gives_no_more_than_was_granted() {
    let portcullis = leasing().await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let body = json!({ "lease_seconds": 600 });
    assert_eq!(decide(&portcullis, LEA, &told.id, "grant", body).await.0, 200);
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    for (rules, answer) in [
        ("approvers = [\"leads\"]\napprovals_needed = 2\n", "held"),
        ("approvers = [\"leads\", \"security\"]\n", "C:UPDATE 20 Z:I"),
    ] {
        let file = format!(
            "plugin = \"sql_guard.wasm\"\n[settings]\nunbounded_writes = \"approve\"\n\
             [settings.approval]\n{rules}[approval]\nlease_minutes_max = 30\n"
        );
        let revision =
            async || portcullis.api("GET", "/v1/policies", None).await.1["revision"].as_u64();
        let before = revision().await;
        portcullis.replace("10-guard.toml", file);
        let limit = end_to_end::waiting::SOON;
        end_to_end::wait_until("the rules are in force", limit, async || {
            (revision().await > before).then_some(())
        })
        .await;
        if answer == "held" {
            let told = ask(&mut session, Batch::new().query(RISKY)).await;
            decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
            assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I", "{rules}");
        } else {
            assert_eq!(sequence(&session.query(RISKY).await), answer, "{rules}");
        }
    }
}

/// The command line shows, grants and refuses, and its exit codes say how that went.
#[tokio::test]
async fn the_command_line_shows_and_decides() {
    let portcullis = leasing().await;
    let shown = out(&cli(&portcullis, LEA, &["approval", "list"], 0).await);
    assert!(shown.contains("nothing waits for a decision"), "{shown}");
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let id = told.id.as_str();

    let shown = out(&cli(&portcullis, LEA, &["approval", "list"], 0).await);
    for part in [id, "app", "shop", "UPDATE", "leads", "every row of public.scratch"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let output = cli(&portcullis, LEA, &["approval", "list", "--json"], 0).await;
    let listed: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(listed["approvals"][0]["id"], id, "{listed:#}");
    let shown = out(&cli(&portcullis, LEA, &["approval", "show", id], 0).await);
    for part in [
        "UPDATE scratch SET amount = amount + $1",
        "proved by scram",
        "10-guard",
        "1 of leads",
        "--lease-minutes, up to 30",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // As people type it.
    let lower = id.to_lowercase();
    cli(&portcullis, LEA, &["approval", "show", &lower], 0).await;

    for (words, who, code, part) in [
        (["approval", "grant", "ZZZZZZZZ"], LEA, 5, ""),
        (["approval", "show", "nonsense!"], LEA, 5, ""),
        (["approval", "grant", id], ANA, 4, ""),
        (["approval", "refuse", id], ADMIN, 4, "you are in none of the groups"),
    ] {
        let output = cli(&portcullis, who, &words, code).await;
        assert!(err(&output).starts_with("error: ") && err(&output).contains(part), "{output:?}");
    }
    let nobody = portcullis.cli_as(Login::Nobody, &["approval", "list"]).await;
    assert_eq!(nobody.status.code(), Some(3), "{}", err(&nobody));
    assert_eq!(pending(&portcullis).await.len(), 1);

    let shown = out(&cli(&portcullis, LEA, &["approval", "grant", id], 0).await);
    assert!(shown.contains(&format!("{id}: granted; it runs now")), "{shown}");
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    cli(&portcullis, LEA, &["approval", "grant", id], 5).await;

    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let words = ["approval", "refuse", told.id.as_str(), "--comment", "use a WHERE"];
    let shown = out(&cli(&portcullis, LEO, &words, 0).await);
    assert!(shown.contains("refused; it will not run"), "{shown}");
    assert_eq!(sequence(&session.until_ready().await), "E:42501 Z:I");
    let all = out(&cli(&portcullis, LEA, &["approval", "list", "--all"], 0).await);
    assert!(all.contains("granted") && all.contains("refused"), "{all}");
    let shown = out(&cli(&portcullis, LEA, &["approval", "show", &told.id], 0).await);
    assert!(shown.contains("refused by leo: use a WHERE"), "{shown}");
    goes_on(&mut session).await;
}
