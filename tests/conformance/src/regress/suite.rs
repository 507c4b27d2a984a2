//! The suite's files, and a run of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use end_to_end::{artefacts, postgres, process, wait_until};

use crate::stage::Address;

/// Minutes on a quiet machine, and forty have been seen on one with very much else to do; what
/// takes longer than this hangs.
const RUN: Duration = Duration::from_secs(3_600);

/// What of the suite's directory a run reads.
const PARTS: [&str; 5] = ["sql", "expected", "data", "resultmap", SCHEDULE];
const SCHEDULE: &str = "parallel_schedule";

/// The suite, where the user that servers run as can read it.
pub struct Suite {
    directory: PathBuf,
    clients: PathBuf,
    /// In the order of the schedule.
    pub tests: Vec<String>,
}

impl Suite {
    /// Copies the suite into `directory`, with the library for the server that it will meet.
    /// `clients` has `bin/psql` and, below `lib`, what runs the suite.
    pub fn copy(directory: &Path, library: &Path, clients: &Path) -> Suite {
        let directory = postgres::prepare(directory).unwrap_or_else(|error| panic!("{error}"));
        let source = artefacts::regress();
        let source = source.parent().expect("the files are in the suite's directory");
        for part in PARTS {
            copy(&source.join(part), &directory.join(part));
        }
        copy(library, &directory.join("library"));
        let schedule = fs::read_to_string(directory.join(SCHEDULE)).expect("a text");
        Suite { directory, clients: clients.to_owned(), tests: tests(&schedule) }
    }

    /// Runs all of it against a database that is there. What it writes goes into `outputs`.
    pub async fn run(&self, database: &str, address: &Address, outputs: &Path) -> Outcome {
        let outputs = postgres::prepare(outputs).unwrap_or_else(|error| panic!("{error}"));
        let said = outputs.join("said");
        let started = Instant::now();
        let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let runner = self.clients.join("lib/pgxs/src/test/regress/pg_regress");
        let mut command = process::tied_server_user(&runner);
        command
            .arg(option("inputdir", &self.directory))
            .arg(option("outputdir", &outputs))
            .arg(option("schedule", &self.directory.join(SCHEDULE)))
            .arg(option("dlpath", &self.directory.join("library")))
            .arg(option("bindir", &self.clients.join("bin")))
            .args(["--use-existing", "--max-concurrent-tests=20", "--host=127.0.0.1"])
            .args([format!("--dbname={database}"), format!("--port={}", address.port)])
            .arg(format!("--user={}", address.user))
            .env("PGPASSWORD", &address.password)
            // A home without anybody's certificates, which the servers' user may not even look for.
            .env("HOME", &outputs)
            .stdout(File::create(&said).expect("the directory takes files"))
            .stderr(File::create(outputs.join("complained")).expect("the directory takes files"));
        match &address.authority {
            Some(pem) => {
                let file = self.directory.join("authority.crt");
                fs::write(&file, pem).expect("the directory takes files");
                command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", file);
            }
            None => {
                command.env("PGSSLMODE", "disable");
            }
        }
        let mut child = command.spawn().expect("pg_regress runs");
        let ended = async || child.try_wait().expect("it is ours");
        let status = wait_until("PostgreSQL's regression suite ends", RUN, ended).await;
        Outcome::read(outputs, status, started.elapsed())
    }
}

/// What a run came to.
pub struct Outcome {
    pub outputs: PathBuf,
    status: ExitStatus,
    pub elapsed: Duration,
    pub passed: Vec<String>,
    pub failed: Vec<String>,
}

impl Outcome {
    fn read(outputs: PathBuf, status: ExitStatus, elapsed: Duration) -> Outcome {
        let said = fs::read_to_string(outputs.join("said")).unwrap_or_default();
        let (passed, failed): (Vec<_>, Vec<_>) =
            said.lines().filter_map(ending).partition(|(_, passed)| *passed);
        let names = |tests: Vec<(&str, bool)>| -> Vec<String> {
            tests.into_iter().map(|(name, _)| name.to_owned()).collect()
        };
        Outcome { passed: names(passed), failed: names(failed), outputs, status, elapsed }
    }

    /// What differs from what PostgreSQL expects.
    pub fn differences(&self) -> String {
        fs::read_to_string(self.outputs.join("regression.diffs")).unwrap_or_default()
    }

    /// What one test answered.
    pub fn result(&self, test: &str) -> Option<Vec<u8>> {
        fs::read(self.file(test)).ok()
    }

    /// Where that is.
    pub fn file(&self, test: &str) -> PathBuf {
        self.outputs.join("results").join(format!("{test}.out"))
    }

    /// All that the runner said, and how it ended.
    pub fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.outputs.join(name)).unwrap_or_default();
        format!("{}{}\npg_regress ended with {}", read("said"), read("complained"), self.status)
    }
}

/// `test name ... ok  12 ms`, or without `test` inside a group.
fn ending(line: &str) -> Option<(&str, bool)> {
    let (before, after) = line.split_once(" ... ")?;
    let name = before.trim().trim_start_matches("test ").trim();
    let word = after.split_whitespace().next()?;
    Some((name, word == "ok"))
}

fn tests(schedule: &str) -> Vec<String> {
    let groups = schedule.lines().filter_map(|line| line.strip_prefix("test:"));
    groups.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// A file, or a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        return;
    }
    fs::create_dir_all(to).expect("the directory takes directories");
    let entries = fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for entry in entries {
        let name = entry.expect("a readable directory").file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

#[cfg(test)]
mod tests_of_reading {
    use super::*;

    #[test]
    fn what_the_runner_says_is_read() {
        assert_eq!(ending("test tablespace ... ok          241 ms"), Some(("tablespace", true)));
        assert_eq!(ending("     boolean    ... FAILED      241 ms"), Some(("boolean", false)));
        assert_eq!(ending("test random ... failed (ignored) 3 ms"), Some(("random", false)));
        assert_eq!(ending(" All 217 tests passed. "), None);
        assert_eq!(ending("parallel group (2 tests):  a b"), None);
    }

    #[test]
    fn a_schedule_is_read() {
        let schedule = "# test: none\ntest: test_setup\n\ntest: boolean char\n";
        assert_eq!(tests(schedule), ["test_setup", "boolean", "char"]);
    }
}
