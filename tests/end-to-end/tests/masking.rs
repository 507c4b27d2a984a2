//! What a mask hides stays hidden, whatever is asked and however; what it need not hide
//! comes through unharmed.

mod attacks;
mod bench;
mod carriers;
mod channels;
mod copies;
mod definitions;
mod errors;
mod meanings;
mod names;
mod observed;
mod portals;
mod readings;
mod sessions;
mod views;

use end_to_end::cluster::APP;
use end_to_end::driver::{Target, with_target};
use end_to_end::frames::{Batch, Message, Session, error_of, first_column, sequence, sqlstate_of};
use end_to_end::leaks::Needles;
use end_to_end::portcullis::{ANA, DATABASE, DEVELOPER, PASSWORD};
use end_to_end::{Database, Portcullis, Setup, cluster};

use attacks::Attack;

/// The shipped masker alone, as it comes: no label, no setting.
async fn masked(database: &Database) -> Portcullis {
    Setup::new(database)
        .unmatched("allow")
        .policy("50-pii.toml", "pii_mask.wasm", "match = { groups = [\"analysts\"] }")
        .start()
        .await
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Simple,
    ExtendedText,
    ExtendedBinary,
}

impl Way {
    const ALL: [Way; 3] = [Way::Simple, Way::ExtendedText, Way::ExtendedBinary];

    async fn run(self, session: &mut Session, statement: &str) -> Vec<Message> {
        match self {
            Way::Simple => session.query(statement).await,
            Way::ExtendedText => session.extended(statement, false).await,
            Way::ExtendedBinary => session.extended(statement, true).await,
        }
    }
}

async fn direct_session(database: &Database) -> Session {
    let address = ([127, 0, 0, 1], database.cluster.postgres.port()).into();
    Session::login(address, APP, PASSWORD, &database.name).await
}

/// Runs an attack in a session of its own and says what it gave away.
async fn give_away(
    portcullis: &Portcullis,
    needles: &Needles,
    attack: &Attack,
    way: Way,
) -> Option<String> {
    let mut session = portcullis.session(ANA).await;
    for step in attack.steps {
        let before = session.received.len();
        let answer = way.run(&mut session, step).await;
        let Some(ready) = answer.last().filter(|message| message.tag == b'Z') else {
            return Some(format!("the session ended at {step}: {}", sequence(&answer)));
        };
        if let Some(value) = needles.leak(&session.received[before..]) {
            return Some(format!("{step} gave away {value}"));
        }
        if ready.body == b"E" {
            session.query("ROLLBACK").await;
        }
    }
    let alive = first_column(&session.query("SELECT 'alive'").await);
    (alive != ["alive"]).then(|| "the session does not go on".to_owned())
}

/// Runs a twin directly and through the proxy, and says how the answers differ.
async fn harm(portcullis: &Portcullis, twin: &str, way: Way) -> Option<String> {
    let direct_database = portcullis.database();
    let direct = way.run(&mut direct_session(direct_database).await, twin).await;
    let proxied = way.run(&mut portcullis.session(ANA).await, twin).await;
    // Settings and notices may come at other moments, and where COPY data is cut into
    // messages means nothing.
    let visible = |messages: &[Message]| -> Vec<Message> {
        let mut visible: Vec<Message> = Vec::new();
        for message in messages.iter().filter(|message| !b"SN".contains(&message.tag)) {
            match visible.last_mut() {
                Some(last) if last.tag == b'd' && message.tag == b'd' => {
                    last.body.extend_from_slice(&message.body);
                }
                _ => visible.push(message.clone()),
            }
        }
        visible
    };
    if visible(&direct) == visible(&proxied) {
        return None;
    }
    let complaint = error_of(&proxied).and_then(|error| error.field(b'M')).unwrap_or_default();
    let (direct, proxied) = (sequence(&direct), sequence(&proxied));
    Some(format!("twin {twin}: directly {direct}, proxied {proxied} {complaint}"))
}

