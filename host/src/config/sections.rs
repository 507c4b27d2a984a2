//! The sections of the file, one function each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_identity::{UserConfig, Verifier};
use portcullis_policy::{PrincipalKind, Unmatched};
use toml::de::{DeTable, Error};

use super::problem::Report;
use super::secret::{self, Secret};
use super::table::{Placed, Problems, Table, mistyped, nearest};
use super::{
    Audit, Config, DatabaseConfig, LedgerConfig, Limits, Listen, Log, LogFormat, LogLevel,
    TlsFiles, Upstream,
};

/// A key that can be tried out is none.
const KEY_BYTES_MIN: usize = 16;
const WORKERS_MAX: u64 = 1024;

struct Context<'a> {
    /// The directory that relative paths are taken from.
    base: PathBuf,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

pub(super) fn read(
    path: &Path,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Report> {
    let mut problems = Problems::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // A file that is not TOML says little else for certain.
        errors.iter().for_each(|error| note(error, &mut problems));
        return Err(Report::refusal(path, text, problems.found));
    }
    let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let context = Context { base, environment };
    let root = Table::new("the configuration", document.get_ref(), 0..0);
    let config = configuration(root, &context, &mut problems);
    match config {
        Some(config) if problems.found.is_empty() => {
            let warnings = Report::advice(path, text, problems.warnings);
            Ok(Config { warnings, ..config })
        }
        Some(_) | None => Err(Report::refusal(path, text, problems.found)),
    }
}

fn note(error: &Error, problems: &mut Problems) {
    let message = error.message().lines().collect::<Vec<_>>().join(": ");
    problems.add(&error.span().unwrap_or(0..0), message);
}

fn configuration(
    mut root: Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Config> {
    let state_dir = directory(&mut root, "state_dir", "/var/lib/portcullis", context, problems);
    let plugin_dir = directory(&mut root, "plugin_dir", "plugins.d", context, problems);
    let workers = workers(&mut root, problems);
    let listen = listen(&mut root, context, problems);
    let admin = admin(&mut root, problems);
    let limits = limits(&mut root, problems);
    let ledger = ledger(&mut root, problems);
    let databases = databases(&mut root, context, problems);
    let users = users(&mut root, &databases, context, problems);
    let keys = keys(&mut root, context, problems);
    let log = log(&mut root, problems);
    root.finish(problems);
    Some(Config {
        state_dir,
        plugin_dir,
        workers,
        listen: listen?,
        admin,
        limits,
        ledger,
        databases: databases.into_iter().filter_map(|(_, database)| database).collect(),
        users,
        keys,
        log,
        warnings: Report::advice(Path::new(""), "", Vec::new()),
    })
}

fn directory(
    root: &mut Table<'_, '_>,
    key: &'static str,
    default: &str,
    context: &Context<'_>,
    problems: &mut Problems,
) -> PathBuf {
    let written = root.string(key, problems);
    if let Some(empty) = written.as_ref().filter(|written| written.value.is_empty()) {
        problems.add(&empty.span, format!("`{key}` is empty"));
    }
    context.base.join(written.map_or(default.to_owned(), |written| written.value))
}

fn workers(root: &mut Table<'_, '_>, problems: &mut Problems) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let wanted = root.number("workers", 0..=WORKERS_MAX, 0, problems);
    usize::try_from(wanted).ok().and_then(NonZeroUsize::new).unwrap_or(cores)
}

