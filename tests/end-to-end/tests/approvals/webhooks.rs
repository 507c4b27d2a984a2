//! Webhooks: people hear of what waits where they are, and of how it ended.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use end_to_end::frames::{Batch, sequence};
use end_to_end::portcullis::DEVELOPER;
use end_to_end::receiver::{Post, Receiver};
use end_to_end::waiting::SOON;
use end_to_end::{Portcullis, cluster, wait_until};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::NamedTempFile;

use super::{HOLD, LEA, LEO, RAN_ONCE, REASON, RISKY, SAM, ask, decide, grant, holding, total};

const SECRET: &str = "a secret that the receiver knows too";
/// A receiver refuses what is older.
const SIGNATURE_AGE_MAX: u64 = 300;

const QUORUM: &str = "[settings]
unbounded_writes = \"approve\"
[settings.approval]
approvers = [\"leads\", \"security\"]
approvals_needed = 2
";

fn secret_file() -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(SECRET.as_bytes()).expect("it takes a line");
    file
}

fn webhook(receiver: &Receiver, lines: &str) -> String {
    format!("[[approvals.webhook]]\nurl = \"{}\"\n{lines}", receiver.url())
}

/// A proxy that tells one receiver.
async fn telling(receiver: &Receiver, policy: &str, lines: &str) -> Portcullis {
    let database = cluster().await.database().await;
    holding(&database, policy).section(&webhook(receiver, lines)).start().await
}

/// So many posts, once they are there.
async fn posts(receiver: &Receiver, count: usize) -> Vec<Post> {
    wait_until(&format!("{count} posts"), SOON, async || {
        let posts = receiver.posts();
        (posts.len() >= count).then_some(posts)
    })
    .await
}

/// What a careful receiver does with the header.
fn is_signed(header: &str, body: &str, secret: &str) -> bool {
    let part = |name: &str| header.split(',').find_map(|part| part.strip_prefix(name));
    let (Some(at), Some(digest)) = (part("t="), part("v1=")) else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let fresh = at.parse::<u64>().is_ok_and(|at| now.abs_diff(at) <= SIGNATURE_AGE_MAX);
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys have any length");
    let mac = mac.chain_update(at).chain_update(".").chain_update(body).finalize().into_bytes();
    let expected: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    fresh && expected == digest
}

#[tokio::test]
async fn a_receiver_can_tell_who_sent_what_it_is_told() {
    let receiver = Receiver::start(0).await;
    let secret = secret_file();
    let lines = format!("secret_file = \"{}\"", secret.path().display());
    let portcullis = telling(&receiver, HOLD, &lines).await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let asked = posts(&receiver, 1).await.remove(0);
    let signature = asked.header("portcullis-signature").expect("it is signed");
    assert!(is_signed(signature, &asked.body, SECRET), "{signature}");
    assert!(!is_signed(signature, &asked.body, "another secret"));
    assert!(!is_signed(signature, &asked.body.replace("leads", "users"), SECRET));
    let later = signature.replacen("t=1", "t=9", 1);
    assert!(!is_signed(&later, &asked.body, SECRET));
    assert_eq!(asked.header("content-type"), Some("application/json"));

    let message = asked.json();
    assert_eq!(message["type"], "approval.asked");
    let approval = &message["approval"];
    for (pointer, value) in [
        ("/id", json!(told.id)),
        ("/state", json!("pending")),
        ("/who/subject", json!("app")),
        ("/who/kind", json!("human")),
        ("/who/proof", json!("scram")),
        ("/database", json!("shop")),
        ("/statement/text", json!("UPDATE scratch SET amount = amount + $1")),
        ("/statement/command", json!("UPDATE")),
        ("/statement/relations/0/name", json!("public.scratch")),
        ("/reason", json!(REASON)),
        ("/approvers", json!(["leads"])),
        ("/approvals_needed", json!(1)),
    ] {
        assert_eq!(approval.pointer(pointer), Some(&value), "{pointer}: {message:#}");
    }
    let links = message["links"].as_array().expect("a list");
    let [link] = links.as_slice() else { panic!("one link: {message:#}") };
    let start = format!("{}/approve/", portcullis.admin_url());
    assert!(link.as_str().is_some_and(|link| link.starts_with(&start)), "{link}");

    let body = json!({ "comment": "go on" });
    assert_eq!(decide(&portcullis, LEA, &told.id, "grant", body).await.0, 200);
    let ended = posts(&receiver, 2).await.remove(1);
    let signature = ended.header("portcullis-signature").expect("it is signed");
    assert!(is_signed(signature, &ended.body, SECRET), "{signature}");
    let message = ended.json();
    assert_eq!(message["type"], "approval.ended");
    assert_eq!(message["approval"]["state"], "granted");
    let by = &message["approval"]["granted_by"][0];
    assert_eq!((&by["by"], &by["comment"]), (&json!("lea"), &json!("go on")));
    assert_eq!(message["links"], json!([]), "what is over needs no link");
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
}

