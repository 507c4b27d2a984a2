//! A policy in force, and the set of all of them at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use portcullis_policy::set::{PolicyName, Reads};
use portcullis_policy::{Mode, Terms};

use crate::error::Failure;
use crate::instance::{Form, Manifest};
use crate::matching::Matching;
use crate::plugin::{Digest, Kinds};
use crate::policy_file::Target;

/// A plugin with its settings, match and mode.
pub(crate) struct Policy {
    pub(crate) name: PolicyName,
    /// The plugin's file, as the policy file names it.
    pub(crate) plugin_file: String,
    pub(crate) mode: Mode,
    pub(crate) matching: Matching,
    pub(crate) targets: BTreeMap<String, Target>,
    pub(crate) terms: Terms,
    pub(crate) manifest: Manifest,
    pub(crate) form: Arc<Form>,
}

impl Policy {
    pub(crate) fn kinds(&self) -> Kinds {
        self.form.plugin.kinds
    }

    pub(crate) fn summary(&self) -> PolicySummary {
        PolicySummary {
            name: Arc::clone(&self.name),
            plugin: self.plugin_file.clone(),
            digest: self.form.plugin.digest,
            mode: self.mode,
            kinds: self.kinds(),
            matching: self.matching.to_string(),
            applies_to: self.matching.clone(),
            deadline_ms: self.form.deadline_ms,
            memory_bytes_max: self.form.memory_bytes_max,
            targets: self.targets.clone(),
            manifest: self.manifest.clone(),
        }
    }

    /// True when nothing that counts differs: a comment was edited, a file touched.
    pub(crate) fn is_like(&self, other: &Policy) -> bool {
        Arc::ptr_eq(&self.form, &other.form) && self.differences(other).is_empty()
    }

    /// What differs from an earlier form, in words.
    fn differences(&self, before: &Policy) -> Vec<String> {
        let mut differences = Vec::new();
        let (old, new) = (&before.form, &self.form);
        if old.plugin.digest != new.plugin.digest {
            differences.push(format!(
                "plugin {} -> {}",
                short(old.plugin.digest),
                short(new.plugin.digest)
            ));
        }
        if before.mode != self.mode {
            differences.push(format!("mode {} -> {}", before.mode.as_str(), self.mode.as_str()));
        }
        for (changed, word) in [
            (before.plugin_file != self.plugin_file, "plugin file"),
            (old.plugin.wasi_inert != new.plugin.wasi_inert, "wasi"),
            (before.matching != self.matching, "match"),
            (old.settings != new.settings, "settings"),
            (old.deadline_ms != new.deadline_ms, "deadline_ms"),
            (old.memory_bytes_max != new.memory_bytes_max, "memory_bytes_max"),
            (before.targets != self.targets, "targets"),
            (before.terms != self.terms, "approval"),
        ] {
            if changed {
                differences.push(word.to_owned());
            }
        }
        differences
    }
}

/// Enough of a digest to tell two apart.
fn short(digest: Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

/// All policies at one moment, in the order of their names.
pub(crate) struct Set {
    pub(crate) revision: u64,
    pub(crate) policies: Vec<Arc<Policy>>,
}

impl Set {
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.iter().find(|policy| &*policy.name == name)
    }

    /// A number that stands for the classifiers' components and settings.
    pub(crate) fn classifiers(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for policy in self.policies.iter().filter(|policy| policy.kinds().classifier) {
            policy.form.plugin.digest.to_string().hash(&mut hasher);
            policy.form.settings.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What guardrails of the set may look at beside the request.
    pub(crate) fn reads(&self) -> Reads {
        let guardrails = self.policies.iter().filter(|policy| policy.kinds().guardrail);
        let plugins = guardrails.map(|policy| &policy.form.plugin);
        plugins.fold(Reads::default(), |reads, plugin| Reads {
            text: reads.text || plugin.reads_text,
            parameters: reads.parameters || plugin.reads_parameters,
        })
    }

    /// True when both hold the very same policies.
    pub(crate) fn is_same(&self, policies: &[Arc<Policy>]) -> bool {
        self.policies.len() == policies.len()
            && self.policies.iter().zip(policies).all(|(old, new)| Arc::ptr_eq(old, new))
    }

    /// What changed since an earlier set, one line per policy.
    pub(crate) fn changes_since(&self, before: &Set) -> Vec<String> {
        let mut changes = Vec::new();
        for policy in &self.policies {
            match before.find(&policy.name) {
                None => changes.push(format!(
                    "added {}: {} {}, {}",
                    policy.name,
                    policy.plugin_file,
                    short(policy.form.plugin.digest),
                    policy.mode.as_str()
                )),
                Some(old) if Arc::ptr_eq(old, policy) => {}
                Some(old) => changes.push(format!(
                    "changed {}: {}",
                    policy.name,
                    policy.differences(old).join(", ")
                )),
            }
        }
        let gone = before.policies.iter().filter(|old| self.find(&old.name).is_none());
        changes.extend(gone.map(|old| format!("removed {}", old.name)));
        changes
    }
}

/// What is in force, for the log, the ledger and the operator.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SetSummary {
    /// 0 before anything was published.
    pub revision: u64,
    pub policies: Vec<PolicySummary>,
    /// Since the revision before, one line per policy.
    pub changes: Vec<String>,
    /// What could not be put into force as its file says.
    pub failures: Vec<Failure>,
}

/// One policy in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySummary {
    pub name: PolicyName,
    pub plugin: String,
    pub digest: Digest,
    pub mode: Mode,
    pub kinds: Kinds,
    /// Whom it applies to, in words.
    pub matching: String,
    /// The same, to be asked.
    pub applies_to: Matching,
    pub deadline_ms: u32,
    pub memory_bytes_max: usize,
    pub targets: BTreeMap<String, Target>,
    pub manifest: Manifest,
}

/// One line: "50-pii: pii_mask.wasm 0123abcd, masker, enforce, for groups analysts".
impl fmt::Display for PolicySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} {}, {}, {}, for {}",
            self.name,
            self.plugin,
            short(self.digest),
            self.kinds.names().join(" and "),
            self.mode.as_str(),
            self.matching
        )
    }
}
