//! Errors that quote a value.

use end_to_end::frames::{sequence, sqlstate_of};

use super::attacks::{Attack, attack};
use super::bench::Bench;

pub(crate) const ERRORS: &[Attack] = &[
    attack(
        "cast error quotes the value",
        &["SELECT email::int FROM customers"],
        "SELECT 'word'::int",
    ),
    attack(
        "cast error behind a view",
        &["SELECT id FROM customer_contacts WHERE address::int = 0"],
        "SELECT 'word'::int",
    ),
    attack(
        "cast error of what a view is sorted by",
        &["SELECT id FROM contact_addresses ORDER BY reached_at::int"],
        "SELECT 'word'::int",
    ),
    attack(
        "cast error where rows are dealt out",
        &["SELECT ntile(email::int) OVER () FROM customers"],
        "SELECT ntile(2) OVER (ORDER BY id) FROM scratch",
    ),
    attack(
        "cast error of what values are sorted by",
        &["VALUES (1), (2) ORDER BY (SELECT email::int FROM customers LIMIT 1) + column1"],
        "VALUES (1), (2) ORDER BY column1",
    ),
    attack(
        "cast error quotes statistics",
        &["SELECT histogram_bounds::text::int FROM pg_stats WHERE attname = 'email'"],
        "SELECT attname::text::int FROM pg_attribute WHERE attname = 'word'",
    ),
    attack(
        "cast error in a limit",
        &[
            "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT 2 LIMIT (SELECT email::int FROM customers WHERE id = 1)) SELECT a FROM r",
        ],
        "SELECT 'word'::int",
    ),
    attack(
        "a setting of that name is missing",
        &["SELECT current_setting(email) FROM customers"],
        "SELECT 'word'::int",
    ),
    attack(
        "a table of that name is missing",
        &["SELECT quote_ident(email)::regclass FROM customers"],
        "SELECT 'word'::int",
    ),
    attack(
        "a refused row is quoted",
        &["UPDATE customers SET id = NULL WHERE id = 1"],
        "SELECT 'word'::int",
    ),
    attack(
        "a refused row is quoted behind RETURNING",
        &["WITH u AS (UPDATE customers SET name = NULL RETURNING 1) SELECT count(*) FROM u"],
        "SELECT 'word'::int",
    ),
    attack(
        "the rows of a cursor are computed at the end",
        &["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT email::int FROM customers", "COMMIT"],
        "SELECT 'word'::int",
    ),
    attack(
        "an index is built anew",
        &[
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS cix ON customers ((email::int))",
            "REINDEX INDEX cix",
            "REINDEX SCHEMA public",
        ],
        "SELECT 'word'::int",
    ),
    attack(
        "date error quotes the value",
        &["SELECT iban::date FROM customers"],
        "SELECT 'word'::date",
    ),
    attack(
        "json error quotes the value",
        &["SELECT ('\"' || email)::json FROM customers"],
        "SELECT 'word'::json",
    ),
];

/// Rows that are changed, and refused, along with those of the table that is named.
#[tokio::test]
async fn what_is_written_along_is_not_quoted() {
    let bench = Bench::masking_alone().await;
    bench
        .make(&[
            "CREATE TABLE along (id int PRIMARY KEY)",
            "INSERT INTO along VALUES (1), (2)",
            "CREATE TABLE refers (along int NOT NULL REFERENCES along ON DELETE SET NULL, email text)",
            "INSERT INTO refers SELECT 1, email FROM customers",
            "CREATE TABLE heir (email text, CHECK (id < 4)) INHERITS (along)",
            "CREATE TABLE heir_of_heir () INHERITS (heir)",
            "INSERT INTO heir_of_heir SELECT 3, email FROM customers",
        ])
        .await;
    for (statement, state) in [
        ("DELETE FROM along WHERE id = 1", "23502"),
        ("UPDATE along SET id = 4 WHERE id = 3", "23514"),
    ] {
        let mut session = bench.session().await;
        let answer = session.query(statement).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some(state), "{}", sequence(&answer));
        bench.unharmed(statement, &session, &answer).await;
        let direct = super::direct_session(&bench.database).await.query(statement).await;
        assert_eq!(sqlstate_of(&direct).as_deref(), Some(state), "{}", sequence(&direct));
    }
}
