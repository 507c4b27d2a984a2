//! Statements that write: which columns, and from which.