async fn check(attacks: &[Attack]) {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let mut failures = Vec::new();
    for attack in attacks {
        for way in Way::ALL {
            let mut failed = |failure: Option<String>| {
                failures.extend(failure.map(|what| format!("{} ({way:?}): {what}", attack.name)));
            };
            failed(harm(&portcullis, attack.twin, way).await);
            failed(give_away(&portcullis, &needles, attack, way).await);
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn no_name_of_a_column_gets_past() {
    check(attacks::NAMES).await;
}

#[tokio::test]
async fn no_name_of_two_things_gets_past() {
    check(names::EITHER).await;
}

#[tokio::test]
async fn no_expression_gets_past() {
    check(attacks::EXPRESSIONS).await;
}

#[tokio::test]
async fn no_other_relation_gets_past() {
    check(channels::RELATIONS).await;
}

#[tokio::test]
async fn no_other_channel_gets_past() {
    check(channels::CHANNELS).await;
}

#[tokio::test]
async fn no_error_gets_past() {
    check(errors::ERRORS).await;
}

#[tokio::test]
async fn no_name_changed_behind_the_proxy_gets_past() {
    check(sessions::SESSIONS).await;
}

#[tokio::test]
async fn no_predicate_gets_past() {
    check(channels::PREDICATES).await;
}

/// The needles find what they are to find: directly, nearly every attack gives a value away.
#[tokio::test]
async fn without_the_proxy_the_attacks_succeed() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    for attack in [attacks::NAMES, names::EITHER, attacks::EXPRESSIONS].into_iter().flatten() {
        let mut session = direct_session(&database).await;
        let before = session.received.len();
        for step in attack.steps {
            let answer = session.query(step).await;
            assert_eq!(error_of(&answer), None, "{}: {step}", attack.name);
        }
        let leak = needles.leak(&session.received[before..]);
        let empty = ["natural join"].contains(&attack.name);
        assert!(leak.is_some() || empty, "{} finds nothing even directly", attack.name);
    }
    for attack in errors::ERRORS {
        let mut session = direct_session(&database).await;
        for step in attack.steps {
            session.query(step).await;
        }
        assert!(needles.leak(&session.received).is_some(), "{} finds nothing", attack.name);
    }
    let others = [channels::RELATIONS, channels::CHANNELS, channels::PREDICATES, errors::ERRORS];
    for attack in others.into_iter().flatten() {
        let mut session = direct_session(&database).await;
        let twin = session.query(attack.twin).await;
        let class = sqlstate_of(&twin).unwrap_or_default();
        assert!(
            class.is_empty() || class.starts_with("22") || class.starts_with("23"),
            "{}: {}",
            attack.twin,
            class
        );
    }
}

/// The first, the second and the hundredth execution of one named statement.
#[tokio::test]
async fn every_execution_is_masked() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    for binary in [false, true] {
        let mut session = portcullis.session(ANA).await;
        let text = "SELECT id, email, card_number, note FROM customers WHERE id = $1::text::int";
        session.exchange(Batch::new().parse("again", text).sync()).await;
        let mut first = Vec::new();
        for number in 1..=100 {
            let batch = Batch::new().bind("", "again", &["2"], binary).execute("", 0).sync();
            let answer = session.exchange(batch).await;
            assert_eq!(sequence(&answer), "2 D*1 C:SELECT 1 Z:I", "execution {number}");
            if number == 1 {
                first = answer;
            } else {
                assert_eq!(answer, first, "execution {number} is masked as the first is");
            }
        }
        let leak = needles.leak(&session.received);
        assert_eq!(leak, None, "binary {binary}");
    }
}

/// A portal that stops at its row limit and goes on, batch by batch.
#[tokio::test]
async fn a_resumed_portal_is_masked() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let mut session = portcullis.session(ANA).await;
    let begin = Batch::new()
        .query("BEGIN")
        .parse("", "SELECT email FROM ONLY customers ORDER BY id")
        .bind("walk", "", &[], false)
        .sync();
    session.exchange(begin).await;
    session.until_ready().await;
    let mut rows = 0;
    loop {
        let answer = session.exchange(Batch::new().execute("walk", 30).sync()).await;
        rows += first_column(&answer).len();
        if !answer.iter().any(|message| message.tag == b's') {
            break;
        }
    }
    assert_eq!((rows, needles.leak(&session.received)), (200, None));
}

