//! What statements do, those that try to hide it among them.

use expect_test::{Expect, expect};

use super::lines;

fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&lines(sql));
}

#[test]
fn ctes_hide_no_relation() {
    check(
        "WITH users AS (SELECT 1) INSERT INTO users SELECT * FROM users",
        expect!["INSERT [insert] write:public.users"],
    );
    check(
        "WITH users AS (SELECT * FROM users) SELECT * FROM users LIMIT 1",
        expect!["SELECT [select] read:public.users"],
    );
    check(
        "WITH RECURSIVE users AS (SELECT 1 UNION SELECT * FROM users) SELECT * FROM users",
        expect!["SELECT [select] unbounded-read"],
    );
    check(
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b",
        expect!["SELECT [select] read:b? unbounded-read"],
    );
    check(
        "WITH users AS (SELECT 1) SELECT * FROM public.users",
        expect!["SELECT [select] read:public.users unbounded-read"],
    );
    check(
        "WITH o AS (SELECT 1) SELECT * FROM (WITH users AS (SELECT * FROM o) SELECT * FROM users) x, users",
        expect!["SELECT [select] read:public.users unbounded-read"],
    );
    check(
        "WITH users AS (SELECT 1) SELECT 1 WHERE EXISTS (SELECT FROM users)",
        expect!["SELECT [select]"],
    );
    check(
        "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
        expect![
            "SELECT [select delete] write:public.users read:public.users unbounded-write unbounded-read"
        ],
    );
    check(
        "WITH users AS (SELECT 1) UPDATE users SET name = 'x' FROM users AS u WHERE users.id = 1",
        expect!["UPDATE [update] write:public.users read:public.users"],
    );
}

