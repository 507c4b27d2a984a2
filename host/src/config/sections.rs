//! The file as a whole, and its short sections.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, Error};

use super::admin;
use super::database;
use super::issuer;
use super::listen;
use super::login;
use super::problem::Report;
use super::secret::{self, Secret};
use super::table::{Problems, Table, mistyped};
use super::user;
use super::values::{self, Context};
use super::{Config, LedgerConfig, Limits, Log, LogFormat, LogLevel};

const WORKERS_MAX: u64 = 1024;

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
    let state_dir = "/var/lib/portcullis";
    let state_dir = values::directory(&mut root, "state_dir", state_dir, &context.base, problems);
    let plugin_dir =
        values::directory(&mut root, "plugin_dir", "plugins.d", &context.base, problems);
    let workers = workers(&mut root, problems);
    let listeners = listen::listeners(&mut root, context, problems);
    let limits = limits(&mut root, problems);
    let ledger = ledger(&mut root, problems);
    let databases = database::databases(&mut root, context, problems);
    let database_names: Vec<&str> = databases.iter().map(|(name, _)| name.as_str()).collect();
    let issuers = issuer::issuers(&mut root, &database_names, context, problems);
    let has_issuers = !issuers.names.is_empty();
    let users = user::users(&mut root, &database_names, has_issuers, context, problems);
    let admin = admin::admin(&mut root, &issuers, &users, context, problems);
    let known = login::Known {
        listeners: &listeners,
        databases: &database_names,
        issuers: &issuers,
        has_pages: admin.as_ref().is_some_and(|admin| admin.public_url.is_some()),
        has_certificates: users.iter().any(|user| !user.certificates.is_empty()),
    };
    let logins = login::logins(&mut root, &known, problems);
    let browser_login = login::browser_login(&mut root, problems);
    let credentials = login::credentials(&mut root, problems);
    let approvals = admin::approvals(&mut root, admin.as_ref(), context, problems);
    let keys = keys(&mut root, context, problems);
    let log = log(&mut root, problems);
    root.finish(problems);
    Some(Config {
        state_dir,
        plugin_dir,
        workers,
        listeners,
        logins,
        issuers: issuers.read,
        browser_login,
        credentials,
        approvals,
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

fn workers(root: &mut Table<'_, '_>, problems: &mut Problems) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let wanted = root.number("workers", 0..=WORKERS_MAX, 0, problems);
    usize::try_from(wanted).ok().and_then(NonZeroUsize::new).unwrap_or(cores)
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
        names_bytes_max: size(number("names_bytes_max", 65_536..=1 << 34, 64 << 20)),
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
        secret::read_key(&context.base, &file, problems)
    });
    keys.into_iter().map(|(name, key)| (name.value, key)).collect()
}
