//! What a statement costs here: `cargo run --release -p portcullis-sql --example shapes`
//!
//! For each text the time of cutting the key under which its facts are looked for, as for every
//! statement, and of reading the facts, as for a shape that is new.

// A program for a terminal.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use portcullis_sql::{Catalog, KeyCutter, Limits, Relation, RelationKind, Scope, analyze};

/// Statements as programs send them, by class.
const STATEMENTS: &[(&str, &str)] = &[
    ("pgbench select", "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"),
    ("pgbench update", "UPDATE pgbench_accounts SET abalance = abalance + -321 WHERE aid = 4711;"),
    (
        "pgbench insert",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) \
         VALUES (7, 3, 4711, -321, CURRENT_TIMESTAMP);",
    ),
    ("keyed select", "SELECT id, name, email FROM customers WHERE id = $1"),
    (
        "mapper's join",
        "SELECT \"orders\".\"id\" AS t0_r0, \"orders\".\"placed_at\" AS t0_r1, \
         \"customers\".\"id\" AS t1_r0, \"customers\".\"name\" AS t1_r1, \
         \"customers\".\"email\" AS t1_r2 FROM \"orders\" LEFT OUTER JOIN \"customers\" ON \
         \"customers\".\"id\" = \"orders\".\"customer_id\" WHERE \"orders\".\"state\" = $1 AND \
         \"customers\".\"region\" IN ($2, $3, $4) ORDER BY \"orders\".\"placed_at\" DESC LIMIT $5",
    ),
    (
        "insert returning",
        "INSERT INTO orders (customer_id, state, total, placed_at) VALUES ($1, 'new', $2, now()) \
         RETURNING id, placed_at",
    ),
    (
        "upsert",
        "INSERT INTO customers (id, name, email) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE \
         SET name = excluded.name, email = excluded.email WHERE customers.name <> excluded.name",
    ),
    (
        "update returning",
        "UPDATE orders SET state = 'paid', paid_at = now() WHERE id = $1 AND state = 'new' \
         RETURNING id, total",
    ),
    ("delete", "DELETE FROM sessions WHERE expires_at < now() - interval '1 hour'"),
    (
        "query with a CTE",
        "WITH recent AS (SELECT customer_id, sum(total) AS spent FROM orders WHERE placed_at > \
         now() - interval '30 days' GROUP BY customer_id) SELECT c.id, c.name, r.spent FROM \
         customers c JOIN recent r ON r.customer_id = c.id WHERE r.spent > 1000 ORDER BY r.spent \
         DESC LIMIT 20",
    ),
    (
        "aggregate",
        "SELECT date_trunc('day', placed_at) AS day, count(*), avg(total), max(total) FROM orders \
         WHERE state <> 'void' GROUP BY 1 HAVING count(*) > 10 ORDER BY 1",
    ),
    (
        "exists",
        "SELECT EXISTS (SELECT 1 FROM customers WHERE lower(email) = lower($1) AND deleted_at IS \
         NULL) AS found",
    ),
    (
        "select of a view",
        "SELECT name, spent FROM best_customers WHERE region = 'north' ORDER BY spent DESC LIMIT 10",
    ),
    ("begin", "BEGIN"),
];

fn main() {
    let catalog = catalog();
    let path = ["public".to_owned()];
    let scope = Scope {
        catalog: Some(&catalog),
        search_path: Some(&path),
        standard_conforming_strings: Some(true),
        trusted_functions: &[],
    };
    let limits = Limits::default();
    println!("{:<20} {:>6} {:>12} {:>12}", "microseconds for", "bytes", "key", "facts");
    let mut cutter = KeyCutter::default();
    let (mut keys, mut facts) = (0.0, 0.0);
    for (class, text) in STATEMENTS {
        let cut = measure(|| {
            let _ = black_box(cutter.cut(black_box(text), true));
        });
        let read = measure(|| {
            black_box(analyze(black_box(text), &scope, &limits));
        });
        println!("{class:<20} {:>6} {cut:>12.2} {read:>12.1}", text.len());
        keys += cut;
        facts += read;
    }
    let count = STATEMENTS.len() as f64;
    println!("{:<20} {:>6} {:>12.2} {:>12.1}", "mean", "", keys / count, facts / count);
}

/// The best of many short runs, in microseconds per call: one that nothing interrupts.
fn measure(mut call: impl FnMut()) -> f64 {
    const RUNS: u32 = 300;
    const CALLS: u32 = 20;
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    best
}

fn catalog() -> Catalog {
    let tables: [(&str, &[&str]); 6] = [
        ("pgbench_accounts", &["aid", "bid", "abalance", "filler"]),
        ("pgbench_history", &["tid", "bid", "aid", "delta", "mtime", "filler"]),
        ("customers", &["id", "name", "email", "region", "deleted_at"]),
        ("orders", &["id", "customer_id", "state", "total", "placed_at", "paid_at"]),
        ("sessions", &["id", "customer_id", "expires_at"]),
        ("best_customers", &["name", "region", "spent"]),
    ];
    let mut relations: Vec<Relation> =
        (16_384..).zip(tables).map(|(oid, (name, columns))| table(oid, name, columns)).collect();
    if let Some(view) = relations.last_mut() {
        view.kind = RelationKind::View;
        view.definition = Some(
            " SELECT c.name,\n    c.region,\n    sum(o.total) AS spent\n   FROM customers c\n     \
             JOIN orders o ON o.customer_id = c.id\n  GROUP BY c.id, c.name, c.region;"
                .to_owned(),
        );
    }
    Catalog::new(1, relations, [])
}

fn table(oid: u32, name: &str, columns: &[&str]) -> Relation {
    let mut table = Relation::table(oid, "public", name, columns.iter().copied());
    table.columns.iter_mut().take(1).for_each(|key| key.not_null = true);
    table
}
