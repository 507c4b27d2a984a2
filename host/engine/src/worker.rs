//! What one worker thread calls: its own instances of the policies in force.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Cache};
use portcullis_policy::set::{
    Parameters, PlanAnswer, PolicyHub, PolicyName, PolicySet, PolicySource, Reads, Request,
    VerdictAnswer,
};
use portcullis_policy::{
    Cells, ColumnSample, Coverage, Database, Fault, FaultKind, Label, Masked, Mode, Principal,
    ResultShape, Terms,
};

use crate::config::{FAULT_WINDOW, FAULTS_MAX, SAMPLE_BYTES_PER_CALL, SUSPENSION};
use crate::convert;
use crate::instance::{Form, Instance};
use crate::policy::{Policy, Set};

/// Hands out sources; cheap to clone and to send.
pub(crate) struct Hub {
    pub(crate) current: Arc<ArcSwap<Set>>,
}

impl PolicyHub for Hub {
    fn worker(&self) -> Box<dyn PolicySource> {
        let swaps = Rc::new(Swaps::default());
        let mut current = Cache::new(Arc::clone(&self.current));
        let set = WorkerSet::new(Arc::clone(current.load()), Rc::clone(&swaps), None);
        let held = RefCell::new((current, Rc::new(set)));
        Box::new(Source { held, swaps })
    }
}

/// The newest set; to look whether there is a newer one costs a comparison.
type Newest = Cache<Arc<ArcSwap<Set>>, Arc<Set>>;

/// The newest set with this worker's instances.
struct Source {
    held: RefCell<(Newest, Rc<WorkerSet>)>,
    swaps: Rc<Swaps>,
}

impl PolicySource for Source {
    fn current(&self) -> Rc<dyn PolicySet> {
        let (current, held) = &mut *self.held.borrow_mut();
        let newest = current.load();
        if !Arc::ptr_eq(&held.set, newest) {
            let begun = Instant::now();
            let swaps = Rc::clone(&self.swaps);
            *held = Rc::new(WorkerSet::new(Arc::clone(newest), swaps, Some(held)));
            self.swaps.took(begun.elapsed());
        }
        Rc::clone(held) as Rc<dyn PolicySet>
    }

    fn watch_swaps(&self, watch: Box<dyn Fn(Duration)>) {
        *self.swaps.0.borrow_mut() = Some(watch);
    }
}

/// Who is told how long a new set took.
type Watch = Box<dyn Fn(Duration)>;

/// Who is told what new sets cost this worker.
#[derive(Default)]
struct Swaps(RefCell<Option<Watch>>);

impl Swaps {
    fn took(&self, time: Duration) {
        if let Some(watch) = &*self.0.borrow() {
            watch(time);
        }
    }
}

/// A set as one worker calls it. A statement that still holds an older one keeps its
/// instances alive until it lets go.
struct WorkerSet {
    set: Arc<Set>,
    /// One per policy, in the same order.
    bench: Vec<Rc<Seat>>,
    /// Stands for the classifiers' components and settings.
    classifiers: u64,
    reads: Reads,
    swaps: Rc<Swaps>,
}

impl WorkerSet {
    /// Seats of policies whose form is the same in `before` are carried over.
    fn new(set: Arc<Set>, swaps: Rc<Swaps>, before: Option<&WorkerSet>) -> WorkerSet {
        let seat = |policy: &Arc<Policy>| {
            before
                .into_iter()
                .flat_map(|before| &before.bench)
                .find(|seat| Arc::ptr_eq(&seat.form, &policy.form))
                .map_or_else(|| Rc::new(Seat::new(Arc::clone(&policy.form))), Rc::clone)
        };
        let bench = set.policies.iter().map(seat).collect();
        let (classifiers, reads) = (set.classifiers(), set.reads());
        WorkerSet { set, bench, classifiers, reads, swaps }
    }

    fn seats(&self) -> impl Iterator<Item = (&Policy, &Seat)> {
        self.set.policies.iter().map(Arc::as_ref).zip(self.bench.iter().map(Rc::as_ref))
    }

    /// A call to the policies; the first one to any of them belongs to the swap's cost.
    fn noting_first_calls<T>(&self, call: impl FnOnce() -> T) -> T {
        let uncalled = || self.bench.iter().filter(|seat| !seat.called.get()).count();
        let before = uncalled();
        if before == 0 {
            return call();
        }
        let begun = Instant::now();
        let answer = call();
        if uncalled() < before {
            self.swaps.took(begun.elapsed());
        }
        answer
    }
}

