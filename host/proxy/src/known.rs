//! What was found out about a statement that somebody has sent before.
//!
//! An application sends the same few shapes all day, and under one policy set and one view of
//! the database the same questions about them have the same answers: what is recorded, what a
//! guardrail says to the very same request, how the result is masked, whether an error could
//! quote a hidden value. They are asked once, for all connections of whoever asks.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use portcullis_ledger::Part;
use portcullis_masking::{MaskColumn, RowMasker};
use portcullis_policy::event::DecisionMade;
use portcullis_policy::{Coverage, Principal, Statement, VerdictAnswer};
use portcullis_wire::Malformed;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::facts::Facts;
use crate::names::{Described, ResultField};

/// Statements per generation, and bytes, by and large, that are kept of statements while it is
/// young; two generations are kept.
const KEPT_MAX: usize = 4_096;
const KEPT_BYTES_MAX: usize = 16 << 20;
/// What a column of a plan takes, and of the masker that carries it out.
const COLUMN_BYTES: usize = 1_024;
/// The same of those who ask.
const ASKERS_MAX: usize = 1_024;

/// What holds for as long as rules and catalog stand.
pub struct Known {
    /// So that no other facts get their address. They themselves are not held: they would hold
    /// the view they were made under.
    _facts: Weak<Facts>,
    under: Under,
    taken: Taken,
    /// What the ledger is told of the statement.
    pub part: Part,
    /// Its errors and notices may quote a value that the principal must not see.
    pub withholds: Cell<Option<bool>>,
    /// The latest outside of a transaction, and inside of one: connections may be in either.
    verdicts: RefCell<[Option<Verdicts>; 2]>,
    described: RefCell<Option<Rc<Described>>>,
    plan: RefCell<Option<Rc<KnownPlan>>>,
}

/// Bytes that are kept of statements.
type Taken = Rc<Cell<usize>>;

/// One per statement of a message, of which there mostly is one.
pub type PerStatement<T> = SmallVec<[T; 1]>;

/// A question, and what was answered.
type Verdicts = (Asked, Rc<Answered>);

/// What was answered about a message, for whoever asks.
pub struct Answered {
    /// One list per statement.
    pub answers: PerStatement<Vec<VerdictAnswer>>,
    pub coverage: Coverage,
    /// Nobody failed to answer: the same question has the same answers.
    may_be_kept: bool,
    /// What the ledger is told where these answers permit it, by statement, and of which revision
    /// they are.
    permitted: OnceCell<(u64, PerStatement<Part>)>,
}

impl Answered {
    /// `is_certain` where all that the host itself asked about them was answered.
    pub fn new(
        answers: PerStatement<Vec<VerdictAnswer>>,
        coverage: Coverage,
        is_certain: bool,
    ) -> Answered {
        let may_be_kept =
            is_certain && answers.iter().flatten().all(|answer| answer.answer.is_ok());
        Answered { answers, coverage, may_be_kept, permitted: OnceCell::new() }
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
    /// Of the text, where a guardrail may read it: SHA-256, so that nobody finds a text that is
    /// taken for another.
    pub text: Option<[u8; 32]>,
    pub in_transaction: bool,
    /// The host's own refusals depend on it.
    pub unseen_code: bool,
    pub now: u32,
}

/// What becomes of a result with these columns.
pub struct KnownPlan {
    fields: Rc<[ResultField]>,
    /// None: forwarded as it comes.
    pub masked: Option<Vec<MaskColumn>>,
    /// What maskers in observe mode would do.
    pub observed: Option<Vec<MaskColumn>>,
    /// A masker that has served one result of this plan serves the next.
    pub spare: Cell<Option<Box<RowMasker>>>,
}

impl KnownPlan {
    pub fn new(
        fields: &Rc<[ResultField]>,
        masked: Option<Vec<MaskColumn>>,
        observed: Option<Vec<MaskColumn>>,
    ) -> Rc<KnownPlan> {
        Rc::new(KnownPlan { fields: fields.clone(), masked, observed, spare: Cell::default() })
    }
}

impl Known {
    /// Of a statement that says by itself what it does.
    fn of(facts: &Rc<Facts>, index: usize, under: Under, taken: &Taken) -> Known {
        let known = Known::with_part(facts, facts.part(index), under, taken.clone());
        known.takes(known.part.bytes());
        known
    }

