//! PostgreSQL's own regression suite: as PostgreSQL expects where server and suite are of one
//! version, and as without the proxy where they are not.

mod suite;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use end_to_end::artefacts;

use crate::evidence::Evidence;
use crate::stage::{OBSERVERS, Stage};
use suite::{Outcome, Suite};

/// The name that the suite's expected answers have.
const DATABASE: &str = "regression";
/// As what runs the suite would make it.
const OPTIONS: &str = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
const DEFAULTS: [(&str, &str); 6] = [
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("bytea_output", "hex"),
    ("timezone_abbreviations", "Default"),
];
/// One of the tests prepares two transactions at once; and pages count as seen by all only when
/// what made them is on the disk, which the plans of others depend on.
const SETTINGS: [(&str, &str); 2] =
    [("max_prepared_transactions", "2"), ("synchronous_commit", "on")];
/// More of a difference than this is for the file that has it all.
const SHOWN_LINES_MAX: usize = 200;

#[derive(Args)]
pub struct Arguments {
    /// Where the suite's library for this server is
    #[arg(long)]
    library: PathBuf,
    /// Where the client programs are
    #[arg(long)]
    clients: PathBuf,
    /// The server is of another version than the suite: the answers must be the same as directly
    #[arg(long)]
    compare: bool,
    /// Past the proxy only
    #[arg(long)]
    direct: bool,
    /// Through the proxy without TLS only
    #[arg(long)]
    plain: bool,
    /// Through the proxy with TLS on both legs only
    #[arg(long)]
    tls: bool,
}

/// A way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Plain,
    Tls,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Plain => "plain",
            Way::Tls => "tls",
        }
    }
}

/// Runs it; the error says what differs.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let place = tempfile::Builder::new().prefix("portcullis-suite-").tempdir();
    let place = place.expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let suite = Suite::copy(&place.path().join("suite"), &arguments.library, &arguments.clients);
    let mut wrong = Vec::new();
    let mut direct = None;
    for way in arguments.ways() {
        let outcome = run_one(&suite, way, &place.path().join(way.name()), &mut wrong).await;
        let faults = match &direct {
            Some(direct) => unlike(&suite, direct, &outcome),
            None if arguments.compare => unfinished(&suite, &outcome),
            None => unexpected(&suite, &outcome),
        };
        wrong.extend(faults.map(|faults| format!("{}: {faults}", way.name())));
        if arguments.compare && way == Way::Direct {
            direct = Some(outcome);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

impl Arguments {
    fn ways(&self) -> Vec<Way> {
        let all = [(Way::Direct, self.direct), (Way::Plain, self.plain), (Way::Tls, self.tls)];
        let named = all.iter().any(|(_, named)| *named);
        // What is compared with has to be there.
        let wanted = |(way, wanted): &(Way, bool)| {
            !named || *wanted || (self.compare && *way == Way::Direct)
        };
        all.iter().filter(|way| wanted(way)).map(|(way, _)| *way).collect()
    }
}

/// One run on a server of its own: the suite leaves roles behind.
async fn run_one(suite: &Suite, way: Way, outputs: &Path, wrong: &mut Vec<String>) -> Outcome {
    let stage = Stage::new(DATABASE, OPTIONS, &SETTINGS).await;
    for (name, value) in DEFAULTS {
        stage.run(&format!("ALTER DATABASE {DATABASE} SET {name} TO '{value}'")).await;
    }
    let (outcome, found) = match way {
        Way::Direct => (suite.run(DATABASE, &stage.direct(), outputs).await, String::new()),
        Way::Plain | Way::Tls => {
            let mut proxy = stage.observed(way == Way::Tls).await;
            let outcome = suite.run(DATABASE, &stage.through(&proxy), outputs).await;
            let evidence = Evidence::gather(&mut proxy, &OBSERVERS).await;
            fs::write(outputs.join("portcullis.log"), proxy.log()).expect("it takes files");
            wrong.extend(evidence.faults.iter().map(|fault| format!("{}: {fault}", way.name())));
            (outcome, format!("; {evidence}"))
        }
    };
    let version = stage.version().await;
    let (passed, all) = (outcome.passed.len(), suite.tests.len());
    let seconds = outcome.elapsed.as_secs();
    println!("PostgreSQL {version}, {}: {passed} of {all} in {seconds} s{found}", way.name());
    keep(&outcome, &format!("regress-{version}-{}", way.name()));
    outcome
}

/// Every test was run, and answered as PostgreSQL says it must.
fn unexpected(suite: &Suite, outcome: &Outcome) -> Option<String> {
    let differences = outcome.differences();
    if !outcome.failed.is_empty() || !differences.is_empty() {
        let shown: Vec<&str> = differences.lines().take(SHOWN_LINES_MAX).collect();
        return Some(format!("{} differ\n{}", outcome.failed.join(", "), shown.join("\n")));
    }
    unfinished(suite, outcome)
}

/// Every test was run.
fn unfinished(suite: &Suite, outcome: &Outcome) -> Option<String> {
    let run = outcome.passed.len() + outcome.failed.len();
    let all = suite.tests.len();
    (run != all).then(|| format!("{run} of {all} tests were run\n{}", outcome.said()))
}

/// Every test answered the same both times.
fn unlike(suite: &Suite, direct: &Outcome, outcome: &Outcome) -> Option<String> {
    let same = |test: &&String| {
        let answer = direct.result(test);
        answer.is_some() && answer == outcome.result(test)
    };
    let unlike: Vec<&str> =
        suite.tests.iter().filter(|test| !same(test)).map(String::as_str).collect();
    let unfinished = unfinished(suite, outcome);
    let found = (!unlike.is_empty()).then(|| {
        let differences = unlike.iter().map(|test| difference(test, direct, outcome));
        let differences: String = differences.collect();
        let shown: Vec<&str> = differences.lines().take(SHOWN_LINES_MAX).collect();
        format!("{} answered otherwise than directly\n{}", unlike.join(", "), shown.join("\n"))
    });
    unfinished.or(found)
}

/// The lines that one answer has and the other has not.
fn difference(test: &str, direct: &Outcome, outcome: &Outcome) -> String {
    let mut diff = std::process::Command::new("diff");
    diff.arg("-U2").args([direct, outcome].map(|outcome| outcome.file(test)));
    let output = diff.output().expect("diff runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was answered stays after the run, for whoever wants to see how it differs.
fn keep(outcome: &Outcome, name: &str) {
    let kept = artefacts::repository().join("target/conformance").join(name);
    let _ = fs::remove_dir_all(&kept);
    suite::copy(&outcome.outputs, &kept);
}
