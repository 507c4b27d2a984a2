//! Which columns are sensitive, and how the proxy knows.

use std::collections::{BTreeSet, HashMap};
use std::io;

use portcullis_policy::{ColumnRef, ColumnSample, PolicySet};
use portcullis_sql::{Catalog, Relation, RelationKind};

use crate::asking::{Asking, is_locked_out};

/// Rows looked at per relation.
const SAMPLE_ROWS_MAX: usize = 200;
/// Characters looked at per value.
const SAMPLE_CHARACTERS_MAX: usize = 256;
/// Below this a classifier's label does not count.
const CONFIDENCE_MIN: f32 = 0.5;

/// Labels by relation OID and attribute number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels {
    by_column: HashMap<(u32, i16), Vec<String>>,
    /// Relations whose content was looked at, and under which classifiers.
    sampled: HashMap<u32, u64>,
    configured: HashMap<(u32, i16), Vec<String>>,
}

impl Labels {
    pub fn of(&self, origin: (u32, i16)) -> &[String] {
        self.by_column.get(&origin).map_or(&[], Vec::as_slice)
    }

    pub fn of_column(&self, column: &ColumnRef) -> &[String] {
        column.origin.map_or(&[], |origin| self.of(origin))
    }

    /// Every label in use anywhere in the database.
    pub fn all(&self) -> BTreeSet<&str> {
        self.by_column.values().flatten().map(String::as_str).collect()
    }

    pub fn is_sampled(&self, oid: u32, classifiers: u64) -> bool {
        self.sampled.get(&oid) == Some(&classifiers)
    }

    /// Adds what the configuration says: `schema.table.column` and a label.
    pub fn configure(&mut self, catalog: &Catalog, configured: &[(String, String)]) {
        for (path, label) in configured {
            let mut parts = path.rsplitn(3, '.');
            let (column, table) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let schema = parts.next().unwrap_or("public");
            let relation = catalog.find(schema, table);
            let column = relation
                .and_then(|relation| Some((relation.oid, relation.column(column)?.attribute)));
            match column {
                Some(origin) => {
                    self.add(origin, label);
                    self.configured.entry(origin).or_default().push(label.clone());
                }
                // A table may yet be created; the label takes hold with the next snapshot.
                None => {
                    tracing::warn!(column = path, "column_labels names a column that is not there")
                }
            }
        }
    }

    fn add(&mut self, origin: (u32, i16), label: &str) {
        let labels = self.by_column.entry(origin).or_default();
        if !labels.iter().any(|standing| standing == label) {
            labels.push(label.to_owned());
        }
    }

    /// Says that a relation was looked at and that nothing was found.
    #[cfg(any(test, feature = "scripted"))]
    pub fn count_as_sampled(&mut self, oid: u32, classifiers: u64) {
        self.sampled.insert(oid, classifiers);
    }

    /// Keeps what was found by looking, for relations that still are what they were.
    pub fn keep_sampled(&mut self, old: &Labels, old_catalog: &Catalog, new_catalog: &Catalog) {
        for (&oid, &classifiers) in &old.sampled {
            let (before, now) = (old_catalog.relation(oid), new_catalog.relation(oid));
            if before.is_some() && before.map(|r| &r.columns) == now.map(|r| &r.columns) {
                self.sampled.insert(oid, classifiers);
            }
        }
        for (&origin, labels) in &old.by_column {
            if self.sampled.contains_key(&origin.0) {
                labels.iter().for_each(|label| self.add(origin, label));
            }
        }
    }

    /// Looks at `relation`'s content and asks the classifiers. What cannot be read is
    /// classified by name and comment alone.
    pub async fn sample(
        &mut self,
        asking: &mut Asking,
        relation: &Relation,
        policies: &dyn PolicySet,
    ) -> io::Result<()> {
        let rows = match relation.kind {
            // A view shows what its tables hold, and lineage follows it there.
            RelationKind::Sequence | RelationKind::Other | RelationKind::View => return Ok(()),
            RelationKind::Table
            | RelationKind::PartitionedTable
            | RelationKind::ForeignTable
            | RelationKind::MaterializedView => rows(asking, relation).await?,
        };
        let sample = |(index, column): (usize, &portcullis_sql::Column)| ColumnSample {
            relation: relation.qualified(),
            column: column.name.clone(),
            type_name: column.type_name.clone(),
            comment: column.comment.clone(),
            values: rows.iter().filter_map(|row| row.get(index).cloned().flatten()).collect(),
        };
        let mut classified = Vec::with_capacity(relation.columns.len());
        for column in relation.columns.iter().enumerate() {
            let labels = policies.classify(&[sample(column)]).map_err(|fault| {
                let what =
                    format!("{} could not be classified: {}", relation.qualified(), fault.message);
                io::Error::other(what)
            })?;
            classified.extend(labels);
            // The worker's other sessions do not wait for all of a wide table.
            tokio::task::yield_now().await;
        }
        // What other classifiers found before does not count any more.
        self.by_column.retain(|(oid, _), _| *oid != relation.oid);
        let configured = self.configured.iter().filter(|((oid, _), _)| *oid == relation.oid);
        for (origin, labels) in
            configured.map(|(origin, labels)| (*origin, labels.clone())).collect::<Vec<_>>()
        {
            self.by_column.insert(origin, labels);
        }
        for (column, labels) in relation.columns.iter().zip(classified) {
            for label in labels.iter().filter(|label| label.confidence >= CONFIDENCE_MIN) {
                self.add((relation.oid, column.attribute), &label.name);
            }
        }
        self.sampled.insert(relation.oid, policies.classifiers());
        Ok(())
    }
}

async fn rows(asking: &mut Asking, relation: &Relation) -> io::Result<Vec<crate::asking::Row>> {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = relation
        .columns
        .iter()
        .map(|c| {
            format!("pg_catalog.left({}::pg_catalog.text, {SAMPLE_CHARACTERS_MAX})", quote(&c.name))
        })
        .collect();
    let text = format!(
        "select {} from {}.{} limit {SAMPLE_ROWS_MAX}",
        columns.join(", "),
        quote(&relation.schema),
        quote(&relation.name)
    );
    match asking.ask(&text).await {
        Ok(rows) => Ok(rows),
        Err(error) if error.kind() == io::ErrorKind::Other && !is_locked_out(&error) => {
            tracing::info!(relation = relation.qualified(), %error, "content not sampled");
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
