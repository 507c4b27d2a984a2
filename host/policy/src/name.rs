//! What policies are called.

use std::sync::Arc;

/// A policy's name: its file name without the ending ("50-pii").
pub type PolicyName = Arc<str>;
