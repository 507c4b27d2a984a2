//! Why a policy is not in force, or an engine does not start.

use std::fmt;
use std::path::PathBuf;

use portcullis_policy::set::PolicyName;

/// Why the engine cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError {
    message: String,
}

impl EngineError {
    pub(crate) fn new(message: impl Into<String>) -> EngineError {
        EngineError { message: message.into() }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

/// A policy that could not be put into force as its file says. Its last good form, if it has
/// one, stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub policy: PolicyName,
    /// The file that is wrong.
    pub file: PathBuf,
    /// Where in the file, if it has lines; counted from 1.
    pub line: Option<u32>,
    pub reason: String,
    /// True when an earlier form of the policy is still in force.
    pub last_good_in_force: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": policy {}: {}", self.policy, self.reason)?;
        if self.last_good_in_force {
            f.write_str(" (its last good form stays in force)")?;
        }
        Ok(())
    }
}
