//! What a test starts: the configuration, and the files it names.

use std::fmt::Write;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::artefacts;
use crate::certificates::{CertificateFiles, make_private};
use crate::cluster::{APP, APP_PASSWORD, Database};
use crate::portcullis::{
    ADMIN, ANA, BOT, DATABASE, DEVELOPER, PASSWORD, Portcullis, SUPERUSER, User,
};
use crate::provider::{AUDIENCE, CLIENT, Provider};
use crate::relay::Relay;

/// Who may do what at the admin API where [`Setup::roles`] says so.
const ROLES: &str = "roles = { viewer = [\"staff\"], operator = [\"operators\"], \
                     approver = [\"leads\", \"security\", \"operators\"], \
                     administrator = [\"operators\"] }";

/// What to start. In lines that a test adds, `{place}` is the proxy's own directory.
pub struct Setup {
    database: Database,
    name: &'static str,
    users: Vec<(User, String)>,
    upstream_role: &'static str,
    upstream_password: String,
    sslmode: &'static str,
    upstream_port: u16,
    tls: bool,
    client_certificates: bool,
    roles: bool,
    unmatched: &'static str,
    audit: &'static str,
    top_lines: String,
    listen_lines: String,
    admin_lines: String,
    database_lines: String,
    sections: String,
    policies: Vec<(String, String)>,
    plugins: Vec<PathBuf>,
    file_kilobytes_max: Option<u32>,
}

impl Setup {
    /// Everybody known, nothing in force, what nothing matches refused.
    pub fn new(database: &Database) -> Setup {
        Setup {
            database: database.clone(),
            name: DATABASE,
            users: [ANA, BOT, DEVELOPER, ADMIN].map(|user| (user, String::new())).to_vec(),
            upstream_role: APP,
            upstream_password: APP_PASSWORD.to_owned(),
            sslmode: "disable",
            upstream_port: database.cluster.postgres.port(),
            tls: false,
            client_certificates: false,
            roles: false,
            unmatched: "deny",
            audit: "relaxed",
            top_lines: String::new(),
            listen_lines: String::new(),
            admin_lines: String::new(),
            database_lines: String::new(),
            sections: String::new(),
            policies: Vec::new(),
            plugins: Vec::new(),
            file_kilobytes_max: None,
        }
    }

    /// A policy file, and the plugin it names from the shipped ones.
    pub fn policy(self, file: &str, plugin: &str, rest: &str) -> Setup {
        let source = artefacts::plugin(plugin);
        self.policy_of(file, &source, rest)
    }

    /// A policy file, and the plugin it names from anywhere.
    pub fn policy_of(mut self, file: &str, plugin: &Path, rest: &str) -> Setup {
        let name = plugin.file_name().and_then(|name| name.to_str()).expect("a plugin has a name");
        self.policies.push((file.to_owned(), format!("plugin = \"{name}\"\n{rest}\n")));
        self.plugins.push(plugin.to_owned());
        self
    }

    pub fn unmatched(mut self, unmatched: &'static str) -> Setup {
        self.unmatched = unmatched;
        self
    }

    pub fn audit(mut self, audit: &'static str) -> Setup {
        self.audit = audit;
        self
    }

    /// TLS to clients.
    pub fn tls(mut self) -> Setup {
        self.tls = true;
        self
    }

    /// TLS to clients, who may show certificates of the same authority. What it takes back is
    /// in [`Portcullis::revoke`].
    pub fn client_certificates(mut self) -> Setup {
        self.client_certificates = true;
        self.tls()
    }

    /// How the proxy itself logs in, and with which `sslmode`.
    pub fn upstream(mut self, role: &'static str, sslmode: &'static str) -> Setup {
        self.upstream_role = role;
        self.sslmode = sslmode;
        self
    }

    /// The server's superuser, whom the proxy knows by the same name and logs in as, and the
    /// database under its own name: what a client sees of both is as without the proxy.
    pub fn superuser(mut self, database: &'static str, sslmode: &'static str) -> Setup {
        self.name = database;
        self.upstream_password = self.database.cluster.postgres.password().to_owned();
        self.upstream(SUPERUSER.name, sslmode).user(SUPERUSER)
    }

    /// By way of a relay that may break what it passes on.
    pub fn relay(mut self, relay: &Relay) -> Setup {
        self.upstream_port = relay.port();
        self
    }

    /// No file the proxy writes may grow longer than this: a full disk, for one process.
    pub fn file_kilobytes_max(mut self, kilobytes: u32) -> Setup {
        self.file_kilobytes_max = Some(kilobytes);
        self
    }

    /// One more local user, with the password of all of them.
    pub fn user(mut self, user: User) -> Setup {
        self.users.push((user, String::new()));
        self
    }

    /// A line more in a local user's `[[user]]`.
    pub fn user_line(mut self, user: User, line: &str) -> Setup {
        let found = self.users.iter_mut().find(|(known, _)| known.name == user.name);
        add(&mut found.expect("a user of this set-up").1, line);
        self
    }

    /// Roles at the admin API, and pages that browsers reach: `staff` views, `leads` and
    /// `security` approve, `operators` do everything.
    pub fn roles(mut self) -> Setup {
        self.roles = true;
        self
    }

    /// An issuer whose tokens are for [`AUDIENCE`], and which knows the proxy as [`CLIENT`].
    /// `lines` are what its `[[issuer]]` says beside that.
    pub fn issuer(self, name: &str, provider: &Provider, lines: &str) -> Setup {
        let url = provider.issuer();
        let trusted = match url.starts_with("https:") {
            true => "root_certificates = \"{place}/authority.crt\"\n",
            false => "",
        };
        self.section(&format!(
            "[[issuer]]\nname = \"{name}\"\nurl = \"{url}\"\naudiences = [\"{AUDIENCE}\"]\n\
             client_id = \"{CLIENT}\"\n{trusted}{lines}"
        ))
    }

