//! The tests of drivers, which their packages bring: each suite in a folder of its own, ready to
//! be copied and run.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use crate::debian_sources::Sources;
use crate::failure::Failure;
use crate::{node, program, python, repository, system_package};

/// node-postgres: the tests are in Debian's source package only, the parts that are compiled in
/// npm's.
const NODE_POSTGRES: (&str, &str) = ("node-postgres", "8.16.3+~cs35.24.27-5");
const NODE_POSTGRES_NEEDS: &str = r#"{
  "private": true,
  "dependencies": {
    "async": "2.6.4", "bluebird": "3.7.2", "co": "4.6.0", "expect.js": "0.3.1",
    "lodash": "4.17.21", "mocha": "10.8.2", "pg": "8.16.3", "pg-copy-streams": "0.3.0",
    "pg-cursor": "2.15.3", "pg-pool": "3.10.1"
  }
}
"#;
/// Of the tree, what is tested and the tests. An integration test of `pg` reads its own
/// package.json.
const NODE_POSTGRES_PARTS: [&str; 3] = ["packages/pg", "packages/pg-pool", "packages/pg-cursor"];

const DBD_PG: (&str, &str) = ("libdbd-pg-perl", "3.18.0-1");

/// Releases of Debian that have these.
const RELEASES: [&str; 2] = ["trixie", "forky"];

/// The source archives that have the tests, of the versions that are installed beside them.
const PYTHON: [(&str, &str, &str); 2] =
    [("psycopg2", "2.9.13", "psycopg2-binary==2.9.13"), ("asyncpg", "0.32.0", "asyncpg==0.32.0")];
const PYTHON_NEEDS: [&str; 7] = [
    "distro==1.9.0",
    "pytest==8.4.2",
    "pytest-timeout==2.4.0",
    // To ask a source archive for its name.
    "setuptools==80.9.0",
    "wheel==0.45.1",
    "packaging==25.0",
    "cython==3.1.4",
];

/// Enough to run the tests of these drivers, or of all where none is named.
pub(crate) fn find_or_get(names: &[String]) -> Result<PathBuf, Failure> {
    let drivers = repository::tools().join("drivers");
    let wanted = |name: &str| names.is_empty() || names.iter().any(|named| named == name);
    of_debian(&drivers, &wanted)?;
    let python: Vec<_> = PYTHON.into_iter().filter(|(name, ..)| wanted(name)).collect();
    if !python.is_empty() {
        of_python(&drivers, &python)?;
    }
    if wanted(TOKIO_POSTGRES) {
        of_cargo(&drivers)?;
    }
    Ok(drivers)
}

fn once(
    folder: &Path,
    key: &str,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    repository::once_made(folder, &folder.join(".done"), key, || {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        eprintln!("xtask: getting the tests of {name}");
        repository::create_anew(folder)?;
        work()
    })
}

/// node-postgres and DBD::Pg.
fn of_debian(drivers: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
    let sources = OnceCell::new();
    let archive = |(package, version): (&str, &str)| {
        let known: &Sources = match sources.get() {
            Some(known) => known,
            // Its lists are long, and mostly there is nothing to get.
            None => {
                let read = read_sources(&drivers.join("apt"))?;
                sources.get_or_init(|| read)
            }
        };
        known.version(package, version)
    };
    let folder = drivers.join("node-postgres");
    if wanted("node-postgres") {
        once(&folder, &format!("{NODE_POSTGRES:?} {NODE_POSTGRES_NEEDS} 2"), || {
            unpack(&archive(NODE_POSTGRES)?, &folder)?;
            node::install("what its tests need", &folder, NODE_POSTGRES_NEEDS)?;
            be_patient(&folder.join("packages/pg/test/suite.js"))?;
            keep_only(&folder, &NODE_POSTGRES_PARTS)
        })?;
    }
    let folder = drivers.join("dbd-pg");
    if wanted("DBD::Pg") {
        once(&folder, &format!("{DBD_PG:?}"), || {
            unpack(&archive(DBD_PG)?, &folder)?;
            compile_dbd_pg(&folder)
        })?;
    }
    sources.get().map_or(Ok(()), Sources::clear)
}

fn read_sources(directory: &Path) -> Result<Sources, Failure> {
    if program::find(&["apt-get"]).is_none() {
        return Err(Failure::new("these tests come from Debian, and this is none"));
    }
    repository::create_anew(directory)?;
    Sources::new(directory, &RELEASES)
}

