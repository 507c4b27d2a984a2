//! Segments that somebody wrote into.

use std::cell::RefCell;

use portcullis_ledger::{Ledger, Options, Reader};
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A directory in memory, where there is one.
pub fn directory() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// Two segments of a stream, with any bytes in them: every line is a record or an error, and
/// the reading ends. A writer goes on behind them with the next number.
pub fn lines(data: &[u8]) {
    DIRECTORY.with_borrow_mut(|kept| {
        let directory = kept.get_or_insert_with(directory);
        let ledger = directory.path().join("ledger");
        let stream = ledger.join("stream-0");
        let _ = std::fs::remove_dir_all(&ledger);
        std::fs::create_dir_all(&stream).expect("a new directory");
        let (first, second) = data.split_at(data.len() / 2);
        std::fs::write(stream.join("00000001.jsonl"), first).expect("room");
        std::fs::write(stream.join("00000002.jsonl"), second).expect("room");
        read(&ledger, data.len());
        let opened = Ledger::open(&ledger, Options::default()).expect("it is a directory");
        // What cannot be gone on with is said to be so.
        if let Ok(mut stream) = opened.stream(0) {
            let event = portcullis_policy::event::Notable::Stopped;
            stream.append(&portcullis_policy::event::Event::Notable(event));
            stream.commit().expect("room");
            let last = read(&ledger, data.len()).expect("what was just written is read");
            assert_eq!(last, "stopped");
        }
    });
}

/// The kind of the last record.
fn read(ledger: &std::path::Path, bytes: usize) -> Option<String> {
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
