//! `portcullis approval`.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::show::{self, field, list, moment, quoted, relative, seconds, table, text};
use crate::cli::Approval;

/// Does what was asked; the answer as JSON, and as people read it.
pub fn run(api: &Api, command: &Approval, now: i64) -> Result<(Value, String), Failure> {
    match command {
        Approval::List { all } => {
            let mut answer = api.get(&["v1", "approvals"])?;
            if !all {
                keep_pending(&mut answer);
            }
            let shown = listed(&answer, now);
            Ok((answer, shown))
        }
        Approval::Show { id } => {
            let answer = api.get(&["v1", "approvals", id])?;
            let shown = details(&answer, now);
            Ok((answer, shown))
        }
        Approval::Grant { id, comment, lease_minutes } => {
            let lease_seconds = lease_minutes.map(|minutes| minutes.saturating_mul(60));
            let body = json!({ "comment": comment, "lease_seconds": lease_seconds });
            let answer = decide(api, id, "grant", body)?;
            let shown = granted(&answer);
            Ok((answer, shown))
        }
        Approval::Refuse { id, comment } => {
            let answer = decide(api, id, "refuse", json!({ "comment": comment }))?;
            let shown = format!("{}: refused; it will not run\n", show::line(&answer, "id"));
            Ok((answer, shown))
        }
        Approval::Leases => {
            let answer = api.get(&["v1", "leases"])?;
            let shown = leases(&answer, now);
            Ok((answer, shown))
        }
        Approval::Revoke { id } => {
            let answer = api.send(Method::DELETE, &["v1", "leases", id], None)?;
            Ok((answer, format!("the lease {} is taken back\n", show::one(id))))
        }
    }
}

fn decide(api: &Api, id: &str, decision: &str, body: Value) -> Result<Value, Failure> {
    api.send(Method::POST, &["v1", "approvals", id, decision], Some(without_nulls(body)))
}

/// What was not said is left out.
fn without_nulls(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    body
}

fn is_pending(view: &Value) -> bool {
    view.get("state").and_then(Value::as_str) == Some("pending")
}

fn keep_pending(answer: &mut Value) {
    if let Some(approvals) = answer.get_mut("approvals").and_then(Value::as_array_mut) {
        approvals.retain(is_pending);
    }
}

/// One grant may not be enough.
fn granted(answer: &Value) -> String {
    let id = show::line(answer, "id");
    if is_pending(answer) {
        let (so_far, needed) =
            (show::line(answer, "granted"), show::line(answer, "approvals_needed"));
        return format!(
            "{id}: your grant counts, {so_far} of {needed}; others must grant it too\n"
        );
    }
    format!("{id}: granted; it runs now\n")
}

fn listed(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "approvals")
        .iter()
        .map(|view| {
            let until = match is_pending(view) {
                true => relative(seconds(view, "expires_at"), now),
                false => {
                    format!("{} {}", text(view, "state"), relative(seconds(view, "ended_at"), now))
                }
            };
            vec![
                text(view, "id"),
                whose(view),
                text(view, "database"),
                text(view, "command"),
                until,
                text(view, "approvers"),
                text(view, "reason"),
            ]
        })
        .collect();
    let headings = ["ID", "WHO", "DATABASE", "COMMAND", "EXPIRES", "APPROVERS", "WHY IT WAITS"];
    table(&headings, &rows, "nothing waits for a decision")
}

/// "reporting-agent for ana".
fn whose(view: &Value) -> String {
    let acts_for = text(view, "on_behalf_of");
    let subject = text(view, "subject");
    if acts_for.is_empty() { subject } else { format!("{subject} for {acts_for}") }
}

