//! How answers are shown: tables, times, and text that others wrote.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::terminal::{is_hidden, printable};

/// What of a statement stands in a table; `show` has all of it.
const CELL_CHARS_MAX: usize = 60;

/// Text of a member; empty where there is none.
pub fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(elements)) => {
            let words: Vec<String> = elements.iter().map(plain).collect();
            words.join(", ")
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => other.to_string(),
    }
}

/// Text of a member, on one line and without what steers a terminal.
pub fn line(value: &Value, name: &str) -> String {
    one(&text(value, name))
}

/// The same of a text.
pub fn one(text: &str) -> String {
    printable(text.trim())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The elements of a list; none where there is no list.
pub fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Rows under headings, each column as wide as its widest cell; `nothing` where there are
/// none.
pub fn table(headings: &[&str], rows: &[Vec<String>], nothing: &str) -> String {
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let rows = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect());
    let all: Vec<Vec<String>> = std::iter::once(headings).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|index| {
            let cells = all.iter().filter_map(|row| row.get(index));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One line of a cell's length.
fn one_line(cell: &str) -> String {
    let line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = printable(&line);
    match line.char_indices().nth(CELL_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", line.get(..cut).unwrap_or_default()),
        None => line,
    }
}

/// A label and what is said under it; several lines stand behind a bar, so that none of them
/// can look like ours.
pub fn field(label: &str, text: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() {
        return String::new();
    }
    let mut lines = text.lines().peekable();
    let first = lines.next().unwrap_or_default();
    if lines.peek().is_none() {
        return format!("  {label:<12}  {}\n", printable(first));
    }
    quoted(label, text)
}

/// Text that somebody else chose, behind a bar.
pub fn quoted(label: &str, text: &str) -> String {
    let mut shown = String::new();
    let mut label = label;
    for line in text.trim_end().split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
        // Tabs indent; everything else that is no character is shown as a blank.
        let line = printable(&line.replace('\t', "    "));
        shown.push_str(&format!("  {label:<12}  │ {}\n", line.trim_end()));
        label = "";
    }
    shown
}

/// JSON for a terminal or a program: what a terminal would act on is escaped.
pub fn json(value: &Value) -> String {
    let plain = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut text = String::with_capacity(plain.len());
    for c in plain.chars() {
        // Such characters stand inside of strings only, but for the ends of lines.
        if c != '\n' && (c.is_control() || is_hidden(c)) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

/// Seconds since the Unix epoch, however the API writes a time.
pub fn seconds(value: &Value, name: &str) -> Option<i64> {
    match value.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => {
            OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// "in 4m 10s", "2h 5m ago"; empty where there is no time.
pub fn relative(at: Option<i64>, now: i64) -> String {
    let Some(at) = at else { return String::new() };
    match at.saturating_sub(now) {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {}", length(ahead.unsigned_abs())),
        past => format!("{} ago", length(past.unsigned_abs())),
    }
}

/// The two largest units of a length of time.
pub fn length(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            parts.push(format!("{count}{name}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// "2026-11-22 09:14:03 UTC (in 4m 10s)"; empty where there is no time.
pub fn moment(at: Option<i64>, now: i64) -> String {
    let Some(at) = at else { return String::new() };
    let Ok(date) = OffsetDateTime::from_unix_timestamp(at) else { return String::new() };
    let (hour, minute, second) = date.time().as_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC ({})", date.date(), relative(Some(at), now))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times() {
        let check = |at, expected: &str| assert_eq!(relative(at, 1_000_000), expected);
        check(None, "");
        check(Some(1_000_000), "now");
        check(Some(1_000_250), "in 4m 10s");
        check(Some(1_003_601), "in 1h");
        check(Some(1_090_001), "in 1d 1h");
        check(Some(999_955), "45s ago");
        check(Some(i64::MIN), "106751991167300d 15h ago");
        assert_eq!(moment(Some(1_000_250), 1_000_000), "1970-01-12 13:50:50 UTC (in 4m 10s)");
        let written = json!({ "a": 7, "b": "1970-01-01T00:00:08Z", "c": "soon", "d": null });
        let read = ["a", "b", "c", "d", "e"].map(|name| seconds(&written, name));
        assert_eq!(read, [Some(7), Some(8), None, None, None]);
    }

    #[test]
    fn tables_align_and_are_cut() {
        let rows = vec![
            vec!["K7Q2M9XA".to_owned(), "update\n\tt\x1b[2J".to_owned()],
            vec!["1".to_owned(), "x".repeat(70)],
        ];
        let expected =
            format!("ID        STATEMENT\nK7Q2M9XA  update t [2J\n1         {}…\n", "x".repeat(60));
        assert_eq!(table(&["ID", "STATEMENT"], &rows, "nothing waits"), expected);
        assert_eq!(table(&["ID"], &[], "nothing waits"), "nothing waits\n");
    }

    #[test]
    fn what_others_wrote_cannot_look_like_ours() {
        let text = "select 1 --\r\n  approvers    everybody\x1b[1A\n\n\tfrom \u{202e}t";
        assert_eq!(
            field("statement", text),
            "  statement     │ select 1 --\n                │   approvers    everybody [1A\n                │     from \u{fffd}t\n"
        );
        assert_eq!(field("comment", "all \x07 well"), "  comment       all   well\n");
        assert_eq!(field("comment", ""), "");
    }

    #[test]
    fn json_stays_json_and_steers_no_terminal() {
        let value = json!({ "text": "a\u{9b}2J\u{202e}b\u{e0041}\n" });
        let shown = json(&value);
        assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || is_hidden(c))), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
