//! Labels say which columns are sensitive ("pii.email", "secret").

/// A label a classifier gives a column, with how sure it is (0.0 to 1.0).
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub name: String,
    pub confidence: f32,
}

/// What a classifier sees of a column: a bounded sample of its values as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSample {
    /// Schema-qualified.
    pub relation: String,
    pub column: String,
    /// PostgreSQL's name of the type, as `format_type` prints it.
    pub type_name: String,
    pub comment: Option<String>,
    pub values: Vec<String>,
}
