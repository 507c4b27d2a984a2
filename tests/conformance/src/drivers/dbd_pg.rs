//! DBD::Pg, whose tests print what prove reads: TAP.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::report::Outcome;
use super::suite::{Said, Step, Suite, Target};

pub const SUITE: Suite = Suite {
    name: "DBD::Pg",
    version: "3.18.0",
    database: "dbdpg_test",
    databases: &[],
    made: &[],
    prepared: &[],
    users: &[],
    tls: true,
    folder: "dbd-pg",
    listed: include_str!("../../drivers/dbd-pg.txt"),
    passes_min: 2_900,
    steps,
    read,
};

/// A file's tests build on each other, so a test that is run again is its file.
fn steps(target: &Target, place: &Path, names: &[String]) -> Vec<Step> {
    let files = std::fs::read_dir(place.join("t")).expect("the suite has tests");
    let files = files.map(|file| file.expect("it can be listed").file_name());
    let files = files.map(|name| format!("t/{}", name.to_string_lossy()));
    let wanted: BTreeSet<&str> = names.iter().map(|name| file_of(name)).collect();
    let is_wanted = |file: &String| names.is_empty() || wanted.contains(file.as_str());
    let mut files: Vec<String> =
        files.filter(|file| file.ends_with(".t")).filter(is_wanted).collect();
    files.sort();
    files.into_iter().map(|file| step(target, file)).collect()
}

fn step(target: &Target, file: String) -> Step {
    let source = format!("dbi:Pg:dbname={};host=localhost;port={}", target.database, target.port);
    Step {
        program: PathBuf::from("perl"),
        arguments: vec!["-Mblib".to_owned(), file.clone()],
        label: file,
        variables: vec![
            ("DBI_DSN", source),
            // Some of its tests come in the order of a hash.
            ("PERL_HASH_SEED", "0".to_owned()),
            ("PERL_PERTURB_KEYS", "0".to_owned()),
            ("DBI_USER", target.user.to_owned()),
            ("DBI_PASS", target.password.clone()),
        ],
    }
}

fn file_of(name: &str) -> &str {
    name.split_once(": ").map_or(name, |(file, _)| file)
}

/// `ok 12 - Connect works`; `not ok 13 - …`; `ok 14 # skip …`. The file itself is a test as
/// well: whether it came to its end.
fn read(step: &Step, said: &Said) -> Vec<(String, Outcome)> {
    let test = |line: &str| {
        let (passed, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok ")?),
        };
        let (rest, skipped) = match rest.split_once(" # skip") {
            Some((rest, _)) => (rest, true),
            None => (rest, false),
        };
        let outcome = match (skipped, passed) {
            (true, _) => Outcome::Skipped,
            (false, true) => Outcome::Passed,
            (false, false) => Outcome::Failed,
        };
        Some((format!("{}: {rest}", step.label), outcome))
    };
    let file = if said.success { Outcome::Passed } else { Outcome::Failed };
    let mut outcomes: Vec<_> = said.text.lines().filter_map(test).collect();
    outcomes.push((step.label.clone(), file));
    outcomes
}
