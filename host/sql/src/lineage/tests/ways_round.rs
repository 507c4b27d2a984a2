//! Ways round a mask, each of which must name the column, and twins that must not.

use portcullis_policy::lineage::{ColumnRef, Derivation, Outputs};

use super::{can_show, catalog, traced, view};
use crate::catalog::{Catalog, Function, Relation};

#[track_caller]
fn shows(sql: &str, column: &str) {
    let traced = traced(sql, Some(&catalog()));
    assert!(can_show(&traced.outputs, column), "{sql}\n{:?}", traced.outputs);
}

#[track_caller]
fn hides(sql: &str, column: &str) {
    let traced = traced(sql, Some(&catalog()));
    assert!(!can_show(&traced.outputs, column), "{sql}\n{:?}", traced.outputs);
}

#[test]
fn names_of_the_same_column() {
    for sql in [
        "SELECT email AS x FROM users",
        "SELECT * FROM users",
        "SELECT u.* FROM users u",
        "SELECT public.users.email FROM users",
        "SELECT users.email FROM public.users",
        "SELECT \"email\" FROM \"users\"",
        "SELECT t FROM users t",
        "SELECT (t).email FROM users t",
        "SELECT email(t) FROM users t",
        "SELECT (t).* FROM users t",
        "SELECT t::text FROM users t",
        "SELECT users FROM users",
        "SELECT t.text FROM users t",
        "SELECT row_to_json(t.*) FROM users t",
        "TABLE users",
        "SELECT email FROM ONLY users",
        "SELECT email FROM users TABLESAMPLE bernoulli (50)",
        "SELECT s.b FROM users AS s(a, b)",
        "SELECT x.email FROM (users JOIN orders ON user_id = users.id) AS x(id, email)",
        "SELECT email FROM users NATURAL JOIN orders",
        "SELECT j.id FROM (SELECT email AS id FROM users) s JOIN orders USING (id) AS j",
        "SELECT l.e FROM orders, LATERAL (SELECT email AS e FROM users WHERE id = user_id) l",
        "SELECT l.e FROM users u, LATERAL (SELECT u.email) l(e)",
        "SELECT l.e FROM users u CROSS JOIN LATERAL (VALUES (u.email)) l(e)",
        "VALUES (1::bigint, '', '', '', 0, now()) UNION TABLE users",
        "COPY users TO STDOUT",
        "COPY users (email) TO STDOUT",
        "COPY (SELECT email FROM users) TO STDOUT",
    ] {
        shows(sql, "users.email");
    }
}