    /// Of a statement that does what a name stands for at the moment.
    pub fn of_resolved(facts: &Rc<Facts>, statement: &Statement, under: Under) -> Known {
        Known::with_part(facts, Part::statement(statement), under, Taken::default())
    }

    fn with_part(facts: &Rc<Facts>, part: Part, under: Under, taken: Taken) -> Known {
        Known {
            _facts: Rc::downgrade(facts),
            under,
            taken,
            part,
            withholds: Cell::new(None),
            verdicts: RefCell::default(),
            described: RefCell::new(None),
            plan: RefCell::new(None),
        }
    }

    fn takes(&self, bytes: usize) {
        self.taken.update(|taken| taken.saturating_add(bytes));
    }

    /// What guardrails said to the same question. They are pure: no clock, no randomness, no
    /// state between calls.
    pub fn verdicts(&self, asked: &Asked) -> Option<Rc<Answered>> {
        let known = self.verdicts.borrow();
        let known = known[usize::from(asked.in_transaction)].as_ref();
        known.filter(|(known, _)| known == asked).map(|(_, answered)| answered.clone())
    }

    /// A fault is not an answer: who failed is asked again.
    pub fn keep_verdicts(&self, asked: Asked, answered: &Rc<Answered>) {
        if answered.may_be_kept {
            let place = usize::from(asked.in_transaction);
            self.verdicts.borrow_mut()[place] = Some((asked, answered.clone()));
        }
    }

    /// The columns that a RowDescription describes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn fields(&self, body: &[u8]) -> Result<Rc<[ResultField]>, Malformed> {
        let mut known = self.described.borrow_mut();
        let described = Described::again(known.as_ref(), body)?;
        if known.as_ref().is_none_or(|known| !Rc::ptr_eq(known, &described)) {
            self.takes(2 * body.len());
        }
        Ok(known.insert(described).fields.clone())
    }

    /// What was planned for these columns, where the view is still the same.
    pub fn plan(&self, fields: &Rc<[ResultField]>, under: Under) -> Option<Rc<KnownPlan>> {
        let plan = self.plan.borrow();
        let plan = plan.as_ref().filter(|_| self.under == under)?;
        let same = Rc::ptr_eq(&plan.fields, fields) || plan.fields == *fields;
        same.then(|| plan.clone())
    }

    /// Keeps a plan for the next result, where it still holds.
    pub fn keep_plan(&self, plan: &Rc<KnownPlan>, under: Under) {
        if self.under == under {
            let plans = 1 + usize::from(plan.observed.is_some());
            self.takes(plans * COLUMN_BYTES * plan.fields.len());
            self.plan.replace(Some(plan.clone()));
        }
    }
}

/// The statements that a worker's sessions have sent lately.
#[derive(Default)]
pub struct KnownStatements {
    numbers: RefCell<Numbers>,
    /// Since the young generation began.
    taken: Taken,
    /// What was asked for last: Parse, Bind and Execute ask one after the other.
    last: RefCell<Option<(u64, Place, Rc<Known>)>>,
    young: RefCell<Generation>,
    old: RefCell<Generation>,
}

impl KnownStatements {
    /// A number for whoever asks of the database with this number.
    pub fn asker(&self, principal: &Principal, database: u64) -> u64 {
        let client_address = principal.client_host().to_owned();
        let principal = Principal { client_address, ..principal.clone() };
        self.numbers.borrow_mut().of(Looks { principal, database })
    }

    pub fn of(&self, asker: u64, facts: &Rc<Facts>, index: usize, under: Under) -> Rc<Known> {
        let place = (Rc::as_ptr(facts) as usize, index);
        let mut last = self.last.borrow_mut();
        let asks_again = |(by, of, known): &&(u64, Place, Rc<Known>)| {
            *by == asker && *of == place && known.under == under
        };
        if let Some((_, _, known)) = last.as_ref().filter(asks_again) {
            return known.clone();
        }
        let known = self.kept(asker, facts, place, under);
        *last = Some((asker, place, known.clone()));
        known
    }

    fn kept(&self, asker: u64, facts: &Rc<Facts>, place: Place, under: Under) -> Rc<Known> {
        let mut young = self.young.borrow_mut();
        if let Some(known) = young.get(asker, under, place) {
            return known.clone();
        }
        let known = self.old.borrow_mut().remove(asker, under, place);
        let known = known.unwrap_or_else(|| Rc::new(Known::of(facts, place.1, under, &self.taken)));
        if young.entries >= KEPT_MAX || self.taken.get() >= KEPT_BYTES_MAX {
            self.taken.set(0);
            *self.old.borrow_mut() = std::mem::take(&mut young);
        }
        young.insert(asker, under, place, known.clone());
        known
    }
}

