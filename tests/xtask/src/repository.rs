//! Where things are, and files that say what was done already.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn cargo_target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.map_or_else(|| root().join("target"), |named| root().join(named))
}

pub(crate) fn plugins() -> PathBuf {
    root().join("target/plugins")
}

pub(crate) fn examples() -> PathBuf {
    root().join("target/examples")
}

/// What the package clients bring.
pub(crate) fn tools() -> PathBuf {
    root().join("target/portcullis-tools")
}

pub(crate) fn wit() -> PathBuf {
    root().join("wit/policy.wit")
}

/// Runs `work` unless it succeeded before with the same `key`. The stamp is written last, so
/// what was interrupted is done again.
pub(crate) fn once(
    stamp: &Path,
    key: &str,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    if fs::read_to_string(stamp).is_ok_and(|done| done == key) {
        return Ok(());
    }
    if stamp.exists() {
        fs::remove_file(stamp).map_err(Failure::to(format!("remove {}", stamp.display())))?;
    }
    work()?;
    write(stamp, key)
}

/// The same for one file, which somebody may have removed.
pub(crate) fn once_made(
    made: &Path,
    stamp: &Path,
    key: &str,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !made.exists() && stamp.exists() {
        fs::remove_file(stamp).map_err(Failure::to(format!("remove {}", stamp.display())))?;
    }
    once(stamp, key, work)
}

pub(crate) fn write(path: &Path, contents: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        create(parent)?;
    }
    fs::write(path, contents).map_err(Failure::to(format!("write {}", path.display())))
}

pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::to(format!("read {}", path.display())))
}

pub(crate) fn create(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(Failure::to(format!("create {}", directory.display())))
}

/// An empty directory, whatever was there.
pub(crate) fn create_anew(directory: &Path) -> Result<(), Failure> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .map_err(Failure::to(format!("clear {}", directory.display())))?;
    }
    create(directory)
}

/// Copies what is in a directory, folders included.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    create(to)?;
    for path in entries(from)? {
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_tree(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))
                .map_err(Failure::to(format!("copy {}", path.display())))?;
        }
    }
    Ok(())
}

/// A number for all that is in these files and folders.
pub(crate) fn digest(paths: &[PathBuf]) -> Result<String, Failure> {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        digest_into(path, &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn digest_into(path: &Path, hasher: &mut DefaultHasher) -> Result<(), Failure> {
    // What package clients leave behind when a guest is built by hand is no source of it.
    if path.file_name().is_some_and(|name| name == "node_modules" || name == "__pycache__") {
        return Ok(());
    }
    path.file_name().hash(hasher);
    if path.is_dir() {
        return entries(path)?.iter().try_for_each(|path| digest_into(path, hasher));
    }
    let bytes = fs::read(path).map_err(Failure::to(format!("read {}", path.display())))?;
    bytes.hash(hasher);
    Ok(())
}

/// What is in a directory, by name.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = || Failure::to(format!("list {}", directory.display()));
    let listed = fs::read_dir(directory).map_err(failure())?;
    let mut paths: Vec<PathBuf> = listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failure())?;
    paths.sort();
    Ok(paths)
}
