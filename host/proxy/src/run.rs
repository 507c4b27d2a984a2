//! What the session remembers of a message on its way: the proxy's part of a pipeline entry.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use portcullis_masking::{CopyMasker, LabelCounts, RowMasker};
use portcullis_policy::event::EventId;
use portcullis_policy::{PolicySet, Statement};

use crate::facts::Facts;
use crate::known::{Known, KnownPlan};
use crate::names::{Portal, Prepared, Undo};
use crate::observed::Observed;
use crate::refusal::Refusal;
use crate::release::Release;

/// One statement that was permitted and is running.
pub struct Running {
    pub facts: Rc<Facts>,
    /// The statement with what its names stand for filled in; else that of the facts.
    pub resolved: Option<Rc<Statement>>,
    pub index: usize,
    pub known: Rc<Known>,
    pub event: EventId,
    /// It is judged, masked and recorded under this set, whatever is published meanwhile.
    pub policies: Rc<dyn PolicySet>,
    pub limit_rows: Option<u32>,
    /// Rows given of this result so far, by a portal's or cursor's earlier pages too; counted
    /// where it matters.
    pub given: Option<Rc<Cell<u64>>>,
    /// It was sent behind something that nobody outside its transaction could see yet, or what
    /// its names mean has changed since: its facts do not show what it does.
    pub unseen_code: bool,
    /// Its errors and notices may quote a value that the principal must not see.
    pub withhold: bool,
    pub started: Instant,
    pub ended: Ended,
    /// What PREPARE or DECLARE defines, in facts.
    pub inner: Option<(Rc<Facts>, u64)>,
    /// What released it: the cursor it declares is released with it.
    pub release: Option<Release>,
}

impl Running {
    /// Whether its facts show what it does.
    pub fn is_seen(&self) -> bool {
        !self.unseen_code && self.facts.current
    }
}

/// Whether a statement's outcome is in the ledger.
pub enum Ended {
    Alone(Cell<bool>),
    /// A Bind and the Execute that takes it over have one outcome.
    WithBind(Rc<Cell<bool>>),
}

impl Ended {
    /// Marks it so. False when it was not before.
    pub fn mark(&self) -> bool {
        match self {
            Ended::Alone(ended) => ended.replace(true),
            Ended::WithBind(ended) => ended.replace(true),
        }
    }
}

impl Running {
    /// As many rows were given as may be.
    pub fn is_at_limit(&self) -> bool {
        self.rows_left() == 0
    }

    /// How many more may be.
    pub fn rows_left(&self) -> u64 {
        let given = self.given.as_ref().map_or(0, |given| given.get());
        self.limit_rows.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(given))
    }

    pub fn gives(&self, rows: u64) {
        if let Some(given) = &self.given {
            given.update(|before| before + rows);
        }
    }

    pub fn statement(&self) -> &Statement {
        match &self.resolved {
            Some(statement) => statement,
            // The index was taken from this very list.
            None => &self.facts.statements[self.index],
        }
    }
}

/// What a result's cells go through.
#[derive(Default)]
pub enum Masks {
    /// Not decided: the columns are not known yet.
    #[default]
    Undecided,
    /// Forwarded as they come.
    Pass,
    Rows(Box<RowMasker>),
    Copy(Box<CopyMasker>),
}

/// Counts of one statement's result.
#[derive(Default)]
pub struct Tally {
    pub rows: u64,
    pub bytes: u64,
    pub cells_masked: u64,
    /// Cells masked, by label.
    pub labels_masked: LabelCounts,
    /// Cells that maskers in observe mode would have masked.
    pub cells_observed: u64,
}

/// Why a message is on its way.
pub enum Role {
    /// It is the client's own.
    Client,
    /// The proxy's own; the client sees nothing of the answer.
    Swallowed,
    /// The proxy asks what the session's settings are; the answer's rows are for it.
    Probe(Vec<Vec<u8>>),
    /// It stands in for a refused one; the error that names `tag` becomes the refusal.
    Refused { tag: String, refusal: Box<Refusal> },
}

/// What is remembered of one message.
pub struct Run {
    pub role: Role,
    /// The statements of a Query; the one of a Bind or Execute.
    pub statements: Vec<Running>,
    /// Which of them is answering.
    pub current: usize,
    pub prepared: Option<Rc<Prepared>>,
    pub portal: Option<Rc<Portal>>,
    pub undo: Option<Undo>,
    pub masks: Masks,
    /// The plan that they carry out.
    pub plan: Option<Rc<KnownPlan>>,
    /// What maskers in observe mode would do.
    pub observed: Option<Box<Observed>>,
    pub tally: Tally,
    /// A limit was reached: the rest of the result is not the client's.
    pub over_limit: bool,
}

impl Run {
    /// In a place of its own: on its way through the pipeline it moves often.
    pub fn new(role: Role) -> Box<Run> {
        Box::new(Run {
            role,
            statements: Vec::new(),
            current: 0,
            prepared: None,
            portal: None,
            undo: None,
            masks: Masks::Undecided,
            plan: None,
            observed: None,
            tally: Tally::default(),
            over_limit: false,
        })
    }

    pub fn client() -> Box<Run> {
        Run::new(Role::Client)
    }

    /// So many more rows, or other data of the result, came.
    pub fn took(&mut self, rows: u64, bytes: usize) {
        if let Some(running) = self.running() {
            running.gives(rows);
        }
        self.tally.rows += rows;
        self.tally.bytes += bytes as u64;
    }

    /// The limit that the result exceeds, as the client is told of it.
    pub fn over(&self) -> Option<Refusal> {
        let limit = self.running().and_then(|running| running.limit_rows);
        limit.filter(|_| self.over_limit).map(|rows| Refusal::RowLimit { rows })
    }

    /// The statement whose result is arriving.
    pub fn running(&self) -> Option<&Running> {
        self.statements.get(self.current)
    }

    /// The same, to be changed.
    pub fn running_mut(&mut self) -> Option<&mut Running> {
        self.statements.get_mut(self.current)
    }
}
