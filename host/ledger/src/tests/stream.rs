//! Appending, committing, going on after a restart.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{logout, open, records, summary};
use crate::segment::{segment_path, segments};
use crate::{Ledger, Options, ReadError, Reader};

#[test]
fn numbers_go_on_over_restarts_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    for _run in 0..3 {
        let ledger = open(directory.path());
        let mut stream = ledger.stream(0).unwrap();
        for session in 0..4 {
            stream.append(&logout(session));
        }
        stream.commit().unwrap();
    }
    let numbers: Vec<u64> = records(directory.path()).iter().map(|record| record.seq).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
}

#[test]
fn nothing_is_in_the_ledger_before_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(1));
    assert_eq!(summary(directory.path()), [""; 0]);
    stream.commit().unwrap();
    assert_eq!(summary(directory.path()), ["logout 0 1"]);
    drop(stream);
    assert_eq!(summary(directory.path()), ["logout 0 1"]);
}

#[test]
fn a_stream_that_is_dropped_writes_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.stream(3).unwrap();
    stream.append(&logout(1));
    drop(stream);
    assert_eq!(summary(directory.path()), ["logout 3 1"]);
}

#[test]
fn only_one_process_and_one_worker_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let again = Ledger::open(directory.path(), Options::default());
    assert_eq!(again.err().unwrap().kind(), std::io::ErrorKind::ResourceBusy);
    let stream = ledger.stream(0).unwrap();
    assert_eq!(ledger.stream(0).err().unwrap().kind(), std::io::ErrorKind::ResourceBusy);
    assert!(ledger.stream(1).is_ok());
    // A stream that lives keeps the ledger from others, even after the handle is gone.
    drop(ledger);
    assert!(Ledger::open(directory.path(), Options::default()).is_err());
    drop(stream);
    let ledger = open(directory.path());
    assert!(ledger.stream(0).is_ok());
}

#[test]
fn others_may_not_look_inside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state/ledger");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ledger = open(&path);
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(1));
    stream.commit().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("stream-0")), 0o700);
    assert_eq!(mode(&path.join("stream-0/00000001.jsonl")), 0o600);
}

#[test]
fn segments_stay_within_their_size() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 1000, ..Options::default() };
    let ledger = Ledger::open(directory.path(), options).unwrap();
    let mut stream = ledger.stream(0).unwrap();
    for session in 0..50 {
        stream.append(&logout(session));
        stream.commit().unwrap();
    }
    let path = directory.path().join("stream-0");
    let numbers = segments(&path).unwrap();
    assert!(numbers.len() > 4, "{numbers:?}");
    for number in numbers {
        assert!(std::fs::metadata(segment_path(&path, number)).unwrap().len() <= 1000);
    }
    assert_eq!(records(directory.path()).len(), 50);
}

/// A ledger of three records, to whose last segment `tail` is added, is opened again.
fn recovered(tail: &[u8]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let append = || {
        let ledger = open(directory.path());
        let mut stream = ledger.stream(0).unwrap();
        (0..3).for_each(|session| assert!(stream.append(&logout(session))));
        stream.commit().unwrap();
    };
    append();
    let path = directory.path().join("stream-0/00000001.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(tail).unwrap();
    append();
    let all = records(directory.path());
    assert!(all.iter().zip(1..).all(|(record, seq)| record.seq == seq));
    let interesting = |line: &str| line.split_once("\"kind\":").map(|(_, rest)| rest.to_owned());
    let notes = all.iter().filter(|record| record.kind.starts_with("ledger-"));
    let mut notes: Vec<String> = notes.filter_map(|record| interesting(&record.line)).collect();
    notes.push(format!("{} records", all.len()));
    notes
}

#[test]
fn a_torn_last_line_is_cut_off_and_that_is_recorded() {
    assert_eq!(recovered(b""), ["6 records"]);
    for torn in [
        b"{\"v\":1,\"seq\":4".as_slice(),
        b"{",
        // A crash may leave zeros where data should be, with or without a line end.
        &[0; 14],
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\n",
        b"{\"v\":1,\"seq\n{\"v\":1,",
    ] {
        let bytes = torn.len();
        let note = format!("\"ledger-recovered\",\"segment\":1,\"bytes_removed\":{bytes}}}");
        assert_eq!(recovered(torn), [note.as_str(), "7 records"], "{torn:?}");
    }
}

#[test]
fn a_crash_right_after_a_new_segment_loses_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(1));
    drop(stream);
    std::fs::write(directory.path().join("stream-0/00000002.jsonl"), b"").unwrap();
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(2));
    drop(stream);
    assert_eq!(summary(directory.path()), ["logout 0 1", "logout 0 2"]);
}

