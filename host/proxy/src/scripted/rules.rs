//! Policies as closures, where a real proxy has components.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use portcullis_policy::{
    Approval, Cells, ColumnSample, Coverage, Database, Decision, Fault, FaultKind, Label,
    MaskAction, Masked, Mode, Opaque, OutputColumn, Parameters, PlanAnswer, PolicyName, PolicySet,
    PolicySource, Principal, Reads, Request, ResultShape, Statement, Terms, Verdict, VerdictAnswer,
};

/// The number of the classifiers, of which there are none.
pub const CLASSIFIERS: u64 = 1;

type Judge = dyn Fn(&Statement, &dyn Parameters) -> Verdict;
type Plan = dyn Fn(&OutputColumn) -> MaskAction;

/// A guardrail and a masker, which enforce.
pub struct Rules {
    judge: Box<Judge>,
    plan: Box<Plan>,
    reads: Reads,
    /// Meanwhile the masker gives no plans.
    pub fails: Rc<Cell<bool>>,
}

impl Default for Rules {
    /// Refuses what nobody can read and what touches `forbidden`, holds what touches a relation
    /// called `held`, and hides what is labelled.
    fn default() -> Rules {
        Rules::new(refusing, |column| {
            match column.sources.iter().any(|source| !source.labels.is_empty()) {
                true => MaskAction::Nullify,
                false => MaskAction::Pass,
            }
        })
    }
}

impl Rules {
    pub fn new(
        judge: impl Fn(&Statement, &dyn Parameters) -> Verdict + 'static,
        plan: impl Fn(&OutputColumn) -> MaskAction + 'static,
    ) -> Rules {
        let reads = Reads { text: false, parameters: true };
        Rules { judge: Box::new(judge), plan: Box::new(plan), reads, fails: Rc::default() }
    }

    /// Looks at neither texts nor values.
    pub fn reading_nothing(self) -> Rules {
        Rules { reads: Reads::default(), ..self }
    }
}

/// A relation whose statements wait for people, by the default rules.
pub const HOLD: &str = "held";

/// The default guardrail.
pub fn refusing(statement: &Statement, _: &dyn Parameters) -> Verdict {
    let unread = |opaque: &Opaque| matches!(opaque, Opaque::Unparsed(_));
    let names = |name: &str| {
        let is_called = |known: &str| known.rsplit('.').next() == Some(name);
        statement.relations.iter().any(|relation| is_called(&relation.name))
    };
    if statement.opaque.iter().any(unread) {
        return Verdict::deny("nobody can read it");
    }
    if names("forbidden") {
        return Verdict::deny("nobody may touch it");
    }
    if names(HOLD) {
        let approval = Approval {
            reason: "somebody must know of it".into(),
            approvers: vec!["leads".into()],
            approvals_needed: 1,
            expires_in_seconds: 600,
        };
        return Verdict { decision: Decision::RequireApproval(approval), ..Verdict::allow() };
    }
    Verdict::allow()
}

struct Set {
    rules: Rc<Rules>,
    revision: u64,
}

/// The rules in force.
#[derive(Clone)]
pub struct Published(Rc<RefCell<Rc<Set>>>);

impl Published {
    pub fn new(rules: Rules) -> Published {
        let set = Set { rules: Rc::new(rules), revision: 1 };
        Published(Rc::new(RefCell::new(Rc::new(set))))
    }

    pub fn publish(&self, rules: Rules) {
        let revision = self.0.borrow().revision + 1;
        self.0.replace(Rc::new(Set { rules: Rc::new(rules), revision }));
    }
}

impl PolicySource for Published {
    fn current(&self) -> Rc<dyn PolicySet> {
        self.0.borrow().clone()
    }

    /// Taking over closures keeps nobody.
    fn watch_swaps(&self, _: Box<dyn Fn(Duration)>) {}
}

impl PolicySet for Set {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn coverage(&self, _: &Principal, _: &Database) -> Coverage {
        Coverage { guardrail: true, masker: true }
    }

    fn judge(&self, request: &Request<'_>, parameters: &dyn Parameters) -> Vec<VerdictAnswer> {
        let answer = Ok((self.rules.judge)(request.statement, parameters));
        vec![VerdictAnswer { policy: "10-script".into(), mode: Mode::Enforce, answer }]
    }

    fn reads(&self) -> Reads {
        self.rules.reads
    }

    fn terms(&self, _: &PolicyName) -> Terms {
        Terms::default()
    }

    fn plan(&self, shape: &ResultShape<'_>) -> Vec<PlanAnswer> {
        let answer = match self.rules.fails.get() {
            false => Ok(shape.columns.iter().map(&self.rules.plan).collect()),
            true => Err(Fault { kind: FaultKind::Trap, message: "no plan today".into() }),
        };
        vec![PlanAnswer { policy: "20-script".into(), mode: Mode::Enforce, answer }]
    }

    /// A masker that wants to see values puts none in their place.
    fn mask(&self, _: &PolicyName, _: u32, batch: &Cells, _: &[Cells]) -> Result<Masked, Fault> {
        if batch.is_empty() {
            return Err(Fault { kind: FaultKind::Malformed, message: "nothing to mask".into() });
        }
        Ok(Masked::Unchanged)
    }

    fn classifiers(&self) -> u64 {
        CLASSIFIERS
    }

    fn classify(&self, samples: &[ColumnSample]) -> Result<Vec<Vec<Label>>, Fault> {
        Ok(vec![Vec::new(); samples.len()])
    }
}
