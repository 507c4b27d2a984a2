//! node-postgres: the integration tests of `pg`, and the tests of `pg-pool` and `pg-cursor`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::report::Outcome;
use super::suite::{Said, Step, Suite, Target};

pub const SUITE: Suite = Suite {
    name: "node-postgres",
    version: "8.16.3",
    database: "node_test",
    databases: &["template1"],
    made: &[],
    prepared: &[],
    users: &[],
    tls: true,
    folder: "node-postgres",
    listed: include_str!("../../drivers/node-postgres.txt"),
    passes_min: 200,
    steps,
    read,
};

/// The driver, in the suite's tree.
const DRIVER: &str = "packages/pg";
/// Made before the tests, which all read it.
const TABLES: &str = "script/create-test-tables.js";
/// Packages whose tests mocha runs.
const WITH_MOCHA: [&str; 2] = ["packages/pg-pool", "packages/pg-cursor"];

/// A program for each file: one that fails ends with the first of its tests that does.
fn steps(target: &Target, place: &Path, names: &[String]) -> Vec<Step> {
    let wanted: BTreeSet<&str> = names.iter().map(|name| file_of(name)).collect();
    let is_wanted = |file: &String| names.is_empty() || wanted.contains(file.as_str());
    let mut files = Vec::new();
    collect(place, &place.join(DRIVER).join("test/integration"), &mut files);
    files.retain(|file| file.ends_with("-tests.js") && is_wanted(file));
    files.sort();
    files.insert(0, format!("{DRIVER}/{TABLES}"));
    let mut steps: Vec<Step> =
        files.into_iter().map(|file| step(target, file.clone(), vec![file])).collect();
    for package in WITH_MOCHA {
        let mut files = Vec::new();
        collect(place, &place.join(package).join("test"), &mut files);
        files.retain(|file| file.ends_with(".js") && is_wanted(file));
        files.sort();
        for file in files {
            let mocha = ["node_modules/mocha/bin/mocha.js", "--reporter", "tap", "--timeout"];
            let mut arguments: Vec<String> = mocha.map(str::to_owned).into();
            arguments.extend(["60000".to_owned(), "--exit".to_owned(), file.clone()]);
            steps.push(step(target, file, arguments));
        }
    }
    steps
}

fn step(target: &Target, label: String, arguments: Vec<String>) -> Step {
    let mut variables = vec![
        ("SCRAM_TEST_PGUSER", target.user.to_owned()),
        ("SCRAM_TEST_PGPASSWORD", target.password.clone()),
        // What its tests wait for at most, in milliseconds.
        ("TEST_TIMEOUT", "60000".to_owned()),
    ];
    if let Some(authority) = &target.authority {
        variables.push(("NODE_EXTRA_CA_CERTS", authority.display().to_string()));
    }
    Step { label, program: PathBuf::from("node"), arguments, variables }
}

/// The files below a folder, as the suite's tree names them.
fn collect(place: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the suite has tests") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            collect(place, &path, files);
        } else if let Ok(inside) = path.strip_prefix(place) {
            files.push(inside.display().to_string());
        }
    }
}

fn file_of(name: &str) -> &str {
    name.split_once(": ").map_or(name, |(file, _)| file)
}

/// Each file is a test, and so is what it ticks off: its own tests by `✔`, mocha's by `ok`.
fn read(step: &Step, said: &Said) -> Vec<(String, Outcome)> {
    let ticked = |line: &str| {
        let name = line.strip_suffix('✔').map(str::trim);
        let (name, outcome) = match name {
            Some(name) => (name, Outcome::Passed),
            None if line.starts_with("ok ") => (line.get(3..)?, Outcome::Passed),
            None => (line.strip_prefix("not ok ")?, Outcome::Failed),
        };
        (!name.is_empty()).then(|| (format!("{}: {name}", step.label), outcome))
    };
    let file = if said.success { Outcome::Passed } else { Outcome::Failed };
    let mut outcomes: Vec<_> = said.text.lines().filter_map(ticked).collect();
    outcomes.push((step.label.clone(), file));
    outcomes
}
