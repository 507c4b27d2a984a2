//! Ways of getting a statement past a guardrail, and ordinary statements that must pass.

/// Statements that one session runs one by one. Nothing in the database may have changed
/// afterwards, and where it says so, a step must have been refused.
pub(crate) struct Harmful {
    pub(crate) steps: &'static [&'static str],
    pub(crate) must_refuse: bool,
}

const fn refused(steps: &'static [&'static str]) -> Harmful {
    Harmful { steps, must_refuse: true }
}

/// PostgreSQL itself may refuse it first, or nothing comes of it.
const fn futile(steps: &'static [&'static str]) -> Harmful {
    Harmful { steps, must_refuse: false }
}

pub(crate) const HARMFUL: &[Harmful] = &[
    // Plain destruction.
    refused(&["DROP TABLE scratch"]),
    refused(&["TRUNCATE scratch"]),
    refused(&["DELETE FROM scratch"]),
    refused(&["DELETE FROM ONLY scratch"]),
    refused(&["UPDATE scratch SET word = 'x'"]),
    refused(&["DROP SCHEMA public CASCADE"]),
    refused(&["DROP OWNED BY app"]),
    refused(&["ALTER TABLE scratch DROP COLUMN word"]),
    refused(&["DROP FUNCTION customer_email"]),
    refused(&["DROP VIEW customer_contacts CASCADE"]),
    // A WHERE that is always true.
    refused(&["DELETE FROM scratch WHERE true"]),
    refused(&["DELETE FROM scratch WHERE 1=1"]),
    refused(&["DELETE FROM scratch WHERE id = id"]),
    refused(&["DELETE FROM scratch WHERE 'a' = 'a' OR id = 3"]),
    refused(&["DELETE FROM scratch WHERE NOT false"]),
    refused(&["DELETE FROM scratch WHERE id IS NOT NULL OR id IS NULL"]),
    refused(&["WITH gone AS (UPDATE scratch SET word = 'x' RETURNING 1) SELECT * FROM gone"]),
    // Put so that it does not look like it.
    refused(&["SELECT 1; DROP TABLE scratch"]),
    refused(&["/* harmless */ DROP /* quite */ TABLE -- so\n scratch"]),
    refused(&["/* a /* b */ c */ DROP TABLE scratch"]),
    refused(&["  ;;; DROP TABLE scratch;"]),
    refused(&["dRoP tAbLe \"scratch\""]),
    refused(&["DROP TABLE U&\"scr\\0061tch\""]),
    refused(&["DROP TABLE IF EXISTS nothing_like_it, scratch"]),
    refused(&["SELECT $tag$ ; $tag$; DROP TABLE scratch"]),
    refused(&["SELECT E'\\'; SELECT '; DROP TABLE scratch --'"]),
    refused(&["SET standard_conforming_strings = off", "SELECT '\\''; DROP TABLE scratch; --'"]),
    futile(&["SELECT ';DROP TABLE scratch;'"]),
    refused(&["WITH gone AS (DELETE FROM scratch RETURNING *) SELECT count(*) FROM gone"]),
    refused(&["WITH scratch AS (SELECT 1) DELETE FROM public.scratch"]),
    refused(&["EXPLAIN ANALYZE DELETE FROM scratch"]),
    refused(&["EXPLAIN (ANALYZE, COSTS OFF) DELETE FROM scratch"]),
    refused(&["PREPARE gone AS DELETE FROM scratch", "EXECUTE gone"]),
    refused(&["DO $$ BEGIN DELETE FROM scratch; END $$"]),
    refused(&["DO $$ BEGIN EXECUTE 'DROP TA' || 'BLE scratch'; END $$"]),
    refused(&["SELECT query_to_xml('DELETE FROM scratch RETURNING 1', true, false, '')"]),
    refused(&[
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM scratch'",
        "SELECT f()",
        "DROP FUNCTION f",
    ]),
    refused(&[
        "CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql AS 'DELETE FROM scratch'",
        "SELECT pg_temp.f()",
    ]),
    refused(&["CREATE RULE r AS ON INSERT TO orders DO ALSO DELETE FROM scratch"]),
    refused(&["MERGE INTO scratch USING scratch AS other ON true WHEN MATCHED THEN DELETE"]),
    refused(&["COPY (DELETE FROM scratch RETURNING 1) TO STDOUT"]),
    refused(&["CREATE TEMP TABLE scratch (id int)", "TRUNCATE public.scratch"]),
    refused(&["SET search_path = pg_temp, public", "DROP TABLE scratch"]),
    refused(&["BEGIN", "DROP TABLE scratch", "COMMIT"]),
    refused(&["BEGIN; DROP TABLE scratch; COMMIT"]),
    // A known name under which something else is put.
    refused(&[
        "PREPARE p AS SELECT 1",
        "DEALLOCATE p",
        "PREPARE p AS DELETE FROM scratch",
        "EXECUTE p",
    ]),
    refused(&["DO $$ BEGIN EXECUTE 'PREPARE q AS DELETE FROM scratch'; END $$", "EXECUTE q"]),
    // Files and programs on the server.
    refused(&["COPY scratch TO PROGRAM 'cat > /dev/null'"]),
    refused(&["COPY scratch FROM PROGRAM 'echo'"]),
    refused(&["COPY scratch TO '/tmp/portcullis-e2e-never'"]),
    refused(&["COPY scratch FROM '/etc/passwd'"]),
    refused(&["SELECT pg_read_file('/etc/passwd')"]),
    refused(&["SELECT pg_read_binary_file('PG_VERSION')"]),
    refused(&["SELECT pg_ls_dir('.')"]),
    refused(&["SELECT lo_export(1, '/tmp/portcullis-e2e-never')"]),
    refused(&["SELECT lo_import('/etc/passwd')"]),
    refused(&["SELECT \"pg_catalog\".\"pg_read_file\"('/etc/passwd')"]),
    refused(&["SELECT ('/etc/passwd'::text).pg_read_file"]),
    refused(&["SELECT a.pg_read_file FROM concat('/etc/passwd') a"]),
    refused(&["CREATE TABLE names (f text DEFAULT ('/etc/passwd'::text).pg_read_file.upper)"]),
    refused(&["CREATE TABLE files (f text DEFAULT ('/etc/passwd'::text).pg_read_file)"]),
    refused(&["LOAD 'auto_explain'"]),
    refused(&["CREATE EXTENSION hstore"]),
    // Roles and settings.
    refused(&["SET ROLE by_trust"]),
    refused(&["RESET ROLE"]),
    refused(&["SET SESSION AUTHORIZATION DEFAULT"]),
    refused(&["SELECT set_config('role', 'by_trust', false)"]),
    refused(&["SELECT set_config('ro' || 'le', 'by_trust', false)"]),
    refused(&["SET row_security = off"]),
    refused(&["SET session_replication_role = replica"]),
    refused(&["SET log_statement = 'none'"]),
    refused(&["ALTER SYSTEM SET fsync = on"]),
    refused(&["ALTER ROLE app SET search_path = pg_temp"]),
    refused(&["ALTER DATABASE shop_template SET search_path = pg_temp"]),
    refused(&["CREATE ROLE mine SUPERUSER"]),
    refused(&["ALTER ROLE app SUPERUSER"]),
    refused(&["GRANT app TO by_trust"]),
    refused(&["GRANT ALL ON scratch TO PUBLIC"]),
    refused(&["SELECT pg_terminate_backend(1)"]),
    refused(&["SELECT pg_reload_conf()"]),
    // What no reader reads.
    futile(&["DROP TABLE scratch; SELEC"]),
    futile(&["/* DROP TABLE scratch"]),
];

