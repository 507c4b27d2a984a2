//! The tests of drivers, as their authors wrote them: the same results through the proxy as
//! without it. Each suite runs both ways at once, before two servers that are alike.

mod listed;
mod report;
mod suite;
mod python;
mod node_postgres;
mod dbd_pg;
mod tokio_postgres;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::evidence::Evidence;
use crate::stage::{Address, OBSERVERS, Stage};
use listed::Listed;
use report::Report;
use suite::{Suite, Target};

const SUITES: [Suite; 5] =
    [node_postgres::SUITE, python::PSYCOPG2, python::ASYNCPG, tokio_postgres::SUITE, dbd_pg::SUITE];

/// What the suites want of a server.
const SETTINGS: [(&str, &str); 4] = [
    ("max_prepared_transactions", "20"),
    ("wal_level", "logical"),
    ("max_connections", "200"),
    ("jit", "off"),
];

/// Some tests measure time, which a busy machine has none of: those that differ are run again
/// by themselves, if they are no more than this.
const AGAIN_MAX: usize = 20;
/// How often.
const TRIES_MAX: usize = 2;

#[derive(Args)]
pub struct Arguments {
    /// Which suites; all of them where none is named
    names: Vec<String>,
    /// TLS on both legs, for suites that can be told to use it
    #[arg(long)]
    tls: bool,
    /// Where copies of the suites and what they said stay
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Runs them; the error says what differs.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let (suites, left_out) = wanted(arguments)?;
    for suite in left_out {
        println!("{}: not run, as it cannot be told to use TLS", suite.name);
    }
    let temporary = tempfile::Builder::new().prefix("portcullis-drivers-").tempdir();
    let temporary = temporary.expect("a temporary directory");
    let place = arguments.keep.as_deref().unwrap_or(temporary.path());
    let mut table = String::new();
    let mut faults = Vec::new();
    for suite in suites {
        let place = place.join(suite.folder);
        std::fs::create_dir_all(&place).expect("a directory can be made there");
        let held = run_suite(&suite, arguments.tls, &place).await?;
        println!("{}", held.line);
        writeln!(table, "{}", held.line).expect("a String takes all");
        faults.extend(held.faults.iter().map(|fault| format!("{}: {fault}", suite.name)));
    }
    if !table.is_empty() {
        println!("\n{HEADING}\n{table}");
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

const HEADING: &str = "suite            version  PostgreSQL  TLS  passed directly  through  listed  \
                       again  seconds";

/// Those named, or all, and apart from them those that cannot be told to use TLS, which is asked for.
fn wanted(arguments: &Arguments) -> Result<(Vec<Suite>, Vec<Suite>), String> {
    let is_named = |name: &String| SUITES.iter().any(|suite| suite.name == name);
    if let Some(unknown) = arguments.names.iter().find(|name| !is_named(name)) {
        let known = SUITES.map(|suite| suite.name).join(", ");
        return Err(format!("there is no suite {unknown}: {known}"));
    }
    let named = |suite: &Suite| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| name == suite.name)
    };
    let wanted = SUITES.into_iter().filter(named);
    Ok(wanted.partition(|suite| suite.tls || !arguments.tls))
}

/// How a suite went.
struct Held {
    line: String,
    faults: Vec<String>,
}

async fn run_suite(suite: &Suite, tls: bool, place: &Path) -> Result<Held, String> {
    let started = Instant::now();
    let listed = Listed::read(suite.listed)?;
    let past = stage(suite).await;
    let before = stage(suite).await;
    let setup = before.observing(tls).section(&sections(suite, &before, tls).await);
    // As PostgreSQL here, it offers TLS to who asks for it, and takes others.
    let mut proxy = setup.tls().start().await;
    let ways = [
        Way::new(suite, (past.direct_tls(), tls), &place.join("direct")),
        Way::new(suite, (before.through(&proxy), tls), &place.join("through")),
    ];
    let [mut direct, mut through] = run_ways(suite, &ways, &[]).await;
    let mut again = 0;
    for _ in 0..TRIES_MAX {
        let differing = report::differences(&direct, &through).into_iter();
        let names: Vec<String> =
            differing.map(|differing| differing.name).filter(|name| !listed.covers(name)).collect();
        if names.is_empty() || names.len() > AGAIN_MAX {
            break;
        }
        again += names.len();
        for name in suite.made {
            for stage in [&past, &before] {
                stage.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            }
        }
        let [direct_again, through_again] = run_ways(suite, &ways, &names).await;
        direct.replace(direct_again);
        through.replace(through_again);
    }
    let mut evidence = Evidence::gather(&mut proxy, &OBSERVERS).await;
    // A test that asks nothing is balanced by those that ask much.
    evidence.hold_to(suite.passes_min, 0);
    std::fs::write(place.join("portcullis.log"), proxy.log()).expect("it takes files");
    let mut faults = report::faults(&direct, &through, &listed);
    faults.extend_from_slice(&evidence.faults);
    if direct.passed() < suite.passes_min {
        let (passed, wanted) = (direct.passed(), suite.passes_min);
        faults.push(format!("only {passed} tests passed directly, of {wanted} at least"));
    }
    let line = format!(
        "{:<16} {:<8} {:<11} {:<4} {:<16} {:<8} {:<7} {:<6} {}",
        suite.name,
        suite.version,
        past.version().await,
        if tls { "yes" } else { "no" },
        direct.passed(),
        through.passed(),
        listed.names().count(),
        again,
        started.elapsed().as_secs()
    );
    println!("{}: {evidence}", suite.name);
    Ok(Held { line, faults })
}

/// A server with the suite's database, and in it what the suite wants.
async fn stage(suite: &Suite) -> Stage {
    let stage = Stage::new(suite.database, "TEMPLATE template0", &SETTINGS).await;
    for statement in suite.prepared {
        stage.run(statement).await;
    }
    stage
}

/// What the proxy's configuration says besides: whom else and what else the suite logs in to, and
/// a limit, as some of these suites send statements of megabytes.
async fn sections(suite: &Suite, stage: &Stage, tls: bool) -> String {
    let mut sections = "[limits]\nstatement_bytes_max = 67_000_000\n".to_owned();
    for name in suite.databases {
        sections.push_str(&stage.another_database(name, tls));
    }
    for (name, password) in suite.users {
        sections.push_str(&stage.another_user(name, password).await);
    }
    sections
}

/// A target, and a copy of the suite to run there.
struct Way {
    target: Target,
    place: PathBuf,
}

impl Way {
    fn new(suite: &Suite, (address, tls): (Address, bool), place: &Path) -> Way {
        let copied = Command::new("cp").arg("-a").arg(suite.source()).arg(place).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} is copied", suite.folder);
        let authority = address.authority.filter(|_| tls).map(|pem| {
            let file = place.join("authority.crt");
            std::fs::write(&file, pem).expect("the copy takes files");
            file
        });
        let target = Target {
            port: address.port,
            user: address.user,
            password: address.password,
            database: suite.database,
            authority,
        };
        Way { target, place: place.to_owned() }
    }
}

/// Both at once: most of these tests wait.
async fn run_ways(suite: &Suite, ways: &[Way; 2], names: &[String]) -> [Report; 2] {
    let [direct, through] = ways;
    let direct = suite.run(&direct.target, &direct.place, names);
    let through = suite.run(&through.target, &through.place, names);
    tokio::join!(direct, through).into()
}
