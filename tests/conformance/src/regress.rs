//! PostgreSQL's own regression suite: as PostgreSQL expects where server and suite are of one
//! version, and as without the proxy where they are not.

mod suite;

use std::borrow::Cow;
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

/// As many the suite for 15 has, by and large; that for 18 has more.
const STATEMENTS_MIN: usize = 40_000;

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
            let mut evidence = Evidence::gather(&mut proxy, &OBSERVERS).await;
            evidence.hold_to(STATEMENTS_MIN, 1);
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

/// Every test answered the same both times, but for what one server answers otherwise each time.
fn unlike(suite: &Suite, direct: &Outcome, outcome: &Outcome) -> Option<String> {
    let same = |test: &&String| {
        let [direct, outcome] = [direct, outcome].map(|outcome| outcome.result(test));
        direct.is_some() && direct.as_deref().map(lasting) == outcome.as_deref().map(lasting)
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

/// The lines of an answer without what is chance: how many buffers were there already, OIDs of
/// what was made and the transactions that made it, and the order of rows that no test gives one.
/// What the suite is written for has none of that, and there each byte counts.
fn lasting(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let mut lines: Vec<String> =
        without_planning(text.lines()).iter().map(|line| without_chance(line)).collect();
    lines.sort_unstable();
    lines
}

/// Without what EXPLAIN says of the buffers that planning read, which is nothing where the session
/// had read of the catalog before what it needs now; and that many rows less.
fn without_planning<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<Cow<'t, str>> {
    let mut lines = lines.peekable();
    let (mut kept, mut left_out) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        if line.trim() == "Planning:" && lines.next_if(|next| next.contains("Buffers: ")).is_some()
        {
            left_out += 2;
            continue;
        }
        let rows = line.strip_prefix('(').and_then(|line| line.strip_suffix(')'));
        let rows = rows.and_then(|rows| rows.strip_suffix(" rows").or(rows.strip_suffix(" row")));
        match rows.and_then(|rows| rows.parse::<usize>().ok()) {
            Some(rows) => {
                kept.push(format!("({} rows)", rows.saturating_sub(left_out)).into());
                left_out = 0;
            }
            None => kept.push(line.into()),
        }
    }
    kept
}

fn without_chance(line: &str) -> String {
    let counts = line.contains("Buffers: ");
    let least =
        |digits: &str, least: u32| digits.parse::<u32>().is_ok_and(|number| number >= least);
    let words = || line.split(|letter: char| !letter.is_ascii_digit());
    let has_oid = words().any(|digits| least(digits, FIRST_USER_OID));
    let mut lasting = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        let (digits, behind) = digits.split_at(end);
        lasting += before;
        let is_chance = counts || (has_oid && least(digits, FIRST_TRANSACTION));
        lasting += if is_chance { "#" } else { digits };
        rest = behind;
    }
    // A column is as wide as its widest row.
    (lasting + rest).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Below it OIDs are PostgreSQL's own.
const FIRST_USER_OID: u32 = 16_384;
/// No transaction of the suite has a lower number, by far.
const FIRST_TRANSACTION: u32 = 5_000;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chance_is_left_out() {
        let of = |text: &str| lasting(text.as_bytes());
        assert_eq!(
            of("   Buffers: shared hit=40 read=1\n b | 2"),
            of(" b | 2\n Buffers: shared hit=7 read=3")
        );
        assert_eq!(of(" 30056 | r |   10844"), of("  30052 | r |   10926"));
        let planned = " Seq Scan\n Planning:\n   Buffers: shared hit=10\n(3 rows)\n\n a\n(2 rows)";
        assert_eq!(of(planned), of(" Seq Scan\n(1 row)\n\n a\n(2 rows)"));
        for (one, other) in [
            ("a | 1", "a | 2"),
            (" 30056 | r |   1084", " 30056 | r |   1092"),
            (" 16000 | r", " 16001 | r"),
            ("ERROR:  x", "ERROR:  y"),
            ("a\na", "a"),
            ("a\n(2 rows)", "a\n(1 row)"),
            ("Planning:\n a\n(2 rows)", " a\n(1 row)"),
        ] {
            assert_ne!(of(one), of(other), "{one}");
        }
    }
}
