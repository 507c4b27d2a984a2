//! The example guardrail: the same rule in every language. It denies a statement that calls a
//! blocked function, or that uses more relations than allowed.

use std::collections::BTreeSet;

use portcullis_plugin_sdk::{Guardrail, Policy, Request, Verdict, export};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    max_relations: u32,
    blocked_functions: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { max_relations: 3, blocked_functions: vec!["pg_sleep".to_owned()] }
    }
}

pub struct Example {
    settings: Settings,
}

impl Policy for Example {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Example, String> {
        Ok(Example { settings })
    }
}

impl Guardrail for Example {
    fn judge(&self, request: &Request) -> Verdict {
        let Settings { max_relations, blocked_functions } = &self.settings;
        let functions = &request.statement.functions;
        if let Some(name) = blocked_functions.iter().find(|name| functions.contains(name)) {
            return Verdict::deny(format!("function {name} is blocked"));
        }
        let names = request.statement.relations.iter().map(|relation| &relation.name);
        let used = names.collect::<BTreeSet<_>>().len();
        if used > *max_relations as usize {
            let reason = format!("uses {used} relations, at most {max_relations} are allowed");
            return Verdict::deny(reason);
        }
        Verdict::allow()
    }
}

export!(guardrail Example);

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_plugin_sdk::testing;

    fn check(settings: &str, request: Request, expected: &str) {
        let policy: Example = testing::policy(settings).unwrap();
        assert_eq!(policy.judge(&request).to_string(), expected);
    }

    #[test]
    fn statements_are_judged_by_functions_and_relations() {
        let join = |tables: &[&str]| {
            tables.iter().fold(Request::of("select"), |request, table| request.reads(table))
        };
        let sleep = || Request::of("select pg_sleep(1)").calls("pg_sleep");
        check("{}", Request::of("select 1"), "allow");
        check("{}", join(&["a", "b", "c"]), "allow");
        check("{}", join(&["a", "b", "c"]).writes("a"), "allow");
        check("{}", join(&["a", "b", "c", "d"]), "deny: uses 4 relations, at most 3 are allowed");
        check(
            r#"{"max_relations": 1}"#,
            join(&["a", "b"]),
            "deny: uses 2 relations, at most 1 are allowed",
        );
        check("{}", sleep(), "deny: function pg_sleep is blocked");
        check(r#"{"blocked_functions": []}"#, sleep(), "allow");
    }

    #[test]
    fn misspelt_settings_are_refused() {
        let error = testing::policy::<Example>(r#"{"max_relation": 1}"#).err().unwrap();
        assert!(error.contains("unknown field `max_relation`"), "{error}");
    }
}
