//! Holds the ledger against what the clients have counted. A figure that was reached by not
//! recording what it was measured with is none.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Deserialize;

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
    /// The rules changed between its Bind and its Execute: what was bound is recorded as skipped,
    /// and judged and recorded anew. It counts once.
    pub(crate) judged_anew: u64,
}

impl Account {
    /// In a few words.
    pub(crate) fn line(&self) -> String {
        let Account { completed, otherwise, denied, judged_anew, .. } = self;
        format!(
            "{completed} completed, {otherwise} otherwise, {denied} denied, {judged_anew} judged anew"
        )
    }
}

/// What counts of an intent or an outcome.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    decision: Cow<'a, str>,
    #[serde(borrow, default)]
    ending: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(default)]
    session: u64,
    #[serde(default)]
    revision: u64,
    #[serde(borrow)]
    principal: Option<Subject<'a>>,
    #[serde(default)]
    rows: u64,
    #[serde(default)]
    cells_masked: u64,
}

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
}

/// Reads a proxy's whole ledger, counting intents whose text has `part` in it, until as many
/// as `expected` have an outcome.
pub(crate) fn of(proxy: &Portcullis, part: &str, expected: u64) -> Result<Account, Failure> {
    read(proxy, expected, |intent| intent.text.contains(part))
}

/// The same of one principal.
pub(crate) fn of_principal(
    proxy: &Portcullis,
    subject: &str,
    expected: u64,
) -> Result<Account, Failure> {
    read(proxy, expected, |intent| {
        intent.principal.as_ref().is_some_and(|principal| principal.subject == subject)
    })
}

fn read(
    proxy: &Portcullis,
    expected: u64,
    counts: impl Fn(&Fields<'_>) -> bool,
) -> Result<Account, Failure> {
    let begun = Instant::now();
    let mut reader = proxy.ledger()?;
    let mut books = Books::default();
    loop {
        for record in reader.by_ref() {
            let record = record.map_err(Failure::to("read the ledger"))?;
            if !matches!(record.kind.as_str(), "intent" | "outcome") {
                continue;
            }
            let fields: Fields<'_> =
                serde_json::from_str(&record.line).map_err(Failure::to("read a record"))?;
            match &*record.kind {
                "intent" if !counts(&fields) => {}
                "intent" => books.intent(&fields),
                _ => books.outcome(&fields),
            }
        }
        let Books { account, open, .. } = &books;
        let ended = account.completed + account.otherwise + account.denied;
        if (open.is_empty() && ended >= expected) || begun.elapsed() > SETTLED {
            return Ok(books.account);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An account while it is drawn up.
#[derive(Default)]
struct Books {
    account: Account,
    /// Events without an outcome.
    open: HashSet<String>,
    /// Of each session the revision under which it bound what was then skipped.
    skipped: HashMap<u64, u64>,
}

impl Books {
    fn intent(&mut self, fields: &Fields<'_>) {
        let account = &mut self.account;
        let bound = self.skipped.remove(&fields.session);
        if fields.message == "execute" && bound.is_some_and(|bound| bound < fields.revision) {
            account.judged_anew += 1;
            account.permitted -= 1;
            account.otherwise -= 1;
        }
        match &*fields.decision {
            "permitted" => account.permitted += 1,
            _ => account.denied += 1,
        }
        self.open.insert(fields.event.clone().into_owned());
    }

    fn outcome(&mut self, fields: &Fields<'_>) {
        if !self.open.remove(&*fields.event) {
            return;
        }
        match &*fields.ending {
            "completed" => self.account.completed += 1,
            "refused" => {}
            _ => self.account.otherwise += 1,
        }
        if fields.ending == "skipped" {
            self.skipped.insert(fields.session, fields.revision);
        }
        self.account.rows += fields.rows;
        self.account.cells_masked += fields.cells_masked;
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
