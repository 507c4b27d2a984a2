//! What a client may choose at startup: settings, and the encoding its texts are in.

use portcullis_wire::startup::Startup;

use crate::refusal::Refusal;

/// Settings a client may choose at startup: they change how it is answered, not what it may.
const STARTUP_SETTINGS: [&str; 21] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "work_mem",
];

/// The refusal of an encoding in which a byte below 128 can be part of a character: a lexer
/// that does not know it sees quotes and backslashes that are not there.
pub fn unreadable_encoding(encoding: &str) -> Refusal {
    Refusal::Unsupported(format!(
        "client_encoding {encoding} is not supported: use UTF8 or a single-byte encoding"
    ))
}

/// An encoding that is not readable, named anywhere in a text that sets one. A name that is
/// computed shows when the server reports it, and then the session ends.
pub fn unreadable_encoding_in(text: &str) -> Option<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    let begins = |word: &str| {
        let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_ascii_uppercase();
        UNREADABLE.iter().any(|name| plain.starts_with(name))
    };
    words.into_iter().find(|word| begins(word))
}

/// Beginnings of the names of PostgreSQL's other multi-byte encodings.
const UNREADABLE: [&str; 17] = [
    "SJIS",
    "SHIFTJIS",
    "MSKANJI",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "WIN932",
    "WIN936",
    "WIN949",
    "WIN950",
    "WINDOWS932",
    "WINDOWS936",
    "WINDOWS949",
    "WINDOWS950",
    "EUC",
];

/// True for UTF-8 and PostgreSQL's single-byte encodings.
pub fn is_readable_encoding(encoding: &str) -> bool {
    // Nearly always, and without a copy.
    if encoding.eq_ignore_ascii_case("UTF8") {
        return true;
    }
    let plain: String = encoding
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_uppercase();
    let single_byte = ["LATIN", "WIN", "ISO8859", "KOI8", "WINDOWS", "ABC", "TCVN", "VSCII", "ALT"];
    matches!(plain.as_str(), "" | "UTF8" | "UNICODE" | "SQLASCII" | "AUTO")
        || (plain != "WIN932"
            && plain != "WIN936"
            && plain != "WIN949"
            && plain != "WIN950"
            && !matches!(plain.as_str(), "WINDOWS932" | "WINDOWS936" | "WINDOWS949" | "WINDOWS950")
            && single_byte.iter().any(|prefix| plain.starts_with(prefix)))
}

/// The settings to hand on, those inside `options` spelled out.
pub fn parameters(startup: &Startup) -> Result<Vec<(String, String)>, Refusal> {
    let mut parameters = Vec::new();
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => parameters.extend(options(value)?),
            // Protocol options: refused by negotiation, not by an error.
            name if name.starts_with("_pq_.") => {}
            name => parameters.push((name.to_owned(), value.clone())),
        }
    }
    for (name, value) in &parameters {
        if name.eq_ignore_ascii_case("client_encoding") && !is_readable_encoding(value) {
            return Err(unreadable_encoding(value));
        }
        if !STARTUP_SETTINGS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Refusal::NotPermitted(format!(
                "parameter \"{name}\" may not be set at startup through the proxy"
            )));
        }
    }
    Ok(parameters)
}

/// Reads `-c name=value` and `--name=value`; a backslash keeps the next character, as in
/// PostgreSQL's `pg_split_opts`.
fn options(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let word = words.last_mut();
        match (character, word) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (space, _) if space.is_ascii_whitespace() => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c") {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => word.strip_prefix("--").map(str::to_owned),
        };
        let setting = setting.as_deref().and_then(|setting| setting.split_once('='));
        let Some((name, value)) = setting else {
            return Err(Refusal::NotPermitted(format!(
                "startup option \"{word}\" does not pass the proxy: use -c name=value"
            )));
        };
        settings.push((name.trim().replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_options(text: &str, expected: &str) {
        let said = match options(text) {
            Ok(settings) => {
                settings.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(", ")
            }
            Err(refusal) => refusal.report().message,
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn options_are_spelled_out() {
        check_options(
            "-c search_path=a,b -cgeqo=off --work-mem=4MB",
            "search_path=a,b, geqo=off, work_mem=4MB",
        );
        check_options(r"-c search_path=a\ b", "search_path=a b");
        check_options("", "");
        check_options("-d 5", "startup option \"-d\" does not pass the proxy: use -c name=value");
        check_options(
            "-c role",
            "startup option \"-c\" does not pass the proxy: use -c name=value",
        );
    }

    #[test]
    fn settings_that_change_what_is_allowed_are_refused_at_startup() {
        let with = |name: &str, value: &str| Startup {
            major: 3,
            minor: 0,
            parameters: vec![(name.into(), value.into())],
        };
        for (name, value) in [
            ("role", "postgres"),
            ("session_replication_role", "replica"),
            ("options", "-c role=postgres"),
            ("options", "--session-authorization=postgres"),
            ("row_security", "off"),
        ] {
            assert!(parameters(&with(name, value)).is_err(), "{name}={value}");
        }
        for (name, value) in
            [("DateStyle", "ISO"), ("TimeZone", "UTC"), ("options", "-c statement_timeout=5s")]
        {
            assert!(parameters(&with(name, value)).is_ok(), "{name}={value}");
        }
    }

    #[test]
    fn encodings_with_ascii_inside_characters_are_refused() {
        for readable in [
            "UTF8",
            "utf-8",
            "unicode",
            "LATIN1",
            "latin-9",
            "WIN1252",
            "ISO_8859_5",
            "KOI8R",
            "SQL_ASCII",
        ] {
            assert!(is_readable_encoding(readable), "{readable}");
            assert_eq!(unreadable_encoding_in(&format!("SET client_encoding TO {readable}")), None);
        }
        for unreadable in [
            "SJIS",
            "BIG5",
            "GBK",
            "UHC",
            "GB18030",
            "JOHAB",
            "SHIFT_JIS_2004",
            "WIN932",
            "EUC_JP",
            "WIN950",
        ] {
            assert!(!is_readable_encoding(unreadable), "{unreadable}");
            let text = format!("SET NAMES '{unreadable}'");
            assert_eq!(unreadable_encoding_in(&text), Some(unreadable));
        }
    }
}
