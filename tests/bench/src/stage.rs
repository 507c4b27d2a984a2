//! PostgreSQL with the tables of the figures.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::failure::Failure;
use crate::postgres::{Options, Postgres};
use crate::target::Target;
use crate::wire::{Connection, Login};
use crate::workload::ROWS;

pub(crate) const DATABASE: &str = "bench";
/// The role that all sessions at PostgreSQL have, directly or through a proxy.
pub(crate) const ROLE: &str = "app";
/// Everybody's.
pub(crate) const PASSWORD: &str = "bench-secret";

/// What is in this row of `remarks`, and nothing like it in any other.
pub(crate) const PLANTED_ROW: u32 = 999_999;
pub(crate) const PLANTED: &str = "planted.needle@example.com";

/// A throw-away server. Everything is gone when it is dropped.
pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    /// What the server keeps of the password, and the proxy too: so a client derives one key.
    pub(crate) verifier: String,
}

impl Stage {
    /// A directory that PostgreSQL can reach, which runs as somebody else when we are root.
    pub(crate) fn place() -> Result<TempDir, Failure> {
        let place = tempfile::Builder::new().prefix("portcullis-bench-postgres-").tempdir();
        let place = place.map_err(Failure::to("make a directory"))?;
        let open = Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(), open).map_err(Failure::to("open the directory"))?;
        Ok(place)
    }

    /// Starts a server with a database and no tables.
    pub(crate) fn start(place: &Path) -> Result<Stage, Failure> {
        let settings = [
            ("max_connections", "1400"),
            ("shared_buffers", "1GB"),
            ("autovacuum", "off"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("max_wal_size", "4GB"),
            ("jit", "off"),
            ("max_parallel_workers_per_gather", "0"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = Options { settings, remove: true, ..Options::default() };
        let binaries = Postgres::find().map_err(Failure::new)?;
        let postgres = Postgres::start(&binaries, &place.join("postgres"), &options);
        let postgres = postgres.map_err(Failure::new)?;
        let mut stage = Stage { postgres, verifier: String::new() };
        let mut session = stage.superuser()?;
        let mut verifier = String::new();
        for statement in [
            format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"),
            format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{ROLE}'"),
        ] {
            let read = |row: &[u8]| {
                let cell = crate::wire::cells(row).first().copied().flatten().unwrap_or_default();
                verifier = String::from_utf8_lossy(cell).into_owned();
            };
            session.query(&statement, read).map_err(Failure::to(&statement))?;
        }
        stage.verifier = verifier;
        Ok(stage)
    }

    /// A superuser's session, past all proxies.
    pub(crate) fn superuser(&self) -> Result<Connection, Failure> {
        let login = Login::new("postgres", "postgres", self.postgres.password());
        Connection::open(self.address(), &login).map_err(Failure::to("log in"))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.postgres.port()))
    }

    /// PostgreSQL itself.
    pub(crate) fn direct(&self) -> Target {
        let login = Login::new(ROLE, DATABASE, PASSWORD);
        Target { name: "direct".to_owned(), address: self.address(), login, pid: None }
    }

    /// Makes the tables: pgbench's, people with labelled columns, and remarks without labels.
    pub(crate) fn fill(&self) -> Result<(), Failure> {
        let mut session = self.direct().connect().map_err(Failure::to("log in"))?;
        for statement in tables() {
            session.query(&statement, |_| {}).map_err(Failure::to(&statement))?;
        }
        // Or it comes in the middle of a figure.
        let flushed = self.superuser()?.query("CHECKPOINT", |_| {});
        flushed.map(|_| ()).map_err(Failure::to("CHECKPOINT"))
    }
}

fn tables() -> [String; 9] {
    [
        // The columns and contents of pgbench at scale 10.
        "CREATE UNLOGGED TABLE pgbench_accounts
           (aid int NOT NULL, bid int, abalance int, filler char(84))".to_owned(),
        format!("INSERT INTO pgbench_accounts
           SELECT i, (i - 1) / 100000 + 1, 0, '' FROM generate_series(1, {ROWS}) i"),
        "ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)".to_owned(),
        "VACUUM ANALYZE pgbench_accounts".to_owned(),
        format!("CREATE UNLOGGED TABLE people AS SELECT i AS id,
           (ARRAY['Parcel','Invoice','Letter','Ticket','Order','Refund','Visit','Call'])[1 + i % 8]
             || ' ' || (ARRAY['arrived','was lost','is late','was paid','was opened'])[1 + i / 8 % 5]
             AS subject,
           'user' || i || '.' || substr(md5(i::text), 1, 6) || '@example' || i % 97 || '.com' AS email,
           '+1-' || 200 + i % 700 || '-555-' || lpad((i % 10000)::text, 4, '0') AS phone,
           lpad((i % 899 + 1)::text, 3, '0') || '-' || lpad((i % 99 + 1)::text, 2, '0') || '-'
             || lpad((i % 9999 + 1)::text, 4, '0') AS ssn,
           'note ' || md5((i * 7)::text) AS notes
         FROM generate_series(1, {ROWS}) i"),
        "ALTER TABLE people ADD PRIMARY KEY (id)".to_owned(),
        "VACUUM ANALYZE people".to_owned(),
        // As wide as people; nothing in it is anybody's, but for one value.
        format!("CREATE UNLOGGED TABLE remarks AS SELECT i AS id, subject,
           'batch ' || i || ' of lot ' || i % 97 || ' is complete' AS progress,
           'shelf ' || 200 + i % 700 || ' row ' || i % 100 AS shelf,
           'level ' || i % 9999 AS level,
           CASE i WHEN {PLANTED_ROW} THEN 'ask {PLANTED} for it' ELSE notes END AS remark
         FROM people JOIN generate_series(1, {ROWS}) i ON i = id ORDER BY i"),
        "VACUUM ANALYZE remarks".to_owned(),
    ]
}
