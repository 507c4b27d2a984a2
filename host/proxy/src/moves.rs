//! What a statement does with values beside showing them: it copies them, hands them to what keeps
//! them, or defines what will.

use portcullis_policy::{Outputs, Statement};
use portcullis_sql::reads_elsewhere;

/// It writes values into a column that come from others.
fn copies(statement: &Statement) -> bool {
    let mut written = statement.written.iter();
    written.any(|written| written.sources.iter().any(|source| *source != written.target))
}

/// It copies values, or hands some to a function that keeps them.
pub fn moves(statement: &Statement) -> bool {
    copies(statement) || !statement.carriers.is_empty() && !statement.columns.is_empty()
}

/// What it hands to such a function could be of any column.
pub fn carries_unknown(statement: &Statement) -> bool {
    matches!(statement.outputs, Outputs::Anything)
        || statement.columns.iter().any(|column| column.is_of_nobody_known())
}

/// What it defines computes a value later, where no statement tells of it: why that could be one
/// of any column, or put one where it can be read again.
pub fn defines_unseen(statement: &Statement) -> Option<String> {
    let command = statement.command.as_str();
    if FOLLOWED_NOWHERE.contains(&command) {
        return Some(format!("what {command} makes"));
    }
    if command == "CREATE VIEW" {
        return statement.carriers.first().cloned();
    }
    if !STORES_EXPRESSIONS.contains(&command) {
        return None;
    }
    // What a default or a constraint of a table hands on is of the row that is written.
    let of_a_row = command.ends_with("TABLE") || command.ends_with("VIEW");
    let carrier = statement.carriers.first().filter(|_| !of_a_row);
    let mut functions = statement.functions.iter();
    let function = carrier.or_else(|| functions.find(|function| reads_elsewhere(function)));
    let opaque = || Some(format!("what it computes ({})", statement.opaque.first()?));
    function.cloned().or_else(opaque)
}

/// Whether such a statement may run depends on what is hidden anywhere in the database.
pub fn rests_on_everything(statement: &Statement) -> bool {
    let mut sources = statement.written.iter().flat_map(|written| &written.sources);
    !statement.redefined.is_empty()
        || defines_unseen(statement).is_some()
        || sources.any(|source| source.is_of_nobody_known())
        || !statement.carriers.is_empty() && carries_unknown(statement)
}

/// Commands that make what can show the columns of another relation under names of its own.
const FOLLOWED_NOWHERE: [&str; 6] = [
    "ALTER FOREIGN TABLE",
    "ALTER SERVER",
    "ALTER USER MAPPING",
    "CREATE FOREIGN TABLE",
    "CREATE RULE",
    "IMPORT FOREIGN SCHEMA",
];

/// Commands that store expressions: defaults, constraints and policies.
const STORES_EXPRESSIONS: [&str; 8] = [
    "ALTER DOMAIN",
    "ALTER POLICY",
    "ALTER TABLE",
    "ALTER VIEW",
    "CREATE DOMAIN",
    "CREATE POLICY",
    "CREATE SCHEMA",
    "CREATE TABLE",
];
