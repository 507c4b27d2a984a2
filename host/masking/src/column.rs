//! What is to be done with one column of a result.

use std::sync::Arc;

use portcullis_policy::{ColumnAction, WireFormat};

/// One column of a result, as described by the server and planned by the maskers.
#[derive(Clone, Debug)]
pub struct MaskColumn {
    /// The type RowDescription names. A caller that knows an extension's type to be text
    /// (citext) gives the OID of text, 25: what is unknown here can only become NULL.
    pub type_oid: u32,
    pub format: WireFormat,
    /// A client may rely on values here: what would become NULL becomes a constant of the
    /// type. Of a type that is not known, it is NULL all the same, which is safer than the
    /// value.
    pub not_null: bool,
    pub action: ColumnAction,
    pub labels: Vec<Arc<str>>,
}