fn address(
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

fn listen(
    root: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Listen> {
    let empty = DeTable::new();
    let mut table =
        root.table("listen", problems).unwrap_or_else(|| Table::new("[listen]", &empty, 0..0));
    let address = address(&mut table, "127.0.0.1:6432", problems);
    let tls = table.table("tls", problems);
    let tls_wanted = tls.is_some();
    let tls = tls.and_then(|tls| tls_files(tls, context, problems));
    let tls_required = table.boolean("tls_required", problems).unwrap_or(false);
    if tls_required && !tls_wanted {
        problems.add(&table.span, "`tls_required` needs `tls`, or nobody could connect");
    }
    table.finish(problems);
    let address = address?;
    if !address.value.ip().is_loopback() && !tls_wanted {
        let message = "clients from elsewhere connect in plaintext: set `tls`";
        problems.warn(&address.span, message);
    }
    Some(Listen { address: address.value, tls, tls_required })
}

fn tls_files(
    mut table: Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<TlsFiles> {
    let certificate = table.required("certificate", problems);
    let key = table.required("key", problems);
    table.finish(problems);
    let (certificate, key) = (certificate?, key?);
    let certificate_path = context.base.join(&certificate.value);
    if !certificate_path.is_file() {
        let message = format!("there is no file {}", certificate_path.display());
        problems.add(&certificate.span, message);
    }
    let key_path = context.base.join(&key.value);
    secret::check_private(&key_path, &key, problems)?;
    Some(TlsFiles { certificate: certificate_path, key: key_path })
}

fn admin(root: &mut Table<'_, '_>, problems: &mut Problems) -> Option<SocketAddr> {
    let mut table = root.table("admin", problems)?;
    let address = address(&mut table, "127.0.0.1:6480", problems);
    table.finish(problems);
    let address = address?;
    if !address.value.ip().is_loopback() {
        let message = "the admin API is for this machine: give it a loopback address";
        problems.warn(&address.span, message);
    }
    Some(address.value)
}

fn limits(root: &mut Table<'_, '_>, problems: &mut Problems) -> Limits {
    let empty = DeTable::new();
    let mut table =
        root.table("limits", problems).unwrap_or_else(|| Table::new("[limits]", &empty, 0..0));
    let mut number = |key, range, default| table.number(key, range, default, problems);
    let frame_bytes_max = number("frame_bytes_max", 65_536..=1 << 30, 64 << 20);
    let statement_bytes_max = number("statement_bytes_max", 1024..=1 << 30, 1 << 20);
    let limits = Limits {
        connections_max: size(number("connections_max", 1..=1_000_000, 10_000)),
        frame_bytes_max: size(frame_bytes_max),
        statement_bytes_max: size(statement_bytes_max),
        names_max: size(number("names_max", 1..=1_000_000, 10_000)),
        startup: Duration::from_millis(number("startup_ms", 100..=600_000, 10_000)),
        drain: Duration::from_secs(number("drain_seconds", 0..=86_400, 30)),
    };
    if statement_bytes_max > frame_bytes_max {
        let message = "`statement_bytes_max` cannot be more than `frame_bytes_max`";
        problems.add(&table.span, message);
    }
    table.finish(problems);
    limits
}

/// The ranges above fit any machine this runs on.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn ledger(root: &mut Table<'_, '_>, problems: &mut Problems) -> LedgerConfig {
    let empty = DeTable::new();
    let mut table =
        root.table("ledger", problems).unwrap_or_else(|| Table::new("[ledger]", &empty, 0..0));
    let segment_bytes_max =
        table.number("segment_bytes_max", 1 << 20..=1 << 32, 64 << 20, problems);
    let sync_ms = table.number("sync_ms", 1..=60_000, 200, problems);
    table.finish(problems);
    LedgerConfig { segment_bytes_max, sync_interval: Duration::from_millis(sync_ms) }
}

fn log(root: &mut Table<'_, '_>, problems: &mut Problems) -> Log {
    let empty = DeTable::new();
    let mut table =
        root.table("log", problems).unwrap_or_else(|| Table::new("[log]", &empty, 0..0));
    let levels =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace]
            .map(|level| (level.as_str(), level));
    let level = table.word("level", &levels, LogLevel::Info, problems);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = table.word("format", &formats, LogFormat::Text, problems);
    table.finish(problems);
    Log { level, format }
}

/// The databases; one that is wrong keeps its name, so that users may refer to it.
fn databases(
    root: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<(String, Option<DatabaseConfig>)> {
    let mut databases = Vec::new();
    let mut names = Names::new("database");
    for table in root.tables("database", problems) {
        if let Some((name, database)) = database(table, context, problems) {
            names.enter(&name, problems);
            databases.push((name.value, database));
        }
    }
    if databases.is_empty() && problems.found.is_empty() {
        problems.add(&(0..0), "there is no [[database]]: clients would have nowhere to go");
    }
    databases
}

fn database(
    mut table: Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<(Placed<String>, Option<DatabaseConfig>)> {
    let name = table.required("name", problems);
    let url = table.required("upstream", problems);
    let password = password(&mut table, context, problems);
    let labels = table.entries("labels", problems);
    let audits =
        [("strict", Audit::Strict), ("relaxed", Audit::Relaxed), ("default", Audit::StrictWrites)];
    let audit = table.word("audit", &audits, Audit::StrictWrites, problems);
    let unmatched = [("deny", Unmatched::Deny), ("allow", Unmatched::Allow)];
    let unmatched = table.word("unmatched", &unmatched, Unmatched::Deny, problems);
    let trusted_functions = table.strings("trusted_functions", problems).unwrap_or_default();
    let column_labels = column_labels(&mut table, problems);
    table.finish(problems);
    let name = name?;
    let upstream = url.and_then(|url| upstream(&url, &name.value, context, problems));
    let database = upstream.map(|upstream| DatabaseConfig {
        name: name.value.clone(),
        labels: labels.into_iter().map(|(label, value)| (label.value, value.value)).collect(),
        upstream,
        password,
        audit,
        unmatched,
        trusted_functions: trusted_functions.into_iter().map(|name| name.value).collect(),
        column_labels,
    });
    Some((name, database))
}

fn upstream(
    url: &Placed<String>,
    database: &str,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Upstream> {
    match Upstream::parse(&url.value, database, &context.base) {
        Ok(upstream) => {
            if upstream.is_exposed() {
                let message = "the way to the database is not proven: use sslmode=verify-full";
                problems.warn(&url.span, message);
            }
            Some(upstream)
        }
        Err(message) => {
            problems.add(&url.span, message);
            None
        }
    }
}

fn password(
    table: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Secret> {
    let file = table.string("password_file", problems);
    let variable = table.string("password_env", problems);
    match (file, variable) {
        (None, None) => None,
        (Some(file), None) => {
            let text = secret::read_text(&context.base, &file, problems)?;
            Some(Secret::new(text.into_bytes()))
        }
        (None, Some(variable)) => {
            let value = (context.environment)(&variable.value).filter(|value| !value.is_empty());
            if value.is_none() {
                let message = format!("the environment has no variable {}", variable.value);
                problems.add(&variable.span, message);
            }
            value.map(|value| Secret::new(value.into_bytes()))
        }
        (Some(_), Some(variable)) => {
            problems.add(&variable.span, "`password_file` is given already: keep one of them");
            None
        }
    }
}

fn column_labels(table: &mut Table<'_, '_>, problems: &mut Problems) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (column, label) in table.entries("column_labels", problems) {
        let parts: Vec<&str> = column.value.split('.').collect();
        if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) {
            let message = format!("`{}` must be \"schema.table.column\"", column.value);
            problems.add(&column.span, message);
        } else if label.value.is_empty() {
            problems.add(&label.span, "a label is empty");
        } else {
            labels.push((column.value, label.value));
        }
    }
    labels
}

fn users(
    root: &mut Table<'_, '_>,
    databases: &[(String, Option<DatabaseConfig>)],
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<UserConfig> {
    let known: Vec<&str> = databases.iter().map(|(name, _)| name.as_str()).collect();
    let mut users = Vec::new();
    let mut names = Names::new("user");
    let tables = root.tables("user", problems);
    if tables.is_empty() {
        problems.warn(&(0..0), "there is no [[user]]: nobody can log in");
    }
    for table in tables {
        users.extend(user(table, &known, &mut names, context, problems));
    }
    users
}

fn user(
    mut table: Table<'_, '_>,
    databases: &[&str],
    names: &mut Names,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<UserConfig> {
    let name = table.required("name", problems);
    let verifier = verifier(&mut table, context, problems);
    let groups = table.strings("groups", problems).unwrap_or_default();
    let kinds = [PrincipalKind::Human, PrincipalKind::Service, PrincipalKind::Agent]
        .map(|kind| (kind.as_str(), kind));
    let kind = table.word("kind", &kinds, PrincipalKind::Human, problems);
    let allowed = table.strings("databases", problems);
    table.finish(problems);
    for database in allowed.iter().flatten() {
        if !databases.contains(&database.value.as_str()) {
            let near = nearest(&database.value, databases.iter().copied());
            let message = format!("there is no database `{}`{near}", database.value);
            problems.add(&database.span, message);
        }
    }
    let name = name?;
    names.enter(&name, problems);
    Some(UserConfig {
        name: name.value,
        verifier: verifier?,
        groups: groups.into_iter().map(|group| group.value).collect(),
        kind,
        databases: allowed.map(|names| names.into_iter().map(|name| name.value).collect()),
    })
}

fn verifier(
    table: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Verifier> {
    let scram = table.string("scram", problems);
    let file = table.string("password_file", problems);
    let (made, span) = match (scram, file) {
        (Some(scram), None) => (scram.value.parse(), scram.span),
        (None, Some(file)) => {
            let password = secret::read_text(&context.base, &file, problems)?;
            (Verifier::new(&password), file.span)
        }
        (Some(_), Some(file)) => {
            problems.add(&file.span, "`scram` is given already: keep one of them");
            return None;
        }
        (None, None) => {
            table.missing("scram` or `password_file", problems);
            return None;
        }
    };
    made.map_err(|error| problems.add(&span, error.to_string())).ok()
}

fn keys(
    root: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<(String, Secret)> {
    let Some(table) = root.table("keys", problems) else { return Vec::new() };
    let keys = table.named(problems, |name, value, problems| {
        let Some(entries) = value.get_ref().as_table() else {
            mistyped(name, "a table: { file = \"…\" }", value, problems);
            return None;
        };
        let mut table = Table::new(&format!("[keys] {name}"), entries, value.span());
        let file = table.required("file", problems);
        table.finish(problems);
        let file = file?;
        let key = secret::read(&context.base, &file, problems)?;
        if key.reveal().len() < KEY_BYTES_MIN {
            let message = format!("a key needs at least {KEY_BYTES_MIN} bytes");
            problems.add(&file.span, message);
        }
        Some(key)
    });
    keys.into_iter().map(|(name, key)| (name.value, key)).collect()
}

/// Sees that no name is given twice.
struct Names {
    what: &'static str,
    places: HashMap<String, Range<usize>>,
}

impl Names {
    fn new(what: &'static str) -> Names {
        Names { what, places: HashMap::new() }
    }

    fn enter(&mut self, name: &Placed<String>, problems: &mut Problems) {
        if self.places.insert(name.value.clone(), name.span.clone()).is_some() {
            let message = format!("there is a {} `{}` already", self.what, name.value);
            problems.add(&name.span, message);
        }
    }
}
