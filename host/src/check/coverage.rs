//! For whom no policy would answer, so that statements are refused.

use portcullis_engine::PolicySummary;
use portcullis_policy::{Coverage, Database, Mode, Principal, Unmatched};

use crate::config::{Config, DatabaseConfig, UserConfig};

/// One line for every database that some of its users could not use, or nobody.
pub fn gaps(config: &Config, policies: &[PolicySummary]) -> Vec<String> {
    let mut gaps = Vec::new();
    let has_strangers = !config.issuers.is_empty();
    if config.users.is_empty() && !has_strangers {
        gaps.push("there is no [[user]]: nobody can connect".to_owned());
    }
    for database in &config.databases {
        let users: Vec<&UserConfig> =
            config.users.iter().filter(|user| may_use(user, &database.name)).collect();
        if users.is_empty() && !config.users.is_empty() && !has_strangers {
            gaps.push(format!("database {}: no user may use it", database.name));
        }
        if database.unmatched == Unmatched::Deny {
            gaps.extend(missing(database, &users, policies, "guardrail", |own| own.guardrail));
            gaps.extend(missing(database, &users, policies, "masker", |own| own.masker));
        }
    }
    gaps
}

pub fn may_use(user: &UserConfig, database: &str) -> bool {
    user.databases.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == database))
}

/// The principal that a user is once logged in.
pub fn principal(user: &UserConfig) -> Principal {
    Principal {
        subject: user.name.clone(),
        kind: user.kind,
        groups: user.groups.clone(),
        proof: "scram".to_owned(),
        on_behalf_of: user.acts_for.clone(),
        claims: Vec::new(),
        client_address: "127.0.0.1:0".to_owned(),
        application: "portcullis".to_owned(),
        role: user.name.clone(),
    }
}

fn missing(
    database: &DatabaseConfig,
    users: &[&UserConfig],
    policies: &[PolicySummary],
    kind: &str,
    has: impl Fn(Coverage) -> bool,
) -> Option<String> {
    let described = Database { name: database.name.clone(), labels: database.labels.clone() };
    let without: Vec<&str> = users
        .iter()
        .filter(|user| !has(coverage(policies, &principal(user), &described)))
        .map(|user| user.name.as_str())
        .collect();
    let whom = match without.len() {
        0 => return None,
        count if count == users.len() => "any user: every statement".to_owned(),
        _ => format!("{}: their statements", without.join(", ")),
    };
    Some(format!(
        "database {}: no enforcing {kind} applies to {whom} would be refused",
        database.name
    ))
}

fn coverage(policies: &[PolicySummary], principal: &Principal, database: &Database) -> Coverage {
    let mut coverage = Coverage::default();
    let enforcing = policies.iter().filter(|policy| policy.mode == Mode::Enforce);
    for policy in enforcing.filter(|policy| policy.applies_to.holds(principal, database)) {
        coverage.guardrail |= policy.kinds.guardrail;
        coverage.masker |= policy.kinds.masker;
    }
    coverage
}
