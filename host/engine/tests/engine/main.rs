//! The engine with real components: what it puts into force, what it survives.

// Helpers outside of test functions fail a test by panicking, too.
#![allow(clippy::unwrap_used)]

mod harness;
mod calls;
mod hostile;
mod directory;
mod reload;
mod sinks;
mod reports;
