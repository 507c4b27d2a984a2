//! What a statement is: its own actions and its command tag.

use pg_query::protobuf::{ObjectType, TransactionStmtKind};
use portcullis_policy::statement::Action;

use crate::tree::Node;

/// A statement's own actions, then those of what it carries and runs; never empty.
pub(crate) fn actions(statement: Node<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    add_actions(statement, &mut actions);
    actions
}

/// Something is made, or what is there is changed.
pub(crate) fn defines(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Create | Action::Alter))
}

/// Adds an action once.
pub(crate) fn add(actions: &mut Vec<Action>, action: Action) {
    if !actions.contains(&action) {
        actions.push(action);
    }
}

fn add_actions(statement: Node<'_>, actions: &mut Vec<Action>) {
    let inner = statement.node("query");
    match statement.kind {
        "SelectStmt" => {
            add(actions, Action::Select);
            if selects_into(statement) {
                add(actions, Action::Create);
            }
        }
        "PrepareStmt" | "DeclareCursorStmt" => match inner {
            Some(inner) => add_actions(inner, actions),
            None => add(actions, Action::Other),
        },
        "ExplainStmt" => match inner {
            Some(inner) if is_analyze(statement) => add_actions(inner, actions),
            Some(_) | None => add(actions, Action::Explain),
        },
        "CreateTableAsStmt" => {
            add(actions, Action::Create);
            if let Some(inner) = inner {
                add_actions(inner, actions);
            }
        }
        "CopyStmt" => {
            add(actions, copy_action(statement));
            if let Some(inner) = inner {
                add_actions(inner, actions);
            }
        }
        "CreateSchemaStmt" => {
            add(actions, Action::Create);
            for element in statement.nodes("schema_elts") {
                add_actions(element, actions);
            }
        }
        _ => add(actions, described(statement.kind).map_or(Action::Other, |(action, _)| action)),
    }
}

/// `SELECT … INTO`, also in the first arm of a set operation.
fn selects_into(select: Node<'_>) -> bool {
    select.has("into_clause") || select.node("larg").is_some_and(selects_into)
}

fn copy_action(copy: Node<'_>) -> Action {
    if copy.has("is_program") {
        Action::CopyProgram
    } else if copy.has("filename") {
        Action::CopyFile
    } else if copy.has("is_from") {
        Action::CopyIn
    } else {
        Action::CopyOut
    }
}

/// True where an EXPLAIN runs what it explains. Of several ANALYZE options the last counts;
/// any that may be on counts here.
pub(crate) fn is_analyze(explain: Node<'_>) -> bool {
    explain.nodes("options").any(|option| {
        let off = |argument: Node<'_>| match argument.kind {
            "Integer" => argument.number("ival") == 0,
            "Boolean" => !argument.has("boolval"),
            "String" => {
                let word = argument.text("sval");
                word.eq_ignore_ascii_case("false") || word.eq_ignore_ascii_case("off")
            }
            _ => false,
        };
        option.text("defname").eq_ignore_ascii_case("analyze")
            && !option.node("arg").is_some_and(off)
    })
}

/// PostgreSQL's command tag.
pub(crate) fn tag(statement: Node<'_>) -> String {
    let of = |field: &str, verb: &str| format!("{verb} {}", object_words(statement, field));
    match statement.kind {
        "SelectStmt" if selects_into(statement) => "SELECT INTO".to_owned(),
        "TransactionStmt" => transaction_tag(statement).to_owned(),
        "CreateTableAsStmt" if statement.has("is_select_into") => "SELECT INTO".to_owned(),
        "CreateTableAsStmt" if object(statement, "objtype") == "OBJECT_MATVIEW" => {
            "CREATE MATERIALIZED VIEW".to_owned()
        }
        "DropStmt" => of("remove_type", "DROP"),
        "DefineStmt" => of("kind", "CREATE"),
        "AlterTableStmt" | "AlterFunctionStmt" => of("objtype", "ALTER"),
        "AlterOwnerStmt" | "AlterObjectSchemaStmt" | "AlterObjectDependsStmt" => {
            of("object_type", "ALTER")
        }
        "RenameStmt" => match object(statement, "rename_type") {
            // What is renamed is part of a table, view or type.
            "OBJECT_COLUMN" | "OBJECT_ATTRIBUTE" => of("relation_type", "ALTER"),
            "OBJECT_TABCONSTRAINT" => "ALTER TABLE".to_owned(),
            "OBJECT_DOMCONSTRAINT" => "ALTER DOMAIN".to_owned(),
            _ => of("rename_type", "ALTER"),
        },
        "GrantStmt" | "GrantRoleStmt" => {
            let role = if statement.kind == "GrantRoleStmt" { " ROLE" } else { "" };
            format!("{}{role}", if statement.has("is_grant") { "GRANT" } else { "REVOKE" })
        }
        "CreateFunctionStmt" if statement.has("is_procedure") => "CREATE PROCEDURE".to_owned(),
        "VariableSetStmt" if is_reset(statement) => "RESET".to_owned(),
        "VacuumStmt" if !statement.has("is_vacuumcmd") => "ANALYZE".to_owned(),
        "FetchStmt" if statement.has("ismove") => "MOVE".to_owned(),
        "DeallocateStmt" if !statement.has("name") => "DEALLOCATE ALL".to_owned(),
        "ClosePortalStmt" if !statement.has("portalname") => "CLOSE CURSOR ALL".to_owned(),
        "DiscardStmt" => match statement.number("target") {
            1 => "DISCARD ALL",
            2 => "DISCARD PLANS",
            3 => "DISCARD SEQUENCES",
            _ => "DISCARD TEMP",
        }
        .to_owned(),
        kind => described(kind).map_or_else(|| kind.to_owned(), |(_, tag)| tag.to_owned()),
    }
}

