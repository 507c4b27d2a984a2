//! Everything the demo runs: a database, a receiver of records, and the proxy between them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use tokio_postgres::{Client, NoTls};
use tracing_subscriber::EnvFilter;

use super::people::{self, Person};
use super::place::{Place, private};
use super::postgres::{Options, Postgres, random_password};
use super::receiver::Receiver;
use crate::cli::{Demo, DemoPolicies};
use crate::config::Config;
use crate::running::Running;

/// The shop's database, on both sides of the proxy.
pub const DATABASE: &str = "shop";

const SHOP: &str = include_str!("shop.sql");
const PLUGINS: [&str; 3] = ["sql_guard.wasm", "pii_mask.wasm", "webhook_sink.wasm"];
const POLICIES: [(&str, &str); 6] = [
    ("10-guard.toml", include_str!("policies/10-guard.toml")),
    ("50-pii.toml", include_str!("policies/50-pii.toml")),
    ("51-pii-agents.toml", include_str!("policies/51-pii-agents.toml")),
    ("52-pii-support.toml", include_str!("policies/52-pii-support.toml")),
    ("53-pii-dba.toml", include_str!("policies/53-pii-dba.toml")),
    (WEBHOOK, include_str!("policies/90-webhook.toml")),
];
const WEBHOOK: &str = "90-webhook.toml";

/// All that runs. The fields are dropped in the order they stand in: the proxy before those
/// it talks to, the directory last.
pub struct Stage {
    pub running: Running,
    receiver: Receiver,
    pub postgres: Postgres,
    pub people: Vec<Person>,
    pub policies: DemoPolicies,
    pub place: Place,
}

impl Stage {
    /// Brings everything up.
    pub async fn set(arguments: &Demo) -> Result<Stage> {
        let binaries = Postgres::find().map_err(|error| miette!("{error}"))?;
        check_plugins(&arguments.plugins)?;
        let place = Place::make(arguments.dir.as_deref())?;
        start_log(&place)?;
        let options = Options { remove: place.is_temporary(), ..Options::default() };
        let postgres = Postgres::start(&binaries, &place.postgres_dir(), &options);
        let postgres = postgres.map_err(|error| miette!("{error}"))?;
        let password = random_password().map_err(|error| miette!("{error}"))?;
        fill(&postgres, &password).await.wrap_err("the database cannot be filled")?;
        let receiver = Receiver::start(&place.received()).into_diagnostic()?;
        let people = people::gather()?;
        write_policies(&place, arguments, receiver.address())?;
        write_configuration(&place, arguments, &postgres, &people, &password)?;
        let config = Config::load(&place.config())?;
        let running = Running::start(&config, &place.config(), None)?;
        let policies = arguments.policies;
        Ok(Stage { running, receiver, postgres, people, policies, place })
    }

    /// Takes everything down, in good order.
    pub fn clear(self) {
        let Stage { running, receiver, postgres, people: _, policies: _, place } = self;
        running.shut_down();
        drop(receiver);
        drop(postgres);
        drop(place);
    }

    /// Where clients on this machine find the proxy.
    pub fn address(&self) -> SocketAddr {
        // The demo has one listener.
        let mut address = self.running.proxy.addresses()[0];
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        address
    }

    /// Where the admin API is.
    pub fn admin_url(&self) -> Result<String> {
        let address = self.running.admin().ok_or_else(|| miette!("the demo has no admin API"))?;
        Ok(format!("http://{address}"))
    }

    pub fn url(&self, person: &Person) -> String {
        let Person { name, password, .. } = person;
        format!("postgresql://{name}:{password}@{}/{DATABASE}", self.address())
    }

    pub fn person(&self, name: &str) -> Result<&Person> {
        let found = self.people.iter().find(|person| person.name == name);
        found.ok_or_else(|| miette!("the demo knows no {name}"))
    }
}

/// Connects, and serves the connection until the client is dropped.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.into_diagnostic()?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "a connection of the demo's own has failed");
        }
    });
    Ok(client)
}

