//! Statements that wait for people.
//!
//! A held message stays where it is, at the front of the inbox, and everything behind it
//! waits. Once it is decided it is taken up again like any other: judged under the rules
//! then in force, and released only if those ask for nothing that was not granted.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use portcullis_approvals::{Ask, Decided, Facts as CaseFacts, Waiting};
use portcullis_policy::approval::{Grant, Lease, Need, Question};
use portcullis_policy::event::{DecisionMade, Ending, EventId};
use portcullis_policy::{Action, Approval, Permitted, PolicyName, PolicySet, Ruling, Statement};
use portcullis_wire::backend::TransactionStatus;
use portcullis_wire::encode;
use smallvec::smallvec;

use super::Session;
use crate::gate::{Judged, relations_touched};
use crate::known::{Known, PerStatement};
use crate::reading::Text;
use crate::refusal::Refusal;
use crate::release::{Release, content, repeatable};
use crate::shared::Phase;

/// Of a transaction's earlier statements, an approver is shown this many, the latest.
const EARLIER_MAX: usize = 32;

/// Where the approval of the message at the front of the inbox stands.
#[derive(Default)]
pub(super) enum Hold {
    #[default]
    None,
    Waiting {
        waiting: Waiting,
        events: Vec<EventId>,
        /// Under which they were held.
        revision: u64,
    },
    /// People released it; it is judged once more, and then runs.
    Granted(Grant),
    /// It will not run, and this is what the client is told.
    Refused(Box<Refusal>),
}

/// A judged message and what is to be known of it.
pub(super) struct Asked<'a> {
    pub message: &'static str,
    pub statements: &'a [&'a Statement],
    /// One per statement.
    pub known: &'a [Rc<Known>],
    pub policies: &'a Rc<dyn PolicySet>,
    /// How many values are bound.
    pub parameters: u32,
    /// All that a grant binds.
    pub content: &'a [&'a [u8]],
    /// The text, where nothing is bound to it: the server can be asked what it would do.
    pub text: Option<Text<'a>>,
    /// What released the portal that the message goes on with.
    pub carried: Option<Release>,
    /// Recorded a moment ago, with its Bind.
    pub recorded: Option<EventId>,
}

/// What became of a judged message. Whatever it is, it is recorded.
pub(super) enum Settled<T> {
    Permitted {
        permitted: Permitted<T>,
        events: PerStatement<EventId>,
        release: Option<Release>,
    },
    Refused(Refusal),
    /// It stays at the front of the inbox.
    Waiting,
}

impl Session {
    /// Records what was judged, and gives the permit, the refusal, or the wait.
    pub(super) async fn settle<T>(&mut self, judged: Judged<T>, asked: &Asked<'_>) -> Settled<T> {
        let is_told = matches!(self.hold, Hold::Granted(_));
        let (ruling, release) = self.release(judged.ruling, asked);
        let permitted = matches!(ruling, Ruling::Permitted(_));
        let events = match asked.recorded {
            Some(event) if permitted => smallvec![event],
            Some(_) | None => {
                let released_by = release.as_ref().map(Release::name);
                let decision = decision(&ruling);
                let recorded =
                    self.record_intents(asked, &judged.answered, &decision, released_by).await;
                match recorded {
                    Ok(events) => events,
                    Err(refusal) => return Settled::Refused(refusal),
                }
            }
        };
        // What was held has been told of already.
        if asked.message != "execute" && !is_told {
            self.notices(&judged.answered);
        }
        let event = events.first().copied().unwrap_or_else(|| self.shared.event_id());
        match ruling {
            Ruling::Permitted(permitted) => Settled::Permitted { permitted, events, release },
            Ruling::Denied(denied) => {
                let (denial, policy) = (denied.denial, denied.policy);
                Settled::Refused(Refusal::Denied { denial, policy, event })
            }
            Ruling::Held(held) => {
                // Rare, and larger than all else that a session waits in.
                let hold = Box::pin(self.hold(&held.approvals, events.to_vec(), asked));
                match hold.await {
                    Ok(()) => Settled::Waiting,
                    Err(refusal) => {
                        self.record_held_end(&events, &Ending::Refused, asked.policies.revision());
                        self.shared.commit_quietly();
                        Settled::Refused(refusal)
                    }
                }
            }
        }
    }

