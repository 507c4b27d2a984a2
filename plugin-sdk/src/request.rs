//! The statement a guardrail judges, and who sent it.

pub use crate::bindings::imports::portcullis::policy::types::{
    Access, Action, Database, Principal, PrincipalKind, RelationUse, Request, Statement,
};

impl Principal {
    /// Whether the principal is a member of `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|member| member == group)
    }

    /// The first claim of this name.
    pub fn claim(&self, name: &str) -> Option<&str> {
        value(&self.claims, name)
    }
}

impl Database {
    /// The label of this name.
    pub fn label(&self, name: &str) -> Option<&str> {
        value(&self.labels, name)
    }
}

impl Statement {
    /// Whether the statement, or a part of it, does `action`.
    pub fn does(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// Names of the relations it uses in this way.
    pub fn relations_with(&self, access: Access) -> impl Iterator<Item = &str> {
        self.relations.iter().filter(move |relation| relation.access == access).map(|r| &*r.name)
    }

    /// Whether it calls a function of this name, in whatever schema.
    pub fn calls(&self, function: &str) -> bool {
        self.functions.iter().any(|called| unqualified(called) == function)
    }
}

/// A function's or relation's name without its schema.
pub fn unqualified(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
}
