//! The files of PostgreSQL's own regression tests, from the source package of the machine's
//! distribution. The machine's own configuration is read, not changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::{program, repository, system_package};

const VARIABLE: &str = "PORTCULLIS_REGRESS";

/// Source packages with these files, the one we test against first.
const PACKAGES: [&str; 4] = ["postgresql-15", "postgresql-16", "postgresql-17", "postgresql-18"];

/// The directory with the `.sql` files.
pub(crate) fn find_or_get() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        if is_complete(&named) {
            return Ok(named);
        }
        let named = named.display();
        return Err(Failure::new(format!("{VARIABLE} is {named}, but no test_setup.sql is there")));
    }
    let directory = repository::tools().join("regress");
    let files = directory.join("sql");
    let got = repository::once_made(&files, &directory.join("done"), "1", || get(&directory));
    got.map_err(|failure| {
        Failure::new(format!(
            "PostgreSQL's regression files are missing, and the test that reads them will fail. \
             Set {VARIABLE} to src/test/regress/sql of a PostgreSQL source tree (15 or later). \
             Why they could not be had: {failure}"
        ))
    })?;
    Ok(files)
}

fn is_complete(files: &Path) -> bool {
    files.join("test_setup.sql").is_file()
}

fn get(directory: &Path) -> Result<(), Failure> {
    if program::find(&["apt-get"]).is_none() {
        return Err(Failure::new("they come from Debian's source package, and this is no Debian"));
    }
    eprintln!("xtask: getting PostgreSQL's regression files");
    repository::create_anew(directory)?;
    let apt = Apt::new(&directory.join("apt"))?;
    let archive = apt.source()?;
    unpack(&archive, directory)?;
    if !is_complete(&directory.join("sql")) {
        return Err(Failure::new(format!("{} holds no regression files", archive.display())));
    }
    let apt = &apt.directory;
    fs::remove_dir_all(apt).map_err(Failure::to(format!("remove {}", apt.display())))
}

fn unpack(archive: &Path, directory: &Path) -> Result<(), Failure> {
    if program::find(&["bzip2"]).is_none() {
        system_package::install("bzip2", &["bzip2"])?;
    }
    let mut tar = program::command("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(directory);
    tar.args(["--strip-components=4", "--wildcards", "*/src/test/regress/sql/*.sql"]);
    program::run_quietly(&mut tar)
}

/// The machine's package client, with its sources turned into sources of source packages, and
/// everything it writes in a directory of ours.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: &Path) -> Result<Apt, Failure> {
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
            repository::write(&directory.join("sources").join(name), &of_sources(&text))?;
        }
        Ok(Apt { directory: directory.to_owned() })
    }

    /// Fetches a source package and gives back its archive; apt-get checks its signature.
    fn source(&self) -> Result<PathBuf, Failure> {
        // One source that cannot be reached, or has no source packages, makes this fail: only
        // where nothing is found after it does that matter.
        let mut update = self.command();
        update.args(["-o", "APT::Update::Error-Mode=any", "update"]);
        let updated = program::run_quietly(&mut update);
        let release = release();
        let mut last = Failure::new("no source of packages is configured");
        for package in PACKAGES {
            // The release itself first: what its updates name may be gone already.
            let released = release.as_ref().map(|release| format!("{package}/{release}"));
            for wanted in released.into_iter().chain([package.to_owned()]) {
                let mut source = self.command();
                source.args(["source", "--download-only", &wanted]);
                match program::run_quietly(source.current_dir(self.packages())) {
                    Ok(()) => return self.archive(),
                    Err(failure) => last = failure,
                }
            }
        }
        Err(updated.err().unwrap_or(last))
    }

    fn archive(&self) -> Result<PathBuf, Failure> {
        let packages = self.packages();
        let mut files = repository::entries(&packages)?.into_iter();
        let is_archive = |file: &PathBuf| file.to_string_lossy().contains(".orig.tar.");
        files
            .find(|file| is_archive(file) && file.extension().is_some_and(|end| end != "asc"))
            .ok_or_else(|| Failure::new("apt-get brought no archive of PostgreSQL"))
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

/// What the distribution calls this release.
fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(name.trim_matches('"').to_owned())
}