/// Each runs in a session of its own, directly and through the proxy, with equal answers.
pub(crate) const HARMLESS: &[&[&str]] = &[
    &["SELECT 1", "SELECT * FROM scratch ORDER BY id", "SELECT count(*) FROM orders"],
    &["SELECT ';DROP TABLE scratch;' -- DROP TABLE scratch"],
    &["SELECT $tag$ DROP TABLE scratch $tag$ /* ; DROP TABLE scratch */"],
    &["BEGIN", "DELETE FROM scratch WHERE id = 3", "ROLLBACK"],
    &["BEGIN", "UPDATE scratch SET word = 'x' WHERE id IN (1, 2)", "ROLLBACK"],
    &["BEGIN", "INSERT INTO scratch VALUES (700, 'x', 1) RETURNING id", "ROLLBACK"],
    &[
        "BEGIN",
        "WITH g AS (DELETE FROM scratch WHERE id < 3 RETURNING id) SELECT count(*) FROM g",
        "ROLLBACK",
    ],
    &["EXPLAIN (COSTS OFF) SELECT * FROM scratch"],
    &["PREPARE p (int) AS SELECT word FROM scratch WHERE id = $1", "EXECUTE p(3)", "DEALLOCATE p"],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT id FROM scratch",
        "FETCH 3 FROM c",
        "CLOSE c",
        "COMMIT",
    ],
    &[
        "SET TimeZone = 'UTC'",
        "SET search_path = public",
        "SET statement_timeout = '10s'",
        "RESET ALL",
    ],
    &["SET application_name = 'x'", "SHOW application_name", "DISCARD ALL"],
    &["SELECT set_config('TimeZone', 'UTC', false)"],
    &["SELECT now() > '2000-01-01', version() LIKE 'PostgreSQL%', current_database() IS NOT NULL"],
    &["COPY scratch TO STDOUT", "COPY (SELECT 1) TO STDOUT (FORMAT csv)"],
    &["LISTEN ears", "NOTIFY ears, 'x'", "UNLISTEN *"],
    &["SAVEPOINT x", "BEGIN", "SAVEPOINT x", "RELEASE x", "COMMIT"],
    &[
        "SELECT relname FROM pg_class WHERE relname = 'scratch'",
        "SELECT * FROM information_schema.tables LIMIT 0",
    ],
    &["SELECT nope", "SELECT * FROM nowhere", ""],
    &["SELECT 1; SELECT 2", ";", "SELECT 1;"],
    &["SELECT (SELECT max(amount) FROM orders), generate_series(1, 3)"],
    &["SELECT pg_typeof(1), pg_backend_pid() > 0, pg_size_pretty(1000::bigint)"],
];
