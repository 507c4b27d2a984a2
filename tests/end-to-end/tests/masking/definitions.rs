//! Definitions that would take a mask off, or compute past it whenever they are used.

use end_to_end::frames::{Message, error_of, first_column, sequence, sqlstate_of};
use end_to_end::portcullis::DEVELOPER;

use super::Way;
use super::bench::{Bench, run_all};

/// What somebody who sees all of it may do.
const MADE: &[&str] = &[
    "CREATE TABLE parted (id integer, password text) PARTITION BY LIST (id)",
    "CREATE TABLE part PARTITION OF parted DEFAULT",
    "INSERT INTO parted VALUES (1, 'of the parted')",
    "CREATE TABLE mine (email text)",
    "CREATE SCHEMA aside",
    "CREATE DOMAIN word AS text",
    "CREATE TABLE aside.api_tokens (id integer, token text)",
    "CREATE TYPE pair AS (id integer, password text)",
    "CREATE TABLE pairs OF pair",
    "INSERT INTO pairs VALUES (1, 'of the pair')",
    "CREATE VIEW below AS SELECT id, email AS word FROM customers",
    "CREATE VIEW between AS TABLE below",
    "CREATE MATERIALIZED VIEW kept AS TABLE between",
    "CREATE VIEW letters AS SELECT 'x'::text AS word",
    "CREATE MATERIALIZED VIEW letter AS TABLE letters",
    "CREATE VIEW told AS SELECT pg_notify('told', word)::text AS said FROM below",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
];

/// Changes of relations that have masked columns.
const CHANGES: &[&str] = &[
    "ALTER TABLE customers RENAME COLUMN email TO plain",
    "ALTER TABLE customers RENAME TO people",
    "ALTER TABLE customers SET SCHEMA aside",
    "ALTER TABLE ONLY public.customers ALTER COLUMN name TYPE text USING reverse(email)",
    "ALTER TABLE customers ADD COLUMN again text GENERATED ALWAYS AS (reverse(email)) STORED",
    "ALTER TABLE IF EXISTS customers INHERIT mine",
    "ALTER TABLE parted DETACH PARTITION part",
    "ALTER TABLE part RENAME TO whole",
    "ALTER TABLE parted RENAME COLUMN password TO word",
    "COMMENT ON COLUMN customers.email IS NULL",
    "COMMENT ON TABLE public.customers IS 'of nobody'",
    "ALTER MATERIALIZED VIEW customer_directory RENAME COLUMN email TO plain",
    "CREATE INDEX ON customers (reverse(email))",
    "CREATE STATISTICS guessed ON (reverse(email)) FROM customers",
    "CREATE TRIGGER noted BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note()",
    "CREATE POLICY seen ON customers USING (email <> '')",
    "CREATE PUBLICATION told FOR TABLE customers",
    "CREATE TABLE copied () INHERITS (customers)",
    "ALTER TABLE mine ADD FOREIGN KEY (email) REFERENCES customers (email) ON UPDATE CASCADE",
    "ALTER SCHEMA public RENAME TO private",
    "SET search_path = public; ALTER TABLE customers RENAME TO people",
    // What has the name first goes out of the way before it runs.
    "ALTER TABLE aside.api_tokens RENAME TO gone; ALTER TABLE api_tokens RENAME token TO word",
    "DISCARD TEMP; ALTER TABLE customers RENAME COLUMN email TO plain",
    "ALTER TYPE pair ALTER ATTRIBUTE password TYPE integer CASCADE",
    // What the grammar of a later version does not know.
    "ALTER TABLE customers RENAME COLUMN email TO system_user",
    "ALTER TYPE pair RENAME ATTRIBUTE password TO word CASCADE",
    // It would hold what nobody knows the origin of.
    "CREATE OR REPLACE VIEW below AS SELECT id, 'x'::text AS word FROM customers",
    "BEGIN; ALTER VIEW below RENAME TO beneath; CREATE OR REPLACE VIEW beneath AS SELECT id, 'x'::text AS word FROM customers",
    "REFRESH MATERIALIZED VIEW customer_directory",
    "BEGIN; CREATE MATERIALIZED VIEW again AS TABLE letters; ALTER MATERIALIZED VIEW letter RENAME TO gone; ALTER MATERIALIZED VIEW again RENAME TO letter; REFRESH MATERIALIZED VIEW letter",
];

