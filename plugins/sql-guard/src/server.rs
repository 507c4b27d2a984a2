//! Rules about the server around the data: files, programs, configuration, other sessions,
//! and connections to elsewhere.

use portcullis_plugin_sdk::{Access, Action, Statement};

use crate::finding::{Finding, command, list};
use crate::names::{CONTROL_FUNCTIONS, FILE_FUNCTIONS, OUTBOUND_FUNCTIONS};
use crate::settings::Rule;

pub(crate) fn find(statement: &Statement, findings: &mut Vec<Finding>) {
    findings.extend(files(statement));
    findings.extend(control(statement));
    findings.extend(outbound(statement));
}

fn files(statement: &Statement) -> Option<Finding> {
    let finding = |reason: String, advice| Some(Finding::new(Rule::ServerFiles, reason, advice));
    let stdio = "Use COPY with STDIN or STDOUT; in psql, \\copy.";
    if statement.does(Action::CopyProgram) {
        return finding("COPY would run a program on the server".to_owned(), stdio);
    }
    if statement.does(Action::CopyFile) {
        return finding("COPY would use a file on the server".to_owned(), stdio);
    }
    if let Some(function) = FILE_FUNCTIONS.first(&statement.functions) {
        let reason = format!("the function {function} reaches files of the server");
        return finding(reason, "Ask whoever administers the server.");
    }
    if command(statement).ends_with(" TABLESPACE") {
        let reason = format!("{} would use a directory on the server", command(statement));
        return finding(reason, "Ask whoever administers the server.");
    }
    None
}

const CONTROL_COMMANDS: [&str; 7] = [
    "ALTER DATABASE",
    "ALTER SYSTEM",
    "CHECKPOINT",
    "CREATE DATABASE",
    "COMMIT PREPARED",
    "PREPARE TRANSACTION",
    "ROLLBACK PREPARED",
];

fn control(statement: &Statement) -> Option<Finding> {
    let finding = |reason: String| {
        let advice = "Ask whoever administers the server.";
        Some(Finding::new(Rule::ServerControl, reason, advice))
    };
    let command = command(statement);
    if CONTROL_COMMANDS.contains(&command) {
        return finding(format!("{command} acts on the whole server"));
    }
    if let Some(function) = CONTROL_FUNCTIONS.first(&statement.functions) {
        return finding(format!("the function {function} acts on the server or on other sessions"));
    }
    let catalogs = statement.relations_with(Access::Write).filter(|name| is_system(name));
    list(catalogs).and_then(|names| finding(format!("it writes the system catalog {names}")))
}

/// Writing pg_settings sets a parameter, through a rule; writing a catalog does anything.
fn is_system(relation: &str) -> bool {
    relation.starts_with("pg_catalog.")
        || relation.starts_with("information_schema.")
        || (relation.starts_with("pg_") && !relation.contains('.'))
}

const OUTBOUND_OBJECTS: [&str; 6] = [
    " FOREIGN DATA WRAPPER",
    " FOREIGN TABLE",
    " PUBLICATION",
    " SERVER",
    " SUBSCRIPTION",
    " USER MAPPING",
];

fn outbound(statement: &Statement) -> Option<Finding> {
    let advice = "Ask whoever administers the server.";
    let command = command(statement);
    if let Some(function) = OUTBOUND_FUNCTIONS.first(&statement.functions) {
        let reason = format!("the function {function} connects from the server to elsewhere");
        return Some(Finding::new(Rule::Outbound, reason, advice));
    }
    let defines = statement.does(Action::Create) || statement.does(Action::Alter);
    let foreign = command == "IMPORT FOREIGN SCHEMA"
        || (defines && OUTBOUND_OBJECTS.iter().any(|object| command.ends_with(object)));
    foreign.then(|| {
        let reason = format!("{command} would connect the database to elsewhere");
        Finding::new(Rule::Outbound, reason, advice)
    })
}