    /// A `[[login]]`, after those before: `method = "token"`, `issuer = "corp"` and whom it
    /// is for.
    pub fn login_rule(self, lines: &str) -> Setup {
        self.section(&format!("[[login]]\n{lines}"))
    }

    /// Anything else: one or more whole sections.
    pub fn section(mut self, lines: &str) -> Setup {
        add(&mut self.sections, lines);
        self
    }

    /// A line more in `[[database]]`.
    pub fn database_line(mut self, line: &str) -> Setup {
        add(&mut self.database_lines, line);
        self
    }

    /// A line more in `[listen]`.
    pub fn listen_line(mut self, line: &str) -> Setup {
        add(&mut self.listen_lines, line);
        self
    }

    /// A line more in `[admin]`.
    pub fn admin_line(mut self, line: &str) -> Setup {
        add(&mut self.admin_lines, line);
        self
    }

    /// A line more at the top of the file.
    pub fn top_line(mut self, line: &str) -> Setup {
        add(&mut self.top_lines, line);
        self
    }

    pub async fn start(self) -> Portcullis {
        let directory = tempfile::Builder::new().prefix("portcullis-e2e-proxy-").tempdir();
        let directory = directory.expect("a temporary directory");
        let certificates = &self.database.cluster.certificates;
        let files = certificates.write(directory.path());
        let plugins = directory.path().join("plugins.d");
        std::fs::create_dir(&plugins).expect("it is new");
        for (file, text) in &self.policies {
            std::fs::write(plugins.join(file), text).expect("it takes files");
        }
        for plugin in &self.plugins {
            let name = plugin.file_name().expect("a plugin has a name");
            std::fs::copy(plugin, plugins.join(name)).expect("it takes files");
        }
        let write = |file: &str, text: &str| {
            std::fs::write(directory.path().join(file), text).expect("it takes files");
        };
        write("upstream-password", &self.upstream_password);
        make_private(&directory.path().join("upstream-password"));
        if self.client_certificates {
            write("clients.crl", &certificates.revocations(&[]));
        }
        let verifier = self.database.cluster.scram_verifier(PASSWORD).await;
        let text = self.configuration(&files, &verifier);
        let place = directory.path().display().to_string();
        write("portcullis.toml", &text.replace("{place}", &place));
        Portcullis::start(directory, self.database, self.tls, self.file_kilobytes_max).await
    }

    fn configuration(&self, files: &CertificateFiles, verifier: &str) -> String {
        let mut text = format!(
            "state_dir = \"{{place}}/state\"\nplugin_dir = \"{{place}}/plugins.d\"\n{}\
             [listen]\naddress = \"127.0.0.1:0\"\n{}",
            self.top_lines, self.listen_lines
        );
        if self.tls {
            add(&mut text, &self.tls_line(files));
        }
        add(&mut text, &self.admin());
        let upstream = self.upstream_url(files);
        write!(
            text,
            "[[database]]\nname = \"{}\"\nupstream = \"{upstream}\"\n\
             password_file = \"{{place}}/upstream-password\"\n\
             audit = \"{}\"\nunmatched = \"{}\"\n{}",
            self.name, self.audit, self.unmatched, self.database_lines
        )
        .expect("a String takes all");
        for (User { name, kind, groups }, lines) in &self.users {
            write!(
                text,
                "[[user]]\nname = \"{name}\"\nkind = \"{kind}\"\nscram = \"{verifier}\"\n\
                 groups = {groups:?}\n{lines}"
            )
            .expect("a String takes all");
        }
        add(&mut text, &self.sections);
        text
    }

    fn tls_line(&self, files: &CertificateFiles) -> String {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let clients = match self.client_certificates {
            true => ", client_ca = \"{place}/authority.crt\", client_crl = \"{place}/clients.crl\"",
            false => "",
        };
        format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\"{clients} }}")
    }

    fn admin(&self) -> String {
        if !self.roles {
            return format!("[admin]\naddress = \"127.0.0.1:0\"\n{}", self.admin_lines);
        }
        // Pages hold links, so that their address must be known before they are served.
        let address = free_address();
        format!(
            "[admin]\naddress = \"{address}\"\npublic_url = \"http://{address}\"\n{ROLES}\n{}",
            self.admin_lines
        )
    }

    fn upstream_url(&self, files: &CertificateFiles) -> String {
        let root = match self.sslmode {
            "verify-ca" | "verify-full" => format!("&sslrootcert={}", files.authority.display()),
            _ => String::new(),
        };
        format!(
            "postgresql://{}@127.0.0.1:{}/{}?sslmode={}{root}",
            self.upstream_role, self.upstream_port, self.database.name, self.sslmode
        )
    }
}

fn add(lines: &mut String, line: &str) {
    lines.push_str(line);
    lines.push('\n');
}

/// Below the ports that most systems give to connections on their way out, one of which could be
/// there before the proxy is.
const ADMIN_PORTS: Range<u16> = 12_000..32_000;

/// An address that is free at the moment, and that nobody else in this process is given.
fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at other places.
    let begin = std::process::id().wrapping_mul(61);
    let count = u32::from(ADMIN_PORTS.end - ADMIN_PORTS.start);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = ADMIN_PORTS.start + u16::try_from(number).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}