#[test]
fn values_computed_from_it() {
    for value in [
        "lower(email)",
        "email || ''",
        "substr(email, 1, 3)",
        "substring(email from 1 for 3)",
        "reverse(email)",
        "encode(email::bytea, 'base64')",
        "md5(email)",
        "email::text",
        "CAST(email AS bytea)",
        "CASE WHEN true THEN email END",
        "CASE email WHEN 'x' THEN 1 END",
        "CASE WHEN email LIKE 'a%' THEN 1 ELSE 0 END",
        "COALESCE(NULL, email)",
        "NULLIF(email, '')",
        "GREATEST(email, 'a')",
        "format('%s', email)",
        "ARRAY[email]",
        "(ARRAY[email])[1]",
        "ROW(email)",
        "ROW(email, 1)::text",
        "row_to_json(users)",
        "to_jsonb(users) -> 'email'",
        "json_agg(email)",
        "json_agg(users)",
        "json_build_object('a', email)",
        "array_agg(email)",
        "array_agg(email ORDER BY id)",
        "string_agg(email, ',')",
        "xmlagg(xmlelement(name a, email))",
        "xmlforest(email AS a)",
        "xmlserialize(content xmlelement(name a, email) AS text)",
        "max(email)",
        "mode() WITHIN GROUP (ORDER BY email)",
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY email)",
        "first_value(email) OVER (ORDER BY id)",
        "lag(email) OVER w",
        "ntile(ascii(email)) OVER w",
        "last_value(id) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND (SELECT ascii(email)) FOLLOWING)",
        "count(*) OVER (ORDER BY id ROWS ascii(email) PRECEDING)",
        "json_array(SELECT 1 FROM generate_series(1, (SELECT ascii(email))))",
        "unnest(ARRAY[email])",
        "regexp_split_to_table(email, '@')",
        "count(*) FILTER (WHERE email LIKE 'a%')",
        "count(nullif(substr(email, 1, 1), 'a'))",
        "nullif(email, 'guess') IS NULL",
        "email = 'x'",
        "email IN ('a', 'b')",
        "email LIKE 'a%'",
        "email BETWEEN 'a' AND 'b'",
        "email = ANY(ARRAY['a'])",
        "email IS DISTINCT FROM 'x'",
        "NOT (email = 'x')",
        "(email = 'x') IS TRUE",
        "email COLLATE \"C\"",
        "email IN (SELECT note FROM orders)",
        "length(email)",
        "generate_series(1, length(email))",
        "json_object('a': email)",
        "json_array(email)",
        "json_objectagg('a': email)",
        "json_arrayagg(email)",
        "json_scalar(email)",
        "json(email)",
        "json_value(email, '$.a')",
        "json_query(email, '$.a' PASSING email AS x)",
        "json_exists(email, '$.a')",
        "json_serialize(email)",
        "email IS JSON",
        "concat(VARIADIC ARRAY[email])",
        "make_interval(days => length(email))",
        "row(users.*)",
        "(SELECT email)",
        "(SELECT 1 WHERE email LIKE 'a%')",
        "EXISTS (SELECT 1 WHERE email LIKE 'a%')",
        "ARRAY(SELECT email)",
        "(SELECT i FROM generate_series(1, 300) i WHERE chr(i) = substr(email, 1, 1))",
        "(SELECT count(*) FROM generate_series(1, length(email)))",
        "EXISTS (SELECT 1 FROM orders o WHERE o.note = email)",
    ] {
        shows(&format!("SELECT {value} FROM users WINDOW w AS (ORDER BY id)"), "users.email");
    }
}

