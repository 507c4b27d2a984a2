//! Why a command did not do what was asked, and what to do about it.

use std::process::ExitCode;

use crate::terminal::printable;

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something is wrong here, or the API refused for a reason of its own.
    Failed,
    /// Whoever asks is not logged in.
    LoginNeeded,
    NotAllowed,
    /// There is no such thing, or it is over.
    Gone,
    Unreachable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The message may come from elsewhere: it is shown without what steers a terminal.
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Failure {
        Failure { kind, message: printable(message.as_ref()), hint: None }
    }

    pub fn failed(message: impl AsRef<str>) -> Failure {
        Failure::new(Kind::Failed, message)
    }

    pub fn hint(self, hint: impl AsRef<str>) -> Failure {
        Failure { hint: Some(printable(hint.as_ref())), ..self }
    }

    pub fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::LoginNeeded => 3,
            Kind::NotAllowed => 4,
            Kind::Gone => 5,
            Kind::Unreachable => 6,
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}
