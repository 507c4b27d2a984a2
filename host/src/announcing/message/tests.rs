use expect_test::{Expect, expect};

use super::*;
use crate::announcing::tests::{granted, view};

fn check(format: WebhookFormat, view: &View, links: &[&str], expected: Expect) {
    let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
    let body: Value = serde_json::from_str(&body(format, view, &links)).unwrap();
    expected.assert_eq(&laid_out(&body, 0));
}

/// What fits a line stands on one.
fn laid_out(value: &Value, depth: usize) -> String {
    let compact = value.to_string().replace('\u{202e}', "<right to left>");
    let indent = "  ".repeat(depth);
    let inside = |name: String, inner: &Value| {
        let inner = laid_out(inner, depth + 1);
        format!("{indent}  {name}{}", inner.trim_start())
    };
    let lines: Vec<String> = match value {
        Value::Object(members) if compact.len() > 90 => {
            members.iter().map(|(name, inner)| inside(format!("{name}: "), inner)).collect()
        }
        Value::Array(elements) if compact.len() > 90 => {
            elements.iter().map(|inner| inside(String::new(), inner)).collect()
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => return format!("{indent}{compact}\n"),
    };
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    format!("{indent}{open}\n{}{indent}{close}\n", lines.concat())
}

#[test]
fn a_receiver_of_our_own_format_is_told_all() {
    check(
        WebhookFormat::Generic,
        &view(1),
        &["https://p.example/approve/a"],
        expect![[r#"
        {
          approval: {
            approvals_needed: 1
            approvers: ["leads","on-call"]
            asked_at: "2096-10-02T07:06:40Z"
            database: "shop"
            ended_at: null
            ended_because: null
            event: "0000000000000000000000000000004d"
            expires_at: "2096-10-02T07:11:40Z"
            granted_by: []
            id: "7Q2M9KXA"
            lease_seconds_max: 0
            reason: "it changes all rows"
            session: 3
            state: "pending"
            statement: {
              command: "UPDATE"
              earlier: ["BEGIN"]
              in_transaction: true
              relations: [{"access":"write","columns":["paid"],"labels":["finance"],"name":"public.orders"}]
              rows_estimated: 1200
              text: "UPDATE orders\nSET paid = $1 -- <!channel> <right to left>[x](https://evil.example)"
            }
            who: {
              client_address: "192.0.2.1:5000"
              groups: ["agents"]
              kind: "agent"
              on_behalf_of: "ana"
              proof: "oidc"
              subject: "bot"
            }
          }
          links: ["https://p.example/approve/a"]
          type: "approval.asked"
        }
    "#]],
    );
    check(
        WebhookFormat::Generic,
        &granted(),
        &[],
        expect![[r#"
        {
          approval: {
            approvals_needed: 1
            approvers: ["leads","on-call"]
            asked_at: "2096-10-02T07:06:40Z"
            database: "shop"
            ended_at: "2096-10-02T07:06:50Z"
            ended_because: null
            event: "0000000000000000000000000000004d"
            expires_at: "2096-10-02T07:11:40Z"
            granted_by: [{"at":"2096-10-02T07:06:50Z","by":"ben","comment":"fine","proof":"oidc"}]
            id: "7Q2M9KXA"
            lease_seconds_max: 0
            reason: "it changes all rows"
            session: 3
            state: "granted"
            statement: {
              command: "UPDATE"
              earlier: ["BEGIN"]
              in_transaction: true
              relations: [{"access":"write","columns":["paid"],"labels":["finance"],"name":"public.orders"}]
              rows_estimated: 1200
              text: "UPDATE orders\nSET paid = $1 -- <!channel> <right to left>[x](https://evil.example)"
            }
            who: {
              client_address: "192.0.2.1:5000"
              groups: ["agents"]
              kind: "agent"
              on_behalf_of: "ana"
              proof: "oidc"
              subject: "bot"
            }
          }
          links: []
          type: "approval.ended"
        }
    "#]],
    );
}

#[test]
fn slack_shows_others_words_as_they_are() {
    let links = ["https://p.example/approve/a", "https://p.example/approve/b"];
    check(
        WebhookFormat::Slack,
        &view(2),
        &links,
        expect![[r#"
            {
              blocks: [
                {
                  text: {"emoji":false,"text":"Approval 7Q2M9KXA: bot waits","type":"plain_text"}
                  type: "header"
                }
                {
                  fields: [
                    {"emoji":false,"text":"Who: bot (agent, by oidc) on behalf of ana","type":"plain_text"}
                    {"emoji":false,"text":"From: 192.0.2.1:5000","type":"plain_text"}
                    {"emoji":false,"text":"Database: shop","type":"plain_text"}
                    {"emoji":false,"text":"Why: it changes all rows","type":"plain_text"}
                    {"emoji":false,"text":"Relations: public.orders (write)","type":"plain_text"}
                    {"emoji":false,"text":"Rows, estimated: 1200","type":"plain_text"}
                    {"emoji":false,"text":"Transaction: open, earlier statements: 1","type":"plain_text"}
                    {"emoji":false,"text":"Released by: 2 of leads, on-call","type":"plain_text"}
                    {"emoji":false,"text":"Until: 2096-10-02T07:11:40Z","type":"plain_text"}
                  ]
                  type: "section"
                }
                {
                  text: {
                    emoji: false
                    text: "UPDATE orders\nSET paid = $1 -- <!channel>  [x](https://evil.example)"
                    type: "plain_text"
                  }
                  type: "section"
                }
                {
                  elements: [
                    {
                      text: {"emoji":false,"text":"Approver 1 of 2","type":"plain_text"}
                      type: "button"
                      url: "https://p.example/approve/a"
                    }
                    {
                      text: {"emoji":false,"text":"Approver 2 of 2","type":"plain_text"}
                      type: "button"
                      url: "https://p.example/approve/b"
                    }
                  ]
                  type: "actions"
                }
              ]
              text: "Approval 7Q2M9KXA: bot waits"
              unfurl_links: false
              unfurl_media: false
            }
        "#]],
    );
    check(
        WebhookFormat::Slack,
        &granted(),
        &[],
        expect![[r#"
        {
          blocks: [
            {
              text: {"emoji":false,"text":"Approval 7Q2M9KXA of bot: granted","type":"plain_text"}
              type: "header"
            }
            {
              fields: [
                {"emoji":false,"text":"Database: shop","type":"plain_text"}
                {"emoji":false,"text":"Granted by: ben (fine)","type":"plain_text"}
              ]
              type: "section"
            }
          ]
          text: "Approval 7Q2M9KXA of bot: granted"
          unfurl_links: false
          unfurl_media: false
        }
    "#]],
    );
}

#[test]
fn teams_shows_others_words_as_they_are() {
    check(
        WebhookFormat::Teams,
        &view(1),
        &["https://p.example/approve/a"],
        expect![[r#"
            {
              attachments: [
                {
                  content: {
                    $schema: "http://adaptivecards.io/schemas/adaptive-card.json"
                    actions: [{"title":"Look and decide","type":"Action.OpenUrl","url":"https://p.example/approve/a"}]
                    body: [
                      {
                        inlines: [
                          {"size":"Medium","text":"Approval 7Q2M9KXA: bot waits","type":"TextRun","weight":"Bolder"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Who: ","type":"TextRun","weight":"Bolder"}
                          {"text":"bot (agent, by oidc) on behalf of ana","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"From: ","type":"TextRun","weight":"Bolder"}
                          {"text":"192.0.2.1:5000","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Database: ","type":"TextRun","weight":"Bolder"}
                          {"text":"shop","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Why: ","type":"TextRun","weight":"Bolder"}
                          {"text":"it changes all rows","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Relations: ","type":"TextRun","weight":"Bolder"}
                          {"text":"public.orders (write)","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Rows, estimated: ","type":"TextRun","weight":"Bolder"}
                          {"text":"1200","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Transaction: ","type":"TextRun","weight":"Bolder"}
                          {"text":"open, earlier statements: 1","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Released by: ","type":"TextRun","weight":"Bolder"}
                          {"text":"1 of leads, on-call","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {"text":"Until: ","type":"TextRun","weight":"Bolder"}
                          {"text":"2096-10-02T07:11:40Z","type":"TextRun"}
                        ]
                        type: "RichTextBlock"
                      }
                      {
                        inlines: [
                          {
                            fontType: "Monospace"
                            text: "UPDATE orders\nSET paid = $1 -- <!channel>  [x](https://evil.example)"
                            type: "TextRun"
                          }
                        ]
                        type: "RichTextBlock"
                      }
                    ]
                    msteams: {"width":"Full"}
                    type: "AdaptiveCard"
                    version: "1.4"
                  }
                  contentType: "application/vnd.microsoft.card.adaptive"
                  contentUrl: null
                }
              ]
              type: "message"
            }
        "#]],
    );
    check(
        WebhookFormat::Teams,
        &granted(),
        &[],
        expect![[r#"
        {
          attachments: [
            {
              content: {
                $schema: "http://adaptivecards.io/schemas/adaptive-card.json"
                actions: []
                body: [
                  {
                    inlines: [
                      {
                        size: "Medium"
                        text: "Approval 7Q2M9KXA of bot: granted"
                        type: "TextRun"
                        weight: "Bolder"
                      }
                    ]
                    type: "RichTextBlock"
                  }
                  {
                    inlines: [
                      {"text":"Database: ","type":"TextRun","weight":"Bolder"}
                      {"text":"shop","type":"TextRun"}
                    ]
                    type: "RichTextBlock"
                  }
                  {
                    inlines: [
                      {"text":"Granted by: ","type":"TextRun","weight":"Bolder"}
                      {"text":"ben (fine)","type":"TextRun"}
                    ]
                    type: "RichTextBlock"
                  }
                ]
                msteams: {"width":"Full"}
                type: "AdaptiveCard"
                version: "1.4"
              }
              contentType: "application/vnd.microsoft.card.adaptive"
              contentUrl: null
            }
          ]
          type: "message"
        }
    "#]],
    );
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
