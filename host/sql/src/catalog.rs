//! What the readers need to know of a database: relations, columns, views, functions.
//!
//! A snapshot of plain data. Whoever talks to the server fills it; nothing here does I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use portcullis_policy::lineage::ColumnRef;

use crate::builtins::is_system_relation;

/// The type `text`, from `pg_type.dat`.
pub const TEXT_OID: u32 = 25;

/// What a relation is, from `pg_class.relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    PartitionedTable,
    ForeignTable,
    View,
    MaterializedView,
    Sequence,
    /// Composite types, indexes, toast tables: never read by name in ordinary work.
    Other,
}

/// A column of a relation, from `pg_attribute`; dropped columns are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// `attnum`, from 1.
    pub attribute: i16,
    pub type_oid: u32,
    /// As `format_type` prints it.
    pub type_name: String,
    pub not_null: bool,
    pub comment: Option<String>,
}

/// A relation, from `pg_class`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub kind: RelationKind,
    pub columns: Vec<Column>,
    /// The query of a view or materialised view, from `pg_get_viewdef`.
    pub definition: Option<String>,
    /// Parents by inheritance or partitioning, from `pg_inherits`.
    pub parents: Vec<u32>,
    /// Names of rules other than a view's `_RETURN`: what they make of a write is not seen.
    /// Triggers are no part of this: they run beside the write, which stays what it says.
    pub rewrites: Vec<String>,
}

impl Relation {
    /// A table of columns of type `text` that may be null, with nothing said beside.
    pub fn table<'c>(
        oid: u32,
        schema: &str,
        name: &str,
        columns: impl IntoIterator<Item = &'c str>,
    ) -> Relation {
        let column = |(attribute, name): (i16, &str)| Column {
            name: name.to_owned(),
            attribute,
            type_oid: TEXT_OID,
            type_name: "text".to_owned(),
            not_null: false,
            comment: None,
        };
        Relation {
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: RelationKind::Table,
            columns: (1..).zip(columns).map(column).collect(),
            definition: None,
            parents: Vec::new(),
            rewrites: Vec::new(),
        }
    }

    /// `schema.name`.
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// One of its columns, as lineage names it.
    pub fn reference(&self, column: &Column) -> ColumnRef {
        let origin = Some((self.oid, column.attribute));
        ColumnRef { relation: self.qualified(), column: column.name.clone(), origin }
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A function that is not part of PostgreSQL itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub schema: String,
    pub name: String,
}

/// A snapshot of one database's catalog.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Counts up with every snapshot that differs; facts are cached under it.
    pub version: u64,
    /// Shared with the snapshots before and after, which differ in a few of them.
    relations: HashMap<u32, Arc<Relation>>,
    by_name: HashMap<String, HashMap<String, u32>>,
    /// What inherits from a relation directly, or is a partition of it.
    children: HashMap<u32, Vec<u32>>,
    /// User functions by bare name.
    functions: HashMap<String, Vec<Function>>,
    /// What materialised views read, at any remove, by OID, once somebody has asked; None where that
    /// cannot be told.
    pub(crate) kept: OnceLock<Option<HashSet<u32>>>,
    /// The database is not in UTF-8: where the server cuts a long name beyond ASCII is not known.
    pub cuts_names_elsewhere: bool,
}

