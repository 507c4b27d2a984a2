//! Short-lived passwords, and who is shut out.

use std::io;

use portcullis_identity::{Credential, CredentialStore, DisabledStore, DisabledSubject};
use rusqlite::params;

use crate::record;
use crate::state::State;

impl CredentialStore for State {
    fn load(&mut self) -> io::Result<Vec<Credential>> {
        let texts = self.change(|file| {
            let mut all = file.prepare("SELECT verifier, content FROM credential")?;
            let texts = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            texts.collect::<Result<Vec<(String, String)>, _>>()
        })?;
        let read =
            |(verifier, content): &(String, String)| record::read_credential(verifier, content);
        texts.iter().map(read).collect()
    }

    fn insert(&mut self, credential: &Credential) -> io::Result<()> {
        let (verifier, content) = record::write_credential(credential)?;
        self.change(|file| {
            file.execute(
                "INSERT INTO credential (id, verifier, content) VALUES (?1, ?2, ?3)",
                params![credential.id, verifier, content],
            )
        })
        .map(|_| ())
    }

    fn remove(&mut self, id: &str) -> io::Result<()> {
        self.change(|file| file.execute("DELETE FROM credential WHERE id = ?1", [id])).map(|_| ())
    }
}

impl DisabledStore for State {
    fn load(&mut self) -> io::Result<Vec<DisabledSubject>> {
        let rows = self.change(|file| {
            let mut all =
                file.prepare("SELECT subject, disabled_by, reason, disabled_at FROM disabled")?;
            let rows =
                all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect::<Result<Vec<(String, String, String, i64)>, _>>()
        })?;
        let read = |(subject, by, reason, at): (String, String, String, i64)| {
            let at = record::time(u64::try_from(at).unwrap_or_default())?;
            Ok(DisabledSubject { subject, by, reason, at })
        };
        rows.into_iter().map(read).collect()
    }

    fn insert(&mut self, disabled: &DisabledSubject) -> io::Result<()> {
        let at = i64::try_from(record::seconds(disabled.at)).unwrap_or(i64::MAX);
        self.change(|file| {
            file.execute(
                "INSERT OR REPLACE INTO disabled (subject, disabled_by, reason, disabled_at)
                 VALUES (?1, ?2, ?3, ?4)",
                params![disabled.subject, disabled.by, disabled.reason, at],
            )
        })
        .map(|_| ())
    }

    fn remove(&mut self, subject: &str) -> io::Result<()> {
        self.change(|file| file.execute("DELETE FROM disabled WHERE subject = ?1", [subject]))
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests;
