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
            let path = ["v1", "approvals"];
            let answer = if *all { api.get_with(&path, "all=true") } else { api.get(&path) }?;
            let shown = pending(&answer, now);
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

/// One grant may not be enough.
fn granted(answer: &Value) -> String {
    let id = show::line(answer, "id");
    if text(answer, "standing") == "pending" {
        let so_far = list(answer, "granted_by").len();
        let needed = text(answer, "approvals_needed");
        return format!("{id}: your grant counts; {so_far} of {needed}, others must grant it too\n");
    }
    format!("{id}: granted; it runs now\n")
}

fn pending(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "approvals")
        .iter()
        .map(|view| {
            let facts = view.get("facts").unwrap_or(&Value::Null);
            let who = view.get("who").unwrap_or(&Value::Null);
            let until = match text(view, "standing").as_str() {
                "pending" => relative(seconds(view, "expires_at"), now),
                ended => format!("{ended} {}", relative(seconds(view, "ended_at"), now)),
            };
            vec![
                text(view, "id"),
                text(who, "subject"),
                text(view, "database"),
                until,
                text(view, "approvers"),
                text(facts, "text"),
            ]
        })
        .collect();
    let headings = ["ID", "WHO", "DATABASE", "EXPIRES", "APPROVERS", "STATEMENT"];
    table(&headings, &rows, "nothing waits for a decision")
}

fn details(view: &Value, now: i64) -> String {
    let facts = view.get("facts").unwrap_or(&Value::Null);
    let who = view.get("who").unwrap_or(&Value::Null);
    let standing = text(view, "standing");
    let mut shown = format!("{}: {}\n", show::line(view, "id"), show::line(view, "standing"));
    shown.push_str(&field("ended", &text(view, "ended_because")));
    shown.push_str(&field("who", &person(who)));
    shown.push_str(&field("groups", &text(who, "groups")));
    shown.push_str(&field("from", &text(who, "client_address")));
    shown.push_str(&field("application", &text(who, "application")));
    shown.push_str(&field("database", &text(view, "database")));
    shown.push_str(&field("session", &text(view, "session")));
    shown.push_str(&field("command", &text(facts, "command")));
    shown.push_str(&quoted("statement", &text(facts, "text")));
    let mut label = "touches";
    for relation in list(facts, "relations") {
        shown.push_str(&field(label, &touched(relation)));
        label = "";
    }
    if let Some(rows) = facts.get("rows_estimated").and_then(Value::as_u64) {
        shown.push_str(&field("rows", &format!("about {rows}, by the plan")));
    }
    if facts.get("in_transaction").and_then(Value::as_bool) == Some(true) {
        shown.push_str(&field("transaction", "open: its locks are held while this waits"));
    }
    let mut label = "before it";
    for statement in list(facts, "earlier") {
        shown.push_str(&quoted(label, statement.as_str().unwrap_or_default()));
        label = "";
    }
    for need in list(view, "needs") {
        shown.push_str(&field("held by", &needed(need)));
        shown.push_str(&quoted("because", &text(need, "reason")));
    }
    for vote in list(view, "granted_by") {
        let by = format!("{} by {}", text(vote, "by"), text(vote, "proof"));
        shown.push_str(&field("granted by", &format!("{by}, {}", relative(seconds(vote, "at"), now))));
        shown.push_str(&quoted("comment", &text(vote, "comment")));
    }
    let lease = view.get("lease_seconds_max").and_then(Value::as_u64).unwrap_or_default();
    if lease > 0 {
        shown.push_str(&field("lease", &format!("up to {}", show::length(lease))));
    }
    shown.push_str(&field("asked", &moment(seconds(view, "asked_at"), now)));
    if standing == "pending" {
        shown.push_str(&field("expires", &moment(seconds(view, "expires_at"), now)));
        let id = show::line(view, "id");
        shown.push_str(&format!(
            "\nportcullis approval grant {id}\nportcullis approval refuse {id} --comment \"…\"\n"
        ));
    }
    shown
}

/// "reporting-agent, an agent acting for ana, proved by scram".
fn person(who: &Value) -> String {
    let mut person = text(who, "subject");
    let kind = text(who, "kind");
    if kind != "human" {
        person.push_str(&format!(", {kind}"));
    }
    let acts_for = text(who, "on_behalf_of");
    if !acts_for.is_empty() {
        person.push_str(&format!(" acting for {acts_for}"));
    }
    format!("{person}, proved by {}", text(who, "proof"))
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

/// "10-guard: 2 of leads, dba".
fn needed(need: &Value) -> String {
    let count = need.get("approvals_needed").and_then(Value::as_u64).unwrap_or(1);
    let approvers = text(need, "approvers");
    format!("{}: {count} of {approvers}", text(need, "policy"))
}

fn leases(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "leases")
        .iter()
        .map(|lease| {
            vec![
                text(lease, "id"),
                text(lease, "subject"),
                text(lease, "database"),
                relative(seconds(lease, "expires_at"), now),
                text(lease, "granted_by"),
                text(lease, "fingerprint"),
            ]
        })
        .collect();
    let headings = ["LEASE", "WHO", "DATABASE", "EXPIRES", "GRANTED BY", "SHAPE"];
    table(&headings, &rows, "no leases")
}
