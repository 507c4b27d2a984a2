//! Secrets in files: those the user names, and the login that is kept.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A login that is kept for one API.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The API it is for: never shown to another.
    pub api: String,
    pub token: String,
}

/// Reads a secret that is one line of text, and warns when others may read it too.
pub fn secret(path: &Path) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("{} cannot be read: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mode = file.metadata().map_err(|error| failed(&error))?.mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        eprintln!("warning: {path} is open to others ({:03o}): chmod 600 {path}", mode & 0o777);
    }
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(failed(&"it does not hold one line of text"));
    }
    Ok(text.to_owned())
}

/// The login kept for `api`; none when there is none, or when it may be somebody else's.
pub fn load(directory: &Path, api: &Url) -> Option<String> {
    let path = file(directory, api);
    let file = File::open(&path).ok()?;
    let metadata = file.metadata().ok()?;
    if metadata.mode() & 0o077 != 0 {
        eprintln!("warning: {} is open to others and is not used", path.display());
        return None;
    }
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).ok()?;
    let login: Login = serde_json::from_str(&text).ok()?;
    (login.api == origin(api)).then_some(login.token)
}

/// Keeps a login where nobody else can read it. Whole or not at all.
pub fn store(directory: &Path, api: &Url, token: &str) -> Result<PathBuf, Failure> {
    let path = file(directory, api);
    let login = Login { api: origin(api), token: token.to_owned() };
    let written = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| tempfile::NamedTempFile::new_in(directory))
        .and_then(|mut file| {
            file.write_all(serde_json::to_string(&login)?.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)
        });
    match written {
        Ok(_) => Ok(path),
        Err(error) => {
            Err(Failure::failed(format!("{} cannot be written: {error}", path.display())))
        }
    }
}

/// Forgets the login kept for `api`; true if there was one.
pub fn forget(directory: &Path, api: &Url) -> Result<bool, Failure> {
    let path = file(directory, api);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(Failure::failed(format!("{} cannot be removed: {error}", path.display())))
        }
    }
}

/// The user's own directory for what programs keep.
pub fn directory(environment: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Failure> {
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")));
    state.map(|state| state.join("portcullis")).ok_or_else(|| {
        Failure::failed("there is nowhere to keep a login")
            .hint("set HOME, or name a token with --token-file")
    })
}

fn file(directory: &Path, api: &Url) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = origin(api).chars().map(plain).collect();
    directory.join(format!("login-{name}.json"))
}

fn origin(api: &Url) -> String {
    api.origin().ascii_serialization()
}
