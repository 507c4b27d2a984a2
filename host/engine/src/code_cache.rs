//! Compiled code, kept by what it was compiled from and with.
//!
//! Compiling takes a second per megabyte and loading back next to nothing, so a restart or a
//! rollback is instant.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use crate::error::EngineError;
use crate::plugin::Digest;
use crate::plugin_dir;
use crate::sandbox::Sandbox;

/// Compiled code is larger than what it was compiled from, but not without end.
const CODE_BYTES_MAX: u64 = 512 << 20;

/// A directory of compiled components that only this user can read and write.
pub(crate) struct CodeCache {
    directory: Option<PathBuf>,
}

impl CodeCache {
    /// Makes the directory if need be, and refuses one that others could write to.
    pub(crate) fn open(directory: Option<&Path>) -> Result<CodeCache, EngineError> {
        if let Some(directory) = directory {
            prepare(directory).map_err(|reason| {
                EngineError::new(format!("cache directory {}: {reason}", directory.display()))
            })?;
        }
        Ok(CodeCache { directory: directory.map(Path::to_owned) })
    }

    /// The component, from the cache or compiled and then kept.
    pub(crate) fn component(
        &self,
        sandbox: &Sandbox,
        digest: Digest,
        bytes: &[u8],
    ) -> wasmtime::Result<Component> {
        let Some(directory) = &self.directory else {
            return Component::from_binary(&sandbox.engine, bytes);
        };
        let path = directory.join(format!("{digest}-{:016x}.code", sandbox.compatibility()));
        if let Some(component) = load(sandbox, &path) {
            return Ok(component);
        }
        let component = Component::from_binary(&sandbox.engine, bytes)?;
        // A cache that cannot be written costs time at the next start and nothing else.
        if let Err(error) = component.serialize().and_then(|code| Ok(keep(&path, &code)?)) {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be kept");
        }
        Ok(component)
    }
}

fn prepare(directory: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| fs::metadata(directory))
        .map_err(|error| error.to_string())
        .and_then(|metadata| {
            let own = metadata.uid() == rustix::process::geteuid().as_raw();
            match own && metadata.mode() & 0o077 == 0 {
                true => Ok(()),
                false => Err("it must belong to this user and to nobody else (chmod 700), since the code in it is run".to_owned()),
            }
        })
}

/// Code read back whole: it carries its own digest, so a torn or rotten file is compiled anew.
fn load(sandbox: &Sandbox, path: &Path) -> Option<Component> {
    let bytes = plugin_dir::read(path, CODE_BYTES_MAX).ok()?;
    let (digest, code) = bytes.split_at_checked(Digest::LEN)?;
    if Digest::of(code).as_bytes() != digest {
        return None;
    }
    // SAFETY: the bytes must be what `serialize` gave, since they are run as they are. The
    // directory belongs to this user alone and nobody else can enter it (checked when it was
    // opened), only `keep` writes such files there, and the digest in front says that this
    // one is as it was written. wasmtime itself refuses code of another version or
    // configuration. Whoever can forge all that can also replace this program.
    #[allow(unsafe_code)]
    let component = unsafe { Component::deserialize(&sandbox.engine, code) };
    component.ok()
}

/// Writes beside and renames, so that a half-written file never has the name.
fn keep(path: &Path, code: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(Digest::of(code).as_bytes())?;
    file.write_all(code)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let error = CodeCache::open(Some(&open)).err().unwrap();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert!(CodeCache::open(Some(&directory.path().join("new"))).is_ok());
    }
}