#[test]
fn readers_report_what_is_missing_or_damaged_and_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.stream(0).unwrap();
    (1..=6).for_each(|session| assert!(stream.append(&logout(session))));
    drop(stream);
    let path = directory.path().join("stream-0/00000001.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[4] = lines[4].replace("\"stream\":\"0\"", "\"stream\":\"1\"");
    lines[2] = "{}".to_owned();
    lines.remove(1);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let seen: Vec<String> = Reader::open(directory.path())
        .unwrap()
        .map(|record| match record {
            Ok(record) => record.seq.to_string(),
            Err(error) => error.to_string(),
        })
        .collect();
    let malformed_at = |seen: &str, what: &str| {
        seen.starts_with("stream 0, segment 1, byte ") && seen.contains(what)
    };
    assert_eq!(seen[0], "1");
    assert!(malformed_at(&seen[1], "missing field"), "{seen:?}");
    assert_eq!(seen[2], "stream 0: expected record 2, found 4");
    assert_eq!(seen[3], "4");
    assert!(malformed_at(&seen[4], "the record belongs to stream 1"), "{seen:?}");
    assert_eq!(seen[5], "stream 0: expected record 5, found 6");
    assert_eq!(seen[6..], ["6"]);
}

#[test]
fn streams_are_merged_by_time_and_may_be_followed() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut streams = [ledger.stream(0).unwrap(), ledger.stream(1).unwrap()];
    let mut reader = Reader::open(directory.path()).unwrap();
    assert!(reader.next().is_none());
    for turn in 0..6 {
        streams[turn % 2].append(&logout(turn as u64));
    }
    for stream in &mut streams {
        stream.commit().unwrap();
    }
    let times: Vec<String> = reader.by_ref().map(|record| record.unwrap().time).collect();
    assert_eq!(times.len(), 6);
    assert!(times.is_sorted(), "{times:?}");
    // A stream that begins later is found too.
    let mut third = ledger.stream(2).unwrap();
    third.append(&logout(9));
    third.commit().unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!((record.stream.as_str(), record.seq), ("2", 1));
    assert!(reader.next().is_none());
}

#[test]
fn reading_may_begin_at_the_newest_segment() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 400, ..Options::default() };
    let ledger = Ledger::open(directory.path(), options).unwrap();
    let mut stream = ledger.stream(0).unwrap();
    for session in 0..10 {
        stream.append(&logout(session));
        stream.commit().unwrap();
    }
    let recent: Vec<_> = Reader::open_recent(directory.path()).unwrap().collect();
    assert!(!recent.is_empty() && recent.len() < 10, "{recent:?}");
    assert!(recent.iter().all(Result::is_ok), "{recent:?}");
}

#[test]
fn a_missing_ledger_is_an_error_not_an_empty_one() {
    assert!(Reader::open(Path::new("/nonexistent/ledger")).is_err());
    let error: ReadError = std::io::Error::other("gone").into();
    assert_eq!(error.to_string(), "the ledger cannot be read: gone");
}

#[tokio::test]
async fn synced_is_ready_when_the_disk_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        // Only somebody who waits brings it to the disk.
        sync_interval: std::time::Duration::from_secs(3600),
        ..Options::default()
    };
    let ledger = Ledger::open(directory.path(), options).unwrap();
    let mut stream = ledger.stream(0).unwrap();
    let mut waiting = Vec::new();
    for session in 0..20 {
        stream.append(&logout(session));
        let position = stream.commit().unwrap();
        waiting.push(stream.synced(position));
    }
    for synced in waiting {
        synced.await.unwrap();
    }
    let position = stream.commit().unwrap();
    stream.synced(position).await.unwrap();
    assert_eq!(stream.progress().borrow().synced.seq, 20);
}

#[tokio::test]
async fn after_a_failed_sync_the_segment_is_left_and_the_records_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(1));
    let position = stream.commit().unwrap();
    stream.synced(position).await.unwrap();
    // No device, no sync: the call fails as it does on a broken disk.
    stream.sync_also(std::fs::File::open("/dev/null").unwrap());
    stream.append(&logout(2));
    let doubtful = stream.commit().unwrap();
    assert!(stream.synced(doubtful).await.is_err());
    stream.append(&logout(3));
    let after = stream.commit().unwrap();
    stream.synced(after).await.unwrap();
    // What was in doubt stays so, and what was safe too.
    assert!(stream.synced(doubtful).await.is_err());
    assert!(stream.synced(position).await.is_ok());
    drop(stream);
    let all = summary(directory.path());
    assert_eq!(all, ["logout 0 1", "logout 0 2", "logout 0 3", "ledger-unsynced 0 4"]);
    let fields = records(directory.path())[3].fields().unwrap();
    assert_eq!((fields["first_seq"].as_u64(), fields["last_seq"].as_u64()), (Some(2), Some(2)));
    assert_eq!(segments(&directory.path().join("stream-0")).unwrap(), [1, 2]);
}

#[tokio::test]
async fn waiting_for_the_disk_does_not_keep_the_stream_from_its_next_batch() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path());
    let mut stream = ledger.stream(0).unwrap();
    stream.append(&logout(1));
    let first = stream.commit().unwrap();
    let first = tokio::spawn(stream.synced(first));
    stream.append(&logout(2));
    let second = stream.commit().unwrap();
    let second = stream.synced(second);
    drop(stream);
    first.await.unwrap().unwrap();
    second.await.unwrap();
}
