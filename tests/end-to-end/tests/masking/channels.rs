//! More ways of getting a value past a mask: through other relations and other channels.

use super::attacks::{Attack, attack};

/// Ways through other relations.
pub(crate) const RELATIONS: &[Attack] = &[
    attack(
        "CTE",
        &["WITH c AS (SELECT email AS e FROM customers) SELECT e FROM c LIMIT 5"],
        "WITH c AS (SELECT word AS e FROM scratch) SELECT e FROM c ORDER BY e",
    ),
    attack(
        "CTE of the table's own name",
        &["WITH customers AS (SELECT * FROM customers) SELECT email FROM customers LIMIT 5"],
        "WITH scratch AS (SELECT * FROM scratch) SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "recursive CTE",
        &[
            "WITH RECURSIVE r(n, e) AS (SELECT 1, ''::text UNION ALL SELECT n + 1, (SELECT email FROM customers WHERE id = n) FROM r WHERE n < 5) SELECT e FROM r",
        ],
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r",
    ),
    attack(
        "sub-query",
        &["SELECT s.e FROM (SELECT email AS e FROM customers) AS s LIMIT 5"],
        "SELECT s.e FROM (SELECT word AS e FROM scratch) AS s ORDER BY e",
    ),
    attack(
        "union, the other side first",
        &["SELECT 'x'::text UNION ALL SELECT email FROM customers"],
        "SELECT 'x'::text UNION ALL SELECT status FROM orders WHERE id < 4",
    ),
    attack(
        "intersect",
        &["SELECT email FROM customers INTERSECT SELECT email FROM customers"],
        "SELECT id FROM scratch INTERSECT SELECT id FROM orders ORDER BY 1",
    ),
    attack(
        "scalar sub-query",
        &["SELECT (SELECT email FROM customers WHERE id = o.customer_id) FROM orders o LIMIT 5"],
        "SELECT (SELECT word FROM scratch WHERE id = o.id) FROM orders o WHERE id < 5 ORDER BY id",
    ),
    attack(
        "view",
        &["SELECT * FROM customer_contacts LIMIT 5"],
        "SELECT id FROM customer_contacts ORDER BY id LIMIT 5",
    ),
    attack(
        "view of a view",
        &["SELECT reached_at FROM contact_addresses LIMIT 5"],
        "SELECT id FROM contact_addresses ORDER BY id LIMIT 5",
    ),
    attack(
        "materialised view",
        &["SELECT * FROM customer_directory LIMIT 5"],
        "SELECT orders, spent FROM customer_directory ORDER BY id LIMIT 5",
    ),
    attack("SQL function", &["SELECT customer_email(3)"], "SELECT abs(-3), round(2.5)"),
    attack(
        "function in FROM",
        &["SELECT * FROM customer_email(3)"],
        "SELECT * FROM generate_series(1, 3)",
    ),
    attack(
        "inheritance child",
        &["SELECT email, ssn FROM vip_customers"],
        "SELECT discount FROM vip_customers ORDER BY discount",
    ),
    attack(
        "partition",
        &[
            "SELECT c.email, l.path FROM access_log_2025 l JOIN customers c ON c.id = l.customer_id LIMIT 5",
        ],
        "SELECT path FROM access_log_2025 ORDER BY id LIMIT 5",
    ),
    attack(
        "array column",
        &["SELECT emails, emails[2] FROM profiles LIMIT 5"],
        "SELECT session_id IS NOT NULL FROM profiles LIMIT 5",
    ),
    attack(
        "composite column",
        &["SELECT contact, (contact).email FROM profiles LIMIT 5"],
        "SELECT level FROM profiles ORDER BY customer_id LIMIT 5",
    ),
    attack(
        "json column",
        &["SELECT document, document ->> 'email', document -> 'email' FROM profiles LIMIT 5"],
        "SELECT customer_id FROM profiles ORDER BY 1 LIMIT 5",
    ),
    attack(
        "domain column",
        &["SELECT work_email FROM profiles LIMIT 5"],
        "SELECT count(*) FROM profiles",
    ),
    attack(
        "bytea column",
        &[
            "SELECT photo, encode(photo, 'escape'), convert_from(photo, 'UTF8') FROM profiles LIMIT 5",
        ],
        "SELECT customer_id FROM profiles LIMIT 5",
    ),
    attack(
        "CREATE TABLE AS",
        &[
            "CREATE TEMP TABLE copy1 AS SELECT email AS harmless FROM customers",
            "SELECT harmless FROM copy1 LIMIT 5",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "SELECT INTO",
        &["SELECT email AS harmless INTO TEMP copy2 FROM customers", "TABLE copy2"],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "permanent copy",
        &[
            "DROP TABLE IF EXISTS copy3",
            "CREATE TABLE copy3 AS SELECT reverse(email) AS harmless FROM customers",
            "SELECT reverse(harmless) FROM copy3 LIMIT 5",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "INSERT SELECT",
        &[
            "CREATE TEMP TABLE copy4 (x text)",
            "INSERT INTO copy4 SELECT email FROM customers",
            "SELECT x FROM copy4 LIMIT 5",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "UPDATE from",
        &[
            "BEGIN",
            "UPDATE scratch SET word = c.email FROM customers c WHERE c.id = scratch.id",
            "SELECT word FROM scratch ORDER BY id",
            "ROLLBACK",
        ],
        "SELECT amount FROM scratch ORDER BY id",
    ),
    attack(
        "a view of one's own",
        &[
            "CREATE TEMP VIEW mine AS SELECT email AS x FROM customers",
            "SELECT x FROM mine LIMIT 5",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "rename, then read",
        &[
            "BEGIN",
            "ALTER TABLE customers RENAME COLUMN email TO plain",
            "SELECT plain FROM customers LIMIT 5",
            "ROLLBACK",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "renamed table",
        &[
            "BEGIN",
            "ALTER TABLE customers RENAME TO people",
            "SELECT email FROM people LIMIT 5",
            "ROLLBACK",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
];

/// Ways through other channels than rows of a plain SELECT.
pub(crate) const CHANNELS: &[Attack] = &[
    attack(
        "INSERT RETURNING",
        &[
            "BEGIN",
            "INSERT INTO orders SELECT 9001, id, 1, email, 1, now() FROM customers WHERE id = 1 RETURNING status",
            "SELECT status FROM orders WHERE id = 9001",
            "ROLLBACK",
        ],
        "SELECT id FROM orders ORDER BY id LIMIT 5",
    ),
    attack(
        "UPDATE RETURNING",
        &["UPDATE customers SET name = name WHERE id < 5 RETURNING email"],
        "UPDATE scratch SET amount = amount WHERE id = 2 RETURNING word",
    ),
    attack(
        "DELETE RETURNING",
        &["BEGIN", "DELETE FROM api_tokens WHERE id = 1 RETURNING token", "ROLLBACK"],
        "SELECT id FROM api_tokens ORDER BY id",
    ),
    attack(
        "cursor",
        &[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT email FROM customers",
            "FETCH 5 FROM c",
            "MOVE 5 FROM c",
            "FETCH 5 FROM c",
            "COMMIT",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "cursor with hold",
        &[
            "DECLARE held CURSOR WITH HOLD FOR SELECT email FROM customers",
            "FETCH 5 FROM held",
            "CLOSE held",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "PREPARE and EXECUTE",
        &[
            "PREPARE p AS SELECT email FROM customers LIMIT 5",
            "EXECUTE p",
            "EXECUTE p",
            "DEALLOCATE p",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "CREATE TABLE AS EXECUTE",
        &[
            "PREPARE q AS SELECT email AS x FROM customers LIMIT 5",
            "CREATE TEMP TABLE copy5 AS EXECUTE q",
            "SELECT x FROM copy5",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack("COPY text", &["COPY customers TO STDOUT"], "COPY scratch TO STDOUT"),
    attack(
        "COPY csv",
        &["COPY customers (email) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)"],
        "COPY scratch TO STDOUT (FORMAT csv, HEADER)",
    ),
    attack(
        "COPY binary",
        &["COPY customers TO STDOUT (FORMAT binary)"],
        "COPY scratch TO STDOUT (FORMAT binary)",
    ),
    attack(
        "COPY with a delimiter of its own",
        &["COPY customers TO STDOUT (DELIMITER '@', NULL '')"],
        "COPY scratch TO STDOUT (DELIMITER '|')",
    ),
    attack(
        "COPY a query",
        &["COPY (SELECT reverse(email) FROM customers) TO STDOUT"],
        "COPY (SELECT reverse(word) FROM scratch ORDER BY id) TO STDOUT",
    ),
    attack(
        "COPY a whole row",
        &["COPY (SELECT c FROM customers c) TO STDOUT"],
        "COPY (SELECT s FROM scratch s ORDER BY id) TO STDOUT",
    ),
    attack(
        "COPY RETURNING",
        &["COPY (UPDATE customers SET name = name WHERE id = 1 RETURNING email) TO STDOUT"],
        "COPY (SELECT word FROM scratch ORDER BY id) TO STDOUT",
    ),
    attack(
        "values from a star",
        &[
            "SELECT v.column2 FROM (SELECT id, encode(email::bytea, 'hex') e FROM customers) k, LATERAL (VALUES (k.*, 1)) v",
        ],
        "SELECT v.column2 FROM (SELECT id, word e FROM scratch) k, LATERAL (VALUES (k.*, 1)) v ORDER BY 1",
    ),
    attack(
        "natural join with columns of a function",
        &[
            "SELECT encode(value::bytea, 'hex') FROM json_each_text((SELECT row_to_json(c) FROM customers c WHERE id = 1)) a NATURAL LEFT JOIN (SELECT NULL::text AS value) b",
        ],
        "SELECT s.id FROM scratch s NATURAL JOIN (SELECT 1 AS id) b",
    ),
    attack(
        "letters numbered",
        &[
            "SELECT id, string_agg(chr(m::int), '' ORDER BY k) FROM (SELECT c.id, k, max(n) m FROM customers c, generate_series(1, 40) k, generate_series(1, ascii(substr(email, k, 1))) WITH ORDINALITY g(i, n) WHERE c.id < 4 GROUP BY c.id, k) t GROUP BY id",
        ],
        "SELECT n FROM generate_series(1, 3) WITH ORDINALITY g(i, n)",
    ),
    attack(
        "unique violation",
        &["INSERT INTO customers SELECT 9100, 'x', email FROM customers WHERE id = 1"],
        "INSERT INTO scratch VALUES (1, 'x', 1)",
    ),
    attack(
        "check violation",
        &["INSERT INTO orders SELECT 9101, id, -1, email, 1, now() FROM customers WHERE id = 1"],
        "INSERT INTO orders VALUES (9101, 1, -1, 'x', 1, '2026-01-01')",
    ),
    attack(
        "not null violation",
        &["INSERT INTO employees SELECT 9102, name, email, NULL, 1 FROM customers WHERE id = 1"],
        "INSERT INTO orders (id, customer_id) VALUES (9102, 1)",
    ),
    attack(
        "duplicates found by a new index",
        &[
            "BEGIN",
            "CREATE TEMP TABLE twice AS SELECT email FROM customers UNION ALL SELECT email FROM customers",
            "CREATE UNIQUE INDEX ON twice (email)",
            "ROLLBACK",
        ],
        "INSERT INTO orders VALUES (9103, 99999, 1, 'x', 1, '2026-01-01')",
    ),
    attack(
        "RAISE NOTICE",
        &[
            "DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers LIMIT 1; RAISE NOTICE 'it is %', e; END $$",
        ],
        "SELECT 1",
    ),
    attack(
        "RAISE EXCEPTION",
        &[
            "DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers LIMIT 1; RAISE EXCEPTION 'it is %', e USING HINT = e, DETAIL = e; END $$",
        ],
        "SELECT 1",
    ),
    attack(
        "division by zero in a DO block",
        &[
            "DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers LIMIT 1; PERFORM e::int; END $$",
        ],
        "SELECT 1",
    ),
    attack(
        "pg_notify",
        &[
            "LISTEN ears",
            "SELECT pg_notify('ears', email) FROM customers LIMIT 3",
            "SELECT 1",
            "UNLISTEN *",
        ],
        "SELECT pg_notify('nobody', word) FROM scratch ORDER BY id",
    ),
    attack(
        "NOTIFY by a block",
        &[
            "LISTEN ears",
            "DO $$ BEGIN PERFORM pg_notify('ears', (SELECT email FROM customers LIMIT 1)); END $$",
            "SELECT 1",
            "UNLISTEN *",
        ],
        "SELECT 1",
    ),
    attack(
        "EXPLAIN ANALYZE",
        &[
            "EXPLAIN ANALYZE SELECT * FROM orders WHERE status = (SELECT email FROM customers WHERE id = 1)",
        ],
        "EXPLAIN (COSTS OFF) SELECT * FROM scratch WHERE id = 1",
    ),
    attack(
        "EXPLAIN folds constants",
        &["EXPLAIN VERBOSE SELECT * FROM orders WHERE status = customer_email(1)"],
        "EXPLAIN (COSTS OFF) SELECT word FROM scratch",
    ),
    attack(
        "pg_stats",
        &[
            "SELECT tablename, attname, most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename IN ('customers', 'profiles', 'api_tokens')",
        ],
        "SELECT tablename FROM pg_stats WHERE tablename = 'scratch' ORDER BY attname",
    ),
    attack(
        "pg_statistic",
        &["SELECT stavalues1::text FROM pg_statistic"],
        "SELECT relname FROM pg_class WHERE relname = 'scratch'",
    ),
    attack(
        "pg_stat_activity",
        &["SELECT query FROM pg_stat_activity"],
        "SELECT count(*) > 0 FROM pg_stat_activity",
    ),
    attack(
        "pg_stats copied",
        &[
            "BEGIN",
            "UPDATE scratch SET word = (SELECT encode(histogram_bounds::text::bytea, 'hex') FROM pg_stats WHERE attname = 'email' AND tablename = 'customers') WHERE id = 1",
            "SELECT word FROM scratch WHERE id = 1",
            "ROLLBACK",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
    attack(
        "pg_stats carried",
        &[
            "SELECT set_config('my.bounds', encode(histogram_bounds::text::bytea, 'hex'), false) FROM pg_stats WHERE attname = 'email' AND tablename = 'customers'",
            "SHOW my.bounds",
        ],
        "SELECT set_config('my.other', relname, false) IS NULL FROM pg_class WHERE relname = 'scratch'",
    ),
    attack(
        "letters dealt out",
        &[
            "SELECT id, string_agg(chr(m::int - 1), '' ORDER BY k) FROM (SELECT id, k, max(n) m FROM (SELECT id, k, ntile(ascii(substr(email, k, 1)) + 1) OVER (PARTITION BY id, k) n FROM customers, generate_series(1, 40) k, generate_series(1, 128) g WHERE id < 4) s GROUP BY id, k) t WHERE m > 1 GROUP BY id",
        ],
        "SELECT id, ntile(2) OVER (ORDER BY id) FROM scratch",
    ),
    attack(
        "carried where rows are dealt out",
        &[
            "SELECT ntile(length(set_config('my.dealt', encode(email::bytea, 'hex'), false))) OVER () FROM customers LIMIT 1",
            "SHOW my.dealt",
        ],
        "SELECT ntile(length(set_config('my.other', 'x', false))) OVER () FROM scratch",
    ),
    attack(
        "carried by a limit",
        &[
            "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT 2 LIMIT (SELECT length(set_config('my.limit', encode(email::bytea, 'hex'), false)) FROM customers WHERE id = 1)) SELECT a FROM r",
            "SHOW my.limit",
        ],
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT 2 LIMIT 1) SELECT a FROM r",
    ),
    attack(
        "carried by what values are sorted by",
        &[
            "VALUES (1), (2) ORDER BY (SELECT length(set_config('my.sorted', encode(email::bytea, 'hex'), false)) FROM customers LIMIT 1) + column1",
            "SHOW my.sorted",
        ],
        "VALUES (1), (2) ORDER BY length(set_config('my.other', 'x', false)) + column1",
    ),
    attack(
        "letters counted in rows",
        &[
            "SELECT id, string_agg(chr(c::int), '' ORDER BY k) FROM (SELECT id, k, count(*) c FROM (SELECT id, k, generate_series(1, ascii(substr(email, k, 1))) + 0 FROM customers, generate_series(1, 40) k WHERE id < 4) s GROUP BY id, k) t GROUP BY id",
        ],
        "SELECT id, count(*) FROM (SELECT id, generate_series(1, 3) + 0 FROM scratch) s GROUP BY id ORDER BY id",
    ),
    attack(
        "SQL in a string",
        &["SELECT query_to_xml('SELECT email FROM customers LIMIT 5', true, false, '')"],
        "SELECT xmlelement(name e, word) FROM scratch ORDER BY id",
    ),
    attack(
        "table to xml",
        &["SELECT table_to_xml('customers', true, false, '')"],
        "SELECT xmlforest(word) FROM scratch ORDER BY id",
    ),
    attack(
        "schema to xml",
        &["SELECT schema_to_xml('public', true, false, '')"],
        "SELECT 'public'::text",
    ),
    attack("database to xml", &["SELECT database_to_xml(true, false, '')"], "SELECT 'shop'::text"),
    attack(
        "cursor to xml",
        &[
            "BEGIN",
            "DECLARE x CURSOR FOR SELECT email FROM customers",
            "SELECT cursor_to_xml('x', 5, true, false, '')",
            "ROLLBACK",
        ],
        "SELECT 1",
    ),
    attack(
        "large object",
        &[
            "BEGIN",
            "SELECT lo_from_bytea(77001, email::bytea) FROM customers WHERE id = 1",
            "SELECT lo_get(77001)",
            "ROLLBACK",
        ],
        "SELECT length(word::bytea) FROM scratch ORDER BY id",
    ),
    attack(
        "setting",
        &[
            "SELECT set_config('my.value', email, false) FROM customers WHERE id = 1",
            "SELECT current_setting('my.value', true)",
            "SHOW my.value",
        ],
        "SELECT set_config('my.other', 'x', false)",
    ),
    attack(
        "comment",
        &[
            "DO $$ BEGIN EXECUTE format('COMMENT ON TABLE scratch IS %L', (SELECT email FROM customers LIMIT 1)); END $$",
            "SELECT obj_description('scratch'::regclass)",
        ],
        "SELECT 'scratch'::regclass",
    ),
    attack(
        "function of one's own",
        &[
            "CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql AS 'SELECT email FROM customers'",
            "SELECT pg_temp.f()",
        ],
        "SELECT abs(-1)",
    ),
    attack(
        "trigger of one's own",
        &[
            "BEGIN",
            "CREATE FUNCTION pg_temp.t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', (SELECT email FROM customers LIMIT 1); RETURN NEW; END $$",
            "CREATE TRIGGER leak BEFORE UPDATE ON scratch FOR EACH ROW EXECUTE FUNCTION pg_temp.t()",
            "UPDATE scratch SET amount = 1 WHERE id = 1",
            "ROLLBACK",
        ],
        "UPDATE scratch SET amount = amount WHERE id = 2",
    ),
    attack(
        "the placeholder written back",
        &[
            "UPDATE customers SET email = 'a***@example.com' WHERE id = 1",
            "SELECT email FROM customers WHERE id = 1",
        ],
        "SELECT word FROM scratch ORDER BY id",
    ),
];

/// Columns used in predicates: what comes back must not hold the value, wherever it is used.
pub(crate) const PREDICATES: &[Attack] = &[
    attack(
        "equality",
        &["SELECT email FROM customers WHERE email LIKE 'bruno%'"],
        "SELECT word FROM scratch WHERE word LIKE 'word 1%' ORDER BY id",
    ),
    attack(
        "order by",
        &["SELECT email FROM customers ORDER BY email LIMIT 5"],
        "SELECT word FROM scratch ORDER BY word",
    ),
    attack(
        "group by",
        &["SELECT email, count(*) FROM customers GROUP BY email LIMIT 5"],
        "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status",
    ),
    attack(
        "having",
        &["SELECT max(email) FROM customers GROUP BY id HAVING max(email) > 'b' LIMIT 5"],
        "SELECT status FROM orders GROUP BY status HAVING count(*) > 5 ORDER BY 1",
    ),
    attack(
        "distinct",
        &["SELECT DISTINCT ON (email) email, id FROM customers LIMIT 5"],
        "SELECT DISTINCT status FROM orders ORDER BY 1",
    ),
    attack(
        "division by zero in a CASE",
        &["SELECT CASE WHEN email LIKE 'b%' THEN 1/0 ELSE 1 END, email FROM customers"],
        "SELECT CASE WHEN id < 0 THEN 1/0 ELSE 1 END FROM scratch ORDER BY id",
    ),
];
