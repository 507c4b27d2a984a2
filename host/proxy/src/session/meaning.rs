//! What texts mean, and what EXECUTE, FETCH and the names of prepared statements stand for.

use std::rc::Rc;

use portcullis_policy::statement::SessionEffect;
use portcullis_policy::{Action, Opaque, Outputs, PolicySet, Statement, Unmatched};

use super::Session;
use crate::effects::changes_reading;
use crate::facts::Facts;
use crate::names::{Portal, Prepared};
use crate::parameters::{unreadable_encoding, unreadable_encoding_in};
use crate::reading::{Reading, Text};
use crate::refusal::Refusal;
use crate::run::Running;

/// A statement with what its names stand for.
pub(super) struct Resolved {
    pub statement: Statement,
    /// What PREPARE or DECLARE defines, and the number of the reading under which it was read.
    pub inner: Option<(Rc<Facts>, u64)>,
}

impl Session {
    /// The facts about a text, under what is known of the session.
    pub(super) async fn analyse(
        &self,
        text: Text<'_>,
        policies: &Rc<dyn PolicySet>,
    ) -> Result<Rc<Facts>, Refusal> {
        let facts = self.understood_as(text, policies).await?;
        // A statement ahead of it in the text may have made such names, too.
        let unseen_code = self.unseen_code || facts.leave_something || !facts.current;
        let rests = facts.rest_on_everything || facts.move_something && unseen_code;
        if !rests || !self.planner(&self.database.view(), &**policies).may_mask() {
            return Ok(facts);
        }
        // What nobody has looked at would count as hidden.
        Box::pin(self.look_at_everything(&**policies)).await;
        if facts.view.version == self.database.view_version() {
            return Ok(facts);
        }
        Box::pin(self.understood_as(text, policies)).await
    }

    async fn understood_as(
        &self,
        text: Text<'_>,
        policies: &Rc<dyn PolicySet>,
    ) -> Result<Rc<Facts>, Refusal> {
        // One that is too long is not even decoded.
        self.check_length(text.bytes().len())?;
        let text = &*self.reading.decode(text)?;
        // Decoded it can be longer; what is analysed as too long would be known by a key that says
        // nothing of its length.
        self.check_length(text.len())?;
        let mut facts = self.explained(text, self.reading.now(), policies).await?;
        if self.reading.schemas() != facts.view.schemas {
            // The catalog was read again for it.
            facts = self.explained(text, &Reading::UNKNOWN, policies).await?;
        }
        if !facts.leave_something {
            return Ok(facts);
        }
        let sets_encoding = |statement: &Statement| {
            statement.parameters_set.iter().any(|name| name == "client_encoding")
        };
        if facts.statements.iter().any(sets_encoding)
            && let Some(encoding) = unreadable_encoding_in(text)
        {
            return Err(unreadable_encoding(encoding));
        }
        let changes_reading =
            |statement: &Statement| changes_reading(statement) || !statement.opaque.is_empty();
        let before_last = facts.statements.split_last().map_or(&[][..], |(_, before)| before);
        if before_last.iter().any(changes_reading) && self.reading.now().search_path.is_some() {
            // What follows in the same text is read after this has run.
            let reading = Reading { search_path: None, ..self.reading.now().clone() };
            return self.explained(text, &reading, policies).await;
        }
        Ok(facts)
    }

    fn check_length(&self, bytes: usize) -> Result<(), Refusal> {
        let most = self.shared.limits.statement_bytes_max;
        match bytes > most {
            true => Err(Refusal::TooLarge(format!(
                "the statement has {bytes} bytes, at most {most} are read"
            ))),
            false => Ok(()),
        }
    }

