//! What was found out about a statement that a session has sent before.
//!
//! An application sends the same few shapes all day, and under one policy set and one view of
//! the database the same questions about them have the same answers: what is recorded, what a
//! guardrail says to the very same request, how the result is masked, whether an error could
//! quote a hidden value. They are asked once.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use portcullis_ledger::Part;
use portcullis_masking::{MaskColumn, RowMasker};
use portcullis_policy::event::DecisionMade;
use portcullis_policy::{Coverage, Statement, VerdictAnswer};
use portcullis_wire::Malformed;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::facts::Facts;
use crate::names::{Described, ResultField};

/// Entries per generation; two generations are kept.
const KEPT_MAX: usize = 4_096;

/// What holds for as long as rules and catalog stand.
pub struct Known {
    /// So that no other facts get their address. They themselves are not held: they would hold
    /// the view they were made under.
    _facts: Weak<Facts>,
    under: Under,
    /// What the ledger is told of the statement.
    pub part: Part,
    /// Its errors and notices may quote a value that the principal must not see.
    pub withholds: Cell<Option<bool>>,
    verdicts: RefCell<Option<(Asked, Rc<Answered>)>>,
    described: RefCell<Option<Rc<Described>>>,
    plan: RefCell<Option<KnownPlan>>,
}

/// One per statement of a message, of which there mostly is one.
pub type PerStatement<T> = SmallVec<[T; 1]>;

/// What was answered about a message, for whoever asks.
pub struct Answered {
    /// One list per statement.
    pub answers: PerStatement<Vec<VerdictAnswer>>,
    pub coverage: Coverage,
    /// What the ledger is told where these answers permit it, by statement, and of which revision
    /// they are.
    permitted: OnceCell<(u64, PerStatement<Part>)>,
}

impl Answered {
    pub fn new(answers: PerStatement<Vec<VerdictAnswer>>, coverage: Coverage) -> Answered {
        Answered { answers, coverage, permitted: OnceCell::new() }
    }

    /// What the ledger is told of the decision about one of the statements.
    pub fn ruling(
        &self,
        index: usize,
        decision: &DecisionMade,
        released_by: Option<&str>,
        revision: u64,
    ) -> Part {
        let write =
            |answers: &Vec<VerdictAnswer>| Part::ruling(decision, answers, released_by, revision);
        if *decision == DecisionMade::Permitted && released_by.is_none() {
            let written = || (revision, self.answers.iter().map(write).collect());
            let (of, written) = self.permitted.get_or_init(written);
            if let Some(part) = written.get(index).filter(|_| *of == revision) {
                return part.clone();
            }
        }
        write(self.answers.get(index).unwrap_or(&Vec::new()))
    }
}

/// The revision and the view that were in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Under {
    pub revision: u64,
    pub view: u64,
}

/// All that a guardrail is told beside principal, database and facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where a guardrail may read it.
    pub text: Option<Box<[u8]>>,
    pub in_transaction: bool,
    /// The host's own refusals depend on it.
    pub unseen_code: bool,
    pub now: u32,
}

/// What becomes of a result with these columns.
struct KnownPlan {
    fields: Rc<[ResultField]>,
    /// None: forwarded as it comes.
    masked: Option<Vec<MaskColumn>>,
    /// A masker that has served one result of this kind serves the next.
    spare: Option<Box<RowMasker>>,
}

/// A plan that is known.
pub enum Plan {
    Pass,
    Spare(Box<RowMasker>),
    Rows(Vec<MaskColumn>),
}

impl Known {
    /// Of a statement that says by itself what it does.
    pub fn of(facts: &Rc<Facts>, index: usize, under: Under) -> Known {
        Known::with_part(facts, facts.part(index), under)
    }

    /// Of a statement that does what a name stands for at the moment.
    pub fn of_resolved(facts: &Rc<Facts>, statement: &Statement, under: Under) -> Known {
        Known::with_part(facts, Part::statement(statement), under)
    }

    fn with_part(facts: &Rc<Facts>, part: Part, under: Under) -> Known {
        Known {
            _facts: Rc::downgrade(facts),
            under,
            part,
            withholds: Cell::new(None),
            verdicts: RefCell::new(None),
            described: RefCell::new(None),
            plan: RefCell::new(None),
        }
    }

    /// What guardrails said to the same question. They are pure: no clock, no randomness, no
    /// state between calls.
    pub fn verdicts(&self, asked: &Asked) -> Option<Rc<Answered>> {
        let known = self.verdicts.borrow();
        known.as_ref().filter(|(known, _)| known == asked).map(|(_, answered)| answered.clone())
    }

