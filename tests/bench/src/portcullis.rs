//! The proxy under test, with all shipped policies that decide anything enforcing, and the
//! ledger on.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_ledger::Reader;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::options::Programs;
use crate::process;
use crate::stage::{DATABASE, PASSWORD, ROLE, Stage};
use crate::target::{Running, Target};
use crate::wire::Login;

/// Somebody who comes through the proxy; each has a `pii-mask` of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Under the policy's defaults: what is labelled is masked, and all other text looked at.
    Usual,
    /// What is labelled is masked, and nothing else is looked at.
    Labelled,
    /// Sees everything.
    Clear,
}

impl Who {
    const ALL: [Who; 3] = [Who::Usual, Who::Labelled, Who::Clear];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Usual => "usual",
            Who::Labelled => "labelled",
            Who::Clear => "clear",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Who::Usual => "",
            Who::Labelled => "inspect = false\n",
            Who::Clear => {
                "inspect = false\nname = \"pass\"\nemail = \"pass\"\nphone = \"pass\"\n\
                 card = \"pass\"\niban = \"pass\"\nnational_id = \"pass\"\nip = \"pass\"\n\
                 address = \"pass\"\nbirth_date = \"pass\"\nother = \"pass\"\nsecret = \"pass\"\n"
            }
        }
    }
}

/// In what steps the allocator takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// As it does by itself: in pages of 2 MB, where the system has them.
    Usual,
    /// In small ones, by which even what a single session takes or leaves can be seen.
    Small,
}

/// What holds of every figure, for whoever reads the table.
pub(crate) const CONDITIONS: &str = "\
    both shipped policies enforcing and the ledger on, by their defaults; but where nothing is masked \
    the masker\nis told to pass all, and text in a million rows is inspected only where a line says so. \
    Idle sessions have pages of 4 KB";

/// More users, who see what the usual one sees: each driver of a soak is somebody of its own.
const DRIVERS: [&str; 5] = ["psycopg", "node-postgres", "tokio-postgres", "wire", "faults"];

/// A running proxy in a directory of its own.
pub(crate) struct Portcullis {
    running: Running,
    client: SocketAddr,
    pub(crate) admin: SocketAddr,
    directory: TempDir,
    certificate: CertificateDer<'static>,
}

/// How long the first start may take, plugins being compiled, on a machine under load.
const STARTED: Duration = Duration::from_secs(120);

impl Portcullis {
    /// `workers` as the configuration has it: 0 for one per core. `upstream` is the stage's
    /// PostgreSQL, or what stands before it.
    pub(crate) fn start(
        stage: &Stage,
        upstream: SocketAddr,
        programs: &Programs,
        (workers, pages): (usize, Pages),
    ) -> Result<Portcullis, Failure> {
        let directory = tempfile::Builder::new().prefix("portcullis-bench-").tempdir();
        let directory = directory.map_err(Failure::to("make a directory"))?;
        let place = directory.path();
        write_policies(place, programs)?;
        write(place, "portcullis.toml", &configuration(stage, upstream, workers))?;
        write(place, "upstream-password", PASSWORD)?;
        let certificate = write_certificate(place)?;
        let create = |name: &str| {
            File::create(place.join(name)).map_err(Failure::to(format!("create {name}")))
        };
        let mut command = process::tied(&programs.portcullis);
        command.args(["serve", "--ready-json", "--config"]).arg(place.join("portcullis.toml"));
        if pages == Pages::Small {
            command.env("MIMALLOC_ALLOW_THP", "0");
        }
        command.stdout(create("ready")?).stderr(create("log")?);
        let mut running = Running::start(&mut command)?;
        let (client, admin) = wait_until_ready(place, &mut running)?;
        Ok(Portcullis { running, client, admin, directory, certificate })
    }

    pub(crate) fn target(&self, name: &str, who: Who) -> Target {
        Target { name: name.to_owned(), ..self.target_as(who.name()) }
    }

    /// As one of the users, who gives the target its name too.
    pub(crate) fn target_as(&self, user: &str) -> Target {
        let login = Login::new(user, DATABASE, PASSWORD);
        Target { name: user.to_owned(), address: self.client, login, pid: Some(self.pid()) }
    }

