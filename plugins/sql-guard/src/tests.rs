//! Statements with the facts the proxy gives about them, and what the policy says.

use Action::{
    Alter, CopyFile, CopyOut, CopyProgram, Create, Delete, Discard, DoBlock, Drop, ExecuteDynamic,
    Explain, Grant, ListenNotify, Load, Lock, Other, Select, Set, Transaction, Truncate, Update,
    Vacuum,
};
use portcullis_plugin_sdk::testing::{self, principal};
use portcullis_plugin_sdk::{Action, Decision, Guardrail, PrincipalKind, Request};

use super::SqlGuard;
use super::settings::Rule;

mod agents;

fn sql(text: &str, command: &str, action: Action) -> Request {
    Request::of(text).command(command).does(&[action])
}

fn check_with(settings: &str, request: &Request, expected: &str) {
    let policy: SqlGuard = testing::policy(settings).unwrap();
    assert_eq!(policy.judge(request).to_string(), expected, "{}", request.statement.shape);
}

fn check(request: Request, expected: &str) {
    check_with("{}", &request, expected);
}

fn passes(request: Request) {
    check(request, "allow");
}

/// The statement is refused, and the reason names `part`.
fn refuses(request: Request, part: &str) {
    let policy: SqlGuard = testing::policy("{}").unwrap();
    let verdict = policy.judge(&request).to_string();
    let text = &request.statement.shape;
    assert!(verdict.starts_with("deny: ") && verdict.contains(part), "{text}: {verdict}");
}

#[test]
fn destructive_ddl_is_refused_and_its_twins_pass() {
    check(
        sql("drop table users", "DROP TABLE", Drop).defines("public.users"),
        "deny: DROP TABLE would destroy public.users",
    );
    check(
        sql("truncate a, b, c", "TRUNCATE TABLE", Truncate).writes("a").writes("b").writes("c"),
        "deny: TRUNCATE would delete every row of a and 2 more",
    );
    refuses(sql("drop owned by ana", "DROP OWNED", Drop), "what it names");
    refuses(sql("drop schema s cascade", "DROP SCHEMA", Drop), "DROP SCHEMA");
    refuses(sql("alter table t drop column c", "ALTER TABLE", Alter).defines("t"), "a part of t");
    passes(sql("alter table t add c int", "ALTER TABLE", Alter).defines("t"));
    passes(sql("alter table t alter c drop not null", "ALTER TABLE", Alter).defines("t"));
    passes(sql("create table t (a int)", "CREATE TABLE", Create).defines("t"));
    passes(sql("create temp table t (a int)", "CREATE TABLE", Create).defines("pg_temp.t"));
    passes(sql("drop table t", "DROP TABLE", Drop).defines("pg_temp_3.t"));
    passes(sql("truncate t", "TRUNCATE TABLE", Truncate).writes("pg_temp.t"));
    refuses(sql("drop table t, u", "DROP TABLE", Drop).defines("pg_temp.t").defines("u"), "u");
}

#[test]
fn writes_that_reach_every_row_are_refused() {
    let delete = || sql("delete from t", "DELETE", Delete).writes("public.t");
    check(
        delete().unbounded_write(),
        "deny: DELETE without an effective WHERE would reach every row of public.t",
    );
    passes(delete());
    let inside = Request::of("with gone as (delete from t returning 1) select 1")
        .does(&[Select, Delete])
        .writes("t");
    refuses(inside.unbounded_write(), "DELETE without");
    refuses(sql("update t set a = 1", "UPDATE", Update).writes("t").unbounded_write(), "UPDATE");
    passes(sql("explain delete from t", "EXPLAIN", Explain).writes("t").unbounded_write());
    refuses(
        Request::of("explain analyze delete from t").does(&[Delete, Explain]).unbounded_write(),
        "every row of a table",
    );
    passes(sql("delete from x", "DELETE", Delete).writes("pg_temp.x").unbounded_write());
}