#[test]
fn values_passed_along() {
    for sql in [
        "WITH c AS (SELECT email AS x FROM users) SELECT x FROM c",
        "WITH c(x) AS MATERIALIZED (SELECT email FROM users) SELECT x FROM c",
        "WITH users AS (SELECT * FROM users) SELECT email FROM users",
        "WITH a AS (SELECT email FROM users), b AS (TABLE a) TABLE b",
        "WITH RECURSIVE r(x) AS (SELECT 'a' UNION SELECT email FROM users, r) SELECT x FROM r",
        "WITH RECURSIVE r(x, y) AS (SELECT email, '' FROM users UNION SELECT y, x FROM r) \
         SELECT y FROM r",
        "WITH RECURSIVE b AS (SELECT x FROM a), a AS (SELECT email AS x FROM users) TABLE b",
        "WITH RECURSIVE r(x) AS (SELECT email FROM users UNION ALL SELECT x FROM r) \
         CYCLE x SET c USING p SELECT p FROM r",
        "WITH c AS (UPDATE users SET name = name RETURNING email) SELECT * FROM c",
        "SELECT x FROM (SELECT email AS x FROM users) s",
        "SELECT note FROM orders UNION ALL SELECT email FROM users",
        "SELECT email FROM users EXCEPT SELECT note FROM orders",
        "SELECT note FROM orders EXCEPT SELECT email FROM users",
        "SELECT (SELECT email FROM users LIMIT 1)",
        "SELECT ARRAY(SELECT email FROM users)",
        "SELECT (SELECT u FROM users u LIMIT 1)",
        "SELECT ((SELECT u FROM users u LIMIT 1)).email",
        "SELECT mail FROM v_users",
        "SELECT * FROM v_users",
        "SELECT who FROM vv",
        "SELECT mail FROM mv",
        "SELECT email FROM staff",
        "SELECT x FROM loop_a, users",
        "SELECT u FROM unnest(ARRAY(SELECT email FROM users)) u",
        "SELECT key, value FROM users, json_each(row_to_json(users))",
        "SELECT * FROM users u, json_each(row_to_json(u))",
        "SELECT part FROM users, regexp_split_to_table(email, '@') AS part",
        "SELECT b FROM users, ROWS FROM (unnest(ARRAY[1]), unnest(ARRAY[email])) AS r(a, b)",
        "SELECT x.v FROM users, xmltable('/a' PASSING xmlelement(name a, email) \
         COLUMNS v text PATH '.') x",
        "SELECT j.v FROM users, json_table(to_json(users), '$' COLUMNS (v text PATH '$.email')) j",
        "SELECT n.v FROM users, json_table(to_json(users), '$' \
         COLUMNS (NESTED PATH '$' COLUMNS (v text PATH '$.email'))) n",
        "SELECT n.last FROM users, json_table(to_json(users), '$' \
         COLUMNS (NESTED PATH '$' COLUMNS (v text PATH '$.email'), k FOR ORDINALITY)) n(first, last)",
        "SELECT v.column2 FROM (SELECT id, email FROM users) k, LATERAL (VALUES (k.*, 1)) v",
        "SELECT value FROM json_each_text((SELECT row_to_json(u) FROM users u)) a \
         NATURAL LEFT JOIN (SELECT NULL::text AS value) b",
        "SELECT last_value(id) OVER w FROM orders WINDOW w AS (ORDER BY id \
         ROWS (SELECT ascii(email) FROM users LIMIT 1) PRECEDING)",
        "SELECT u.id, max(n) FROM users u, \
         generate_series(1, ascii(u.email)) WITH ORDINALITY AS g(i, n) GROUP BY u.id",
        "SELECT u.id, sum(1) FROM users u, generate_series(1, ascii(u.email)) GROUP BY u.id",
        "SELECT i FROM generate_series(0, 255) i OFFSET (SELECT ascii(email) FROM users) LIMIT 1",
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT 2 LIMIT \
         (SELECT ascii(email) FROM users LIMIT 1)) SELECT count(*) FROM r",
        "SELECT r.a FROM json_to_record((SELECT to_json(u) FROM users u)) AS r(a text)",
        "SELECT hidden() FROM users",
        "SELECT h FROM users, hidden() h",
        "SELECT hidden(u) FROM users u",
        "SELECT u.hidden FROM users u",
        "SELECT vouched(email) FROM users",
        "SELECT OLD.email FROM users AS old",
        "SELECT count(*) FROM users u, generate_series(1, length(u.email))",
        "SELECT count(*) FROM (SELECT generate_series(1, length(email)) FROM users) s",
        "SELECT count(*) FROM (SELECT generate_series(1, length(email)) + 0 FROM users) s",
        "SELECT count(*) FROM (SELECT id FROM users ORDER BY generate_series(1, length(email))) s",
        "SELECT u.id, s.hit FROM users u \
         LEFT JOIN LATERAL (SELECT true AS hit WHERE u.email LIKE 'a%') s ON true",
        "SELECT query_to_xml('SELECT email FROM users', true, true, '')",
        "EXPLAIN ANALYZE SELECT 1 FROM users WHERE email = 'x'",
        "EXPLAIN (ANALYZE) SELECT id FROM users",
        "EXECUTE p",
        "FETCH ALL FROM c",
        "CALL p()",
    ] {
        shows(sql, "users.email");
    }
}