#[test]
fn every_place_a_relation_can_stand() {
    check(
        "INSERT INTO orders VALUES ((SELECT id FROM users LIMIT 1))",
        expect!["INSERT [insert] write:public.orders read:public.users"],
    );
    check(
        "INSERT INTO orders VALUES (1) RETURNING (SELECT email FROM users)",
        expect!["INSERT [insert] write:public.orders read:public.users"],
    );
    check(
        "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET amount = (SELECT id FROM users)",
        expect!["INSERT [insert] write:public.orders read:public.users"],
    );
    check(
        "SELECT * FROM users TABLESAMPLE system (1)",
        expect!["SELECT [select] read:public.users unbounded-read"],
    );
    check("SELECT * FROM ONLY users", expect!["SELECT [select] read:public.users unbounded-read"]);
    check(
        "DELETE FROM ONLY users WHERE id = 1",
        expect!["DELETE [delete] write:public.users read:public.users"],
    );
    check("TABLE users", expect!["SELECT [select] read:public.users unbounded-read"]);
    check(
        "VALUES (1) UNION TABLE users",
        expect!["SELECT [select] read:public.users unbounded-read"],
    );
    check(
        "CREATE TABLE n AS TABLE users",
        expect!["CREATE TABLE AS [create select] read:public.users define:n?"],
    );
    check(
        "SELECT * INTO n FROM users",
        expect!["SELECT INTO [select create] define:n? read:public.users"],
    );
    check(
        "CREATE TEMP TABLE users AS SELECT 1",
        expect!["CREATE TABLE AS [create select] define:pg_temp.users?"],
    );
    check("COPY users TO STDOUT", expect!["COPY [copy-out] read:public.users unbounded-read"]);
    check("COPY users (email) FROM STDIN", expect!["COPY [copy-in] write:public.users"]);
    check(
        "COPY (SELECT email FROM users) TO STDOUT",
        expect!["COPY [copy-out select] read:public.users unbounded-read"],
    );
    check(
        "COPY (DELETE FROM users RETURNING *) TO STDOUT",
        expect!["COPY [copy-out delete] write:public.users read:public.users unbounded-write"],
    );
    check("COPY users TO '/tmp/x'", expect!["COPY [copy-file] read:public.users unbounded-read"]);
    check(
        "COPY users TO PROGRAM 'cat'",
        expect!["COPY [copy-program] read:public.users unbounded-read"],
    );
    check("COPY users FROM PROGRAM 'cat'", expect!["COPY [copy-program] write:public.users"]);
    check("GRANT SELECT ON users TO eve", expect!["GRANT [grant] define:public.users"]);
    check("REVOKE ALL ON TABLE other.users FROM eve", expect!["REVOKE [grant] define:other.users"]);
    check(
        "CREATE VIEW v AS SELECT * FROM users",
        expect!["CREATE VIEW [create] define:v? read:public.users"],
    );
    check(
        "CREATE MATERIALIZED VIEW v AS SELECT * FROM users",
        expect!["CREATE MATERIALIZED VIEW [create select] read:public.users define:v?"],
    );
    check("CREATE INDEX ON users (email)", expect!["CREATE INDEX [create] define:public.users"]);
    check(
        "CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION purge()",
        expect!["CREATE TRIGGER [create] define:public.users"],
    );
    check(
        "CREATE RULE r AS ON INSERT TO users DO ALSO DELETE FROM orders",
        expect!["CREATE RULE [create] define:public.users write:public.orders"],
    );
    check(
        "CREATE POLICY p ON users USING (id IN (SELECT user_id FROM orders))",
        expect!["CREATE POLICY [create] define:public.users read:public.orders"],
    );
    check(
        "CREATE TABLE n (LIKE users, o int REFERENCES orders) INHERITS (people)",
        expect![
            "CREATE TABLE [create] define:n? read:public.users define:public.orders define:public.people"
        ],
    );
    check(
        "ALTER TABLE users DROP COLUMN email",
        expect!["ALTER TABLE [alter] define:public.users"],
    );
    check(
        "ALTER TABLE users RENAME COLUMN email TO e",
        expect!["ALTER TABLE [alter] define:public.users"],
    );
    check("ALTER TABLE users SET SCHEMA other", expect!["ALTER TABLE [alter] define:public.users"]);
    check(
        "DROP TABLE users, other.users CASCADE",
        expect!["DROP TABLE [drop] define:public.users define:other.users"],
    );
    check("DROP TRIGGER t ON users", expect!["DROP TRIGGER [drop] define:public.users"]);
    check("DROP SCHEMA public CASCADE", expect!["DROP SCHEMA [drop]"]);
    check("DROP OWNED BY eve", expect!["DROP OWNED [drop]"]);
    check(
        "TRUNCATE users, orders",
        expect!["TRUNCATE TABLE [truncate] write:public.users write:public.orders"],
    );
    check("LOCK TABLE users", expect!["LOCK TABLE [lock] read:public.users"]);
    check("VACUUM FULL users", expect!["VACUUM [vacuum] read:public.users"]);
    check("ANALYZE users (email)", expect!["ANALYZE [vacuum] read:public.users"]);
    check("COMMENT ON COLUMN users.email IS 'x'", expect!["COMMENT [alter] define:public.users"]);
    check(
        "ALTER SEQUENCE s OWNED BY users.id",
        expect!["ALTER SEQUENCE [alter] define:s? define:public.users"],
    );
    check(
        "CREATE PUBLICATION p FOR TABLE users",
        expect!["CREATE PUBLICATION [create] define:public.users"],
    );
    check(
        "CREATE STATISTICS s ON id, email FROM users",
        expect!["CREATE STATISTICS [create] define:public.users"],
    );
    check(
        "REFRESH MATERIALIZED VIEW people",
        expect!["REFRESH MATERIALIZED VIEW [alter] define:public.people"],
    );
    check(
        "SELECT * FROM users FOR UPDATE OF users",
        expect!["SELECT [select lock] read:public.users unbounded-read"],
    );
    check(
        "SELECT * FROM \"Users\", UsErS, U&\"us\\0065rs\"",
        expect!["SELECT [select] read:Users? read:public.users unbounded-read"],
    );
    check(
        "SELECT * FROM pg_temp.users, other.users, pg_class",
        expect![
            "SELECT [select] read:pg_temp.users? read:other.users read:pg_class? unbounded-read"
        ],
    );
    check(
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC DELETE FROM users; SELECT 1; END",
        expect!["CREATE FUNCTION [create] write:public.users"],
    );
}

