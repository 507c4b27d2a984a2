use portcullis_plugin_sdk::{Guardrail, Policy, PrincipalKind, Request, Verdict, export};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    from_hour: u32,
    to_hour: u32,
    exempt: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { from_hour: 6, to_hour: 20, exempt: vec!["on-call".to_owned()] }
    }
}

pub struct OfficeHours {
    settings: Settings,
}

impl Policy for OfficeHours {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<OfficeHours, String> {
        if settings.from_hour >= settings.to_hour || settings.to_hour > 24 {
            return Err("from_hour must be before to_hour, and that at most 24".to_owned());
        }
        Ok(OfficeHours { settings })
    }
}

impl Guardrail for OfficeHours {
    fn judge(&self, request: &Request) -> Verdict {
        let Settings { from_hour, to_hour, exempt } = &self.settings;
        let principal = &request.principal;
        let hour = request.now / 3600 % 24;
        let is_exempt = exempt.iter().any(|group| principal.is_in(group));
        if principal.kind != PrincipalKind::Human
            || is_exempt
            || (*from_hour..*to_hour).contains(&hour)
        {
            return Verdict::allow();
        }
        Verdict::deny(format!("people query this database from {from_hour} to {to_hour} UTC"))
            .hint("Ask whoever is on call.")
            .tag("office-hours")
    }
}

export!(guardrail OfficeHours);

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_plugin_sdk::testing;

    fn check(hour: u32, group: &str, expected: &str) {
        let policy: OfficeHours = testing::policy("{}").unwrap();
        let mut request = Request::of("select 1").by(testing::principal().in_group(group));
        request.now = hour * 3600;
        assert_eq!(policy.judge(&request).to_string(), expected);
    }

    #[test]
    fn people_query_by_day() {
        check(9, "analysts", "allow");
        check(3, "on-call", "allow");
        check(3, "analysts", "deny: people query this database from 6 to 20 UTC");
    }
}
