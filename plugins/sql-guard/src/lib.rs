//! Refuses what should not run: destructive DDL, writes that reach every row, files and
//! programs of the server, changes of role and session, code, and what nobody can see into.
//!
//! Each rule can be `"allow"`, `"deny"` or `"approve"`, for all and for some. Agents have
//! defaults of their own: they read, with a limit, and what else they may do is said.

mod settings;
mod words;
mod names;
mod finding;
mod data;
mod bounds;
mod server;
mod session;
mod unseen;

use portcullis_plugin_sdk::{Guardrail, Policy, Request, Verdict, export};

use finding::Finding;
use settings::{Outcome, Settings};

pub struct SqlGuard {
    settings: Settings,
}

impl Policy for SqlGuard {
    type Settings = Settings;

    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn new(settings: Settings) -> Result<SqlGuard, String> {
        settings.check()?;
        Ok(SqlGuard { settings })
    }
}

impl Guardrail for SqlGuard {
    fn judge(&self, request: &Request) -> Verdict {
        let findings = findings(request, &self.settings);
        let mut held: Vec<&Finding> = Vec::new();
        let mut refused: Option<&Finding> = None;
        for finding in &findings {
            let outcome = match finding.setting {
                Some(_) => Outcome::Deny,
                None => self.settings.outcome(finding.rule, request),
            };
            match outcome {
                Outcome::Allow => {}
                Outcome::Approve => held.push(finding),
                Outcome::Deny => refused = refused.or(Some(finding)),
            }
        }
        let verdict = match (refused, held.as_slice()) {
            (Some(finding), _) => Verdict::deny(&*finding.reason).hint(finding.hint(request)),
            (None, []) => self.limited(Verdict::allow(), request),
            (None, held) => {
                let reasons: Vec<&str> = held.iter().map(|finding| &*finding.reason).collect();
                let approval = &self.settings.approval;
                let verdict = Verdict::require_approval(reasons.join("; "))
                    .approvers(&approval.approvers)
                    .approvals_needed(approval.approvals_needed)
                    .expires_in_seconds(approval.expires_in_seconds);
                self.limited(verdict, request)
            }
        };
        findings.iter().fold(verdict, |verdict, finding| verdict.tag(finding.rule.as_str()))
    }
}

impl SqlGuard {
    fn limited(&self, verdict: Verdict, request: &Request) -> Verdict {
        match bounds::limit_rows(request, &self.settings) {
            Some(rows) => verdict.limit_rows(rows),
            None => verdict,
        }
    }
}

/// Everything the rules find, the gravest first.
fn findings(request: &Request, settings: &Settings) -> Vec<Finding> {
    let statement = &request.statement;
    let mut findings = Vec::new();
    server::find(statement, &mut findings);
    data::find(statement, &mut findings);
    session::find(statement, settings, &mut findings);
    unseen::find(statement, settings, &mut findings);
    bounds::find(request, settings, &mut findings);
    findings
}

export!(guardrail SqlGuard);

#[cfg(test)]
mod tests;
