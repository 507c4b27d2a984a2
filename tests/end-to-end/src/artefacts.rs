//! What `cargo xtask` builds and fetches before these tests run.

use std::path::{Path, PathBuf};

/// The `portcullis` program: `PORTCULLIS_BIN`, or beside this test's own program.
pub fn program() -> PathBuf {
    let found = match std::env::var_os("PORTCULLIS_BIN") {
        Some(named) => PathBuf::from(named),
        None => target().join("portcullis"),
    };
    present(found, "the portcullis program", "PORTCULLIS_BIN", "cargo build -p portcullis")
}

/// A shipped plugin, by file name.
pub fn plugin(file: &str) -> PathBuf {
    let found = directory("PORTCULLIS_PLUGINS", "target/plugins").join(file);
    present(found, "a shipped plugin", "PORTCULLIS_PLUGINS", "cargo xtask plugins")
}

/// A plugin from `examples/`, by file name. The one in Rust is built together with ours.
pub fn example(file: &str) -> PathBuf {
    let beside_ours = directory("PORTCULLIS_PLUGINS", "target/plugins").join(file);
    if beside_ours.exists() {
        return beside_ours;
    }
    let found = directory("PORTCULLIS_EXAMPLES", "target/examples").join(file);
    present(found, "an example plugin", "PORTCULLIS_EXAMPLES", "cargo xtask examples")
}

/// Something that a package client fetched.
pub fn tool(path: &str) -> PathBuf {
    let found = tools().join(path);
    present(found, "a driver", "PORTCULLIS_TOOLS", "cargo xtask setup")
}

/// Where the package clients unpack.
pub fn tools() -> PathBuf {
    directory("PORTCULLIS_TOOLS", "target/portcullis-tools")
}

/// The files of PostgreSQL's own regression tests; the rest of the suite is beside them.
pub fn regress() -> PathBuf {
    let default = "target/portcullis-tools/regress/src/test/regress/sql";
    let found = directory("PORTCULLIS_REGRESS", default);
    present(found, "PostgreSQL's regression suite", "PORTCULLIS_REGRESS", "cargo xtask setup")
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The scripts in other languages.
pub fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers")
}

/// The script of the OpenID provider.
pub fn provider() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("provider")
}

fn directory(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| repository().join(default), PathBuf::from)
}

fn present(path: PathBuf, what: &str, variable: &str, command: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{what} is missing: {} does not exist.\nRun `{command}`, or set {variable}.",
        path.display()
    );
    path
}

/// `target/debug`, above the `deps` directory that this program is in.
fn target() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    this.ancestors().nth(2).expect("it is in target/<profile>/deps").to_owned()
}