/// Whoever no masker matches sees what is there.
#[tokio::test]
async fn who_is_not_masked_sees_everything() {
    let database = cluster().await.database().await;
    let portcullis = masked(&database).await;
    let mut developer = portcullis.session(DEVELOPER).await;
    let query = "SELECT email FROM customers WHERE id = 2";
    assert_eq!(first_column(&developer.query(query).await), ["carla.conti2@example.com"]);
    let mut ana = portcullis.session(ANA).await;
    let seen = first_column(&ana.query(query).await);
    assert_eq!(seen.len(), 1, "the row is there");
    assert_ne!(seen, ["carla.conti2@example.com"]);
}

/// A masked cell decodes as its type in binary: tokio-postgres reads nothing else.
#[tokio::test]
async fn masked_cells_keep_their_types() {
    let database = cluster().await.database().await;
    let labels =
        ["session_id", "last_ip", "document", "photo", "level", "emails", "membership", "contact"];
    let labelled: Vec<String> = labels
        .iter()
        .map(|column| format!("\"public.profiles.{column}\" = \"secret\""))
        .chain(["\"public.customers.birth_date\" = \"secret\"".to_owned()])
        .chain(["\"public.employees.salary\" = \"secret\"".to_owned()])
        .collect();
    let portcullis = Setup::new(&database)
        .unmatched("allow")
        .policy("50-pii.toml", "pii_mask.wasm", "match = { groups = [\"analysts\"] }")
        .database_line(&format!("column_labels = {{ {} }}", labelled.join(", ")))
        .start()
        .await;
    let client = portcullis.connect(ANA).await;
    let query = "SELECT last_ip, photo, emails FROM profiles ORDER BY customer_id LIMIT 3";
    for row in client.query(query, &[]).await.expect("it is masked, not refused") {
        row.try_get::<_, Option<std::net::IpAddr>>(0).expect("an inet");
        row.try_get::<_, Option<Vec<u8>>>(1).expect("a bytea");
        row.try_get::<_, Option<Vec<Option<String>>>>(2).expect("an array");
    }
    let mut session = portcullis.session(ANA).await;
    let plain = direct_session(&database).await;
    for (table, columns) in [
        ("profiles", labels.join(", ")),
        ("customers", "birth_date".into()),
        ("employees", "salary".into()),
    ] {
        for column in columns.split(", ") {
            let query = format!("SELECT {column} FROM {table} LIMIT 3");
            let answer = session.extended(&query, true).await;
            assert!(sequence(&answer).ends_with("Z:I"), "{query}: {}", sequence(&answer));
            assert_eq!(sqlstate_of(&answer), None, "{query}");
        }
    }
    drop(plain);
    let seen = session.query("SELECT birth_date FROM customers WHERE id = 1").await;
    assert_ne!(first_column(&seen), ["1950-04-08"]);
    let seen = session.query("SELECT salary FROM employees WHERE id = 1").await;
    assert_ne!(first_column(&seen), ["39375.50"]);
}

/// Who sees a column masked may not write it, or the placeholder lands in the table.
#[tokio::test]
async fn a_masked_column_is_not_written_by_who_sees_it_masked() {
    let database = cluster().await.database().await;
    let portcullis = masked(&database).await;
    let mut ana = portcullis.session(ANA).await;
    let answer = ana.query("UPDATE customers SET email = 'b***@example.com' WHERE id = 2").await;
    assert_eq!(sqlstate_of(&answer).as_deref(), Some("42501"), "{}", sequence(&answer));
    // Nor is a table made that tells of it by how many rows it has.
    let lengths = "generate_series(1, (SELECT length(email) FROM customers WHERE id = 2))";
    for copy in [
        format!("CREATE TABLE counted AS SELECT 1 AS one FROM {lengths}"),
        format!("INSERT INTO scratch (amount) SELECT 1 FROM {lengths}"),
    ] {
        let answer = ana.query(&copy).await;
        assert_eq!(sqlstate_of(&answer).as_deref(), Some("42501"), "{}", sequence(&answer));
    }
    let answer = ana.query("UPDATE scratch SET word = 'mine' WHERE id = 2").await;
    assert_eq!(sequence(&answer), "C:UPDATE 1 Z:I");
    let mut developer = portcullis.session(DEVELOPER).await;
    let answer =
        developer.query("UPDATE customers SET email = 'new@example.com' WHERE id = 2").await;
    assert_eq!(sequence(&answer), "C:UPDATE 1 Z:I");
}

