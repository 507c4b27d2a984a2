//! The decision: many verdicts in, one ruling out, and the only maker of `Permitted`.

use crate::set::{Coverage, Mode, PolicyName, VerdictAnswer};
use crate::verdict::{Approval, Decision, Denial};

/// Proof that a request was judged and may reach the server. Only [`judge`] makes one, and
/// the release of what it held; whatever writes to the upstream takes nothing else.
#[derive(Debug)]
pub struct Permitted<T> {
    request: T,
    /// The smallest row limit any enforcing guardrail asked for.
    pub limit_rows: Option<u32>,
}

impl<T> Permitted<T> {
    /// What was judged.
    pub fn request(&self) -> &T {
        &self.request
    }

    /// Gives the request back, for the one who forwards it.
    pub fn into_request(self) -> T {
        self.request
    }
}

/// A request that must not reach the server, and why.
#[derive(Debug)]
pub struct Denied<T> {
    pub request: T,
    pub denial: Denial,
    /// The policy that denied; `None` where no policy matched.
    pub policy: Option<PolicyName>,
    /// True when the policy did not answer, and silence denied.
    pub fault: bool,
}

/// A request that waits for people.
#[derive(Debug)]
pub struct Held<T> {
    pub request: T,
    /// Every approval asked for is needed.
    pub approvals: Vec<(PolicyName, Approval)>,
    /// As in [`Permitted`], once it is.
    pub limit_rows: Option<u32>,
}

impl<T> Held<T> {
    /// For a message that runs nothing, as Parse does: what it prepares is held when it is
    /// bound.
    pub fn prepare(self) -> Permitted<T> {
        released(self)
    }
}

/// For [`crate::approval`], which has the proof that it may be.
pub(crate) fn released<T>(held: Held<T>) -> Permitted<T> {
    Permitted { request: held.request, limit_rows: held.limit_rows }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Ruling<T> {
    Permitted(Permitted<T>),
    Denied(Denied<T>),
    Held(Held<T>),
}

/// What becomes of a statement that no enforcing guardrail and masker matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    Deny,
    Allow,
}

