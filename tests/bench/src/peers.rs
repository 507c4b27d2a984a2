//! Other proxies, where somebody asks for them and they are installed: session mode, no TLS,
//! nothing parsed and nothing masked.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::process;
use crate::stage::{DATABASE, PASSWORD, ROLE};
use crate::target::{Running, Target};
use crate::wire::Login;

const PEERS: [Peer; 2] = [
    Peer { program: "pgbouncer", configuration: pgbouncer, refuses_root: true },
    Peer { program: "pgcat", configuration: pgcat, refuses_root: false },
];
const STARTED: Duration = Duration::from_secs(10);
const SETPRIV: &str = "/usr/bin/setpriv";
/// `nobody`.
const UNPRIVILEGED: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

struct Peer {
    program: &'static str,
    configuration: fn(u16, u16) -> String,
    refuses_root: bool,
}

/// Starts those that are on the PATH.
pub(crate) fn start(place: &Path, upstream: SocketAddr) -> Result<Vec<(Running, Target)>, Failure> {
    let found = PEERS.iter().filter_map(|peer| Some((peer, find(peer.program)?)));
    found.map(|(peer, program)| start_one(peer, &program, place, upstream)).collect()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")];
    let places = std::env::split_paths(&path).chain(system);
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

fn start_one(
    peer: &Peer,
    program: &Path,
    place: &Path,
    upstream: SocketAddr,
) -> Result<(Running, Target), Failure> {
    let port = free_port()?;
    let file = place.join(format!("{}.conf", peer.program));
    std::fs::write(&file, (peer.configuration)(port, upstream.port()))
        .map_err(Failure::to("write a peer's configuration"))?;
    let mut command = process::tied(program);
    if peer.refuses_root && Path::new(SETPRIV).exists() && is_root() {
        command = process::tied(Path::new(SETPRIV));
        command.args(UNPRIVILEGED).arg(program);
    }
    command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start(&mut command)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > STARTED {
            return Err(Failure::new(format!("{} did not start", peer.program)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let login = Login::new(ROLE, DATABASE, PASSWORD);
    let pid = Some(running.pid());
    Ok((running, Target { name: peer.program.to_owned(), address, login, pid }))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::to("find a port"))?;
    listener.local_addr().map(|address| address.port()).map_err(Failure::to("find a port"))
}

fn pgbouncer(port: u16, upstream: u16) -> String {
    format!(
        "[databases]\n{DATABASE} = host=127.0.0.1 port={upstream} dbname={DATABASE} user={ROLE} \
         password={PASSWORD}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = any\npool_mode = session\nmax_client_conn = 2000\n\
         default_pool_size = 1200\nlog_connections = 0\nlog_disconnections = 0\n\
         ignore_startup_parameters = extra_float_digits\n"
    )
}

fn pgcat(port: u16, upstream: u16) -> String {
    format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {port}\nadmin_username = \"pgcat\"\n\
         admin_password = \"pgcat\"\nworker_threads = 2\nconnect_timeout = 30000\n\
         idle_timeout = 600000\nlog_client_connections = false\nlog_client_disconnections = false\n\
         [pools.{DATABASE}]\npool_mode = \"session\"\nquery_parser_enabled = false\n\
         [pools.{DATABASE}.users.0]\nusername = \"{ROLE}\"\npassword = \"{PASSWORD}\"\n\
         pool_size = 1200\nmin_pool_size = 1\npool_mode = \"session\"\n\
         [pools.{DATABASE}.shards.0]\nservers = [[\"127.0.0.1\", {upstream}, \"primary\"]]\n\
         database = \"{DATABASE}\"\n"
    )
}
