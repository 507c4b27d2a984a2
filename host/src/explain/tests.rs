//! What `explain` says, on statements that try to hide what they use among them.

use expect_test::{Expect, expect};

#[track_caller]
fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&super::text::render(&super::explain(sql, None)));
}

#[test]
fn names_that_readers_lose() {
    check(
        "SELECT email FROM ONLY users",
        expect![[r#"
            statement 1: SELECT
              shape       SELECT email FROM ONLY users
              fingerprint 3379ef6cddd40d85
              actions     select
              relations   read  users  email
              unbounded   read: nothing limits the rows
              outputs     1  unknown  users.email
        "#]],
    );
    check(
        "COPY users TO STDOUT",
        expect![[r#"
            statement 1: COPY
              shape       COPY users TO STDOUT
              fingerprint 46e61259e7641998
              actions     copy-out
              relations   read  users  all columns
              unbounded   read: nothing limits the rows
              outputs     any  unknown  anything it can read: only the database knows its columns
        "#]],
    );
    check(
        "COPY users (id, email) FROM STDIN",
        expect![[r#"
            statement 1: COPY
              shape       COPY users (id, email) FROM STDIN
              fingerprint 828745ad386ad99d
              actions     copy-in
              relations   write  users  email, id
              written     users.id
                          users.email
        "#]],
    );
    check(
        "SELECT id, email FROM orders UNION TABLE users",
        expect![[r#"
            statement 1: SELECT
              shape       SELECT id, email FROM orders UNION TABLE users
              fingerprint 052c32db02c1711e
              actions     select
              relations   read  orders  email, id
                          read  users   all columns
              unbounded   read: nothing limits the rows
              outputs     any  unknown  anything it can read: only the database knows its columns
        "#]],
    );
    check(
        "CREATE TABLE n AS TABLE users",
        expect![[r#"
            statement 1: CREATE TABLE AS
              shape       CREATE TABLE n AS TABLE users
              fingerprint 37d1651d794f78ba
              actions     create, select
              relations   read    users  all columns
                          define  n      all columns
              written     n.*  from users.*, *.*
        "#]],
    );
    check(
        "GRANT SELECT (email) ON users TO eve",
        expect![[r#"
            statement 1: GRANT
              shape       GRANT SELECT (email) ON users TO eve
              fingerprint c6d3e90bee184840
              actions     grant
              relations   define  users  all columns
        "#]],
    );
    check(
        "SELECT email FROM users TABLESAMPLE system (1)",
        expect![[r#"
            statement 1: SELECT
              shape       SELECT email FROM users TABLESAMPLE system ($1)
              fingerprint 94a4cc04adc63ea3
              actions     select
              relations   read  users  email
              unbounded   read: nothing limits the rows
              outputs     1  unknown  users.email
        "#]],
    );
}

#[test]
fn names_of_ctes_hide_no_relation() {
    check(
        "WITH users AS (SELECT 1) INSERT INTO users SELECT * FROM users",
        expect![[r#"
            statement 1: INSERT
              shape       WITH users AS (SELECT $1) INSERT INTO users SELECT * FROM users
              fingerprint da566fc8ee7ed19c
              actions     insert
              relations   write  users  all columns
              written     users.*
        "#]],
    );
    check(
        "WITH users AS (SELECT * FROM users) SELECT * FROM users",
        expect![[r#"
            statement 1: SELECT
              shape       WITH users AS (SELECT * FROM users) SELECT * FROM users
              fingerprint 25015e7ca61f1257
              actions     select
              relations   read  users  all columns
              unbounded   read: nothing limits the rows
              outputs     any  unknown  anything it can read: only the database knows its columns
        "#]],
    );
    check(
        "WITH users AS (SELECT 1 AS id) SELECT id FROM users",
        expect![[r#"
            statement 1: SELECT
              shape       WITH users AS (SELECT $1 AS id) SELECT id FROM users
              fingerprint b21dbd8a3499267e
              actions     select
              outputs     1  none
        "#]],
    );
}

#[test]
fn queries_inside_other_places() {
    check(
        "INSERT INTO orders (id) VALUES (1) RETURNING (SELECT max(email) FROM users)",
        expect![[r#"
            statement 1: INSERT
              shape       INSERT INTO orders (id) VALUES ($1) RETURNING (SELECT max(email) FROM users)
              fingerprint dcc9ffd48ddb42f4
              actions     insert
              relations   write  orders  id
                          read   orders  email
                          read   users   email
              functions   max
              outputs     1  unknown  orders.*, orders.email, users.*, users.email
              written     orders.id
        "#]],
    );
    check(
        "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = (SELECT email FROM users LIMIT 1)",
        expect![[r#"
            statement 1: INSERT
              shape       INSERT INTO orders (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET note = (SELECT email FROM users LIMIT $2)
              fingerprint 68a6d7d6767bf916
              actions     insert
              relations   write  orders  id, note
                          read   orders  email
                          read   users   email
              written     orders.id
                          orders.note  from orders.email, users.email
        "#]],
    );
    check(
        "INSERT INTO orders (id, note) VALUES (1, (SELECT email FROM users LIMIT 1))",
        expect![[r#"
            statement 1: INSERT
              shape       INSERT INTO orders (id, note) VALUES ($1, (SELECT email FROM users LIMIT $2))
              fingerprint 00a2f3937f6602c1
              actions     insert
              relations   write  orders  id, note
                          read   users   email
              written     orders.id
                          orders.note  from users.email
        "#]],
    );
    check(
        "PREPARE p AS SELECT email FROM users WHERE id = $1",
        expect![[r#"
            statement 1: PREPARE
              shape       PREPARE p AS SELECT email FROM users WHERE id = $1
              fingerprint eb14d38d9028e2e5
              actions     select
              relations   read  users  email, id
              unbounded   read: nothing limits the rows
        "#]],
    );
    check(
        "DECLARE c CURSOR FOR SELECT email FROM users",
        expect![[r#"
            statement 1: DECLARE CURSOR
              shape       DECLARE c CURSOR FOR SELECT email FROM users
              fingerprint 4d1e6b9ea34547e3
              actions     select
              relations   read  users  email
              unbounded   read: nothing limits the rows
        "#]],
    );
}

#[test]
fn bodies_and_several_statements() {
    check(
        "SET ROLE admin; DELETE FROM users WHERE id = id",
        expect![[r#"
            statement 1: SET
              shape       SET ROLE admin
              fingerprint d237fc0c9402dfed
              actions     set
              sets        role
            statement 2: DELETE
              shape       DELETE FROM users WHERE id = id
              fingerprint f599662739a70dde
              actions     delete
              relations   write  users  all columns
                          read   users  id
              unbounded   write: no WHERE limits what is changed
        "#]],
    );
    check(
        "SELEC 1",
        expect![[r#"
            statement 1: not understood
              shape       SELEC $1
              fingerprint b6736ce9f615654c
              actions     other
              sets        ?
              unbounded   write: no WHERE limits what is changed
              unbounded   read: nothing limits the rows
              opaque      unparsed: not in PostgreSQL's grammar
              outputs     any  unknown  anything it can read: only the database knows its columns
        "#]],
    );
    check(
        "DO $$ BEGIN DELETE FROM users; END $$",
        expect![[r#"
            statement 1: DO
              shape       DO $1
              fingerprint d830ead00da0e294
              actions     do-block
              opaque      body not seen: DO
        "#]],
    );
}
