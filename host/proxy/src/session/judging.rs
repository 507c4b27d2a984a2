//! What becomes of a message, by what guardrails and the gate say about its statements.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use portcullis_policy::{Parameters, PolicySet, Statement};
use sha2::{Digest, Sha256};

use super::Session;
use super::meaning::Resolved;
use crate::facts::Facts;
use crate::gate::{Gate, Judged};
use crate::known::{self, Known, PerStatement, Under};
use crate::masks::Planner;
use crate::reading::Text;

impl Session {
    /// What was found out about the statements of a message before. What a name stands for can
    /// be another thing the next time.
    pub(super) fn known(
        &self,
        facts: &Rc<Facts>,
        resolved: &[Option<Resolved>],
        policies: &Rc<dyn PolicySet>,
    ) -> PerStatement<Rc<Known>> {
        let under = self.under(&**policies);
        let known = |index: usize| match resolved.get(index).and_then(Option::as_ref) {
            Some(resolved) => Rc::new(Known::of_resolved(facts, &resolved.statement, under)),
            None => self.shared.known.of(self.known_as, facts, index, under),
        };
        (0..facts.statements.len()).map(known).collect()
    }

    /// What the answers about a statement rest on.
    pub(super) fn under(&self, policies: &dyn PolicySet) -> Under {
        Under { revision: policies.revision(), view: self.database.view_version() }
    }

    /// Judges a message; with it comes the text that its statements were read from.
    pub(super) fn judge<T>(
        &self,
        (message, text): (T, Text<'_>),
        (facts, statements): (&Facts, &[&Statement]),
        (policies, known): (&Rc<dyn PolicySet>, &[Rc<Known>]),
        parameters: &dyn Parameters,
    ) -> Judged<T> {
        let reads = policies.reads();
        // The same question is not put twice. With one statement it usually is one: shapes come
        // again and again, and Parse, Bind and Execute ask about the same.
        let known = match known {
            [known] if !(reads.parameters && parameters.count() > 0) => Some(known),
            _ => None,
        };
        let asked = known::Asked {
            text: reads.text.then(|| Sha256::digest(text.bytes()).into()),
            in_transaction: self.is_in_transaction(),
            unseen_code: self.unseen_code || !facts.current,
            now: self.shared.moment().seconds,
        };
        let answered = known.and_then(|known| known.verdicts(&asked)).unwrap_or_else(|| {
            let view = self.database.view();
            let gate = Gate {
                asker: &self.asker,
                policies,
                planner: self.planner(&view, &**policies),
                reserved: &self.reserved,
                asked: &asked,
                parameters,
                in_doubt: Cell::new(false),
                hides_anything: OnceCell::new(),
            };
            let decoded = self.reading.decode(text);
            let text = decoded.unwrap_or_else(|_| String::from_utf8_lossy(text.bytes()));
            let answered = Rc::new(gate.ask(facts, &text, statements));
            if let Some(known) = known {
                known.keep_verdicts(asked, &answered);
            }
            answered
        });
        Judged::by(answered, message, self.database.settings.unmatched)
    }

    pub(super) fn planner<'a>(
        &'a self,
        view: &'a crate::database::View,
        policies: &'a dyn PolicySet,
    ) -> Planner<'a> {
        Planner { asker: &self.asker, view, policies, unmatched: self.database.settings.unmatched }
    }
}