#[test]
fn values_written_and_read_back() {
    for sql in [
        "INSERT INTO users (email) VALUES ($1) RETURNING email",
        "INSERT INTO orders (note) SELECT email FROM users RETURNING note",
        "INSERT INTO orders SELECT 1, 2, 3, email FROM users RETURNING *",
        "INSERT INTO orders (note) VALUES ((SELECT email FROM users LIMIT 1)) RETURNING orders",
        "UPDATE users SET name = '' RETURNING *",
        "UPDATE orders SET note = email FROM users RETURNING note",
        "UPDATE orders SET note = email FROM users RETURNING orders.*",
        "UPDATE orders SET (amount, note) = (SELECT 1, email FROM users) RETURNING note",
        "UPDATE users SET name = '' RETURNING old.email",
        "UPDATE users SET name = '' RETURNING WITH (OLD AS o) o.email",
        "UPDATE orders SET (amount, note) = ROW(z.*, 1, email) FROM (SELECT) z, users \
         RETURNING note",
        "DELETE FROM users RETURNING lower(email)",
        "DELETE FROM orders USING users RETURNING email",
        "INSERT INTO orders (note) VALUES ('') ON CONFLICT (id) DO UPDATE \
         SET note = (SELECT email FROM users LIMIT 1) RETURNING note",
        "MERGE INTO orders o USING users u ON o.user_id = u.id \
         WHEN MATCHED THEN UPDATE SET note = u.email RETURNING note",
        "MERGE INTO orders o USING users u ON o.user_id = u.id \
         WHEN NOT MATCHED THEN INSERT (note) VALUES (u.email) RETURNING o.note",
        "MERGE INTO orders o USING (SELECT id, id AS user_id, id AS amount, email FROM users) u \
         ON false WHEN NOT MATCHED THEN INSERT VALUES (u.*) RETURNING o.note",
        "MERGE INTO orders o USING users u ON false WHEN MATCHED THEN DELETE RETURNING *",
        "MERGE INTO orders USING (SELECT (x).* FROM (SELECT y AS x FROM (SELECT email AS note FROM users) y) q) z \
         ON false WHEN NOT MATCHED THEN INSERT (note) VALUES (note) RETURNING orders.note",
    ] {
        shows(sql, "users.email");
    }
}