/// Combines the verdicts on all statements of `request` to the strictest: deny over approval
/// over allow; the smallest row limit counts; a fault in an enforcing guardrail denies; and
/// where `coverage` is incomplete, so does the absence of a policy, unless `unmatched` says
/// otherwise. Observed verdicts have no effect.
pub fn judge<'v, T>(
    request: T,
    verdicts: impl IntoIterator<Item = &'v VerdictAnswer>,
    coverage: Coverage,
    unmatched: Unmatched,
) -> Ruling<T> {
    let mut approvals: Vec<(PolicyName, Approval)> = Vec::new();
    let mut limit_rows: Option<u32> = None;
    for answer in verdicts {
        if answer.mode == Mode::Observe {
            continue;
        }
        let verdict = match &answer.answer {
            Ok(verdict) => verdict,
            Err(fault) => {
                let denial = Denial {
                    reason: format!(
                        "policy {} failed to answer ({})",
                        answer.policy,
                        fault.kind.as_str()
                    ),
                    hint: Some("Nothing is wrong with your statement. Tell whoever runs the policy; its log has the cause.".to_owned()),
                };
                let policy = Some(answer.policy.clone());
                return Ruling::Denied(Denied { request, denial, policy, fault: true });
            }
        };
        match &verdict.decision {
            Decision::Allow => {}
            Decision::Deny(denial) => {
                let (denial, policy) = (denial.clone(), Some(answer.policy.clone()));
                return Ruling::Denied(Denied { request, denial, policy, fault: false });
            }
            Decision::RequireApproval(approval) => {
                approvals.push((answer.policy.clone(), approval.clone()));
            }
        }
        limit_rows = match (limit_rows, verdict.limit_rows) {
            (Some(standing), Some(new)) => Some(standing.min(new)),
            (standing, new) => standing.or(new),
        };
    }
    if unmatched == Unmatched::Deny && !(coverage.guardrail && coverage.masker) {
        let missing = if coverage.guardrail { "masker" } else { "guardrail" };
        let denial = Denial {
            reason: format!("no enforcing {missing} is in force for you on this database"),
            hint: Some(
                "The operator adds a policy that matches, or sets unmatched = \"allow\" for this database."
                    .to_owned(),
            ),
        };
        return Ruling::Denied(Denied { request, denial, policy: None, fault: false });
    }
    if approvals.is_empty() {
        Ruling::Permitted(Permitted { request, limit_rows })
    } else {
        Ruling::Held(Held { request, approvals, limit_rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::{Fault, FaultKind};
    use crate::verdict::Verdict;

    const COVERED: Coverage = Coverage { guardrail: true, masker: true };

    fn answer(mode: Mode, answer: Result<Verdict, Fault>) -> VerdictAnswer {
        VerdictAnswer { policy: "10-test".into(), mode, answer }
    }

    fn approval() -> Verdict {
        let approval = Approval {
            reason: "risky".into(),
            approvers: vec!["dba".into()],
            approvals_needed: 1,
            expires_in_seconds: 60,
        };
        Verdict { decision: Decision::RequireApproval(approval), ..Verdict::allow() }
    }

    fn limit(rows: u32) -> Verdict {
        Verdict { limit_rows: Some(rows), ..Verdict::allow() }
    }

    fn fault() -> Fault {
        Fault { kind: FaultKind::Trap, message: "unreachable".into() }
    }

    fn outcome(verdicts: &[VerdictAnswer], coverage: Coverage, unmatched: Unmatched) -> String {
        match judge((), verdicts, coverage, unmatched) {
            Ruling::Permitted(permitted) => match permitted.limit_rows {
                Some(rows) => format!("permitted, {rows} rows"),
                None => "permitted".into(),
            },
            Ruling::Denied(denied) if denied.fault => "denied by fault".into(),
            Ruling::Denied(denied) => format!("denied: {}", denied.denial.reason),
            Ruling::Held(held) => format!("held for {}", held.approvals.len()),
        }
    }

    fn check(verdicts: &[VerdictAnswer], expected: &str) {
        assert_eq!(outcome(verdicts, COVERED, Unmatched::Deny), expected);
    }

    #[test]
    fn verdicts_combine_to_the_strictest() {
        use Mode::{Enforce, Observe};
        let allow = || answer(Enforce, Ok(Verdict::allow()));
        let deny = || answer(Enforce, Ok(Verdict::deny("no")));
        let hold = || answer(Enforce, Ok(approval()));
        check(&[allow()], "permitted");
        check(&[allow(), deny()], "denied: no");
        check(&[hold(), deny()], "denied: no");
        check(&[hold(), allow(), hold()], "held for 2");
        check(&[answer(Enforce, Ok(limit(9))), answer(Enforce, Ok(limit(5)))], "permitted, 5 rows");
        check(&[allow(), answer(Enforce, Err(fault()))], "denied by fault");
        check(&[allow(), answer(Observe, Err(fault()))], "permitted");
        check(&[allow(), answer(Observe, Ok(Verdict::deny("no")))], "permitted");
        check(&[allow(), answer(Observe, Ok(limit(1)))], "permitted");
    }

    #[test]
    fn what_nothing_matches_is_refused_unless_the_database_says_otherwise() {
        let bare = Coverage::default();
        let half = Coverage { guardrail: true, masker: false };
        assert!(outcome(&[], bare, Unmatched::Deny).contains("no enforcing guardrail"));
        assert!(outcome(&[], half, Unmatched::Deny).contains("no enforcing masker"));
        assert_eq!(outcome(&[], bare, Unmatched::Allow), "permitted");
        let deny = answer(Mode::Enforce, Ok(Verdict::deny("no")));
        assert_eq!(outcome(&[deny], half, Unmatched::Allow), "denied: no");
    }
}
