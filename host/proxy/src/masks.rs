//! From lineage and labels to what is done with each column of a result.

use std::sync::Arc;

use portcullis_masking::MaskColumn;
use portcullis_policy::principal::Asker;
use portcullis_policy::{
    Access, ColumnAction, ColumnRef, Derivation, Mode, Opaque, OutputColumn, Outputs, PolicySet,
    ResultShape, SourceColumn, Statement, Unmatched, WireFormat,
};
use portcullis_sql::{Relation, RelationKind, TEXT_OID};

use crate::database::View;
use crate::names::ResultField;

/// What becomes of a result's columns.
pub struct MaskPlan {
    pub columns: Vec<MaskColumn>,
    /// What maskers in observe mode want, where they want anything.
    pub observed: Option<Vec<MaskColumn>>,
    /// Columns that could come from anything in the database.
    unexplained: Vec<bool>,
    /// A masker failed to answer, if only one that observes: it is asked again the next time.
    pub failed: bool,
}

/// One action per column.
struct Planned {
    enforced: Vec<ColumnAction>,
    /// By maskers in observe mode, where any of them does something.
    observed: Option<Vec<ColumnAction>>,
    /// One of those did not say.
    failed: bool,
}

/// Enforcing maskers failed to answer, so that everything counts as hidden, for now.
pub struct Unanswered;

impl MaskPlan {
    pub fn passes_all(&self) -> bool {
        self.columns.iter().all(|column| column.action == ColumnAction::Pass)
    }

    /// Does anything of it rest on what is labelled anywhere in the database?
    pub fn is_unexplained(&self) -> bool {
        self.unexplained.contains(&true)
    }

    /// Shows nothing that could come from anywhere.
    pub fn hide_unexplained(&mut self) {
        let unexplained = self.columns.iter_mut().zip(&self.unexplained);
        for (column, _) in unexplained.filter(|(_, unexplained)| **unexplained) {
            column.action = ColumnAction::Nullify;
        }
    }
}

/// Who plans for whom.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    pub asker: &'a Asker,
    pub view: &'a View,
    pub policies: &'a dyn PolicySet,
    pub unmatched: Unmatched,
}

