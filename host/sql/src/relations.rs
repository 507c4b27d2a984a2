//! Relations as a statement names them, resolved, with the columns it uses of them.

use std::collections::{BTreeSet, HashSet};

use portcullis_policy::lineage::{ColumnRef, Outputs};
use portcullis_policy::statement::{Access, Opaque, RelationUse};

use crate::catalog::{Catalog, Relation, RelationKind, Scope};
use crate::lineage::{Traced, read_by};
use crate::walk::{Named, Stands};

/// Resolves what a statement names.
pub(crate) fn resolve(named: &[Named], scope: &Scope<'_>, traced: &Traced) -> Vec<RelationUse> {
    let mut uses: Vec<RelationUse> = Vec::new();
    for name in named {
        let relation = find(name, scope);
        let entry = relation_use(name, relation, traced);
        // Conditions and RETURNING read what the statement writes.
        let reads = entry.access == Access::Write
            && traced.columns.iter().any(|column| is_of(column, &entry));
        let read = reads.then(|| {
            let read = Named { access: Access::Read, ..name.clone() };
            relation_use(&read, relation, traced)
        });
        for entry in [Some(entry), read].into_iter().flatten() {
            if !uses.iter().any(|known| known.name == entry.name && known.access == entry.access) {
                uses.push(entry);
            }
        }
    }
    uses
}

/// What a rule makes of a write is not in its text, be it one of a table behind the view that is
/// written. Triggers run beside the write, which stays what it says.
pub(crate) fn rewritten(named: &[Named], scope: &Scope<'_>) -> Vec<Opaque> {
    let written = named.iter().filter(|name| name.access == Access::Write);
    let relations = written.filter_map(|name| find(name, scope));
    let ruled = relations.filter(|relation| is_ruled(relation, scope));
    ruled.map(|relation| Opaque::Rewritten(relation.qualified())).collect()
}

fn is_ruled(written: &Relation, scope: &Scope<'_>) -> bool {
    let has_rules = |relation: &Relation| !relation.rewrites.is_empty();
    let Some(catalog) = scope.catalog.filter(|_| written.kind == RelationKind::View) else {
        return has_rules(written);
    };
    catalog.relations().any(has_rules)
        && read_by(written, scope).is_none_or(|behind| {
            behind.into_iter().filter_map(|oid| catalog.relation(oid)).any(has_rules)
        })
}

/// The relations that are there and that a statement could define anew, with those whose labels they
/// have by inheritance, by OID; none for one that cannot be told, or that shows what its definition
/// says. Which of several a name without a schema means can be another by the time that it runs, and
/// counts for all of them.
pub(crate) fn redefined(named: &[Named], scope: &Scope<'_>) -> Vec<Option<u32>> {
    let Some(catalog) = scope.catalog else { return vec![None] };
    let there = called(named, Stands::There, catalog);
    let with_ancestors = there.flat_map(|relation| catalog.ancestors(relation.oid));
    let oids: BTreeSet<Option<u32>> = with_ancestors
        .map(|relation| (relation.kind != RelationKind::ForeignTable).then_some(relation.oid))
        .collect();
    oids.into_iter().collect()
}

/// A view that it may replace, or give another name to be replaced under, is one below a materialised
/// view, which holds what this one showed: with another meaning nobody would know what that was.
pub(crate) fn moves_what_is_kept(named: &[Named], replaces: bool, scope: &Scope<'_>) -> bool {
    let Some(catalog) = scope.catalog else { return true };
    let there = called(named, Stands::There, catalog);
    let mut views = there
        .chain(called(named, Stands::Made, catalog).filter(|_| replaces))
        .filter(|relation| relation.kind == RelationKind::View)
        .peekable();
    if views.peek().is_none() {
        return false;
    }
    let kept = catalog.kept.get_or_init(|| {
        let relations = catalog.relations();
        let kept = relations.filter(|relation| relation.kind == RelationKind::MaterializedView);
        let mut all = HashSet::new();
        for kept in kept {
            all.extend(read_by(kept, scope)?);
        }
        Some(all)
    });
    kept.as_ref().is_none_or(|kept| views.any(|view| kept.contains(&view.oid)))
}

