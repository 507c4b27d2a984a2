//! A disk that takes no more: statements must stop, and nothing may be lost silently.
//!
//! The limit on file sizes stands in for a full disk: a write is taken in part, then refused,
//! and later accepted again. It holds for a whole process, so the test runs in one of its
//! own, in which the signal that goes with the limit is ignored.
#![allow(clippy::unwrap_used, reason = "a test, in functions that are not marked as one")]

use std::process::Command;
use std::time::Duration;

use portcullis_ledger::{Ledger, Options, Reader};
use portcullis_policy::event::{Event, Notable};

const CHILD: &str = "PORTCULLIS_LEDGER_FULL_DISK";

fn logout(session: u64) -> Event {
    Event::Notable(Notable::Logout { session, statements: 0 })
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    if std::env::var_os(CHILD).is_some() {
        return on_a_full_disk();
    }
    let test = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact a_full_disk_refuses_and_recovers"])
        .arg(test)
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Sets how large a file of this process may become.
fn limit(bytes: &str) {
    let pid = std::process::id().to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")])
        .status()
        .unwrap();
    assert!(status.success());
}

fn on_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        sync_interval: Duration::from_millis(5),
        backlog_bytes_max: 2000,
        ..Options::default()
    };
    let ledger = Ledger::open(directory.path(), options).unwrap();
    let mut stream = ledger.stream(0).unwrap();
    assert!(stream.append(&logout(1)));
    stream.commit().unwrap();

    limit("150");
    let (mut refused, mut kept) = (0, 0);
    for session in 2..=40 {
        kept += u64::from(stream.append(&logout(session)));
        let error = stream.commit().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
        refused += 1;
    }
    assert_eq!(refused, 39);
    assert!(kept < 39);

    limit("unlimited");
    // The commit goes well, and this record is not in it: whoever wrote it is told.
    assert!(!stream.append(&logout(41)));
    stream.commit().unwrap();
    assert!(stream.append(&logout(42)));
    stream.commit().unwrap();
    drop(stream);

    // Every record is there, or counted as not.
    let records: Vec<_> = Reader::open(directory.path()).unwrap().map(Result::unwrap).collect();
    let resumed: Vec<_> = records.iter().filter(|record| record.kind == "ledger-resumed").collect();
    let [resumed] = resumed[..] else { panic!("{records:#?}") };
    let fields = resumed.fields().unwrap();
    let logouts = records.iter().filter(|record| record.kind == "logout").count();
    let unwritten = fields["unwritten"].as_u64().unwrap();
    assert_eq!(unwritten, 39 - kept + 1);
    assert_eq!(logouts as u64 + unwritten, 42);
    assert_eq!(fields["first_seq"], 2);
    assert_eq!(fields["last_seq"], resumed.seq - 1);
    assert_eq!(records.last().unwrap().fields().unwrap()["session"], 42);
}
