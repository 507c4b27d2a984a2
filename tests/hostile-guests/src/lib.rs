//! Badly behaved policies.
