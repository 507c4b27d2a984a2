//! Statements that write, and from which columns.

use super::{check, expect};

#[test]
fn writes() {
    check(
        "INSERT INTO orders VALUES (1, 2, $1, 'x')",
        expect![[r#"
        nothing
        orders.id <-
        orders.user_id <-
        orders.amount <-
        orders.note <-"#]],
    );
    check(
        "INSERT INTO orders (note, amount) SELECT email, salary FROM users",
        expect![[r#"
        nothing
        orders.note <- users.email
        orders.amount <- users.salary"#]],
    );
    check(
        "INSERT INTO orders SELECT * FROM stranger",
        expect![[r#"
            nothing
            orders.id <- orders.amount orders.id orders.note orders.user_id stranger.*? *.*?
            orders.user_id <- orders.amount orders.id orders.note orders.user_id stranger.*? *.*?
            orders.amount <- orders.amount orders.id orders.note orders.user_id stranger.*? *.*?
            orders.note <- orders.amount orders.id orders.note orders.user_id stranger.*? *.*?"#]],
    );
    check(
        "INSERT INTO stranger SELECT email FROM users",
        expect![[r#"
        nothing
        stranger.*? <- users.email"#]],
    );
    check("INSERT INTO orders DEFAULT VALUES", expect!["nothing"]);
    check(
        "INSERT INTO orders (id, note) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = excluded.note || orders.note",
        expect![[r#"
        nothing
        orders.id <-
        orders.note <-
        orders.note <- orders.note"#]],
    );
    check(
        "UPDATE users SET email = lower(name) RETURNING id, email",
        expect![[r#"
        derived: users.id users.name
        derived: users.email users.name
        users.email <- users.name"#]],
    );
    check(
        "UPDATE orders SET (amount, note) = (SELECT salary, email FROM users) WHERE id = 1",
        expect![[r#"
        nothing
        orders.amount <- users.salary
        orders.note <- users.email"#]],
    );
    check(
        "UPDATE v_users SET mail = 'x'",
        expect![[r#"
        nothing
        users.email <-
        v_users.mail <-"#]],
    );
    check(
        "UPDATE staff SET email = $1",
        expect![[r#"
        nothing
        staff.email <-
        users.email <-"#]],
    );
    check(
        "DELETE FROM users USING orders WHERE user_id = users.id RETURNING users.id, note",
        expect![[r#"
        direct: users.id
        direct: orders.note"#]],
    );
    check(
        "MERGE INTO orders o USING users u ON o.user_id = u.id WHEN MATCHED THEN UPDATE SET note = u.email WHEN NOT MATCHED THEN INSERT (id, note) VALUES (u.id, u.name)",
        expect![[r#"
        nothing
        orders.note <- users.email
        orders.id <- users.id
        orders.note <- users.name"#]],
    );
    check(
        "CREATE TABLE copy AS SELECT id, lower(email) AS mail FROM users",
        expect![[r#"
        nothing
        copy.id? <- users.id
        copy.mail? <- users.email"#]],
    );
    check(
        "CREATE TABLE copy (a, b) AS SELECT id, email FROM users",
        expect![[r#"
        nothing
        copy.a? <- users.id
        copy.b? <- users.email"#]],
    );
    check(
        "CREATE TABLE copy AS EXECUTE p",
        expect![[r#"
            nothing
            copy.*? <- *.*?"#]],
    );
    check(
        "SELECT email INTO copy FROM users",
        expect![[r#"
        nothing
        copy.email? <- users.email"#]],
    );
    check(
        "CREATE MATERIALIZED VIEW copy AS TABLE orders",
        expect![[r#"
        nothing
        copy.id? <- orders.id
        copy.user_id? <- orders.user_id
        copy.amount? <- orders.amount
        copy.note? <- orders.note"#]],
    );
    check(
        "COPY orders (note) FROM STDIN",
        expect![[r#"
        nothing
        orders.note <-"#]],
    );
    check(
        "COPY orders FROM STDIN",
        expect![[r#"
        nothing
        orders.id <-
        orders.user_id <-
        orders.amount <-
        orders.note <-"#]],
    );
    check(
        "WITH moved AS (DELETE FROM users RETURNING email) INSERT INTO orders (note) SELECT email FROM moved",
        expect![[r#"
        nothing
        orders.note <- users.email"#]],
    );
    check(
        "WITH w AS (UPDATE orders SET note = email FROM users RETURNING note) SELECT note FROM w",
        expect![[r#"
        derived: orders.note users.email
        orders.note <- users.email"#]],
    );
    check(
        "WITH users AS (SELECT 1 AS id) INSERT INTO users SELECT id FROM users",
        expect![[r#"
        nothing
        users.id <-"#]],
    );
    check(
        "EXPLAIN ANALYZE UPDATE users SET email = name",
        expect![[r#"
        unknown: users.created users.email users.id users.name users.salary users.ssn
        users.email <- users.name"#]],
    );
    check("EXPLAIN UPDATE users SET email = name", expect!["none:"]);
    check(
        "INSERT INTO orders (note) SELECT email FROM users RETURNING id, note",
        expect![[r#"
        derived: orders.id users.email
        derived: orders.note users.email
        orders.note <- users.email"#]],
    );
    check(
        "UPDATE users SET salary = salary + 1 RETURNING *",
        expect![[r#"
        direct: users.id
        direct: users.email
        direct: users.name
        direct: users.ssn
        derived: users.salary
        direct: users.created
        users.salary <- users.salary"#]],
    );
    let rows = "FROM generate_series(1, (SELECT salary FROM users LIMIT 1))";
    check(
        &format!("CREATE TABLE n AS SELECT 1 AS one {rows}"),
        expect![[r#"
        nothing
        n.one? <-
        n.*? <- users.salary"#]],
    );
    check(
        &format!("INSERT INTO orders (note) SELECT 'x' {rows}"),
        expect![[r#"
        nothing
        orders.note <-
        orders.*? <- users.salary"#]],
    );
    check(
        &format!(
            "MERGE INTO orders USING (SELECT 1 AS id {rows}) s ON orders.id = s.id \
             WHEN NOT MATCHED THEN INSERT (note) VALUES ('x')"
        ),
        expect![[r#"
            nothing
            orders.note <-
            orders.*? <- users.salary"#]],
    );
    check(
        "INSERT INTO orders (note) SELECT 'x' FROM generate_series(1, 3)",
        expect![[r#"
        nothing
        orders.note <-"#]],
    );
    check("CALL hidden()", expect!["anything"]);
    check("DROP TABLE users", expect!["nothing"]);
}
