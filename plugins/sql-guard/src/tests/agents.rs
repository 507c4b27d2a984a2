//! What agents may do, out of the box and by settings, beside what everybody else may.

use Action::{
    Alter, Call, CopyIn, CopyOut, Create, Delete, Drop, Explain, Insert, Lock, Merge, Select, Set,
    Show, Transaction, Truncate, Update, Vacuum,
};
use portcullis_plugin_sdk::testing::{self, principal};
use portcullis_plugin_sdk::{Action, Decision, Guardrail, PrincipalKind, Request};

use super::{check_with, sql};
use crate::SqlGuard;

const WITH_APPROVERS: &str = r#"{"approval": {"approvers": ["dba"]}}"#;

fn by_agent(request: Request) -> Request {
    request.by(principal().of_kind(PrincipalKind::Agent))
}

/// What becomes of it when an agent sends it, and that others may.
fn check(settings: &str, request: Request, expected: &str) {
    check_with(settings, &request, "allow");
    check_with(settings, &by_agent(request), expected);
}

fn judged(settings: &str, request: &Request) -> (String, Option<u32>) {
    let verdict = testing::policy::<SqlGuard>(settings).unwrap().judge(request);
    (verdict.to_string(), verdict.limit_rows)
}

fn limit(settings: &str, request: &Request) -> Option<u32> {
    let (verdict, limit) = judged(settings, request);
    assert_eq!(verdict, "allow", "{settings}: {}", request.statement.shape);
    limit
}

fn read() -> Request {
    sql("select a from t where id = $1", "SELECT", Select).reads("public.t").unbounded_read()
}

fn insert() -> Request {
    sql("insert into t values ($1)", "INSERT", Insert).writes("public.t")
}

fn everything() -> Request {
    sql("select a from t", "SELECT", Select).reads("public.t").unbounded_read()
}

#[test]
fn agents_read() {
    for request in [
        read(),
        sql("select a from t limit $1", "SELECT", Select).reads("t"),
        sql("select count(*) from t", "SELECT", Select).reads("t").calls("count"),
        sql("with x as (select 1 from t where a = $1) select 1 from x", "SELECT", Select)
            .reads("t")
            .unbounded_read(),
        sql("explain delete from t", "EXPLAIN", Explain).writes("t"),
        sql("begin", "BEGIN", Transaction),
        sql("set timezone = $1", "SET", Set).sets("timezone"),
        sql("show search_path", "SHOW", Show),
        sql("create temp table x (a int)", "CREATE TABLE", Create).defines("pg_temp.x"),
        sql("insert into x values ($1)", "INSERT", Insert).writes("pg_temp.x"),
        // Judged by what they name, when that was defined.
        sql("fetch 10 from c", "FETCH", Select).reads("t").unbounded_read(),
        sql("execute p", "EXECUTE", Select).reads("t").unbounded_read(),
    ] {
        check("{}", request, "allow");
    }
}

#[test]
fn agents_write_nothing_unless_a_person_agrees() {
    for (request, reason) in [
        (insert(), "INSERT would add rows to public.t"),
        (sql("update t", "UPDATE", Update).writes("t"), "UPDATE would change rows of t"),
        (sql("delete from t", "DELETE", Delete).writes("t"), "DELETE would delete rows of t"),
        (
            sql("merge into t", "MERGE", Merge).writes("t").reads("u"),
            "MERGE would change rows of t",
        ),
        (sql("copy t from stdin", "COPY", CopyIn).writes("t"), "COPY would add rows to t"),
        (
            Request::of("with gone as (delete from t where a = 1 returning b) select b from gone")
                .command("SELECT")
                .does(&[Select, Delete])
                .writes("t"),
            "DELETE would delete rows of t",
        ),
        (
            sql("explain analyze insert into t values ($1)", "EXPLAIN", Insert).writes("t"),
            "INSERT would add rows to t",
        ),
        (
            Request::of("select a from t where a = 1 for update")
                .command("SELECT")
                .does(&[Select, Lock])
                .reads("t"),
            "it would lock others out of t",
        ),
        (sql("lock t", "LOCK TABLE", Lock).defines("t"), "it would lock others out of t"),
        (sql("vacuum", "VACUUM", Vacuum), "it would rework the storage of a table"),
        (
            sql("call p()", "CALL", Call).calls("p"),
            "CALL runs a procedure, which may write to a table",
        ),
        (
            sql("select nextval($1)", "SELECT", Select).calls("pg_catalog.nextval"),
            "the function pg_catalog.nextval writes",
        ),
        (
            sql("select lo_put($1, $2, $3)", "SELECT", Select).calls("lo_put"),
            "the function lo_put writes",
        ),
    ] {
        check("{}", request.clone(), &format!("deny: {reason}"));
        check(WITH_APPROVERS, request.clone(), &format!("approval: {reason}"));
        let allowed = r#"{"agents": {"writes": "allow"}}"#;
        check(allowed, request.clone(), "allow");
        let approve = r#"{"agents": {"writes": "deny"}, "approval": {"approvers": ["dba"]}}"#;
        check(approve, request, &format!("deny: {reason}"));
    }
}