/// Every end is told, by its name.
#[tokio::test]
async fn every_end_is_told() {
    let receiver = Receiver::start(0).await;
    let portcullis = telling(&receiver, HOLD, "").await;
    for (number, state) in ["granted", "refused", "withdrawn"].into_iter().enumerate() {
        let mut session = portcullis.session(DEVELOPER).await;
        let told = ask(&mut session, Batch::new().query(RISKY)).await;
        match state {
            "granted" => grant(&portcullis, &told.id).await,
            "refused" => {
                decide(&portcullis, LEA, &told.id, "refuse", json!({})).await;
            }
            _ => drop(session),
        }
        let told_of = posts(&receiver, 2 * number + 2).await;
        let message = told_of.last().expect("it is there").json();
        let seen = (&message["approval"]["id"], &message["approval"]["state"]);
        assert_eq!(seen, (&json!(told.id), &json!(state)), "{message:#}");
    }
}

/// Strings of a message with the kind of the object that holds each.
fn strings(value: &Value, kind: &str, found: &mut Vec<(String, String)>) {
    let kind = value["type"].as_str().unwrap_or(kind).to_owned();
    match value {
        Value::String(text) => found.push((kind, text.clone())),
        Value::Array(all) => all.iter().for_each(|one| strings(one, &kind, found)),
        Value::Object(members) => members.values().for_each(|one| strings(one, &kind, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names are the asker's own words; they must stay words.
const TRICKS: &str = "UPDATE scratch SET amount = amount + 1 RETURNING id AS \
                      \"<!channel> <https://evil.example|Grant> [Grant](https://evil.example)\"";

/// Its name, what holds plain text there, and where the addresses are.
type Format = (&'static str, &'static str, fn(&Value) -> Vec<Value>);

#[tokio::test]
async fn chats_are_told_in_their_own_form_and_words_stay_words() {
    let formats: [Format; 2] = [
        ("slack", "plain_text", |message| {
            assert!(message["text"].is_string() && message["blocks"].is_array(), "{message:#}");
            let actions = message["blocks"].as_array().into_iter().flatten();
            let actions = actions.filter(|block| block["type"] == "actions");
            let buttons =
                actions.flat_map(|block| block["elements"].as_array().into_iter().flatten());
            buttons.map(|button| button["url"].clone()).collect()
        }),
        ("teams", "TextRun", |message| {
            assert_eq!(message["type"], "message");
            let card = &message["attachments"][0];
            assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
            assert_eq!(card["content"]["type"], "AdaptiveCard");
            let actions = card["content"]["actions"].as_array().into_iter().flatten();
            actions.map(|action| action["url"].clone()).collect()
        }),
    ];
    for (format, plain, addresses) in formats {
        let receiver = Receiver::start(0).await;
        let lines = format!("format = \"{format}\"");
        let portcullis = telling(&receiver, QUORUM, &lines).await;
        let mut session = portcullis.session(DEVELOPER).await;
        let told = ask(&mut session, Batch::new().query(TRICKS)).await;
        let post = posts(&receiver, 1).await.remove(0);
        assert_eq!(post.header("portcullis-signature"), None, "{format} looks at none");
        let message = post.json();
        let mut all = Vec::new();
        strings(&message, "", &mut all);
        for part in [told.id.as_str(), "app", "shop", REASON, "public.scratch", "<!channel>"] {
            let shown = all.iter().any(|(kind, text)| kind == plain && text.contains(part));
            assert!(shown, "{format} shows {part}: {message:#}");
        }
        let elsewhere = all.iter().find(|(kind, text)| kind != plain && text.contains("evil"));
        assert_eq!(elsewhere, None, "{format}");
        // A link for each who must grant it, and no two alike.
        let links = addresses(&message);
        assert_eq!(links.len(), 2, "{format}: {message:#}");
        assert_ne!(links[0], links[1], "{format}");
        let start = format!("{}/approve/", portcullis.admin_url());
        let ours = |link: &Value| link.as_str().is_some_and(|link| link.starts_with(&start));
        assert!(links.iter().all(ours), "{format}: {links:?}");

        for who in [LEO, SAM] {
            assert_eq!(decide(&portcullis, who, &told.id, "grant", json!({})).await.0, 200);
        }
        let ended = posts(&receiver, 2).await.remove(1).json();
        let text = ended.to_string();
        assert!(text.contains("granted") && text.contains("leo") && text.contains("sam"), "{text}");
        assert_eq!(addresses(&ended), Vec::<Value>::new(), "{format}");
        assert!(sequence(&session.until_ready().await).ends_with("C:UPDATE 20 Z:I"));
    }
}

/// A webhook that fails is tried again; one that is down keeps nobody waiting.
#[tokio::test]
async fn a_webhook_that_fails_holds_nobody_up() {
    let (shaky, steady) = (Receiver::start(2).await, Receiver::start(0).await);
    let database = cluster().await.database().await;
    let down = "[[approvals.webhook]]\nurl = \"http://127.0.0.1:9/nobody\"";
    let portcullis = holding(&database, HOLD)
        .section(&webhook(&shaky, ""))
        .section(down)
        .section(&webhook(&steady, "format = \"slack\""))
        .start()
        .await;
    let mut session = portcullis.session(DEVELOPER).await;
    let told = ask(&mut session, Batch::new().query(RISKY)).await;
    let began = tokio::time::Instant::now();
    grant(&portcullis, &told.id).await;
    assert_eq!(sequence(&session.until_ready().await), "C:UPDATE 20 Z:I");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(posts(&steady, 2).await.len(), 2);
    let told_of = posts(&shaky, 2).await;
    let states: Vec<Value> =
        told_of.iter().map(|post| post.json()["approval"]["state"].clone()).collect();
    assert_eq!(states, ["pending", "granted"]);
    assert_eq!(total(&database).await, RAN_ONCE);
}
