//! Segments that somebody wrote into, and what a killed process left beside them.

use std::cell::RefCell;
use std::path::Path;

use portcullis_ledger::{Ledger, Options, Reader};
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A directory in memory, where there is one.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// The directories of a ledger and of its only stream, with nothing in them.
fn with_stream(run: impl FnOnce(&Path, &Path)) {
    DIRECTORY.with_borrow_mut(|kept| {
        let ledger = kept.get_or_insert_with(directory).path().join("ledger");
        let stream = ledger.join("stream-0");
        let _ = std::fs::remove_dir_all(&ledger);
        std::fs::create_dir_all(&stream).expect("a new directory");
        run(&ledger, &stream);
    });
}

/// Two segments of a stream, with any bytes in them: every line is a record or an error, and
/// the reading ends. A writer goes on behind them with the next number.
pub fn lines(data: &[u8]) {
    with_stream(|ledger, stream| {
        let (first, second) = data.split_at(data.len() / 2);
        std::fs::write(stream.join("00000001.jsonl"), first).expect("room");
        std::fs::write(stream.join("00000002.jsonl"), second).expect("room");
        read(ledger, data.len());
        let opened = Ledger::open(ledger, Options::default()).expect("it is a directory");
        go_on(&opened, ledger, data.len());
    });
}

/// What a killed process left: any file, or batches that are whole, and perhaps some of it in a
/// segment already. No record is there twice, and a writer goes on behind them.
pub fn staging(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    with_stream(|ledger, stream| {
        let left = ledger.join("staging-0");
        std::fs::write(&left, if choice & 1 == 0 { batches(data) } else { data.to_vec() })
            .expect("room");
        if choice & 2 == 0 {
            let moved = data.get(..data.len() / 2).unwrap_or_default();
            std::fs::write(stream.join("00000001.jsonl"), moved).expect("room");
        }
        // What cannot be moved is said to be so, and stays.
        if let Ok(opened) = Ledger::open(ledger, Options::default()) {
            assert!(!left.exists(), "what was left is in the segment, or nowhere");
            read(ledger, data.len());
            go_on(&opened, ledger, data.len());
        }
    });
}

/// A file of whole batches: what lies between bytes that no text has. Its form is that of
/// `staging.rs`.
fn batches(data: &[u8]) -> Vec<u8> {
    const RECORDS_AT: usize = 4096;
    let (mut head, mut records, mut digest) = (b"PCSTAGE1".to_vec(), Vec::new(), 0_u32);
    for batch in data.split(|byte| *byte == 0xff).filter(|batch| !batch.is_empty()) {
        if head.len() + 16 > RECORDS_AT {
            break;
        }
        records.extend_from_slice(batch);
        digest = xxhash_rust::xxh3::xxh3_64_with_seed(batch, digest.into()) as u32;
        head.extend_from_slice(&(records.len() as u32).to_le_bytes());
        head.extend_from_slice(&digest.to_le_bytes());
    }
    head.resize(RECORDS_AT, 0);
    head.append(&mut records);
    head
}

fn go_on(opened: &Ledger, ledger: &Path, bytes: usize) {
    // What cannot be gone on with is said to be so.
    if let Ok(mut stream) = opened.stream(0) {
        let event = portcullis_policy::event::Notable::Stopped;
        stream.append(&portcullis_policy::event::Event::Notable(event));
        stream.commit().expect("room");
        stream.pass_on().expect("room");
        let last = read(ledger, bytes).expect("what was just written is read");
        assert_eq!(last, "stopped");
    }
}

/// The kind of the last record.
fn read(ledger: &Path, bytes: usize) -> Option<String> {
    let mut last = None;
    let mut found = 0;
    for record in Reader::open(ledger).expect("it is a directory") {
        found += 1;
        assert!(found <= 2 * bytes + 8, "the reading does not end");
        if let Ok(record) = record {
            last = Some(record.kind);
        }
    }
    last
}
