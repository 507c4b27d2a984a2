//! Holds the ledger against what the clients have counted. A figure that was reached by not
//! recording what it was measured with is none.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::Failure;
use crate::portcullis::Portcullis;

/// How long the last outcomes may take to be written.
const SETTLED: Duration = Duration::from_secs(30);

/// What a ledger says of the statements of one shape, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) permitted: u64,
    pub(crate) denied: u64,
    pub(crate) completed: u64,
    /// Failed, lost, suspended, skipped: whatever else became of them.
    pub(crate) otherwise: u64,
    pub(crate) rows: u64,
    pub(crate) cells_masked: u64,
}

/// Reads a proxy's whole ledger, counting intents whose text has `part` in it, until as many
/// as `expected` have an outcome.
pub(crate) fn of(
    proxy: &Portcullis,
    part: &str,
    expected: u64,
) -> Result<Account, Failure> {
    let begun = Instant::now();
    let mut reader = proxy.ledger()?;
    let mut account = Account::default();
    let mut open: HashSet<String> = HashSet::new();
    loop {
        for record in reader.by_ref() {
            let record = record.map_err(Failure::to("read the ledger"))?;
            if !matches!(record.kind.as_str(), "intent" | "outcome") {
                continue;
            }
            let fields = record.fields().map_err(Failure::to("read a record"))?;
            note(&mut account, &mut open, &record.kind, &fields, part);
        }
        let ended = account.completed + account.otherwise + account.denied;
        if (open.is_empty() && ended >= expected) || begun.elapsed() > SETTLED {
            return Ok(account);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn note(
    account: &mut Account,
    open: &mut HashSet<String>,
    kind: &str,
    fields: &Value,
    part: &str,
) {
    let event = fields["event"].as_str().unwrap_or_default();
    if kind == "intent" {
        if fields["text"].as_str().is_some_and(|text| text.contains(part)) {
            match fields["decision"].as_str() {
                Some("permitted") => account.permitted += 1,
                _ => account.denied += 1,
            }
            open.insert(event.to_owned());
        }
    } else if open.remove(event) {
        let number = |name: &str| fields[name].as_u64().unwrap_or(0);
        match fields["ending"].as_str() {
            Some("completed") => account.completed += 1,
            Some("refused") => {}
            _ => account.otherwise += 1,
        }
        account.rows += number("rows");
        account.cells_masked += number("cells_masked");
    }
}

/// Every statement was permitted, completed and written down, and nothing else was.
pub(crate) fn check(
    proxy: &Portcullis,
    part: &str,
    statements: u64,
    rows: u64,
) -> Result<Account, Failure> {
    let account = of(proxy, part, statements)?;
    let right = account.permitted == statements
        && account.completed == statements
        && account.denied + account.otherwise == 0
        && account.rows == rows;
    if right {
        return Ok(account);
    }
    Err(Failure::new(format!(
        "the clients ran {statements} statements with {rows} rows, the ledger has {account:?}"
    )))
}
