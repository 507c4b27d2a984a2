//! One PostgreSQL for the whole test program, and a database of its own for each test.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

use crate::certificates::Certificates;
use crate::postgres::{Options, Postgres, ServerTls};

/// The role that owns the shop; no superuser.
pub const APP: &str = "app";
pub const APP_PASSWORD: &str = "app-secret";

/// Roles that `app` may take, and that may do what a test grants them; like the one called
/// `ana`. Roles are the whole cluster's, so no test makes its own while others run.
pub const READER: &str = "shop_reader";
pub const WRITER: &str = "shop_writer";

const SHOP: &str = include_str!("../../../host/src/demo/shop.sql");
const TEMPLATE: &str = "shop_template";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The server with the shop in it, started when first asked for.
pub async fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(Cluster::start).await
}

/// A server, TLS on, with the shop as a template.
pub struct Cluster {
    pub postgres: Postgres,
    pub certificates: Certificates,
}

impl Cluster {
    async fn start() -> Cluster {
        // One role for each way of logging in that the proxy knows.
        let hba = ["trust", "password", "md5"]
            .map(|method| format!("host all by_{method} 127.0.0.1/32 {method}"));
        let directory = std::env::temp_dir().join(format!("portcullis-e2e-{}", std::process::id()));
        let settings = [("autovacuum", "off"), ("max_connections", "600")];
        let cluster = Cluster::bare(&directory, &hba, &settings);
        cluster.fill().await;
        cluster
    }

    /// A server of its own in `directory`, with nothing in it and nobody but its superuser.
    pub fn bare(directory: &Path, hba: &[String], settings: &[(&str, &str)]) -> Cluster {
        let certificates = Certificates::new();
        let tls = ServerTls {
            certificate_pem: certificates.certificate_pem.clone(),
            key_pem: certificates.key_pem.clone(),
        };
        let options = Options {
            hba: hba.to_vec(),
            tls: Some(tls),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            remove: true,
            ..Options::default()
        };
        let binaries = Postgres::find().unwrap_or_else(|error| panic!("{error}"));
        let postgres = Postgres::start(&binaries, directory, &options)
            .unwrap_or_else(|error| panic!("{error}"));
        Cluster { postgres, certificates }
    }

    async fn fill(&self) {
        self.run("postgres", &format!("CREATE DATABASE {TEMPLATE}")).await;
        self.run(TEMPLATE, SHOP).await;
        let roles = format!(
            "ALTER ROLE app PASSWORD '{APP_PASSWORD}';
             CREATE ROLE by_trust LOGIN IN ROLE app;
             CREATE ROLE by_password LOGIN PASSWORD '{APP_PASSWORD}' IN ROLE app;
             SET password_encryption = 'md5';
             CREATE ROLE by_md5 LOGIN PASSWORD '{APP_PASSWORD}' IN ROLE app;
             CREATE ROLE {READER}; CREATE ROLE {WRITER}; CREATE ROLE ana;
             GRANT {READER}, {WRITER}, ana TO app;"
        );
        self.run("postgres", &roles).await;
    }

    /// A copy of the shop that nobody else touches.
    pub async fn database(&'static self) -> Database {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("shop_{number}");
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
        // Rights on a database are not copied with it.
        self.run("postgres", &format!("GRANT CREATE, TEMPORARY ON DATABASE {name} TO app")).await;
        Database { cluster: self, name }
    }

    /// The same in another encoding than UTF-8.
    pub async fn database_in(&'static self, encoding: &str) -> Database {
        let database = self.database().await;
        let name = &database.name;
        let make =
            format!("CREATE DATABASE {name} ENCODING {encoding} LOCALE 'C' TEMPLATE template0");
        self.run("postgres", &format!("DROP DATABASE {name}")).await;
        self.run("postgres", &make).await;
        self.run(name, SHOP).await;
        database
    }

    /// Runs statements as the superuser.
    pub async fn run(&self, database: &str, statements: &str) {
        let client = self.superuser(database).await;
        client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// A superuser's connection, past the proxy.
    pub async fn superuser(&self, database: &str) -> Client {
        let config = self.postgres.superuser_url(database).parse().expect("a good URL");
        connect(&config).await.expect("the superuser may connect")
    }

    /// What PostgreSQL itself makes of a password.
    pub async fn scram_verifier(&self, password: &str) -> String {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let client = self.superuser("postgres").await;
        let make = format!("CREATE ROLE verifier_{number} PASSWORD '{password}'");
        client.batch_execute(&make).await.expect("a new role");
        let query =
            format!("SELECT rolpassword FROM pg_authid WHERE rolname = 'verifier_{number}'");
        client.query_one(&query, &[]).await.expect("the role just made").get(0)
    }
}

/// One test's database.
#[derive(Clone)]
pub struct Database {
    pub cluster: &'static Cluster,
    pub name: String,
}

impl Database {
    /// How the application's role reaches it, past the proxy.
    pub fn direct(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.cluster.postgres.port()).user(APP);
        config.password(APP_PASSWORD).dbname(&self.name).application_name("end-to-end");
        config
    }

    pub async fn superuser(&self) -> Client {
        self.cluster.superuser(&self.name).await
    }
}

/// Connects without TLS and drives the connection in a task.
pub async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