    /// Releases what is held, where people have said so.
    fn release<T>(&mut self, ruling: Ruling<T>, asked: &Asked<'_>) -> (Ruling<T>, Option<Release>) {
        let hold = std::mem::take(&mut self.hold);
        let Ruling::Held(mut held) = ruling else { return (ruling, None) };
        let content = content(asked.content);
        let mut candidates: Vec<Release> = Vec::new();
        if let Hold::Granted(grant) = hold {
            candidates.push(Release::by_grant(content, grant));
        }
        // A lease that was taken back releases nothing more.
        let in_force = |lease: &Lease| {
            let known = self.shared.approvals.lease(&self.asker, &lease.fingerprint);
            known.is_some_and(|known| known.id == lease.id)
        };
        let carried = asked.carried.clone();
        candidates.extend(carried.filter(|release| release.lease().is_none_or(in_force)));
        if let [statement] = asked.statements
            && let Some(repeatable) = repeatable(&self.asker, statement)
            && let Some(lease) = self.shared.approvals.lease(&self.asker, &repeatable)
        {
            candidates.push(Release::by_lease(content, lease));
        }
        let now = u64::from(self.shared.moment().seconds);
        for candidate in candidates {
            held = match candidate.apply(held, &self.asker, self.id, asked.statements, now) {
                Ok(permitted) => return (Ruling::Permitted(permitted), Some(candidate)),
                Err(held) => held,
            };
        }
        (Ruling::Held(held), None)
    }

    /// Asks for what is needed, and tells the client that it waits.
    async fn hold(
        &mut self,
        approvals: &[(PolicyName, Approval)],
        events: Vec<EventId>,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let event = events.first().copied().unwrap_or_else(|| self.shared.event_id());
        let reasons: Vec<&str> =
            approvals.iter().map(|(_, approval)| approval.reason.as_str()).collect();
        let reason = reasons.join("; ");
        if self.phase != Phase::Running {
            let why = "the proxy is shutting down".to_owned();
            return Err(Refusal::NobodyToAsk { reason, why, event });
        }
        // From here on a cancel is meant for what waits.
        self.entry.line().waits_for(Some("being asked for"));
        let needs = approvals.iter().map(|(policy, approval)| Need {
            policy: policy.clone(),
            approval: approval.clone(),
            terms: asked.policies.terms(policy),
        });
        let fingerprints: Option<Vec<String>> =
            asked.statements.iter().map(|s| repeatable(&self.asker, s)).collect();
        let question = Question {
            asker: self.asker.clone(),
            session: self.id,
            content: content(asked.content),
            fingerprints: fingerprints.unwrap_or_default(),
            needs: needs.collect(),
        };
        let facts = self.case_facts(asked, reason.clone()).await;
        let expires_in = self.patience(approvals);
        let revision = asked.policies.revision();
        let ask = Ask { question, facts, event, revision, expires_in };
        let waiting = match self.shared.approvals.ask(ask) {
            Ok(waiting) => waiting,
            Err(error) => {
                self.entry.line().waits_for(None);
                return Err(Refusal::NobodyToAsk { reason, why: error.to_string(), event });
            }
        };
        self.tell_of_wait(&waiting, approvals, &reason, expires_in);
        self.entry.line().waits_for(Some(waiting.id()));
        if !self.pipeline.is_empty() {
            // What came before it is answered now: nobody waits for people to hear of that,
            // and the held message is gone on with only behind those answers.
            self.outbox.flush();
        }
        self.held_bytes = asked.content.iter().map(|part| part.len()).sum();
        self.hold = Hold::Waiting { waiting, events, revision };
        Ok(())
    }