fn details(view: &Value, now: i64) -> String {
    let id = show::line(view, "id");
    let mut shown = format!("{id}: {}\n", show::line(view, "state"));
    shown.push_str(&field("ended", &moment(seconds(view, "ended_at"), now)));
    shown.push_str(&quoted("because", &text(view, "ended_because")));
    shown.push_str(&who(view));
    shown.push_str(&statement(view));
    shown.push_str(&field("held by", &text(view, "policies")));
    shown.push_str(&quoted("because", &text(view, "reason")));
    let needed = format!("{} of {}", text(view, "approvals_needed"), text(view, "approvers"));
    shown.push_str(&field("needs", &needed));
    for said in list(view, "granted_by") {
        let when = relative(seconds(said, "at"), now);
        let by = format!("{}, proved by {}, {when}", text(said, "by"), text(said, "proof"));
        shown.push_str(&field("granted by", &by));
        shown.push_str(&quoted("comment", &text(said, "comment")));
    }
    shown.push_str(&field("asked", &moment(seconds(view, "asked_at"), now)));
    if is_pending(view) {
        shown.push_str(&field("expires", &moment(seconds(view, "expires_at"), now)));
        shown.push_str(&what_to_do(&id, view));
    }
    shown
}

fn who(view: &Value) -> String {
    let mut person = text(view, "subject");
    let kind = text(view, "kind");
    if kind != "human" {
        person.push_str(&format!(", {kind}"));
    }
    let acts_for = text(view, "on_behalf_of");
    if !acts_for.is_empty() {
        person.push_str(&format!(", acting for {acts_for}"));
    }
    person.push_str(&format!(", proved by {}", text(view, "proof")));
    [
        field("who", &person),
        field("groups", &text(view, "groups")),
        field("from", &text(view, "client_address")),
        field("application", &text(view, "application")),
        field("database", &text(view, "database")),
        field("session", &text(view, "session")),
    ]
    .concat()
}

fn statement(view: &Value) -> String {
    let mut shown = field("command", &text(view, "command"));
    shown.push_str(&quoted("statement", &text(view, "text")));
    let mut label = "touches";
    for relation in list(view, "relations") {
        shown.push_str(&field(label, &touched(relation)));
        label = "";
    }
    if let Some(rows) = view.get("rows_estimated").and_then(Value::as_u64) {
        shown.push_str(&field("rows", &format!("about {rows}, by the plan")));
    }
    if view.get("in_transaction").and_then(Value::as_bool) == Some(true) {
        shown.push_str(&field("transaction", "open: its locks are held while this waits"));
    }
    let mut label = "before it";
    for earlier in list(view, "earlier") {
        shown.push_str(&quoted(label, earlier.as_str().unwrap_or_default()));
        label = "";
    }
    shown
}

/// Lines to copy.
fn what_to_do(id: &str, view: &Value) -> String {
    let lease = view.get("lease_seconds_max").and_then(Value::as_u64).unwrap_or_default();
    let lease = match lease / 60 {
        0 => String::new(),
        minutes => format!("   (--lease-minutes, up to {minutes}: also for its like)"),
    };
    format!(
        "\n  portcullis approval grant {id}{lease}\n  portcullis approval refuse {id} --comment \"…\"\n"
    )
}

/// "write public.users (email)".
fn touched(relation: &Value) -> String {
    let columns = text(relation, "columns");
    let labels = text(relation, "labels");
    let mut touched = format!("{} {}", text(relation, "access"), text(relation, "name"));
    if !columns.is_empty() {
        touched.push_str(&format!(" ({columns})"));
    }
    if !labels.is_empty() {
        touched.push_str(&format!(", labelled {labels}"));
    }
    touched
}

fn leases(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "leases")
        .iter()
        .map(|lease| {
            vec![
                text(lease, "id"),
                text(lease, "subject"),
                text(lease, "database"),
                relative(seconds(lease, "until"), now),
                text(lease, "granted_by"),
                text(lease, "fingerprint"),
            ]
        })
        .collect();
    let headings = ["LEASE", "WHO", "DATABASE", "EXPIRES", "GRANTED BY", "SHAPE"];
    table(&headings, &rows, "no leases")
}
