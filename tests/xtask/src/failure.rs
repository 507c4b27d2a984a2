//! Why a command did not succeed, in words for the person who typed it.

use std::fmt;

#[derive(Clone, Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure(message.into())
    }

    /// For `map_err`: what was tried, then what went wrong.
    pub(crate) fn to<E: fmt::Display>(tried: impl fmt::Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure(format!("cannot {tried}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