/// A name by itself is a column, and only else a row; an attribute a field, and only else a call.
#[test]
fn names_that_could_stand_for_either() {
    for sql in [
        "SELECT u::text FROM users u, pg_catalog.pg_am",
        "SELECT (u).email || '' FROM users u, generate_series(1, 1) g",
        "SELECT (SELECT u::text FROM pg_am LIMIT 1) FROM (SELECT id, email FROM users) u",
        "SELECT u::text FROM users u, (SELECT (SELECT a.* FROM (SELECT 1) a)) y",
        "INSERT INTO orders (note) SELECT u::text FROM users u, pg_am RETURNING note",
        "SELECT (email).upper FROM users",
        "SELECT (email || '').reverse FROM users",
        "SELECT ('select email from users'::text).ts_stat",
        "SELECT a.ts_stat FROM concat('select email from users') a",
        "SELECT count(*) FROM (SELECT (array_fill(1, ARRAY[ascii(email)])).unnest FROM users) x",
        "SELECT system_user FROM (SELECT email AS \"system_user\" FROM users) x",
        "SELECT system_user FROM (SELECT email FROM users) AS \"system_user\"",
    ] {
        shows(sql, "users.email");
    }
    // Which columns a function in FROM has is not known, nor what they hide.
    for sql in [
        "SELECT (SELECT email || '' FROM jsonb_each('{}') AS email) FROM users",
        "SELECT (SELECT email || '' FROM ROWS FROM (now(), now()) AS email) FROM users",
        "SELECT (SELECT jsonb_each || '' FROM jsonb_each('{}')) \
         FROM (SELECT email AS jsonb_each FROM users) u",
        "SELECT email || '' FROM (jsonb_each('{}') AS email CROSS JOIN users u) \
         LEFT JOIN (SELECT 'x' AS email) r USING (email)",
        "SELECT (SELECT string_agg(g::text, '') FROM (SELECT 1 AS email) z, \
         (generate_series(1, 200) g JOIN generate_series(1, 30) h ON ascii(substr(email, h, 1)) = g)) \
         FROM users",
        "SELECT (SELECT count(*) FROM (SELECT 1 AS email) z, orders TABLESAMPLE bernoulli (ascii(email))) \
         FROM users",
    ] {
        shows(sql, "users.email");
    }
    // What an alias hides, and what SEARCH and CYCLE add.
    for sql in [
        "SELECT (SELECT u.id FROM (orders a JOIN orders b USING (id) AS u) AS j LIMIT 1) \
         FROM (SELECT email AS id FROM users) u",
        "SELECT (SELECT u::text FROM (orders a JOIN orders b USING (id) AS u) AS j LIMIT 1) \
         FROM (SELECT email AS id FROM users) u",
        "SELECT (WITH RECURSIVE r(e, x) AS (SELECT email, 'a' FROM users UNION ALL \
         SELECT e, seq::text FROM r WHERE x = 'a') SEARCH BREADTH FIRST BY e SET seq \
         SELECT max(x) FROM r) FROM (SELECT 'k' AS seq) o",
        "SELECT (WITH RECURSIVE r(e, x) AS (SELECT email, 'a' FROM users UNION ALL \
         SELECT e, path::text FROM r JOIN orders ON true) CYCLE e SET cyc USING path \
         SELECT max(x) FROM r) FROM (SELECT 'k' AS path) o",
    ] {
        shows(sql, "users.email");
    }
    // Which columns `*` gives, and which an alias counts.
    let searched = "WITH RECURSIVE r(i, v) AS (SELECT 1, '' UNION ALL SELECT i + 1, v FROM r) \
                    SEARCH DEPTH FIRST BY i SET seq CYCLE i SET cyc USING path";
    let nameless = "SELECT (SELECT * FROM (SELECT id FROM orders) y), 5 AS five";
    for sql in [
        &format!("{searched} SELECT c4 FROM (SELECT * FROM r, users) x(c1, c2, c3, c4)"),
        &format!("{searched} SELECT c7 FROM (r CROSS JOIN users) x(c1, c2, c3, c4, c5, c6, c7)"),
        &format!("{searched} INSERT INTO orders SELECT * FROM r, users RETURNING note"),
        &format!("{searched}, w AS (SELECT * FROM r, users) SELECT x FROM w AS w(a, b, c, x)"),
        "WITH RECURSIVE r(i, v) AS (SELECT 1, '' UNION ALL SELECT 1, c5 FROM \
         (r CROSS JOIN users) AS j(c1, c2, c3, c4, c5)) SEARCH DEPTH FIRST BY i SET seq \
         SELECT v FROM r",
        "WITH RECURSIVE r AS (SELECT (SELECT * FROM (SELECT email FROM users) y) UNION ALL \
         SELECT email FROM r) SEARCH DEPTH FIRST BY email SET seq SELECT seq FROM r",
        &format!("SELECT c3 FROM (({nameless}) l JOIN users USING (id)) j(c1, c2, c3)"),
    ] {
        shows(sql, "users.email");
    }
    for sql in [
        &format!("{searched} SELECT c3 FROM (SELECT * FROM r, users) x(c1, c2, c3, c4)"),
        &format!("{searched} SELECT c6 FROM (r CROSS JOIN users) x(c1, c2, c3, c4, c5, c6, c7)"),
    ] {
        hides(sql, "users.email");
    }
    let show_statistics = [
        "SELECT s::text FROM pg_stats s",
        "SELECT (s).most_common_vals FROM pg_stats s",
        "SELECT s.row_to_json FROM pg_stats s",
    ];
    for sql in show_statistics {
        shows(sql, "pg_catalog.pg_stats.*?");
    }
    for sql in
        ["SELECT query FROM pg_stat_get_activity(NULL)", "SELECT pg_stat_get_backend_activity(1)"]
    {
        shows(sql, "pg_catalog.pg_stat_activity.query?");
    }
    // One of the two is not PostgreSQL's own.
    shows("SELECT public.users.email FROM users, pg_catalog.users", "users.email");
    for sql in [
        "SELECT c.oid, c.relname FROM pg_class c, users",
        "SELECT (u).name FROM users u",
        "SELECT system_user",
        "SELECT g FROM users, generate_series(1, 3) g",
    ] {
        hides(sql, "users.email");
    }
}

