//! The gate: nothing reaches the server but through here.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use portcullis_policy::event::RelationTouched;
use portcullis_policy::principal::Asker;
use portcullis_policy::{
    Access, ColumnRef, Decision, Denial, Mode, Opaque, Parameters, Permitted, PolicySet, Request,
    Ruling, Statement, Unmatched, Verdict, VerdictAnswer, judge,
};
use portcullis_wire::{Frame, encode};

use crate::buffers::Queue;
use crate::effects::makes_unseen_code;
use crate::facts::Facts;
use crate::known::{Answered, Asked};
use crate::masks::{Planner, Unanswered};
use crate::moves::{carries_unknown, defines_unseen, moves};

/// Messages of a client that carry no statement: they need no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harmless {
    Describe,
    Close,
    Sync,
    Flush,
    CopyData,
    CopyDone,
    CopyFail,
}

/// What is on its way to the server. Query, Parse, Bind, Execute and FunctionCall get in as
/// `Permitted` only; what the proxy sends of its own is one of the few methods below.
#[derive(Default)]
pub struct Outbox {
    queue: Queue,
}

impl Outbox {
    pub fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// A judged message, as the bytes that were judged.
    pub fn forward(&mut self, permitted: Permitted<Frame<'_>>) {
        self.queue.tail().extend_from_slice(permitted.into_request().bytes);
    }

    /// A message that carries no statement.
    pub fn pass(&mut self, _kind: Harmless, frame: Frame<'_>) {
        self.queue.tail().extend_from_slice(frame.bytes);
    }

    /// In place of a refused Query: a text that is nothing but a syntax error.
    pub fn stand_in_query(&mut self, tag: &str) {
        encode::query(self.queue.tail(), tag);
    }

    /// In place of a refused message of the extended protocol: a portal that is not there.
    /// Unlike a failing Parse it leaves the client's unnamed statement alone.
    pub fn stand_in_execute(&mut self, tag: &str) {
        encode::execute(self.queue.tail(), tag);
    }

    /// Makes the server answer what it was sent, where a client has not yet asked it to.
    pub fn flush(&mut self) {
        encode::frame(self.queue.tail(), b'H', &[]);
    }

    /// Ends a COPY that the client does not know of.
    pub fn end_copy(&mut self) {
        encode::frame(self.queue.tail(), b'f', b"an earlier result was stopped\0");
    }

    /// Asks for the columns of a portal's result.
    pub fn describe_portal(&mut self, name: &[u8]) {
        let mut body = vec![b'P'];
        body.extend_from_slice(name);
        body.push(0);
        encode::frame(self.queue.tail(), b'D', &body);
    }

    /// Prepares a statement anew, from the text that was judged.
    pub fn prepare_anew(&mut self, name: &[u8], text: &[u8], parameter_types: &[u8]) {
        let mut body = vec![b'S'];
        body.extend_from_slice(name);
        body.push(0);
        encode::frame(self.queue.tail(), b'C', &body);
        let mut body = name.to_vec();
        body.push(0);
        body.extend_from_slice(text);
        body.push(0);
        let count = u16::try_from(parameter_types.len() / 4).unwrap_or(u16::MAX);
        body.extend_from_slice(&count.to_be_bytes());
        body.extend_from_slice(parameter_types);
        encode::frame(self.queue.tail(), b'P', &body);
    }

    /// Asks the session itself for the settings that decide what a text means.
    pub fn probe(&mut self) {
        encode::query(self.queue.tail(), PROBE);
    }

    pub fn terminate(&mut self) {
        encode::frame(self.queue.tail(), b'X', &[]);
    }
}

/// One row for the strings, then one per schema searched. Where `pg_temp` is searched first, to
/// ask makes the session's temporary schema: so it is undone, as BEGIN takes in what comes before
/// it in the same message. Were it in front, a failure would leave the transaction open.
const PROBE: &str = "select pg_catalog.current_setting('standard_conforming_strings') union all \
                     select pg_catalog.unnest(pg_catalog.current_schemas(true)); begin; rollback";

/// Everything a judgement rests on beside the statements.
pub struct Gate<'a> {
    pub asker: &'a Asker,
    pub policies: &'a Rc<dyn PolicySet>,
    pub planner: Planner<'a>,
    /// Parameters that are the proxy's to set.
    pub reserved: &'a [String],
    pub asked: &'a Asked,
    pub parameters: &'a dyn Parameters,
    /// A masker was asked what it hides, and failed to answer.
    pub in_doubt: Cell<bool>,
    /// Whether anything at all is hidden, once that was asked.
    pub hides_anything: OnceCell<bool>,
}