impl Catalog {
    pub fn new(
        version: u64,
        relations: impl IntoIterator<Item = impl Into<Arc<Relation>>>,
        functions: impl IntoIterator<Item = Function>,
    ) -> Catalog {
        let mut catalog = Catalog { version, ..Catalog::default() };
        for relation in relations {
            let relation = relation.into();
            catalog
                .by_name
                .entry(relation.schema.clone())
                .or_default()
                .insert(relation.name.clone(), relation.oid);
            for parent in &relation.parents {
                catalog.children.entry(*parent).or_default().push(relation.oid);
            }
            catalog.relations.insert(relation.oid, relation);
        }
        for function in functions {
            catalog.functions.entry(function.name.clone()).or_default().push(function);
        }
        catalog
    }

    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid).map(Arc::as_ref)
    }

    /// The same, to be put into another snapshot.
    pub fn shared(&self, oid: u32) -> Option<Arc<Relation>> {
        self.relations.get(&oid).cloned()
    }

    /// True when the other says the same, whatever its version.
    pub fn is_like(&self, other: &Catalog) -> bool {
        self.relations == other.relations
            && self.functions == other.functions
            && self.cuts_names_elsewhere == other.cuts_names_elsewhere
    }

    /// The relation of exactly this schema and name.
    pub fn find(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relation(*self.by_name.get(schema)?.get(name)?)
    }

    /// The relations of this name, in any schema.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Relation> {
        let oids = self.by_name.values().filter_map(move |names| names.get(name));
        oids.filter_map(|oid| self.relation(*oid))
    }

    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values().map(Arc::as_ref)
    }

    /// The relation, and those that inherit from it or are its partitions, at any remove.
    pub fn heirs(&self, oid: u32) -> impl Iterator<Item = &Relation> {
        self.reached(oid, |oid| self.children.get(&oid).map_or(&[], Vec::as_slice))
    }

    /// The relation, and those that it inherits from or is a partition of, at any remove.
    pub fn ancestors(&self, oid: u32) -> impl Iterator<Item = &Relation> {
        self.reached(oid, |oid| self.relation(oid).map_or(&[], |relation| &relation.parents))
    }

    /// What one comes to from a relation by such steps, itself first, each once.
    fn reached<'a>(
        &'a self,
        oid: u32,
        step: impl Fn(u32) -> &'a [u32],
    ) -> impl Iterator<Item = &'a Relation> {
        let (mut waiting, mut seen) = (vec![oid], HashSet::from([oid]));
        let oids = std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(step(next).iter().filter(|oid| seen.insert(**oid)));
            Some(next)
        });
        oids.filter_map(|oid| self.relation(oid))
    }

    /// A column by its relation and number.
    pub fn reference(&self, origin: (u32, i16)) -> Option<ColumnRef> {
        let relation = self.relation(origin.0)?;
        let column = relation.columns.iter().find(|column| column.attribute == origin.1)?;
        Some(relation.reference(column))
    }

    /// User functions of this bare name, in any schema.
    pub fn functions(&self, name: &str) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Under which settings a text is read.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// None: nothing is resolved, and what a name means stays open.
    pub catalog: Option<&'a Catalog>,
    /// Schemas in order, `"$user"` already replaced. `pg_temp` and `pg_catalog` come first
    /// by themselves, as in PostgreSQL. None: not known.
    pub search_path: Option<&'a [String]>,
    /// None: not known; a text in which it matters is then opaque.
    pub standard_conforming_strings: Option<bool>,
    /// User functions, `schema.name` or `name`, that the operator vouches for.
    pub trusted_functions: &'a [String],
}

impl<'a> Scope<'a> {
    /// The relation a name means. None: nothing known has this name, or which one it means
    /// cannot be told.
    pub fn resolve(&self, schema: Option<&str>, name: &str) -> Option<&'a Relation> {
        let catalog = self.catalog?;
        if let Some(schema) = schema {
            return catalog.find(schema, name);
        }
        let path = self.search_path?;
        let system_first = !path.iter().any(|on| on == "pg_catalog");
        if system_first && is_system_relation(name) {
            // PostgreSQL finds its own relation, also where the snapshot leaves those out.
            return catalog.find("pg_catalog", name);
        }
        let implicit = ["pg_temp", "pg_catalog"];
        let implicit = implicit.into_iter().filter(|schema| !path.iter().any(|on| on == schema));
        let mut schemas = implicit.chain(path.iter().map(String::as_str));
        schemas.find_map(|schema| catalog.find(schema, name))
    }
}