#[test]
fn statements_inside_statements() {
    check("EXPLAIN DELETE FROM users", expect!["EXPLAIN [explain] write:public.users"]);
    check(
        "EXPLAIN ANALYZE DELETE FROM users",
        expect!["EXPLAIN [delete] write:public.users unbounded-write"],
    );
    check(
        "EXPLAIN (ANALYZE off) DELETE FROM users",
        expect!["EXPLAIN [explain] write:public.users"],
    );
    check(
        "EXPLAIN (ANALYZE 1, COSTS off) DELETE FROM users WHERE id = 1",
        expect!["EXPLAIN [delete] write:public.users read:public.users"],
    );
    check(
        "PREPARE p (int) AS DELETE FROM users WHERE id = $1",
        expect![[
            r#"PREPARE [delete] write:public.users read:public.users Prepare { name: "p", body: "DELETE FROM users WHERE id = $1" }"#
        ]],
    );
    check("EXECUTE p (1)", expect![[r#"EXECUTE [execute-dynamic] Execute { name: "p" }"#]]);
    check(
        "EXPLAIN ANALYZE EXECUTE p (1)",
        expect![[r#"EXPLAIN [execute-dynamic] Execute { name: "p" }"#]],
    );
    check(
        "CREATE TABLE n AS EXECUTE p",
        expect![[r#"CREATE TABLE AS [create execute-dynamic] define:n? Execute { name: "p" }"#]],
    );
    check(
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM users",
        expect![[
            r#"DECLARE CURSOR [select] read:public.users unbounded-read Declare { name: "c", body: "SELECT * FROM users", holds: true }"#
        ]],
    );
    check("FETCH ALL FROM c", expect![[r#"FETCH [execute-dynamic] Fetch { name: "c" }"#]]);
    check("MOVE c", expect![[r#"MOVE [execute-dynamic] Fetch { name: "c" }"#]]);
    check(
        "CLOSE ALL; CLOSE c; DEALLOCATE ALL; DEALLOCATE p; DISCARD ALL; DISCARD TEMP",
        expect![[r#"
        CLOSE CURSOR ALL [discard] CloseCursor { name: None }
        CLOSE CURSOR [discard] CloseCursor { name: Some("c") }
        DEALLOCATE ALL [discard] Deallocate { name: None }
        DEALLOCATE [discard] Deallocate { name: Some("p") }
        DISCARD ALL [discard] sets all DiscardAll
        DISCARD TEMP [discard]"#]],
    );
    check("DO $$ BEGIN DELETE FROM users; END $$", expect!["DO [do-block] !body not seen: DO"]);
    check("CALL purge()", expect!["CALL [call] calls purge !body not seen: purge"]);
    check("CALL vouched()", expect!["CALL [call] calls vouched"]);
    check(
        "MERGE INTO users u USING orders o ON u.id = o.user_id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
        expect![
            "MERGE [merge delete insert] write:public.users read:public.users read:public.orders"
        ],
    );
    check(
        "MERGE INTO users u USING (SELECT 1) o ON true WHEN MATCHED THEN DELETE",
        expect!["MERGE [merge delete] write:public.users unbounded-write"],
    );
    check(
        "CREATE SCHEMA s CREATE TABLE t (a int) GRANT SELECT ON t TO eve",
        expect!["CREATE SCHEMA [create grant] define:t?"],
    );
}

#[test]
fn several_statements_and_comments() {
    check(
        "SELECT 1; DELETE FROM users; -- end",
        expect![[r#"
        SELECT [select]
        DELETE [delete] write:public.users unbounded-write"#]],
    );
    check("/* a /* nested */ DROP TABLE x; */ SELECT 1", expect!["SELECT [select]"]);
    check(
        "SELECT 'a;b', $x$;$x$, E'\\';', \";\" FROM users",
        expect!["SELECT [select] read:public.users unbounded-read"],
    );
    check("-- nothing\n;;", expect![""]);
    check(
        "SELECT 'unterminated; DROP TABLE users",
        expect![
            " [other] sets ? unbounded-write unbounded-read !unparsed: unterminated quoted string"
        ],
    );
    check(
        "SELECT 1 /* unterminated",
        expect![" [other] sets ? unbounded-write unbounded-read !unparsed: unterminated comment"],
    );
    check(
        "SELEC 1; DROP TABLE users",
        expect![
            " [drop other] sets ? unbounded-write unbounded-read !unparsed: not in PostgreSQL's grammar"
        ],
    );
    check(
        "SELECT 1\0; DROP TABLE users",
        expect![
            " [select drop other] sets ? unbounded-write unbounded-read !unparsed: not in PostgreSQL's grammar"
        ],
    );
}

#[test]
fn parameters() {
    check("SET ROLE admin", expect!["SET [set] sets role"]);
    check(
        "SET LOCAL SESSION AUTHORIZATION 'admin'",
        expect!["SET [set] sets session_authorization"],
    );
    check("RESET ROLE", expect!["RESET [set] sets role"]);
    check("RESET ALL", expect!["RESET [set] sets all"]);
    check(
        "SET TIME ZONE 'UTC'; SET NAMES 'UTF8'; SET SCHEMA 'x'; SET Search_Path TO a, b",
        expect![[r#"
        SET [set] sets timezone
        SET [set] sets client_encoding
        SET [set] sets search_path
        SET [set] sets search_path"#]],
    );
    check(
        "SELECT set_config('Role', 'admin', false)",
        expect!["SELECT [select] calls set_config sets role"],
    );
    check(
        "SELECT set_config($1, 'admin', false), pg_catalog.set_config(new_value => 'x', setting_name => 'row_security', is_local => true)",
        expect!["SELECT [select] calls set_config,pg_catalog.set_config sets ?,row_security"],
    );
    check(
        "CREATE TEMP VIEW v AS SELECT set_config('search_path', 'x', false); CREATE TABLE made (word text DEFAULT pg_catalog.set_config('search_path', 'x', false)); CREATE TABLE copied AS SELECT set_config('search_path', 'x', false); CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = x RETURN 1; CREATE VIEW s AS SELECT * FROM pg_settings; SELECT * FROM pg_settings",
        expect![[r#"
            CREATE VIEW [create] define:pg_temp.v? calls set_config sets search_path !body not seen: set_config
            CREATE TABLE [create] define:made? calls pg_catalog.set_config sets search_path !body not seen: set_config
            CREATE TABLE AS [create select] define:copied? calls set_config sets search_path
            CREATE FUNCTION [create] sets search_path
            CREATE VIEW [create] define:s? read:pg_settings? !body not seen: set_config
            SELECT [select] read:pg_settings?"#]],
    );
    check(
        "ALTER ROLE eve SET log_statement = 'none'",
        expect!["ALTER ROLE [alter] sets log_statement"],
    );
    check("ALTER DATABASE shop RESET ALL", expect!["ALTER DATABASE [alter] sets all"]);
    check("ALTER SYSTEM SET row_security = off", expect!["ALTER SYSTEM [alter] sets row_security"]);
    check(
        "CREATE FUNCTION f() RETURNS int SET search_path = x AS 'SELECT 1' LANGUAGE sql",
        expect!["CREATE FUNCTION [create] sets search_path"],
    );
    check(
        "SET TRANSACTION READ ONLY; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        expect![[r#"
        SET [set] sets transaction_read_only
        SET [set] sets default_transaction_read_only"#]],
    );
    check(
        "UPDATE pg_settings SET setting = 'x' WHERE name = 'role'",
        expect!["UPDATE [update] write:pg_settings? sets ?"],
    );
    check(
        "LOAD 'x'; CREATE EXTENSION dblink",
        expect![[r#"
        LOAD [load]
        CREATE EXTENSION [create]"#]],
    );
}

#[test]
fn functions() {
    check("SELECT purge()", expect!["SELECT [select] calls purge !body not seen: purge"]);
    check(
        "SELECT public.vouched(), vouched(2)",
        expect!["SELECT [select] calls public.vouched,vouched"],
    );
    check(
        "SELECT lower(name) FROM users LIMIT 1",
        expect!["SELECT [select] read:public.users calls lower !body not seen: lower"],
    );
    check(
        "SELECT pg_catalog.lower(name) FROM users LIMIT 1",
        expect!["SELECT [select] read:public.users calls pg_catalog.lower"],
    );
    check(
        "SELECT upper(name), hidden() FROM users LIMIT 1",
        expect!["SELECT [select] read:public.users calls upper,hidden !body not seen: hidden"],
    );
    check(
        "SELECT other.hidden()",
        expect!["SELECT [select] calls other.hidden !body not seen: other.hidden"],
    );
    check(
        "SELECT email(u), (u).email, u.purge FROM users u LIMIT 1",
        expect!["SELECT [select] read:public.users calls purge !body not seen: purge"],
    );
    check(
        "SELECT query_to_xml('delete from users', true, false, '')",
        expect!["SELECT [select] calls query_to_xml !SQL in a string: query_to_xml"],
    );
    check(
        "SELECT * FROM dblink('x', 'select 1') AS t (a int)",
        expect!["SELECT [select] calls dblink !SQL in a string: dblink !body not seen: dblink"],
    );
    check(
        "SELECT pg_read_file('x'), lo_export(1, 'x'), pg_ls_dir('.')",
        expect!["SELECT [select] calls pg_read_file,lo_export,pg_ls_dir"],
    );
    check(
        "SELECT extract(year FROM now()), substring('x' FROM 1), trim('x'), position('a' IN 'b'), coalesce(1), current_user",
        expect!["SELECT [select] calls extract,now,substring,btrim,position"],
    );
    check(
        "SELECT ts_rewrite('a', 'select 1'), ts_rewrite('a', 'b', 'c')",
        expect!["SELECT [select] calls ts_rewrite !SQL in a string: ts_rewrite"],
    );
    check(
        "INSERT INTO ruled VALUES (1)",
        expect!["INSERT [insert] write:public.ruled !rewritten: public.ruled"],
    );
    check(
        "ALTER TABLE orders RENAME CONSTRAINT a TO b",
        expect!["ALTER TABLE [alter] define:public.orders"],
    );
}

#[test]
fn unbounded_reads() {
    for (sql, unbounded) in [
        ("SELECT * FROM users", true),
        ("SELECT * FROM users LIMIT 5", false),
        ("SELECT * FROM users LIMIT ALL", true),
        ("SELECT * FROM users LIMIT NULL", true),
        ("SELECT * FROM users FETCH FIRST 5 ROWS ONLY", false),
        ("SELECT count(*) FROM users", false),
        ("SELECT max(id) + 1 FROM users", false),
        ("SELECT count(*) OVER () FROM users", true),
        ("SELECT count(*) FROM users GROUP BY name", true),
        ("SELECT 1", false),
        ("SELECT * FROM pg_class", false),
        ("SELECT * FROM information_schema.tables", false),
        ("SELECT * FROM (SELECT * FROM users LIMIT 1) x", false),
        ("WITH x AS (SELECT * FROM users LIMIT 1) SELECT * FROM x", false),
        ("WITH x AS (SELECT * FROM users) SELECT * FROM x", true),
        ("SELECT 1 UNION ALL SELECT id FROM users", true),
        ("(SELECT id FROM users LIMIT 1) UNION ALL SELECT 1", false),
        ("TABLE users", true),
        ("COPY users TO STDOUT", true),
        ("COPY users FROM STDIN", false),
        ("DECLARE c CURSOR FOR SELECT * FROM users", true),
        ("INSERT INTO users SELECT * FROM users", false),
    ] {
        let read = super::analyzed(sql).iter().any(|statement| statement.unbounded_read);
        assert_eq!(read, unbounded, "{sql}");
    }
}

#[test]
fn unbounded_writes() {
    for condition in [
        "",
        "WHERE true",
        "WHERE 1=1",
        "WHERE id = id",
        "WHERE id IS NOT NULL",
        "WHERE id IS NOT NULL OR name = 'x'",
        "WHERE NOT false",
        "WHERE 'a' = 'a'",
        "WHERE EXISTS (SELECT 1)",
        "WHERE 1 IN (1)",
        "WHERE id = 1 OR true",
        "WHERE id = 1 OR 1 = 1",
        "WHERE NOT (id <> id)",
        "WHERE id >= id",
        "WHERE id + 0 = id",
        "WHERE users.id = id",
        "WHERE name = 'a' OR name <> 'a'",
        "WHERE name IS NULL OR name IS NOT NULL",
        "WHERE name LIKE '%'",
        "WHERE name ~ '.*'",
        "WHERE (id = id) IS TRUE",
        "WHERE NOT id <> id",
        "WHERE (id = 5) IS NOT UNKNOWN",
        "WHERE COALESCE(id = 1, true)",
        "WHERE 5",
        "WHERE $1",
        "WHERE CASE WHEN id = 1 THEN true ELSE true END",
        "WHERE now() > '2020-01-01'",
        "WHERE id IN (SELECT id FROM users)",
        "WHERE EXISTS (SELECT 1 FROM orders)",
        "WHERE EXISTS (SELECT 1 FROM users WHERE users.id = 5)",
        "WHERE id = 5 OR NOT id = 5",
        "WHERE NOT (id = 5 AND id <> 5)",
        "WHERE id IN (1, id)",
        "WHERE id IS NOT DISTINCT FROM id",
        "WHERE 2 > 1",
        "WHERE 't'",
        "WHERE 't'::bool",
        "WHERE (SELECT true)",
        "WHERE id < 1 OR id >= 1",
    ] {
        for sql in [
            format!("DELETE FROM users {condition}"),
            format!("UPDATE users SET name = 'x' {condition}"),
        ] {
            assert!(super::analyzed(&sql).iter().any(|one| one.unbounded_write), "{sql}");
        }
    }
    for sql in [
        "WITH x AS (DELETE FROM users) SELECT 1",
        "EXPLAIN ANALYZE UPDATE users SET id = 1",
        "DELETE FROM users u USING orders o WHERE o.id = 1",
        "UPDATE users u SET name = o.id FROM orders o WHERE o.amount = 1",
    ] {
        assert!(super::analyzed(sql).iter().any(|one| one.unbounded_write), "{sql}");
    }
}

#[test]
fn bounded_writes() {
    for condition in [
        "WHERE id = 1",
        "WHERE id = $1",
        "WHERE false",
        "WHERE 1 = 0",
        "WHERE 1 <> 1",
        "WHERE NULL",
        "WHERE id IN (1, 2)",
        "WHERE id = ANY($1)",
        "WHERE name IS NULL",
        "WHERE name IS NOT NULL",
        "WHERE id = 1 AND true",
        "WHERE id = 1 OR name = 'x'",
        "WHERE lower(name) = 'x'",
        "WHERE NOT id = 1",
        "WHERE id IN (SELECT user_id FROM orders)",
        "WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = users.id)",
        "WHERE id IN (SELECT id FROM users WHERE name = 'x' LIMIT 10)",
        "WHERE name LIKE 'a%'",
        "WHERE id BETWEEN 1 AND 2",
        "WHERE name <> lower(name)",
        "WHERE CURRENT OF c",
        "WHERE id < 10 OR id > 90",
        "WHERE name",
        "WHERE (id, name) = (1, 'x')",
        "WHERE ctid = '(0,1)'",
        "WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = email)",
    ] {
        for sql in [
            format!("DELETE FROM users {condition}"),
            format!("UPDATE users SET name = 'x' {condition}"),
        ] {
            assert!(!super::analyzed(&sql).iter().any(|one| one.unbounded_write), "{sql}");
        }
    }
    for sql in [
        "EXPLAIN DELETE FROM users",
        "TRUNCATE users",
        "INSERT INTO users VALUES (1)",
        "CREATE RULE r AS ON INSERT TO users DO DELETE FROM orders",
        "DELETE FROM users u USING orders o WHERE o.user_id = u.id",
        "UPDATE users AS u SET name = 'x' WHERE u.id = 1",
    ] {
        assert!(!super::analyzed(sql).iter().any(|one| one.unbounded_write), "{sql}");
    }
}

#[test]
fn forms_of_copy() {
    let check = |sql: &str, expected: Expect| {
        let statements = super::analyzed(sql);
        let forms: Vec<String> =
            statements.iter().map(|statement| format!("{:?}", statement.copy)).collect();
        expected.assert_eq(&forms.join("\n"));
    };
    check(
        "COPY users TO STDOUT",
        expect![[r#"Some(Text { delimiter: 9, null: "\\N", header: false })"#]],
    );
    check(
        "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';', QUOTE '''')",
        expect![[r#"Some(Csv { delimiter: 59, quote: 39, escape: 39, null: "", header: true })"#]],
    );
    check(
        "COPY users TO STDOUT WITH CSV HEADER NULL 'x' FORCE QUOTE *",
        expect![[r#"Some(Csv { delimiter: 44, quote: 34, escape: 34, null: "x", header: true })"#]],
    );
    check(
        "COPY users TO STDOUT (FORMAT text, HEADER off); COPY users TO STDOUT BINARY",
        expect![[r#"
        Some(Text { delimiter: 9, null: "\\N", header: false })
        Some(Binary)"#]],
    );
    check(
        "COPY users FROM STDIN; COPY users TO '/tmp/x'; SELECT 1",
        expect![[r#"
        None
        None
        None"#]],
    );
    check("COPY users TO STDOUT (ENCODING 'latin1')", expect!["None"]);
}
