//! How an event becomes a line. The crate's documentation lists the fields.

use std::io::Write;

use portcullis_policy::event::{
    Actor, ApprovalStep, DecisionMade, Ending, Event, EventId, Intent, Notable, Outcome,
};
use portcullis_policy::{Action, Principal};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

/// Version of the layout, the `v` of every record.
pub const LAYOUT: u32 = 1;

/// Something the ledger has to say about itself.
#[derive(Debug)]
pub(crate) enum Note<'a> {
    Recovered { segment: u64, bytes_removed: u64 },
    Resumed { since: &'a str, error: &'a str, first_seq: u64, last_seq: u64, unwritten: u64 },
    Unsynced { first_seq: u64, last_seq: u64, error: &'a str },
}

/// Appends `event` to `buffer` as one line.
pub(crate) fn write_event(buffer: &mut Vec<u8>, place: Place<'_>, event: &Event) {
    match event {
        Event::Intent(intent) => write_line(buffer, place, "intent", &IntentBody::of(intent)),
        Event::Outcome(outcome) => write_line(buffer, place, "outcome", &OutcomeBody::of(outcome)),
        Event::Notable(notable) => {
            let (kind, body) = notable_body(notable);
            write_line(buffer, place, kind, &body);
        }
    }
}

/// Appends a note of the ledger's own to `buffer` as one line.
pub(crate) fn write_note(buffer: &mut Vec<u8>, place: Place<'_>, note: &Note<'_>) {
    let (kind, body) = note_body(note);
    write_line(buffer, place, kind, &body);
}

/// Where and when a record stands.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub seq: u64,
    pub stream: &'a str,
    pub now: OffsetDateTime,
}

/// RFC 3339 in UTC with microseconds: of fixed width, so that text sorts as time does.
pub(crate) fn write_time(buffer: &mut Vec<u8>, now: OffsetDateTime) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        buffer,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.microsecond()
    );
}

fn write_line(buffer: &mut Vec<u8>, place: Place<'_>, kind: &str, body: &impl Serialize) {
    let _ = write!(buffer, "{{\"v\":{LAYOUT},\"seq\":{}", place.seq);
    let _ = write!(buffer, ",\"stream\":\"{}\",\"time\":\"", place.stream);
    write_time(buffer, place.now);
    let _ = write!(buffer, "\",\"kind\":\"{kind}\"");
    // The body is an object of its own. Its brace becomes the comma after `kind`, which
    // costs less than flattening one struct into another.
    let joint = buffer.len();
    let written = serde_json::to_writer(&mut *buffer, body);
    debug_assert!(written.is_ok(), "bodies have string keys only, and a Vec takes all");
    if buffer.get(joint..) == Some(b"{}") {
        buffer.truncate(joint);
        buffer.push(b'}');
    } else if let Some(brace) = buffer.get_mut(joint) {
        *brace = b',';
    }
    buffer.push(b'\n');
}

fn display<S: Serializer, T: std::fmt::Display>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[derive(Serialize)]
struct PrincipalBody<'a> {
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
    fn of(principal: &'a Principal) -> PrincipalBody<'a> {
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

#[derive(Serialize)]
struct RelationBody<'a> {
    name: &'a str,
    access: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    columns: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    labels: &'a [String],
}

#[derive(Serialize)]
struct AnswerBody<'a> {
    policy: &'a str,
    mode: &'static str,
    answer: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
}

#[derive(Serialize)]
struct IntentBody<'a> {
    #[serde(serialize_with = "display")]
    event: EventId,
    session: u64,
    principal: PrincipalBody<'a>,
    database: &'a str,
    message: &'static str,
    text: &'a str,
    fingerprint: &'a str,
    command: &'a str,
    #[serde(serialize_with = "actions")]
    actions: &'a [Action],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relations: Vec<RelationBody<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    functions: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    opaque: &'a [String],
    #[serde(skip_serializing_if = "is_zero")]
    parameters: u32,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<AnswerBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    released_by: Option<&'a str>,
    revision: u64,
}

// serde hands the field over by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn actions<S: Serializer>(actions: &[Action], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(actions.iter().map(|action| action.as_str()))
}

