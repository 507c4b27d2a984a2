//! What the tests of this crate have in common: people, statements, and a world that writes
//! down in which order it was told what, and fails when it is told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use portcullis_policy::approval::{Lease, Need, Question, Standing};
use portcullis_policy::event::{Actor, ApprovalStep, EventId};
use portcullis_policy::principal::Asker;
use portcullis_policy::{Approval, Database, Principal, PrincipalKind, Terms};

use crate::keeping::{Announcer, Kept, Recorder, Store};
use crate::view::{Facts, View};

#[derive(Default)]
pub struct Told {
    /// In the order of their coming.
    pub log: Vec<String>,
    /// What fails from now on, as the log would call it.
    pub fails: Vec<&'static str>,
    pub cases: BTreeMap<String, View>,
    pub leases: Vec<Lease>,
}

/// One world in three roles.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<Told>>);

impl World {
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.told().log)
    }

    pub fn fail(&self, what: impl IntoIterator<Item = &'static str>) {
        self.told().fails = what.into_iter().collect();
    }

    fn hear(&self, what: String) -> io::Result<MutexGuard<'_, Told>> {
        let mut told = self.told();
        let fails = told.fails.iter().any(|fails| what.starts_with(fails));
        told.log.push(if fails { format!("{what} FAILED") } else { what });
        if fails { Err(io::Error::other("disk full")) } else { Ok(told) }
    }
}

impl Store for World {
    fn load(&mut self) -> io::Result<Kept> {
        let told = self.hear("store loads".into())?;
        let pending = told.cases.values().filter(|view| view.standing == Standing::Pending);
        Ok(Kept { pending: pending.cloned().collect(), leases: told.leases.clone() })
    }

    fn keep(&mut self, view: &View, lease: Option<&Lease>) -> io::Result<()> {
        let with = if lease.is_some() { " with a lease" } else { "" };
        let mut told = self.hear(format!("store {}{with}", view.standing.as_str()))?;
        told.cases.insert(view.id.clone(), view.clone());
        told.leases.extend(lease.cloned());
        Ok(())
    }

    fn remove_lease(&mut self, id: &str) -> io::Result<()> {
        let mut told = self.hear("store removes a lease".into())?;
        told.leases.retain(|lease| lease.id != id);
        Ok(())
    }

    fn case(&mut self, id: &str) -> io::Result<Option<View>> {
        Ok(self.told().cases.get(id).cloned())
    }

    fn ended(&mut self, count_max: usize) -> io::Result<Vec<View>> {
        let told = self.told();
        let ended = told.cases.values().filter(|view| view.standing != Standing::Pending);
        let mut ended: Vec<View> = ended.cloned().collect();
        ended.sort_by_key(|view| std::cmp::Reverse(view.ended_at));
        ended.truncate(count_max);
        Ok(ended)
    }

    fn forget(&mut self, _: usize, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Recorder for World {
    fn record(&mut self, step: ApprovalStep) -> io::Result<()> {
        let what = match step {
            ApprovalStep::Asked { .. } => "ledger asked".to_owned(),
            ApprovalStep::Shown { to, .. } => format!("ledger shown to {}", to.subject),
            ApprovalStep::Granted { by, .. } => format!("ledger granted by {}", by.subject),
            ApprovalStep::Refused { by, .. } => format!("ledger refused by {}", by.subject),
            ApprovalStep::Ended { state, reason, .. } => format!("ledger ended {state}: {reason}"),
            ApprovalStep::LeaseRevoked { by, .. } => {
                format!("ledger lease revoked by {}", by.subject)
            }
        };
        self.hear(what).map(|_| ())
    }
}

impl Announcer for World {
    fn announce(&self, view: &View) {
        self.told().log.push(format!("announced {}", view.standing.as_str()));
    }
}

pub fn person(subject: &str, group: &str) -> Principal {
    Principal {
        subject: subject.to_owned(),
        kind: PrincipalKind::Human,
        groups: vec![group.to_owned()],
        proof: "scram".to_owned(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: "192.0.2.1:5000".to_owned(),
        application: "psql".to_owned(),
        role: subject.to_owned(),
    }
}

pub fn asker(subject: &str) -> Asker {
    let database = Database { name: "shop".into(), labels: Vec::new() };
    Asker { principal: Arc::new(person(subject, "staff")), database: Arc::new(database) }
}

pub fn actor(subject: &str) -> Actor {
    Actor { subject: subject.into(), proof: "scram".into(), address: "192.0.2.2:6000".into() }
}

/// Of `subject`, to be released by `approvals_needed` leads.
pub fn question(subject: &str, approvals_needed: u32) -> Question {
    let approval = Approval {
        reason: "writes many rows".into(),
        approvers: vec!["leads".into()],
        approvals_needed,
        expires_in_seconds: 60,
    };
    let terms = Terms { lease_seconds_max: 600, acted_for_may_release: false };
    Question {
        asker: asker(subject),
        session: 3,
        content: [7; 32],
        fingerprints: vec!["f1".into()],
        needs: vec![Need { policy: "20-guard".into(), approval, terms }],
    }
}

pub fn facts() -> Facts {
    Facts {
        text: "UPDATE orders SET paid = $1".into(),
        command: "UPDATE".into(),
        message: "query",
        relations: Vec::new(),
        rows_estimated: Some(12),
        earlier: vec!["BEGIN".into()],
        in_transaction: true,
        reason: "writes many rows".into(),
    }
}

pub const EVENT: EventId = EventId(77);
