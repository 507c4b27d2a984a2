//! What a statement does with values beside showing them: it copies them, hands them to what keeps
//! them, or defines what will.

use portcullis_policy::{Outputs, Statement};
use portcullis_sql::reads_elsewhere;

/// It writes values into a column that come from others.
fn copies(statement: &Statement) -> bool {
    let mut written = statement.written.iter();
    written.any(|written| written.sources.iter().any(|source| *source != written.target))
}

/// The function of a statement that puts a value where it can be read again.
pub fn carrier(statement: &Statement) -> Option<&String> {
    statement.functions.iter().find(|function| {
        let name = bare(function);
        CARRIERS.contains(&name)
            || CARRIER_FAMILIES.iter().any(|prefix| name.starts_with(prefix))
                && !FAMILIES_WITHOUT_VALUES.contains(&name)
    })
}

/// It copies values, or hands some to such a function.
pub fn moves(statement: &Statement) -> bool {
    copies(statement) || carrier(statement).is_some() && !statement.columns.is_empty()
}

/// What it hands to such a function could be of any column.
pub fn carries_unknown(statement: &Statement) -> bool {
    matches!(statement.outputs, Outputs::Anything)
        || !statement.opaque.is_empty()
        || statement.columns.iter().any(|column| column.is_of_nobody_known())
}

/// What it defines computes a value later, where no statement tells of it: why that could be one
/// of any column, or put one where it can be read again.
pub fn defines_unseen(statement: &Statement) -> Option<String> {
    let command = statement.command.as_str();
    if command == "CREATE RULE" {
        return Some("what a rule does".to_owned());
    }
    if !STORES_EXPRESSIONS.contains(&command) {
        return None;
    }
    // A column's value is its own row's, and that of a domain is anybody's.
    let carrier = carrier(statement).filter(|_| command.ends_with("DOMAIN"));
    let mut functions = statement.functions.iter();
    let function = carrier.or_else(|| functions.find(|function| reads_elsewhere(bare(function))));
    let opaque = || Some(format!("what it computes ({})", statement.opaque.first()?));
    function.cloned().or_else(opaque)
}

/// Whether such a statement may run depends on what is hidden anywhere in the database.
pub fn rests_on_everything(statement: &Statement) -> bool {
    let mut sources = statement.written.iter().flat_map(|written| &written.sources);
    statement.redefined.contains(&None)
        || defines_unseen(statement).is_some()
        || sources.any(|source| source.is_of_nobody_known())
        || carrier(statement).is_some() && carries_unknown(statement)
}

/// A function's name without its schema.
fn bare(function: &str) -> &str {
    function.rsplit('.').next().unwrap_or(function)
}

/// Commands that store expressions of columns: defaults and constraints.
const STORES_EXPRESSIONS: [&str; 8] = [
    "ALTER DOMAIN",
    "ALTER FOREIGN TABLE",
    "ALTER TABLE",
    "ALTER VIEW",
    "CREATE DOMAIN",
    "CREATE FOREIGN TABLE",
    "CREATE SCHEMA",
    "CREATE TABLE",
];

/// What writes a value it is given, or shows by what it does which value that was.
const CARRIERS: [&str; 19] = [
    "loread",
    "lowrite",
    "nextval",
    "pg_backup_start",
    "pg_cancel_backend",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_drop_replication_slot",
    "pg_log_backend_memory_contexts",
    "pg_notify",
    "pg_replication_slot_advance",
    "pg_start_backup",
    "pg_terminate_backend",
    "set_config",
    "setseed",
    "setval",
];

/// Beginnings of the names of further ones: locks and large objects by number, messages in the
/// log, statistics by hand, time.
const CARRIER_FAMILIES: [&str; 9] = [
    "lo_",
    "pg_advisory_",
    "pg_clear_",
    "pg_logical_",
    "pg_replication_origin_",
    "pg_restore_",
    "pg_sleep",
    "pg_stat_reset",
    "pg_try_advisory_",
];

const FAMILIES_WITHOUT_VALUES: [&str; 1] = ["lo_get"];