impl<'a> IntentBody<'a> {
    fn of(intent: &'a Intent) -> IntentBody<'a> {
        let (decision, policy, reason) = match &intent.decision {
            DecisionMade::Permitted => ("permitted", None, None),
            DecisionMade::Denied { policy, reason } => {
                ("denied", policy.as_deref(), Some(reason.as_str()))
            }
            DecisionMade::Held { reason } => ("held", None, Some(reason.as_str())),
        };
        IntentBody {
            event: intent.id,
            session: intent.session,
            principal: PrincipalBody::of(&intent.principal),
            database: &intent.database.name,
            message: intent.message,
            text: &intent.text,
            fingerprint: &intent.fingerprint,
            command: &intent.command,
            actions: &intent.actions,
            relations: relations(intent),
            functions: &intent.functions,
            opaque: &intent.opaque,
            parameters: intent.parameters,
            decision,
            policy,
            reason,
            answers: answers(intent),
            released_by: intent.released_by.as_deref(),
            revision: intent.revision,
        }
    }
}

fn relations(intent: &Intent) -> Vec<RelationBody<'_>> {
    intent
        .relations
        .iter()
        .map(|relation| RelationBody {
            name: &relation.name,
            access: relation.access.as_str(),
            columns: &relation.columns,
            labels: &relation.labels,
        })
        .collect()
}

fn answers(intent: &Intent) -> Vec<AnswerBody<'_>> {
    intent
        .answers
        .iter()
        .map(|answer| AnswerBody {
            policy: &answer.policy,
            mode: answer.mode.as_str(),
            answer: &answer.answer,
            tags: &answer.tags,
        })
        .collect()
}

#[derive(Serialize)]
struct OutcomeBody<'a> {
    #[serde(serialize_with = "display")]
    event: EventId,
    session: u64,
    ending: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'a str>,
    rows: u64,
    bytes: u64,
    cells_masked: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    labels_masked: &'a [String],
    duration_us: u64,
    revision: u64,
}