#[test]
fn files_programs_and_the_server_are_out_of_reach() {
    refuses(sql("copy t to program 'sh'", "COPY", CopyProgram), "program on the server");
    refuses(sql("copy t from '/etc/passwd'", "COPY", CopyFile), "file on the server");
    passes(sql("copy t to stdout", "COPY", CopyOut).reads("t"));
    let call = |function: &str| sql("select f()", "SELECT", Select).calls(function);
    for function in [
        "pg_read_file",
        "pg_catalog.pg_read_binary_file",
        "pg_ls_dir",
        "pg_ls_waldir",
        "lo_import",
        "lo_export",
        "pg_stat_file",
        "public.dblink_exec",
        "dblink",
        "pg_file_write",
        "pg_reload_conf",
        "pg_terminate_backend",
        "pg_cancel_backend",
        "pg_create_logical_replication_slot",
        "pg_logical_emit_message",
        "pg_switch_wal",
        "pg_rotate_logfile",
        "pg_current_logfile",
        "query_to_xml",
        "ts_stat",
    ] {
        refuses(call(function), function);
    }
    for function in
        ["count", "now", "lower", "pg_table_is_visible", "format_type", "lo_get", "version"]
    {
        passes(call(function));
    }
    refuses(sql("alter system set x = 1", "ALTER SYSTEM", Alter).sets("x"), "ALTER SYSTEM");
    refuses(sql("checkpoint", "CHECKPOINT", Other), "CHECKPOINT");
    refuses(
        sql("update pg_settings set setting = 'x'", "UPDATE", Update)
            .writes("pg_catalog.pg_settings"),
        "pg_catalog.pg_settings",
    );
    refuses(sql("create server s", "CREATE SERVER", Create), "elsewhere");
    refuses(sql("create subscription s", "CREATE SUBSCRIPTION", Create), "elsewhere");
}

#[test]
fn role_and_guarding_parameters_stay_and_drivers_pass() {
    let set = |name: &str| sql("set x", "SET", Set).sets(name);
    for name in ["row_security", "session_replication_role", "log_statement", "pgaudit.log"] {
        refuses(set(name), name);
    }
    refuses(set("role"), "the session's role");
    refuses(set("session_authorization"), "the session's role");
    refuses(set("?"), "computed");
    refuses(sql("reset role", "RESET", Set).sets("role"), "role");
    refuses(
        sql("select set_config($1, $2, false)", "SELECT", Select).calls("set_config"),
        "computed",
    );
    refuses(
        sql("alter role ana set search_path = x", "ALTER ROLE", Alter).sets("search_path"),
        "who may",
    );
    for name in [
        "timezone",
        "search_path",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "client_encoding",
        "application_name",
        "extra_float_digits",
        "datestyle",
        "intervalstyle",
        "standard_conforming_strings",
        "client_min_messages",
        "default_transaction_read_only",
        "transaction_isolation",
        "synchronize_seqscans",
        "check_function_bodies",
        "myapp.role",
        "all",
    ] {
        passes(set(name));
    }
    passes(sql("discard all", "DISCARD ALL", Discard).sets("all"));
    let dump = "SELECT pg_catalog.set_config('search_path', '', false)";
    passes(sql(dump, "SELECT", Select).calls("pg_catalog.set_config").sets("search_path"));
    let allowed =
        r#"{"parameters_allowed": ["row_security"], "parameters_denied": ["myapp.tenant"]}"#;
    check_with(allowed, &set("row_security"), "allow");
    check_with(allowed, &set("myapp.tenant"), "deny: it sets or resets the parameter myapp.tenant");
}

#[test]
fn code_privileges_and_the_unseen_are_refused() {
    for command in [
        "CREATE FUNCTION",
        "CREATE PROCEDURE",
        "CREATE TRIGGER",
        "CREATE RULE",
        "CREATE EVENT TRIGGER",
        "CREATE EXTENSION",
        "ALTER FUNCTION",
        "ALTER EXTENSION",
        "CREATE LANGUAGE",
    ] {
        refuses(sql("...", command, Create), "code that runs unseen");
    }
    refuses(sql("load 'x'", "LOAD", Load), "library");
    refuses(sql("create schema s create trigger t", "CREATE SCHEMA", Create), "code");
    for command in
        ["CREATE VIEW", "CREATE INDEX", "CREATE SCHEMA", "CREATE TABLE AS", "CREATE TYPE"]
    {
        passes(sql("create", command, Create));
    }
    refuses(sql("grant select on t to x", "GRANT", Grant), "GRANT would change who may do what");
    refuses(sql("create role x", "CREATE ROLE", Create), "who may");
    refuses(sql("alter table t owner to x", "ALTER TABLE", Alter), "who may");
    refuses(sql("alter table t disable row level security", "ALTER TABLE", Alter), "who may");
    refuses(sql("do $$ $$", "DO", DoBlock), "body of DO");
    refuses(sql("select f()", "SELECT", Select).opaque("body not seen: public.f"), "public.f");
    refuses(sql("execute x", "EXECUTE", ExecuteDynamic).opaque("unknown name: x"), "not seen");
    refuses(sql("frobnicate", "FROBNICATE", Other), "FROBNICATE is not known");
}

