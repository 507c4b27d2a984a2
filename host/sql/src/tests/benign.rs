//! What applications and tools send all day must not be opaque.

use super::{analyzed, line};

const ORDINARY: &[&str] = &[
    // psql \d
    "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(users)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3;",
    "SELECT c.relchecks, c.relkind, c.relhasindex, pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', '), c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE c.reloftype::pg_catalog.regtype::pg_catalog.text END FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid) WHERE c.oid = '16385'",
    "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation FROM pg_catalog.pg_attribute a WHERE a.attrelid = '16385' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    "SELECT d.datname as \"Name\", pg_catalog.pg_get_userbyid(d.datdba) as \"Owner\" FROM pg_catalog.pg_database d ORDER BY 1",
    // pg_dump
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SET statement_timeout = 0; SET extra_float_digits TO 3; BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "LOCK TABLE public.users IN ACCESS SHARE MODE",
    "COPY public.users (id, email, name) TO stdout",
    "SELECT t.tableoid, t.oid, i.indrelid, t.relname AS indexname FROM unnest('{16385}'::pg_catalog.oid[]) AS src(tbloid) JOIN pg_catalog.pg_index i ON (src.tbloid = i.indrelid) JOIN pg_catalog.pg_class t ON (t.oid = i.indexrelid) ORDER BY i.indrelid, indexname",
    "SELECT pg_catalog.pg_get_viewdef('16390'::pg_catalog.oid) AS viewdef",
    "EXECUTE dumpFunc('1255')",
    // Django
    "SELECT \"users\".\"id\", \"users\".\"email\" FROM \"users\" WHERE (\"users\".\"name\" = 'x' AND UPPER(\"users\".\"email\"::text) LIKE UPPER('%y%')) ORDER BY \"users\".\"id\" ASC LIMIT 21",
    "INSERT INTO \"users\" (\"email\", \"name\") VALUES ('a', 'b') RETURNING \"users\".\"id\"",
    "UPDATE \"users\" SET \"name\" = 'x' WHERE \"users\".\"id\" = 5",
    "SELECT COUNT(*) AS \"__count\" FROM \"users\" INNER JOIN \"orders\" ON (\"users\".\"id\" = \"orders\".\"user_id\")",
    "SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid)",
    "SAVEPOINT \"s1_x1\"; RELEASE SAVEPOINT \"s1_x1\"; ROLLBACK TO SAVEPOINT \"s1_x1\"",
    // SQLAlchemy
    "select pg_catalog.version(); select current_schema(); show standard_conforming_strings; SHOW TRANSACTION ISOLATION LEVEL",
    "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname = $1::VARCHAR AND pg_catalog.pg_class.relkind = ANY (ARRAY[$2::VARCHAR, $3::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $4::VARCHAR",
    "SELECT anon_1.id FROM (SELECT users.id AS id FROM users WHERE users.id IN (SELECT orders.user_id FROM orders)) AS anon_1 LIMIT 5",
    "INSERT INTO users (email) SELECT p0::VARCHAR FROM (VALUES ($1, 0)) AS imp_sen(p0, sen_counter) ORDER BY sen_counter RETURNING users.id, users.id AS id__1",
    // pgjdbc
    "SET application_name = 'x'; SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND c.relname LIKE 'users' ORDER BY 1",
    "SELECT * FROM (SELECT n.nspname, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, information_schema._pg_expandarray(i.indkey) AS k FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid)) c WHERE true",
    "SELECT e.typdelim FROM pg_catalog.pg_type t, pg_catalog.pg_type e WHERE t.oid = $1 and t.typelem = e.oid",
    // applications
    "SELECT u.*, o.amount FROM users u LEFT JOIN LATERAL (SELECT * FROM orders WHERE user_id = u.id ORDER BY id DESC LIMIT 1) o ON true",
    "WITH recent AS (SELECT * FROM orders WHERE amount > 5), top AS (SELECT user_id, sum(amount) FROM recent GROUP BY 1) SELECT * FROM top JOIN users ON users.id = top.user_id",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n) FROM t",
    "SELECT * FROM generate_series(1, 10) AS g(n), unnest(ARRAY[1, 2]) WITH ORDINALITY AS x(a, b), jsonb_to_recordset('[]') AS r(a int)",
    "SELECT DISTINCT ON (name) *, rank() OVER w FROM users WINDOW w AS (PARTITION BY name) ORDER BY name",
    "INSERT INTO users (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name RETURNING xmax = 0",
    "UPDATE users SET name = o.id FROM orders o WHERE o.user_id = users.id RETURNING users.*",
    "DELETE FROM orders USING users WHERE users.id = orders.user_id AND users.name = 'x'",
    "MERGE INTO users u USING (VALUES (1)) v(id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET name = 'x' WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)",
    "SELECT FROM ONLY users; DELETE FROM ONLY users WHERE id = 1; UPDATE ONLY users SET name = 'x' WHERE id = 1",
    "SELECT a.id FROM users a, orders AS b WHERE a.id = b.user_id FOR UPDATE OF a SKIP LOCKED LIMIT 1",
    "SELECT json_build_object('a', 1), jsonb_path_query('{}', '$.a'), to_tsvector('x') @@ plainto_tsquery('y'), nextval('s'), gen_random_uuid()",
    "SELECT extract(epoch FROM now() - interval '1 day'), date_trunc('day', now()), now() AT TIME ZONE 'UTC'",
    "SELECT row_to_json(u) FROM users u LIMIT 1; SELECT (u).email FROM users u LIMIT 1; SELECT email(u) FROM users u LIMIT 1",
    "SELECT string_agg(name, ',' ORDER BY id) FILTER (WHERE id > 1), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM users",
    "CREATE TABLE IF NOT EXISTS n (id bigserial PRIMARY KEY, u uuid DEFAULT gen_random_uuid() NOT NULL, o int REFERENCES orders (id) ON DELETE CASCADE)",
    "CREATE UNIQUE INDEX CONCURRENTLY i ON users USING btree (upper(email)) WHERE name IS NOT NULL",
    "ALTER TABLE users ADD COLUMN x int DEFAULT 0, ALTER COLUMN name SET NOT NULL",
    "BEGIN; START TRANSACTION ISOLATION LEVEL SERIALIZABLE; COMMIT; ROLLBACK; DISCARD ALL; LISTEN c; NOTIFY c, 'x'",
];

#[test]
fn ordinary_statements_are_not_opaque() {
    for sql in ORDINARY {
        let statements = analyzed(sql);
        assert!(!statements.is_empty(), "{sql}");
        for statement in statements {
            assert_eq!(statement.opaque, [], "{}\n{}", line(&statement), statement.text);
        }
    }
}
