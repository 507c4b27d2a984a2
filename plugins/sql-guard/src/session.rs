//! The rule about role and session parameters.

use portcullis_plugin_sdk::Statement;

use crate::finding::{Finding, command};
use crate::names::parameter_matters;
use crate::settings::{Rule, Settings};

pub(crate) fn find(statement: &Statement, settings: &Settings, findings: &mut Vec<Finding>) {
    let matters = |name: &&String| {
        let listed = |list: &[String]| list.iter().any(|entry| entry.eq_ignore_ascii_case(name));
        !listed(&settings.parameters_allowed)
            && (listed(&settings.parameters_denied) || parameter_matters(name))
    };
    let unseen = statement.calls("set_config") && statement.parameters_set.is_empty();
    let computed = "?".to_owned();
    let mut names = statement.parameters_set.iter().chain(unseen.then_some(&computed));
    let persistent = command(statement) == "ALTER ROLE" || command(statement) == "ALTER DATABASE";
    let Some(name) = (if persistent { names.next() } else { names.find(matters) }) else {
        return;
    };
    let reason = match &**name {
        "role" | "session_authorization" => "it would change the session's role".to_owned(),
        "?" => "it sets a parameter whose name is computed".to_owned(),
        name if persistent => format!("{} would set {name} for later sessions", command(statement)),
        name => format!("it sets or resets the parameter {name}"),
    };
    let advice = match &**name {
        "role" | "session_authorization" => "Connect as the user whose rights you need.",
        "?" => "Write the parameter's name as a literal.",
        _ => "Leave the parameter as it is.",
    };
    findings.push(Finding::new(Rule::SessionChanges, reason, advice));
}
