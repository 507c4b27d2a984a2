use std::fs;

use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn check_refused(directory: &Path, why: &str) {
    let error = State::open(directory).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    assert!(error.contains(FILE), "the file is named: {error}");
}

#[test]
fn the_file_is_private_from_the_start_and_stays_so() {
    let directory = directory();
    let inside = directory.path().join("a/b");
    let state = State::open(&inside).unwrap();
    let mode = |name: &str| {
        fs::metadata(inside.join(name)).map(|found| found.permissions().mode() & 0o777).unwrap()
    };
    assert_eq!((mode(""), mode(FILE), mode("state.db-wal")), (0o700, 0o600, 0o600));
    drop(state);
    fs::set_permissions(inside.join(FILE), Permissions::from_mode(0o644)).unwrap();
    let _state = State::open(&inside).unwrap();
    assert_eq!(mode(FILE), 0o600);
}

#[test]
fn one_process_has_it_at_a_time() {
    let directory = directory();
    let state = State::open(directory.path()).unwrap();
    let other = Connection::open(directory.path().join(FILE)).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    let read = other.query_row("SELECT count(*) FROM approval", [], |row| row.get::<_, i64>(0));
    assert!(read.is_err(), "not even to read");
    drop((state, other));
    State::open(directory.path()).unwrap();
}

#[test]
fn what_is_not_ours_or_is_damaged_is_refused() {
    let directory = directory();
    let file = directory.path().join(FILE);
    drop(State::open(directory.path()).unwrap());
    drop(State::open(directory.path()).expect("the benign twin: opened again"));

    let set = |statement: &str| {
        Connection::open(&file).unwrap().execute_batch(statement).unwrap();
    };
    set("PRAGMA user_version = 2");
    check_refused(directory.path(), "another version of the proxy wrote it");
    set("PRAGMA user_version = 1; PRAGMA application_id = 5");
    check_refused(directory.path(), "another program wrote it");
    set("PRAGMA application_id = 1349481076; PRAGMA wal_checkpoint(TRUNCATE)");
    drop(State::open(directory.path()).unwrap());

    let mut bytes = fs::read(&file).unwrap();
    let whole = bytes.clone();
    let second_page = bytes.get_mut(4096..4196).unwrap();
    second_page.fill(0xff);
    fs::write(&file, &bytes).unwrap();
    assert!(State::open(directory.path()).is_err());
    fs::write(&file, b"no database at all, though it is long enough to be looked at").unwrap();
    assert!(State::open(directory.path()).is_err());
    fs::write(&file, whole).unwrap();
    drop(State::open(directory.path()).unwrap());
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let directory = directory();
    let state = State::open(directory.path()).unwrap();
    let count = || {
        state.change(|file| {
            file.query_row("SELECT count(*) FROM disabled", [], |row| row.get::<_, i64>(0))
        })
    };
    let half_done = state.change(|file| {
        file.execute("INSERT INTO disabled VALUES ('ana', 'kim', '', 0)", [])?;
        file.execute("INSERT INTO nowhere VALUES (1)", [])
    });
    assert!(half_done.is_err());
    assert_eq!(count().unwrap(), 0);
    state
        .change(|file| file.execute("INSERT INTO disabled VALUES ('ana', 'kim', '', 0)", []))
        .unwrap();
    assert_eq!(count().unwrap(), 1);
}
