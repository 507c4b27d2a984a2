//! Whom the database takes a client for: its role, and what it is told of the person.

use end_to_end::cluster::{APP, READER, WRITER};
use end_to_end::frames::{Batch, Session, error_of, first_column, sequence};
use end_to_end::portcullis::{ADMIN, ANA, BOT, PASSWORD, User};
use end_to_end::{Database, Portcullis, Setup, cluster};

use super::arrival::{Arrival, Proof};

/// A database in which both roles may read, and one may write a little.
async fn database() -> Database {
    let database = cluster().await.database().await;
    let rights = format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}, {WRITER}, ana;
         GRANT UPDATE ON customers TO {WRITER}"
    );
    database.cluster.run(&database.name, &rights).await;
    database
}

fn mapped(database: &Database, role: &str) -> Setup {
    let setup = Setup::new(database).unmatched("allow");
    setup.database_line(role).database_line("tell_subject = \"portcullis.subject\"")
}

const WHO: &str = "SELECT concat_ws(' ', current_user, session_user, \
                   current_setting('portcullis.subject'))";

async fn who(session: &mut Session) -> String {
    let answer = session.query(WHO).await;
    first_column(&answer).join(",")
}

#[tokio::test]
async fn everybody_has_the_role_that_is_meant_for_them() {
    let database = database().await;
    let fixed = mapped(&database, &format!("role = \"{READER}\"")).start().await;
    for user in [ANA, BOT, ADMIN] {
        let expected = format!("{READER} {APP} {}", user.name);
        assert_eq!(who(&mut fixed.session(user).await).await, expected);
    }
    let groups = format!("analysts = \"{READER}\", operators = \"{WRITER}\"");
    let by_group = mapped(&database, &format!("role = {{ groups = {{ {groups} }} }}"));
    let by_group = by_group.start().await;
    for (user, role) in [(ANA, READER), (ADMIN, WRITER)] {
        let expected = format!("{role} {APP} {}", user.name);
        assert_eq!(who(&mut by_group.session(user).await).await, expected);
    }
    let answer = Arrival::of(&by_group, BOT.name).arrive(Proof::Password(PASSWORD)).await;
    let told = answer.verdict();
    assert_eq!(told, "out: 42501 there is no role for you in database \"shop\"");
    let groups = format!("role = {{ groups = {{ {groups} }}, default = \"{READER}\" }}");
    let with_default = mapped(&database, &groups).start().await;
    let expected = format!("{READER} {APP} {}", BOT.name);
    assert_eq!(who(&mut with_default.session(BOT).await).await, expected);
}

#[tokio::test]
async fn a_role_may_be_called_as_the_person() {
    let database = database().await;
    let portcullis = mapped(&database, "role = { subject = true }").start().await;
    assert_eq!(who(&mut portcullis.session(ANA).await).await, format!("ana {APP} ana"));
    // The database has no such role, so it refuses; it is not the proxy's own login instead.
    let answer = Arrival::of(&portcullis, BOT.name).arrive(Proof::Password(PASSWORD)).await;
    let told = answer.verdict();
    assert!(told.starts_with("out: 08006 the database cannot be reached"), "{told}");
}

/// PostgreSQL takes one of these names for its own login's role, and the others for roles
/// that there are not; what is strange in a subject is told to the letter.
#[tokio::test]
async fn no_name_is_taken_for_the_proxy_s_own_role() {
    const fn called(name: &'static str) -> User {
        User { name, kind: "human", groups: &[] }
    }
    const LONG: User =
        called("anaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaanaana");
    let names = [called("none"), called("NONE"), called("default"), called("public"), LONG];
    let database = database().await;
    let setup = mapped(&database, "role = { subject = true }");
    let setup = names.iter().fold(setup, |setup, user| setup.user(*user));
    let portcullis = setup.start().await;
    for user in names {
        let answer = Arrival::of(&portcullis, user.name).arrive(Proof::Password(PASSWORD)).await;
        let told = answer.verdict();
        assert!(told.starts_with("out: "), "{}: {told}", user.name);
    }
    assert_eq!(who(&mut portcullis.session(ANA).await).await, format!("ana {APP} ana"));

    let strange = [called("o'brien"), called("a b\\c,d=e"), called("'; SET ROLE app; --")];
    let strange = strange.into_iter().chain([called("\u{e4}na \u{1f600}"), called("$$")]);
    let setup = mapped(&database, &format!("role = \"{READER}\""));
    let setup = strange.clone().fold(setup, |setup, user| setup.user(escaped(user)));
    let portcullis = setup.start().await;
    for user in strange {
        let mut session = portcullis.session(user).await;
        assert_eq!(who(&mut session).await, format!("{READER} {APP} {}", user.name));
    }
}

