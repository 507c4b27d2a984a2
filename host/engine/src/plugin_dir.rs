//! The plugin directory: which files are in it, and reading them without being held up.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::plugin::Digest;

/// The files of a plugin directory that could be policies, each list in name order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) policy_files: Vec<PathBuf>,
    pub(crate) plugins: Vec<PathBuf>,
}

/// Lists a directory. What starts with a dot is not ours (ConfigMaps keep their versions in
/// such directories), and neither is what editors leave behind.
pub(crate) fn list(directory: &Path) -> Result<Listing, String> {
    let explain = |error: std::io::Error| format!("cannot be listed: {error}");
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(directory).map_err(explain)? {
        let path = entry.map_err(explain)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => listing.policy_files.push(path),
            Some("wasm") => listing.plugins.push(path),
            Some(_) | None => {}
        }
    }
    listing.policy_files.sort();
    listing.plugins.sort();
    Ok(listing)
}

/// What tells two states of a file apart without reading it. Links are followed, so a
/// swapped link shows as another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// A file may change twice within one tick of the file system's clock, so that the stamp
    /// of a file that changed just now proves nothing.
    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let changed =
            Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(now) => now.saturating_sub(changed) > Duration::from_millis(100),
            Err(_) => false,
        }
    }
}

/// Reads files again only when their stamps changed.
#[derive(Default)]
pub(crate) struct Reader {
    seen: HashMap<PathBuf, (Stamp, Result<Digest, String>)>,
}

impl Reader {
    /// The digest of a file, from memory where its stamp is the one seen before.
    pub(crate) fn digest(&mut self, path: &Path, bytes_max: u64) -> Result<Digest, String> {
        let stamp = Stamp::of(&std::fs::metadata(path).map_err(|error| unreadable(&error))?);
        if let Some((seen, digest)) = self.seen.get(path)
            && *seen == stamp
        {
            return digest.clone();
        }
        let digest = read(path, bytes_max).map(|bytes| Digest::of(&bytes));
        if stamp.is_settled() {
            self.seen.insert(path.to_owned(), (stamp, digest.clone()));
        } else {
            self.seen.remove(path);
        }
        digest
    }

    /// Forgets files that are no longer there.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        self.seen.retain(|path, _| keep(path));
    }
}

/// Reads a regular file of at most `bytes_max`. A pipe or a device in its place is an error,
/// not a wait.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(nonblocking).unwrap_or(0))
        .open(path)
        .map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let too_large = || format!("is larger than {bytes_max} bytes");
    if metadata.len() > bytes_max {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // It may grow while it is read.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    match bytes.len() as u64 > bytes_max {
        true => Err(too_large()),
        false => Ok(bytes),
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_policies_and_plugins_are_listed_in_name_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["20-b.toml", "10-a.toml", "x.wasm", ".y.wasm", "z.tmp", "x.wasm~", "README"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let listing = list(directory.path()).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect()
        };
        assert_eq!(names(&listing.policy_files), ["10-a.toml", "20-b.toml"]);
        assert_eq!(names(&listing.plugins), ["x.wasm"]);
        assert!(list(&directory.path().join("absent")).is_err());
    }

    #[test]
    fn what_is_not_a_small_regular_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("large"), vec![0; 101]).unwrap();
        std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
        let fifo = rustix::fs::CWD;
        rustix::fs::mkfifoat(fifo, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
        for (name, expected) in [
            ("large", "is larger than 100 bytes"),
            ("loop", "cannot be read"),
            ("pipe", "is not a regular file"),
            ("absent", "cannot be read"),
            (".", "is not a regular file"),
        ] {
            let error = read(&path(name), 100).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn a_change_of_equal_length_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let mut reader = Reader::default();
        std::fs::write(&path, "aaaa").unwrap();
        let first = reader.digest(&path, 100).unwrap();
        std::fs::write(&path, "bbbb").unwrap();
        assert_ne!(reader.digest(&path, 100).unwrap(), first);
        std::fs::remove_file(&path).unwrap();
        assert!(reader.digest(&path, 100).is_err());
    }
}
