//! Cancel keys: the proxy gives out its own secrets and knows whose server session each stands
//! for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::database::DatabaseState;
use crate::registry::Line;
use crate::upstream;

/// Key bytes in protocol 3.0, whose field has a fixed size.
const KEY_BYTES_3_0: usize = 4;
/// Key bytes from protocol 3.2 on.
const KEY_BYTES_3_2: usize = 32;

/// What a key cancels.
#[derive(Clone)]
struct Target {
    key: Vec<u8>,
    line: Arc<Line>,
    database: Arc<DatabaseState>,
    process_id: u32,
    upstream_key: Vec<u8>,
}

/// All live sessions' keys.
#[derive(Default)]
pub struct CancelKeys {
    // Locked at login, logout and cancel: never while a statement passes.
    targets: Mutex<HashMap<u32, Target>>,
}

/// A session's own key; forgotten when dropped.
pub struct CancelKey {
    keys: Arc<CancelKeys>,
    pub process_id: u32,
    pub secret_key: Vec<u8>,
}

impl CancelKeys {
    /// Makes a key for the session at `line`, whose server session has `process_id`. The client
    /// is told the same number, as it meets it again in notifications and `pg_backend_pid()`;
    /// only the key is a secret, as with PostgreSQL.
    pub fn issue(
        self: &Arc<CancelKeys>,
        minor: u16,
        line: Arc<Line>,
        database: Arc<DatabaseState>,
        process_id: u32,
        upstream_key: Vec<u8>,
    ) -> Result<CancelKey, getrandom::Error> {
        let mut key = vec![0; if minor >= 2 { KEY_BYTES_3_2 } else { KEY_BYTES_3_0 }];
        getrandom::fill(&mut key)?;
        let target = Target { key: key.clone(), line, database, process_id, upstream_key };
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut id = process_id;
        // Two servers number their processes alike.
        while id == 0 || targets.contains_key(&id) {
            let mut random = [0; 4];
            getrandom::fill(&mut random)?;
            // Above what systems call processes, below what drivers take for a negative number.
            id = u32::from_be_bytes(random) & 0x7fff_ffff | 0x4000_0000;
        }
        targets.insert(id, target);
        Ok(CancelKey { keys: self.clone(), process_id: id, secret_key: key })
    }

    /// Withdraws what waits for people, or passes the cancel on, where the key fits; says
    /// nothing either way, as PostgreSQL does.
    pub async fn cancel(&self, process_id: u32, key: &[u8]) {
        let target = {
            let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            targets.get(&process_id).filter(|target| same(&target.key, key)).cloned()
        };
        let Some(target) = target else { return };
        if target.line.cancel() {
            return;
        }
        let settings = &target.database.settings.upstream;
        if let Err(error) =
            upstream::cancel(settings, target.process_id, &target.upstream_key).await
        {
            tracing::warn!(%error, "cancel not passed on");
        }
    }
}

/// Compares in a time that does not tell where they differ.
fn same(known: &[u8], given: &[u8]) -> bool {
    known.len() == given.len() && known.iter().zip(given).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

impl Drop for CancelKey {
    fn drop(&mut self) {
        let mut targets = self.keys.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.remove(&self.process_id);
    }
}