/// A judged message and the answers that led there.
pub struct Judged<T> {
    pub ruling: Ruling<T>,
    pub answered: Rc<Answered>,
}

impl<T> Judged<T> {
    /// Judges a message by the answers about the statements it stands for.
    pub fn by(answered: Rc<Answered>, message: T, unmatched: Unmatched) -> Judged<T> {
        let answers = answered.answers.iter().flatten();
        let ruling = judge(message, answers, answered.coverage, unmatched);
        Judged { ruling, answered }
    }
}

impl Gate<'_> {
    /// What guardrails and the host say about statements, read from `text` as `facts`.
    pub fn ask(&self, facts: &Facts, text: &str, statements: &[&Statement]) -> Answered {
        // Names may mean something else than the catalog says.
        let mut unseen_code = self.asked.unseen_code;
        let answers = statements.iter().enumerate().map(|(index, statement)| {
            let answers = self.verdicts(statement, facts.text(index, text), unseen_code);
            unseen_code |= makes_unseen_code(statement);
            answers
        });
        let answers = answers.collect();
        let coverage = self.policies.coverage(&self.asker.principal, &self.asker.database);
        Answered::new(answers, coverage, !self.in_doubt.get())
    }

    fn verdicts(&self, statement: &Statement, text: &str, unseen_code: bool) -> Vec<VerdictAnswer> {
        let request = Request {
            principal: &self.asker.principal,
            database: &self.asker.database,
            statement,
            text,
            in_transaction: self.asked.in_transaction,
            now: self.asked.now,
            attributes: &[],
        };
        let mut answers = self.policies.judge(&request, self.parameters);
        answers.extend(self.host_denial(statement, unseen_code));
        answers
    }

    /// What the host itself refuses, whatever the guardrails say.
    fn host_denial(&self, statement: &Statement, unseen_code: bool) -> Option<VerdictAnswer> {
        let denial = too_complex(statement)
            .or_else(|| self.writes_what_is_hidden(statement))
            .or_else(|| self.carries_out_what_is_hidden(statement))
            .or_else(|| self.moves_what_cannot_be_told(statement, unseen_code))
            .or_else(|| self.redefines_what_is_hidden(statement))
            .or_else(|| self.defines_what_could_show(statement))
            .or_else(|| self.sets_what_is_the_proxys(statement))?;
        let verdict = Verdict { decision: Decision::Deny(denial), ..Verdict::allow() };
        Some(VerdictAnswer { policy: HOST.into(), mode: Mode::Enforce, answer: Ok(verdict) })
    }

    /// What is not known counts as hidden.
    fn hides(&self, column: &ColumnRef) -> bool {
        self.is_hidden(self.planner.hides(column))
    }

    fn hides_anything(&self) -> bool {
        *self.hides_anything.get_or_init(|| self.is_hidden(self.planner.hides_anything()))
    }

    fn is_hidden(&self, answer: Result<bool, Unanswered>) -> bool {
        answer.unwrap_or_else(|Unanswered| {
            self.in_doubt.set(true);
            true
        })
    }

    /// A principal who sees a column masked would write the mask back, and one who copies it
    /// would read it from the copy.
    fn writes_what_is_hidden(&self, statement: &Statement) -> Option<Denial> {
        for written in &statement.written {
            if self.hides(&written.target) {
                return Some(Denial {
                    reason: format!(
                        "column {} of {} is masked for you, so you may not write it",
                        written.target.column, written.target.relation
                    ),
                    hint: Some("Leave the column out of the statement.".into()),
                });
            }
            let others = written.sources.iter().filter(|source| **source != written.target);
            for source in others {
                if self.hides(source) {
                    return Some(Denial {
                        reason: format!(
                            "column {} of {} is masked for you, so you may not copy it into {}",
                            source.column, source.relation, written.target.relation
                        ),
                        hint: Some("Leave the column out of what is copied.".into()),
                    });
                }
                if source.is_of_nobody_known() && self.hides_anything() {
                    return Some(Denial {
                        reason: format!(
                            "what it copies into {} could be a column that is masked for you",
                            written.target.relation
                        ),
                        hint: Some(
                            "Copy values, or columns of tables. Of a function of your own an operator \
                             can vouch that it reads nothing: trusted_functions."
                                .into(),
                        ),
                    });
                }
            }
        }
        None
    }
}