/// A name that the protocol prepared, put to another statement by a block that nobody sees into.
#[tokio::test]
async fn a_prepared_name_taken_over_by_a_block_gives_nothing_away() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let take_over = "DO $$ BEGIN EXECUTE 'DEALLOCATE known'; \
                     EXECUTE 'PREPARE known AS SELECT email FROM customers'; END $$";
    for binary in [false, true] {
        let mut session = portcullis.session(ANA).await;
        let known = Batch::new().parse("known", "SELECT word FROM scratch").sync();
        session.exchange(known).await;
        session.query(take_over).await;
        let run = Batch::new().bind("", "known", &[], binary).execute("", 0).sync();
        let answer = session.exchange(run).await;
        assert_eq!(needles.leak(&session.received), None, "{}", sequence(&answer));
        // The same within one batch, where the block has not ended when the rest is read.
        let batch = Batch::new()
            .parse("known2", "SELECT word FROM scratch")
            .parse("", &take_over.replace("known", "known2"))
            .bind("", "", &[], false)
            .execute("", 0)
            .bind("", "known2", &[], binary)
            .execute("", 0)
            .sync();
        session.exchange(batch).await;
        assert_eq!(needles.leak(&session.received), None);
    }
}

/// What psql asks the catalog for, and what applications count and sum, comes unharmed.
#[tokio::test]
async fn ordinary_work_is_unharmed() {
    let database = cluster().await.database().await;
    let portcullis = masked(&database).await;
    let commands = [
        "\\d",
        "\\d customers",
        "\\d+ orders",
        "\\dt+ scratch",
        "\\df",
        "\\dT",
        "\\dn",
        "\\du app",
        "\\dv",
        "\\dm",
        "\\d access_log",
        "\\sf order_total",
        "SELECT count(*), count(email), sum(id) FROM customers",
        "SELECT status, sum(amount), avg(amount)::numeric(10,2) FROM orders GROUP BY 1 ORDER BY 1",
        "SELECT EXISTS (SELECT 1 FROM customers WHERE id = 3), now() > '2020-01-01'",
        "SELECT id, email IS NULL FROM customers ORDER BY id LIMIT 3",
        "SELECT c.id, o.amount FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY o.id LIMIT 5",
        "SELECT date_trunc('month', placed_at), count(*) FROM orders GROUP BY 1 ORDER BY 1",
        "SELECT id, name FROM employees ORDER BY id",
    ];
    let direct = Target {
        address: ([127, 0, 0, 1], database.cluster.postgres.port()).into(),
        user: APP.to_owned(),
        database: database.name.clone(),
        authority: None,
    };
    let proxied = Target {
        address: portcullis.address(),
        user: ANA.name.to_owned(),
        database: DATABASE.to_owned(),
        authority: None,
    };
    for command in commands {
        let ask = |target: &Target| {
            let mut psql = std::process::Command::new("psql");
            let output = with_target(&mut psql, target).args(["-X", "-c", command]).output();
            let output = output.expect("psql runs");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        assert_eq!(ask(&proxied), ask(&direct), "{command}");
    }
}

/// pg_dump reads everything there is; none of it may leave in the clear.
#[tokio::test]
async fn pg_dump_takes_nothing_away() {
    let database = cluster().await.database().await;
    let needles = Needles::of(&database).await;
    let portcullis = masked(&database).await;
    let program = database.cluster.postgres.binaries().directory.join("pg_dump");
    let output = std::process::Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &portcullis.address().port().to_string()])
        .args(["-U", ANA.name, "--inserts", DATABASE])
        .env("PGPASSWORD", PASSWORD)
        .output()
        .expect("pg_dump runs");
    assert_eq!(needles.leak(&output.stdout), None);
    assert_eq!(needles.leak(&output.stderr), None);
}
