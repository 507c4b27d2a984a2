//! What names mean: CTEs in sight, and functions.

use crate::builtins::is_builtin;
use crate::catalog::{Function, Scope};

/// The CTEs that a place in a statement can see, innermost first.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub here: &'a [String],
    pub outer: Option<&'a Names<'a>>,
}

impl Names<'_> {
    pub(crate) const NONE: Names<'static> = Names { here: &[], outer: None };

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.here.iter().any(|here| here == name)
            || self.outer.is_some_and(|outer| outer.knows(name))
    }
}

/// Who wrote a function, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    PostgreSql,
    /// The operator vouches for it.
    Trusted,
    /// Its body may do anything.
    Unseen,
    /// Neither PostgreSQL nor the catalog has it.
    Nobody,
}

/// Finds a function's author. A name that both PostgreSQL and a user gave is `Unseen`: which
/// of them runs depends on the types of the arguments.
pub(crate) fn author(scope: &Scope<'_>, schema: Option<&str>, name: &str) -> Author {
    let system = matches!(schema, None | Some("pg_catalog" | "information_schema"));
    let mut author = if system && is_builtin(name) { Author::PostgreSql } else { Author::Nobody };
    let Some(catalog) = scope.catalog else {
        return match author {
            Author::Nobody if is_trusted(scope, schema, name) => Author::Trusted,
            Author::Nobody | Author::PostgreSql | Author::Trusted | Author::Unseen => author,
        };
    };
    for function in catalog.functions(name).iter().filter(|known| visible(scope, schema, known)) {
        if !is_trusted(scope, Some(&function.schema), name) {
            return Author::Unseen;
        }
        if author == Author::Nobody {
            author = Author::Trusted;
        }
    }
    if author == Author::Nobody && is_trusted(scope, schema, name) {
        return Author::Trusted;
    }
    author
}

fn visible(scope: &Scope<'_>, schema: Option<&str>, function: &Function) -> bool {
    match (schema, scope.search_path) {
        (Some("pg_temp"), _) => function.schema.starts_with("pg_temp"),
        (Some(schema), _) => function.schema == schema,
        // Functions are never looked for in the session's temporary schema.
        (None, Some(path)) => function.schema == "pg_catalog" || path.contains(&function.schema),
        (None, None) => true,
    }
}

fn is_trusted(scope: &Scope<'_>, schema: Option<&str>, name: &str) -> bool {
    scope.trusted_functions.iter().any(|trusted| match (trusted.split_once('.'), schema) {
        (Some((trusted_schema, trusted_name)), Some(schema)) => {
            trusted_schema == schema && trusted_name == name
        }
        // Without a catalog an unqualified call cannot be told from the one vouched for.
        (Some((_, trusted_name)), None) => scope.catalog.is_none() && trusted_name == name,
        (None, _) => trusted == name,
    })
}