/// What would compute past a mask later.
const STORED: &[&str] = &[
    "CREATE DOMAIN told AS text CHECK (pg_notify('told', VALUE)::text IS NOT NULL)",
    "CREATE DOMAIN told AS text CHECK (setval('orders_id_seq', ascii(VALUE)) > 0)",
    "CREATE DOMAIN told AS text CHECK (query_to_xml(VALUE, true, true, '') IS NOT NULL)",
    "ALTER DOMAIN word ADD CHECK (pg_advisory_lock(ascii(VALUE))::text IS NOT NULL)",
    "CREATE DOMAIN told AS text DEFAULT pg_stat_get_backend_activity(1)",
    "CREATE TABLE told (word text DEFAULT pg_stat_get_backend_activity(1))",
    "CREATE TEMP TABLE told (word bytea DEFAULT pg_catalog.lo_get(1))",
    "CREATE TABLE told (word xml DEFAULT query_to_xml('TABLE customers', true, true, ''))",
    "ALTER TABLE scratch ALTER COLUMN word SET DEFAULT customer_email(1)",
    "ALTER TABLE scratch ADD COLUMN more text DEFAULT customer_email(1)",
    "ALTER VIEW customer_contacts ALTER COLUMN address SET DEFAULT customer_email(1)",
    "CREATE RULE told AS ON INSERT TO scratch DO ALSO INSERT INTO mine SELECT email FROM customers",
    "CREATE RULE told AS ON UPDATE TO mine DO INSTEAD UPDATE customers SET id = id RETURNING email",
    "CREATE POLICY told ON mine USING (pg_notify('told', (SELECT word FROM below LIMIT 1)) IS NULL)",
    "CREATE SCHEMA told CREATE VIEW t AS SELECT pg_notify('told', word) FROM public.below",
    "CREATE FOREIGN TABLE told (word text OPTIONS (column_name 'email')) SERVER nobodys",
    "IMPORT FOREIGN SCHEMA public FROM SERVER nobodys INTO aside",
    "CREATE VIEW told AS SELECT pg_notify('told', word)::text AS said FROM scratch",
    // What is there already, and hands on what is masked.
    "SELECT 1 FROM told",
    "SELECT count(said) FROM told, mine",
    "DISCARD TEMP; CREATE TABLE public.stolen AS SELECT email FROM customers",
];

/// What has nothing to do with masks.
const HARMLESS: &[&str] = &[
    "ALTER TABLE scratch ADD COLUMN more text DEFAULT 'nothing' CHECK (more <> '')",
    "ALTER TABLE scratch RENAME COLUMN more TO less",
    "ALTER TABLE scratch RENAME TO scratched",
    "ALTER TABLE scratched RENAME TO scratch",
    "ALTER TABLE scratch DROP COLUMN less",
    "CREATE INDEX ON scratch (reverse(word))",
    "COMMENT ON COLUMN scratch.word IS 'a word'",
    "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9)",
    "CREATE SEQUENCE counted",
    "CREATE TABLE made (id bigserial, n bigint DEFAULT nextval('counted'), at timestamptz DEFAULT now(), word short)",
    "CREATE TABLE like_customers (LIKE customers INCLUDING ALL)",
    "CREATE OR REPLACE VIEW seen AS SELECT id, word FROM scratch",
    "ALTER VIEW seen RENAME COLUMN word TO words",
    "CREATE OR REPLACE VIEW between_two AS SELECT email FROM customers",
    "CREATE OR REPLACE VIEW between_two AS SELECT email FROM customers WHERE id > 5",
    "REFRESH MATERIALIZED VIEW letter",
    "CREATE TABLE sold (id serial PRIMARY KEY, n bigint DEFAULT nextval('counted'), customer integer REFERENCES customers (id) ON DELETE CASCADE)",
    "ALTER TABLE sold RENAME CONSTRAINT sold_customer_fkey TO of_customer",
    "ALTER TABLE sold DROP CONSTRAINT of_customer, ADD FOREIGN KEY (customer) REFERENCES customers",
    "BEGIN; CREATE TEMP TABLE held (id integer) ON COMMIT DROP; CREATE INDEX ON held (id); ALTER TABLE held ADD more text; COMMIT",
    "BEGIN; LOCK TABLE scratch IN ACCESS SHARE MODE; ANALYZE scratch; CREATE TEMP TABLE plain AS SELECT upper(word) FROM scratch; COMMIT",
    "BEGIN; CREATE SCHEMA own; SET LOCAL search_path = own; CREATE TABLE made (id integer); CREATE INDEX ON made (id); COMMIT",
    "BEGIN; CREATE TABLE passing (word text); ALTER TABLE passing RENAME TO passed; DROP TABLE passed; COMMIT",
];

/// By the proxy, and not by PostgreSQL, which does not let everybody define everything either.
fn is_refused(answer: &[Message]) -> bool {
    let complaint = error_of(answer).and_then(|error| error.field(b'M'));
    complaint.is_some_and(|complaint| complaint.contains("masked for you"))
}