#[test]
fn approval_reaches_neither_definitions_nor_writes_without_a_bound() {
    let create = sql("create table t ()", "CREATE TABLE", Create).defines("t");
    let definitions = "deny: CREATE TABLE would change the database's definitions";
    let into = Request::of("select a into t from u").command("SELECT INTO").does(&[Select, Create]);
    for settings in ["{}", WITH_APPROVERS] {
        check(settings, create.clone(), definitions);
        check(settings, into.clone(), "deny: SELECT INTO would change the database's definitions");
        let comment = sql("comment on table t is $1", "COMMENT", Alter).defines("t");
        check(settings, comment, "deny: COMMENT would change the database's definitions");
        for (refused, reason) in [
            (sql("delete from t", "DELETE", Delete).writes("t").unbounded_write(), "effective"),
            (sql("truncate t", "TRUNCATE TABLE", Truncate).writes("t"), "every row of t"),
            (sql("drop table t", "DROP TABLE", Drop).defines("t"), "would destroy t"),
        ] {
            let (verdict, _) = judged(settings, &by_agent(refused));
            assert!(verdict.starts_with("deny: ") && verdict.contains(reason), "{verdict}");
        }
    }
    check(r#"{"agents": {"ddl": "allow"}}"#, create, "allow");
}

#[test]
fn what_is_allowed_to_everybody_is_not_therefore_allowed_to_agents() {
    let opaque = || sql("select f()", "SELECT", Select).opaque("body not seen: public.f");
    let everybody = r#"{"opaque": "allow", "unbounded_writes": "allow", "writes": "allow"}"#;
    check(everybody, opaque(), "deny: it cannot be judged as a whole (body not seen: public.f)");
    check(everybody, insert(), "deny: INSERT would add rows to public.t");
    let listed = r#"{"opaque_allowed": ["body not seen: public.f"]}"#;
    check(listed, opaque(), "allow");
    check(r#"{"opaque": "allow", "agents": {"opaque": "allow"}}"#, opaque(), "allow");
    // What is denied to everybody nobody releases for an agent by default.
    let denied = r#"{"writes": "deny", "approval": {"approvers": ["dba"]}}"#;
    check_with(denied, &by_agent(insert()), "deny: INSERT would add rows to public.t");
    check_with(denied, &insert(), "deny: INSERT would add rows to public.t");
    // An exception says whom it is for, and counts before the table for agents.
    let excepted = r#"{"exception": [{"subjects": ["ana"], "writes": "allow"}]}"#;
    check(excepted, insert(), "allow");
}

#[test]
fn agents_read_no_table_without_a_bound() {
    let reason = "deny: SELECT without WHERE or LIMIT would read every row of public.t";
    check("{}", everything(), reason);
    let beside = Request::of("").reads("public.t").unbounded_read().does(&[Select]);
    for shape in ["select * from t where true", "table t", "select * from t where $1 = $2"] {
        let mut request = beside.clone().command("SELECT");
        request.statement.shape = shape.to_owned();
        check("{}", request, reason);
    }
    let declare = sql("declare c cursor for table t", "DECLARE CURSOR", Select).reads("t");
    let expected = "deny: DECLARE CURSOR without WHERE or LIMIT would read every row of t";
    check("{}", declare.unbounded_read(), expected);
    check(r#"{"agents": {"unbounded_reads": "allow"}}"#, everything(), "allow");
    let everybody = r#"{"unbounded_reads": "deny"}"#;
    check_with(everybody, &everything(), reason);
    check_with(everybody, &read(), "allow");
}

#[test]
fn reads_have_a_row_limit_and_writes_have_none() {
    let agents_read = by_agent(read());
    assert_eq!(limit("{}", &read()), None);
    assert_eq!(limit("{}", &agents_read), Some(1000));
    assert_eq!(limit(r#"{"agents": {"limit_rows": 5}}"#, &agents_read), Some(5));
    assert_eq!(limit(r#"{"agents": {"limit_rows": "none"}}"#, &agents_read), None);
    assert_eq!(limit(r#"{"limit_rows": 50}"#, &agents_read), Some(50));
    assert_eq!(limit(r#"{"limit_rows": 5000}"#, &agents_read), Some(1000));
    assert_eq!(limit(r#"{"limit_rows": 5000}"#, &read()), Some(5000));
    let excepted = r#"{"limit_rows": 50, "exception": [
        {"subjects": ["ana"], "databases": ["shop"], "limit_rows": "none"}]}"#;
    assert_eq!(limit(excepted, &read()), None);
    let returning = sql("insert into t values (1) returning a", "INSERT", Insert).writes("t");
    assert_eq!(limit(r#"{"limit_rows": 50}"#, &returning), None);
    assert_eq!(judged(WITH_APPROVERS, &by_agent(returning)).1, None);
    let held = r#"{"approval": {"approvers": ["dba"]}, "agents": {"unbounded_reads": "approve"}}"#;
    let (verdict, rows) = judged(held, &by_agent(everything()));
    assert!(verdict.starts_with("approval: SELECT without"), "{verdict}");
    assert_eq!(rows, Some(1000));
}

#[test]
fn copy_is_no_way_past_the_row_limit() {
    let all = sql("copy t to stdout", "COPY", CopyOut).reads("t").unbounded_read();
    let some = sql("copy (select a from t limit 5) to stdout", "COPY", CopyOut).reads("t");
    let where_ = sql("copy (select a from t where b = 1) to stdout", "COPY", CopyOut).reads("t");
    let uncounted = "deny: COPY would send rows that the row limit does not count";
    check("{}", all.clone(), "deny: COPY without WHERE or LIMIT would read every row of t");
    check("{}", some.clone(), uncounted);
    check(r#"{"agents": {"unbounded_reads": "allow"}}"#, all.clone(), uncounted);
    let unlimited = r#"{"agents": {"limit_rows": "none"}}"#;
    check(unlimited, some, "allow");
    check_with(
        unlimited,
        &by_agent(where_.unbounded_read()),
        "deny: COPY without WHERE or LIMIT would read every row of t",
    );
    check_with(r#"{"limit_rows": 50}"#, &all, uncounted);
}

#[test]
fn a_denial_names_the_setting_that_holds_for_the_principal() {
    let hint = |settings: &str, request: Request| {
        let policy: SqlGuard = testing::policy(settings).unwrap();
        let verdict = policy.judge(&request);
        let Decision::Deny(denial) = verdict.decision else { panic!("denied") };
        (denial.hint.unwrap(), verdict.tags)
    };
    let (text, tags) = hint("{}", by_agent(insert()));
    assert!(text.contains("approval.approvers") && text.ends_with("agents.writes."), "{text}");
    assert_eq!(tags, ["writes"]);
    let (text, _) = hint(r#"{"writes": "deny"}"#, insert());
    assert!(text.ends_with("the setting writes."), "{text}");
    let copy = sql("copy (select a from t limit 5) to stdout", "COPY", CopyOut).reads("t");
    let (text, _) = hint("{}", by_agent(copy));
    assert!(text.ends_with("the setting agents.limit_rows."), "{text}");
    // Nobody's ledger is filled with words about what everybody may do.
    let allowed = testing::policy::<SqlGuard>("{}").unwrap().judge(&insert());
    assert_eq!(allowed.tags, [""; 0]);
}
