//! One database as all its sessions share it: settings, catalog, labels.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portcullis_policy::PolicySet;
use portcullis_sql::{Catalog, Relation, RelationKind};
use tokio::sync::Mutex;

use crate::asking::Asking;
use crate::labels::Labels;
use crate::settings::DatabaseSettings;
use crate::snapshot::{self, Known, Snapshot};
use crate::upstream::{self, UpstreamError};

/// DDL that passed another way than through the proxy is seen within this time.
const AGE_MAX: Duration = Duration::from_secs(30);
/// It is read again from this age on, while nobody has to wait for it.
const AGE_DUE: Duration = Duration::from_secs(20);
/// Views that were locked are looked for again after this time.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(5);
/// Relations that are looked at while nobody else can ask.
const SAMPLED_AT_ONCE: usize = 16;
/// The proxy's own questions never wait for a client's locks, nor long for anything.
const ASKING_SETTINGS: [(&str, &str); 3] = [
    ("application_name", "portcullis"),
    ("client_encoding", "UTF8"),
    (
        "options",
        "-c lock_timeout=50 -c statement_timeout=10000 -c default_transaction_read_only=on",
    ),
];

/// What is known of a database at one moment.
#[derive(Clone)]
pub struct View {
    /// Counts up with every change; facts are cached under it.
    pub version: u64,
    pub catalog: Arc<Catalog>,
    pub type_names: Arc<HashMap<u32, String>>,
    pub labels: Labels,
    pub search_path: Arc<[String]>,
    /// As [`Snapshot::schemas`].
    pub schemas: u64,
    /// Relations with triggers of somebody's own: what those say is not seen.
    pub triggered: Arc<HashSet<u32>>,
    /// The catalog has temporary tables in it.
    has_temporary: bool,
    /// How many changes of the catalog were known when it was read.
    changes: u64,
    /// From then on it is read again while it still holds.
    due_at: Instant,
    /// DDL that passed another way than through the proxy may be unknown from then on.
    stale_at: Instant,
}

impl View {
    /// Nobody has looked at the content of this relation yet.
    pub fn is_unseen(&self, oid: u32, classifiers: u64) -> bool {
        use RelationKind::{ForeignTable, MaterializedView, PartitionedTable, Table};
        let holds = |relation: &Relation| {
            matches!(relation.kind, Table | PartitionedTable | ForeignTable | MaterializedView)
        };
        !self.labels.is_sampled(oid, classifiers) && self.catalog.relation(oid).is_some_and(holds)
    }

    /// All relations whose content nobody has looked at yet.
    pub fn unseen(&self, classifiers: u64) -> impl Iterator<Item = u32> {
        let oids = self.catalog.relations().map(|relation| relation.oid);
        oids.filter(move |oid| self.is_unseen(*oid, classifiers))
    }
}

/// What every statement asks of a view: to take hold of the view itself for it would cost more
/// than the answer.
struct Front {
    /// Since when its times count.
    begun: Instant,
    version: AtomicU64,
    schemas: AtomicU64,
    changes: AtomicU64,
    due_ns: AtomicU64,
    stale_ns: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Young,
    /// To be read again soon.
    Due,
    Stale,
}

impl Front {
    fn of(view: &View) -> Front {
        let front = Front {
            begun: Instant::now(),
            version: AtomicU64::default(),
            schemas: AtomicU64::default(),
            changes: AtomicU64::default(),
            due_ns: AtomicU64::default(),
            stale_ns: AtomicU64::default(),
        };
        front.show(view);
        front
    }

    /// After the view was put where it is found. That nothing is stale is told last: whoever finds
    /// it so finds the number of the view in which it is, if he asks for that afterwards.
    fn show(&self, view: &View) {
        self.schemas.store(view.schemas, Ordering::Release);
        self.version.store(view.version, Ordering::Release);
        self.due_ns.store(self.ns(view.due_at), Ordering::Release);
        self.stale_ns.store(self.ns(view.stale_at), Ordering::Release);
        self.changes.store(view.changes, Ordering::Release);
    }

    fn ns(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }

    fn age(&self, now: Instant) -> Age {
        let now = self.ns(now);
        if now >= self.stale_ns.load(Ordering::Acquire) {
            return Age::Stale;
        }
        if now >= self.due_ns.load(Ordering::Acquire) { Age::Due } else { Age::Young }
    }
}

/// A database and what is known of it.
pub struct DatabaseState {
    /// No other has it in this process, also after this one is gone: what is known of a
    /// database is not told of the one that takes its place.
    pub number: u64,
    pub settings: DatabaseSettings,
    view: ArcSwap<View>,
    front: Front,
    /// Changes of the catalog that are known of. While one is being read in, the view that is
    /// still there does not have it, and whoever asks waits.
    changes: AtomicU64,
    version: AtomicU64,
    /// Sessions that may be committing a change at this moment.
    committing: AtomicUsize,
    /// Somebody reads the catalog ahead of its time.
    is_read_ahead: AtomicBool,
    /// The connection to ask on; the lock makes one question out of many sessions' same.
    asking: Mutex<Option<Asking>>,
}

