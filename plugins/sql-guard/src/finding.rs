//! One thing a rule found in a statement.

use portcullis_plugin_sdk::{PrincipalKind, Request, Statement};

use crate::settings::Rule;

pub(crate) struct Finding {
    pub(crate) rule: Rule,
    /// A sentence for the client, without a full stop, as PostgreSQL writes messages.
    pub(crate) reason: String,
    advice: &'static str,
    /// The setting that it follows from, where that is another than the rule; then it is
    /// refused whatever the rule says.
    pub(crate) setting: Option<&'static str>,
}

impl Finding {
    pub(crate) fn new(rule: Rule, reason: impl Into<String>, advice: &'static str) -> Finding {
        Finding { rule, reason: reason.into(), advice, setting: None }
    }

    pub(crate) fn lifted_by(self, setting: &'static str) -> Finding {
        Finding { setting: Some(setting), ..self }
    }

    /// What to do instead, and whom to ask.
    pub(crate) fn hint(&self, request: &Request) -> String {
        let table = match request.principal.kind {
            PrincipalKind::Agent => "agents.",
            PrincipalKind::Human | PrincipalKind::Service => "",
        };
        let setting = self.setting.unwrap_or(self.rule.as_str());
        let advice = self.advice;
        format!("{advice} Whoever runs the policy can allow it with the setting {table}{setting}.")
    }
}

/// What the statement is called in a reason: PostgreSQL's command tag.
pub(crate) fn command(statement: &Statement) -> &str {
    if statement.command.is_empty() { "this statement" } else { &statement.command }
}

/// "public.a", "public.a and public.b", "public.a and 4 more", or nothing to name.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        [one, other] => Some(format!("{one} and {other}")),
        [one, others @ ..] => Some(format!("{one} and {} more", others.len())),
    }
}

/// Whether a relation belongs to the session alone. PostgreSQL reserves these names.
pub(crate) fn is_temporary(relation: &str) -> bool {
    relation.starts_with("pg_temp.") || relation.starts_with("pg_temp_")
}
