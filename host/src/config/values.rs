//! What several sections hold: names, addresses, networks, URLs, files.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use reqwest::Url;

use super::secret::{self, Secret};
use super::table::{Placed, Problems, Table, nearest};

/// Where a configuration's words lead.
pub(super) struct Context<'a> {
    /// The directory that relative paths are taken from.
    pub(super) base: PathBuf,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Context<'_> {
    /// A file that must be there.
    pub(super) fn file(&self, file: &Placed<String>, problems: &mut Problems) -> Option<PathBuf> {
        let path = self.base.join(&file.value);
        if !path.is_file() {
            problems.add(&file.span, format!("there is no file {}", path.display()));
            return None;
        }
        Some(path)
    }

    /// A secret that is text, from the file or the variable that one of two keys names.
    pub(super) fn secret(
        &self,
        table: &mut Table<'_, '_>,
        [file_key, variable_key]: [&'static str; 2],
        problems: &mut Problems,
    ) -> Option<Secret> {
        let file = table.string(file_key, problems);
        let variable = table.string(variable_key, problems);
        match (file, variable) {
            (None, None) => None,
            (Some(file), None) => {
                let text = secret::read_text(&self.base, &file, problems)?;
                Some(Secret::new(text.into_bytes()))
            }
            (None, Some(variable)) => {
                let value = (self.environment)(&variable.value).filter(|value| !value.is_empty());
                if value.is_none() {
                    let message = format!("the environment has no variable {}", variable.value);
                    problems.add(&variable.span, message);
                }
                value.map(|value| Secret::new(value.into_bytes()))
            }
            (Some(_), Some(variable)) => {
                let message = format!("`{file_key}` is given already: keep one of them");
                problems.add(&variable.span, message);
                None
            }
        }
    }
}

/// PEM files; both exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// Takes the two keys out of a `tls` table, and leaves the table open for others.
    pub(super) fn read(
        table: &mut Table<'_, '_>,
        context: &Context<'_>,
        problems: &mut Problems,
    ) -> Option<TlsFiles> {
        let certificate = table.required("certificate", problems);
        let key = table.required("key", problems);
        let (certificate, key) = (certificate?, key?);
        let certificate = context.file(&certificate, problems);
        let path = context.base.join(&key.value);
        secret::check_private(&path, &key, problems)?;
        Some(TlsFiles { certificate: certificate?, key: path })
    }
}

pub(super) fn address(
    table: &mut Table<'_, '_>,
    default: &str,
    problems: &mut Problems,
) -> Option<Placed<SocketAddr>> {
    let span = table.span.clone();
    let text = table.string("address", problems);
    let text = text.unwrap_or(Placed { value: default.to_owned(), span });
    match text.value.parse() {
        Ok(value) => Some(Placed { value, span: text.span }),
        Err(_) => {
            let message = format!("`{}` is not an address: write it as {default}", text.value);
            problems.add(&text.span, message);
            None
        }
    }
}

/// Networks as "10.0.0.0/8"; an address alone is a network of one. `None` also where one of
/// them is wrong.
pub(super) fn networks(
    table: &mut Table<'_, '_>,
    key: &'static str,
    problems: &mut Problems,
) -> Option<Vec<Placed<IpNet>>> {
    let texts = table.strings(key, problems)?;
    let mut read = |text: Placed<String>| match network(&text.value) {
        Ok(value) => Some(Placed { value, span: text.span }),
        Err(message) => {
            problems.add(&text.span, message);
            None
        }
    };
    let networks: Vec<_> = texts.into_iter().map(&mut read).collect();
    networks.into_iter().collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet =
        text.parse().map_err(|_| format!("`{text}` is not a network: write it as 10.0.0.0/8"))?;
    if network.network() != network.addr() {
        let whole = network.trunc();
        return Err(format!("`{text}` has bits beyond its prefix: write {whole}"));
    }
    Ok(network)
}

/// A URL that secrets may be sent to: https, or http to this machine.
pub(super) fn url(text: &Placed<String>, problems: &mut Problems) -> Option<Placed<Url>> {
    match checked_url(&text.value) {
        Ok(value) => Some(Placed { value, span: text.span.clone() }),
        Err(message) => {
            problems.add(&text.span, message);
            None
        }
    }
}

fn checked_url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "this is not a URL: write it as https://host/path")?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("http is for this machine only: use https"),
        _ => return Err("a URL begins with https:// here"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password does not belong into the URL");
    }
    if url.fragment().is_some() {
        return Err("a URL has no `#` here");
    }
    Ok(url)
}

/// Does the URL lead to this machine, whoever answers for names?
pub fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Names without their places.
pub(super) fn plain(names: Vec<Placed<String>>) -> Vec<String> {
    names.into_iter().map(|name| name.value).collect()
}

/// Notes every name that is not `known`: "there is no database `x`".
pub(super) fn check_known<'n>(
    what: &str,
    names: impl IntoIterator<Item = &'n Placed<String>>,
    known: &[&str],
    problems: &mut Problems,
) {
    for name in names.into_iter().filter(|name| !known.contains(&name.value.as_str())) {
        let near = nearest(&name.value, known.iter().copied());
        problems.add(&name.span, format!("there is no {what} `{}`{near}", name.value));
    }
}

/// Sees that no name is given twice.
pub(super) struct Names {
    what: &'static str,
    places: HashMap<String, Range<usize>>,
}

impl Names {
    pub(super) fn new(what: &'static str) -> Names {
        Names { what, places: HashMap::new() }
    }

    pub(super) fn enter(&mut self, name: &Placed<String>, problems: &mut Problems) {
        if self.places.insert(name.value.clone(), name.span.clone()).is_some() {
            let message = format!("there is {} `{}` already", self.what, name.value);
            problems.add(&name.span, message);
        }
    }
}

/// A directory; one that is written is not empty.
pub(super) fn directory(
    root: &mut Table<'_, '_>,
    key: &'static str,
    default: &str,
    base: &Path,
    problems: &mut Problems,
) -> PathBuf {
    let written = root.string(key, problems);
    if let Some(empty) = written.as_ref().filter(|written| written.value.is_empty()) {
        problems.add(&empty.span, format!("`{key}` is empty"));
    }
    base.join(written.map_or(default.to_owned(), |written| written.value))
}
