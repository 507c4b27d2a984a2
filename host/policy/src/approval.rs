//! Approvals: who may release a held statement, and when it is released.
//!
//! A [`Case`] is one held message on its way to an end. Only a case that enough approvers
//! granted gives a [`Grant`], and only a grant or a [`Lease`] turns [`Held`] into
//! [`Permitted`]. Times are seconds since the Unix epoch, handed in.

use crate::judge::{Held, Permitted, released};
use crate::name::PolicyName;
use crate::principal::{Asker, Principal, PrincipalKind};
use crate::verdict::{Approval, Terms};

/// One approval asked for, and by which policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub policy: PolicyName,
    pub approval: Approval,
    pub terms: Terms,
}

impl Need {
    /// May `approver` help to meet it, when `asker` asks?
    fn accepts(&self, asker: &Principal, approver: &Principal) -> Result<(), Ineligible> {
        if approver.kind != PrincipalKind::Human || approver.on_behalf_of.is_some() {
            return Err(Ineligible::NotHuman);
        }
        if approver.subject == asker.subject {
            return Err(Ineligible::OwnStatement);
        }
        let acts_for = asker.on_behalf_of.as_deref() == Some(approver.subject.as_str());
        if acts_for && !self.terms.acted_for_may_release {
            return Err(Ineligible::ActedFor);
        }
        let is_member = approver.groups.iter().any(|group| self.approval.approvers.contains(group));
        if is_member { Ok(()) } else { Err(Ineligible::NotApprover) }
    }

    /// Does meeting this one meet `other` too? Not if that asks for more, or for others.
    fn covers(&self, policy: &PolicyName, other: &Approval) -> bool {
        self.policy == *policy
            && self.approval.approvals_needed >= other.approvals_needed
            && self.approval.approvers.iter().all(|group| other.approvers.contains(group))
    }
}

/// Why somebody may not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ineligible {
    /// Only people release statements.
    NotHuman,
    OwnStatement,
    /// The asker is an agent of the approver.
    ActedFor,
    /// In none of the groups that may release it.
    NotApprover,
    VotedAlready,
    /// It is decided, expired or withdrawn.
    Over,
    /// A lease was asked for that no policy, or not every one, allows for so long.
    NoLease,
}

impl std::fmt::Display for Ineligible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ineligible::NotHuman => "only people release statements",
            Ineligible::OwnStatement => "nobody releases their own statement",
            Ineligible::ActedFor => "the agent acts for you, so another must release it",
            Ineligible::NotApprover => "you are in none of the groups that may release it",
            Ineligible::VotedAlready => "you have granted it already; others must too",
            Ineligible::Over => "it is over: nothing waits for a decision",
            Ineligible::NoLease => "the policy does not allow a lease of that length",
        })
    }
}

impl std::error::Error for Ineligible {}

/// What is held: whose message, and which exactly.
#[derive(Clone, Debug)]
pub struct Question {
    pub asker: Asker,
    pub session: u64,
    /// Digest of the message: its text and, once bound, its parameters.
    pub content: [u8; 32],
    /// Shapes of its statements, by fingerprint.
    pub fingerprints: Vec<String>,
    pub needs: Vec<Need>,
}

/// One approver's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub by: String,
    pub proof: String,
    pub comment: Option<String>,
    pub at: u64,
    lease_seconds: u32,
    /// Which needs it counts for.
    counts_for: Vec<usize>,
}

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    Pending,
    Granted,
    Refused,
    Expired,
    Withdrawn,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Pending => "pending",
            Standing::Granted => "granted",
            Standing::Refused => "refused",
            Standing::Expired => "expired",
            Standing::Withdrawn => "withdrawn",
        }
    }
}

/// A held message on its way to an end.
#[derive(Clone, Debug)]
pub struct Case {
    /// What people call it: short, and no secret.
    pub id: String,
    pub question: Question,
    pub asked_at: u64,
    pub expires_at: u64,
    votes: Vec<Vote>,
    standing: Standing,
    /// Why it ended, where that is more than its standing says.
    ended_because: Option<String>,
}