#[test]
fn ordinary_work_passes() {
    passes(sql("begin", "BEGIN", Transaction));
    passes(sql("savepoint a", "SAVEPOINT", Transaction));
    passes(sql("listen c", "LISTEN", ListenNotify));
    passes(sql("vacuum", "VACUUM", Vacuum));
    passes(sql("lock table t in access share mode", "LOCK TABLE", Lock).defines("t"));
    passes(sql("comment on table t is 'drop it, owner to x'", "COMMENT", Alter).defines("t"));
    passes(sql("refresh materialized view v", "REFRESH MATERIALIZED VIEW", Alter).defines("v"));
    passes(sql("show search_path", "SHOW", Action::Show));
    passes(
        sql("select c.relname from pg_catalog.pg_class c", "SELECT", Select)
            .reads("pg_catalog.pg_class")
            .calls("pg_catalog.pg_table_is_visible"),
    );
}

#[test]
fn exceptions_and_approval_change_the_outcome() {
    let settings = r#"{
        "destructive_ddl": "approve",
        "approval": {"approvers": ["dba"], "approvals_needed": 2, "expires_in_seconds": 60},
        "exception": [
            {"groups": ["dba"], "destructive_ddl": "allow"},
            {"kinds": ["agent"], "destructive_ddl": "deny", "ddl": "deny"},
            {"subjects": ["ana"], "databases": ["other"], "unbounded_writes": "allow"}
        ]
    }"#;
    let drop = || sql("drop table t", "DROP TABLE", Drop).defines("t");
    check_with(settings, &drop(), "approval: DROP TABLE would destroy t");
    check_with(settings, &drop().by(principal().in_group("dba")), "allow");
    let agent = || principal().of_kind(PrincipalKind::Agent);
    check_with(settings, &drop().by(agent()), "deny: DROP TABLE would destroy t");
    check_with(settings, &drop().by(agent().in_group("dba")), "allow");
    let create = sql("create table t ()", "CREATE TABLE", Create).defines("t").by(agent());
    check_with(settings, &create, "deny: CREATE TABLE would change the database's definitions");
    let delete = sql("delete from t", "DELETE", Delete).unbounded_write();
    refuses(delete.clone(), "every row");
    let policy: SqlGuard = testing::policy(settings).unwrap();
    assert!(policy.judge(&delete).to_string().starts_with("deny"), "another database");
    let Decision::RequireApproval(approval) = policy.judge(&drop()).decision else {
        panic!("held");
    };
    assert_eq!((approval.approvals_needed, approval.expires_in_seconds), (2, 60));
    assert_eq!(approval.approvers, ["dba"]);
}

#[test]
fn a_denial_says_what_to_do_and_is_tagged() {
    let policy: SqlGuard = testing::policy("{}").unwrap();
    let verdict = policy.judge(&sql("delete from t", "DELETE", Delete).unbounded_write());
    assert_eq!(verdict.tags, ["unbounded_writes"]);
    let Decision::Deny(denial) = verdict.decision else { panic!("denied") };
    let hint = denial.hint.unwrap();
    assert!(hint.starts_with("Add a WHERE clause"), "{hint}");
    assert!(hint.contains("unbounded_writes"), "{hint}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |settings: &str, part: &str| {
        let error = testing::policy::<SqlGuard>(settings).err().unwrap();
        assert!(error.contains(part), "{settings}: {error}");
    };
    check(r#"{"unbounded_write": "deny"}"#, "unknown field `unbounded_write`");
    check(r#"{"opaque": "maybe"}"#, "unknown variant `maybe`");
    check(r#"{"opaque": "approve"}"#, "names no group");
    check(r#"{"exception": [{"opaque": "allow"}]}"#, "exception 1 names no groups");
    check(r#"{"exception": [{"groups": ["a"]}]}"#, "exception 1 names no rule");
    check(r#"{"approval": {"approvals_needed": 0}}"#, "at least 1");
    check(r#"{"agents": {"writes": "approve"}}"#, "names no group");
    check(r#"{"agents": {"write": "deny"}}"#, "unknown field `write`");
    check(r#"{"limit_rows": 0}"#, "a number of rows from 1 on, or \"none\"");
    check(r#"{"agents": {"limit_rows": "many"}}"#, "a number of rows from 1 on, or \"none\"");
}

#[test]
fn the_schema_names_every_rule() {
    let schema = include_str!("../settings.schema.json");
    // For everybody, for agents and in an exception.
    for setting in Rule::ALL.iter().map(|rule| rule.as_str()).chain(["limit_rows"]) {
        assert_eq!(schema.matches(&format!("\"{setting}\": {{")).count(), 3, "{setting}");
    }
}