    /// The shortest of what the policies and the proxy allow.
    fn patience(&self, approvals: &[(PolicyName, Approval)]) -> Duration {
        let limits = &self.shared.limits;
        let asked = approvals.iter().map(|(_, approval)| approval.expires_in_seconds).min();
        let asked = Duration::from_secs(u64::from(asked.unwrap_or_default().max(1)));
        let most = if self.is_in_transaction() {
            // Locks are held meanwhile.
            limits.approval_wait.min(limits.approval_wait_in_transaction)
        } else {
            limits.approval_wait
        };
        asked.min(most)
    }

    /// A transaction is open, or what opens it is on its way.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.status != TransactionStatus::Idle || !self.transaction.is_empty()
    }

    async fn case_facts(&self, asked: &Asked<'_>, reason: String) -> CaseFacts {
        let join = |part: &dyn Fn(&Statement) -> String| {
            asked.statements.iter().map(|statement| part(statement)).collect::<Vec<_>>().join("; ")
        };
        let earlier = self.transaction.iter().rev().take(EARLIER_MAX).rev();
        CaseFacts {
            text: join(&|statement| self.with_what_it_names(statement)),
            command: join(&|statement| statement.command.clone()),
            message: asked.message,
            relations: asked.statements.iter().flat_map(|s| relations_touched(s)).collect(),
            rows_estimated: self.estimate(asked).await,
            earlier: earlier
                .flat_map(|facts| facts.statements.iter().map(|s| s.shape.clone()))
                .collect(),
            in_transaction: self.is_in_transaction(),
            reason,
        }
    }

    /// The shape, and for EXECUTE and FETCH that of what runs under the name.
    fn with_what_it_names(&self, statement: &Statement) -> String {
        let named = self.named(statement).map(|prepared| prepared.facts.borrow().clone());
        match named.as_ref().and_then(|facts| facts.statements.first()) {
            Some(inner) => format!("{}\n-- which is: {}", statement.shape, inner.shape),
            None => statement.shape.clone(),
        }
    }

    /// What the planner thinks of it, where asking runs nothing: planning evaluates
    /// functions, so a statement that names one is not planned ahead of its time.
    async fn estimate(&self, asked: &Asked<'_>) -> Option<u64> {
        let (Some(text), [statement]) = (asked.text, asked.statements) else { return None };
        let plannable = matches!(
            statement.action(),
            Action::Select | Action::Insert | Action::Update | Action::Delete | Action::Merge
        );
        let runs_nothing = statement.functions.is_empty() && statement.opaque.is_empty();
        let reading = self.reading.now();
        let path = reading.search_path.as_ref()?;
        let text = self.reading.decode(text).ok()?;
        // With strings read in another way it would be another statement to the planner.
        let same_strings = reading.standard_conforming_strings == Some(true);
        if !plannable || !runs_nothing || !same_strings || self.unseen_code {
            return None;
        }
        let tables: Option<BTreeSet<u32>> = statement.relations.iter().map(|r| r.oid).collect();
        let tables: Vec<u32> = tables?.into_iter().filter(|oid| *oid > 0).collect();
        let role = self.database.settings.role.role_of(&self.asker.principal).ok()?;
        let asks = (&**path, role.as_deref());
        let estimate = self.database.row_estimate(&text, &tables, asks);
        tokio::time::timeout(ESTIMATE_TIME_MAX, estimate).await.ok()?.ok()?
    }

    fn tell_of_wait(
        &mut self,
        waiting: &Waiting,
        approvals: &[(PolicyName, Approval)],
        reason: &str,
        expires_in: Duration,
    ) {
        let mut groups: Vec<&str> =
            approvals.iter().flat_map(|(_, a)| a.approvers.iter().map(String::as_str)).collect();
        groups.sort_unstable();
        groups.dedup();
        let report = encode::Report {
            sqlstate: "00000",
            message: format!("this statement waits for approval {}: {reason}", waiting.id()),
            detail: Some(format!(
                "Members of {} may release it within {} seconds.",
                groups.join(", "),
                expires_in.as_secs()
            )),
            hint: Some(format!(
                "They run: portcullis approval grant {}. Cancel the statement to withdraw it.",
                waiting.id()
            )),
        };
        encode::notice(self.reply.tail(), &report);
    }

    /// The approval in front has an end.
    pub(super) fn on_decided(&mut self, decided: Decided) {
        let Hold::Waiting { waiting, events, revision } = std::mem::take(&mut self.hold) else {
            return;
        };
        let approval = waiting.id().to_owned();
        self.entry.line().waits_for(None);
        let ending = match &decided {
            Decided::Granted(_) => Ending::Released,
            Decided::Refused { .. }
            | Decided::Expired
            | Decided::Withdrawn { .. }
            | Decided::Unavailable => Ending::Refused,
        };
        self.record_held_end(&events, &ending, revision);
        self.hold = match decided {
            Decided::Granted(grant) => Hold::Granted(grant),
            Decided::Refused { reason } => {
                Hold::Refused(Box::new(Refusal::ApprovalRefused { approval, reason }))
            }
            Decided::Expired => Hold::Refused(Box::new(Refusal::ApprovalExpired { approval })),
            Decided::Withdrawn { reason } => {
                Hold::Refused(Box::new(Refusal::ApprovalWithdrawn { approval, reason }))
            }
            Decided::Unavailable => Hold::Refused(Box::new(Refusal::Ledger)),
        };
    }

    /// The client cancels. What waits is withdrawn; else the cancel was meant for what has
    /// been released meanwhile.
    pub(super) fn on_cancel(&mut self) {
        match std::mem::take(&mut self.hold) {
            Hold::Waiting { waiting, events, revision } => {
                waiting.withdraw("cancelled by the client");
                self.record_held_end(&events, &Ending::Refused, revision);
                self.entry.line().waits_for(None);
                self.hold = Hold::Refused(Box::new(Refusal::Cancelled));
            }
            hold @ (Hold::None | Hold::Granted(_) | Hold::Refused(_)) => {
                self.hold = hold;
                self.stop_upstream();
            }
        }
    }

    /// What waits, if anything does, will not run: the session ends, or the pipeline has
    /// failed before it.
    pub(super) fn withdraw(&mut self, reason: &str, ending: &Ending) {
        if !matches!(self.hold, Hold::Waiting { .. }) {
            return;
        }
        if let Hold::Waiting { waiting, events, revision } = std::mem::take(&mut self.hold) {
            waiting.withdraw(reason);
            self.record_held_end(&events, ending, revision);
            self.entry.line().waits_for(None);
        }
    }

    /// The proxy is shutting down: nobody will decide in time.
    pub(super) fn give_up_waiting(&mut self) {
        let Hold::Waiting { waiting, .. } = &self.hold else { return };
        let approval = waiting.id().to_owned();
        let reason = "the proxy is shutting down";
        self.withdraw(reason, &Ending::Refused);
        let reason = reason.to_owned();
        self.hold = Hold::Refused(Box::new(Refusal::ApprovalWithdrawn { approval, reason }));
    }

    /// What the client is told in place of the message in front, where people said no.
    pub(super) fn refused_by_people(&mut self) -> Option<Refusal> {
        let Hold::Refused(refusal) = &self.hold else { return None };
        let refusal = Refusal::clone(refusal);
        self.hold = Hold::None;
        Some(refusal)
    }

    fn record_held_end(&self, events: &[EventId], ending: &Ending, revision: u64) {
        for event in events {
            self.record_unrun_event(*event, ending.clone(), revision);
        }
        self.shared.commit_quietly();
    }
}

/// An estimate that takes longer is not worth the client's wait.
const ESTIMATE_TIME_MAX: Duration = Duration::from_secs(1);

fn decision<T>(ruling: &Ruling<T>) -> DecisionMade {
    match ruling {
        Ruling::Permitted(_) => DecisionMade::Permitted,
        Ruling::Denied(denied) => DecisionMade::Denied {
            policy: denied.policy.clone(),
            reason: denied.denial.reason.clone(),
        },
        Ruling::Held(held) => {
            let reasons: Vec<&str> =
                held.approvals.iter().map(|(_, approval)| approval.reason.as_str()).collect();
            DecisionMade::Held { reason: reasons.join("; ") }
        }
    }
}
