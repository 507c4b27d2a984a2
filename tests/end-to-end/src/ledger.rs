//! Reads a ledger as an outsider does: lines of JSON in files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
        self.wait_for_staged();
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
        for line in self.staged().iter().flat_map(|text| text.lines()) {
            let record: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            // It may have been moved while the segments were read.
            let place = |record: &Value| (record["stream"].clone(), record["seq"].clone());
            if !records.iter().any(|known| place(known) == place(&record)) {
                records.push(record);
            }
        }
        records
    }

    /// A record is in a segment some milliseconds after what it tells of. What still is not when
    /// this has waited belongs to a proxy that never rests, or cannot write.
    fn wait_for_staged(&self) {
        let begun = Instant::now();
        let is_staged = || self.staged().iter().any(|text| !text.is_empty());
        while is_staged() && begun.elapsed() < Duration::from_millis(200) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What is committed and in no segment, stream by stream.
    fn staged(&self) -> Vec<String> {
        let is_staging = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("staging-"))
        };
        // A list in front of the records says where each batch of them ends, up to a zero.
        let text = |path: PathBuf| {
            let contents = std::fs::read(path).ok()?;
            let entries = contents.get(8..4096)?.as_chunks::<8>().0.iter();
            let ends = entries.map(|entry| u64::from_le_bytes(*entry)).take_while(|e| *e != 0);
            let length = ends.last().unwrap_or_default() & u64::from(u32::MAX);
            let records = contents.get(4096..4096 + usize::try_from(length).ok()?)?;
            Some(String::from_utf8_lossy(records).into_owned())
        };
        let files = sorted(&self.directory).into_iter().filter(is_staging);
        files.filter_map(text).collect()
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
        self.wait_for_staged();
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