fn is_reset(set: Node<'_>) -> bool {
    use pg_query::protobuf::VariableSetKind::{VarReset, VarResetAll};
    let kind = set.number("kind");
    kind == i64::from(VarReset as i32) || kind == i64::from(VarResetAll as i32)
}

fn transaction_tag(statement: Node<'_>) -> &'static str {
    let kind = i32::try_from(statement.number("kind")).unwrap_or_default();
    match TransactionStmtKind::try_from(kind).unwrap_or_default() {
        TransactionStmtKind::Undefined => "TRANSACTION",
        TransactionStmtKind::TransStmtBegin => "BEGIN",
        TransactionStmtKind::TransStmtStart => "START TRANSACTION",
        TransactionStmtKind::TransStmtCommit => "COMMIT",
        TransactionStmtKind::TransStmtRollback | TransactionStmtKind::TransStmtRollbackTo => {
            "ROLLBACK"
        }
        TransactionStmtKind::TransStmtSavepoint => "SAVEPOINT",
        TransactionStmtKind::TransStmtRelease => "RELEASE",
        TransactionStmtKind::TransStmtPrepare => "PREPARE TRANSACTION",
        TransactionStmtKind::TransStmtCommitPrepared => "COMMIT PREPARED",
        TransactionStmtKind::TransStmtRollbackPrepared => "ROLLBACK PREPARED",
    }
}

/// The name of an `ObjectType` field, as in `OBJECT_TABLE`.
pub(crate) fn object(statement: Node<'_>, field: &str) -> &'static str {
    let number = i32::try_from(statement.number(field)).unwrap_or_default();
    ObjectType::try_from(number).unwrap_or_default().as_str_name()
}

fn object_words(statement: Node<'_>, field: &str) -> String {
    match object(statement, field) {
        "OBJECT_MATVIEW" => "MATERIALIZED VIEW".to_owned(),
        "OBJECT_FDW" => "FOREIGN DATA WRAPPER".to_owned(),
        "OBJECT_FOREIGN_SERVER" => "SERVER".to_owned(),
        "OBJECT_STATISTIC_EXT" => "STATISTICS".to_owned(),
        "OBJECT_OPCLASS" => "OPERATOR CLASS".to_owned(),
        "OBJECT_OPFAMILY" => "OPERATOR FAMILY".to_owned(),
        "OBJECT_TSCONFIGURATION" => "TEXT SEARCH CONFIGURATION".to_owned(),
        "OBJECT_TSDICTIONARY" => "TEXT SEARCH DICTIONARY".to_owned(),
        "OBJECT_TSPARSER" => "TEXT SEARCH PARSER".to_owned(),
        "OBJECT_TSTEMPLATE" => "TEXT SEARCH TEMPLATE".to_owned(),
        "OBJECT_ATTRIBUTE" => "TYPE".to_owned(),
        name => name.trim_start_matches("OBJECT_").replace('_', " "),
    }
}

/// Action and tag of a kind of statement; None for what is not a statement.
pub(crate) fn described(kind: &str) -> Option<(Action, &'static str)> {
    STATEMENTS.iter().find(|(name, _, _)| *name == kind).map(|(_, action, tag)| (*action, *tag))
}

/// Every kind of statement of the grammar.
pub(crate) const STATEMENTS: &[(&str, Action, &str)] = &[
    ("SelectStmt", Action::Select, "SELECT"),
    ("InsertStmt", Action::Insert, "INSERT"),
    ("UpdateStmt", Action::Update, "UPDATE"),
    ("DeleteStmt", Action::Delete, "DELETE"),
    ("MergeStmt", Action::Merge, "MERGE"),
    ("TransactionStmt", Action::Transaction, "TRANSACTION"),
    ("VariableSetStmt", Action::Set, "SET"),
    ("VariableShowStmt", Action::Show, "SHOW"),
    ("ExplainStmt", Action::Explain, "EXPLAIN"),
    ("PrepareStmt", Action::Other, "PREPARE"),
    ("ExecuteStmt", Action::ExecuteDynamic, "EXECUTE"),
    ("DeallocateStmt", Action::Discard, "DEALLOCATE"),
    ("DeclareCursorStmt", Action::Other, "DECLARE CURSOR"),
    ("FetchStmt", Action::ExecuteDynamic, "FETCH"),
    ("ClosePortalStmt", Action::Discard, "CLOSE CURSOR"),
    ("DiscardStmt", Action::Discard, "DISCARD"),
    ("CopyStmt", Action::CopyOut, "COPY"),
    ("TruncateStmt", Action::Truncate, "TRUNCATE TABLE"),
    ("LockStmt", Action::Lock, "LOCK TABLE"),
    ("CallStmt", Action::Call, "CALL"),
    ("DoStmt", Action::DoBlock, "DO"),
    ("LoadStmt", Action::Load, "LOAD"),
    ("ListenStmt", Action::ListenNotify, "LISTEN"),
    ("NotifyStmt", Action::ListenNotify, "NOTIFY"),
    ("UnlistenStmt", Action::ListenNotify, "UNLISTEN"),
    ("VacuumStmt", Action::Vacuum, "VACUUM"),
    ("ClusterStmt", Action::Vacuum, "CLUSTER"),
    ("ReindexStmt", Action::Vacuum, "REINDEX"),
    ("CheckPointStmt", Action::Other, "CHECKPOINT"),
    ("ConstraintsSetStmt", Action::Transaction, "SET CONSTRAINTS"),
    ("RefreshMatViewStmt", Action::Alter, "REFRESH MATERIALIZED VIEW"),
    ("CommentStmt", Action::Alter, "COMMENT"),
    ("SecLabelStmt", Action::Alter, "SECURITY LABEL"),
    ("GrantStmt", Action::Grant, "GRANT"),
    ("GrantRoleStmt", Action::Grant, "GRANT ROLE"),
    ("AlterDefaultPrivilegesStmt", Action::Grant, "ALTER DEFAULT PRIVILEGES"),
    ("DropStmt", Action::Drop, "DROP"),
    ("DropOwnedStmt", Action::Drop, "DROP OWNED"),
    ("DropRoleStmt", Action::Drop, "DROP ROLE"),
    ("DropSubscriptionStmt", Action::Drop, "DROP SUBSCRIPTION"),
    ("DropTableSpaceStmt", Action::Drop, "DROP TABLESPACE"),
    ("DropUserMappingStmt", Action::Drop, "DROP USER MAPPING"),
    ("DropdbStmt", Action::Drop, "DROP DATABASE"),
    ("ReassignOwnedStmt", Action::Alter, "REASSIGN OWNED"),
    ("CreateStmt", Action::Create, "CREATE TABLE"),
    ("CreateTableAsStmt", Action::Create, "CREATE TABLE AS"),
    ("CreateForeignTableStmt", Action::Create, "CREATE FOREIGN TABLE"),
    ("ViewStmt", Action::Create, "CREATE VIEW"),
    ("IndexStmt", Action::Create, "CREATE INDEX"),
    ("RuleStmt", Action::Create, "CREATE RULE"),
    ("CreateTrigStmt", Action::Create, "CREATE TRIGGER"),
    ("CreateEventTrigStmt", Action::Create, "CREATE EVENT TRIGGER"),
    ("CreateFunctionStmt", Action::Create, "CREATE FUNCTION"),
    ("CreatePolicyStmt", Action::Create, "CREATE POLICY"),
    ("CreateSchemaStmt", Action::Create, "CREATE SCHEMA"),
    ("CreateSeqStmt", Action::Create, "CREATE SEQUENCE"),
    ("CreateExtensionStmt", Action::Create, "CREATE EXTENSION"),
    ("CreateRoleStmt", Action::Create, "CREATE ROLE"),
    ("CreatedbStmt", Action::Create, "CREATE DATABASE"),
    ("CreateTableSpaceStmt", Action::Create, "CREATE TABLESPACE"),
    ("CreateFdwStmt", Action::Create, "CREATE FOREIGN DATA WRAPPER"),
    ("CreateForeignServerStmt", Action::Create, "CREATE SERVER"),
    ("CreateUserMappingStmt", Action::Create, "CREATE USER MAPPING"),
    ("ImportForeignSchemaStmt", Action::Create, "IMPORT FOREIGN SCHEMA"),
    ("CreatePublicationStmt", Action::Create, "CREATE PUBLICATION"),
    ("CreateSubscriptionStmt", Action::Create, "CREATE SUBSCRIPTION"),
    ("CreateDomainStmt", Action::Create, "CREATE DOMAIN"),
    ("CreateEnumStmt", Action::Create, "CREATE TYPE"),
    ("CreateRangeStmt", Action::Create, "CREATE TYPE"),
    ("CompositeTypeStmt", Action::Create, "CREATE TYPE"),
    ("DefineStmt", Action::Create, "CREATE"),
    ("CreateCastStmt", Action::Create, "CREATE CAST"),
    ("CreateTransformStmt", Action::Create, "CREATE TRANSFORM"),
    ("CreateConversionStmt", Action::Create, "CREATE CONVERSION"),
    ("CreateOpClassStmt", Action::Create, "CREATE OPERATOR CLASS"),
    ("CreateOpFamilyStmt", Action::Create, "CREATE OPERATOR FAMILY"),
    ("CreateAmStmt", Action::Create, "CREATE ACCESS METHOD"),
    ("CreatePLangStmt", Action::Create, "CREATE LANGUAGE"),
    ("CreateStatsStmt", Action::Create, "CREATE STATISTICS"),
    ("AlterTableStmt", Action::Alter, "ALTER TABLE"),
    ("AlterTableMoveAllStmt", Action::Alter, "ALTER TABLE"),
    ("AlterFunctionStmt", Action::Alter, "ALTER FUNCTION"),
    ("AlterPolicyStmt", Action::Alter, "ALTER POLICY"),
    ("AlterSeqStmt", Action::Alter, "ALTER SEQUENCE"),
    ("AlterExtensionStmt", Action::Alter, "ALTER EXTENSION"),
    ("AlterExtensionContentsStmt", Action::Alter, "ALTER EXTENSION"),
    ("AlterRoleStmt", Action::Alter, "ALTER ROLE"),
    ("AlterRoleSetStmt", Action::Alter, "ALTER ROLE"),
    ("AlterDatabaseStmt", Action::Alter, "ALTER DATABASE"),
    ("AlterDatabaseSetStmt", Action::Alter, "ALTER DATABASE"),
    ("AlterDatabaseRefreshCollStmt", Action::Alter, "ALTER DATABASE"),
    ("AlterSystemStmt", Action::Alter, "ALTER SYSTEM"),
    ("AlterTableSpaceOptionsStmt", Action::Alter, "ALTER TABLESPACE"),
    ("AlterFdwStmt", Action::Alter, "ALTER FOREIGN DATA WRAPPER"),
    ("AlterForeignServerStmt", Action::Alter, "ALTER SERVER"),
    ("AlterUserMappingStmt", Action::Alter, "ALTER USER MAPPING"),
    ("AlterPublicationStmt", Action::Alter, "ALTER PUBLICATION"),
    ("AlterSubscriptionStmt", Action::Alter, "ALTER SUBSCRIPTION"),
    ("AlterDomainStmt", Action::Alter, "ALTER DOMAIN"),
    ("AlterEnumStmt", Action::Alter, "ALTER TYPE"),
    ("AlterTypeStmt", Action::Alter, "ALTER TYPE"),
    ("AlterOpFamilyStmt", Action::Alter, "ALTER OPERATOR FAMILY"),
    ("AlterOperatorStmt", Action::Alter, "ALTER OPERATOR"),
    ("AlterCollationStmt", Action::Alter, "ALTER COLLATION"),
    ("AlterStatsStmt", Action::Alter, "ALTER STATISTICS"),
    ("AlterEventTrigStmt", Action::Alter, "ALTER EVENT TRIGGER"),
    ("AlterTsDictionaryStmt", Action::Alter, "ALTER TEXT SEARCH DICTIONARY"),
    ("AlterTsConfigurationStmt", Action::Alter, "ALTER TEXT SEARCH CONFIGURATION"),
    ("AlterOwnerStmt", Action::Alter, "ALTER"),
    ("AlterObjectSchemaStmt", Action::Alter, "ALTER"),
    ("AlterObjectDependsStmt", Action::Alter, "ALTER"),
    ("RenameStmt", Action::Alter, "ALTER"),
];
