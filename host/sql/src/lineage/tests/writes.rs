//! Statements that write, and from which columns.

use super::{check, expect};
