//! The records of statements: intents and outcomes. They are most of a ledger, and each holds
//! much that others held before it: who asks, what the shape does. Those parts are written once
//! and copied from then on.

use std::sync::Arc;

use portcullis_policy::event::{DecisionMade, Ending, EventId, Outcome};
use portcullis_policy::{Database, Principal, Statement, VerdictAnswer};
use serde::Serialize;

use crate::head::{decimal, hexadecimal, member, named, quoted, text, texts};

/// Members that many records share, written once.
#[derive(Clone)]
pub struct Part(Arc<[u8]>);

impl Part {
    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Who asks: `session`, `principal` and `database`.
    pub fn asker(session: u64, principal: &Principal, database: &Database) -> Part {
        let mut buffer = Vec::new();
        member!(buffer, "session");
        decimal(&mut buffer, session);
        member!(buffer, "principal");
        let written = serde_json::to_writer(&mut buffer, &PrincipalBody::of(principal));
        debug_assert!(written.is_ok(), "it has string keys only, and a Vec takes all");
        member!(buffer, "database");
        text(&mut buffer, &database.name);
        Part(buffer.into())
    }

    /// What is asked, from `text` to `opaque`. Equal shapes have equal parts: of the text
    /// nothing is kept but its shape, which has no literals.
    pub fn statement(statement: &Statement) -> Part {
        let mut buffer = Vec::new();
        member!(buffer, "text");
        text(&mut buffer, &statement.shape);
        member!(buffer, "fingerprint");
        text(&mut buffer, &statement.fingerprint);
        member!(buffer, "command");
        text(&mut buffer, &statement.command);
        member!(buffer, "actions");
        texts(&mut buffer, statement.actions.iter().map(|action| action.as_str()));
        relations(&mut buffer, statement);
        list(&mut buffer, "functions", &statement.functions);
        let opaque: Vec<String> = statement.opaque.iter().map(ToString::to_string).collect();
        list(&mut buffer, "opaque", &opaque);
        Part(buffer.into())
    }

    /// What was decided, from `decision` to `revision`. `released_by` is the approval or lease that
    /// released it, where one was needed.
    pub fn ruling(
        made: &DecisionMade,
        given: &[VerdictAnswer],
        released_by: Option<&str>,
        revision: u64,
    ) -> Part {
        let mut buffer = Vec::new();
        decision(&mut buffer, made);
        answers(&mut buffer, given);
        if let Some(released_by) = released_by {
            member!(buffer, "released_by");
            text(&mut buffer, released_by);
        }
        member!(buffer, "revision");
        decimal(&mut buffer, revision);
        Part(buffer.into())
    }
}

/// Written before a statement leaves, or when it is refused.
pub struct Intent<'a> {
    pub event: EventId,
    /// Of [`Part::asker`].
    pub asker: &'a Part,
    /// "query", "parse", "bind", "execute", "function-call".
    pub message: &'static str,
    /// Of [`Part::statement`].
    pub statement: &'a Part,
    /// How many values were bound.
    pub parameters: u32,
    /// Of [`Part::ruling`].
    pub ruling: &'a Part,
}

/// How an intent begins, from the end of its time to its event.
pub(crate) const INTENT: &[u8] = b"\",\"kind\":\"intent\",\"event\":";
/// The same for an outcome.
pub(crate) const OUTCOME: &[u8] = b"\",\"kind\":\"outcome\",\"event\":";

/// Writes the members of an intent, behind [`INTENT`].
pub(crate) fn write_intent(buffer: &mut Vec<u8>, intent: &Intent<'_>) {
    hexadecimal(buffer, intent.event.0);
    buffer.extend_from_slice(&intent.asker.0);
    member!(buffer, "message");
    quoted(buffer, intent.message);
    buffer.extend_from_slice(&intent.statement.0);
    if intent.parameters > 0 {
        member!(buffer, "parameters");
        decimal(buffer, u64::from(intent.parameters));
    }
    buffer.extend_from_slice(&intent.ruling.0);
    buffer.extend_from_slice(b"}\n");
}

