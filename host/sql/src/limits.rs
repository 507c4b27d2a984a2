//! Limits that hold before any parser sees a text.

/// What is analysed at most. Over a limit a statement is opaque.
///
/// The parsers recurse; these are chosen so that neither overflows a stack of 2 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text that is parsed.
    pub statement_bytes_max: usize,
    /// Most tokens of a text that is parsed.
    pub tokens_max: usize,
    /// Deepest nesting: parentheses, CASE, and chains that parse into nested expressions.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { statement_bytes_max: 1 << 20, tokens_max: 200_000, depth_max: 500 }
    }
}
