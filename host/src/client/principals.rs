//! `portcullis principal`.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::show::{self, list, relative, seconds, table, text};
use crate::cli::Principal;

/// Does what was asked; the answer as JSON, and as people read it.
pub fn run(api: &Api, command: &Principal, now: i64) -> Result<(Value, String), Failure> {
    match command {
        Principal::Disable { subject, reason } => {
            let path = ["v1", "principals", subject, "disabled"];
            let body = reason.as_ref().map_or(json!({}), |reason| json!({ "reason": reason }));
            let answer = api.send(Method::PUT, &path, Some(body))?;
            let shown = format!(
                "{} is shut out: sessions end within seconds, logins fail\n",
                show::one(subject)
            );
            Ok((answer, shown))
        }
        Principal::Enable { subject } => {
            let path = ["v1", "principals", subject, "disabled"];
            let answer = api.send(Method::DELETE, &path, None)?;
            Ok((answer, format!("{} may log in again\n", show::one(subject))))
        }
        Principal::List => {
            let answer = api.get(&["v1", "principals", "disabled"])?;
            let shown = disabled(&answer, now);
            Ok((answer, shown))
        }
    }
}

fn disabled(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "principals")
        .iter()
        .map(|entry| {
            vec![
                text(entry, "subject"),
                text(entry, "by"),
                relative(seconds(entry, "at"), now),
                text(entry, "reason"),
            ]
        })
        .collect();
    table(&["WHO", "BY", "SINCE", "REASON"], &rows, "nobody is shut out")
}