impl Planner<'_> {
    /// Plans a result whose columns the server described.
    pub fn rows(&self, statement: &Statement, fields: &[ResultField]) -> MaskPlan {
        let is_ruled = self.is_ruled(statement);
        let columns: Vec<OutputColumn> = fields
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let lineage = self.lineage((statement, is_ruled), fields.len(), index, field);
                self.output(field, lineage)
            })
            .collect();
        let not_null = |field: &ResultField| self.is_not_null(field.table_oid, field.attribute);
        let planned = self.plan(&statement.shape, &columns);
        let planned = planned.unwrap_or_else(|Unanswered| Planned {
            enforced: nothing_shown(columns.len()),
            observed: None,
            failed: true,
        });
        let failed = planned.failed;
        let anything = |column: &OutputColumn| column.sources.iter().any(is_anything);
        let unexplained = columns.iter().map(anything).collect();
        let mask_columns = |actions: Vec<ColumnAction>| {
            let each = fields.iter().zip(&columns).zip(actions);
            let masked = each.map(|((field, column), action)| MaskColumn {
                type_oid: field.type_oid,
                format: column.format,
                not_null: not_null(field),
                action,
                labels: labels(column),
            });
            masked.collect()
        };
        let observed = planned.observed.map(mask_columns);
        MaskPlan { columns: mask_columns(planned.enforced), observed, unexplained, failed }
    }

    /// Plans COPY TO STDOUT of `count` columns, which the server does not describe.
    pub fn copy(&self, statement: &Statement, count: usize, binary: bool) -> MaskPlan {
        let fields: Vec<ResultField> = (0..count)
            .map(|index| {
                let origin = match &statement.outputs {
                    Outputs::Columns(columns) if columns.len() == count => columns
                        .get(index)
                        .filter(|column| column.derivation == Derivation::Direct)
                        .and_then(|column| column.sources.first()?.origin),
                    Outputs::Columns(_)
                    | Outputs::Nothing
                    | Outputs::Unknown(_)
                    | Outputs::Anything => None,
                };
                let column = origin.and_then(|origin| self.column(origin));
                ResultField {
                    name: column.map(|column| column.name.clone()).unwrap_or_default(),
                    table_oid: 0,
                    attribute: 0,
                    type_oid: column.map_or(TEXT_OID, |column| column.type_oid),
                    binary,
                }
            })
            .collect();
        self.rows(statement, &fields)
    }

    /// One value that comes from who knows where: a notification's payload.
    pub fn stray_text(&self) -> MaskPlan {
        let column = OutputColumn {
            name: "payload".into(),
            type_name: "text".into(),
            type_oid: TEXT_OID,
            format: WireFormat::Text,
            derivation: Derivation::Unknown,
            sources: Vec::new(),
        };
        let planned = self.plan("<notification>", std::slice::from_ref(&column));
        let failed = planned.is_err();
        let action = planned.ok().and_then(|planned| planned.enforced.into_iter().next());
        let action = action.unwrap_or(ColumnAction::Nullify);
        let column = MaskColumn {
            type_oid: TEXT_OID,
            format: WireFormat::Text,
            not_null: true,
            action,
            labels: Vec::new(),
        };
        MaskPlan { columns: vec![column], observed: None, unexplained: vec![false], failed }
    }

    /// Would the principal see any column of this relation masked?
    pub fn hides_any_of(&self, relation: &Relation) -> Result<bool, Unanswered> {
        any(relation.columns.iter().map(|column| self.hides(&relation.reference(column))))
    }

    /// The same; of one that nobody has looked at, any could be.
    pub fn may_hide_any_of(&self, relation: &Relation) -> Result<bool, Unanswered> {
        let is_unseen = self.view.is_unseen(relation.oid, self.policies.classifiers());
        if is_unseen && self.may_mask() { Ok(true) } else { self.hides_any_of(relation) }
    }

    /// Would the principal see any column of the database masked? What nobody has looked at could
    /// have one.
    pub fn hides_anything(&self) -> Result<bool, Unanswered> {
        if !self.may_mask() {
            return Ok(false);
        }
        if self.view.unseen(self.policies.classifiers()).next().is_some() {
            return Ok(true);
        }
        any(self.view.catalog.relations().map(|relation| self.hides_any_of(relation)))
    }

    /// Could the principal see anything masked at all?
    pub fn may_mask(&self) -> bool {
        let coverage = self.policies.coverage(&self.asker.principal, &self.asker.database);
        coverage.masker || self.unmatched != Unmatched::Allow
    }

    /// Would the principal see this column masked, were it selected?
    pub fn hides(&self, column: &ColumnRef) -> Result<bool, Unanswered> {
        // Of PostgreSQL's own columns some hold others' values: the maskers know which.
        if self.view.labels.of_column(column).is_empty() && !column.is_of_postgresql() {
            return Ok(false);
        }
        let described = column.origin.and_then(|origin| self.column(origin));
        let output = OutputColumn {
            name: column.column.clone(),
            type_name: described.map_or_else(|| "text".into(), |column| column.type_name.clone()),
            type_oid: described.map_or(TEXT_OID, |column| column.type_oid),
            format: WireFormat::Text,
            derivation: Derivation::Direct,
            sources: vec![self.source(column)],
        };
        let planned = self.plan("<column>", &[output])?;
        Ok(planned.enforced.iter().any(|action| *action != ColumnAction::Pass))
    }

    /// The strictest of what maskers want.
    fn plan(&self, shape: &str, columns: &[OutputColumn]) -> Result<Planned, Unanswered> {
        let mut enforced = vec![ColumnAction::Pass; columns.len()];
        let (mut observed, mut failed) = (None, false);
        let shape = ResultShape {
            principal: &self.asker.principal,
            database: &self.asker.database,
            shape,
            columns,
            attributes: &[],
        };
        let mut masked = self.unmatched == Unmatched::Allow;
        for answer in self.policies.plan(&shape) {
            let observes = answer.mode == Mode::Observe;
            masked |= !observes;
            let wanted = match answer.answer {
                Ok(wanted) if wanted.len() == columns.len() => wanted,
                Ok(_) | Err(_) if observes => {
                    failed = true;
                    continue;
                }
                Ok(_) | Err(_) => return Err(Unanswered),
            };
            let actions = match observes {
                true => observed.get_or_insert_with(|| vec![ColumnAction::Pass; columns.len()]),
                false => &mut enforced,
            };
            for (action, wanted) in actions.iter_mut().zip(wanted) {
                *action = std::mem::take(action).and(&answer.policy, wanted);
            }
        }
        // The set changed between judging and planning cannot happen: both use the same one.
        // Still, without a masker nothing is shown.
        let enforced = if masked { enforced } else { nothing_shown(columns.len()) };
        let does_something = |actions: &Vec<ColumnAction>| {
            actions.iter().any(|action| *action != ColumnAction::Pass)
        };
        Ok(Planned { enforced, observed: observed.filter(does_something), failed })
    }

    fn output(
        &self,
        field: &ResultField,
        (derivation, sources): (Derivation, Vec<SourceColumn>),
    ) -> OutputColumn {
        let origin = (field.table_oid, field.attribute);
        let type_name = match self.column(origin).filter(|column| column.type_oid == field.type_oid)
        {
            Some(column) => column.type_name.clone(),
            None => self.type_name(field.type_oid),
        };
        OutputColumn {
            name: field.name.clone(),
            type_name,
            type_oid: field.type_oid,
            format: if field.binary { WireFormat::Binary } else { WireFormat::Text },
            derivation,
            sources,
        }
    }

    /// The server's word on where a column comes from, where it is final; lineage else.
    fn lineage(
        &self,
        (statement, is_ruled): (&Statement, bool),
        count: usize,
        index: usize,
        field: &ResultField,
    ) -> (Derivation, Vec<SourceColumn>) {
        let relation = self.view.catalog.relation(field.table_oid);
        let is_ordinary = relation.is_some_and(|relation| {
            matches!(
                relation.kind,
                RelationKind::Table | RelationKind::PartitionedTable | RelationKind::ForeignTable
            ) && relation.parents.is_empty()
        });
        let own = relation.and_then(|relation| {
            let column =
                relation.columns.iter().find(|column| column.attribute == field.attribute)?;
            Some(self.source(&relation.reference(column)))
        });
        if let (true, Some(own)) = (is_ordinary && !is_ruled, &own) {
            return (Derivation::Direct, vec![own.clone()]);
        }
        let (derivation, mut sources) = match &statement.outputs {
            _ if is_ruled => (Derivation::Unknown, self.everything()),
            Outputs::Columns(columns) if columns.len() == count => match columns.get(index) {
                // Of a relation that nobody knows it could be anything behind it.
                Some(column) if column.sources.iter().any(ColumnRef::is_of_nobody_known) => {
                    (Derivation::Unknown, self.everything())
                }
                Some(column) => (column.derivation, self.sources(&column.sources)),
                None => (Derivation::Unknown, self.everything()),
            },
            Outputs::Unknown(columns) if columns.iter().any(ColumnRef::is_of_nobody_known) => {
                (Derivation::Unknown, self.everything())
            }
            Outputs::Unknown(columns) => (Derivation::Unknown, self.sources(columns)),
            // The server returns more, fewer or other columns than lineage explains.
            Outputs::Columns(_) | Outputs::Nothing | Outputs::Anything => {
                (Derivation::Unknown, self.everything())
            }
        };
        sources.extend(own.filter(|own| !sources.contains(own)));
        (derivation, sources)
    }

    /// Could a rule answer in the place of what the statement writes? It gives back what it likes
    /// under the names of that relation's columns.
    fn is_ruled(&self, statement: &Statement) -> bool {
        if statement.actions.iter().all(|action| action.is_read()) {
            return false;
        }
        let is_rewritten = |reason: &Opaque| matches!(reason, Opaque::Rewritten(_));
        let mut written = statement.relations.iter().filter(|used| used.access == Access::Write);
        // Where it cannot be told what is written, any rule of the database could answer.
        let in_doubt =
            matches!(statement.outputs, Outputs::Anything) || written.any(|used| !used.resolved);
        let has_rules = |known: &Relation| !known.rewrites.is_empty();
        statement.opaque.iter().any(is_rewritten)
            || in_doubt && self.view.catalog.relations().any(has_rules)
    }

    fn sources(&self, columns: &[ColumnRef]) -> Vec<SourceColumn> {
        columns.iter().map(|column| self.source(column)).collect()
    }

    fn source(&self, column: &ColumnRef) -> SourceColumn {
        SourceColumn {
            relation: column.relation.clone(),
            column: column.column.clone(),
            labels: self.view.labels.of_column(column).to_vec(),
        }
    }

    /// All that could be read by a statement of which nothing is known: whatever is labelled.
    fn everything(&self) -> Vec<SourceColumn> {
        let labels: Vec<String> = self.view.labels.all().into_iter().map(str::to_owned).collect();
        vec![SourceColumn { relation: ANYTHING.into(), column: ANYTHING.into(), labels }]
    }

    fn column(&self, (oid, attribute): (u32, i16)) -> Option<&portcullis_sql::Column> {
        self.view.catalog.relation(oid)?.columns.iter().find(|column| column.attribute == attribute)
    }

    fn is_not_null(&self, oid: u32, attribute: i16) -> bool {
        self.column((oid, attribute)).is_some_and(|column| column.not_null)
    }

    fn type_name(&self, oid: u32) -> String {
        self.view.type_names.get(&oid).cloned().unwrap_or_else(|| format!("type {oid}"))
    }
}

fn nothing_shown(columns: usize) -> Vec<ColumnAction> {
    vec![ColumnAction::Nullify; columns]
}

/// Whether any is so. Where none is, and one is not known, that is not known either.
pub fn any(answers: impl Iterator<Item = Result<bool, Unanswered>>) -> Result<bool, Unanswered> {
    let mut none = Ok(false);
    for answer in answers {
        match answer {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(Unanswered) => none = Err(Unanswered),
        }
    }
    none
}

/// Stands for every relation and every column.
const ANYTHING: &str = "*";

fn is_anything(source: &SourceColumn) -> bool {
    source.relation == ANYTHING
}

fn labels(column: &OutputColumn) -> Vec<Arc<str>> {
    let mut labels: Vec<&String> =
        column.sources.iter().flat_map(|source| &source.labels).collect();
    labels.sort_unstable();
    labels.dedup();
    labels.into_iter().map(|label| label.as_str().into()).collect()
}

/// The principal and database of a session, shared by everything it asks.
pub fn asker(
    principal: portcullis_policy::Principal,
    database: &Arc<portcullis_policy::Database>,
) -> Asker {
    Asker { principal: Arc::new(principal), database: database.clone() }
}
