//! A driver's own tests: what they need, how they are run, and how what they say is read.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use end_to_end::{artefacts, process};
use tokio::process::Command;

use super::report::{Outcome, Report};

/// What does not end within this time hangs.
const STEP_LIMIT: Duration = Duration::from_secs(1_200);

/// One way to the server.
#[derive(Clone, Debug)]
pub struct Target {
    pub port: u16,
    pub user: &'static str,
    pub password: String,
    pub database: &'static str,
    /// The authority that signed the server's certificate, where TLS is wanted.
    pub authority: Option<PathBuf>,
}

/// A program that runs some of the tests.
pub struct Step {
    /// What the names of its tests begin with, where it does not say itself.
    pub label: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
}

/// What a step said, and whether it ended well.
pub struct Said {
    pub text: String,
    pub success: bool,
}

/// A driver's tests.
pub struct Suite {
    pub name: &'static str,
    pub version: &'static str,
    /// The database it is made for.
    pub database: &'static str,
    /// Others that it uses, or makes.
    pub databases: &'static [&'static str],
    /// Those of them that it makes itself, and cannot make where a test that failed has left one.
    pub made: &'static [&'static str],
    /// What it wants in its own: statements, one by one.
    pub prepared: &'static [&'static str],
    /// Whom it logs in besides, with their passwords.
    pub users: &'static [(&'static str, &'static str)],
    /// It can be told to use TLS.
    pub tls: bool,
    /// Where its tests are, among the tools. Each run has a copy of its own.
    pub folder: &'static str,
    /// What cannot be tested through a proxy.
    pub listed: &'static str,
    /// Fewer tests that pass directly than this, and the suite was not really run.
    pub passes_min: usize,
    /// The programs to run in the copy; of some of the tests alone, where names are given.
    pub steps: fn(&Target, &Path, &[String]) -> Vec<Step>,
    pub read: fn(&Step, &Said) -> Vec<(String, Outcome)>,
}

impl Suite {
    /// Runs the tests in `place`, a copy of the suite's own folder; all, or those named.
    pub async fn run(&self, target: &Target, place: &Path, names: &[String]) -> Report {
        let mut report = Report::default();
        for step in (self.steps)(target, place, names) {
            let said = step.run(target, place).await;
            let outcomes = (self.read)(&step, &said);
            outcomes.into_iter().for_each(|(name, outcome)| report.note(name, outcome));
        }
        report
    }

    /// Where its tests are.
    pub fn source(&self) -> PathBuf {
        artefacts::tool(&format!("drivers/{}", self.folder))
    }
}

impl Target {
    /// What every client of PostgreSQL reads.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let (host, tls) = match &self.authority {
            Some(_) => ("localhost", "verify-full"),
            None => ("127.0.0.1", "disable"),
        };
        let mut variables = vec![
            ("PGHOST", host.to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.to_owned()),
            ("PGPASSWORD", self.password.clone()),
            ("PGDATABASE", self.database.to_owned()),
            ("PGSSLMODE", tls.to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ];
        if let Some(authority) = &self.authority {
            variables.push(("PGSSLROOTCERT", authority.display().to_string()));
        }
        variables
    }
}

impl Step {
    async fn run(&self, target: &Target, place: &Path) -> Said {
        let mut command = Command::from(process::tied(&self.program));
        command.args(&self.arguments).current_dir(place).kill_on_drop(true);
        command.envs(target.variables()).envs(self.variables.iter().cloned());
        // A home without anybody's passwords, services and certificates.
        command.env("HOME", place).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let ended = match command.spawn() {
            Ok(child) => tokio::time::timeout(STEP_LIMIT, child.wait_with_output()).await,
            Err(error) => panic!("{} does not run: {error}", self.program.display()),
        };
        let said = match ended {
            Ok(output) => {
                let output = output.expect("its output can be read");
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text).into_owned();
                Said { text, success: output.status.success() }
            }
            Err(_) => Said { text: format!("ended after {STEP_LIMIT:?}"), success: false },
        };
        self.keep(place, &said.text);
        said
    }

    /// For whoever wants to know why a test failed.
    fn keep(&self, place: &Path, text: &str) {
        let name: String =
            self.label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let kept = std::fs::write(place.join(format!("said-{name}.txt")), text);
        kept.expect("the copy takes files");
    }
}
