//! Requests, columns and a stand-in for the host, for a policy's own tests.
//!
//! A request made here has the facts that the test gives it and no others: the proxy's
//! analysis of SQL is not part of a policy's unit tests. `portcullis plugin test` runs the
//! component against real statements.

use serde::Serialize;

use crate::host::{EgressError, Response, stand_in};
use crate::mask::{Derivation, OutputColumn, ResultShape, SourceColumn, WireFormat};
use crate::policy::Policy;
use crate::request::{
    Access, Action, Database, Principal, PrincipalKind, RelationUse, Request, Statement,
};

/// A policy from settings as JSON text, as the host makes it.
pub fn policy<P: Policy>(settings: &str) -> Result<P, String> {
    crate::component::policy_from(settings)
}

/// A policy from settings as a value, as `serde_json::json!` makes one.
pub fn policy_with<P: Policy>(settings: impl Serialize) -> Result<P, String> {
    policy(&serde_json::to_string(&settings).map_err(|error| error.to_string())?)
}

/// The human "ana" without groups, on 127.0.0.1.
pub fn principal() -> Principal {
    Principal {
        subject: "ana".to_owned(),
        kind: PrincipalKind::Human,
        groups: Vec::new(),
        proof: "scram".to_owned(),
        on_behalf_of: None,
        claims: Vec::new(),
        client_address: "127.0.0.1".to_owned(),
        application: String::new(),
        role: "ana".to_owned(),
    }
}

/// The database "shop" without labels.
pub fn database() -> Database {
    Database { name: "shop".to_owned(), labels: Vec::new() }
}

impl Principal {
    #[must_use]
    pub fn named(mut self, subject: &str) -> Principal {
        self.subject = subject.to_owned();
        self
    }

    #[must_use]
    pub fn of_kind(mut self, kind: PrincipalKind) -> Principal {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn in_group(mut self, group: &str) -> Principal {
        self.groups.push(group.to_owned());
        self
    }
}

impl Request {
    /// A request with this text, sent by [`principal`], of which nothing else is known: its
    /// action is `other`, until [`Request::does`] says what it is.
    pub fn of(text: &str) -> Request {
        let statement = Statement {
            shape: text.to_owned(),
            fingerprint: "0000000000000000".to_owned(),
            actions: vec![Action::Other],
            command: String::new(),
            relations: Vec::new(),
            functions: Vec::new(),
            parameters_set: Vec::new(),
            unbounded_write: false,
            unbounded_read: false,
            in_transaction: false,
            opaque: Vec::new(),
        };
        Request {
            principal: principal(),
            database: database(),
            statement,
            now: 1_700_000_000,
            attributes: Vec::new(),
        }
    }

    #[must_use]
    pub fn by(mut self, principal: Principal) -> Request {
        self.principal = principal;
        self
    }

    /// The statement's actions, its own first.
    #[must_use]
    pub fn does(mut self, actions: &[Action]) -> Request {
        self.statement.actions = actions.to_vec();
        self
    }

    #[must_use]
    pub fn command(mut self, command: &str) -> Request {
        self.statement.command = command.to_owned();
        self
    }

    #[must_use]
    pub fn reads(self, relation: &str) -> Request {
        self.relation(relation, Access::Read)
    }

    #[must_use]
    pub fn writes(self, relation: &str) -> Request {
        self.relation(relation, Access::Write)
    }

    #[must_use]
    pub fn defines(self, relation: &str) -> Request {
        self.relation(relation, Access::Define)
    }

    #[must_use]
    pub fn calls(mut self, function: &str) -> Request {
        self.statement.functions.push(function.to_owned());
        self
    }

    #[must_use]
    pub fn sets(mut self, parameter: &str) -> Request {
        self.statement.parameters_set.push(parameter.to_owned());
        self
    }

    #[must_use]
    pub fn opaque(mut self, reason: &str) -> Request {
        self.statement.opaque.push(reason.to_owned());
        self
    }

    #[must_use]
    pub fn unbounded_write(mut self) -> Request {
        self.statement.unbounded_write = true;
        self
    }

    #[must_use]
    pub fn unbounded_read(mut self) -> Request {
        self.statement.unbounded_read = true;
        self
    }

    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Request {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    fn relation(mut self, name: &str, access: Access) -> Request {
        self.statement.relations.push(RelationUse {
            name: name.to_owned(),
            resolved: true,
            access,
            columns: Vec::new(),
            all_columns: true,
            labels: Vec::new(),
        });
        self
    }
}

impl OutputColumn {
    /// A text column that reads nothing, until [`OutputColumn::from_column`] says otherwise.
    pub fn of(name: &str) -> OutputColumn {
        OutputColumn {
            name: name.to_owned(),
            type_name: "text".to_owned(),
            type_oid: 25,
            format: WireFormat::Text,
            derivation: Derivation::None,
            sources: Vec::new(),
        }
    }

    #[must_use]
    pub fn typed(mut self, type_name: &str, type_oid: u32) -> OutputColumn {
        self.type_name = type_name.to_owned();
        self.type_oid = type_oid;
        self
    }

    #[must_use]
    pub fn derived(mut self, derivation: Derivation) -> OutputColumn {
        self.derivation = derivation;
        self
    }

    /// Adds a source. A column that had none becomes a direct one.
    #[must_use]
    pub fn from_column(mut self, relation: &str, column: &str, labels: &[&str]) -> OutputColumn {
        if self.derivation == Derivation::None {
            self.derivation = Derivation::Direct;
        }
        self.sources.push(SourceColumn {
            relation: relation.to_owned(),
            column: column.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        });
        self
    }
}

impl ResultShape {
    /// A result of these columns, asked for by [`principal`].
    pub fn of(columns: Vec<OutputColumn>) -> ResultShape {
        ResultShape {
            principal: principal(),
            database: database(),
            shape: String::new(),
            columns,
            attributes: Vec::new(),
        }
    }
}

/// Runs `test` with this as the text of the statement being judged.
pub fn with_statement_text<T>(text: &str, test: impl FnOnce() -> T) -> T {
    stand_in::TEXT.with(|slot| slot.replace(text.to_owned()));
    let result = test();
    stand_in::TEXT.with(|slot| slot.take());
    result
}

/// Runs `test` with these values bound to the statement.
pub fn with_parameters<T>(values: &[Option<&str>], test: impl FnOnce() -> T) -> T {
    let values = values.iter().map(|value| value.map(str::to_owned)).collect();
    stand_in::PARAMETERS.with(|slot| slot.replace(values));
    let result = test();
    stand_in::PARAMETERS.with(|slot| slot.take());
    result
}

/// Runs `test` with `answer` in the place of the host's egress: it gets the target's name,
/// the content type and the body.
pub fn with_egress<T>(
    answer: impl Fn(&str, &str, &[u8]) -> Result<Response, EgressError> + 'static,
    test: impl FnOnce() -> T,
) -> T {
    stand_in::POST.with(|slot| slot.replace(Some(Box::new(answer))));
    let result = test();
    stand_in::POST.with(|slot| slot.take());
    result
}
