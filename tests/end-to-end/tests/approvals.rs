//! Statements that wait for people: what clients see meanwhile and afterwards, who may decide,
//! what a decision covers, and what is on record of it.

mod clients;
mod crowd;
mod decisions;
mod grants;
mod leases;
mod pipelines;
mod policies;
mod records;
mod transactions;

use end_to_end::frames::{Batch, Message, Session, error_of, sequence};
use end_to_end::portcullis::User;
use end_to_end::waiting::SOON;
use end_to_end::{Database, Portcullis, Setup, cluster, wait_until};
use serde_json::{Value, json};

/// They release what waits.
const LEA: User = User { name: "lea", kind: "human", groups: &["leads"] };
const LEO: User = User { name: "leo", kind: "human", groups: &["leads"] };
/// In another group that may be named beside it.
const SAM: User = User { name: "sam", kind: "human", groups: &["security"] };
/// A program that somebody put into the group.
const ROBOT: User = User { name: "robot", kind: "service", groups: &["leads"] };

/// Writes that reach every row wait for a lead.
const HOLD: &str = "[settings]
unbounded_writes = \"approve\"
destructive_ddl = \"allow\"
[settings.approval]
approvers = [\"leads\"]
";

/// The same, and a lead may let the like of it pass for a while.
const HOLD_OR_LEASE: &str = "[settings]
unbounded_writes = \"approve\"
destructive_ddl = \"allow\"
[settings.approval]
approvers = [\"leads\"]
[approval]
lease_minutes_max = 30
";

/// What destroys waits too, but only for a moment.
const HOLD_BRIEFLY: &str = "[settings]
unbounded_writes = \"allow\"
destructive_ddl = \"approve\"
[settings.agents]
unbounded_writes = \"allow\"
[settings.approval]
approvers = [\"leads\"]
expires_in_seconds = 2
";

/// Held. It shows how often it ran: [`total`] grows by 20.
const RISKY: &str = "UPDATE scratch SET amount = amount + 1";
const REASON: &str = "UPDATE without an effective WHERE would reach every row of public.scratch";
/// The sum of all amounts at the start.
const UNTOUCHED: i32 = 315;
const RAN_ONCE: i32 = UNTOUCHED + 20;

/// A guardrail that holds, and people who may release.
fn holding(database: &Database, policy: &str) -> Setup {
    [LEA, LEO, SAM, ROBOT]
        .into_iter()
        .fold(Setup::new(database), Setup::user)
        .roles()
        .unmatched("allow")
        .policy("10-guard.toml", "sql_guard.wasm", policy)
}

async fn held() -> Portcullis {
    let database = cluster().await.database().await;
    holding(&database, HOLD).start().await
}

/// What a client is told while its statement waits.
#[derive(Debug)]
struct Told {
    id: String,
    message: String,
    detail: String,
    hint: String,
}

impl Told {
    fn of(notice: &Message) -> Option<Told> {
        let field = |code: u8| notice.field(code).unwrap_or_default();
        let message = field(b'M');
        let rest = message.strip_prefix("this statement waits for approval ")?;
        let id = rest.split(':').next()?.to_owned();
        Some(Told { id, message, detail: field(b'D'), hint: field(b'H') })
    }
}

/// Reads up to the notice that something waits; what came before it is given too.
async fn until_held(session: &mut Session) -> (Vec<Message>, Told) {
    let mut before = Vec::new();
    while let Some(message) = session.message().await {
        if let Some(told) = Some(&message).filter(|m| m.tag == b'N').and_then(Told::of) {
            return (before, told);
        }
        before.push(message);
        let seen = sequence(&before);
        assert!(!seen.contains("Z:"), "nothing waits: {seen} {:?}", complaint(&before));
    }
    panic!("the session ended: {}", sequence(&before));
}

/// Sends what will be held, and gives what it waits for.
async fn ask(session: &mut Session, batch: Batch) -> Told {
    session.send(batch.bytes()).await;
    until_held(session).await.1
}

/// The error's code, sentence and detail.
fn complaint(messages: &[Message]) -> Option<(String, String, String)> {
    let error = error_of(messages)?;
    let field = |code: u8| error.field(code).unwrap_or_default();
    Some((field(b'C'), field(b'M'), field(b'D')))
}

/// Decides as `who` by the API: "grant" or "refuse".
async fn decide(
    portcullis: &Portcullis,
    who: User,
    id: &str,
    decision: &str,
    body: Value,
) -> (u16, Value) {
    let path = format!("/v1/approvals/{id}/{decision}");
    portcullis.api_as(who, "POST", &path, Some(body)).await
}

/// Grants it, which must be enough.
async fn grant(portcullis: &Portcullis, id: &str) {
    let (status, said) = decide(portcullis, LEA, id, "grant", json!({})).await;
    assert_eq!((status, &said["state"]), (200, &json!("granted")), "{said:#}");
}

/// Everything about one approval, as the administrator sees it.
async fn approval(portcullis: &Portcullis, id: &str) -> Value {
    let (status, said) = portcullis.api("GET", &format!("/v1/approvals/{id}"), None).await;
    assert_eq!(status, 200, "{said:#}");
    said
}

/// Waits until it has ended so.
async fn ended(portcullis: &Portcullis, id: &str, state: &str) -> Value {
    wait_until(&format!("{id} is {state}"), SOON, async || {
        let said = approval(portcullis, id).await;
        (said["state"] == state).then_some(said)
    })
    .await
}

/// What waits.
async fn pending(portcullis: &Portcullis) -> Vec<Value> {
    let (status, said) = portcullis.api("GET", "/v1/approvals", None).await;
    assert_eq!(status, 200, "{said:#}");
    let all = said["approvals"].as_array().expect("a list").clone();
    all.into_iter().filter(|approval| approval["state"] == "pending").collect()
}

/// How often the risky statement ran shows here.
async fn total(database: &Database) -> i32 {
    let client = database.superuser().await;
    let sum = client.query_one("SELECT coalesce(sum(amount), 0)::int FROM scratch", &[]).await;
    sum.expect("it can be read").get(0)
}

/// The session goes on as if nothing had been.
async fn goes_on(session: &mut Session) {
    let answer = session.query("SELECT 'on'").await;
    assert_eq!(sequence(&answer), "T D*1 C:SELECT 1 Z:I");
}
