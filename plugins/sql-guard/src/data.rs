//! Rules about data and its definitions: DDL and writes that reach every row.

use portcullis_plugin_sdk::{Access, Action, Statement};

use crate::finding::{Finding, command, is_temporary, list};
use crate::settings::Rule;
use crate::words::Words;

pub(crate) fn find(statement: &Statement, findings: &mut Vec<Finding>) {
    findings.extend(destructive(statement));
    findings.extend(unbounded(statement));
    findings.extend(code(statement));
    findings.extend(privileges(statement));
    findings.extend(definition(statement));
}

fn destructive(statement: &Statement) -> Option<Finding> {
    let finding = |reason: String| {
        let advice = "Rename it out of the way, or have a migration do it.";
        Some(Finding::new(Rule::DestructiveDdl, reason, advice))
    };
    let command = command(statement);
    // COMMENT alters too, but what its text says is not done.
    let alters = statement.does(Action::Alter) && command.starts_with("ALTER ");
    let touched = || {
        let uses = statement.relations.iter().filter(|used| used.access != Access::Read);
        uses.map(|used| &*used.name)
    };
    let only_temporary = touched().next().is_some() && touched().all(is_temporary);
    let what = list(touched()).unwrap_or_else(|| "what it names".to_owned());
    if statement.does(Action::Truncate) && !only_temporary {
        return finding(format!("TRUNCATE would delete every row of {what}"));
    }
    if (statement.does(Action::Drop) || command == "DROP OWNED") && !only_temporary {
        return finding(format!("{command} would destroy {what}"));
    }
    if alters && !only_temporary && Words::of(&statement.shape).alter_destructively() {
        return finding(format!("{command} would destroy a part of {what}"));
    }
    None
}

fn unbounded(statement: &Statement) -> Option<Finding> {
    // EXPLAIN alone plans and does not write.
    if !statement.unbounded_write || statement.actions == [Action::Explain] {
        return None;
    }
    let written = || statement.relations_with(Access::Write);
    if written().next().is_some() && written().all(is_temporary) {
        return None;
    }
    let what = list(written()).unwrap_or_else(|| "a table".to_owned());
    let verb = match (statement.does(Action::Update), statement.does(Action::Delete)) {
        (true, false) => "UPDATE",
        (false, true) => "DELETE",
        (true, true) | (false, false) => "the statement",
    };
    Some(Finding::new(
        Rule::UnboundedWrites,
        format!("{verb} without an effective WHERE would reach every row of {what}"),
        "Add a WHERE clause that names the rows.",
    ))
}

const CODE_OBJECTS: [&str; 17] = [
    "ACCESS METHOD",
    "AGGREGATE",
    "CAST",
    "CONVERSION",
    "EVENT TRIGGER",
    "EXTENSION",
    "FUNCTION",
    "LANGUAGE",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURE",
    "ROUTINE",
    "RULE",
    "TEXT SEARCH TEMPLATE",
    "TRANSFORM",
    "TRIGGER",
];

fn code(statement: &Statement) -> Option<Finding> {
    let advice = "Have a migration install it.";
    let command = command(statement);
    if statement.does(Action::Load) {
        return Some(Finding::new(Rule::Code, "LOAD would load a library into the server", advice));
    }
    let nested = command == "CREATE SCHEMA" && Words::of(&statement.shape).has(&["trigger"]);
    if nested || object(command).is_some_and(|object| CODE_OBJECTS.contains(&object)) {
        let reason = format!("{command} would define code that runs unseen");
        return Some(Finding::new(Rule::Code, reason, advice));
    }
    None
}

/// What a CREATE or ALTER is of.
fn object(command: &str) -> Option<&str> {
    command.strip_prefix("CREATE ").or_else(|| command.strip_prefix("ALTER "))
}

const PRIVILEGE_COMMANDS: [&str; 11] = [
    "ALTER DEFAULT PRIVILEGES",
    "ALTER POLICY",
    "ALTER ROLE",
    "CREATE POLICY",
    "CREATE ROLE",
    "DROP OWNED",
    "DROP POLICY",
    "DROP ROLE",
    "REASSIGN OWNED",
    "SECURITY LABEL",
    "ALTER LARGE OBJECT",
];

fn privileges(statement: &Statement) -> Option<Finding> {
    let command = command(statement);
    let by_alter = || {
        let words = Words::of(&statement.shape);
        words.has(&["owner", "to"]) || words.has(&["row", "level", "security"])
    };
    let found = statement.does(Action::Grant)
        || PRIVILEGE_COMMANDS.contains(&command)
        || (command.starts_with("ALTER ") && by_alter())
        || (command == "CREATE SCHEMA" && Words::of(&statement.shape).has(&["grant"]));
    found.then(|| {
        let reason = format!("{command} would change who may do what");
        Finding::new(Rule::Privileges, reason, "Ask whoever administers the database.")
    })
}

fn definition(statement: &Statement) -> Option<Finding> {
    let defines = statement.does(Action::Create) || statement.does(Action::Alter);
    let defined = || statement.relations_with(Access::Define);
    let only_temporary = defined().next().is_some() && defined().all(is_temporary);
    (defines && !only_temporary).then(|| {
        let command = command(statement);
        let reason = format!("{command} would change the database's definitions");
        Finding::new(Rule::Ddl, reason, "Have a migration do it.")
    })
}
