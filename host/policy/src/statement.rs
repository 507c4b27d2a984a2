//! What a statement is about to do: the facts guardrails judge.

use crate::lineage::{ColumnRef, Outputs, WrittenColumn};

/// One thing a statement does. The cases are those of the `action` enum of the WIT package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Truncate,
    CopyIn,
    CopyOut,
    CopyFile,
    CopyProgram,
    Create,
    Alter,
    Drop,
    Grant,
    Call,
    DoBlock,
    /// EXECUTE, FETCH or MOVE of a name whose definition was not seen.
    ExecuteDynamic,
    /// EXPLAIN without ANALYZE.
    Explain,
    Set,
    Show,
    Transaction,
    /// CLOSE, DEALLOCATE, DISCARD.
    Discard,
    ListenNotify,
    Lock,
    Vacuum,
    Load,
    Other,
}

impl Action {
    pub const ALL: [Action; 27] = [
        Action::Select,
        Action::Insert,
        Action::Update,
        Action::Delete,
        Action::Merge,
        Action::Truncate,
        Action::CopyIn,
        Action::CopyOut,
        Action::CopyFile,
        Action::CopyProgram,
        Action::Create,
        Action::Alter,
        Action::Drop,
        Action::Grant,
        Action::Call,
        Action::DoBlock,
        Action::ExecuteDynamic,
        Action::Explain,
        Action::Set,
        Action::Show,
        Action::Transaction,
        Action::Discard,
        Action::ListenNotify,
        Action::Lock,
        Action::Vacuum,
        Action::Load,
        Action::Other,
    ];

    /// The word used in the ledger, in settings and by `explain`; the WIT case's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Select => "select",
            Action::Insert => "insert",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Merge => "merge",
            Action::Truncate => "truncate",
            Action::CopyIn => "copy-in",
            Action::CopyOut => "copy-out",
            Action::CopyFile => "copy-file",
            Action::CopyProgram => "copy-program",
            Action::Create => "create",
            Action::Alter => "alter",
            Action::Drop => "drop",
            Action::Grant => "grant",
            Action::Call => "call",
            Action::DoBlock => "do-block",
            Action::ExecuteDynamic => "execute-dynamic",
            Action::Explain => "explain",
            Action::Set => "set",
            Action::Show => "show",
            Action::Transaction => "transaction",
            Action::Discard => "discard",
            Action::ListenNotify => "listen-notify",
            Action::Lock => "lock",
            Action::Vacuum => "vacuum",
            Action::Load => "load",
            Action::Other => "other",
        }
    }

    /// True when the statement can leave nothing behind in the database; decides whether the
    /// ledger must be on disk before it leaves.
    pub fn is_read(self) -> bool {
        match self {
            Action::Select
            | Action::CopyOut
            | Action::Explain
            | Action::Set
            | Action::Show
            | Action::Transaction
            | Action::Discard
            | Action::ListenNotify => true,
            Action::Insert
            | Action::Update
            | Action::Delete
            | Action::Merge
            | Action::Truncate
            | Action::CopyIn
            | Action::CopyFile
            | Action::CopyProgram
            | Action::Create
            | Action::Alter
            | Action::Drop
            | Action::Grant
            | Action::Call
            | Action::DoBlock
            | Action::ExecuteDynamic
            | Action::Lock
            | Action::Vacuum
            | Action::Load
            | Action::Other => false,
        }
    }
}

/// How a statement uses a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
    /// Created, altered, dropped, granted on, indexed, locked.
    Define,
}

impl Access {
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Define => "define",
        }
    }
}

/// One relation a statement uses, one entry per kind of access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationUse {
    /// Schema-qualified where `resolved`, else as written, folded as PostgreSQL folds it.
    pub name: String,
    pub resolved: bool,
    /// The relation's OID where `resolved`.
    pub oid: Option<u32>,
    pub access: Access,
    /// Columns named for this relation. Empty together with `all_columns`: the whole row.
    pub columns: Vec<String>,
    pub all_columns: bool,
    /// Labels of the columns used; filled in by whoever knows labels.
    pub labels: Vec<String>,
}