/// As it is written in a configuration file.
fn escaped(user: User) -> User {
    User { name: String::leak(user.name.replace('\\', "\\\\")), ..user }
}

/// Every way that changes a role or a setting, each with one beside it that is everybody's.
const CHANGES: &[(&str, &str)] = &[
    ("SET ROLE app", "SET work_mem = '8MB'"),
    ("SET ROLE NONE", "SET SESSION work_mem = '8MB'"),
    ("SET LOCAL ROLE app", "SET LOCAL work_mem = '8MB'"),
    ("RESET ROLE", "RESET work_mem"),
    ("SET SESSION ROLE app", "SET TIME ZONE 'UTC'"),
    ("SET role TO app", "SET datestyle TO iso"),
    ("SET \"role\" TO app", "SET \"datestyle\" TO iso"),
    ("SET SESSION AUTHORIZATION app", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"),
    ("RESET SESSION AUTHORIZATION", "SHOW role"),
    ("SET SESSION AUTHORIZATION DEFAULT", "SHOW session_authorization"),
    ("SELECT set_config('role', 'app', false)", "SELECT set_config('work_mem', '8MB', false)"),
    ("SELECT pg_catalog.set_config('ROLE', 'app', true)", "SELECT current_setting('role')"),
    ("SELECT set_config('ro' || 'le', 'app', false)", "SELECT 'ro' || 'le'"),
    ("SELECT set_config(name, 'app', false) FROM pg_settings WHERE name = 'role'", "SELECT 1"),
    ("SET portcullis.subject = 'admin'", "SET portcullis.other = 'x'"),
    ("SET LOCAL portcullis.subject = 'admin'", "SHOW portcullis.subject"),
    ("SET Portcullis.Subject = 'admin'", "SET other.subject = 'admin'"),
    ("SET \"portcullis\".\"subject\" TO 'admin'", "SELECT 2"),
    ("RESET portcullis.subject", "RESET portcullis.other"),
    ("SELECT set_config('portcullis.subject', 'admin', false)", "SELECT 3"),
    ("SELECT set_config('PORTCULLIS.SUBJECT', 'admin', false)", "SELECT 4"),
    ("EXPLAIN ANALYZE SELECT set_config('role', 'app', false)", "EXPLAIN SELECT 1"),
    ("PREPARE s AS SELECT set_config('role', 'app', false)", "PREPARE s AS SELECT 5"),
    ("SELECT 1; SET ROLE app", "SELECT 1; SELECT 2"),
    ("SET U&\"r\\006Fle\" TO app", "SET U&\"work\\005Fmem\" TO '8MB'"),
    ("SET /* x */ SESSION -- y\n ROLE app", "SET /* x */ SESSION -- y\n work_mem = '8MB'"),
    ("SET role TO DEFAULT", "SET work_mem TO DEFAULT"),
    ("SET portcullis.subject FROM CURRENT", "SET work_mem FROM CURRENT"),
    (
        "SELECT set_config(E'r\\157le', 'app', false)",
        "SELECT set_config(E'work\\137mem', '8MB', false)",
    ),
    ("SELECT set_config('ro'\n'le', 'app', false)", "SELECT 'ro'\n'le'"),
    ("SELECT set_config($$role$$, 'app', false)", "SELECT set_config($$work_mem$$, '8MB', false)"),
    ("SELECT set_config('role'::text, 'app', false)", "SELECT 'role'::text"),
    (
        "SELECT set_config(is_local => false, new_value => 'app', setting_name => 'role')",
        "SELECT make_interval(days => 1)",
    ),
    ("SELECT pg_catalog.\"set_config\"('role', 'app', false)", "SELECT pg_catalog.\"now\"()"),
    ("WITH x AS (SELECT set_config('role', 'app', false)) SELECT * FROM x", "SELECT 6"),
    ("VALUES (set_config('role', 'app', false))", "VALUES (1)"),
    ("SELECT 1 ORDER BY set_config('role', 'app', false)", "SELECT 1 ORDER BY now()"),
    ("SELECT 1 LIMIT length(set_config('role', 'app', false))", "SELECT 1 LIMIT length('x')"),
    (
        "DECLARE c CURSOR FOR SELECT set_config('role', 'app', false)",
        "DECLARE c CURSOR FOR SELECT 7",
    ),
    ("UPDATE pg_settings SET setting = 'app' WHERE name = 'role'", "SELECT name FROM pg_settings"),
    ("UPDATE pg_catalog.pg_settings AS s SET setting = 'app' WHERE name = 'role'", "SELECT 8"),
];

async fn check_change(portcullis: &Portcullis, statement: &str, refused: bool, extended: bool) {
    let mut session = portcullis.session(ANA).await;
    let before = who(&mut session).await;
    // A transaction, or what is LOCAL is gone before it could be seen.
    session.query("BEGIN").await;
    let answer = match extended {
        true => session.exchange(Batch::new().extended(statement, false)).await,
        false => session.query(statement).await,
    };
    let what = format!("{statement} (extended: {extended}): {}", sequence(&answer));
    assert_eq!(error_of(&answer).is_some(), refused, "{what}");
    if let Some(error) = error_of(&answer) {
        assert_eq!(error.field(b'C').as_deref(), Some("42501"), "{what}");
        let message = error.field(b'M').unwrap_or_default();
        let ours = message.ends_with("may not be set: the proxy sets it for you");
        assert!(ours, "{what}: {message}");
        session.query("ROLLBACK").await;
    }
    assert_eq!(who(&mut session).await, before, "{what}");
}

#[tokio::test]
async fn nobody_changes_the_role_or_the_name_that_they_were_given() {
    let database = database().await;
    let portcullis = mapped(&database, &format!("role = \"{READER}\"")).start().await;
    for (change, harmless) in CHANGES {
        for extended in [false, true] {
            if extended && change.contains(';') {
                continue;
            }
            check_change(&portcullis, change, true, extended).await;
            check_change(&portcullis, harmless, false, extended).await;
        }
    }
}

/// A name that comes as a parameter could be any.
#[tokio::test]
async fn bound_names_and_function_calls_change_them_neither() {
    let database = database().await;
    let portcullis = mapped(&database, &format!("role = \"{READER}\"")).start().await;
    let superuser = database.superuser().await;
    let oid = "SELECT 'pg_catalog.set_config'::regproc::oid";
    let oid: u32 = superuser.query_one(oid, &[]).await.expect("a row").get(0);
    let set = "SELECT set_config($1, $2, false)";
    let bound = |values: &[&str]| {
        Batch::new().parse("", set).bind("", "", values, false).execute("", 0).sync()
    };
    let called = |name: &[u8], value: &[u8]| Batch::new().function_call(oid, &[name, value, b"f"]);
    for (name, batch) in [
        ("bound", bound(&["role", APP])),
        ("bound, harmless", bound(&["work_mem", "8MB"])),
        ("called", called(b"role", APP.as_bytes())),
        ("called, the subject", called(b"portcullis.subject", b"admin")),
    ] {
        let mut session = portcullis.session(ANA).await;
        let before = who(&mut session).await;
        let answer = session.exchange(batch).await;
        let code = error_of(&answer).and_then(|error| error.field(b'C'));
        assert_eq!(code.as_deref(), Some("42501"), "{name}: {}", sequence(&answer));
        assert_eq!(who(&mut session).await, before, "{name}");
    }
    let mut session = portcullis.session(ANA).await;
    let plain = Batch::new().parse("", "SELECT $1::text").bind("", "", &["role"], false);
    let answer = session.exchange(plain.execute("", 0).sync()).await;
    assert_eq!(first_column(&answer), ["role"]);
}

/// What drivers and poolers send between users puts everything back as it was at the start,
/// and that is what the proxy said.
#[tokio::test]
async fn putting_everything_back_leaves_the_role_and_the_name() {
    let database = database().await;
    let portcullis = mapped(&database, &format!("role = \"{READER}\"")).start().await;
    let mut session = portcullis.session(ANA).await;
    let before = who(&mut session).await;
    for statement in ["RESET ALL", "DISCARD ALL"] {
        let answer = session.query(statement).await;
        let after = who(&mut session).await;
        assert_eq!(after, before, "{statement}: {}", sequence(&answer));
    }
}

/// Where the shipped guardrail is in force, statements that nobody can see into do not come
/// as far as the database either.
#[tokio::test]
async fn no_block_and_no_function_changes_them_behind_the_guardrail() {
    let database = database().await;
    let function = format!(
        "CREATE FUNCTION become() RETURNS text LANGUAGE plpgsql AS
           $$ BEGIN RETURN set_config('portcullis.subject', 'admin', false); END $$;
         GRANT EXECUTE ON FUNCTION become() TO {READER}"
    );
    database.cluster.run(&database.name, &function).await;
    let setup = mapped(&database, &format!("role = \"{READER}\""));
    let portcullis = setup.policy("10-guard.toml", "sql_guard.wasm", "").start().await;
    let mut session = portcullis.session(ANA).await;
    let before = who(&mut session).await;
    for statement in [
        "DO $$ BEGIN PERFORM set_config('portcullis.subject', 'admin', false); END $$",
        "DO $$ BEGIN EXECUTE 'SET ROLE app'; END $$",
        "SELECT become()",
        "SELECT query_to_xml('SELECT set_config(''role'', ''app'', false)', true, true, '')",
    ] {
        let answer = session.query(statement).await;
        let code = error_of(&answer).and_then(|error| error.field(b'C'));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {}", sequence(&answer));
        assert_eq!(who(&mut session).await, before, "{statement}");
    }
}

#[tokio::test]
async fn row_security_sees_the_person() {
    let database = database().await;
    let policy = format!(
        "CREATE TABLE notes (owner text, note text);
         INSERT INTO notes VALUES ('ana', 'hers'), ('bot', 'its'), ('admin', 'his');
         ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON notes USING (owner = current_setting('portcullis.subject'));
         GRANT SELECT, UPDATE ON notes TO {READER}, {WRITER}"
    );
    database.cluster.run(&database.name, &policy).await;
    let portcullis = mapped(&database, &format!("role = \"{READER}\"")).start().await;
    for (user, note) in [(ANA, "hers"), (BOT, "its"), (ADMIN, "his")] {
        let mut session = portcullis.session(user).await;
        assert_eq!(first_column(&session.query("SELECT note FROM notes").await), [note]);
        let update =
            "UPDATE notes SET note = note WHERE owner <> current_setting('portcullis.subject')";
        assert_eq!(sequence(&session.query(update).await), "C:UPDATE 0 Z:I");
    }
}

/// As the application's name, for the database's own log and its list of sessions; the
/// client's own word for itself does not come there.
#[tokio::test]
async fn the_database_s_own_list_names_the_person() {
    let database = cluster().await.database().await;
    let setup = Setup::new(&database).unmatched("allow");
    let portcullis = setup.database_line("tell_subject = \"application_name\"").start().await;
    let arrival = Arrival::of(&portcullis, ANA.name);
    let named = [
        arrival.clone(),
        arrival.clone().saying("application_name", "admin"),
        arrival.clone().saying("Application_Name", "admin"),
        arrival.saying("options", "-c application_name=admin"),
    ];
    for arrival in named {
        let mut answer = arrival.arrive(Proof::Password(PASSWORD)).await;
        assert_eq!(answer.verdict(), "in");
        let shown = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        assert_eq!(first_column(&answer.session.query(shown).await), ["ana"]);
        for change in ["SET application_name = 'admin'", "RESET application_name"] {
            let refused = answer.session.query(change).await;
            assert_eq!(sequence(&refused), "E:42501 Z:I", "{change}");
        }
        assert_eq!(first_column(&answer.session.query(shown).await), ["ana"]);
    }
    // Where nobody is told, it stays the client's own.
    let portcullis = Setup::new(&database).unmatched("allow").start().await;
    let mut session = portcullis.session(ANA).await;
    assert_eq!(sequence(&session.query("SET application_name = 'x'").await), "C:SET Z:I");
}