/// Where a worker's instance of a policy sits. Calls are synchronous, so one is enough.
struct Seat {
    form: Arc<Form>,
    instance: RefCell<Option<Instance>>,
    faults: RefCell<FaultRecord>,
    /// Of its classifier, by themselves: what fails over somebody's rows must not keep a label from
    /// being found.
    unclassified: RefCell<FaultRecord>,
    /// Not before the first call is there an instance.
    called: Cell<bool>,
}

impl Seat {
    fn new(form: Arc<Form>) -> Seat {
        let (instance, called) = (RefCell::new(None), Cell::new(false));
        Seat {
            form,
            instance,
            faults: RefCell::default(),
            unclassified: RefCell::default(),
            called,
        }
    }

    /// Calls an instance, made for the occasion where there is none.
    fn call<T>(&self, call: impl FnOnce(&mut Instance) -> Result<T, Fault>) -> Result<T, Fault> {
        self.call_unless(&self.faults, call)
    }

    fn classify(&self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        self.call_unless(&self.unclassified, |instance| instance.classify(samples))
    }

    /// The same, unless those faults suspend it.
    fn call_unless<T>(
        &self,
        faults: &RefCell<FaultRecord>,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if faults.borrow().is_suspended() {
            let message = "too many faults lately; not called for some seconds".to_owned();
            return Err(Fault { kind: FaultKind::Suspended, message });
        }
        self.called.set(true);
        let waiting = self.instance.borrow_mut().take();
        let started = match waiting {
            Some(instance) => Ok(instance),
            None => Instance::start(&self.form),
        };
        let (answer, instance) = match started {
            Ok(mut instance) => (call(&mut instance), Some(instance)),
            Err(fault) => (Err(fault), None),
        };
        match &answer {
            Ok(_) => *self.instance.borrow_mut() = instance.filter(|one| !one.is_worn()),
            Err(fault) => self.note(faults, fault, instance),
        }
        answer
    }

    /// Only a plugin that said no by itself is as good as before.
    fn note(&self, faults: &RefCell<FaultRecord>, fault: &Fault, instance: Option<Instance>) {
        let policy: &str = &self.form.policy;
        tracing::warn!(policy, kind = fault.kind.as_str(), message = %fault.message, "policy fault");
        match fault.kind {
            FaultKind::Refused => *self.instance.borrow_mut() = instance,
            FaultKind::Trap
            | FaultKind::Deadline
            | FaultKind::Memory
            | FaultKind::Malformed
            | FaultKind::Suspended
            | FaultKind::Unavailable => {
                if faults.borrow_mut().add() {
                    tracing::error!(
                        policy,
                        "policy suspended: {FAULTS_MAX} faults in {FAULT_WINDOW:?}"
                    );
                }
            }
        }
    }
}

/// When a policy lately failed this worker.
#[derive(Default)]
struct FaultRecord {
    recent: VecDeque<Instant>,
    suspended_at: Option<Instant>,
}

impl FaultRecord {
    fn is_suspended(&self) -> bool {
        self.suspended_at.is_some_and(|since| since.elapsed() < SUSPENSION)
    }

    /// Adds a fault that happened now; says whether it is one too many.
    fn add(&mut self) -> bool {
        let now = Instant::now();
        self.recent.retain(|then| now.duration_since(*then) < FAULT_WINDOW);
        self.recent.push_back(now);
        let suspended = self.recent.len() >= FAULTS_MAX;
        if suspended {
            self.suspended_at = Some(now);
            self.recent.clear();
        }
        suspended
    }
}

impl PolicySet for WorkerSet {
    fn revision(&self) -> u64 {
        self.set.revision
    }

    fn coverage(&self, principal: &Principal, database: &Database) -> Coverage {
        let mut coverage = Coverage::default();
        for policy in &self.set.policies {
            if policy.mode == Mode::Enforce && policy.matching.holds(principal, database) {
                coverage.guardrail |= policy.kinds().guardrail;
                coverage.masker |= policy.kinds().masker;
            }
        }
        coverage
    }

    fn reads(&self) -> Reads {
        self.reads
    }

    fn terms(&self, policy: &PolicyName) -> Terms {
        let found = self.set.policies.iter().find(|known| known.name == *policy);
        found.map(|known| known.terms).unwrap_or_default()
    }

    fn judge(&self, request: &Request<'_>, parameters: &dyn Parameters) -> Vec<VerdictAnswer> {
        // Printed once, and only if somebody may look.
        let mut printed: Option<Arc<[Option<String>]>> = None;
        let mut copied: Option<Arc<str>> = None;
        let asked = || {
            convert::with_request(request, |wit| {
                self.seats()
                    .filter(|(policy, _)| policy.kinds().guardrail)
                    .filter(|(policy, _)| {
                        policy.matching.holds(request.principal, request.database)
                    })
                    .map(|(policy, seat)| {
                        let plugin = &policy.form.plugin;
                        let text = plugin
                            .reads_text
                            .then(|| Arc::clone(copied.get_or_insert_with(|| request.text.into())));
                        let values = plugin
                            .reads_parameters
                            .then(|| Arc::clone(printed.get_or_insert_with(|| print(parameters))));
                        VerdictAnswer {
                            policy: Arc::clone(&policy.name),
                            mode: policy.mode,
                            answer: seat.call(|instance| instance.judge(wit, text, values)),
                        }
                    })
                    .collect()
            })
        };
        self.noting_first_calls(asked)
    }

