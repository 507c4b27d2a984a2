//! SQL text to facts: what a statement does, to which relations, and where the values of its
//! result come from. No I/O, no clock, no runtime.
//!
//! PostgreSQL's own grammar is the authority. A second reader is asked too, and where it sees
//! more than the first the facts are the union of both and the statement is opaque.

// Bottom-up: a module uses only modules listed above it.
mod builtins;
pub mod catalog;
mod names;
mod lexer;
mod word;
mod limits;
mod template;
mod shape;
mod lineage;
mod tree;
mod command;
mod copy;
mod effect;
mod predicate;
mod walk;
mod opinion;
mod relations;
mod unread;
mod deep;
mod analyze;

pub use analyze::{analyze, analyze_by_both};
pub use builtins::reads_elsewhere;
pub use catalog::{Catalog, Column, Function, Relation, RelationKind, Scope, TEXT_OID};
pub use lexer::unread_character;
pub use limits::Limits;
pub use shape::{KeyCutter, Shape, shape};
pub use template::Template;

#[cfg(test)]
mod tests;
