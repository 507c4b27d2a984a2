//! The file, its layout, and the one connection to it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

const FILE: &str = "state.db";
/// Tells this file from another program's: "Port" in ASCII.
const APPLICATION: i64 = 0x506f_7274;
const LAYOUT: i64 = 1;
/// A proxy that is just ending lets go of the file within this time.
const HANDOVER: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE approval (
        id TEXT PRIMARY KEY,
        standing TEXT NOT NULL,
        ended_at INTEGER,
        content TEXT NOT NULL
    ) STRICT;
    CREATE INDEX approval_ended ON approval (ended_at);
    CREATE TABLE lease (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        content TEXT NOT NULL
    ) STRICT;
    CREATE TABLE credential (
        id TEXT PRIMARY KEY,
        verifier TEXT NOT NULL,
        content TEXT NOT NULL
    ) STRICT;
    CREATE TABLE disabled (
        subject TEXT PRIMARY KEY,
        disabled_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        disabled_at INTEGER NOT NULL
    ) STRICT;
";

/// Alone with the file, and a commit is on disk when it returns. What is deleted is
/// overwritten, because verifiers are among it.
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA journal_size_limit = 4194304;
";

/// The file `state.db` in the state directory; cheap to clone, and each clone can be handed
/// to another who keeps something in it.
#[derive(Clone)]
pub struct State {
    connection: Arc<Mutex<Connection>>,
    path: Arc<PathBuf>,
}

impl State {
    /// Opens or makes the file in `directory`, which is made where there is none.
    ///
    /// # Errors
    /// When the file cannot be read and written, is damaged, is in use by another process,
    /// or was written by a later version.
    pub fn open(directory: &Path) -> io::Result<State> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = directory.join(FILE);
        let failed = |error: rusqlite::Error| {
            io::Error::other(format!("{} cannot be used: {error}", path.display()))
        };
        make_private(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(HANDOVER).map_err(failed)?;
        connection.execute_batch(SETTINGS).map_err(failed)?;
        prepare(&mut connection).map_err(failed)?;
        Ok(State { connection: Arc::new(Mutex::new(connection)), path: Arc::new(path) })
    }

    /// Does something with the file, all of it or nothing.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> io::Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(
            |transaction| {
                let result = change(&transaction)?;
                transaction.commit()?;
                Ok(result)
            },
        );
        done.map_err(|error| io::Error::other(format!("{}: {error}", self.path.display())))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Before SQLite opens it, which would make it readable by all; what SQLite puts beside it
/// has the same permissions.
fn make_private(path: &Path) -> io::Result<()> {
    let private = 0o600;
    match OpenOptions::new().write(true).create_new(true).mode(private).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, Permissions::from_mode(private))
        }
        Err(error) => Err(error),
    }
}

/// Makes the tables of a new file; refuses one that is damaged or not ours.
fn prepare(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |name: &str| transaction.pragma_query_value(None, name, |row| row.get(0));
    let (application, layout): (i64, i64) = (number("application_id")?, number("user_version")?);
    match (application, layout) {
        (0, 0) => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
        }
        (APPLICATION, LAYOUT) => {
            let health: String =
                transaction.pragma_query_value(None, "quick_check", |row| row.get(0))?;
            if health != "ok" {
                return Err(unusable("it is damaged"));
            }
        }
        (APPLICATION, _) => return Err(unusable("another version of the proxy wrote it")),
        (_, _) => return Err(unusable("another program wrote it")),
    }
    transaction.commit()
}

fn unusable(why: &'static str) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(why.into())
}

#[cfg(test)]
mod tests;
