//! The admin API, the command line and the pages, as those see them who use them.

mod command;
mod login;
mod metrics;
mod pages;
mod passwords;
mod roles;
mod state;
mod transport;

use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, User, wait_until};
use serde_json::Value;

/// Sees, and changes nothing.
const VIEWER: User = User { name: "vera", kind: "human", groups: &["staff"] };
/// Releases what waits.
const LEAD: User = User { name: "lena", kind: "human", groups: &["leads"] };

/// Waits until the ledger has this many changes by somebody, and gives them.
async fn changes(portcullis: &Portcullis, by: &str, count: usize) -> Vec<Value> {
    let ledger = portcullis.ledger();
    wait_until(&format!("{count} changes by {by:?} are recorded"), SOON, async || {
        let mut records = ledger.of_kind("administered");
        records.retain(|record| record["by"]["subject"] == by);
        (records.len() >= count).then_some(records)
    })
    .await
}

/// What was done, and whether it was refused.
fn told(record: &Value) -> (&str, bool) {
    (record["action"].as_str().expect("a word"), !record["refused"].is_null())
}
