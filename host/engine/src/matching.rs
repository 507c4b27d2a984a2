//! Whom and what a policy applies to.

use std::fmt;

use portcullis_policy::{Database, Principal, PrincipalKind};

/// All keys that are given must hold; within a key any entry may. An absent key holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Matching {
    /// Names of databases; `*` stands for any characters.
    pub databases: Option<Vec<String>>,
    /// Subjects of principals; `*` stands for any characters.
    pub principals: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub kinds: Option<Vec<PrincipalKind>>,
    /// Labels the database must have, each with this value; `*` stands for any characters.
    pub labels: Vec<(String, String)>,
}

impl Matching {
    pub fn holds(&self, principal: &Principal, database: &Database) -> bool {
        let any = |patterns: &Option<Vec<String>>, text: &str| match patterns {
            Some(patterns) => patterns.iter().any(|pattern| glob(pattern, text)),
            None => true,
        };
        let in_group = |groups: &Vec<String>| {
            groups.iter().any(|group| principal.groups.iter().any(|own| own == group))
        };
        let labelled = |(key, pattern): &(String, String)| {
            database.labels.iter().any(|(own, value)| own == key && glob(pattern, value))
        };
        any(&self.databases, &database.name)
            && any(&self.principals, &principal.subject)
            && self.groups.as_ref().is_none_or(in_group)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&principal.kind))
            && self.labels.iter().all(labelled)
    }
}

/// The text an operator reads: "databases shop; groups analysts, agents".
impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(databases) = &self.databases {
            parts.push(format!("databases {}", databases.join(", ")));
        }
        if let Some(principals) = &self.principals {
            parts.push(format!("principals {}", principals.join(", ")));
        }
        if let Some(groups) = &self.groups {
            parts.push(format!("groups {}", groups.join(", ")));
        }
        if let Some(kinds) = &self.kinds {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            parts.push(format!("kinds {}", kinds.join(", ")));
        }
        if !self.labels.is_empty() {
            let labels: Vec<String> =
                self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            parts.push(format!("labels {}", labels.join(", ")));
        }
        match parts.is_empty() {
            true => f.write_str("everyone, everywhere"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

/// Does `pattern` describe all of `text`? Only `*` is special.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            // The leftmost place leaves most for what follows, so no other need be tried.
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("*", "", true),
            ("shop*", "shop_eu", true),
            ("*_eu", "shop_eu", true),
            ("s*_*u", "shop_eu", true),
            ("s*x*u", "shop_eu", false),
            ("a*a", "a", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    fn check(matching: Matching, expected: bool) {
        let principal = Principal {
            subject: "ana".into(),
            kind: PrincipalKind::Human,
            groups: vec!["analysts".into()],
            proof: "scram".into(),
            on_behalf_of: None,
            claims: Vec::new(),
            client_address: "127.0.0.1:1".into(),
            application: "psql".into(),
            role: "ana".into(),
        };
        let labels = vec![("env".to_owned(), "prod".to_owned())];
        let database = Database { name: "shop".into(), labels };
        assert_eq!(matching.holds(&principal, &database), expected, "{matching}");
    }

    #[test]
    fn all_keys_must_hold_and_any_entry_of_a_key_may() {
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let label = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        let all = Matching::default;
        check(all(), true);
        check(Matching { databases: list(&["crm", "sh*"]), ..all() }, true);
        check(Matching { databases: list(&[]), ..all() }, false);
        check(Matching { principals: list(&["bob"]), ..all() }, false);
        check(Matching { groups: list(&["dba", "analysts"]), ..all() }, true);
        check(Matching { groups: list(&["dba"]), databases: list(&["shop"]), ..all() }, false);
        check(Matching { kinds: Some(vec![PrincipalKind::Agent]), ..all() }, false);
        check(Matching { kinds: Some(vec![PrincipalKind::Human]), ..all() }, true);
        check(Matching { labels: label("env", "prod"), ..all() }, true);
        check(Matching { labels: label("env", "test"), ..all() }, false);
        check(Matching { labels: label("region", "*"), ..all() }, false);
    }
}