#[tokio::test]
async fn who_sees_a_mask_does_not_define_it_away() {
    let bench = Bench::masking_alone().await;
    bench.make(MADE).await;
    let mut failures = Vec::new();
    for text in CHANGES.iter().chain(STORED) {
        // Several statements are a simple query.
        for way in Way::ALL.into_iter().take(if text.contains("; ") { 1 } else { 2 }) {
            let mut session = bench.session().await;
            let answer = way.run(&mut session, text).await;
            if !is_refused(&answer) {
                failures.push(format!("{text} ({way:?}): {}", sequence(&answer)));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    run_all(&mut bench.session().await, HARMLESS).await;
    let mut developer = bench.portcullis.session(DEVELOPER).await;
    for text in CHANGES.iter().chain(STORED) {
        // Some of them are not what PostgreSQL does in this order, and none is refused here.
        developer.query("BEGIN").await;
        let answer = developer.query(text).await;
        assert!(!is_refused(&answer), "{text}");
        assert_ne!(sqlstate_of(&answer).as_deref(), Some("42601"), "{text} is no statement");
        developer.query("ROLLBACK").await;
    }
}

/// Not even before anybody has looked at what there is to hide.
#[tokio::test]
async fn the_first_statement_of_all_defines_no_mask_away() {
    for text in [
        "CREATE DOMAIN told AS text CHECK (pg_notify('told', VALUE)::text IS NOT NULL)",
        "CREATE TABLE told AS SELECT customer_email(1) AS word",
        "SELECT set_config('my.carrier', customer_email(1), false) FROM scratch WHERE id = 1",
        "BEGIN; CREATE VIEW made AS SELECT 1 AS one; INSERT INTO scratch SELECT 100, one::text FROM made",
    ] {
        let bench = Bench::masking_alone().await;
        let answer = bench.session().await.query(text).await;
        assert!(is_refused(&answer), "{text}: {}", sequence(&answer));
    }
}

/// Nor is anybody kept from defining things where there is nothing to hide.
#[tokio::test]
async fn the_first_statement_of_all_defines_what_it_likes_where_nothing_is_hidden() {
    for text in [
        "CREATE DOMAIN told AS text CHECK (pg_notify('told', VALUE)::text IS NOT NULL)",
        "CREATE TABLE told AS SELECT own(1) AS word",
        "CREATE TABLE told (word text DEFAULT own(1))",
        "ALTER TABLE plain RENAME COLUMN word TO words",
        "BEGIN; CREATE VIEW made AS SELECT 1 AS one; INSERT INTO plain SELECT one::text FROM made; COMMIT",
    ] {
        let bench = Bench::masking_alone().await;
        bench
            .make(&[
                "DROP OWNED BY CURRENT_USER",
                "CREATE SCHEMA IF NOT EXISTS app",
                "CREATE TABLE app.plain (word text)",
                "CREATE FUNCTION app.own(integer) RETURNS text LANGUAGE sql AS 'SELECT ''x''::text'",
            ])
            .await;
        let mut session = bench.session().await;
        let text = format!("SET search_path = app; {text}");
        let answer = session.query(&text).await;
        assert_eq!(error_of(&answer).and_then(|error| error.field(b'M')), None, "{text}");
    }
}

/// What a rule gives back is not what the statement names.
#[tokio::test]
async fn a_rule_that_is_there_shows_nothing_masked() {
    let bench = Bench::masking_alone().await;
    bench
        .make(&[
            "CREATE TABLE asked (id integer, word text)",
            "CREATE RULE answers AS ON UPDATE TO asked DO INSTEAD UPDATE customers SET name = name \
             WHERE id < 5 RETURNING id, encode(email::bytea, 'hex')",
            "CREATE VIEW through AS SELECT id, word FROM asked",
            "CREATE VIEW through_both AS TABLE through",
            "CREATE RULE gives AS ON INSERT TO asked DO INSTEAD UPDATE customers SET name = name \
             WHERE id < 5 RETURNING id, encode(email::bytea, 'hex')",
        ])
        .await;
    for text in [
        "UPDATE asked SET word = 'x' RETURNING word",
        "UPDATE asked SET word = 'x' RETURNING id, asked.*",
        "INSERT INTO asked VALUES (1, 'x') RETURNING *",
        "UPDATE through SET word = 'x' RETURNING word",
        "INSERT INTO through_both VALUES (1, 'x') RETURNING word",
        "COPY (UPDATE through SET word = 'x' RETURNING word) TO STDOUT",
        "WITH given AS (INSERT INTO asked VALUES (1, 'x') RETURNING word) TABLE given",
    ] {
        for way in Way::ALL {
            let mut session = bench.session().await;
            let answer = way.run(&mut session, text).await;
            bench.unharmed(&format!("{text} ({way:?})"), &session, &answer).await;
        }
    }
    let mut developer = bench.portcullis.session(DEVELOPER).await;
    let shown = developer.query("UPDATE asked SET word = 'x' RETURNING word").await;
    assert_eq!(error_of(&shown), None);
    assert_eq!(first_column(&shown).len(), 4, "the rule answers who sees everything");
}