    /// A fault is not an answer: who failed is asked again.
    pub fn keep_verdicts(&self, asked: Asked, answered: &Rc<Answered>) {
        if answered.answers.iter().flatten().all(|answer| answer.answer.is_ok()) {
            self.verdicts.replace(Some((asked, answered.clone())));
        }
    }

    /// The columns that a RowDescription describes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn fields(&self, body: &[u8]) -> Result<Rc<[ResultField]>, Malformed> {
        let mut known = self.described.borrow_mut();
        let described = Described::again(known.as_ref(), body)?;
        Ok(known.insert(described).fields.clone())
    }

    /// What was planned for these columns, where the view is still the same.
    pub fn plan(&self, fields: &Rc<[ResultField]>, under: Under) -> Option<Plan> {
        let mut plan = self.plan.borrow_mut();
        let plan = plan.as_mut().filter(|_| self.under == under)?;
        let same = Rc::ptr_eq(&plan.fields, fields) || plan.fields == *fields;
        if !same {
            return None;
        }
        Some(match (&plan.masked, plan.spare.take()) {
            (None, _) => Plan::Pass,
            (Some(_), Some(masker)) => Plan::Spare(masker),
            (Some(columns), None) => Plan::Rows(columns.clone()),
        })
    }

    /// Keeps a plan for the next result. False where it holds no more.
    pub fn keep_plan(
        &self,
        fields: &Rc<[ResultField]>,
        masked: Option<Vec<MaskColumn>>,
        under: Under,
    ) -> bool {
        let holds = self.under == under;
        if holds {
            let plan = KnownPlan { fields: fields.clone(), masked, spare: None };
            self.plan.replace(Some(plan));
        }
        holds
    }

    /// Takes back a masker of the plan that is kept; it holds nothing, and serves the next result.
    pub fn give_back(&self, masker: Box<RowMasker>) {
        if let Some(plan) = self.plan.borrow_mut().as_mut().filter(|plan| plan.masked.is_some()) {
            plan.spare = Some(masker);
        }
    }
}

/// The statements that a worker's sessions have sent lately.
#[derive(Default)]
pub struct KnownStatements {
    young: RefCell<Generation>,
    old: RefCell<Generation>,
}

impl KnownStatements {
    pub fn of(&self, session: u64, facts: &Rc<Facts>, index: usize, under: Under) -> Rc<Known> {
        let place = (Rc::as_ptr(facts) as usize, index);
        let mut young = self.young.borrow_mut();
        if let Some(known) = young.get(session, under, place) {
            return known.clone();
        }
        let known = self.old.borrow_mut().remove(session, under, place);
        let known = known.unwrap_or_else(|| Rc::new(Known::of(facts, index, under)));
        if young.entries >= KEPT_MAX {
            *self.old.borrow_mut() = std::mem::take(&mut young);
        }
        young.insert(session, under, place, known.clone());
        known
    }

    /// The session has ended: nobody asks for what it sent again.
    pub fn forget(&self, session: u64) {
        for generation in [&self.young, &self.old] {
            generation.borrow_mut().forget(session);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.borrow().entries + self.old.borrow().entries
    }
}

/// By session, since guardrails are told where a principal comes from, and since what a session
/// has sent goes when it does.
#[derive(Default)]
struct Generation {
    sessions: FxHashMap<u64, Sent>,
    entries: usize,
}

/// What one session has sent, as it is known under one revision and view: under the next all of
/// it is found out anew.
struct Sent {
    under: Under,
    statements: FxHashMap<Place, Rc<Known>>,
}

/// The facts' address, and the statement's place in them.
type Place = (usize, usize);

impl Generation {
    fn get(&self, session: u64, under: Under, place: Place) -> Option<&Rc<Known>> {
        self.sessions.get(&session).filter(|sent| sent.under == under)?.statements.get(&place)
    }

    fn insert(&mut self, session: u64, under: Under, place: Place, known: Rc<Known>) {
        if self.sessions.get(&session).is_some_and(|sent| sent.under != under) {
            self.forget(session);
        }
        let sent = || Sent { under, statements: FxHashMap::default() };
        let statements = &mut self.sessions.entry(session).or_insert_with(sent).statements;
        self.entries += usize::from(statements.insert(place, known).is_none());
    }

    fn remove(&mut self, session: u64, under: Under, place: Place) -> Option<Rc<Known>> {
        let sent = self.sessions.get_mut(&session)?;
        if sent.under != under {
            self.forget(session);
            return None;
        }
        let removed = sent.statements.remove(&place)?;
        self.entries -= 1;
        Some(removed)
    }

    fn forget(&mut self, session: u64) {
        let forgotten = self.sessions.remove(&session);
        self.entries -= forgotten.map_or(0, |sent| sent.statements.len());
    }
}
