//! The directory a demo lives in.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use tempfile::TempDir;

/// What is shown of a log when something went wrong.
const LOG_TAIL_LINES: usize = 20;
/// PostgreSQL, when it runs as somebody else, must pass through; it need not look around.
const PASSABLE: u32 = 0o711;

/// The directory. A temporary one is removed when this is dropped.
pub struct Place {
    root: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    /// Makes the directory wanted, which must be empty if it exists; else a temporary one.
    pub fn make(wanted: Option<&Path>) -> Result<Place> {
        let place = match wanted {
            Some(directory) => Place { root: make_empty(directory)?, temporary: None },
            None => {
                let made = tempfile::Builder::new().prefix("portcullis-demo.").tempdir();
                let made = made.into_diagnostic().wrap_err("no temporary directory can be made")?;
                let root = made.path().canonicalize().into_diagnostic()?;
                Place { root, temporary: Some(made) }
            }
        };
        let passable = fs::Permissions::from_mode(PASSABLE);
        fs::set_permissions(&place.root, passable).into_diagnostic()?;
        for directory in [place.plugin_dir(), place.state_dir()] {
            fs::DirBuilder::new().mode(0o700).create(directory).into_diagnostic()?;
        }
        Ok(place)
    }

    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn config(&self) -> PathBuf {
        self.root.join("portcullis.toml")
    }

    pub fn plugin_dir(&self) -> PathBuf {
        self.root.join("plugins.d")
    }

    fn state_dir(&self) -> PathBuf {
        self.root.join("state")
    }

    pub fn ledger_dir(&self) -> PathBuf {
        self.state_dir().join("ledger")
    }

    /// The server's own; it is made by whoever starts the server.
    pub fn postgres_dir(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("portcullis.log")
    }

    /// What the receiver of audit records was sent.
    pub fn received(&self) -> PathBuf {
        self.root.join("webhook.ndjson")
    }

    /// Writes a file that nobody else may read.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(name);
        let written = private(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.into_diagnostic().wrap_err_with(|| format!("{} cannot be written", path.display()))
    }

    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.split_at(lines.len().saturating_sub(LOG_TAIL_LINES)).1.join("\n")
    }
}

/// A new, empty file that nobody else may read.
pub fn private(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn make_empty(directory: &Path) -> Result<PathBuf> {
    let failed = || format!("{} cannot be used", directory.display());
    fs::create_dir_all(directory).into_diagnostic().wrap_err_with(failed)?;
    let directory = directory.canonicalize().into_diagnostic().wrap_err_with(failed)?;
    let mut entries = fs::read_dir(&directory).into_diagnostic().wrap_err_with(failed)?;
    if entries.next().is_some() {
        return Err(miette!(
            help = "name a directory that is empty or does not exist; the demo fills one of its own each time",
            "{} is not empty",
            directory.display()
        ));
    }
    Ok(directory)
}
