//! Secrets and the files they are in.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::table::{Placed, Problems};

/// A secret larger than this is a mistake in the file's name.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// A key that can be tried out is none.
const KEY_BYTES_MIN: usize = 16;

/// A password, or a key. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub(super) fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads a secret from a file, without the line end that editors leave behind it.
pub(super) fn read(base: &Path, file: &Placed<String>, problems: &mut Problems) -> Option<Secret> {
    let path = base.join(&file.value);
    check_private(&path, file, problems)?;
    let mut bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.add(&file.span, format!("{} cannot be read: {error}", path.display()));
            return None;
        }
    };
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        bytes.pop_if(|last| *last == b'\r');
    }
    if bytes.is_empty() {
        problems.add(&file.span, format!("{} is empty", path.display()));
        return None;
    }
    Some(Secret::new(bytes))
}

/// Reads a secret that others' guesses must not reach.
pub(super) fn read_key(
    base: &Path,
    file: &Placed<String>,
    problems: &mut Problems,
) -> Option<Secret> {
    let key = read(base, file, problems)?;
    if key.reveal().len() < KEY_BYTES_MIN {
        problems.add(&file.span, format!("a key needs at least {KEY_BYTES_MIN} bytes"));
    }
    Some(key)
}

/// Reads a secret that must be text.
pub(super) fn read_text(
    base: &Path,
    file: &Placed<String>,
    problems: &mut Problems,
) -> Option<String> {
    let secret = read(base, file, problems)?;
    let text = String::from_utf8(secret.0).ok().filter(|text| !text.contains('\0'));
    if text.is_none() {
        problems
            .add(&file.span, format!("{} does not hold text", base.join(&file.value).display()));
    }
    text
}

/// Sees that a secret's file is there, and warns when others may read it.
pub(super) fn check_private(
    path: &Path,
    file: &Placed<String>,
    problems: &mut Problems,
) -> Option<()> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            problems.add(&file.span, format!("{} cannot be read: {error}", path.display()));
            return None;
        }
    };
    if !metadata.is_file() {
        problems.add(&file.span, format!("{} is not a file", path.display()));
        return None;
    }
    if metadata.len() > SECRET_BYTES_MAX {
        let message = format!("{} is larger than {SECRET_BYTES_MAX} bytes", path.display());
        problems.add(&file.span, message);
        return None;
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        let message = format!("{path} is open to others ({mode:03o}): chmod 600 {path}");
        problems.warn(&file.span, message);
    }
    Some(())
}