    /// The same with TLS on the client's leg.
    pub(crate) fn target_with_tls(&self, name: &str, who: Who) -> Result<Target, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(Failure::to("trust the certificate"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Failure::to("speak TLS"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let target = self.target(name, who);
        let login = Login { tls: Some(Arc::new(config)), ..target.login };
        Ok(Target { login, ..target })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the policies lie.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.directory().join("plugins.d")
    }

    pub(crate) fn ledger(&self) -> Result<Reader, Failure> {
        Reader::open(&self.directory().join("state/ledger")).map_err(Failure::to("read the ledger"))
    }
}

fn wait_until_ready(
    place: &Path,
    running: &mut Running,
) -> Result<(SocketAddr, SocketAddr), Failure> {
    let begun = Instant::now();
    loop {
        let said = fs::read_to_string(place.join("ready")).unwrap_or_default();
        if let Some(line) = said.lines().next().filter(|_| said.contains('\n')) {
            let said: Value = serde_json::from_str(line).map_err(Failure::to("read its answer"))?;
            let address = |name: &str| said[name].as_str().and_then(|text| text.parse().ok());
            return address("client")
                .zip(address("admin"))
                .ok_or_else(|| Failure::new(format!("the proxy is ready, but where? {line}")));
        }
        let ended = !matches!(running.child().try_wait(), Ok(None));
        if ended || begun.elapsed() > STARTED {
            let log = fs::read_to_string(place.join("log")).unwrap_or_default();
            return Err(Failure::new(format!("the proxy did not start:\n{log}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn write(place: &Path, name: &str, text: &str) -> Result<(), Failure> {
    fs::write(place.join(name), text).map_err(Failure::to(format!("write {name}")))
}

fn write_certificate(place: &Path) -> Result<CertificateDer<'static>, Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(Failure::to("make a certificate"))?;
    write(place, "server.crt", &made.cert.pem())?;
    write(place, "server.key", &made.signing_key.serialize_pem())?;
    Ok(made.cert.der().clone())
}

/// The guard for everybody, as it comes, and a masker for each.
fn write_policies(place: &Path, programs: &Programs) -> Result<(), Failure> {
    let plugins = place.join("plugins.d");
    fs::create_dir(&plugins).map_err(Failure::to("make a directory"))?;
    for file in ["sql_guard.wasm", "pii_mask.wasm"] {
        let from = programs.plugins.join(file);
        let copied = fs::copy(&from, plugins.join(file));
        copied.map_err(Failure::to(format!("copy {}", from.display())))?;
    }
    write(&plugins, "10-guard.toml", "plugin = \"sql_guard.wasm\"\nmode = \"enforce\"\n")?;
    Who::ALL.iter().try_for_each(|who| {
        let text = format!(
            "plugin = \"pii_mask.wasm\"\nmode = \"enforce\"\n\
             match = {{ groups = [\"{}\"] }}\n[settings]\n{}",
            who.name(),
            who.settings()
        );
        write(&plugins, &format!("50-{}.toml", who.name()), &text)
    })
}

fn configuration(stage: &Stage, upstream: SocketAddr, workers: usize) -> String {
    let mut text = format!(
        "state_dir = \"state\"\nplugin_dir = \"plugins.d\"\nworkers = {workers}\n\
         [listen]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"server.crt\", key = \"server.key\" }}\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[database]]\nname = \"{DATABASE}\"\n\
         upstream = \"postgresql://{ROLE}@127.0.0.1:{}/{DATABASE}?sslmode=disable\"\n\
         password_file = \"upstream-password\"\n",
        upstream.port()
    );
    let users = Who::ALL.iter().map(|who| (who.name(), who.name()));
    for (name, group) in users.chain(DRIVERS.map(|name| (name, Who::Usual.name()))) {
        text.push_str(&format!(
            "[[user]]\nname = \"{name}\"\nkind = \"human\"\ngroups = [\"{group}\"]\n\
             scram = \"{}\"\n",
            stage.verifier
        ));
    }
    text
}
