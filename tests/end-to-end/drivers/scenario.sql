-- The driver scenario in psql. What it prints must be the same whoever answers.
\set VERBOSITY verbose
\set SHOW_CONTEXT always
\pset null <null>
\echo == types
SELECT 7::int2, -70000::int4, 9000000000::int8, 12345.6700::numeric, 1.5e300::float8, 0.25::float4,
       true, 'naïve 😀 ''quoted'''::text, '\x00017f80ff'::bytea;
SELECT date '2026-02-28', timestamp '2026-02-28 23:59:59.123456', timestamptz '2026-02-28 23:59:59+00',
       interval '3 days 7 seconds', '00000000-0000-0000-0000-001234567890'::uuid,
       '{"a":[1,null]}'::json, '{"b":{"c":true}}'::jsonb, ARRAY[1,NULL,3], ARRAY['x','y"z',NULL,''],
       inet '192.0.2.1', NULL::text;
\echo == transactions
BEGIN;
CREATE TEMP TABLE kept (id int PRIMARY KEY, word text);
INSERT INTO kept VALUES (1, 'one');
SAVEPOINT here;
INSERT INTO kept VALUES (1, 'again');
SELECT 1;
ROLLBACK TO here;
INSERT INTO kept VALUES (2, 'two') RETURNING *;
COMMIT;
BEGIN;
DELETE FROM kept WHERE id = 2;
ROLLBACK;
SELECT * FROM kept ORDER BY id;
BEGIN;
SELECT 1/0;
SELECT 1;
COMMIT;
\echo == errors
SELEC 1;
SELECT nope;
SELECT * FROM nowhere;
SELECT 'x'::int;
INSERT INTO scratch VALUES (1, 'x', 1);
\echo == several statements in one query
SELECT 1 AS a\; SELECT 2 AS b\; SELECT 3 AS c;
INSERT INTO kept VALUES (4, 'four')\; SELECT 1/0\; SELECT 2;
SELECT count(*) FROM kept;
BEGIN\; SELECT 1/0;
SELECT 1;
ROLLBACK;
;
\echo == prepared and cursors
PREPARE twice (int) AS SELECT $1 * 2;
EXECUTE twice(21);
DEALLOCATE twice;
EXECUTE twice(21);
BEGIN;
DECLARE walk SCROLL CURSOR FOR SELECT id, word FROM scratch ORDER BY id;
FETCH 3 FROM walk;
MOVE 5 FROM walk;
FETCH BACKWARD 2 FROM walk;
CLOSE walk;
COMMIT;
\set FETCH_COUNT 6
SELECT id FROM scratch ORDER BY id;
\unset FETCH_COUNT
\echo == bound, with an extended query
SELECT id, word FROM scratch WHERE id = 3 \gdesc
\echo == copy
CREATE TEMP TABLE copied (id int, word text);
COPY copied FROM STDIN;
1	one
2	\N
3	tab\there
\.
COPY copied TO STDOUT;
COPY (SELECT * FROM copied ORDER BY id DESC) TO STDOUT WITH (FORMAT csv, HEADER);
\copy copied to pstdout with (format csv)
COPY copied FROM STDIN;
not a number	x
\.
SELECT count(*) FROM copied;
\echo == notices and notifications
DROP TABLE IF EXISTS never_was;
DO $$ BEGIN RAISE WARNING 'said by a block'; END $$;
LISTEN news;
SELECT pg_notify('other', 'not for us');
UNLISTEN *;
\echo == settings
SET TimeZone = 'Europe/Berlin';
SELECT timestamptz '2026-02-28 23:59:59+00';
RESET TimeZone;
SHOW TimeZone;
\encoding
\echo == catalog
\d scratch
\dt orders
\echo == done
