//! Commits that are staged, passed on, and found again after a process was killed.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{logout, open, records, summary};
use crate::segment::segments;
use crate::{Ledger, Options, Stream};

/// A stream that stages, in a ledger of its own.
fn staging() -> (TempDir, Stream) {
    let directory = tempfile::tempdir().unwrap();
    let stream = open(directory.path()).staging_stream(0).unwrap();
    (directory, stream)
}

/// A commit of one record for each of these sessions.
fn commit(stream: &mut Stream, sessions: std::ops::RangeInclusive<u64>) {
    sessions.for_each(|session| assert!(stream.append(&logout(session))));
    stream.commit().unwrap();
}

/// What a process that is killed now leaves behind.
fn killed(directory: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    copy(directory, left.path());
    if directory.join("stream-0").exists() {
        fs::create_dir(left.path().join("stream-0")).unwrap();
        copy(&directory.join("stream-0"), &left.path().join("stream-0"));
    }
    left
}

fn numbers(directory: &Path) -> Vec<u64> {
    records(directory).iter().map(|record| record.seq).collect()
}

#[test]
fn what_is_committed_is_read_once_it_is_passed_on() {
    let (directory, mut stream) = staging();
    commit(&mut stream, 1..=2);
    assert!(stream.has_staged());
    assert_eq!(summary(directory.path()), [""; 0]);
    stream.pass_on().unwrap();
    assert!(!stream.has_staged());
    assert_eq!(summary(directory.path()), ["logout 0 1", "logout 0 2"]);
    commit(&mut stream, 3..=3);
    drop(stream);
    assert_eq!(numbers(directory.path()), [1, 2, 3]);
    assert!(!directory.path().join("staging-0").exists(), "an orderly end leaves nothing");
}

#[test]
fn more_than_there_is_room_for_is_written_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 300_000, ..Options::default() };
    let ledger = Ledger::open(directory.path(), options).unwrap();
    let mut stream = ledger.staging_stream(0).unwrap();
    // Of some 110 bytes each: batches that are staged, that fill the staging, and that no staging
    // could hold.
    for count in [1, 300, 300, 300, 900, 1, 900, 2, 5000, 1] {
        commit(&mut stream, 1..=count);
    }
    drop(stream);
    assert_eq!(numbers(directory.path()), (1..=7705).collect::<Vec<_>>());
    let numbers = segments(&directory.path().join("stream-0")).unwrap();
    assert!(numbers.len() >= 3, "{numbers:?}");
}

#[tokio::test]
async fn waiting_for_the_disk_passes_on() {
    let (directory, mut stream) = staging();
    stream.append(&logout(1));
    let position = stream.commit().unwrap();
    stream.synced(position).await.unwrap();
    assert_eq!(summary(directory.path()), ["logout 0 1"]);
    assert_eq!(stream.progress().borrow().synced.seq, 1);
}

#[test]
fn what_a_killed_process_has_committed_is_in_the_ledger() {
    let (directory, mut stream) = staging();
    commit(&mut stream, 1..=3);
    let all_staged = killed(directory.path());
    stream.pass_on().unwrap();
    commit(&mut stream, 4..=5);
    let some_staged = killed(directory.path());
    for (left, count) in [(all_staged, 3), (some_staged, 5)] {
        let again = open(left.path());
        assert_eq!(numbers(left.path()), (1..=count).collect::<Vec<_>>());
        assert!(!left.path().join("staging-0").exists());
        // Whoever writes the stream next goes on behind it, whether it stages or not.
        commit(&mut again.stream(0).unwrap(), 1..=1);
        assert_eq!(numbers(left.path()), (1..=count + 1).collect::<Vec<_>>());
    }
}

#[test]
fn a_process_killed_while_it_moves_records_leaves_none_twice() {
    let (directory, mut stream) = staging();
    commit(&mut stream, 1..=3);
    let before = killed(directory.path());
    stream.pass_on().unwrap();
    let whole = fs::read(directory.path().join("stream-0/00000001.jsonl")).unwrap();
    let line = whole.len() / 3;
    for moved in [0, 1, line - 1, line, line + 1, 2 * line, whole.len()] {
        let left = killed(before.path());
        fs::write(left.path().join("stream-0/00000001.jsonl"), &whole[..moved]).unwrap();
        let _again = open(left.path());
        assert_eq!(summary(left.path()), ["logout 0 1", "logout 0 2", "logout 0 3"], "{moved}");
    }
}

