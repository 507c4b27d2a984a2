//! The same rule in five languages gives the same decisions, and two maskers the same masks.

use end_to_end::frames::{Message, Session, error_of};
use end_to_end::portcullis::ANA;
use end_to_end::{Setup, artefacts, cluster};

/// The examples, and what their policy files need beside the plugin's name.
const GUARDRAILS: [(&str, &str); 5] = [
    ("rust_guardrail.wasm", ""),
    ("javascript_guardrail.wasm", "deadline_ms = 1000\nmemory_bytes_max = 67108864\n"),
    ("python_guardrail.wasm", "deadline_ms = 1000\nmemory_bytes_max = 67108864\n"),
    ("c_guardrail.wasm", ""),
    ("go_guardrail.wasm", "wasi = \"inert\"\ndeadline_ms = 1000\nmemory_bytes_max = 67108864\n"),
];

const MASKERS: [(&str, &str); 2] = [
    ("javascript_masker.wasm", "deadline_ms = 1000\nmemory_bytes_max = 67108864\n"),
    ("c_masker.wasm", ""),
];

/// Statements, and whether the rule refuses them: at most two relations, and neither pg_sleep
/// nor md5.
const STATEMENTS: &[(&str, bool)] = &[
    ("SELECT 1", false),
    ("SELECT * FROM scratch ORDER BY id", false),
    ("SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id", false),
    ("SELECT 1 FROM orders a, orders b, orders c LIMIT 1", false),
    ("SELECT 1 FROM orders o, customers c, scratch s LIMIT 1", true),
    (
        "SELECT (SELECT max(id) FROM employees), (SELECT max(id) FROM scratch), (SELECT 1 FROM orders LIMIT 1)",
        true,
    ),
    (
        "WITH a AS (SELECT 1 FROM orders), b AS (SELECT 1 FROM customers) SELECT 1 FROM a, b, scratch LIMIT 1",
        true,
    ),
    ("SELECT pg_sleep(0)", true),
    ("SELECT PG_SLEEP(0)", true),
    ("SELECT \"pg_sleep\"(0)", true),
    ("SELECT md5(word) FROM scratch", true),
    ("SELECT word FROM scratch WHERE md5(word) = 'x'", true),
    ("SELECT 'pg_sleep(0)'", false),
    ("SELECT lower(word) FROM scratch ORDER BY id", false),
    ("UPDATE scratch SET word = 'naïve 😀' WHERE id = 3", false),
    ("SELECT nope FROM scratch", false),
];

const SETTINGS: &str =
    "[settings]\nmax_relations = 2\nblocked_functions = [\"pg_sleep\", \"md5\"]\n";

fn refusal(answer: &[Message]) -> Option<String> {
    let error = error_of(answer)?;
    (error.field(b'C')? == "42501").then(|| error.field(b'M').unwrap_or_default())
}

async fn judged(session: &mut Session) -> Vec<Option<String>> {
    let mut decisions = Vec::new();
    for (statement, _) in STATEMENTS {
        decisions.push(refusal(&session.query(statement).await));
        decisions.push(refusal(&session.extended(statement, true).await));
    }
    decisions
}

#[tokio::test]
async fn five_languages_decide_alike() {
    let database = cluster().await.database().await;
    let mut all = Vec::new();
    for (plugin, lines) in GUARDRAILS {
        let portcullis = Setup::new(&database)
            .unmatched("allow")
            .policy_of("10-rule.toml", &artefacts::example(plugin), &format!("{lines}{SETTINGS}"))
            .start()
            .await;
        let decisions = judged(&mut portcullis.session(ANA).await).await;
        for ((statement, refused), decisions) in STATEMENTS.iter().zip(decisions.chunks(2)) {
            for decision in decisions {
                assert_eq!(decision.is_some(), *refused, "{plugin}: {statement}: {decision:?}");
                let fault =
                    decision.as_ref().is_some_and(|reason| reason.contains("failed to answer"));
                assert!(!fault, "{plugin}: {statement}: {decision:?}\n{}", portcullis.log());
            }
        }
        all.push((plugin, decisions));
    }
    for (plugin, decisions) in &all {
        assert_eq!(decisions, &all[0].1, "{plugin} differs from {}", all[0].0);
    }
}

/// Queries whose answers both maskers shape.
const MASKED: &[&str] = &[
    "SELECT id, email FROM customers ORDER BY id LIMIT 300",
    "SELECT note FROM customers ORDER BY id LIMIT 10",
    "SELECT name AS email FROM employees ORDER BY id",
    "SELECT NULL::text AS email",
    "SELECT lower(email) FROM customers ORDER BY id LIMIT 3",
    "SELECT count(*) FROM customers",
    "SELECT word FROM scratch ORDER BY id",
];

#[tokio::test]
async fn two_languages_mask_alike() {
    let database = cluster().await.database().await;
    let mut all = Vec::new();
    for (plugin, lines) in MASKERS {
        let settings = "[settings]\nfill = \"<hidden>\"\ncolumns = [\"email\", \"note\"]\n";
        let portcullis = Setup::new(&database)
            .unmatched("allow")
            .policy_of("50-fill.toml", &artefacts::example(plugin), &format!("{lines}{settings}"))
            .start()
            .await;
        let mut session = portcullis.session(ANA).await;
        let mut answers = Vec::new();
        for query in MASKED {
            for binary in [false, true] {
                let answer = session.extended(query, binary).await;
                assert_eq!(error_of(&answer), None, "{plugin}: {query}");
                answers.push(answer);
            }
        }
        let first: Vec<_> = answers[0].iter().filter(|message| message.tag == b'D').collect();
        assert_eq!(first.len(), 205);
        for row in first {
            assert_eq!(row.cells()[1].as_deref(), Some(&b"<hidden>"[..]), "{plugin}");
        }
        all.push(answers);
    }
    assert_eq!(all[0], all[1]);
}
