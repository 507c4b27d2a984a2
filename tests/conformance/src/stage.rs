//! A PostgreSQL of its own, and the proxy before it with every shipped policy observing: all
//! is analysed, judged, planned and recorded, and nothing of it may show.

use std::sync::atomic::{AtomicU32, Ordering};

use end_to_end::portcullis::{PASSWORD, SUPERUSER};
use end_to_end::{Cluster, Database, Portcullis, Setup};

/// The shipped policies that judge and mask, as [`Stage::observed`] names them.
const GUARD: &str = "10-guard";
const MASK: &str = "50-pii";
/// Some suites have values of tens of megabytes, which the masker looks at as well.
const LARGE: &str = "memory_bytes_max = 67_108_864\ndeadline_ms = 2_000";
/// Those that must have been asked about every statement.
pub const OBSERVERS: [&str; 1] = [GUARD];

static SERVERS: AtomicU32 = AtomicU32::new(0);

/// Where clients connect, and as whom.
#[derive(Clone, Debug)]
pub struct Address {
    pub port: u16,
    pub user: &'static str,
    pub password: String,
    /// Who signed the certificate, in PEM; none where there is no TLS.
    pub authority: Option<String>,
}

/// A server with one empty database. It goes away with this process.
pub struct Stage {
    database: Database,
    name: &'static str,
}

impl Stage {
    /// Starts a server and makes the database.
    pub async fn new(name: &'static str, options: &str, settings: &[(&str, &str)]) -> Stage {
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let directory = format!("portcullis-conformance-{}-{number}", std::process::id());
        // Some suites would replicate, if the proxy let them.
        let hba = ["host replication all 127.0.0.1/32 scram-sha-256".to_owned()];
        let cluster = Cluster::bare(&std::env::temp_dir().join(directory), &hba, settings);
        let cluster: &'static Cluster = Box::leak(Box::new(cluster));
        cluster.run("postgres", &format!("CREATE DATABASE {name} {options}")).await;
        Stage { database: Database { cluster, name: name.to_owned() }, name }
    }

    /// Runs statements as the superuser, past the proxy.
    pub async fn run(&self, statements: &str) {
        self.database.cluster.run(self.name, statements).await;
    }

    /// The server's version, as it names it.
    pub async fn version(&self) -> String {
        let client = self.database.superuser().await;
        let row = client.query_one("SELECT split_part(version(), ' ', 2)", &[]).await;
        row.expect("every server has a version").get(0)
    }

    /// Past the proxy, without TLS.
    pub fn direct(&self) -> Address {
        let postgres = &self.database.cluster.postgres;
        let (user, password) = (SUPERUSER.name, postgres.password().to_owned());
        Address { port: postgres.port(), user, password, authority: None }
    }

    /// The same with TLS.
    pub fn direct_tls(&self) -> Address {
        let authority = Some(self.database.cluster.certificates.authority_pem.clone());
        Address { authority, ..self.direct() }
    }

    /// Through a proxy as the superuser, whom it knows by that name.
    pub fn through(&self, proxy: &Portcullis) -> Address {
        let (user, password) = (SUPERUSER.name, PASSWORD.to_owned());
        let authority = proxy.is_tls().then(|| proxy.certificates().authority_pem.clone());
        Address { port: proxy.address().port(), user, password, authority }
    }

    /// Another database of the same server, for the proxy's configuration.
    pub fn another_database(&self, name: &str, tls: bool) -> String {
        let (port, user) = (self.database.cluster.postgres.port(), SUPERUSER.name);
        let ssl = match tls {
            true => "verify-full&sslrootcert={place}/authority.crt",
            false => "disable",
        };
        format!(
            "[[database]]\nname = \"{name}\"\nunmatched = \"allow\"\naudit = \"relaxed\"\n\
             upstream = \"postgresql://{user}@127.0.0.1:{port}/{name}?sslmode={ssl}\"\n\
             password_file = \"{{place}}/upstream-password\"\n"
        )
    }

    /// Somebody else whom the proxy knows, for its configuration.
    pub async fn another_user(&self, name: &str, password: &str) -> String {
        let verifier = self.database.cluster.scram_verifier(password).await;
        format!("[[user]]\nname = \"{name}\"\nkind = \"service\"\nscram = \"{verifier}\"\n")
    }

    /// A proxy with every shipped policy observing, with TLS on both legs or on none.
    pub async fn observed(&self, tls: bool) -> Portcullis {
        let setup = self.observing(tls);
        let setup = if tls { setup.tls().listen_line("tls_required = true") } else { setup };
        setup.start().await
    }

    /// What the same is started with, TLS to the server included.
    pub fn observing(&self, tls: bool) -> Setup {
        let sslmode = if tls { "verify-full" } else { "disable" };
        let observe = "mode = \"observe\"";
        Setup::new(&self.database)
            .superuser(self.name, sslmode)
            // Nothing enforces, and that is what is wanted.
            .unmatched("allow")
            .policy(&format!("{GUARD}.toml"), "sql_guard.wasm", observe)
            .policy(&format!("{MASK}.toml"), "pii_mask.wasm", &format!("{observe}\n{LARGE}"))
    }
}