#[test]
fn of_what_is_not_all_there_the_whole_batches_are_kept() {
    let (directory, mut stream) = staging();
    // What an earlier use left behind must not be taken for more.
    (1..=40).for_each(|_| commit(&mut stream, 1..=1));
    stream.pass_on().unwrap();
    (41..=43).for_each(|_| commit(&mut stream, 1..=1));
    let begins = |contents: &[u8]| {
        let head = b"{\"v\":1";
        let found = contents.windows(head.len()).enumerate().filter(|(_, part)| part == head);
        found.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let whole = fs::read(killed(directory.path()).path().join("staging-0")).unwrap();
    let lines = begins(&whole);
    for (place, kept) in [
        (0, 40),
        // The end of the first batch, and its digest.
        (8, 40),
        (12, 40),
        (24, 42),
        (lines[0] + 9, 40),
        (lines[1] + 9, 41),
        (lines[2] + 9, 42),
        (lines[3] + 9, 43),
    ] {
        let left = killed(directory.path());
        let mut contents = whole.clone();
        contents[place] ^= 0x55;
        fs::write(left.path().join("staging-0"), contents).unwrap();
        let again = open(left.path());
        assert_eq!(numbers(left.path()), (1..=kept).collect::<Vec<_>>(), "{place}");
        assert!(again.staging_stream(0).unwrap().pass_on().is_ok());
    }
    for length in [0, 5, 20, 4096, lines[1]] {
        let left = killed(directory.path());
        fs::write(left.path().join("staging-0"), &whole[..length]).unwrap();
        let _again = open(left.path());
        let kept = if length == lines[1] { 41 } else { 40 };
        assert_eq!(numbers(left.path()), (1..=kept).collect::<Vec<_>>(), "{length}");
    }
}

#[test]
fn many_small_batches_are_as_good_as_few_large_ones() {
    let (directory, mut stream) = staging();
    (0..3000).for_each(|_| commit(&mut stream, 1..=1));
    let left = killed(directory.path());
    let _again = open(left.path());
    assert_eq!(numbers(left.path()), (1..=3000).collect::<Vec<_>>());
}

#[test]
fn a_stream_that_ended_when_it_could_not_be_written_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.staging_stream(0).unwrap();
    commit(&mut stream, 1..=2);
    stream.write_to(Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap()));
    drop(stream);
    assert_eq!(summary(directory.path()), [""; 0]);
    let mut stream = ledger.staging_stream(0).unwrap();
    commit(&mut stream, 3..=3);
    drop(stream);
    assert_eq!(numbers(directory.path()), [1, 2, 3]);
}

#[test]
fn an_outage_loses_nothing_that_was_committed() {
    let (directory, mut stream) = staging();
    commit(&mut stream, 1..=2);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let segment = stream.write_to(Arc::new(full));
    assert!(stream.pass_on().is_err());
    // From now on nothing is promised.
    stream.append(&logout(3));
    assert!(stream.commit().is_err());
    assert!(stream.commit().is_err());
    let left = killed(directory.path());
    let _again = open(left.path());
    assert_eq!(summary(left.path()), ["logout 0 1", "logout 0 2"]);
    stream.write_to(segment);
    stream.append(&logout(4));
    stream.commit().unwrap();
    drop(stream);
    let all = ["logout 0 1", "logout 0 2", "logout 0 3", "logout 0 4", "ledger-resumed 0 5"];
    assert_eq!(summary(directory.path()), all);
    let fields = records(directory.path())[4].fields().unwrap();
    assert_eq!((fields["first_seq"].as_u64(), fields["last_seq"].as_u64()), (Some(3), Some(4)));
}

#[tokio::test]
async fn what_is_staged_when_a_sync_fails_goes_into_the_next_segment() {
    let (directory, mut stream) = staging();
    stream.append(&logout(1));
    let position = stream.commit().unwrap();
    stream.sync_also(File::open("/dev/null").unwrap());
    assert!(stream.synced(position).await.is_err());
    commit(&mut stream, 2..=3);
    drop(stream);
    let all = ["logout 0 1", "logout 0 2", "logout 0 3", "ledger-unsynced 0 4"];
    assert_eq!(summary(directory.path()), all);
    assert_eq!(segments(&directory.path().join("stream-0")).unwrap(), [1, 2]);
}