/// Something about a statement that the host cannot see, so that a fact may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// No reader understood the text.
    Unparsed(String),
    /// The two readers disagree; the facts are the union of what they saw.
    Disagreement(String),
    /// A body that runs inside the server: DO, a function or procedure being called.
    Body(String),
    /// SQL inside a string: `query_to_xml`, `dblink`, EXECUTE in a body.
    DynamicSql(String),
    /// A prepared statement or cursor whose definition was not seen.
    UnknownName(String),
    /// Nested deeper, or of more tokens, than is analysed.
    TooComplex(String),
    /// A rule or trigger rewrites what the text says.
    Rewritten(String),
    /// The text's bytes cannot be read in the session's encoding.
    Encoding(String),
}

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, detail) = match self {
            Opaque::Unparsed(detail) => ("unparsed", detail),
            Opaque::Disagreement(detail) => ("readers disagree", detail),
            Opaque::Body(detail) => ("body not seen", detail),
            Opaque::DynamicSql(detail) => ("SQL in a string", detail),
            Opaque::UnknownName(detail) => ("unknown name", detail),
            Opaque::TooComplex(detail) => ("too complex", detail),
            Opaque::Rewritten(detail) => ("rewritten", detail),
            Opaque::Encoding(detail) => ("encoding", detail),
        };
        write!(f, "{what}: {detail}")
    }
}

/// One statement, in facts.
///
/// Equal shapes have equal facts but for `text`, so a `Statement` can be cached by shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The statement's own text, without its terminating semicolon.
    pub text: String,
    /// The text with literals replaced by `$n`.
    pub shape: String,
    /// A stable hash of `shape`, 16 hexadecimal digits.
    pub fingerprint: String,
    /// Everything it does; its own action first. Never empty.
    pub actions: Vec<Action>,
    /// PostgreSQL's command tag ("CREATE PUBLICATION").
    pub command: String,
    pub relations: Vec<RelationUse>,
    /// Lower case, schema-qualified where written so.
    pub functions: Vec<String>,
    /// Of all functions that it calls, behind views too, those that put a value they are given where
    /// it can be read again.
    pub carriers: Vec<String>,
    /// Parameters set or reset, lower case; "all"; "?" when the name is computed.
    pub parameters_set: Vec<String>,
    /// UPDATE or DELETE whose WHERE is missing or always true.
    pub unbounded_write: bool,
    /// Nothing limits the rows a SELECT may return.
    pub unbounded_read: bool,
    /// Empty means the facts are complete.
    pub opaque: Vec<Opaque>,
    /// Where the values of its result come from.
    pub outputs: Outputs,
    /// What it writes into columns, and where those values come from.
    pub written: Vec<WrittenColumn>,
    /// Every column it refers to, in predicates and behind views too.
    pub columns: Vec<ColumnRef>,
    /// Relations that were there before and whose definition it changes, by OID; none where it
    /// cannot be told which.
    pub redefined: Vec<Option<u32>>,
    /// What it does to the names a session keeps.
    pub effect: SessionEffect,
    /// The form of what COPY TO STDOUT sends; none where it is no such COPY, or one with
    /// options that are not read.
    pub copy: Option<CopyForm>,
}

/// The form of COPY data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyForm {
    Text { delimiter: u8, null: String, header: bool },
    Csv { delimiter: u8, quote: u8, escape: u8, null: String, header: bool },
    Binary,
}

impl Statement {
    /// The statement's own action.
    pub fn action(&self) -> Action {
        self.actions.first().copied().unwrap_or(Action::Other)
    }

    /// True when nothing in it can change the database.
    pub fn is_read_only(&self) -> bool {
        self.opaque.is_empty() && self.actions.iter().all(|action| action.is_read())
    }
}

/// What a statement does to the names, cursors and settings that a session keeps, so that
/// the proxy can follow them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum SessionEffect {
    #[default]
    None,
    /// PREPARE name AS body; `body` is the text of the statement inside.
    Prepare { name: String, body: String },
    /// EXECUTE name, also inside EXPLAIN ANALYZE and CREATE TABLE AS.
    Execute { name: String },
    /// DEALLOCATE name, or all where none.
    Deallocate { name: Option<String> },
    /// DECLARE name CURSOR FOR body.
    Declare {
        name: String,
        body: String,
        /// It outlives its transaction.
        holds: bool,
    },
    /// FETCH or MOVE from a cursor.
    Fetch { name: String },
    /// CLOSE name, or all where none.
    CloseCursor { name: Option<String> },
    /// DISCARD ALL.
    DiscardAll,
}