/// To a server before version 16 these are calls of what somebody may have defined.
#[test]
fn what_only_later_versions_know() {
    for (sql, function) in [
        ("SELECT json_value('1', '$')", "json_value"),
        ("SELECT json_object('a': 1)", "json_object"),
        ("SELECT json_array(1)", "json_array"),
        ("SELECT json_scalar(1)", "json_scalar"),
        (
            "MERGE INTO orders USING users ON false WHEN MATCHED THEN DELETE RETURNING merge_action()",
            "merge_action",
        ),
    ] {
        let plain = traced(sql, Some(&catalog()));
        let Outputs::Columns(columns) = &plain.outputs else { panic!("{sql}") };
        assert_eq!(columns[0].derivation, Derivation::None, "{sql}");
        let function = Function { schema: "public".to_owned(), name: function.to_owned() };
        let relations: Vec<Relation> = catalog().relations().cloned().collect();
        let defined = traced(sql, Some(&Catalog::new(1, relations, [function])));
        let Outputs::Columns(columns) = &defined.outputs else { panic!("{sql}") };
        assert_eq!(columns[0].derivation, Derivation::Unknown, "{sql}");
    }
}

/// A server has the catalogs of its version, and before that a name is anybody's.
#[test]
fn a_relation_with_a_name_of_postgresqls() {
    let mut relations: Vec<Relation> = catalog().relations().cloned().collect();
    relations.push(view(20, "pg_stat_io", "x", "SELECT users.email AS x FROM public.users;"));
    let catalog = Catalog::new(1, relations, []);
    for sql in ["SELECT x || '' FROM pg_stat_io", "SELECT p::text FROM pg_stat_io p"] {
        let traced = traced(sql, Some(&catalog));
        let Outputs::Columns(columns) = &traced.outputs else { panic!("{sql}") };
        let [column] = columns.as_slice() else { panic!("{sql}") };
        assert_eq!(column.derivation, Derivation::Unknown, "{sql}");
        assert!(column.sources.iter().any(|source| source.origin.is_none()), "{sql}");
    }
}

#[test]
fn how_many_rows_there_are() {
    let rows = "FROM users c, generate_series(1, ascii(c.email))";
    for sql in [
        "SELECT rank(2) WITHIN GROUP (ORDER BY 1) {rows}",
        "SELECT (SELECT sum(y.one)) FROM (SELECT 1 AS one {rows}) y",
        "SELECT id FROM orders TABLESAMPLE bernoulli (3) REPEATABLE ((SELECT ascii(email) FROM users LIMIT 1))",
        "WITH x AS (INSERT INTO orders (id) SELECT 1 {rows} RETURNING 1) SELECT count(*) FROM x",
        "WITH x AS (DELETE FROM orders o USING (SELECT 1 {rows}) s RETURNING 1) SELECT count(*) FROM x",
        "SELECT count(*) FROM (SELECT _pg_expandarray(array_fill(1, ARRAY[ascii(email)])) FROM users) x",
        "SELECT 1 IN (SELECT 1 FROM users c, generate_series(99, ascii(c.email)))",
        "SELECT (SELECT 1 FROM users c, generate_series(99, ascii(c.email)))",
        "SELECT JSON_ARRAYAGG(1) {rows}",
        "SELECT JSON_OBJECTAGG('a' : 1) {rows}",
        "SELECT jsonb_object_agg_strict('a', 1) {rows}",
        "SELECT JSON_ARRAYAGG(1) OVER (ROWS (SELECT ascii(email) FROM users LIMIT 1) PRECEDING)",
        // Whatever the value reads itself.
        "SELECT count(c.id + 0) {rows}",
        "SELECT ARRAY(SELECT c.id {rows})",
        "SELECT c.id IN (SELECT c.id {rows}) FROM orders c",
        "SELECT (SELECT c.id {rows} OFFSET 116 LIMIT 1)",
        "UPDATE orders SET (id, note) = (SELECT 7, 'b' {rows} LIMIT 1) RETURNING id",
        "SELECT nth_value(1, 117) OVER () {rows}",
        "SELECT lag(1, 116) OVER () {rows}",
        "SELECT count(*) FROM (SELECT vouched(email) FROM users) q",
        // Groups and windows are made of what it gives.
        "SELECT count(*) FROM users GROUP BY generate_series(1, ascii(email)) > 0",
        "SELECT generate_series(1, ascii(email)) > 0 AS x, count(*) FROM users GROUP BY x",
        "SELECT sum(1) FROM users GROUP BY ROLLUP (generate_series(1, ascii(email)))",
        "SELECT count(*) OVER (PARTITION BY generate_series(1, ascii(email)) > 0) FROM users",
        "SELECT rank() OVER w FROM users WINDOW w AS (ORDER BY generate_series(1, ascii(email)))",
    ] {
        shows(&sql.replace("{rows}", rows), "users.email");
    }
}