/// As guardrails and maskers see it: two connections that look the same are answered the same.
#[derive(PartialEq, Eq, Hash)]
struct Looks {
    /// Its address without the port, which no plugin is told.
    principal: Principal,
    /// With its settings.
    database: u64,
}

/// Numbers of those who connected lately; one that has not for long gets another.
#[derive(Default)]
struct Numbers {
    young: HashMap<Looks, u64>,
    old: HashMap<Looks, u64>,
    last: u64,
}

impl Numbers {
    fn of(&mut self, looks: Looks) -> u64 {
        if let Some(number) = self.young.get(&looks) {
            return *number;
        }
        let number = self.old.remove(&looks).unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        if self.young.len() >= ASKERS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(looks, number);
        number
    }
}

/// By who sent them.
#[derive(Default)]
struct Generation {
    askers: FxHashMap<u64, Sent>,
    entries: usize,
}

/// What one of them has sent, as it is known under one revision and view: under the next all of
/// it is found out anew.
struct Sent {
    under: Under,
    statements: FxHashMap<Place, Rc<Known>>,
}

/// The facts' address, and the statement's place in them. Sessions have the same facts only where
/// they read a text alike, under one view of the database.
type Place = (usize, usize);

impl Generation {
    fn get(&self, asker: u64, under: Under, place: Place) -> Option<&Rc<Known>> {
        self.askers.get(&asker).filter(|sent| sent.under == under)?.statements.get(&place)
    }

    fn insert(&mut self, asker: u64, under: Under, place: Place, known: Rc<Known>) {
        if self.askers.get(&asker).is_some_and(|sent| sent.under != under) {
            self.forget(asker);
        }
        let sent = || Sent { under, statements: FxHashMap::default() };
        let statements = &mut self.askers.entry(asker).or_insert_with(sent).statements;
        self.entries += usize::from(statements.insert(place, known).is_none());
    }

    fn remove(&mut self, asker: u64, under: Under, place: Place) -> Option<Rc<Known>> {
        let sent = self.askers.get_mut(&asker)?;
        if sent.under != under {
            self.forget(asker);
            return None;
        }
        let removed = sent.statements.remove(&place)?;
        self.entries -= 1;
        Some(removed)
    }

    fn forget(&mut self, asker: u64) {
        let forgotten = self.askers.remove(&asker);
        self.entries -= forgotten.map_or(0, |sent| sent.statements.len());
    }
}

#[cfg(test)]
mod tests {
    use portcullis_policy::PrincipalKind;

    use super::*;

    #[test]
    fn whoever_looks_the_same_to_plugins_has_one_number() {
        let ana = |address: &str, application: &str| Principal {
            subject: "ana".to_owned(),
            kind: PrincipalKind::Human,
            groups: vec!["analysts".to_owned()],
            proof: "scram".to_owned(),
            on_behalf_of: None,
            claims: Vec::new(),
            client_address: address.to_owned(),
            application: application.to_owned(),
            role: "ana".to_owned(),
        };
        let known = KnownStatements::default();
        let first = known.asker(&ana("192.0.2.1:5000", "psql"), 0);
        assert_eq!(known.asker(&ana("192.0.2.1:5001", "psql"), 0), first, "another connection");
        let other_group = Principal { groups: Vec::new(), ..ana("192.0.2.1:5000", "psql") };
        for (other, database) in [
            (ana("192.0.2.2:5000", "psql"), 0),
            (ana("[2001:db8::1]:5000", "psql"), 0),
            (ana("192.0.2.1:5000", "app"), 0),
            (ana("192.0.2.1:5000", "psql"), 1),
            (other_group, 0),
        ] {
            assert_ne!(known.asker(&other, database), first, "{other:?}");
        }
        for number in 0..3 * ASKERS_MAX {
            known.asker(&ana("192.0.2.1:5000", &number.to_string()), 0);
        }
        let numbers = known.numbers.borrow();
        assert!(numbers.young.len() + numbers.old.len() <= 2 * ASKERS_MAX);
        drop(numbers);
        assert_ne!(known.asker(&ana("192.0.2.1:5000", "psql"), 0), first, "it is not used again");
    }
}
