//! Sessions, played by scripts on streams in memory.

mod bounds;
mod conversations;
mod endings;
mod holding;
mod lasting;
mod nonsense;
mod refusals;

use std::collections::HashMap;
use std::time::Duration;

use portcullis_ledger::Reader;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::scripted::{Given, Play, Postgres, Rig, messages};

/// A rig, and a clock that stands still.
struct Stage<'r> {
    runtime: &'r Runtime,
    rig: Rig,
    directory: TempDir,
}

fn stage(test: impl FnOnce(&mut Stage<'_>)) {
    stage_with(Given::default(), test);
}

fn stage_with(given: Given, test: impl FnOnce(&mut Stage<'_>)) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(directory.path(), given).unwrap();
    test(&mut Stage { runtime: &runtime, rig, directory });
}

impl Stage<'_> {
    fn advance(&self, by: Duration) {
        self.runtime.block_on(tokio::time::advance(by));
    }

    /// Records of one kind, in order.
    fn records(&self, kind: &str) -> Vec<Value> {
        self.rig.pass_on();
        let reader = Reader::open(&self.directory.path().join("ledger")).unwrap();
        let records = reader.map(|record| record.unwrap()).filter(|record| record.kind == kind);
        records.map(|record| record.fields().unwrap()).collect()
    }

    /// How each intent ended, in the order of the intents.
    ///
    /// # Panics
    /// When one has not, or more than once.
    fn endings(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut outcomes: HashMap<String, Vec<String>> = HashMap::new();
        for outcome in self.records("outcome") {
            outcomes.entry(text(&outcome["event"])).or_default().push(text(&outcome["ending"]));
        }
        let ending = |intent: &Value| match outcomes.get(&text(&intent["event"])).map(Vec::as_slice)
        {
            Some([ending]) => ending.clone(),
            endings => panic!("{intent:#} ended {endings:?}"),
        };
        self.records("intent").iter().map(ending).collect()
    }
}

/// The tags of what a server was sent, with `!` for what the proxy put in a refused message's
/// place.
fn heard(frames: &[(u8, Vec<u8>)]) -> String {
    let word = |(tag, body): &(u8, Vec<u8>)| {
        let stands_in = body.windows(18).any(|part| part == b"portcullis_denied_");
        format!("{}{}", char::from(*tag), if stands_in { "!" } else { "" })
    };
    frames.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Nothing of a client's reaches the server between a refusal in the extended protocol and the
/// Sync behind it.
fn check_silence_behind_refusals(what: &str, frames: &[(u8, Vec<u8>)]) {
    let words = heard(frames);
    let behind = words.split("E!").skip(1);
    for rest in behind {
        // A Flush of the proxy's own asks for nothing.
        let next = rest.split_whitespace().find(|word| *word != "H");
        assert!(matches!(next, None | Some("S")), "{what}: the server heard {words}");
    }
}
