//! What maskers would do with a result, as far as it can be told without a database.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_policy::{
    ColumnAction, ColumnRef, Derivation, Mode, OutputColumn, Outputs, PlanAnswer, ResultShape,
    SourceColumn, Statement, WireFormat,
};
use portcullis_sql::{Catalog, Limits, Relation, Scope, TEXT_OID, analyze};

use super::policies::{Policies, qualified};

const OID_FIRST: u32 = 16_384;

/// A column of the result, what each masker wants, and what comes of it.
pub(super) struct PlannedColumn {
    pub(super) output: OutputColumn,
    /// One answer per masker, of this column only.
    pub(super) plans: Vec<ColumnPlan>,
    pub(super) action: ColumnAction,
}

pub(super) struct ColumnPlan {
    pub(super) policy: portcullis_policy::PolicyName,
    pub(super) mode: Mode,
    pub(super) answer: Result<portcullis_policy::MaskAction, portcullis_policy::Fault>,
}

/// Asks the maskers. None where the columns cannot be told apart.
pub(super) fn plan(
    policies: &Policies,
    statement: &Statement,
    scope: &Scope<'_>,
    limits: &Limits,
) -> Option<Vec<PlannedColumn>> {
    let Outputs::Columns(written) = &statement.outputs else {
        return None;
    };
    let tables = tables(statement);
    let scope = Scope { catalog: Some(&tables), ..*scope };
    let again = analyze(&statement.text, &scope, limits).into_iter().next();
    let lineages = match again.map(|statement| statement.outputs) {
        Some(Outputs::Columns(lineages)) if lineages.len() == written.len() => lineages,
        Some(Outputs::Columns(_) | Outputs::Nothing | Outputs::Unknown(_) | Outputs::Anything)
        | None => written.clone(),
    };
    let columns: Vec<OutputColumn> = lineages
        .iter()
        .map(|lineage| output(policies, lineage.derivation, &lineage.sources))
        .collect();
    let shape = ResultShape {
        principal: &policies.asker.principal,
        database: &policies.asker.database,
        shape: &statement.shape,
        columns: &columns,
        attributes: &[],
    };
    let answers = policies.set.plan(&shape);
    Some(
        columns
            .into_iter()
            .enumerate()
            .map(|(index, column)| planned(column, index, &answers))
            .collect(),
    )
}

fn planned(output: OutputColumn, index: usize, answers: &[PlanAnswer]) -> PlannedColumn {
    let mut action = ColumnAction::Pass;
    let mut plans = Vec::new();
    for given in answers {
        let answer = match &given.answer {
            Ok(actions) => match actions.get(index) {
                Some(wanted) => Ok(wanted.clone()),
                // The set has checked that there is one action per column.
                None => continue,
            },
            Err(fault) => Err(fault.clone()),
        };
        if given.mode == Mode::Enforce {
            action = match &answer {
                Ok(wanted) => action.and(&given.policy, wanted.clone()),
                Err(_) => ColumnAction::Nullify,
            };
        }
        plans.push(ColumnPlan { policy: given.policy.clone(), mode: given.mode, answer });
    }
    PlannedColumn { output, plans, action }
}

fn output(policies: &Policies, derivation: Derivation, sources: &[ColumnRef]) -> OutputColumn {
    // A name given by AS says nothing of what is in the column.
    let name = match (derivation, sources) {
        (Derivation::Direct, [source]) => source.column.clone(),
        _ => "?column?".to_owned(),
    };
    let sources = sources.iter().map(|source| SourceColumn {
        relation: source.relation.clone(),
        column: source.column.clone(),
        labels: policies.labels(&source.relation, Some(&source.column)),
    });
    OutputColumn {
        name,
        type_name: "text".to_owned(),
        type_oid: TEXT_OID,
        format: WireFormat::Text,
        derivation,
        sources: sources.collect(),
    }
}

/// Tables with the columns that a statement names: without a catalog no column is known to
/// be one, and every plan would be that for the unknown.
fn tables(statement: &Statement) -> Catalog {
    let mut tables: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for relation in &statement.relations {
        let columns = relation.columns.iter().map(String::as_str);
        tables.entry(qualified(&relation.name)).or_default().extend(columns);
    }
    let lineages = match &statement.outputs {
        Outputs::Columns(lineages) => lineages.as_slice(),
        Outputs::Nothing | Outputs::Unknown(_) | Outputs::Anything => &[],
    };
    for source in lineages.iter().flat_map(|lineage| &lineage.sources) {
        tables.entry(qualified(&source.relation)).or_default().insert(&source.column);
    }
    let relations = (OID_FIRST..).zip(&tables).filter_map(|(oid, (name, columns))| {
        let (schema, name) = name.split_once('.')?;
        // PostgreSQL's own relations are known without a catalog.
        let own = schema.starts_with("pg_") || schema == "information_schema";
        (!own).then(|| table(oid, schema, name, columns))
    });
    Catalog::new(1, relations, [])
}

fn table(oid: u32, schema: &str, name: &str, columns: &BTreeSet<&str>) -> Relation {
    let named = columns.iter().copied().filter(|column| *column != "*");
    Relation::table(oid, schema, name, named)
}