/// Writes the members of an outcome, behind [`OUTCOME`].
pub(crate) fn write_outcome(buffer: &mut Vec<u8>, outcome: &Outcome) {
    hexadecimal(buffer, outcome.id.0);
    member!(buffer, "session");
    decimal(buffer, outcome.session);
    member!(buffer, "ending");
    match &outcome.ending {
        Ending::Completed { tag } => {
            quoted(buffer, "completed");
            member!(buffer, "tag");
            text(buffer, tag);
        }
        Ending::Failed { sqlstate } => {
            quoted(buffer, "failed");
            member!(buffer, "sqlstate");
            text(buffer, sqlstate);
        }
        Ending::Suspended => quoted(buffer, "suspended"),
        Ending::Skipped => quoted(buffer, "skipped"),
        Ending::Refused => quoted(buffer, "refused"),
        Ending::Released => quoted(buffer, "released"),
        Ending::Lost => quoted(buffer, "lost"),
    }
    member!(buffer, "rows");
    decimal(buffer, outcome.rows);
    member!(buffer, "bytes");
    decimal(buffer, outcome.bytes);
    member!(buffer, "cells_masked");
    decimal(buffer, outcome.cells_masked);
    list(buffer, "labels_masked", &outcome.labels_masked);
    if outcome.cells_observed > 0 {
        member!(buffer, "cells_observed");
        decimal(buffer, outcome.cells_observed);
    }
    member!(buffer, "duration_us");
    decimal(buffer, outcome.duration_us);
    member!(buffer, "revision");
    decimal(buffer, outcome.revision);
    buffer.extend_from_slice(b"}\n");
}

/// A list of texts, left out where it is empty.
fn list(buffer: &mut Vec<u8>, name: &'static str, items: &[impl AsRef<str>]) {
    if !items.is_empty() {
        named(buffer, name);
        texts(buffer, items.iter().map(AsRef::as_ref));
    }
}

/// A list of objects, left out where it is empty; `write` writes what stands between the braces.
fn objects<T>(
    buffer: &mut Vec<u8>,
    name: &'static str,
    items: &[T],
    write: impl Fn(&mut Vec<u8>, &T),
) {
    for (index, item) in items.iter().enumerate() {
        if index == 0 {
            named(buffer, name);
            buffer.push(b'[');
        } else {
            buffer.push(b',');
        }
        buffer.push(b'{');
        write(buffer, item);
        buffer.push(b'}');
    }
    if !items.is_empty() {
        buffer.push(b']');
    }
}

fn relations(buffer: &mut Vec<u8>, statement: &Statement) {
    objects(buffer, "relations", &statement.relations, |buffer, relation| {
        buffer.extend_from_slice(b"\"name\":");
        text(buffer, &relation.name);
        member!(buffer, "access");
        quoted(buffer, relation.access.as_str());
        list(buffer, "columns", &relation.columns);
        list(buffer, "labels", &relation.labels);
    });
}

fn decision(buffer: &mut Vec<u8>, made: &DecisionMade) {
    let (word, policy, reason) = match made {
        DecisionMade::Permitted => ("permitted", None, None),
        DecisionMade::Denied { policy, reason } => ("denied", policy.as_deref(), Some(reason)),
        DecisionMade::Held { reason } => ("held", None, Some(reason)),
    };
    member!(buffer, "decision");
    quoted(buffer, word);
    if let Some(policy) = policy {
        member!(buffer, "policy");
        text(buffer, policy);
    }
    if let Some(reason) = reason {
        member!(buffer, "reason");
        text(buffer, reason);
    }
}

fn answers(buffer: &mut Vec<u8>, answers: &[VerdictAnswer]) {
    objects(buffer, "answers", answers, |buffer, given| {
        buffer.extend_from_slice(b"\"policy\":");
        text(buffer, &given.policy);
        member!(buffer, "mode");
        quoted(buffer, given.mode.as_str());
        member!(buffer, "answer");
        match &given.answer {
            Ok(verdict) => {
                quoted(buffer, verdict.decision.as_str());
                list(buffer, "tags", &verdict.tags);
            }
            Err(fault) => {
                buffer.extend_from_slice(b"\"fault: ");
                buffer.extend_from_slice(fault.kind.as_str().as_bytes());
                buffer.push(b'"');
            }
        }
    });
}

#[derive(Serialize)]
pub(crate) struct PrincipalBody<'a> {
    subject: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    proof: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    claims: &'a [(String, String)],
    client_address: &'a str,
    application: &'a str,
    role: &'a str,
}

impl<'a> PrincipalBody<'a> {
    pub(crate) fn of(principal: &'a Principal) -> PrincipalBody<'a> {
        PrincipalBody {
            subject: &principal.subject,
            kind: principal.kind.as_str(),
            groups: &principal.groups,
            proof: &principal.proof,
            on_behalf_of: principal.on_behalf_of.as_deref(),
            claims: &principal.claims,
            client_address: &principal.client_address,
            application: &principal.application,
            role: &principal.role,
        }
    }
}
