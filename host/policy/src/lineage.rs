//! Lineage: the base columns an output column is computed from.

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnRef {
    /// Schema-qualified where `oid` is known, else as written.
    pub relation: String,
    pub column: String,
    /// The relation's OID and the column's attribute number, where the catalog knows them.
    pub origin: Option<(u32, i16)>,
}

impl ColumnRef {
    /// A column of PostgreSQL's own catalogs and views.
    pub fn is_of_postgresql(&self) -> bool {
        let own = ["pg_catalog.", "information_schema."];
        self.origin.is_none() && own.iter().any(|schema| self.relation.starts_with(schema))
    }

    /// A column of a relation that is neither in the catalog nor PostgreSQL's own.
    pub fn is_of_nobody_known(&self) -> bool {
        self.origin.is_none() && !self.is_of_postgresql()
    }
}

/// How an output column comes about. The cases are those of the WIT package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Derivation {
    /// This very column of a relation.
    Direct,
    /// Computed from its sources.
    Derived,
    /// Reads no column: constants, `now()`, SHOW.
    None,
    /// A count or an existence: tells how many, not what.
    Count,
    /// Not explained; the sources are everything the statement could have read.
    Unknown,
}

impl Derivation {
    pub fn as_str(self) -> &'static str {
        match self {
            Derivation::Direct => "direct",
            Derivation::Derived => "derived",
            Derivation::None => "none",
            Derivation::Count => "count",
            Derivation::Unknown => "unknown",
        }
    }
}

/// The lineage of one output column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    pub derivation: Derivation,
    /// Base columns, views already followed to their tables. For `Unknown`: all that could
    /// have been read.
    pub sources: Vec<ColumnRef>,
}

/// Where the values of a statement's result come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// The statement returns no rows.
    Nothing,
    /// One entry per output column, in order.
    Columns(Vec<Lineage>),
    /// The columns could not be told apart; every one of them may come from these.
    Unknown(Vec<ColumnRef>),
    /// Not even what it reads is known: anything in the database.
    Anything,
}

/// A column a statement writes, and where the values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenColumn {
    /// The target relation and column; column `*` where the statement does not name them.
    pub target: ColumnRef,
    /// Base columns the written values are computed from; empty for literals and parameters.
    pub sources: Vec<ColumnRef>,
}

/// How a value crosses the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireFormat {
    Text,
    Binary,
}

/// A base column as a masker sees it: named and labelled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceColumn {
    pub relation: String,
    pub column: String,
    pub labels: Vec<String>,
}

/// An output column as a masker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutputColumn {
    pub name: String,
    pub type_name: String,
    pub type_oid: u32,
    pub format: WireFormat,
    pub derivation: Derivation,
    pub sources: Vec<SourceColumn>,
}
