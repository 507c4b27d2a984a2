//! `portcullis credential`, and what is said of a new password.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::show::{self, list, moment, relative, seconds, table, text};
use crate::cli::Credential;

/// Where the proxy listens, unless its operator chose otherwise.
const PORT_DEFAULT: u16 = 6432;

/// Does what was asked; the answer as JSON, and as people read it.
pub fn run(api: &Api, command: &Credential, now: i64) -> Result<(Value, String), Failure> {
    match command {
        Credential::Issue { database, minutes } => issue(api, database, *minutes, now),
        Credential::List => {
            let answer = api.get(&["v1", "credentials"])?;
            let shown = credentials(&answer, now);
            Ok((answer, shown))
        }
        Credential::Revoke { id } => {
            let answer = api.send(Method::DELETE, &["v1", "credentials", id], None)?;
            Ok((answer, format!("the password {} is taken back\n", show::one(id))))
        }
    }
}

/// Issues a password for whoever asks.
pub fn issue(
    api: &Api,
    database: &str,
    minutes: u32,
    now: i64,
) -> Result<(Value, String), Failure> {
    let body = json!({ "database": database, "minutes": minutes });
    let answer = api.send(Method::POST, &["v1", "credentials"], Some(body))?;
    let shown = issued(&answer, database, api.base(), now);
    Ok((answer, shown))
}

fn issued(answer: &Value, database: &str, api: &Url, now: i64) -> String {
    let line = |name| show::line(answer, name);
    let mut shown = String::new();
    shown.push_str(&show::field("user", &text(answer, "user")));
    shown.push_str(&show::field("password", &text(answer, "password")));
    shown.push_str(&show::field("until", &moment(seconds(answer, "expires_at"), now)));
    // The proxy is where its API is, unless somebody put something between.
    let host = api.host_str().unwrap_or("localhost").trim_matches(['[', ']']);
    let connection = [("host", host), ("port", &PORT_DEFAULT.to_string())]
        .into_iter()
        .chain([("dbname", database), ("user", &line("user"))])
        .map(|(key, value)| format!("{key}={}", in_connection(value)))
        .collect::<Vec<_>>()
        .join(" ");
    let password = in_shell(&line("password"));
    shown.push_str(&format!(
        "\nThe password is not shown again. Where the proxy listens as usual:\n  PGPASSWORD={password} psql {}\n",
        in_shell(&connection)
    ));
    shown
}

/// A value as libpq reads it.
fn in_connection(value: &str) -> String {
    let value = show::one(value);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value;
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A word as a shell reads it.
fn in_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:=/".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn credentials(answer: &Value, now: i64) -> String {
    let rows: Vec<Vec<String>> = list(answer, "credentials")
        .iter()
        .map(|credential| {
            vec![
                text(credential, "id"),
                text(credential, "user"),
                text(credential, "subject"),
                text(credential, "database"),
                relative(seconds(credential, "expires_at"), now),
            ]
        })
        .collect();
    table(&["ID", "USER", "WHO", "DATABASE", "EXPIRES"], &rows, "no passwords live")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_to_copy_hold_what_they_should() {
        let answer = json!({
            "user": "pc_abc", "password": "x'; rm -rf ~; '\x1b[2J", "expires_at": 1060
        });
        let api: Url = "https://[::1]:6480".parse().unwrap();
        let shown = issued(&answer, "it's $(a) shop\\", &api, 1000);
        let copied = shown.lines().last().unwrap();
        assert_eq!(
            copied,
            "  PGPASSWORD='x'\\''; rm -rf ~; '\\'' [2J' psql 'host=::1 port=6432 dbname='\\''it\\'\\''s $(a) shop\\\\'\\'' user=pc_abc'"
        );
        let plain = json!({ "user": "pc_abc", "password": "k3y", "expires_at": 1060 });
        let shown = issued(&plain, "shop", &api, 1000);
        assert_eq!(
            shown.lines().last().unwrap(),
            "  PGPASSWORD=k3y psql 'host=::1 port=6432 dbname=shop user=pc_abc'"
        );
    }
}
