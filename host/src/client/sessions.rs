//! `portcullis session`.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::show::{list, relative, seconds, table, text};
use crate::cli::Session;

/// Does what was asked; the answer as JSON, and as people read it.
pub fn run(api: &Api, command: &Session, now: i64) -> Result<(Value, String), Failure> {
    match command {
        Session::List => {
            let answer = api.get(&["v1", "sessions"])?;
            let shown = sessions(&answer, now);
            Ok((answer, shown))
        }
        Session::End { id, reason } => {
            let path = ["v1", "sessions", &id.to_string()];
            let answer = api.send(Method::DELETE, &path, Some(json!({ "reason": reason })))?;
            Ok((answer, format!("session {id} is ended\n")))
        }
    }
}

fn sessions(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "sessions")
        .iter()
        .map(|session| {
            let acts_for = text(session, "on_behalf_of");
            let subject = text(session, "subject");
            vec![
                text(session, "id"),
                if acts_for.is_empty() { subject } else { format!("{subject} for {acts_for}") },
                text(session, "kind"),
                text(session, "proof"),
                text(session, "database"),
                text(session, "client_address"),
                text(session, "application"),
                relative(seconds(session, "since"), now),
                state(session),
                text(session, "statements"),
            ]
        })
        .collect();
    let headings = [
        "ID",
        "WHO",
        "KIND",
        "PROOF",
        "DATABASE",
        "FROM",
        "APPLICATION",
        "SINCE",
        "STATE",
        "STATEMENTS",
    ];
    table(&headings, &rows, "nobody is connected")
}

fn state(session: &Value) -> String {
    let state = text(session, "state");
    let approval = text(session, "approval");
    if approval.is_empty() { state } else { format!("{state} {approval}") }
}
