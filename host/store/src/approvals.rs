//! Cases and leases.

use std::io;

use portcullis_approvals::{Kept, Store, View};
use portcullis_policy::approval::{Lease, Standing};
use rusqlite::{OptionalExtension, params};

use crate::record;
use crate::state::State;

impl Store for State {
    fn load(&mut self) -> io::Result<Kept> {
        let (cases, leases) = self.change(|file| {
            let mut pending = file.prepare("SELECT content FROM approval WHERE standing = ?1")?;
            let cases = pending.query_map([Standing::Pending.as_str()], |row| row.get(0))?;
            let cases = cases.collect::<Result<Vec<String>, _>>()?;
            // The order in which they were given.
            let mut leases = file.prepare("SELECT content FROM lease ORDER BY number")?;
            let leases = leases.query_map([], |row| row.get(0))?;
            Ok((cases, leases.collect::<Result<Vec<String>, _>>()?))
        })?;
        let pending = cases.iter().map(|text| record::read_case(text));
        let leases = leases.iter().map(|text| record::read_lease(text));
        Ok(Kept {
            pending: pending.collect::<io::Result<_>>()?,
            leases: leases.collect::<io::Result<_>>()?,
        })
    }

    fn keep(&mut self, view: &View, lease: Option<&Lease>) -> io::Result<()> {
        let case = record::write_case(view)?;
        let lease = lease.map(|lease| Ok::<_, io::Error>((&lease.id, record::write_lease(lease)?)));
        let lease = lease.transpose()?;
        let ended_at = view.ended_at.map(integer);
        self.change(|file| {
            file.execute(
                "INSERT OR REPLACE INTO approval (id, standing, ended_at, content)
                 VALUES (?1, ?2, ?3, ?4)",
                params![view.id, view.standing.as_str(), ended_at, case],
            )?;
            if let Some((id, lease)) = lease {
                file.execute(
                    "INSERT INTO lease (id, content) VALUES (?1, ?2)",
                    params![id, lease],
                )?;
            }
            Ok(())
        })
    }

    fn remove_lease(&mut self, id: &str) -> io::Result<()> {
        self.change(|file| file.execute("DELETE FROM lease WHERE id = ?1", [id])).map(|_| ())
    }

    fn case(&mut self, id: &str) -> io::Result<Option<View>> {
        let text: Option<String> = self.change(|file| {
            file.query_row("SELECT content FROM approval WHERE id = ?1", [id], |row| row.get(0))
                .optional()
        })?;
        text.map(|text| record::read_case(&text)).transpose()
    }

    fn ended(&mut self, count_max: usize) -> io::Result<Vec<View>> {
        let texts = self.change(|file| {
            let mut ended = file.prepare(
                "SELECT content FROM approval WHERE ended_at IS NOT NULL
                 ORDER BY ended_at DESC, id LIMIT ?1",
            )?;
            let texts = ended.query_map([rows(count_max)], |row| row.get(0))?;
            texts.collect::<Result<Vec<String>, _>>()
        })?;
        texts.iter().map(|text| record::read_case(text)).collect()
    }

    fn forget(&mut self, count_max: usize, ended_before: u64) -> io::Result<()> {
        self.change(|file| {
            file.execute("DELETE FROM approval WHERE ended_at < ?1", [integer(ended_before)])?;
            file.execute(
                "DELETE FROM approval WHERE id IN (
                     SELECT id FROM approval WHERE ended_at IS NOT NULL
                     ORDER BY ended_at DESC, id LIMIT -1 OFFSET ?1)",
                [rows(count_max)],
            )
        })
        .map(|_| ())
    }
}

fn integer(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
