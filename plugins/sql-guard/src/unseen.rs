//! Rules about what cannot be judged because it cannot be seen.

use portcullis_plugin_sdk::{Action, Statement};

use crate::finding::{Finding, command};
use crate::names::DYNAMIC_FUNCTIONS;
use crate::settings::{Rule, Settings};

/// How the proxy begins the reason where a prepared statement or cursor is not known to it.
const UNKNOWN_NAME: &str = "unknown name";

pub(crate) fn find(statement: &Statement, settings: &Settings, findings: &mut Vec<Finding>) {
    findings.extend(dynamic(statement));
    findings.extend(opaque(statement, settings));
    findings.extend(unknown_command(statement));
}

fn dynamic(statement: &Statement) -> Option<Finding> {
    let reason = if let Some(function) = DYNAMIC_FUNCTIONS.first(&statement.functions) {
        format!("the function {function} runs SQL from a string")
    } else if statement.does(Action::ExecuteDynamic)
        || statement.opaque.iter().any(|reason| reason.starts_with(UNKNOWN_NAME))
    {
        "it runs a prepared statement or cursor whose definition was not seen".to_owned()
    } else {
        return None;
    };
    Some(Finding::new(Rule::Dynamic, reason, "Send the SQL itself."))
}

fn opaque(statement: &Statement, settings: &Settings) -> Option<Finding> {
    let counts = |reason: &&String| {
        let allowed = |start: &String| reason.starts_with(&**start);
        !reason.starts_with(UNKNOWN_NAME) && !settings.opaque_allowed.iter().any(allowed)
    };
    let reason = match statement.opaque.iter().find(counts) {
        Some(reason) => format!("it cannot be judged as a whole ({reason})"),
        None if statement.does(Action::DoBlock) && statement.opaque.is_empty() => {
            "the body of DO cannot be judged".to_owned()
        }
        None => return None,
    };
    Some(Finding::new(Rule::Opaque, reason, "Send plain statements, one for each step."))
}

/// Commands without an action of their own that change nothing worth a rule.
const KNOWN_COMMANDS: [&str; 10] = [
    "ANALYZE",
    "CLUSTER",
    "COMMENT",
    "EMPTY",
    "EXPLAIN",
    "REFRESH MATERIALIZED VIEW",
    "REINDEX",
    "SELECT",
    "VACUUM",
    "VALUES",
];

/// A command that nobody taught the policy about may do anything.
fn unknown_command(statement: &Statement) -> Option<Finding> {
    let command = command(statement);
    let other_rules_know = ["PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"]
        .contains(&command)
        || ["CHECKPOINT", "REASSIGN OWNED", "SECURITY LABEL", "IMPORT FOREIGN SCHEMA"]
            .contains(&command);
    let unknown = statement.actions.first() == Some(&Action::Other)
        && statement.opaque.is_empty()
        && !other_rules_know
        && !KNOWN_COMMANDS.contains(&command);
    unknown.then(|| {
        let reason = format!("{command} is not known to the policy");
        Finding::new(Rule::Opaque, reason, "Send a statement of a known kind.")
    })
}