    fn plan(&self, shape: &ResultShape<'_>) -> Vec<PlanAnswer> {
        let asked = || {
            convert::with_shape(shape, |wit| {
                self.seats()
                    .filter(|(policy, _)| policy.kinds().masker)
                    .filter(|(policy, _)| policy.matching.holds(shape.principal, shape.database))
                    .map(|(policy, seat)| PlanAnswer {
                        policy: Arc::clone(&policy.name),
                        mode: policy.mode,
                        answer: seat.call(|instance| instance.plan(wit)),
                    })
                    .collect()
            })
        };
        self.noting_first_calls(asked)
    }

    fn mask(
        &self,
        policy: &PolicyName,
        handle: u32,
        batch: &Cells,
        also: &[Cells],
    ) -> Result<Masked, Fault> {
        match self.seats().find(|(own, _)| own.name == *policy) {
            Some((_, seat)) => {
                self.noting_first_calls(|| seat.call(|instance| instance.mask(handle, batch, also)))
            }
            None => {
                let message = format!("no policy {policy} in revision {}", self.set.revision);
                Err(Fault { kind: FaultKind::Unavailable, message })
            }
        }
    }

    fn classifiers(&self) -> u64 {
        self.classifiers
    }

    /// Policies that only observe are asked too: a label is a fact, not an effect.
    fn classify(&self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        self.noting_first_calls(|| self.ask_classifiers(samples))
    }
}

impl WorkerSet {
    fn ask_classifiers(&self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        let mut labels: Vec<Vec<Label>> = vec![Vec::new(); samples.len()];
        for (policy, seat) in self.seats() {
            if policy.kinds().classifier {
                let mut rest = labels.as_mut_slice();
                for part in parts(samples) {
                    let (front, back) = rest.split_at_mut(part.len().min(rest.len()));
                    rest = back;
                    let answers = match seat.classify(part) {
                        Ok(answers) => answers,
                        Err(fault) if policy.mode == Mode::Enforce => return Err(fault),
                        Err(_) => continue,
                    };
                    for (labels, answer) in front.iter_mut().zip(answers) {
                        answer.into_iter().for_each(|label| add(labels, label));
                    }
                }
            }
        }
        Ok(labels)
    }
}

fn print(parameters: &dyn Parameters) -> Arc<[Option<String>]> {
    (0..parameters.count()).map(|index| parameters.text(index)).collect()
}

/// Keeps each label once, with the confidence of the surest classifier.
fn add(labels: &mut Vec<Label>, label: Label) {
    match labels.iter_mut().find(|standing| standing.name == label.name) {
        Some(standing) => standing.confidence = standing.confidence.max(label.confidence),
        None => labels.push(label),
    }
}

/// Cuts samples into parts small enough for one call's deadline.
fn parts(samples: &[ColumnSample]) -> Vec<&[ColumnSample]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, sample) in samples.iter().enumerate() {
        let own: usize = sample.values.iter().map(|value| value.len() + 8).sum();
        if index > start && bytes + own > SAMPLE_BYTES_PER_CALL {
            parts.extend(samples.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes += own;
    }
    parts.extend(samples.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_cut_by_their_text() {
        let sample = |bytes: usize| ColumnSample {
            relation: "public.t".into(),
            column: "c".into(),
            type_name: "text".into(),
            comment: None,
            values: vec!["x".repeat(bytes)],
        };
        let check = |bytes: &[usize], expected: &[usize]| {
            let samples: Vec<ColumnSample> = bytes.iter().map(|bytes| sample(*bytes)).collect();
            let lens: Vec<usize> = parts(&samples).iter().map(|part| part.len()).collect();
            assert_eq!(lens, expected, "{bytes:?}");
        };
        check(&[], &[]);
        check(&[10, 10, 10], &[3]);
        check(&[100_000, 10, 100_000], &[1, 1, 1]);
        check(&[20_000, 10_000, 20_000, 10], &[2, 2]);
    }

    #[test]
    fn five_faults_suspend() {
        let mut record = FaultRecord::default();
        for _ in 1..FAULTS_MAX {
            assert!(!record.add());
        }
        assert!(!record.is_suspended());
        assert!(record.add());
        assert!(record.is_suspended());
    }
}