/// What bears the names of what a statement defines.
fn called<'a>(
    named: &'a [Named],
    stands: Stands,
    catalog: &'a Catalog,
) -> impl Iterator<Item = &'a Relation> {
    let named =
        named.iter().filter(move |name| name.access == Access::Define && name.stands == stands);
    named.flat_map(|name| {
        let all = catalog.named(&name.name);
        all.filter(|found| name.schema.as_ref().is_none_or(|schema| *schema == found.schema))
    })
}

/// Every column of these relations; None where one of them is not known.
pub(crate) fn every_column(uses: &[RelationUse], scope: &Scope<'_>) -> Option<Vec<ColumnRef>> {
    let mut columns = Vec::new();
    for entry in uses.iter().filter(|entry| entry.access != Access::Define) {
        let relation = scope.catalog?.relation(entry.oid?)?;
        match relation.kind {
            RelationKind::Table
            | RelationKind::PartitionedTable
            | RelationKind::ForeignTable
            | RelationKind::Sequence => {}
            // What a view reads is in its definition.
            RelationKind::View | RelationKind::MaterializedView | RelationKind::Other => {
                return None;
            }
        }
        columns.extend(relation.columns.iter().map(|column| relation.reference(column)));
    }
    Some(columns)
}

fn find<'a>(name: &Named, scope: &Scope<'a>) -> Option<&'a Relation> {
    if name.stands != Stands::Made {
        return scope.resolve(name.schema.as_deref(), &name.name);
    }
    // What is made is made in the first schema of the path, whatever the others have.
    let first = scope.search_path.and_then(|path| path.first()).map(String::as_str);
    scope.catalog?.find(name.schema.as_deref().or(first)?, &name.name)
}

fn relation_use(name: &Named, relation: Option<&Relation>, traced: &Traced) -> RelationUse {
    let mut entry = RelationUse {
        name: match (relation, &name.schema) {
            (Some(relation), _) => relation.qualified(),
            (None, Some(schema)) => format!("{schema}.{}", name.name),
            (None, None) => name.name.clone(),
        },
        resolved: relation.is_some(),
        oid: relation.map(|relation| relation.oid),
        access: name.access,
        columns: Vec::new(),
        all_columns: true,
        labels: Vec::new(),
    };
    match name.access {
        Access::Read => {
            let columns = traced.columns.iter().filter(|column| is_of(column, &entry));
            let columns = columns.cloned().collect();
            let plain = relation.is_some_and(|relation| relation.kind == RelationKind::Table);
            let complete = match traced.outputs {
                Outputs::Columns(_) => true,
                Outputs::Nothing | Outputs::Unknown(_) | Outputs::Anything => false,
            };
            fill(&mut entry, columns, plain && complete);
        }
        Access::Write => {
            let targets = traced.written.iter().map(|written| &written.target);
            let columns = targets.filter(|column| is_of(column, &entry)).cloned().collect();
            fill(&mut entry, columns, false);
        }
        Access::Define => {}
    }
    entry
}

/// `complete`: where no column is named, none is used.
fn fill(entry: &mut RelationUse, columns: Vec<ColumnRef>, complete: bool) {
    let whole = columns.iter().any(|column| column.column == "*" || column.column.is_empty());
    entry.all_columns = whole || (columns.is_empty() && !complete);
    if !entry.all_columns {
        entry.columns = columns.into_iter().map(|column| column.column).collect();
        entry.columns.sort_unstable();
        entry.columns.dedup();
    }
}

fn is_of(column: &ColumnRef, entry: &RelationUse) -> bool {
    match (column.origin, entry.oid) {
        (Some((oid, _)), Some(entry_oid)) => oid == entry_oid,
        _ => column.relation == entry.name,
    }
}
