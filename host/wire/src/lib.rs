//! The PostgreSQL frontend/backend protocol as bytes: frames, messages, and who answers what.
//!
//! Sans-I/O. Every view checks what it reads, since both peers may be hostile: a short, long
//! or nonsensical message is an error, never a panic and never a repaired guess. Most messages that
//! the proxy sends of its own are encoded by `pgwire`; messages it forwards are never re-encoded.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

pub mod frame;
mod reader;
pub mod startup;
pub mod frontend;
pub mod backend;
pub mod encode;
pub mod pipeline;

pub use frame::{Frame, Malformed, cut};
pub use frontend::Frontend;
pub use pipeline::{Entry, Expect, Pipeline, Step};
