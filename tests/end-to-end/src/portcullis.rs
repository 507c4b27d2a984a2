//! The real program, in a directory of its own, with a configuration written for one test.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{Client, Config};

use crate::artefacts;
use crate::certificates::Certificates;
use crate::cluster::{self, APP, APP_PASSWORD, Database};
use crate::frames::Session;
use crate::ledger::Ledger;
use crate::process;
use crate::waiting::{SOON, wait_until};

/// The name that clients know the test's database by.
pub const DATABASE: &str = "shop";
/// The password of every configured user: what differs is who they are.
pub const PASSWORD: &str = APP_PASSWORD;

/// The first start compiles every plugin, and those of some languages are megabytes.
const COMPILED: Duration = Duration::from_secs(300);

/// `ulimit -f` of a POSIX shell counts blocks of 512 bytes.
const KILOBYTE_BLOCKS: u32 = 2;

/// Somebody the proxy knows.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub name: &'static str,
    pub kind: &'static str,
    pub groups: &'static [&'static str],
}

/// Sees masks.
pub const ANA: User = User { name: "ana", kind: "human", groups: &["analysts"] };
/// Sees masks, and is a program.
pub const BOT: User = User { name: "bot", kind: "agent", groups: &["agents"] };
/// Develops the application; named as the upstream role is, so that answers can be equal.
pub const DEVELOPER: User = User { name: APP, kind: "human", groups: &["developers"] };

/// The server's own superuser, where [`Setup::superuser`] lets it in.
///
/// [`Setup::superuser`]: crate::setup::Setup::superuser
pub const SUPERUSER: User = User { name: "postgres", kind: "human", groups: &["operators"] };

/// May do everything at the admin API, once [`Setup::roles`] says so.
///
/// [`Setup::roles`]: crate::setup::Setup::roles
pub const ADMIN: User = User { name: "admin", kind: "human", groups: &["operators"] };

/// A running proxy. Dropping it ends the process and removes its directory.
pub struct Portcullis {
    child: Option<Child>,
    client: SocketAddr,
    admin: Option<SocketAddr>,
    directory: TempDir,
    database: Database,
    tls: bool,
    file_kilobytes_max: Option<u32>,
}

impl Portcullis {
    /// Starts the program on a directory with a configuration in it.
    pub(crate) async fn start(
        directory: TempDir,
        database: Database,
        tls: bool,
        file_kilobytes_max: Option<u32>,
    ) -> Portcullis {
        let client = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut portcullis = Portcullis {
            child: None,
            client,
            admin: None,
            directory,
            database,
            tls,
            file_kilobytes_max,
        };
        portcullis.launch().await;
        portcullis
    }

    async fn launch(&mut self) {
        let ready = self.directory.path().join("ready");
        let create = |path: &Path| File::create(path).expect("the directory takes files");
        let log = File::options().create(true).append(true).open(self.log_file());
        let child = command(&artefacts::program(), self.file_kilobytes_max)
            .args(["serve", "--ready-json", "--config"])
            .arg(self.configuration_file())
            .stdin(Stdio::null())
            .stdout(create(&ready))
            .stderr(log.expect("the directory takes files"))
            .spawn()
            .expect("the program runs");
        self.child = Some(child);
        let answer = wait_until("the proxy says that it is ready", COMPILED, async || {
            let said = std::fs::read_to_string(&ready).unwrap_or_default();
            if let Some(line) = said.lines().next().filter(|_| said.contains('\n')) {
                return Some(serde_json::from_str::<Value>(line).expect("a line of JSON"));
            }
            let ended =
                self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            assert!(!ended, "the proxy ended at once:\n{}", self.log());
            None
        })
        .await;
        let address = |name: &str| answer[name].as_str().and_then(|text| text.parse().ok());
        self.client = address("client").expect("it says where clients connect");
        self.admin = address("admin");
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.client
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the admin API is on")
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn certificates(&self) -> &'static Certificates {
        &self.database.cluster.certificates
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    pub fn plugins(&self) -> PathBuf {
        self.directory.path().join("plugins.d")
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn configuration_file(&self) -> PathBuf {
        self.directory.path().join("portcullis.toml")
    }

    pub fn authority_file(&self) -> PathBuf {
        self.directory.path().join("authority.crt")
    }

    /// Where everything of this proxy lies; gone with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::of(&self.state())
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("portcullis.log")
    }

    /// What the proxy has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub fn config(&self, user: User) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.client.port()).user(user.name).password(PASSWORD);
        config.dbname(DATABASE).application_name("end-to-end");
        config
    }

    /// tokio-postgres, as `user`, without TLS.
    pub async fn connect(&self, user: User) -> Client {
        let client = cluster::connect(&self.config(user)).await;
        client
            .unwrap_or_else(|error| panic!("{} may connect: {error:?}\n{}", user.name, self.log()))
    }

    /// The bare protocol, as `user`, without TLS.
    pub async fn session(&self, user: User) -> Session {
        Session::login(self.client, user.name, PASSWORD, DATABASE).await
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let process = child.id().to_string();
            let sent = Command::new("kill").args([&format!("-{name}"), &process]).status();
            assert!(sent.is_ok_and(|status| status.success()), "kill works");
        }
    }

    /// Memory the process holds, in kilobytes.
    pub fn resident_kilobytes(&self) -> u64 {
        let process = self.child.as_ref().map_or(0, Child::id);
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let words = line.expect("a running process has memory").split_whitespace();
        words.filter_map(|word| word.parse().ok()).next().expect("a number")
    }

    /// True while the process runs.
    pub fn is_up(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends it in good order, and waits for that.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        wait_until("the proxy ends after SIGTERM", SOON, async || (!self.is_up()).then_some(()))
            .await;
        self.child = None;
    }

    /// Ends it and starts it anew on the same directory, on another port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.launch().await;
    }

    /// Writes a policy file or plugin as careful operators do: beside it, then renamed.
    pub fn replace(&self, file: &str, contents: impl AsRef<[u8]>) {
        let aside = self.directory.path().join("aside");
        std::fs::write(&aside, contents).expect("the directory takes files");
        std::fs::rename(&aside, self.plugins().join(file)).expect("one file system");
    }
}

impl Drop for Portcullis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the proxy's log ---\n{}", self.log());
        }
    }
}

/// The program, tied to us.
fn command(program: &Path, file_kilobytes_max: Option<u32>) -> Command {
    let Some(limit) = file_kilobytes_max else { return process::tied(program) };
    // A write past the limit then fails as on a full disk, where the signal would end us.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", limit * KILOBYTE_BLOCKS);
    let words = ["/bin/sh", "-c", script.as_str(), "sh"].map(OsStr::new);
    let words: Vec<&OsStr> = words.into_iter().chain([program.as_os_str()]).collect();
    process::command(&words)
}
