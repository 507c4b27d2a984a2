//! Debian's source packages. The machine's own configuration is read, not changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::{program, repository};

/// The machine's package client, with its sources turned into sources of source packages, and
/// everything it writes in a directory of ours.
pub(crate) struct Sources {
    directory: PathBuf,
    /// What it said of sources that could not be read: that matters only where nothing is found.
    updated: Result<(), Failure>,
}

impl Sources {
    /// Reads what there is for the machine's own release, or for others of Debian's.
    pub(crate) fn new(directory: &Path, releases: &[&str]) -> Result<Sources, Failure> {
        for inside in ["lists/partial", "cache/archives/partial", "sources", "packages"] {
            repository::create(&directory.join(inside))?;
        }
        let configured = repository::entries(Path::new("/etc/apt/sources.list.d"));
        let mut found = configured.unwrap_or_default();
        found.push("/etc/apt/sources.list".into());
        for file in found {
            // One that cannot be read is one that apt-get does not read either.
            let (Some(name), Ok(text)) = (file.file_name(), fs::read_to_string(&file)) else {
                continue;
            };
            let text = of_releases(&of_sources(&text), releases);
            repository::write(&directory.join("sources").join(name), &text)?;
        }
        let mut sources = Sources { directory: directory.to_owned(), updated: Ok(()) };
        // One source that cannot be reached, or has no source packages, makes this fail.
        let mut update = sources.command();
        update.args(["-o", "APT::Update::Error-Mode=any", "update"]);
        sources.updated = program::run_quietly(&mut update);
        Ok(sources)
    }

    /// Fetches the first of these packages that there is, and gives back its archive; apt-get
    /// checks its signature.
    pub(crate) fn newest_of(self: &Sources, packages: &[&str]) -> Result<PathBuf, Failure> {
        let release = release();
        let mut last = Failure::new("no source of packages is configured");
        for package in packages {
            // The release itself first: what its updates name may be gone already.
            let released = release.as_ref().map(|release| format!("{package}/{release}"));
            for wanted in released.into_iter().chain([(*package).to_owned()]) {
                match program::run_quietly(&mut self.fetch(&wanted)) {
                    Ok(()) => return self.archive(""),
                    Err(failure) => last = failure,
                }
            }
        }
        Err(self.updated.clone().err().unwrap_or(last))
    }

    /// Fetches one version of a package, and gives back the archive that its authors made:
    /// what Debian adds to it is not needed, and may be gone.
    pub(crate) fn version(&self, package: &str, version: &str) -> Result<PathBuf, Failure> {
        let fetched = program::run_quietly(&mut self.fetch(&format!("{package}={version}")));
        let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
        self.archive(&format!("{package}_{upstream}"))
            .map_err(|missing| fetched.and(self.updated.clone()).err().unwrap_or(missing))
    }

    /// Nothing of it is needed any more.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        let at = &self.directory;
        fs::remove_dir_all(at).map_err(Failure::to(format!("remove {}", at.display())))
    }

    fn fetch(&self, wanted: &str) -> Command {
        let mut source = self.command();
        source.args(["source", "--download-only", "--only-source", wanted]);
        source.current_dir(self.packages());
        source
    }

    fn archive(&self, begins: &str) -> Result<PathBuf, Failure> {
        let packages = self.packages();
        let mut files = repository::entries(&packages)?.into_iter();
        let is_archive = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(begins) && name.contains(".orig.tar.") && !name.ends_with(".asc")
        };
        files.find(is_archive).ok_or_else(|| Failure::new("apt-get brought no archive"))
    }

    fn packages(&self) -> PathBuf {
        self.directory.join("packages")
    }

    fn command(&self) -> Command {
        let mut apt = program::command("apt-get");
        let options = [
            ("Dir::Etc::SourceList", "/dev/null".into()),
            ("Dir::Etc::SourceParts", self.directory.join("sources")),
            ("Dir::State::Lists", self.directory.join("lists")),
            ("Dir::Cache", self.directory.join("cache")),
        ];
        for (option, path) in options {
            apt.arg("-o").arg(format!("{option}={}", path.display()));
        }
        apt.arg("-q");
        apt
    }
}

/// The same archives, asked for sources. Both of apt's notations: a line, and a paragraph.
fn of_sources(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("deb-src"));
    let of_sources = lines.map(|line| {
        if line.starts_with("Types:") {
            return "Types: deb-src\n".to_owned();
        }
        match line.strip_prefix("deb") {
            Some(rest) => format!("deb-src{rest}\n"),
            None => format!("{line}\n"),
        }
    });
    of_sources.collect()
}

/// The same archives, asked for other releases than the machine's own, where any are named.
fn of_releases(text: &str, releases: &[&str]) -> String {
    let Some(own) = release().filter(|_| !releases.is_empty()) else { return text.to_owned() };
    let mut changed = String::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let all = releases.join(" ");
        if line.starts_with("Suites:") && words.any(|word| word == own) {
            changed.push_str(&format!("Suites: {all}\n"));
        } else if line.starts_with("deb-src") && words.any(|word| word == own) {
            for release in releases {
                changed.push_str(&format!("{}\n", line.replace(&own, release)));
            }
        } else {
            changed.push_str(&format!("{line}\n"));
        }
    }
    changed
}

/// What the distribution calls this release.
fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned())
}
