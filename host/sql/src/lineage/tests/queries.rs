//! Queries and their outputs in full.

use super::{check, expect};
