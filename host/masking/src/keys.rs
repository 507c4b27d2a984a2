//! The secrets behind pseudonyms.

use std::collections::HashMap;
use std::fmt;

/// `[keys]` of the configuration: name to secret bytes.
#[derive(Clone, Default)]
pub struct Keys {
    secrets: HashMap<String, Vec<u8>>,
}

impl Keys {
    pub fn new(secrets: impl IntoIterator<Item = (String, Vec<u8>)>) -> Keys {
        Keys { secrets: secrets.into_iter().collect() }
    }

    /// An empty secret counts as none: a pseudonym under it would be no secret at all.
    pub(crate) fn secret(&self, name: &str) -> Option<&[u8]> {
        self.secrets.get(name).map(Vec::as_slice).filter(|secret| !secret.is_empty())
    }
}

/// Names only: the bytes stay out of every log.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.secrets.keys()).finish()
    }
}