impl DatabaseState {
    pub fn new(settings: DatabaseSettings) -> DatabaseState {
        let view = View {
            version: 0,
            catalog: Arc::new(Catalog::default()),
            type_names: Arc::default(),
            labels: Labels::default(),
            search_path: Arc::default(),
            schemas: 0,
            triggered: Arc::default(),
            has_temporary: false,
            changes: 0,
            due_at: Instant::now(),
            stale_at: Instant::now(),
        };
        static STATES: AtomicU64 = AtomicU64::new(0);
        DatabaseState {
            number: STATES.fetch_add(1, Ordering::Relaxed),
            settings,
            front: Front::of(&view),
            view: ArcSwap::from_pointee(view),
            changes: AtomicU64::new(1),
            version: AtomicU64::new(0),
            committing: AtomicUsize::new(0),
            is_read_ahead: AtomicBool::new(false),
            asking: Mutex::new(None),
        }
    }

    /// A database whose catalog is known and does not age, and of whose content nothing is to
    /// be found by looking.
    #[cfg(any(test, feature = "scripted"))]
    pub fn known(
        settings: DatabaseSettings,
        catalog: Catalog,
        type_names: HashMap<u32, String>,
        search_path: &[&str],
        classifiers: u64,
    ) -> DatabaseState {
        let mut labels = Labels::default();
        labels.configure(&catalog, &settings.column_labels);
        catalog.relations().for_each(|known| labels.count_as_sampled(known.oid, classifiers));
        let database = DatabaseState::new(settings);
        database.publish(View {
            version: database.next_version(),
            catalog: Arc::new(catalog),
            type_names: Arc::new(type_names),
            labels,
            search_path: search_path.iter().map(|schema| (*schema).to_owned()).collect(),
            schemas: 0,
            triggered: Arc::default(),
            has_temporary: false,
            changes: database.changes.load(Ordering::Acquire),
            due_at: Instant::now() + 1000 * AGE_MAX,
            stale_at: Instant::now() + 1000 * AGE_MAX,
        });
        database
    }

    /// Between two plays: there is no server to read the catalog of again.
    #[cfg(any(test, feature = "scripted"))]
    pub fn forget_changes(&self) {
        self.changes.store(self.front.changes.load(Ordering::Acquire), Ordering::Release);
    }

    /// The same under the next number, as after a change.
    #[cfg(any(test, feature = "scripted"))]
    pub fn renew(&self) {
        let view = View { version: self.next_version(), ..View::clone(&self.view()) };
        self.publish(view);
    }

    fn publish(&self, view: View) {
        let view = Arc::new(view);
        self.view.store(view.clone());
        self.front.show(&view);
    }

    /// What is known now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The number of what is known now.
    pub fn view_version(&self) -> u64 {
        self.front.version.load(Ordering::Acquire)
    }

    /// The number of the schemas that there are now.
    pub fn schemas(&self) -> u64 {
        self.front.schemas.load(Ordering::Acquire)
    }

    /// A session is about to send what may commit a change, or has heard how that ended.
    pub fn note_committing(&self, may_commit: bool) {
        match may_commit {
            true => self.committing.fetch_add(1, Ordering::AcqRel),
            false => self.committing.fetch_sub(1, Ordering::AcqRel),
        };
    }

    /// Reads the catalog where a change may have been committed of which nobody has heard. False
    /// where it may be another than the one that is known.
    pub async fn settle(&self) -> bool {
        if self.committing.load(Ordering::Acquire) > 0 {
            self.mark_stale();
        }
        !self.has_changed() || self.bring_up_to_date().await.unwrap_or(false)
    }

    /// Whether no change is known, or on its way, that this view does not have.
    pub fn is_settled(&self, view: &View) -> bool {
        self.committing.load(Ordering::Acquire) == 0
            && !self.has_changed()
            && view.version == self.view_version()
    }

