//! What a guardrail answers.

pub use crate::bindings::guardrail::exports::portcullis::policy::guardrail::{
    Approval, Decision, Denial, Verdict,
};

impl Verdict {
    /// Lets the statement through.
    pub fn allow() -> Verdict {
        Verdict::from(Decision::Allow)
    }

    /// Refuses the statement. `reason` is the message of the client's error.
    pub fn deny(reason: impl Into<String>) -> Verdict {
        Verdict::from(Decision::Deny(Denial { reason: reason.into(), hint: None }))
    }

    /// Holds the statement until people have agreed: one member of [`Verdict::approvers`],
    /// within an hour, unless said otherwise.
    pub fn require_approval(reason: impl Into<String>) -> Verdict {
        Verdict::from(Decision::RequireApproval(Approval {
            reason: reason.into(),
            approvers: Vec::new(),
            approvals_needed: 1,
            expires_in_seconds: 3600,
        }))
    }

    /// Says what to do instead; the HINT of a denial's error. No effect on other decisions.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Verdict {
        if let Decision::Deny(denial) = &mut self.decision {
            denial.hint = Some(hint.into());
        }
        self
    }

    /// The groups whose members may release a held statement.
    #[must_use]
    pub fn approvers(self, groups: &[impl AsRef<str>]) -> Verdict {
        self.approval(|approval| {
            approval.approvers = groups.iter().map(|group| group.as_ref().to_owned()).collect();
        })
    }

    /// How many of them must agree.
    #[must_use]
    pub fn approvals_needed(self, count: u32) -> Verdict {
        self.approval(|approval| approval.approvals_needed = count)
    }

    /// How long the statement waits for them.
    #[must_use]
    pub fn expires_in_seconds(self, seconds: u32) -> Verdict {
        self.approval(|approval| approval.expires_in_seconds = seconds)
    }

    /// Ends a read with an error at the row after this many.
    #[must_use]
    pub fn limit_rows(mut self, rows: u32) -> Verdict {
        self.limit_rows = Some(rows);
        self
    }

    /// Shows the client a NOTICE.
    #[must_use]
    pub fn notice(mut self, notice: impl Into<String>) -> Verdict {
        self.notice = Some(notice.into());
        self
    }

    /// Adds a word to the ledger's record of the decision.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Verdict {
        self.tags.push(tag.into());
        self
    }

    fn approval(mut self, change: impl FnOnce(&mut Approval)) -> Verdict {
        if let Decision::RequireApproval(approval) = &mut self.decision {
            change(approval);
        }
        self
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Verdict {
        Verdict { decision, limit_rows: None, notice: None, tags: Vec::new() }
    }
}

/// "allow", "deny: reason" or "approval: reason", as tables of tests want it.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.decision {
            Decision::Allow => f.write_str("allow"),
            Decision::Deny(denial) => write!(f, "deny: {}", denial.reason),
            Decision::RequireApproval(approval) => write!(f, "approval: {}", approval.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_reach_the_decision_they_are_for() {
        let denied = Verdict::deny("no").hint("ask").approvals_needed(9).tag("t");
        assert_eq!(denied.to_string(), "deny: no");
        let Decision::Deny(denial) = denied.decision else { panic!("a denial") };
        assert_eq!(denial.hint.as_deref(), Some("ask"));

        let held = Verdict::require_approval("risky").approvers(&["dba"]).approvals_needed(2);
        let Decision::RequireApproval(approval) = held.decision else { panic!("an approval") };
        assert_eq!(approval.approvers, ["dba"]);
        assert_eq!((approval.approvals_needed, approval.expires_in_seconds), (2, 3600));

        let limited = Verdict::allow().limit_rows(5).notice("five").hint("ignored");
        assert_eq!((limited.limit_rows, limited.decision), (Some(5), Decision::Allow));
    }
}
