//! `portcullis status`, `whoami`, `reload`, `metrics`.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::show::{self, field, list, moment, seconds, table, text};
use crate::terminal::printable;

/// Whether it is ready, and the policies in force.
pub fn status(api: &Api) -> Result<(Value, String), Failure> {
    let (ready, said) = api.text(&["readyz"])?;
    let policies = api.get(&["v1", "policies"])?;
    let mut shown = match ready.is_success() {
        true => "ready\n".to_owned(),
        false => format!("not ready: {}\n", show::one(&said)),
    };
    let in_force = list(&policies, "policies");
    shown.push_str(&format!(
        "revision {}, {} in force\n\n",
        show::line(&policies, "revision"),
        policies_counted(in_force.len())
    ));
    let rows: Vec<Vec<String>> = in_force
        .iter()
        .map(|policy| {
            vec![
                text(policy, "name"),
                text(policy, "plugin"),
                text(policy, "kinds"),
                text(policy, "mode"),
                text(policy, "match"),
            ]
        })
        .collect();
    shown.push_str(&table(&["POLICY", "PLUGIN", "KINDS", "MODE", "FOR"], &rows, "no policies"));
    let failures = list(&policies, "failures");
    for failure in failures {
        shown.push_str(&format!("\nnot in force: {}\n", show::line(failure, "policy")));
        shown.push_str(&field("file", &text(failure, "file")));
        shown.push_str(&field("line", &text(failure, "line")));
        shown.push_str(&show::quoted("reason", &text(failure, "reason")));
        if failure.get("last_good_in_force").and_then(Value::as_bool) == Some(true) {
            shown.push_str(&field("meanwhile", "its last good form is in force"));
        }
    }
    let answer = json!({ "ready": ready.is_success(), "policies": policies });
    Ok((answer, shown))
}

fn policies_counted(count: usize) -> String {
    if count == 1 { "1 policy".to_owned() } else { format!("{count} policies") }
}

pub fn whoami(api: &Api, now: i64) -> Result<(Value, String), Failure> {
    let answer = api.get(&["v1", "whoami"])?;
    let mut shown = String::new();
    for name in ["subject", "kind", "on_behalf_of", "groups", "roles", "proof"] {
        shown.push_str(&field(&name.replace('_', " "), &text(&answer, name)));
    }
    if list(&answer, "roles").is_empty() {
        shown.push_str(&field("roles", "none"));
    }
    shown.push_str(&field("until", &moment(seconds(&answer, "expires_at"), now)));
    Ok((answer, shown))
}

pub fn reload(api: &Api) -> Result<(Value, String), Failure> {
    let answer = api.send(Method::POST, &["v1", "reload"], None)?;
    // The plugin directory is watched, so policies say for themselves what became of them.
    Ok((answer, "read again; `portcullis status` says what is in force\n".to_owned()))
}

/// As they are: for people to look at, and for files.
pub fn metrics(api: &Api) -> Result<String, Failure> {
    let text = api.text_of(&["metrics"])?;
    let lines = text.lines().map(printable);
    Ok(lines.map(|line| line + "\n").collect())
}
