//! The ledger, read as anybody may read it: lines of JSON in files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is shown of a statement.
const TEXT_CHARACTERS_MAX: usize = 60;

/// All records of a ledger, stream after stream. What is being written just now may be
/// missing at the end, so whoever waits for a record reads again.
pub fn read(ledger: &Path) -> Vec<Value> {
    let segments = children(ledger).into_iter().flat_map(|stream| children(&stream));
    segments.filter_map(|segment| fs::read_to_string(segment).ok()).flat_map(parse).collect()
}

/// The records that are whole lines of `text`.
pub fn parse(text: String) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut children: Vec<_> = entries.map(|entry| entry.path()).collect();
    children.sort();
    children
}

/// One statement: its intent and, if it was let through, its outcome.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    intent: &'a Value,
    outcome: Option<&'a Value>,
}

impl<'a> Told<'a> {
    /// Every statement that has ended: what was refused has nothing more to tell.
    pub fn all(records: &'a [Value]) -> Vec<Told<'a>> {
        let of_kind =
            |kind: &'static str| records.iter().filter(move |record| text(record, "/kind") == kind);
        of_kind("intent")
            .map(|intent| {
                let event = text(intent, "/event");
                let outcome = of_kind("outcome").find(|outcome| text(outcome, "/event") == event);
                Told { intent, outcome }
            })
            .filter(|told| told.outcome.is_some() || told.decision() != "permitted")
            .collect()
    }

    pub fn event(&self) -> &'a str {
        text(self.intent, "/event")
    }

    pub fn subject(&self) -> &'a str {
        text(self.intent, "/principal/subject")
    }

    pub fn decision(&self) -> &'a str {
        text(self.intent, "/decision")
    }

    pub fn policy(&self) -> &'a str {
        text(self.intent, "/policy")
    }

    pub fn revision(&self) -> u64 {
        number(self.intent, "/revision")
    }

    pub fn rows(&self) -> u64 {
        self.outcome.map_or(0, |outcome| number(outcome, "/rows"))
    }

    pub fn cells_masked(&self) -> u64 {
        self.outcome.map_or(0, |outcome| number(outcome, "/cells_masked"))
    }

    /// Was it asked of `table`, by a statement of this kind?
    pub fn is(&self, command: &str, table: &str) -> bool {
        let relations = self.intent.pointer("/relations").and_then(Value::as_array);
        let named = |relation: &Value| text(relation, "/name").rsplit('.').next() == Some(table);
        text(self.intent, "/command") == command && relations.into_iter().flatten().any(named)
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by =
            if self.policy().is_empty() { String::new() } else { format!(" by {}", self.policy()) };
        let text: String = text(self.intent, "/text").chars().take(TEXT_CHARACTERS_MAX).collect();
        write!(
            f,
            "     {:<5} {:<22} revision {:<2} rows {:<2} cells masked {:<2}  {text}",
            self.subject(),
            format!("{}{by}", self.decision()),
            self.revision(),
            self.rows(),
            self.cells_masked(),
        )
    }
}

pub fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

pub fn number(record: &Value, pointer: &str) -> u64 {
    record.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: &str, expected: &[&str]) {
        let records = parse(records.to_owned());
        let shown: Vec<String> = Told::all(&records)
            .iter()
            .map(|told| format!("{} {} {}", told.event(), told.decision(), told.cells_masked()))
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_outcome_belongs_to_the_intent_of_its_event() {
        let permitted = r#"{"kind":"intent","event":"a","decision":"permitted"}"#;
        let denied = r#"{"kind":"intent","event":"b","decision":"denied"}"#;
        let outcome = r#"{"kind":"outcome","event":"a","cells_masked":3}"#;
        check(&format!("{permitted}\n{denied}\n{outcome}\n"), &["a permitted 3", "b denied 0"]);
        // What runs still, and a line that is being written.
        check(&format!("{permitted}\n{}", outcome.split_at(20).0), &[]);
    }
}