fn unpack(archive: &Path, folder: &Path) -> Result<(), Failure> {
    let mut tar = program::command("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(folder);
    tar.args(["--strip-components=1", "--no-same-owner"]);
    program::run_quietly(&mut tar)
}

/// Its tests wait for five seconds, which a busy machine does not always have for them.
fn be_patient(suite: &Path) -> Result<(), Failure> {
    let text = repository::read(suite)?;
    let changed = text.replace("this.timeout = 5000", "this.timeout = 60000");
    if changed == text {
        return Err(Failure::new(format!("{} names no time to wait", suite.display())));
    }
    repository::write(suite, &changed)
}

/// The other packages' tests are left out, and so is what only they need.
fn keep_only(folder: &Path, parts: &[&str]) -> Result<(), Failure> {
    for package in repository::entries(&folder.join("packages"))? {
        if !parts.iter().any(|part| folder.join(part) == package) {
            std::fs::remove_dir_all(&package)
                .map_err(Failure::to(format!("remove {}", package.display())))?;
        }
    }
    Ok(())
}

fn compile_dbd_pg(folder: &Path) -> Result<(), Failure> {
    let has_dbi = program::read(program::command("perl").args(["-MDBI", "-e1"])).is_some();
    let missing = ["make", "pg_config", "perl"].iter().any(|name| program::find(&[name]).is_none());
    if missing || !has_dbi {
        let packages = ["perl", "libdbi-perl", "libpq-dev", "make"];
        system_package::install("Perl's DBI, and what DBD::Pg is compiled with", &packages)?;
    }
    program::run_quietly(program::command("perl").arg("Makefile.PL").current_dir(folder))?;
    program::run_quietly(program::command("make").current_dir(folder))
}

/// psycopg2 and asyncpg.
fn of_python(drivers: &Path, wanted: &[(&str, &str, &str)]) -> Result<(), Failure> {
    let mut needs: Vec<&str> = wanted.iter().map(|(_, _, binary)| *binary).collect();
    needs.extend(PYTHON_NEEDS);
    python::install("the tests of drivers", &needs.join("\n"))?;
    for (name, version, _) in wanted {
        let folder = drivers.join(name);
        once(&folder, version, || {
            if program::find(&["pg_config"]).is_none() {
                // psycopg2 does not say its name without it.
                system_package::install("pg_config", &["libpq-dev"])?;
            }
            let mut pip = program::command(python::script("python"));
            pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
            pip.args(["--no-deps", "--no-build-isolation", "--no-binary", name, "--dest"]);
            program::run_quietly(pip.arg(&folder).arg(format!("{name}=={version}")))?;
            let archive = folder.join(format!("{name}-{version}.tar.gz"));
            let mut tar = program::command("tar");
            tar.arg("-xf").arg(&archive).arg("-C").arg(&folder);
            tar.args(["--strip-components=1", "--no-same-owner"]);
            // The driver itself is the installed one.
            program::run_quietly(tar.arg(format!("{name}-{version}/tests")))
        })?;
    }
    Ok(())
}

/// tokio-postgres and postgres, from the crates themselves.
fn of_cargo(drivers: &Path) -> Result<(), Failure> {
    let folder = drivers.join(TOKIO_POSTGRES);
    once(&folder, TOKIO_POSTGRES_NEEDS, || {
        let source = drivers.join("tokio-postgres-source");
        repository::create_anew(&source)?;
        repository::write(&source.join("Cargo.toml"), TOKIO_POSTGRES_NEEDS)?;
        repository::write(&source.join("src/lib.rs"), "")?;
        let tests = source.join("tests");
        let tokio_postgres = crate_folder(&source, "tokio-postgres-0.7.18")?;
        repository::copy_tree(&tokio_postgres.join("tests/test"), &tests.join("tokio_postgres"))?;
        let postgres = crate_folder(&source, "postgres-0.19.14")?.join("src/test.rs");
        repository::write(&tests.join("postgres/test.rs"), &repository::read(&postgres)?)?;
        repository::write(&tests.join("postgres/main.rs"), POSTGRES_ROOT)?;
        for place in ["tokio_postgres/main.rs", "tokio_postgres/runtime.rs", "postgres/test.rs"] {
            let place = tests.join(place);
            repository::write(&place, &told(&repository::read(&place)?))?;
        }
        for root in ["tokio_postgres/main.rs", "postgres/main.rs"] {
            let root = tests.join(root);
            repository::write(&root, &(repository::read(&root)? + TOLD))?;
        }
        compile(&source, &folder)?;
        std::fs::remove_dir_all(&source)
            .map_err(Failure::to(format!("remove {}", source.display())))
    })
}

/// Where cargo keeps a crate that this package uses.
fn crate_folder(source: &Path, name: &str) -> Result<PathBuf, Failure> {
    let mut metadata = program::cargo();
    metadata.args(["metadata", "--format-version", "1"]).current_dir(source);
    let told = program::read(&mut metadata);
    let told = told.ok_or_else(|| Failure::new("cargo cannot get the crate tokio-postgres"))?;
    let manifest = format!("/{name}/Cargo.toml\"");
    let path = told.find(&manifest).and_then(|end| {
        let (before, _) = told.split_at_checked(end)?;
        before.rsplit('"').next()
    });
    let path = path.ok_or_else(|| Failure::new(format!("cargo knows no {name}")))?;
    Ok(Path::new(path).join(name))
}

/// The two test programs, into `folder`.
fn compile(source: &Path, folder: &Path) -> Result<(), Failure> {
    let mut cargo = program::cargo();
    cargo.env("CARGO_TARGET_DIR", source.join("target")).current_dir(source);
    let built = program::read(cargo.args(["test", "--tests", "--no-run", "--message-format=json"]));
    let built = built.ok_or_else(|| {
        Failure::new(format!("the tests in {} do not compile: try `cargo test`", source.display()))
    })?;
    for name in ["tokio_postgres", "postgres"] {
        let begins = format!("\"executable\":\"{}/target/debug/deps/{name}-", source.display());
        let program = built.split(&begins).nth(1).and_then(|rest| rest.split('"').next());
        let program = program.ok_or_else(|| Failure::new(format!("cargo made no {name}")))?;
        let program = source.join(format!("target/debug/deps/{name}-{program}"));
        std::fs::copy(&program, folder.join(name))
            .map_err(Failure::to(format!("copy {}", program.display())))?;
    }
    Ok(())
}

/// These tests have the server's address in their code, and a user without a password.
fn told(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("5433") {
        // The whole string that it is in.
        let (before, begun) = before.rsplit_once('"').unwrap_or((before, ""));
        let (ended, after) = after.split_once('"').unwrap_or((after, ""));
        out.push_str(&format!("{before}crate::told(\"{begun}5433{ended}\")"));
        rest = after;
    }
    out.push_str(rest);
    out.replace("s.parse::<Config>()", "crate::told(s).parse::<Config>()")
}

const TOLD: &str = r#"
/// Where the server is, and the superuser's password there.
pub(crate) fn told(text: &str) -> &'static str {
    let told = |name: &str| std::env::var(name).expect(name);
    let database = format!("dbname={}", told("PGDATABASE"));
    let mut user = format!("user=postgres password={}", told("PGPASSWORD"));
    if !text.contains("dbname=") {
        user = format!("{user} {database}");
    }
    let text = text.replace("dbname=postgres", &database).replace("user=postgres", &user);
    text.replace("5433", &told("PGPORT")).leak()
}
"#;

