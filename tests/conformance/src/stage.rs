//! A PostgreSQL of its own, and the proxy before it with every shipped policy observing: all
//! is analysed, judged, planned and recorded, and nothing of it may show.

use std::path::Path;

use end_to_end::portcullis::{PASSWORD, SUPERUSER};
use end_to_end::{Cluster, Database, Portcullis, Setup};

/// Where clients connect, and as whom.
#[derive(Clone, Debug)]
pub struct Address {
    pub port: u16,
    pub user: &'static str,
    pub password: String,
}

/// A server with one empty database. It goes away with this process.
pub struct Stage {
    database: Database,
    name: &'static str,
}

impl Stage {
    /// Starts a server in `directory` and makes the database.
    pub async fn new(
        directory: &Path,
        name: &'static str,
        options: &str,
        settings: &[(&str, &str)],
    ) -> Stage {
        let cluster: &'static Cluster =
            Box::leak(Box::new(Cluster::bare(directory, &[], settings)));
        cluster.run("postgres", &format!("CREATE DATABASE {name} {options}")).await;
        Stage { database: Database { cluster, name: name.to_owned() }, name }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Past the proxy.
    pub fn direct(&self) -> Address {
        let postgres = &self.database.cluster.postgres;
        let (user, password) = (SUPERUSER.name, postgres.password().to_owned());
        Address { port: postgres.port(), user, password }
    }

    /// Through a proxy as the superuser, whom it knows by that name.
    pub fn through(&self, proxy: &Portcullis) -> Address {
        let (user, password) = (SUPERUSER.name, PASSWORD.to_owned());
        Address { port: proxy.address().port(), user, password }
    }

    /// A proxy with every shipped policy observing, with TLS on both legs or on none.
    pub async fn observed(&self, tls: bool) -> Portcullis {
        let sslmode = if tls { "verify-full" } else { "disable" };
        let observe = "mode = \"observe\"";
        let setup = Setup::new(&self.database)
            .superuser(self.name, sslmode)
            // Nothing enforces, and that is what is wanted.
            .unmatched("allow")
            .policy("10-guard.toml", "sql_guard.wasm", observe)
            .policy("50-pii.toml", "pii_mask.wasm", observe);
        let setup = if tls { setup.tls().listen_line("tls_required = true") } else { setup };
        setup.start().await
    }
}