    /// The catalog has changed, or something was seen that it does not explain.
    pub fn mark_stale(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub fn is_stale(&self) -> bool {
        self.has_changed() || self.front.age(Instant::now()) == Age::Stale
    }

    /// Whether the view may be counted on at this moment. While it may, the catalog is read again
    /// soon enough that no statement has to wait for it: the thread that calls this reads it, and goes
    /// on with its sessions meanwhile.
    pub fn keep_up_to_date(self: &Arc<Self>, now: Instant) -> bool {
        let age = self.front.age(now);
        if age == Age::Stale || self.has_changed() {
            return false;
        }
        if age == Age::Due {
            self.read_ahead();
        }
        true
    }

    /// The catalog is known to have changed since it was read.
    fn has_changed(&self) -> bool {
        self.changes.load(Ordering::Acquire) != self.front.changes.load(Ordering::Acquire)
    }

    /// A session has begun on the server. Temporary tables in the snapshot are those of other
    /// sessions, and the new one may have been given the schema of one that is gone.
    pub fn forget_temporary(&self) {
        if self.view.load().has_temporary {
            self.mark_stale();
        }
    }

    /// Reads the catalog anew where it is stale. On failure what was known stands, and the
    /// next statement tries again.
    pub async fn refresh(&self) -> io::Result<()> {
        let mut asking = self.asking.lock().await;
        if !self.is_stale() {
            return Ok(());
        }
        self.read(&mut asking).await
    }

    /// Reads the catalog where it is stale. False when it has changed and cannot be read: then
    /// names may mean something else than what is known.
    ///
    /// # Errors
    /// When it has never been read: without any there is nothing to judge by.
    pub async fn bring_up_to_date(&self) -> io::Result<bool> {
        match self.refresh().await {
            Ok(()) => Ok(true),
            Err(error) if self.view_version() > 0 => {
                let name = &self.settings.database.name;
                tracing::warn!(database = name, %error, "catalog not read");
                Ok(!self.has_changed())
            }
            Err(error) => Err(error),
        }
    }

    fn read_ahead(self: &Arc<Self>) {
        if self.is_read_ahead.swap(true, Ordering::AcqRel) {
            return;
        }
        let ahead = ReadAhead(self.clone());
        tokio::task::spawn_local(async move {
            let database = &ahead.0;
            let mut asking = database.asking.lock().await;
            if database.front.age(Instant::now()) != Age::Young
                && let Err(error) = database.read(&mut asking).await
            {
                // What is known holds for a while; then a statement waits, and is told.
                let name = &database.settings.database.name;
                tracing::warn!(database = name, %error, "catalog not read");
            }
        });
    }

    /// On failure what was known stands.
    async fn read(&self, asking: &mut Option<Asking>) -> io::Result<()> {
        let changes = self.changes.load(Ordering::Acquire);
        let old = self.view();
        let known = Known { catalog: &old.catalog, type_names: &old.type_names };
        let snapshot = self
            .ask(asking, async |asking| snapshot::read(asking, &known, old.version + 1).await)
            .await?;
        self.publish(self.viewed(&old, snapshot, changes));
        Ok(())
    }

    /// A snapshot as a view. One that says what the last one said keeps its number, and with it
    /// all that was found out under that.
    fn viewed(&self, old: &View, snapshot: Snapshot, changes: u64) -> View {
        let Snapshot { catalog, type_names, search_path, schemas, triggered, complete } = snapshot;
        let is_like = old.version > 0
            && catalog.is_like(&old.catalog)
            && type_names == old.type_names
            && *search_path == *old.search_path
            && schemas == old.schemas
            && triggered == *old.triggered;
        let (due_in, stale_in) =
            if complete { (AGE_DUE, AGE_MAX) } else { (PARTIAL_AGE_MAX, PARTIAL_AGE_MAX) };
        let (due_at, stale_at) = (Instant::now() + due_in, Instant::now() + stale_in);
        if is_like {
            return View { changes, due_at, stale_at, ..old.clone() };
        }
        let has_temporary =
            catalog.relations().any(|relation| relation.schema.starts_with("pg_temp_"));
        let mut labels = Labels::default();
        labels.configure(&catalog, &self.settings.column_labels);
        labels.keep_sampled(&old.labels, &old.catalog, &catalog);
        View {
            version: self.next_version(),
            catalog: Arc::new(catalog),
            type_names,
            labels,
            search_path: search_path.into(),
            schemas,
            triggered: Arc::new(triggered),
            has_temporary,
            changes,
            due_at,
            stale_at,
        }
    }

    /// Looks at the content of relations not yet looked at, before anything of them is shown.
    pub async fn sample(&self, oids: &[u32], policies: &dyn PolicySet) -> io::Result<()> {
        let mut outcome = Ok(());
        // What others ask comes in between.
        for some in oids.chunks(SAMPLED_AT_ONCE) {
            outcome = outcome.and(self.sample_some(some, policies).await);
        }
        outcome
    }

    async fn sample_some(&self, oids: &[u32], policies: &dyn PolicySet) -> io::Result<()> {
        let mut asking = self.asking.lock().await;
        let view = self.view();
        let mut labels = view.labels.clone();
        let classifiers = policies.classifiers();
        let unseen: Vec<&Relation> = oids
            .iter()
            .filter(|oid| !view.labels.is_sampled(**oid, classifiers))
            .filter_map(|oid| view.catalog.relation(*oid))
            .collect();
        if unseen.is_empty() {
            // Another session was first.
            return Ok(());
        }
        let (mut outcome, mut learned) = (Ok(()), false);
        for relation in unseen {
            let sampled = self
                .ask(&mut asking, async |asking| labels.sample(asking, relation, policies).await)
                .await;
            learned |= sampled.is_ok();
            outcome = outcome.and(sampled);
        }
        if learned {
            let version = self.next_version();
            self.publish(View { version, labels, ..View::clone(&view) });
        }
        outcome
    }

    /// The name of a function, for FunctionCall.
    pub async fn function_name(&self, oid: u32) -> io::Result<Option<String>> {
        let text = format!(
            "select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname) \
             from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
             where p.oid = {oid}"
        );
        let mut asking = self.asking.lock().await;
        let rows = self.ask(&mut asking, async |asking| asking.ask(&text).await).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// The planner's estimate of the rows that one statement reads or writes, as `role` would
    /// plan it. Planning evaluates functions, so there is none where it could come upon one
    /// that somebody wrote: the statement names no function, its relations are tables
    /// without row security, and the database has no operators of its own.
    pub async fn row_estimate(
        &self,
        text: &str,
        tables: &[u32],
        (search_path, role): (&[String], Option<&str>),
    ) -> io::Result<Option<u64>> {
        let quoted: Vec<String> = search_path.iter().map(|schema| quoted(schema)).collect();
        let oids: Vec<String> = tables.iter().map(u32::to_string).collect();
        let safe = format!(
            "select 1 where not exists (select from pg_catalog.pg_operator where oid >= {FIRST_USER_OID}) \
             and {count} = (select pg_catalog.count(*) from pg_catalog.pg_class \
             where oid in ({oids}) and relkind = 'r' and not relrowsecurity)",
            count = tables.len(),
            oids = oids.join(",")
        );
        let path = format!("set local search_path to {}", quoted.join(", "));
        let role = role.map(|role| format!("; set local role {}", self::quoted(role)));
        let mut asking = self.asking.lock().await;
        let plan = self
            .ask(&mut asking, async |asking| {
                asking.ask("begin transaction read only").await?;
                let plan = async {
                    if asking.ask(&safe).await?.is_empty() {
                        return Ok(Vec::new());
                    }
                    asking.ask(&format!("{path}{}", role.as_deref().unwrap_or_default())).await?;
                    asking.ask_one(&format!("explain {text}")).await
                };
                let plan = plan.await;
                asking.ask("rollback").await?;
                plan
            })
            .await?;
        let lines = plan.iter().filter_map(|row| row.first()?.as_deref());
        // What writes estimates no rows of its own: those of what it reads count.
        let mut estimates = lines.filter_map(estimated_rows);
        Ok(estimates.find(|rows| *rows > 0).or(Some(0)).filter(|_| !plan.is_empty()))
    }

    /// Asks on the kept connection, or on a new one where it has gone.
    async fn ask<T>(
        &self,
        kept: &mut Option<Asking>,
        mut question: impl AsyncFnMut(&mut Asking) -> io::Result<T>,
    ) -> io::Result<T> {
        // Taken out while it is asked: a question that is given up leaves half an answer
        // behind, and with it a connection that nobody may use again.
        if let Some(mut asking) = kept.take() {
            match question(&mut asking).await {
                Err(error) if error.kind() != io::ErrorKind::Other => {}
                answer => {
                    *kept = Some(asking);
                    return answer;
                }
            }
        }
        let parameters: Vec<_> = ASKING_SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let upstream = upstream::connect(&self.settings.upstream, &parameters);
        let upstream = tokio::time::timeout(upstream::CONNECT_TIMEOUT, upstream).await;
        let upstream = upstream
            .unwrap_or_else(|_| Err(UpstreamError::too_late()))
            .map_err(|error| io::Error::new(io::ErrorKind::NotConnected, error.to_string()))?;
        let mut asking = Asking::new(upstream);
        let answer = question(&mut asking).await;
        let is_whole = !matches!(&answer, Err(error) if error.kind() != io::ErrorKind::Other);
        *kept = is_whole.then_some(asking);
        answer
    }

    fn next_version(&self) -> u64 {
        self.version.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Relations and operators below this OID are PostgreSQL's own.
const FIRST_USER_OID: u32 = 16_384;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The `rows=` of a line of EXPLAIN.
fn estimated_rows(line: &str) -> Option<u64> {
    let digits = line.split_once(" rows=")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The catalog is being read ahead, for as long as there is this.
struct ReadAhead(Arc<DatabaseState>);

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.0.is_read_ahead.store(false, Ordering::Release);
    }
}