fn check_plugins(directory: &Path) -> Result<()> {
    match PLUGINS.iter().map(|plugin| directory.join(plugin)).find(|path| !path.is_file()) {
        None => Ok(()),
        Some(missing) => Err(miette!(
            help = "`cargo xtask plugins` builds the shipped plugins into target/plugins; \
                    --plugins names another directory",
            "{} is missing",
            missing.display()
        )),
    }
}

/// What the proxy logs must not come between the lines of the demo.
fn start_log(place: &Place) -> Result<()> {
    let file = private(&place.log()).into_diagnostic()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let started = builder.with_ansi(false).with_writer(Mutex::new(file)).try_init();
    started.map_err(|error| miette!("the log cannot be started: {error}"))
}

async fn fill(postgres: &Postgres, password: &str) -> Result<()> {
    let maintenance = connect(&postgres.superuser_url("postgres")).await?;
    let create = format!("CREATE DATABASE {DATABASE}");
    maintenance.batch_execute(&create).await.into_diagnostic()?;
    let shop = connect(&postgres.superuser_url(DATABASE)).await?;
    shop.batch_execute(SHOP).await.into_diagnostic()?;
    let secure = format!("ALTER ROLE app PASSWORD '{password}'");
    shop.batch_execute(&secure).await.into_diagnostic()
}

fn write_policies(place: &Place, arguments: &Demo, receiver: SocketAddr) -> Result<()> {
    for plugin in PLUGINS {
        let (from, to) = (arguments.plugins.join(plugin), place.plugin_dir().join(plugin));
        fs::copy(&from, &to).into_diagnostic().wrap_err_with(|| from.display().to_string())?;
    }
    for (name, text) in POLICIES {
        let text = text.replace("127.0.0.1:0", &receiver.to_string());
        let text = match arguments.policies {
            DemoPolicies::Enforce => text,
            // A sink has nothing to enforce; one that observes is sent nothing.
            DemoPolicies::Observe if name == WEBHOOK => text,
            DemoPolicies::Observe => text.replace("mode = \"enforce\"", "mode = \"observe\""),
        };
        place.write(&format!("plugins.d/{name}"), &text)?;
    }
    Ok(())
}

fn write_configuration(
    place: &Place,
    arguments: &Demo,
    postgres: &Postgres,
    people: &[Person],
    password: &str,
) -> Result<()> {
    let key = random_password().map_err(|error| miette!("{error}"))?;
    place.write("pseudonyms.key", &key)?;
    place.write("app.password", password)?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let tls = rcgen::generate_simple_self_signed(names).into_diagnostic()?;
    place.write("server.crt", &tls.cert.pem())?;
    place.write("server.key", &tls.signing_key.serialize_pem())?;
    let unmatched = match arguments.policies {
        DemoPolicies::Enforce => "deny",
        DemoPolicies::Observe => "allow",
    };
    let (listen, port) = (arguments.listen, postgres.port());
    let mut text = format!(
        r#"# Written by `portcullis demo`. Paths are taken from this file's directory.
state_dir = "state"
plugin_dir = "plugins.d"

[listen]
address = "{listen}"
tls = {{ certificate = "server.crt", key = "server.key" }}

[admin]
address = "127.0.0.1:0"
# What members of a group may do there. Those who release statements must be in a group that
# the policy names, too.
roles = {{ approver = ["dba"], administrator = ["dba"] }}

[[database]]
name = "{DATABASE}"
# Clients never learn this login: they have their own, below.
upstream = "postgresql://app@127.0.0.1:{port}/{DATABASE}?sslmode=disable"
password_file = "app.password"
labels = {{ env = "demo" }}
# What becomes of a statement that no enforcing guardrail and masker matches.
unmatched = "{unmatched}"

# Most columns need no label: their names or their contents say enough. A name looks like any
# other words, and a date of birth like any other date.
[database.column_labels]
"public.customers.name" = "pii.name"
"public.customers.birth_date" = "pii.birth_date"

[keys]
# What pseudonyms are made with.
default = {{ file = "pseudonyms.key" }}
"#
    );
    for person in people {
        text.push_str(&person.configuration()?);
    }
    place.write("portcullis.toml", &text)
}
