//! Following for a sink.

use std::path::Path;
use std::time::Duration;

use super::{logout, open};
use crate::{Batch, Follower, Ledger, Options};

/// Writes `count` records to one stream and sees them on disk.
fn write(ledger: &Ledger, worker: usize, count: u64) {
    let mut stream = ledger.stream(worker).unwrap();
    (0..count).for_each(|session| assert!(stream.append(&logout(session))));
    stream.commit().unwrap();
}

/// "stream seq" of each record of a batch.
fn names(batch: &Batch) -> Vec<String> {
    let mut start = 0;
    let mut names = Vec::new();
    for end in &batch.ends {
        let end = *end as usize;
        let record: serde_json::Value = serde_json::from_slice(&batch.events[start..end]).unwrap();
        names.push(format!("{} {}", record["stream"].as_str().unwrap(), record["seq"]));
        assert_eq!(batch.events[end - 1], b'\n');
        start = end;
    }
    assert_eq!(start, batch.events.len());
    names
}

fn next(follower: &mut Follower, records_max: usize) -> Vec<String> {
    let batch = follower.next_batch(1 << 20, records_max).unwrap();
    batch.as_ref().map(names).unwrap_or_default()
}

fn follow(ledger: &Ledger, directory: &Path) -> Follower {
    ledger.follow(&directory.join("cursor.json")).unwrap()
}

#[test]
fn what_is_not_accepted_comes_again_and_what_is_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger"));
    write(&ledger, 0, 5);
    let mut follower = follow(&ledger, directory.path());
    assert_eq!(next(&mut follower, 3), ["0 1", "0 2", "0 3"]);
    follower.accept(0).unwrap();
    assert_eq!(next(&mut follower, 3), ["0 1", "0 2", "0 3"]);
    follower.accept(2).unwrap();
    assert_eq!(next(&mut follower, 9), ["0 3", "0 4", "0 5"]);
    // A restart before anything was accepted.
    let mut follower = follow(&ledger, directory.path());
    assert_eq!(next(&mut follower, 9), ["0 3", "0 4", "0 5"]);
    follower.accept(1).unwrap();
    follower.accept(2).unwrap();
    assert_eq!(next(&mut follower, 9), [""; 0]);
    assert!(follower.accept(1).is_err());
    write(&ledger, 0, 1);
    assert_eq!(next(&mut follower, 9), ["0 6"]);
}

#[test]
fn the_cursor_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let mut seen = Vec::new();
    for run in 0..3 {
        let ledger = open(&path);
        write(&ledger, 0, 2);
        write(&ledger, run, 1);
        let mut follower = follow(&ledger, directory.path());
        loop {
            let batch = next(&mut follower, 2);
            if batch.is_empty() {
                break;
            }
            follower.accept(batch.len()).unwrap();
            seen.extend(batch);
        }
    }
    seen.sort();
    assert_eq!(seen, ["0 1", "0 2", "0 3", "0 4", "0 5", "0 6", "0 7", "1 1", "2 1"]);
}

#[test]
fn batches_stay_within_their_bytes_but_a_large_record_comes_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger"));
    write(&ledger, 0, 4);
    let mut follower = follow(&ledger, directory.path());
    let whole = follower.next_batch(1 << 20, 9).unwrap().unwrap();
    let two = whole.ends[1] as usize;
    assert_eq!(follower.next_batch(two, 9).unwrap().unwrap().ends.len(), 2);
    assert_eq!(follower.next_batch(two - 1, 9).unwrap().unwrap().ends.len(), 1);
    assert_eq!(follower.next_batch(1, 9).unwrap().unwrap().ends.len(), 1);
}

#[test]
fn a_sink_sees_only_what_the_disk_has() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { sync_interval: Duration::from_secs(3600), ..Options::default() };
    let ledger = Ledger::open(&directory.path().join("ledger"), options).unwrap();
    let mut follower = follow(&ledger, directory.path());
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(1));
    let position = stream.commit().unwrap();
    assert_eq!(next(&mut follower, 9), [""; 0]);
    // Somebody waits for it; that wakes the follower too.
    let synced = stream.synced(position);
    follower.wait(Duration::from_secs(60));
    assert_eq!(next(&mut follower, 9), ["0 1"]);
    drop(synced);
}

#[test]
fn segments_are_followed_one_after_another() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 300, ..Options::default() };
    let ledger = Ledger::open(&directory.path().join("ledger"), options).unwrap();
    let mut follower = follow(&ledger, directory.path());
    let mut seen = 0;
    for _ in 0..10 {
        let mut stream = ledger.stream(0).unwrap();
        for session in 0..3 {
            stream.append(&logout(session));
            stream.commit().unwrap();
        }
        drop(stream);
        let batch = next(&mut follower, 2);
        follower.accept(batch.len()).unwrap();
        for name in batch {
            seen += 1;
            assert_eq!(name, format!("0 {seen}"));
        }
    }
    assert_eq!(seen, 20);
}

#[test]
fn a_damaged_cursor_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger"));
    for damage in ["", "{}", "{\"v\":2,\"streams\":{}}", "[1"] {
        std::fs::write(directory.path().join("cursor.json"), damage).unwrap();
        let error = ledger.follow(&directory.path().join("cursor.json")).err().unwrap();
        assert!(error.to_string().contains("; remove it to deliver"), "{error}");
    }
    std::fs::write(directory.path().join("cursor.json"), "{\"v\":1,\"streams\":{}}").unwrap();
    assert!(ledger.follow(&directory.path().join("cursor.json")).is_ok());
}
