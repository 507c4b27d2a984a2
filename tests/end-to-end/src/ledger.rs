//! Reads a ledger as an outsider does: lines of JSON in files.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The ledger of one state directory.
pub struct Ledger {
    directory: PathBuf,
}

impl Ledger {
    pub fn of(state: &Path) -> Ledger {
        Ledger { directory: state.join("ledger") }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Every whole record, stream by stream, each stream in order. The line being written at
    /// this moment is left out.
    pub fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for stream in sorted(&self.directory) {
            for segment in sorted(&stream) {
                let text = std::fs::read_to_string(&segment).unwrap_or_default();
                let whole = text.rfind('\n').map_or("", |end| &text[..end]);
                records.extend(whole.lines().map(|line| {
                    serde_json::from_str::<Value>(line)
                        .unwrap_or_else(|error| panic!("{}: {error}: {line}", segment.display()))
                }));
            }
        }
        records
    }

    /// Records of one kind: "intent", "outcome", "policy-set".
    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["kind"] == kind);
        records
    }

    /// Intents whose redacted text contains `part`.
    pub fn intents(&self, part: &str) -> Vec<Value> {
        let mut intents = self.of_kind("intent");
        intents.retain(|intent| intent["text"].as_str().is_some_and(|text| text.contains(part)));
        intents
    }

    /// The outcome of an intent, once it is there.
    pub fn outcome(&self, intent: &Value) -> Option<Value> {
        self.of_kind("outcome").into_iter().find(|outcome| outcome["event"] == intent["event"])
    }

    /// Everything the ledger holds, for looking for what it must not hold.
    pub fn text(&self) -> String {
        let segments = sorted(&self.directory).into_iter().flat_map(|stream| sorted(&stream));
        segments.map(|segment| std::fs::read_to_string(segment).unwrap_or_default()).collect()
    }
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