impl Case {
    pub fn new(id: String, question: Question, asked_at: u64, expires_at: u64) -> Case {
        Case {
            id,
            question,
            asked_at,
            expires_at,
            votes: Vec::new(),
            standing: Standing::Pending,
            ended_because: None,
        }
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    pub fn votes(&self) -> &[Vote] {
        &self.votes
    }

    pub fn ended_because(&self) -> Option<&str> {
        self.ended_because.as_deref()
    }

    /// Counts one approver's grant; the standing says whether that was enough.
    pub fn grant(
        &mut self,
        approver: &Principal,
        comment: Option<String>,
        lease_seconds: u32,
        now: u64,
    ) -> Result<Standing, Ineligible> {
        self.expire(now);
        let counts_for = self.counts_for(approver)?;
        if self.votes.iter().any(|vote| vote.by == approver.subject) {
            return Err(Ineligible::VotedAlready);
        }
        if lease_seconds > self.lease_seconds_max() {
            return Err(Ineligible::NoLease);
        }
        self.votes.push(Vote {
            by: approver.subject.clone(),
            proof: approver.proof.clone(),
            comment,
            at: now,
            lease_seconds,
            counts_for,
        });
        if (0..self.question.needs.len()).all(|need| self.is_met(need)) {
            self.standing = Standing::Granted;
        }
        Ok(self.standing)
    }

    /// One refusal by somebody who could have granted it ends it.
    pub fn refuse(
        &mut self,
        approver: &Principal,
        comment: Option<String>,
        now: u64,
    ) -> Result<(), Ineligible> {
        self.expire(now);
        self.counts_for(approver)?;
        self.standing = Standing::Refused;
        self.ended_because = Some(match comment {
            Some(comment) => format!("refused by {}: {comment}", approver.subject),
            None => format!("refused by {}", approver.subject),
        });
        Ok(())
    }

    /// Its time is over, if it is; true when that is news.
    pub fn expire(&mut self, now: u64) -> bool {
        let expires = self.standing == Standing::Pending && now >= self.expires_at;
        if expires {
            self.standing = Standing::Expired;
        }
        expires
    }

    /// Whoever asked does not wait any more; true when that is news.
    pub fn withdraw(&mut self, reason: &str) -> bool {
        let pending = self.standing == Standing::Pending;
        if pending {
            self.standing = Standing::Withdrawn;
            self.ended_because = Some(reason.to_owned());
        }
        pending
    }

    /// The longest lease that every need allows. A lease is for one shape: a message of
    /// several statements has none.
    pub fn lease_seconds_max(&self) -> u32 {
        let longest = self.question.needs.iter().map(|need| need.terms.lease_seconds_max).min();
        if self.question.fingerprints.len() == 1 { longest.unwrap_or_default() } else { 0 }
    }

    /// The proof that it was granted.
    pub fn granted(&self) -> Option<Grant> {
        (self.standing == Standing::Granted).then(|| Grant {
            case: self.id.clone(),
            session: self.question.session,
            content: self.question.content,
            needs: self.question.needs.clone(),
        })
    }

    /// The lease that all who granted it gave, beginning `now`.
    pub fn lease(&self, now: u64) -> Option<Lease> {
        let granted = self.standing == Standing::Granted;
        let seconds = self.votes.iter().map(|vote| vote.lease_seconds).min().unwrap_or_default();
        let fingerprint = self.question.fingerprints.first()?.clone();
        (granted && seconds > 0).then(|| Lease {
            id: self.id.clone(),
            subject: self.question.asker.principal.subject.clone(),
            database: self.question.asker.database.name.clone(),
            fingerprint,
            until: now.saturating_add(u64::from(seconds)),
            granted_by: self.votes.iter().map(|vote| vote.by.clone()).collect(),
            needs: self.question.needs.clone(),
        })
    }

    fn counts_for(&self, approver: &Principal) -> Result<Vec<usize>, Ineligible> {
        if self.standing != Standing::Pending {
            return Err(Ineligible::Over);
        }
        let asker = &self.question.asker.principal;
        let mut counts_for = Vec::new();
        let mut objection = Ineligible::NotApprover;
        for (index, need) in self.question.needs.iter().enumerate() {
            match need.accepts(asker, approver) {
                Ok(()) => counts_for.push(index),
                Err(why) => objection = why,
            }
        }
        if counts_for.is_empty() { Err(objection) } else { Ok(counts_for) }
    }

    fn is_met(&self, need: usize) -> bool {
        let given = self.votes.iter().filter(|vote| vote.counts_for.contains(&need)).count();
        let needed = self.question.needs.get(need).map_or(1, |need| need.approval.approvals_needed);
        given >= usize::try_from(needed.max(1)).unwrap_or(usize::MAX)
    }
}

/// Proof that people released one message of one session. Only a granted [`Case`] gives it.
#[derive(Debug)]
pub struct Grant {
    case: String,
    session: u64,
    content: [u8; 32],
    needs: Vec<Need>,
}

impl Grant {
    /// The case it came of.
    pub fn case(&self) -> &str {
        &self.case
    }
}

/// A standing release of one shape for one principal in one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// That of the case it came of.
    pub id: String,
    pub subject: String,
    pub database: String,
    pub fingerprint: String,
    pub until: u64,
    pub granted_by: Vec<String>,
    pub needs: Vec<Need>,
}

impl<T> Held<T> {
    /// Releases the message that the grant was given for: the same content, in the same
    /// session, when no policy asks for more than was granted. Else it stays held.
    pub fn release(
        self,
        grant: &Grant,
        session: u64,
        content: &[u8; 32],
    ) -> Result<Permitted<T>, Held<T>> {
        let same = grant.session == session && grant.content == *content;
        if same && self.is_covered(&grant.needs) { Ok(released(self)) } else { Err(self) }
    }

    /// Releases a message of one statement under a lease.
    pub fn release_under(
        self,
        lease: &Lease,
        asker: &Asker,
        fingerprint: &str,
        now: u64,
    ) -> Result<Permitted<T>, Held<T>> {
        let same = lease.subject == asker.principal.subject
            && lease.database == asker.database.name
            && lease.fingerprint == fingerprint
            && now < lease.until;
        if same && self.is_covered(&lease.needs) { Ok(released(self)) } else { Err(self) }
    }

    fn is_covered(&self, needs: &[Need]) -> bool {
        let covered = |(policy, approval): &(PolicyName, Approval)| {
            needs.iter().any(|need| need.covers(policy, approval))
        };
        self.approvals.iter().all(covered)
    }
}

#[cfg(test)]
mod tests;
