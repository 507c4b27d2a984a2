//! What a webhook is posted: a JSON document of our own, or a message as Slack's and Teams'
//! incoming webhooks take it.
//!
//! Names and statements are others' words. They stand in Slack's `plain_text` and in Teams'
//! `TextRun`, which show them as they are, so that nobody writes links or mentions into a
//! message that asks for trust.

use portcullis_approvals::View;
use portcullis_policy::approval::Standing;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::WebhookFormat;

/// Of a statement in a chat; Slack takes 3000 characters in a block, Teams 28 kB in all.
const STATEMENT_CHARACTERS_MAX: usize = 1_500;
/// Of any other fact in a chat.
const FACT_CHARACTERS_MAX: usize = 300;
const TITLE_CHARACTERS_MAX: usize = 140;

/// The message about an approval as it stands; `links` lead to it.
pub fn body(format: WebhookFormat, view: &View, links: &[String]) -> String {
    let message = match format {
        WebhookFormat::Generic => generic(view, links),
        WebhookFormat::Slack => slack(view, links),
        WebhookFormat::Teams => teams(view, links),
    };
    message.to_string()
}

fn generic(view: &View, links: &[String]) -> Value {
    let relations = view.facts.relations.iter().map(|relation| {
        json!({
            "name": relation.name,
            "access": relation.access.as_str(),
            "columns": relation.columns,
            "labels": relation.labels,
        })
    });
    let granted_by = view.granted_by.iter().map(|said| {
        json!({ "by": said.by, "proof": said.proof, "comment": said.comment, "at": instant(said.at) })
    });
    json!({
        "type": if view.standing == Standing::Pending { "approval.asked" } else { "approval.ended" },
        "approval": {
            "id": view.id,
            "state": view.standing.as_str(),
            "ended_because": view.ended_because,
            "who": {
                "subject": view.who.subject,
                "kind": view.who.kind.as_str(),
                "groups": view.who.groups,
                "proof": view.who.proof,
                "on_behalf_of": view.who.on_behalf_of,
                "client_address": view.who.client_address,
            },
            "database": view.database,
            "session": view.session,
            "event": view.event.to_string(),
            "statement": {
                "text": view.facts.text,
                "command": view.facts.command,
                "relations": relations.collect::<Vec<_>>(),
                "rows_estimated": view.facts.rows_estimated,
                "in_transaction": view.facts.in_transaction,
                "earlier": view.facts.earlier,
            },
            "reason": view.facts.reason,
            "approvers": view.approvers(),
            "approvals_needed": view.approvals_needed(),
            "granted_by": granted_by.collect::<Vec<_>>(),
            "lease_seconds_max": view.lease_seconds_max,
            "asked_at": instant(view.asked_at),
            "expires_at": instant(view.expires_at),
            "ended_at": view.ended_at.map(instant),
        },
        "links": links,
    })
}

/// Blocks of an incoming webhook. The text beside them is what notifications show.
fn slack(view: &View, links: &[String]) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title(view)) })];
    let facts = facts(view);
    // A block has at most ten of them.
    for some in facts.chunks(10) {
        let fields = some.iter().map(|(name, value)| plain(&format!("{name}: {value}")));
        blocks.push(json!({ "type": "section", "fields": fields.collect::<Vec<_>>() }));
    }
    if view.standing == Standing::Pending {
        blocks.push(json!({ "type": "section", "text": plain(&statement(view)) }));
    }
    let buttons = links.iter().enumerate().map(|(number, link)| {
        json!({ "type": "button", "text": plain(&link_title(number, links.len())), "url": link })
    });
    if !links.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons.collect::<Vec<_>>() }));
    }
    json!({
        "text": escaped(&title(view)),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// Slack reads this one as its markup, which begins with one of these three.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An Adaptive Card, as the workflow "when a webhook request is received" posts it.
fn teams(view: &View, links: &[String]) -> Value {
    let line = |runs: Value| json!({ "type": "RichTextBlock", "inlines": runs });
    let mut lines = vec![line(json!([
        { "type": "TextRun", "text": title(view), "weight": "Bolder", "size": "Medium" },
    ]))];
    for (name, value) in facts(view) {
        lines.push(line(json!([
            { "type": "TextRun", "text": format!("{name}: "), "weight": "Bolder" },
            { "type": "TextRun", "text": value },
        ])));
    }
    if view.standing == Standing::Pending {
        lines.push(line(json!([
            { "type": "TextRun", "text": statement(view), "fontType": "Monospace" },
        ])));
    }
    let actions = links.iter().enumerate().map(|(number, link)| {
        json!({ "type": "Action.OpenUrl", "title": link_title(number, links.len()), "url": link })
    });
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": lines,
                "actions": actions.collect::<Vec<_>>(),
            },
        }],
    })
}

