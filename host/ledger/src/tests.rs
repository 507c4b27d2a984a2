//! The ledger as its users see it.

mod follower;
mod lines;
mod staging;
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_policy::event::{Ending, Event, EventId, Notable, Outcome};
use portcullis_policy::{Database, Principal, PrincipalKind};

use crate::{Ledger, Options, Reader, Record};

fn open(directory: &Path) -> Ledger {
    let sync_interval = Duration::from_millis(5);
    Ledger::open(directory, Options { sync_interval, ..Options::default() }).unwrap()
}

fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        subject: "ana".to_owned(),
        kind: PrincipalKind::Human,
        groups: vec!["analysts".to_owned()],
        proof: "scram".to_owned(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: "192.0.2.1:4711".to_owned(),
        application: "psql".to_owned(),
        role: "ana".to_owned(),
    })
}

fn database() -> Arc<Database> {
    Arc::new(Database { name: "shop".to_owned(), labels: Vec::new() })
}

/// An event that can be told from others by its number.
fn logout(session: u64) -> Event {
    Event::Notable(Notable::Logout { session, statements: 1 })
}

fn outcome(id: EventId) -> Event {
    Event::Outcome(Outcome {
        id,
        session: 7,
        ending: Ending::Completed { tag: "SELECT 3".to_owned() },
        rows: 3,
        bytes: 120,
        cells_masked: 2,
        labels_masked: vec!["pii.email".into()],
        cells_observed: 5,
        duration_us: 815,
        revision: 4,
    })
}

/// All records, none of which may be an error.
fn records(directory: &Path) -> Vec<Record> {
    Reader::open(directory).unwrap().map(|record| record.unwrap()).collect()
}

/// "kind stream seq" of all records.
fn summary(directory: &Path) -> Vec<String> {
    let line = |record: Record| format!("{} {} {}", record.kind, record.stream, record.seq);
    records(directory).into_iter().map(line).collect()
}