impl<'a> OutcomeBody<'a> {
    fn of(outcome: &'a Outcome) -> OutcomeBody<'a> {
        let (ending, tag, sqlstate) = match &outcome.ending {
            Ending::Completed { tag } => ("completed", Some(tag.as_str()), None),
            Ending::Failed { sqlstate } => ("failed", None, Some(sqlstate.as_str())),
            Ending::Suspended => ("suspended", None, None),
            Ending::Skipped => ("skipped", None, None),
            Ending::Refused => ("refused", None, None),
            Ending::Released => ("released", None, None),
            Ending::Lost => ("lost", None, None),
        };
        OutcomeBody {
            event: outcome.id,
            session: outcome.session,
            ending,
            tag,
            sqlstate,
            rows: outcome.rows,
            bytes: outcome.bytes,
            cells_masked: outcome.cells_masked,
            labels_masked: &outcome.labels_masked,
            duration_us: outcome.duration_us,
            revision: outcome.revision,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum NotableBody<'a> {
    Started {
        version: &'a str,
    },
    Stopped {},
    Login {
        session: u64,
        principal: PrincipalBody<'a>,
        database: &'a str,
    },
    LoginRefused {
        role: &'a str,
        client_address: &'a str,
        reason: &'a str,
    },
    Logout {
        session: u64,
        statements: u64,
    },
    PolicySet {
        revision: u64,
        changes: &'a [String],
        failures: &'a [String],
    },
    Fault {
        policy: &'a str,
        fault: &'a str,
        message: &'a str,
    },
    Approval(StepBody<'a>),
    SessionEnded {
        session: u64,
        reason: &'a str,
    },
    Administered {
        by: ActorBody<'a>,
        action: &'a str,
        target: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refused: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct ActorBody<'a> {
    subject: &'a str,
    proof: &'a str,
    address: &'a str,
}

impl<'a> ActorBody<'a> {
    fn of(actor: &'a Actor) -> ActorBody<'a> {
        ActorBody { subject: &actor.subject, proof: &actor.proof, address: &actor.address }
    }
}

/// One step of an approval; the fields that a step does not have are left out.
#[derive(Default, Serialize)]
struct StepBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<&'a str>,
    step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<ActorBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    lease_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    approvers: &'a [String],
    #[serde(skip_serializing_if = "is_zero")]
    approvals_needed: u32,
    #[serde(skip_serializing_if = "is_zero")]
    expires_in_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

impl<'a> StepBody<'a> {
    fn of(step: &'a ApprovalStep) -> StepBody<'a> {
        match step {
            ApprovalStep::Asked {
                approval,
                event,
                session,
                reason,
                approvers,
                approvals_needed,
                expires_in_seconds,
            } => StepBody {
                approval: Some(approval),
                step: "asked",
                event: Some(event.to_string()),
                session: Some(*session),
                reason: Some(reason),
                approvers,
                approvals_needed: *approvals_needed,
                expires_in_seconds: *expires_in_seconds,
                ..StepBody::default()
            },
            ApprovalStep::Shown { approval, to } => StepBody {
                approval: Some(approval),
                step: "shown",
                by: Some(ActorBody::of(to)),
                ..StepBody::default()
            },
            ApprovalStep::Granted { approval, by, comment, lease_seconds } => StepBody {
                approval: Some(approval),
                step: "granted",
                by: Some(ActorBody::of(by)),
                comment: comment.as_deref(),
                lease_seconds: *lease_seconds,
                ..StepBody::default()
            },
            ApprovalStep::Refused { approval, by, comment } => StepBody {
                approval: Some(approval),
                step: "refused",
                by: Some(ActorBody::of(by)),
                comment: comment.as_deref(),
                ..StepBody::default()
            },
            ApprovalStep::Ended { approval, state, reason } => StepBody {
                approval: Some(approval),
                step: "ended",
                state: Some(state),
                reason: Some(reason),
                ..StepBody::default()
            },
            ApprovalStep::LeaseRevoked { lease, by } => StepBody {
                lease: Some(lease),
                step: "lease-revoked",
                by: Some(ActorBody::of(by)),
                ..StepBody::default()
            },
        }
    }
}

fn notable_body(notable: &Notable) -> (&'static str, NotableBody<'_>) {
    match notable {
        Notable::Started { version } => ("started", NotableBody::Started { version }),
        Notable::Stopped => ("stopped", NotableBody::Stopped {}),
        Notable::Login { session, principal, database } => {
            let principal = PrincipalBody::of(principal);
            ("login", NotableBody::Login { session: *session, principal, database: &database.name })
        }
        Notable::LoginRefused { role, client_address, reason } => {
            ("login-refused", NotableBody::LoginRefused { role, client_address, reason })
        }
        Notable::Logout { session, statements } => {
            ("logout", NotableBody::Logout { session: *session, statements: *statements })
        }
        Notable::PolicySet { revision, changes, failures } => {
            ("policy-set", NotableBody::PolicySet { revision: *revision, changes, failures })
        }
        Notable::Fault { policy, kind, message } => {
            ("fault", NotableBody::Fault { policy, fault: kind, message })
        }
        Notable::Approval(step) => ("approval", NotableBody::Approval(StepBody::of(step))),
        Notable::SessionEnded { session, reason } => {
            ("session-ended", NotableBody::SessionEnded { session: *session, reason })
        }
        Notable::Administered { by, action, target, refused } => {
            let (by, refused) = (ActorBody::of(by), refused.as_deref());
            ("administered", NotableBody::Administered { by, action, target, refused })
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum NoteBody<'a> {
    Recovered { segment: u64, bytes_removed: u64 },
    Resumed { since: &'a str, error: &'a str, first_seq: u64, last_seq: u64, unwritten: u64 },
    Unsynced { first_seq: u64, last_seq: u64, error: &'a str },
}

fn note_body<'a>(note: &Note<'a>) -> (&'static str, NoteBody<'a>) {
    match *note {
        Note::Recovered { segment, bytes_removed } => {
            ("ledger-recovered", NoteBody::Recovered { segment, bytes_removed })
        }
        Note::Resumed { since, error, first_seq, last_seq, unwritten } => {
            ("ledger-resumed", NoteBody::Resumed { since, error, first_seq, last_seq, unwritten })
        }
        Note::Unsynced { first_seq, last_seq, error } => {
            ("ledger-unsynced", NoteBody::Unsynced { first_seq, last_seq, error })
        }
    }
}