/// What `postgres` has around its tests.
const POSTGRES_ROOT: &str = "use postgres::*;
mod binary_copy {
    pub use postgres::binary_copy::*;
}
mod test;
";

const TOKIO_POSTGRES: &str = "tokio-postgres";
const TOKIO_POSTGRES_NEEDS: &str = r#"[package]
name = "tokio-postgres-tests"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[profile.dev]
debug = false

[features]
default = [
  "runtime", "with-bit-vec-0_8", "with-chrono-0_4", "with-eui48-1", "with-geo-types-0_7",
  "with-jiff-0_2", "with-serde_json-1", "with-time-0_3", "with-uuid-1",
]
runtime = []
with-bit-vec-0_8 = ["tokio-postgres/with-bit-vec-0_8"]
with-chrono-0_4 = ["tokio-postgres/with-chrono-0_4"]
with-eui48-1 = ["tokio-postgres/with-eui48-1"]
with-geo-types-0_7 = ["tokio-postgres/with-geo-types-0_7"]
with-jiff-0_2 = ["tokio-postgres/with-jiff-0_2"]
with-serde_json-1 = ["tokio-postgres/with-serde_json-1"]
with-time-0_3 = ["tokio-postgres/with-time-0_3"]
with-uuid-1 = ["tokio-postgres/with-uuid-1"]

[dependencies]
bit-vec-08 = { version = "0.8", package = "bit-vec" }
bytes = "1"
chrono-04 = { version = "0.4", package = "chrono", default-features = false }
eui48-1 = { version = "1.0", package = "eui48", default-features = false }
fallible-iterator = "0.2"
futures-channel = { version = "0.3", features = ["sink"] }
futures-util = { version = "0.3", features = ["async-await-macro", "sink"] }
geo-types-07 = { version = "0.7", package = "geo-types" }
jiff-02 = { version = "0.2", package = "jiff" }
pin-project-lite = "0.2"
postgres = "=0.19.14"
postgres-types = "0.2"
serde_json-1 = { version = "1.0", package = "serde_json" }
time-03 = { version = "0.3", features = ["parsing"], package = "time" }
tokio = { version = "1", features = ["macros", "net", "rt", "rt-multi-thread", "time"] }
tokio-postgres = "=0.7.18"
uuid-1 = { version = "1.0", package = "uuid" }
"#;
