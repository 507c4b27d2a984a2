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
    /// It needs approval, and nobody can be asked.
    NobodyToAsk {
        reason: String,
        why: String,
        event: EventId,
    },
    /// People refused it.
    ApprovalRefused {
        approval: String,
        reason: String,
    },
    ApprovalExpired {
        approval: String,
    },
    ApprovalWithdrawn {
        approval: String,
        reason: String,
    },
    /// The client cancelled it.
    Cancelled,
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
    /// It would run in a transaction that has failed.
    TransactionFailed,
    /// It was prepared while strings or letters were read otherwise.
    ReadOtherwise,
    /// The text cannot be read.
    Encoding(String),
    Malformed(Malformed),
    TooLarge(String),
    TooManyConnections,
    Upstream(String),
    /// The database went without a word.
    UpstreamLost,
    /// What a statement touches could not be looked up or looked at.
    Unexplained(String),
    Ledger,
    LoginFailed {
        user: String,
    },
    NotPermitted(String),
    /// No rule says how this user may log in here.
    NoMethod {
        user: String,
    },
    /// Whoever vouches for tokens cannot be asked.
    IssuerUnavailable,
    /// As many logins as may wait for a browser do.
    TooManyWaiting,
    /// Nobody confirmed the login in time.
    NotConfirmed,
    /// Somebody ended the session, or what it rested on ended.
    Ended(String),
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
            Refusal::NobodyToAsk { reason, why, event } => Report {
                sqlstate: "42501",
                message: format!("{reason} (it needs approval, and {why})"),
                detail: Some(detail(None, *event)),
                hint: Some("Ask the operator to run this for you, or try again later.".into()),
            },
            Refusal::ApprovalRefused { approval, reason } => Report {
                sqlstate: "42501",
                message: "the statement was not released".to_owned(),
                detail: Some(format!("approval {approval}: {reason}")),
                hint: Some("Ask who refused it; a changed statement is asked for anew.".into()),
            },
            Refusal::ApprovalExpired { approval } => Report {
                sqlstate: "57014",
                message: "nobody released the statement in time".to_owned(),
                detail: Some(format!("approval {approval}: expired")),
                hint: Some("Run it again when somebody who may release it is there.".into()),
            },
            Refusal::ApprovalWithdrawn { approval, reason } => Report {
                sqlstate: "57014",
                message: "the statement's approval was withdrawn".to_owned(),
                detail: Some(format!("approval {approval}: {reason}")),
                hint: None,
            },
            // As PostgreSQL says it.
            Refusal::Cancelled => {
                report("57014", "canceling statement due to user request".into(), None)
            }
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
            Refusal::ReadOtherwise => report(
                "55000",
                "the statement was prepared under another standard_conforming_strings or \
                 client_encoding"
                    .to_owned(),
                Some("Prepare it again."),
            ),
            Refusal::TransactionFailed => report(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block"
                    .into(),
                None,
            ),
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
            Refusal::UpstreamLost => report(
                "08006",
                "the database ended the connection".into(),
                Some("What was running may have run or not. Connect again."),
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
            Refusal::NoMethod { user } => report(
                "28000",
                format!("user \"{user}\" may not log in to this database from here"),
                Some("The operator's [[login]] rules say who may, from where and how."),
            ),
            Refusal::IssuerUnavailable => report(
                "28000",
                "the identity provider cannot be reached, so nobody new is let in".into(),
                Some("Try again; the operator's log says more."),
            ),
            Refusal::TooManyWaiting => report(
                "53300",
                "too many logins wait for a browser".into(),
                Some("Try again in a moment."),
            ),
            Refusal::NotConfirmed => report(
                "28000",
                "nobody confirmed the login in time".into(),
                Some("Connect again and open the address that is shown."),
            ),
            Refusal::Ended(reason) => {
                // Whether another may begin depends on the reason.
                report("57P01", format!("the session was ended: {reason}"), None)
            }
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