/// Whether there is a row, or which, tells of what decides it.
#[test]
fn which_rows_there_are() {
    for sql in [
        "SELECT count(id + 0) FILTER (WHERE email LIKE 'a%') FROM users",
        "SELECT count(id + 0) OVER (ROWS (SELECT ascii(email) FROM users LIMIT 1) PRECEDING) FROM users",
        "SELECT (SELECT * FROM generate_series(1, 255) g WHERE g = ascii(u.email)) FROM users u",
        "SELECT 1 IN (SELECT o.id FROM orders o WHERE u.email LIKE 'a%') FROM users u",
        "SELECT (SELECT o.id FROM orders o WHERE u.email LIKE 'a%') IS NULL FROM users u",
        "SELECT count((SELECT o.id FROM orders o WHERE u.email LIKE 'a%')) FROM users u",
    ] {
        shows(sql, "users.email");
    }
    for sql in [
        "SELECT (SELECT o.id FROM orders o WHERE o.user_id = u.id) IS NULL FROM users u",
        "SELECT (SELECT email FROM users LIMIT 1) IS NULL",
        "SELECT u.id IN (SELECT o.user_id FROM orders o WHERE o.amount > u.salary) FROM users u",
        "SELECT name, count(*) FROM users, unnest(ARRAY[1, 2]) n GROUP BY name, n ORDER BY max(email)",
        "SELECT generate_series(1, salary::int), count(*) FROM users GROUP BY 1",
    ] {
        hides(sql, "users.email");
    }
}

/// An entry of FROM with a name that the text does not show can be meant by any.
#[test]
fn entries_whose_name_is_not_known() {
    for sql in [
        "SELECT (SELECT k.k FROM ROWS FROM (CAST((SELECT * FROM (SELECT u.email AS k) z) AS text))) FROM users u, (SELECT note AS k FROM orders) k",
        "SELECT (SELECT \"?column?\".\"?column?\" FROM ROWS FROM (CAST((SELECT * FROM (SELECT email || '' FROM users) z) AS text))) FROM (SELECT 'c') \"?column?\"",
        "SELECT (WITH m AS (SELECT min(email) FROM users) SELECT min.min FROM ROWS FROM (CAST((TABLE m) AS text))) FROM (SELECT note AS min FROM orders) min",
        "SELECT (SELECT k FROM ROWS FROM (CAST((SELECT * FROM (SELECT email AS k FROM users) z) AS text))) FROM (SELECT 1) k",
        "SELECT (SELECT json_value.json_value FROM json_value(to_jsonb((SELECT email FROM users)), '$')) FROM (SELECT 'c' AS json_value) json_value",
        "SELECT (SELECT json_query.json_query FROM json_query(to_jsonb((SELECT email FROM users)), '$')) FROM (SELECT 'c' AS json_query) json_query",
        "WITH \"system_user\" AS (SELECT id, email AS w FROM users) SELECT w || '' FROM system_user",
        "WITH \"system_user\"(w) AS (SELECT email FROM users) SELECT (x).w || '' FROM system_user x",
    ] {
        shows(sql, "users.email");
    }
    let copied = |sql: &str| {
        let written = traced(sql, Some(&catalog())).written;
        written.iter().any(|written| written.sources.iter().any(|from| from.column == "email"))
    };
    for sql in [
        "CREATE TABLE copy AS WITH \"system_user\"(w) AS (SELECT email FROM users) SELECT w FROM system_user",
        "REFRESH MATERIALIZED VIEW mv",
    ] {
        assert!(copied(sql), "{sql}");
    }
    assert!(!copied("REFRESH MATERIALIZED VIEW mv WITH NO DATA"));
}