impl Gate<'_> {
    /// Functions that put a value where it can be read again by other ways than a result.
    fn carries_out_what_is_hidden(&self, statement: &Statement) -> Option<Denial> {
        let carrier = statement.carriers.first()?;
        // What is only defined, or referred to, is not read.
        let used = statement.relations.iter().filter(|used| used.access != Access::Define);
        let labelled = used.filter(|relation| !relation.labels.is_empty());
        let hidden = labelled
            .filter_map(|relation| self.planner.view.catalog.relation(relation.oid?))
            .any(|known| self.is_hidden(self.planner.hides_any_of(known)));
        // What is read through a view is not among the relations that the text names.
        let hidden = hidden || statement.columns.iter().any(|column| self.hides(column));
        (hidden || carries_unknown(statement) && self.hides_anything()).then(|| Denial {
            reason: format!("{carrier} could carry out a value that is masked for you"),
            hint: Some("Call it in a statement that reads no masked column.".into()),
        })
    }

    /// While names may mean something else than the catalog says, what is copied or carried
    /// could be anything that is masked.
    fn moves_what_cannot_be_told(
        &self,
        statement: &Statement,
        unseen_code: bool,
    ) -> Option<Denial> {
        if !unseen_code || !moves(statement) || !self.hides_anything() {
            return None;
        }
        Some(Denial {
            reason: "what it copies could be masked for you: it cannot be told before what was \
                     made ahead of it is committed"
                .into(),
            hint: Some("Commit first.".into()),
        })
    }
}

impl Gate<'_> {
    /// A label is for a relation and a column by their names and by what they are now: who sees a
    /// column masked does not rename it, move it elsewhere, or have others compute with it.
    fn redefines_what_is_hidden(&self, statement: &Statement) -> Option<Denial> {
        let hint = Some("Have it done by somebody who sees all of its columns.".into());
        for redefined in &statement.redefined {
            let known = redefined.and_then(|oid| self.planner.view.catalog.relation(oid));
            let reason = match known {
                Some(known) if self.is_hidden(self.planner.may_hide_any_of(known)) => format!(
                    "{} has columns that are masked for you, so you may not change what it is",
                    known.qualified()
                ),
                None if self.hides_anything() => {
                    "what it changes could have columns that are masked for you".to_owned()
                }
                Some(_) | None => continue,
            };
            return Some(Denial { reason, hint });
        }
        None
    }

    /// Defaults, constraints and rules run within other statements, which do not tell of them.
    fn defines_what_could_show(&self, statement: &Statement) -> Option<Denial> {
        let what = defines_unseen(statement).filter(|_| self.hides_anything())?;
        Some(Denial {
            reason: format!(
                "{what} could show or carry out a value that is masked for you, whenever what is \
                 defined here is used"
            ),
            hint: Some("Have it defined by somebody who sees everything.".into()),
        })
    }

    /// The role and the subject that the proxy has given the server are not the client's to
    /// change. A name that is computed could be one of them.
    fn sets_what_is_the_proxys(&self, statement: &Statement) -> Option<Denial> {
        if self.reserved.is_empty() {
            return None;
        }
        let mut set = statement.parameters_set.iter();
        let name = set.find(|name| *name == "?" || self.reserved.contains(name))?;
        let what = if name == "?" { "a parameter whose name is computed" } else { name };
        Some(Denial {
            reason: format!("{what} may not be set: the proxy sets it for you"),
            hint: Some("Log in as somebody else to be somebody else.".into()),
        })
    }
}

/// The name under which the host's own refusals are recorded.
pub const HOST: &str = "portcullis";

/// Nobody analysed it, so nobody can have judged it.
fn too_complex(statement: &Statement) -> Option<Denial> {
    let complex = statement
        .opaque
        .iter()
        .find(|opaque| matches!(opaque, Opaque::TooComplex(_) | Opaque::Encoding(_)))?;
    // Facts by PostgreSQL's own grammar stand even where nesting is deep; without any the
    // statement is refused.
    if statement.command.is_empty() || statement.shape == "<unparsed>" {
        return Some(Denial {
            reason: format!("the statement cannot be analysed ({complex})"),
            hint: Some("Split it into simpler statements.".into()),
        });
    }
    None
}

/// The relations of a statement, as records name them.
pub fn relations_touched(statement: &Statement) -> Vec<RelationTouched> {
    let touched = |relation: &portcullis_policy::RelationUse| RelationTouched {
        name: relation.name.clone(),
        access: relation.access,
        columns: relation.columns.clone(),
        labels: relation.labels.clone(),
    };
    statement.relations.iter().map(touched).collect()
}
