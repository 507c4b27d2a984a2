//! tokio-postgres, and postgres above it. They know nothing of TLS.

use std::path::Path;

use super::report::Outcome;
use super::suite::{Said, Step, Suite, Target};

pub const SUITE: Suite = Suite {
    name: "tokio-postgres",
    version: "0.7.18",
    database: "tokio_test",
    databases: &[],
    made: &[],
    prepared: &[
        "CREATE EXTENSION IF NOT EXISTS hstore",
        "CREATE EXTENSION IF NOT EXISTS citext",
        "CREATE EXTENSION IF NOT EXISTS ltree",
        "CREATE ROLE pass_user LOGIN PASSWORD 'password'",
        "CREATE ROLE md5_user LOGIN PASSWORD 'password'",
        "CREATE ROLE scram_user LOGIN PASSWORD 'password'",
    ],
    users: &[("pass_user", "password"), ("md5_user", "password"), ("scram_user", "password")],
    tls: false,
    folder: "tokio-postgres",
    listed: include_str!("../../drivers/tokio-postgres.txt"),
    passes_min: 150,
    steps,
    read,
};

/// Its two test programs.
const PROGRAMS: [&str; 2] = ["tokio_postgres", "postgres"];

fn steps(_target: &Target, place: &Path, names: &[String]) -> Vec<Step> {
    let step = |program: &str| {
        let prefix = format!("{program}: ");
        let own = names.iter().filter_map(|name| name.strip_prefix(&prefix));
        let own: Vec<String> = own.map(str::to_owned).collect();
        let step = Step {
            label: program.to_owned(),
            program: place.join(program),
            // Some count what all sessions do.
            arguments: ["--test-threads=1".to_owned(), "--exact".to_owned()]
                .into_iter()
                .chain(own.iter().cloned())
                .collect(),
            variables: Vec::new(),
        };
        (names.is_empty() || !own.is_empty()).then_some(step)
    };
    PROGRAMS.into_iter().filter_map(step).collect()
}

/// `test types::test_hstore_params ... ok`
fn read(step: &Step, said: &Said) -> Vec<(String, Outcome)> {
    let outcome = |line: &str| {
        let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let outcome = match outcome {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed,
            outcome if outcome.starts_with("ignored") => Outcome::Skipped,
            _ => return None,
        };
        Some((format!("{}: {name}", step.label), outcome))
    };
    said.text.lines().filter_map(outcome).collect()
}
