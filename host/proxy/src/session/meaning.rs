//! What EXECUTE, FETCH and the names of prepared statements stand for.

use std::rc::Rc;

use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{Action, Opaque, Outputs, PolicySet, Statement};

use super::Session;
use crate::facts::Facts;
use crate::names::Prepared;
use crate::refusal::Refusal;

/// A statement with what its names stand for.
pub(super) struct Resolved {
    pub statement: Statement,
    /// What PREPARE or DECLARE defines.
    pub inner: Option<Rc<Facts>>,
}

impl Session {
    /// Fills in what EXECUTE and FETCH name, and reads what PREPARE and DECLARE define.
    pub(super) async fn resolve(
        &mut self,
        facts: &Rc<Facts>,
        index: usize,
        policies: &Rc<dyn PolicySet>,
    ) -> Option<Resolved> {
        let statement = facts.statements.get(index)?;
        let named = match &statement.effect {
            SessionEffect::None
            | SessionEffect::Deallocate { .. }
            | SessionEffect::CloseCursor { .. }
            | SessionEffect::DiscardAll => return None,
            SessionEffect::Prepare { body, .. } | SessionEffect::Declare { body, .. } => {
                let inner = self.analyse(body.as_bytes(), policies).await.ok();
                return Some(Resolved { statement: statement.clone(), inner });
            }
            // In one text with what may have defined or changed the name, nothing is certain.
            SessionEffect::Execute { .. } | SessionEffect::Fetch { .. } if index > 0 => None,
            SessionEffect::Execute { name } => self.names.statement(name.as_bytes()).cloned(),
            SessionEffect::Fetch { name } => {
                self.names.portal(name.as_bytes()).map(|portal| portal.prepared.clone())
            }
        };
        let mut resolved = statement.clone();
        let inner = match named {
            Some(prepared) if !prepared.stale.get() => {
                self.current_facts(&prepared, policies).await.ok()
            }
            Some(_) | None => None,
        };
        match inner.as_ref().and_then(|facts| facts.statements.first()) {
            Some(inner) => take_over(&mut resolved, inner),
            None => resolved.opaque.push(Opaque::UnknownName(format!(
                "{} of a name not seen defined",
                statement.command
            ))),
        }
        Some(Resolved { statement: resolved, inner: None })
    }

    /// The facts of a prepared statement as the database is now.
    pub(super) async fn current_facts(
        &mut self,
        prepared: &Rc<Prepared>,
        policies: &Rc<dyn PolicySet>,
    ) -> Result<Rc<Facts>, Refusal> {
        let known = prepared.facts.borrow().clone();
        let is_current = known.is_of(&self.database.view(), policies.classifiers())
            && prepared.reading.get() == self.reading_number;
        if is_current && !self.database.is_stale() {
            return Ok(known);
        }
        let facts = self.analyse(&prepared.text, policies).await?;
        prepared.facts.replace(facts.clone());
        // The server plans anew as well, and may describe the result otherwise.
        prepared.fields.replace(None);
        prepared.reading.set(self.reading_number);
        Ok(facts)
    }
}

/// EXECUTE and FETCH do what they name.
fn take_over(statement: &mut Statement, inner: &Statement) {
    statement.actions.retain(|action| *action != Action::ExecuteDynamic);
    statement.actions.extend(&inner.actions);
    statement.relations.extend(inner.relations.iter().cloned());
    statement.functions.extend(inner.functions.iter().cloned());
    statement.opaque.extend(inner.opaque.iter().cloned());
    statement.unbounded_write |= inner.unbounded_write;
    statement.unbounded_read |= inner.unbounded_read;
    statement.written.extend(inner.written.iter().cloned());
    statement.columns.extend(inner.columns.iter().cloned());
    let is_plain = matches!(statement.command.as_str(), "EXECUTE" | "FETCH" | "MOVE");
    statement.outputs = match (&inner.outputs, is_plain) {
        (outputs, true) => outputs.clone(),
        // A plan, or a new table's rows: told by no single column.
        (Outputs::Columns(columns), false) => Outputs::Unknown(
            columns.iter().flat_map(|column| column.sources.iter().cloned()).collect(),
        ),
        (Outputs::Unknown(columns), false) => Outputs::Unknown(columns.clone()),
        (Outputs::Nothing, false) => Outputs::Nothing,
        (Outputs::Anything, false) => Outputs::Anything,
    };
    if !is_plain && statement.action() == Action::Create {
        statement.opaque.push(Opaque::UnknownName("a table made from a prepared statement".into()));
    }
}
