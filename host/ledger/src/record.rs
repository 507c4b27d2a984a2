//! How an event becomes a line. The crate's documentation lists the fields.

use portcullis_policy::event::{Actor, ApprovalStep, Event, Notable};
use serde::Serialize;

use crate::head::{Head, Place};
use crate::statements::{INTENT, Intent, OUTCOME, PrincipalBody, write_intent, write_outcome};

/// Something the ledger has to say about itself.
#[derive(Debug)]
pub(crate) enum Note<'a> {
    Recovered { segment: u64, bytes_removed: u64 },
    Resumed { since: &'a str, error: &'a str, first_seq: u64, last_seq: u64, unwritten: u64 },
    Unsynced { first_seq: u64, last_seq: u64, error: &'a str },
}

/// Writes a stream's records, each as one line.
pub(crate) struct Writer {
    head: Head,
}

impl Writer {
    pub(crate) fn of(stream: &str) -> Writer {
        Writer { head: Head::of(stream) }
    }

    pub(crate) fn intent(&mut self, buffer: &mut Vec<u8>, place: Place, intent: &Intent<'_>) {
        self.head.begin(buffer, place, INTENT);
        write_intent(buffer, intent);
    }

    pub(crate) fn event(&mut self, buffer: &mut Vec<u8>, place: Place, event: &Event) {
        match event {
            Event::Outcome(outcome) => {
                self.head.begin(buffer, place, OUTCOME);
                write_outcome(buffer, outcome);
            }
            Event::Notable(notable) => {
                let (kind, body) = notable_body(notable);
                self.line(buffer, place, kind, &body);
            }
        }
    }

    /// A note of the ledger's own.
    pub(crate) fn note(&mut self, buffer: &mut Vec<u8>, place: Place, note: &Note<'_>) {
        let (kind, body) = note_body(note);
        self.line(buffer, place, kind, &body);
    }

    fn line(&mut self, buffer: &mut Vec<u8>, place: Place, kind: &str, body: &impl Serialize) {
        self.head.begin(buffer, place, b"\",\"kind\":\"");
        buffer.extend_from_slice(kind.as_bytes());
        buffer.push(b'"');
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
}

// serde hands the field over by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
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
