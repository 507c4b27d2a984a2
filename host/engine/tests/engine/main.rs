//! The engine with real components: what it puts into force, what it survives.

mod harness;
mod calls;
mod hostile;
mod directory;
mod reload;
mod sinks;
mod reports;