    async fn explained(
        &self,
        text: &str,
        reading: &Reading,
        policies: &Rc<dyn PolicySet>,
    ) -> Result<Rc<Facts>, Refusal> {
        let with = (&self.shared.analysis, self.shared.moment().instant);
        let is_enforced = || {
            let coverage = policies.coverage(&self.asker.principal, &self.asker.database);
            let may_pass = self.database.settings.unmatched == Unmatched::Allow;
            coverage.guardrail || coverage.masker || !may_pass
        };
        let policies: (&dyn PolicySet, &dyn Fn() -> bool) = (&**policies, &is_enforced);
        let facts = self.shared.facts.facts(&self.database, text, reading, with, policies);
        facts.await.map_err(|error| Refusal::Unexplained(error.to_string()))
    }

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
                let inner = self.analyse(Text::Decoded(body), policies).await.ok();
                let inner = inner.map(|inner| (inner, self.reading.number()));
                return Some(Resolved { statement: statement.clone(), inner });
            }
            // In one text with what may have defined or changed the name, nothing is certain.
            SessionEffect::Execute { .. } | SessionEffect::Fetch { .. } if index > 0 => None,
            SessionEffect::Execute { .. } | SessionEffect::Fetch { .. } => self.named(statement),
        };
        let mut resolved = statement.clone();
        let inner = match named {
            Some(prepared) if !prepared.stale.get() => {
                self.current_facts(&prepared, policies).await.ok()
            }
            Some(_) | None => None,
        };
        match inner.as_ref().and_then(|facts| facts.statements.first()) {
            Some(inner) => {
                take_over(&mut resolved, inner);
                if matches!(
                    inner.effect,
                    SessionEffect::Execute { .. } | SessionEffect::Fetch { .. }
                ) {
                    // The server follows the names as far as they lead.
                    let what = format!("{} of another", statement.command);
                    resolved.opaque.push(Opaque::UnknownName(what));
                }
            }
            None => resolved.opaque.push(Opaque::UnknownName(format!(
                "{} of a name not seen defined",
                statement.command
            ))),
        }
        Some(Resolved { statement: resolved, inner: None })
    }

    /// What the name of an EXECUTE or a FETCH stands for now.
    pub(super) fn named(&self, statement: &Statement) -> Option<Rc<Prepared>> {
        match &statement.effect {
            SessionEffect::Execute { name } => self.names.statement(name.as_bytes()).cloned(),
            SessionEffect::Fetch { name } => {
                self.names.portal(name.as_bytes()).map(|portal| portal.prepared.clone())
            }
            SessionEffect::None
            | SessionEffect::Prepare { .. }
            | SessionEffect::Declare { .. }
            | SessionEffect::Deallocate { .. }
            | SessionEffect::CloseCursor { .. }
            | SessionEffect::DiscardAll => None,
        }
    }

    /// The server describes, and a portal that has begun gives, what the name stood for then or
    /// stands for now: which, depends.
    pub(super) fn stands_on_another(&self, portal: &Portal, facts: &Facts) -> bool {
        let now = facts.statements.first().and_then(|first| self.named(first));
        now.as_ref().map(Rc::as_ptr) != portal.stands_on.as_ref().map(Rc::as_ptr)
    }

    /// A FETCH goes on with its cursor's rows, which the row limit counts together.
    pub(super) fn count_on(&self, running: &mut Running) {
        let SessionEffect::Fetch { name } = &running.statement().effect else { return };
        if let Some(cursor) = self.names.portal(name.as_bytes()) {
            running.given = Some(cursor.given.clone());
            running.unseen_code |= !cursor.is_as(&cursor.prepared.facts.borrow());
        }
    }

    /// EXECUTE or FETCH of a name whose definition is on its way: what it stands for shows
    /// when the server has answered, which may have refused it.
    pub(super) fn names_what_may_not_be(&self, facts: &Facts) -> bool {
        if !facts.leave_something {
            return false;
        }
        let on_its_way = |confirmed: bool, segment: u64| !confirmed && segment != self.segment;
        facts.statements.iter().any(|statement| match &statement.effect {
            SessionEffect::Execute { name } => {
                let named = self.names.statement(name.as_bytes());
                named.is_some_and(|named| on_its_way(named.confirmed.get(), named.segment))
            }
            SessionEffect::Fetch { name } => {
                let named = self.names.portal(name.as_bytes());
                named.is_some_and(|named| on_its_way(named.confirmed.get(), named.segment))
            }
            SessionEffect::None
            | SessionEffect::Prepare { .. }
            | SessionEffect::Declare { .. }
            | SessionEffect::Deallocate { .. }
            | SessionEffect::CloseCursor { .. }
            | SessionEffect::DiscardAll => false,
        })
    }

    /// The text and values that EXECUTE and FETCH run, for a grant to bind as well.
    pub(super) fn named_content(&self, statements: &[&Statement]) -> Vec<u8> {
        let mut content = Vec::new();
        for statement in statements {
            if let SessionEffect::Execute { name } = &statement.effect
                && let Some(named) = self.names.statement(name.as_bytes())
            {
                content.extend_from_slice(&named.text);
            }
            if let SessionEffect::Fetch { name } = &statement.effect
                && let Some(named) = self.names.portal(name.as_bytes())
            {
                content.extend_from_slice(&named.prepared.text);
                content.extend_from_slice(&named.bind);
            }
        }
        content
    }

    /// The facts of a prepared statement as the database is now.
    pub(super) async fn current_facts(
        &mut self,
        prepared: &Rc<Prepared>,
        policies: &Rc<dyn PolicySet>,
    ) -> Result<Rc<Facts>, Refusal> {
        let known = prepared.facts.borrow().clone();
        let now = self.shared.moment().instant;
        // First whether anything is stale, and only then of what these facts are.
        let is_current = self.database.keep_up_to_date(now)
            && known.is_of(self.database.view_version(), policies.classifiers())
            && prepared.reading.get() == Some(self.reading.number());
        // What is stale may be sent again, and is read then as everything is.
        if is_current && !prepared.stale.get() {
            return Ok(known);
        }
        if !prepared.read_as.get().holds(self.reading.read_as(), &prepared.text) {
            // The server goes on with what it took the text for then.
            return Err(Refusal::ReadOtherwise);
        }
        let facts = self.analyse(prepared.text(), policies).await?;
        prepared.facts.replace(facts.clone());
        // The server plans anew as well, and may describe the result otherwise.
        prepared.described.replace(None);
        prepared.reading.set(Some(self.reading.number()));
        Ok(facts)
    }
}

/// EXECUTE and FETCH do what they name.
fn take_over(statement: &mut Statement, inner: &Statement) {
    // What it is given can be of anywhere, and comes out as what has no source.
    let given = statement.columns.clone();
    statement.actions.retain(|action| *action != Action::ExecuteDynamic);
    statement.actions.extend(&inner.actions);
    statement.relations.extend(inner.relations.iter().cloned());
    statement.redefined.extend(&inner.redefined);
    statement.functions.extend(inner.functions.iter().cloned());
    statement.carriers.extend(inner.carriers.iter().cloned());
    statement.opaque.extend(inner.opaque.iter().cloned());
    statement.parameters_set.extend(inner.parameters_set.iter().cloned());
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
    if !given.is_empty() {
        if statement.outputs != Outputs::Nothing {
            statement.outputs = Outputs::Anything;
        }
        statement.written.iter_mut().for_each(|written| written.sources.extend(given.clone()));
    }
    if !is_plain && statement.action() == Action::Create {
        statement.opaque.push(Opaque::UnknownName("a table made from a prepared statement".into()));
    }
}
