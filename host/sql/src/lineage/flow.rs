//! What is known of one value while a statement is traced.

use std::collections::{HashMap, HashSet};

use portcullis_policy::lineage::{ColumnRef, Derivation, Lineage};

use crate::catalog::Catalog;

/// A column, numbered within one trace.
pub(super) type ColumnId = u32;

/// How a value comes about, and, where that is not known, how much could be behind it.
///
/// The order is the order of mixing: a value made of two others is at least the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    None,
    Count,
    Direct,
    Derived,
    /// A named column of a relation nobody knows: that column, or anything behind it.
    Named,
    /// Not explained: anything the statement can read.
    Opaque,
    /// Not even the relations are known.
    Database,
}

/// A value: how it comes about and from which columns, sorted and each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) how: How,
    pub(super) sources: Vec<ColumnId>,
}

impl Flow {
    pub(super) fn none() -> Flow {
        Flow { how: How::None, sources: Vec::new() }
    }

    pub(super) fn opaque() -> Flow {
        Flow { how: How::Opaque, sources: Vec::new() }
    }

    pub(super) fn new(how: How, mut sources: Vec<ColumnId>) -> Flow {
        sources.sort_unstable();
        sources.dedup();
        Flow { how, sources }
    }

    /// A value computed from others.
    ///
    /// What is computed from counts alone is a count. Beside a value, a count adds nothing to
    /// mask.
    pub(super) fn mix<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Flow {
        let flows: Vec<&Flow> = flows.into_iter().collect();
        let how = match flows.iter().map(|flow| flow.how).max().unwrap_or(How::None) {
            How::Direct => How::Derived,
            how @ (How::None
            | How::Count
            | How::Derived
            | How::Named
            | How::Opaque
            | How::Database) => how,
        };
        let counts = how <= How::Count;
        let sources = flows
            .iter()
            .filter(|flow| counts || flow.how != How::Count)
            .flat_map(|flow| flow.sources.iter().copied())
            .collect();
        Flow::new(how, sources)
    }

    /// One of two values, unchanged: the branches of a set operation.
    pub(super) fn either(&self, other: &Flow) -> Flow {
        if self.how == How::Direct && other.how == How::Direct {
            return Flow::new(How::Direct, [&self.sources[..], &other.sources].concat());
        }
        Flow::mix([self, other])
    }

    /// The same value, whose presence or choice tells of `control` too.
    ///
    /// Only where the value itself reads nothing: elsewhere a predicate chooses among values
    /// that carry their own sources.
    pub(super) fn steered(&self, control: &Flow) -> Flow {
        if self.how <= How::Count && control.how > How::Count {
            return Flow::mix([self, control]);
        }
        self.clone()
    }

    /// The same value, where how many rows there are decides it too, whatever it reads itself.
    pub(super) fn counting(&self, number: &Flow) -> Flow {
        if number.reads_nothing() { self.steered(number) } else { Flow::mix([self, number]) }
    }

    pub(super) fn reads_nothing(&self) -> bool {
        self.how <= How::Count
    }

    /// What the number of rows tells of; none where that is nothing.
    pub(super) fn into_number(self) -> Option<Flow> {
        (!self.reads_nothing()).then_some(self)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Column {
    Known(u32, i16),
    AsWritten(String, String),
}

/// The columns of one trace by number.
#[derive(Default)]
pub(super) struct Columns {
    numbers: HashMap<Column, ColumnId>,
    columns: Vec<Column>,
    /// Relations read, by OID: what an unexplained value could come from.
    read: Vec<u32>,
    seen: HashSet<u32>,
    /// `relation.*` for relations that are not known.
    strangers: Vec<ColumnId>,
}

impl Columns {
    pub(super) fn known(&mut self, oid: u32, attribute: i16) -> ColumnId {
        self.number(Column::Known(oid, attribute))
    }

    pub(super) fn as_written(&mut self, relation: &str, column: &str) -> ColumnId {
        self.number(Column::AsWritten(relation.to_owned(), column.to_owned()))
    }

    pub(super) fn read(&mut self, oid: u32) {
        if self.seen.insert(oid) {
            self.read.push(oid);
        }
    }

    pub(super) fn read_stranger(&mut self, relation: &str) -> ColumnId {
        let id = self.as_written(relation, "*");
        if !self.strangers.contains(&id) {
            self.strangers.push(id);
        }
        id
    }

    /// Relations are read that nobody knows.
    pub(super) fn have_strangers(&self) -> bool {
        !self.strangers.is_empty()
    }

    /// All columns of the known relations read, and with `strangers` those of the others.
    pub(super) fn all(&mut self, catalog: Option<&Catalog>, strangers: bool) -> Vec<ColumnId> {
        let mut all = Vec::new();
        for oid in self.read.clone() {
            let Some(relation) = catalog.and_then(|catalog| catalog.relation(oid)) else {
                continue;
            };
            all.extend(relation.columns.iter().map(|column| self.known(oid, column.attribute)));
        }
        if strangers {
            all.extend(&self.strangers);
        }
        all
    }

    pub(super) fn reference(&self, id: ColumnId, catalog: Option<&Catalog>) -> Option<ColumnRef> {
        match self.columns.get(id as usize)? {
            Column::AsWritten(relation, column) => {
                Some(ColumnRef { relation: relation.clone(), column: column.clone(), origin: None })
            }
            Column::Known(oid, attribute) => catalog?.reference((*oid, *attribute)),
        }
    }

    /// By name, each once.
    pub(super) fn references(&self, ids: &[ColumnId], catalog: Option<&Catalog>) -> Vec<ColumnRef> {
        let mut references: Vec<ColumnRef> =
            ids.iter().filter_map(|id| self.reference(*id, catalog)).collect();
        references.sort();
        references.dedup();
        references
    }

    /// The sources of a value; for one not explained, all it could have read.
    pub(super) fn sources(&mut self, flow: &Flow, catalog: Option<&Catalog>) -> Vec<ColumnRef> {
        let mut ids = flow.sources.clone();
        if flow.how >= How::Named {
            ids.extend(self.all(catalog, flow.how >= How::Opaque));
        }
        self.references(&ids, catalog)
    }

    pub(super) fn lineage(&mut self, flow: &Flow, catalog: Option<&Catalog>) -> Lineage {
        let derivation = match flow.how {
            How::None => Derivation::None,
            How::Count => Derivation::Count,
            How::Direct => Derivation::Direct,
            How::Derived => Derivation::Derived,
            How::Named | How::Opaque | How::Database => Derivation::Unknown,
        };
        Lineage { derivation, sources: self.sources(flow, catalog) }
    }

    fn number(&mut self, column: Column) -> ColumnId {
        if let Some(id) = self.numbers.get(&column) {
            return *id;
        }
        let id = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        self.columns.push(column.clone());
        self.numbers.insert(column, id);
        id
    }
}