/// What lineage gives up on is neither shown nor copied.
#[test]
fn what_is_too_long_to_be_followed() {
    let mut long = "o.note || ''".to_owned();
    for _ in 0..18 {
        long = format!("ROW({long}) IS NULL");
    }
    // Each level costs as much as its text is long.
    hides(&format!("SELECT {long} FROM orders o"), "users.email");
    // What each round adds goes round again, in each round of what is around it.
    let columns: Vec<String> = (0..12).map(|number| format!("a{number}")).collect();
    let (names, shifted) = (columns.join(", "), columns[1..].join(", "));
    let mut endless = "SELECT note FROM orders".to_owned();
    for _ in 0..5 {
        endless = format!(
            "WITH RECURSIVE r({names}) AS (SELECT 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, id FROM orders \
             UNION ALL SELECT {shifted}, ({endless}) FROM r) SELECT a0 FROM r"
        );
    }
    assert!(traced(&endless, Some(&catalog())).gave_up);
    for sql in [
        format!("CREATE TABLE copy AS WITH burn AS ({endless}) TABLE users"),
        format!("INSERT INTO orders (note) {endless}"),
        "INSERT INTO orders (note) SELECT hidden(1) || ''".to_owned(),
        "INSERT INTO orders (note) SELECT (1).hidden || ''".to_owned(),
        "INSERT INTO orders (note) SELECT query_to_xml('select 1', true, true, '')::text"
            .to_owned(),
    ] {
        let traced = traced(&sql, Some(&catalog()));
        let anything = |source: &ColumnRef| source.relation == "*";
        let copied = traced.written.iter().any(|written| written.sources.iter().any(anything));
        assert!(copied, "{sql}");
    }
}

#[test]
fn ordinary_work_is_not_touched() {
    for sql in [
        "SELECT id, name FROM users WHERE email = 'x' ORDER BY email",
        "SELECT count(*) FROM users WHERE email LIKE '%@x'",
        "SELECT id, ntile(4) OVER (ORDER BY email) FROM users",
        "SELECT count(email), count(DISTINCT email), count(u), count(u.*) FROM users u",
        "SELECT email IS NOT NULL FROM users",
        "SELECT EXISTS (SELECT email FROM users)",
        "SELECT row_number() OVER (ORDER BY email) FROM users",
        "SELECT sum(amount) FROM orders JOIN users ON user_id = users.id GROUP BY email",
        "SELECT o.* FROM orders o, users u WHERE u.id = o.user_id",
        "SELECT id FROM v_users",
        "SELECT orders, one FROM vv",
        "SELECT total FROM mv",
        "SELECT u.id, (SELECT count(*) FROM orders o WHERE o.user_id = u.id) FROM users u",
        "SELECT (u).name, u.ctid, u.tableoid FROM users u",
        "INSERT INTO users (email) VALUES ($1) RETURNING id",
        "UPDATE users SET email = $1 WHERE id = $2 RETURNING id",
        "EXPLAIN SELECT email FROM users",
        "SELECT now(), version(), current_user, $1, 1 + 1",
        "SHOW search_path",
        "SELECT desk FROM staff",
        "WITH users AS (SELECT id AS email FROM orders) SELECT email FROM users",
        "SELECT lower(name) FROM users",
        "DELETE FROM users WHERE email = 'x'",
        "COPY users FROM STDIN",
        "COPY users (id, name) TO STDOUT",
        "DECLARE c CURSOR FOR SELECT * FROM users",
        "PREPARE p AS SELECT * FROM users",
        "MOVE ALL FROM c",
        "SELECT relname FROM pg_class",
    ] {
        hides(sql, "users.email");
    }
}
