use expect_test::{Expect, expect};

use super::*;
use crate::announcing::tests::{granted, view};

fn check(format: WebhookFormat, view: &View, links: &[&str], expected: Expect) {
    let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
    let body: Value = serde_json::from_str(&body(format, view, &links)).unwrap();
    expected.assert_eq(&format!("{body:#}\n"));
}

#[test]
fn a_receiver_of_our_own_format_is_told_all() {
    check(WebhookFormat::Generic, &view(1), &["https://p.example/approve/a"], expect![[""]]);
    check(WebhookFormat::Generic, &granted(), &[], expect![[""]]);
}

#[test]
fn slack_shows_others_words_as_they_are() {
    let links = ["https://p.example/approve/a", "https://p.example/approve/b"];
    check(WebhookFormat::Slack, &view(2), &links, expect![[""]]);
    check(WebhookFormat::Slack, &granted(), &[], expect![[""]]);
}

#[test]
fn teams_shows_others_words_as_they_are() {
    check(WebhookFormat::Teams, &view(1), &["https://p.example/approve/a"], expect![[""]]);
    check(WebhookFormat::Teams, &granted(), &[], expect![[""]]);
}

#[test]
fn the_text_of_a_notification_mentions_nobody() {
    let mut view = view(1);
    view.who.subject = "<!channel> & \u{202e}co\n".into();
    let body: Value = serde_json::from_str(&body(WebhookFormat::Slack, &view, &[])).unwrap();
    assert_eq!(body["text"], "Approval 7Q2M9KXA: &lt;!channel&gt; &amp;  co  waits");
}

#[test]
fn long_and_hidden_things_are_cut_and_shown() {
    let check = |text: &str, expected: &str| assert_eq!(shown(text, 5), expected);
    check("12345", "12345");
    check("123456", "12345\u{2026}");
    check("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{2026}");
    check("a\u{200b}\u{7}\n", "a  \n");
    check("\u{202e} ", "-");
    check("", "-");
    let mut view = view(1);
    view.facts.text = "\u{1f980}".repeat(100_000);
    view.who.subject = "x".repeat(100_000);
    view.facts.reason = "y".repeat(100_000);
    for format in [WebhookFormat::Slack, WebhookFormat::Teams] {
        let length = body(format, &view, &[]).len();
        assert!(length < 12_000, "{length}");
    }
}
