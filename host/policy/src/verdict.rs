//! What one guardrail answers.

/// Why a statement may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: String,
    pub hint: Option<String>,
}

/// What must happen before a statement may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub reason: String,
    /// Groups whose members may release the statement.
    pub approvers: Vec<String>,
    pub approvals_needed: u32,
    pub expires_in_seconds: u32,
}

/// What a policy's file allows those who release what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Terms {
    /// The longest lease an approver may give; 0 for none.
    pub lease_seconds_max: u32,
    /// May the human for whom an agent acts release what the agent asks?
    pub acted_for_may_release: bool,
}

/// Allow, deny or hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(Denial),
    RequireApproval(Approval),
}

impl Decision {
    pub fn as_str(&self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Deny(_) => "deny",
            Decision::RequireApproval(_) => "require-approval",
        }
    }
}

/// What one guardrail answers about one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub decision: Decision,
    /// Reads only: the row after this many ends the statement with an error.
    pub limit_rows: Option<u32>,
    /// Shown to the client as a NOTICE.
    pub notice: Option<String>,
    /// Kept in the ledger beside the decision.
    pub tags: Vec<String>,
}

impl Verdict {
    pub fn allow() -> Verdict {
        Verdict { decision: Decision::Allow, limit_rows: None, notice: None, tags: Vec::new() }
    }

    pub fn deny(reason: impl Into<String>) -> Verdict {
        let denial = Denial { reason: reason.into(), hint: None };
        Verdict { decision: Decision::Deny(denial), ..Verdict::allow() }
    }
}
