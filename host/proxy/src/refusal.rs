//! What a client is told when the proxy itself refuses: one mapping to SQLSTATE.

use portcullis_policy::event::EventId;
use portcullis_policy::{Denial, PolicyName};
use portcullis_wire::Malformed;
use portcullis_wire::encode::Report;

/// Why the proxy refuses.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// A guardrail, or the absence of one.
    Denied {
        denial: Denial,
        policy: Option<PolicyName>,
        event: EventId,
    },
    /// Held, and nobody can release it.
    Held {
        reason: String,
        policy: PolicyName,
        event: EventId,
    },
    /// A row limit was reached.
    RowLimit {
        rows: u32,
    },
    /// The result's masks cannot be applied.
    Unmaskable {
        why: String,
    },
    /// A message or a feature that is not spoken here.
    Unsupported(String),
    /// A prepared statement or portal that this session did not define in sight of the proxy.
    UnknownName {
        sqlstate: &'static str,
        what: String,
    },
    /// The text cannot be read.
    Encoding(String),
    Malformed(Malformed),
    TooLarge(String),
    TooManyConnections,
    Upstream(String),
    /// What a statement touches could not be looked up or looked at.
    Unexplained(String),
    Ledger,
    LoginFailed {
        user: String,
    },
    NotPermitted(String),
    Shutdown,
    StartupTooSlow,
}

impl Refusal {
    /// The error as the client sees it.
    pub fn report(&self) -> Report {
        let report = |sqlstate, message: String, hint: Option<&str>| Report {
            sqlstate,
            message,
            detail: None,
            hint: hint.map(str::to_owned),
        };
        match self {
            Refusal::Denied { denial, policy, event } => Report {
                sqlstate: "42501",
                message: denial.reason.clone(),
                detail: Some(detail(policy.as_ref(), *event)),
                hint: denial.hint.clone(),
            },
            Refusal::Held { reason, policy, event } => Report {
                sqlstate: "42501",
                message: format!("{reason} (approval is needed, and approval is not configured)"),
                detail: Some(detail(Some(policy), *event)),
                hint: Some(
                    "Ask the operator to run this for you, or to configure approval.".into(),
                ),
            },
            Refusal::RowLimit { rows } => report(
                "54000",
                format!("the result exceeds the limit of {rows} rows that a policy sets"),
                Some("Ask for fewer rows: add a LIMIT or a narrower WHERE clause."),
            ),
            Refusal::Unmaskable { why } => report(
                "42501",
                format!("the result has masked columns that cannot be masked here: {why}"),
                Some("Select the columns by name, without the masked ones, or use a plain SELECT."),
            ),
            Refusal::Unsupported(what) => report("0A000", what.clone(), None),
            Refusal::UnknownName { sqlstate, what } => report(sqlstate, what.clone(), None),
            Refusal::Encoding(what) => {
                report("22021", what.clone(), Some("Use client_encoding UTF8."))
            }
            Refusal::Malformed(malformed) => match malformed {
                Malformed::Oversized { .. } => report("54000", malformed.to_string(), None),
                Malformed::Form(_) | Malformed::Unexpected { .. } => {
                    report("08P01", malformed.to_string(), None)
                }
            },
            Refusal::TooLarge(what) => report("54000", what.clone(), None),
            Refusal::TooManyConnections => {
                report("53300", "too many connections to the proxy".into(), None)
            }
            Refusal::Upstream(why) => report(
                "08006",
                format!("the database cannot be reached: {why}"),
                Some("The proxy is up; its operator's log says more."),
            ),
            Refusal::Unexplained(why) => report(
                "42501",
                format!("the statement cannot be judged: {why}"),
                Some("Try again; if it stays, the operator's log says more."),
            ),
            Refusal::Ledger => report(
                "58030",
                "the audit ledger cannot be written, so nothing may run".into(),
                Some("The operator frees space or repairs the ledger's directory; then try again."),
            ),
            Refusal::LoginFailed { user } => {
                report("28P01", format!("authentication failed for user \"{user}\""), None)
            }
            Refusal::NotPermitted(what) => report("42501", what.clone(), None),
            Refusal::Shutdown => {
                report("57P01", "the proxy is shutting down".into(), Some("Connect again."))
            }
            Refusal::StartupTooSlow => report("08P01", "login took too long".into(), None),
        }
    }
}

fn detail(policy: Option<&PolicyName>, event: EventId) -> String {
    match policy {
        Some(policy) => format!("policy {policy}, event {event}"),
        None => format!("event {event}"),
    }
}
