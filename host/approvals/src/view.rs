//! What is shown and kept of a case: plain data, and no power over anything.

use portcullis_policy::approval::{Case, Need, Standing};
use portcullis_policy::event::{EventId, RelationTouched};
use portcullis_policy::{Principal, PrincipalKind};

const TEXT_BYTES_MAX: usize = 32 * 1024;
const EARLIER_MAX: usize = 20;
const EARLIER_BYTES_MAX: usize = 1024;
const RELATIONS_MAX: usize = 50;
const COLUMNS_MAX: usize = 50;
/// Of a statement's text, in a list.
const LINE_BYTES_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 4 * 1024;

/// What an approver is told about a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The text with literals redacted.
    pub text: String,
    pub command: String,
    /// "query", "parse", "bind", "execute", "function-call".
    pub message: &'static str,
    pub relations: Vec<RelationTouched>,
    /// The plan's estimate, where asking for it was safe.
    pub rows_estimated: Option<u64>,
    /// The transaction's earlier statements, redacted.
    pub earlier: Vec<String>,
    pub in_transaction: bool,
    /// Why policies hold it.
    pub reason: String,
}

impl Facts {
    /// The same, cut to what is worth reading; what was cut ends in an ellipsis. Of earlier
    /// statements the latest stay.
    pub fn bounded(mut self) -> Facts {
        cut(&mut self.text, TEXT_BYTES_MAX);
        cut(&mut self.reason, REASON_BYTES_MAX);
        self.earlier.drain(..self.earlier.len().saturating_sub(EARLIER_MAX));
        self.earlier.iter_mut().for_each(|text| cut(text, EARLIER_BYTES_MAX));
        self.relations.truncate(RELATIONS_MAX);
        self.relations.iter_mut().for_each(|relation| relation.columns.truncate(COLUMNS_MAX));
        self
    }

    /// What fits a list. The rest is shown one by one, so that the ledger can say to whom.
    pub(crate) fn brief(mut self) -> Facts {
        cut(&mut self.text, LINE_BYTES_MAX);
        self.earlier.clear();
        self.relations.iter_mut().for_each(|relation| relation.columns.clear());
        self
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('\u{2026}');
    }
}

/// Who asks, as approvers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub subject: String,
    pub kind: PrincipalKind,
    pub groups: Vec<String>,
    pub proof: String,
    pub on_behalf_of: Option<String>,
    pub client_address: String,
    /// The client's own word, as is `role`.
    pub application: String,
    pub role: String,
}

impl Who {
    fn of(principal: &Principal) -> Who {
        Who {
            subject: principal.subject.clone(),
            kind: principal.kind,
            groups: principal.groups.clone(),
            proof: principal.proof.clone(),
            on_behalf_of: principal.on_behalf_of.clone(),
            client_address: principal.client_address.clone(),
            application: principal.application.clone(),
            role: principal.role.clone(),
        }
    }
}

/// What one approver said in favour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub by: String,
    pub proof: String,
    pub comment: Option<String>,
    /// Seconds since the Unix epoch.
    pub at: u64,
}

/// A case as it stands. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub id: String,
    pub standing: Standing,
    /// Why it ended, where that is more than its standing says.
    pub ended_because: Option<String>,
    pub who: Who,
    pub database: String,
    pub session: u64,
    /// The intent that was held.
    pub event: EventId,
    /// Of the policies that hold it.
    pub revision: u64,
    /// Digest of the message that a grant is for.
    pub content: [u8; 32],
    pub fingerprints: Vec<String>,
    pub facts: Facts,
    pub needs: Vec<Need>,
    pub granted_by: Vec<Said>,
    /// The longest lease that may come with a grant; 0 for none.
    pub lease_seconds_max: u32,
    pub asked_at: u64,
    pub expires_at: u64,
    pub ended_at: Option<u64>,
}

impl View {
    /// Groups whose members may help to release it, each once.
    pub fn approvers(&self) -> Vec<String> {
        approvers(&self.needs)
    }

    /// The most approvals that a policy asks for.
    pub fn approvals_needed(&self) -> u32 {
        approvals_needed(&self.needs)
    }
}

/// Groups that policies named, each once, in their order.
pub(crate) fn approvers(needs: &[Need]) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for group in needs.iter().flat_map(|need| &need.approval.approvers) {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    groups
}

/// The most approvals that a policy asks for; at least one.
pub(crate) fn approvals_needed(needs: &[Need]) -> u32 {
    needs.iter().map(|need| need.approval.approvals_needed).max().unwrap_or(1).max(1)
}

/// What belongs to a case and is no matter of deciding it.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub facts: Facts,
    pub event: EventId,
    pub revision: u64,
}

impl Attached {
    pub fn view(&self, case: &Case, ended_at: Option<u64>) -> View {
        let question = &case.question;
        let said = case.votes().iter().map(|vote| Said {
            by: vote.by.clone(),
            proof: vote.proof.clone(),
            comment: vote.comment.clone(),
            at: vote.at,
        });
        View {
            id: case.id.clone(),
            standing: case.standing(),
            ended_because: case.ended_because().map(str::to_owned),
            who: Who::of(&question.asker.principal),
            database: question.asker.database.name.clone(),
            session: question.session,
            event: self.event,
            revision: self.revision,
            content: question.content,
            fingerprints: question.fingerprints.clone(),
            facts: self.facts.clone(),
            needs: question.needs.clone(),
            granted_by: said.collect(),
            lease_seconds_max: case.lease_seconds_max(),
            asked_at: case.asked_at,
            expires_at: case.expires_at,
            ended_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_to_read_is_cut() {
        let check = |text: &str, bytes_max, left: &str| {
            let mut text = text.to_owned();
            cut(&mut text, bytes_max);
            assert_eq!(text, left);
        };
        check("select", 6, "select");
        check("select", 3, "sel\u{2026}");
        check("s\u{e9}", 2, "s\u{2026}");
        check("", 0, "");
    }
}
