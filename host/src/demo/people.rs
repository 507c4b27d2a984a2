//! Who uses the shop's database.

use miette::{IntoDiagnostic, Result, miette};
use portcullis_identity::Verifier;

use super::postgres::random_password;

/// Easily typed, hard to guess.
const PASSWORD_CHARACTERS: usize = 12;

/// Somebody who may connect.
pub struct Person {
    pub name: &'static str,
    pub group: &'static str,
    pub kind: &'static str,
    /// What the policies make of them.
    pub may: &'static str,
    pub password: String,
}

/// Name, group, kind, and what the policies make of them.
const ROSTER: [(&str, &str, &str, &str); 4] = [
    ("ana", "analysts", "human", "reads everything, personal data masked; writes what she sees"),
    ("bob", "support", "human", "sees how to reach customers, but not how they pay"),
    ("bot", "agents", "agent", "sees pseudonyms in place of people, and writes by approval only"),
    ("dora", "dba", "human", "sees everything and may drop tables; everything is recorded"),
];

/// Everybody, with new passwords.
pub fn gather() -> Result<Vec<Person>> {
    let person = |(name, group, kind, may)| {
        let mut password = random_password().map_err(|error| miette!("{error}"))?;
        password.truncate(PASSWORD_CHARACTERS);
        Ok(Person { name, group, kind, may, password })
    };
    ROSTER.into_iter().map(person).collect()
}

impl Person {
    /// The `[[user]]` of the configuration. Nothing in it needs escaping.
    pub fn configuration(&self) -> Result<String> {
        let verifier = Verifier::new(&self.password).into_diagnostic()?;
        let Person { name, group, kind, .. } = self;
        Ok(format!(
            "\n[[user]]\nname = \"{name}\"\nscram = \"{verifier}\"\ngroups = [\"{group}\"]\nkind = \"{kind}\"\n"
        ))
    }
}
