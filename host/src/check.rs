//! `portcullis check`: what `serve` would put into force, and all that is wrong with it.

mod coverage;
mod entrance;

use std::process::ExitCode;

use miette::Result;
use portcullis_engine::{CheckReport, EngineConfig, Kinds, PolicySummary};
use portcullis_policy::Unmatched;

pub use coverage::{may_use, principal};

use crate::cli::Check;
use crate::config::{Audit, Config, DatabaseConfig, Endpoint, RoleMapping};
use crate::directory::{Lasting, directory};
use crate::running::engine_config;
use crate::settings::settings;
use crate::terminal::{counted, line, print, section};

pub fn run(arguments: &Check) -> Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    let file = arguments.config.display();
    let report = portcullis_engine::check(&untouching(&config));
    print(&in_force(&config, &report))?;
    let unwise = format!("{:#}", config.warnings);
    for warning in unwise.lines().filter(|line| !line.is_empty()) {
        eprintln!("warning: {warning}");
    }
    for warning in coverage::gaps(&config, &report.policies) {
        eprintln!("warning: {file}: {warning}");
    }
    let lasting = Lasting::empty()?;
    let unread =
        directory(&config, &lasting).and_then(|directory| settings(&config, directory)).err();
    if let Some(report) = &unread {
        let help = report.help().map(|help| format!("\n  {help}")).unwrap_or_default();
        eprintln!("error: {file}: {report:#}{help}");
    }
    for failure in &report.failures {
        eprintln!("error: {failure}");
    }
    let errors = report.failures.len().saturating_add(usize::from(unread.is_some()));
    if errors == 0 {
        print("nothing is wrong\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{}", counted(errors, "error"));
    Ok(ExitCode::FAILURE)
}

/// The engine as `serve` would start it, but leaving no trace.
pub fn untouching(config: &Config) -> EngineConfig {
    EngineConfig { cache_dir: None, ..engine_config(config, None) }
}

/// The names of what a plugin can do.
pub fn kinds(kinds: Kinds) -> String {
    kinds.names().join(", ")
}

/// What would be in force.
fn in_force(config: &Config, report: &CheckReport) -> String {
    let databases: Vec<Vec<String>> = config.databases.iter().map(database).collect();
    let policies: Vec<Vec<String>> = report.policies.iter().map(policy).collect();
    [
        entrance::in_force(config),
        section("databases", &databases),
        line("users", config.users.len().to_string()),
        line("plugins", config.plugin_dir.display().to_string()),
        match policies.is_empty() {
            true => line("policies", "none"),
            false => section("policies", &policies),
        },
    ]
    .concat()
}

fn database(database: &DatabaseConfig) -> Vec<String> {
    let upstream = &database.upstream;
    let at = match &upstream.endpoint {
        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
        Endpoint::Unix(path) => path.display().to_string(),
    };
    let audit = match database.audit {
        Audit::Strict => "strict",
        Audit::Relaxed => "relaxed",
        Audit::StrictWrites => "default",
    };
    let unmatched = match database.unmatched {
        Unmatched::Deny => "deny",
        Unmatched::Allow => "allow",
    };
    let labels: Vec<String> =
        database.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let role = match &database.role {
        None => String::new(),
        Some(RoleMapping::Fixed(role)) => format!(", role {role}"),
        Some(RoleMapping::ByGroup { .. }) => ", role by group".to_owned(),
        Some(RoleMapping::Subject) => ", role as the principal".to_owned(),
    };
    vec![
        database.name.clone(),
        format!("{} as {} at {at}{role}", upstream.database, upstream.user),
        format!("audit {audit}"),
        format!("unmatched {unmatched}"),
        labels.join(", "),
    ]
}

/// One policy, in the order in which policies are asked.
fn policy(policy: &PolicySummary) -> Vec<String> {
    vec![
        policy.name.to_string(),
        policy.plugin.clone(),
        // Enough of a digest to tell two apart.
        policy.digest.to_string().chars().take(12).collect(),
        kinds(policy.kinds),
        policy.mode.as_str().to_owned(),
        format!("for {}", policy.matching),
    ]
}
