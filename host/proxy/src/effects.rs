//! What a statement leaves behind, beside the rows it reads and writes: in its session, in the
//! catalog, and for others to see.

use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{Access, Action, Statement};

/// Parameters that decide what names in a text mean, or who runs it.
const READING_PARAMETERS: [&str; 3] = ["role", "search_path", "session_authorization"];

/// Parameters that decide how a text is read as tokens.
const TOKEN_PARAMETERS: [&str; 4] = ["all", "?", "standard_conforming_strings", "client_encoding"];

/// True for a statement that leaves nothing: most of them.
pub fn leaves_nothing(statement: &Statement) -> bool {
    let matters = |action: &Action| matches!(action, Action::Transaction | Action::CopyIn);
    statement.effect == SessionEffect::None
        && statement.parameters_set.is_empty()
        && !changes_reading(statement)
        && !makes_unseen_code(statement)
        && !may_change_catalog(statement)
        && !statement.actions.iter().any(matters)
}

/// Runs in a transaction that has failed, since it ends it, or goes back to where it had not.
pub fn ends_failed(statement: &Statement) -> bool {
    matches!(statement.command.as_str(), "COMMIT" | "ROLLBACK" | "PREPARE TRANSACTION")
}

/// Computes, of rows that its text does not name, what indexes are built of, or what a domain is
/// held to.
pub fn computes_anew(statement: &Statement) -> bool {
    let of_tables = statement.relations.iter().any(|relation| relation.resolved);
    match statement.command.as_str() {
        "REINDEX" | "ALTER DOMAIN" => true,
        "CLUSTER" | "VACUUM" | "ANALYZE" => !of_tables,
        _ => false,
    }
}

/// Its transaction can fail at its end for what this did: by a constraint that waits, or since the
/// rows of a cursor that outlives it are computed then.
pub fn may_fail_later(statement: &Statement) -> bool {
    let holds = matches!(statement.effect, SessionEffect::Declare { holds: true, .. });
    holds || !statement.is_read_only()
}

/// What follows may be read in another way: by another setting, or since the schemas that a path
/// leads to are others.
pub fn changes_reading(statement: &Statement) -> bool {
    let words = ["SCHEMA", "GRANT", "REVOKE", "REASSIGN", "DROP OWNED"];
    let of_schemas = words.iter().any(|word| statement.command.contains(word));
    let sets = |name: &String| READING_PARAMETERS.contains(&name.as_str());
    of_schemas || changes_tokens(statement) || statement.parameters_set.iter().any(sets)
}

/// What follows may be read as other tokens.
pub fn changes_tokens(statement: &Statement) -> bool {
    statement.parameters_set.iter().any(|name| TOKEN_PARAMETERS.contains(&name.as_str()))
}

/// Can what this statement makes change what names mean, ahead of its being seen?
pub fn makes_unseen_code(statement: &Statement) -> bool {
    let changes = |action: &Action| matches!(action, Action::Create | Action::Alter | Action::Drop);
    !statement.opaque.is_empty()
        || defines(statement)
        || discards_relations(statement)
        || statement.actions.iter().any(changes)
}

/// Temporary tables are gone after it, and their names mean what they hid.
fn discards_relations(statement: &Statement) -> bool {
    matches!(statement.command.as_str(), "DISCARD TEMP" | "DISCARD ALL")
}

/// The catalog may be another once it has run.
pub fn may_change_catalog(statement: &Statement) -> bool {
    use Action::{Alter, Call, Create, DoBlock, Drop, ExecuteDynamic, Grant};
    let changes = |action: &Action| {
        matches!(action, Create | Alter | Drop | Call | DoBlock | ExecuteDynamic | Grant)
    };
    !statement.opaque.is_empty()
        || defines(statement)
        || statement.command.starts_with("DISCARD")
        || statement.actions.iter().any(changes)
}

fn defines(statement: &Statement) -> bool {
    statement.relations.iter().any(|relation| relation.access == Access::Define)
}