fn title(view: &View) -> String {
    let (id, subject) = (&view.id, &view.who.subject);
    let title = match view.standing {
        Standing::Pending => format!("Approval {id}: {subject} waits"),
        Standing::Granted => format!("Approval {id} of {subject}: granted"),
        Standing::Refused => format!("Approval {id} of {subject}: refused"),
        Standing::Expired => format!("Approval {id} of {subject}: expired"),
        Standing::Withdrawn => format!("Approval {id} of {subject}: withdrawn"),
    };
    on_one_line(&title, TITLE_CHARACTERS_MAX)
}

/// What a chat tells: all that is worth deciding on, or how it ended.
fn facts(view: &View) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut tell = |name, value: &str| facts.push((name, on_one_line(value, FACT_CHARACTERS_MAX)));
    if view.standing != Standing::Pending {
        tell("Database", &view.database);
        if let Some(because) = &view.ended_because {
            tell("Because", because);
        }
        if !view.granted_by.is_empty() {
            tell("Granted by", &granted_by(view));
        }
        return facts;
    }
    tell("Who", &who(view));
    tell("From", &view.who.client_address);
    tell("Database", &view.database);
    tell("Why", &view.facts.reason);
    tell("Relations", &relations(view));
    match view.facts.rows_estimated {
        Some(rows) => tell("Rows, estimated", &rows.to_string()),
        None => tell("Rows, estimated", "not known"),
    }
    if view.facts.in_transaction {
        let earlier = view.facts.earlier.len();
        tell("Transaction", &format!("open, earlier statements: {earlier}"));
    }
    let needed = format!("{} of {}", view.approvals_needed(), view.approvers().join(", "));
    tell("Released by", &needed);
    tell("Until", &instant(view.expires_at));
    facts
}

fn who(view: &View) -> String {
    let who = &view.who;
    let mut text = format!("{} ({}, by {})", who.subject, who.kind.as_str(), who.proof);
    if let Some(human) = &who.on_behalf_of {
        text.push_str(&format!(" on behalf of {human}"));
    }
    text
}

fn granted_by(view: &View) -> String {
    let said = view.granted_by.iter().map(|said| match &said.comment {
        Some(comment) => format!("{} ({comment})", said.by),
        None => said.by.clone(),
    });
    said.collect::<Vec<_>>().join(", ")
}

fn relations(view: &View) -> String {
    let relations = view.facts.relations.iter();
    let relations =
        relations.map(|relation| format!("{} ({})", relation.name, relation.access.as_str()));
    relations.collect::<Vec<_>>().join(", ")
}

fn statement(view: &View) -> String {
    shown(&view.facts.text, STATEMENT_CHARACTERS_MAX)
}

fn link_title(number: usize, of: usize) -> String {
    if of == 1 { "Look and decide".to_owned() } else { format!("Approver {} of {of}", number + 1) }
}

fn on_one_line(text: &str, characters_max: usize) -> String {
    shown(text, characters_max).replace('\n', " ")
}

/// Cut, and without characters that move the cursor or turn the direction of writing; never
/// empty, which chats refuse.
fn shown(text: &str, characters_max: usize) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut kept: String = text.chars().take(characters_max).collect();
    if kept.len() < text.len() {
        kept.push('\u{2026}');
    }
    let kept = kept.replace(hidden, " ");
    if kept.trim().is_empty() { "-".to_owned() } else { kept }
}

/// As RFC 3339 writes it, in UTC.
fn instant(seconds: u64) -> String {
    let instant = i64::try_from(seconds).ok();
    let instant = instant.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    instant.and_then(|instant| instant.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests;
