//! psycopg2 and asyncpg, whose tests pytest runs.

use std::path::Path;

use end_to_end::artefacts;

use super::report::Outcome;
use super::suite::{Said, Step, Suite, Target};

/// What one test may take on a machine with much to do.
const TEST_SECONDS_MAX: &str = "300";

pub const PSYCOPG2: Suite = Suite {
    name: "psycopg2",
    version: "2.9.13",
    database: "psycopg2_test",
    databases: &[],
    made: &[],
    prepared: &["CREATE EXTENSION IF NOT EXISTS hstore"],
    users: &[],
    tls: true,
    folder: "psycopg2",
    listed: include_str!("../../drivers/psycopg2.txt"),
    passes_min: 700,
    steps,
    read,
};

pub const ASYNCPG: Suite = Suite {
    name: "asyncpg",
    version: "0.32.0",
    database: "asyncpg_test",
    databases: &["asyncpg_intro_test", "postgres"],
    made: &["asyncpg_intro_test"],
    prepared: &[],
    users: &[],
    tls: true,
    folder: "asyncpg",
    listed: include_str!("../../drivers/asyncpg.txt"),
    passes_min: 280,
    steps,
    read,
};

fn steps(_target: &Target, _place: &Path, names: &[String]) -> Vec<Step> {
    let mut arguments: Vec<String> =
        ["-m", "pytest", "-v", "-p", "no:cacheprovider", "--tb=short", "--color=no", "--timeout"]
            .map(str::to_owned)
            .into();
    arguments.push(TEST_SECONDS_MAX.to_owned());
    match names {
        [] => arguments.push("tests".to_owned()),
        names => arguments.extend_from_slice(names),
    }
    vec![Step {
        label: "tests".to_owned(),
        program: artefacts::tool("venv/bin/python"),
        arguments,
        variables: vec![
            ("COLUMNS", "1000".to_owned()),
            // psycopg2 tests replication only where it is told to: on the same server.
            ("PSYCOPG2_TEST_REPL_DSN", String::new()),
        ],
    }]
}

/// `tests/test_copy.py::CopyTests::test_copy_from PASSED [ 22%]`
fn read(_step: &Step, said: &Said) -> Vec<(String, Outcome)> {
    let outcome = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.contains("::"))?;
        let outcome = match words.next()? {
            "PASSED" => Outcome::Passed,
            "FAILED" | "ERROR" => Outcome::Failed,
            "SKIPPED" => Outcome::Skipped,
            _ => return None,
        };
        Some((name.to_owned(), outcome))
    };
    said.text.lines().filter_map(outcome).collect()
}
