//! A policy file: TOML in, a policy that cannot be half right out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use portcullis_policy::{Mode, PrincipalKind, Terms};
use serde::Deserialize;

use crate::config::{DEADLINE_MS_MAX, EngineConfig};
use crate::matching::Matching;
use crate::nearest::nearest;

/// What one policy file says, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PolicyFile {
    /// As written; relative to the plugin directory.
    pub(crate) plugin: String,
    pub(crate) mode: Mode,
    pub(crate) matching: Matching,
    pub(crate) deadline_ms: u32,
    pub(crate) memory_bytes_max: usize,
    /// Links an empty WASI.
    pub(crate) wasi_inert: bool,
    /// The JSON form of the `[settings]` table.
    pub(crate) settings: String,
    pub(crate) targets: BTreeMap<String, Target>,
    /// What those who release what it holds may do.
    pub(crate) terms: Terms,
}

/// A place that a sink may post to; the sandbox knows only its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub timeout_ms: u32,
}

/// Headers carry credentials, so only their names are shown.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("headers", &self.headers.keys())
            .field("timeout_ms", &self.timeout_ms)
            .finish()
    }
}

/// What is wrong with a policy file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileError {
    pub(crate) line: Option<u32>,
    pub(crate) reason: String,
}

impl PolicyFile {
    /// The policy that a plugin is when no file names it.
    pub(crate) fn lone(plugin: String, config: &EngineConfig) -> PolicyFile {
        PolicyFile {
            plugin,
            mode: config.mode_override.unwrap_or(Mode::Enforce),
            matching: Matching::default(),
            deadline_ms: config.defaults.deadline_ms,
            memory_bytes_max: config.defaults.memory_bytes_max,
            wasi_inert: false,
            settings: "{}".to_owned(),
            targets: BTreeMap::new(),
            terms: Terms::default(),
        }
    }

    /// Reads a policy file; whatever it does not know is an error.
    pub(crate) fn parse(text: &str, config: &EngineConfig) -> Result<PolicyFile, FileError> {
        let raw: Raw = toml::from_str(text).map_err(|error| explain(text, &error))?;
        let at = |span: Range<usize>, reason: String| FileError {
            line: Some(line_of(text, span.start)),
            reason,
        };
        let mut file = PolicyFile::lone(raw.plugin.get_ref().clone(), config);
        if file.plugin.is_empty() {
            return Err(at(raw.plugin.span(), "plugin is empty".to_owned()));
        }
        if config.mode_override.is_none()
            && let Some(mode) = raw.mode
        {
            file.mode = mode.into();
        }
        if let Some(matching) = raw.matching {
            file.matching = matching.into();
        }
        if let Some(deadline) = raw.deadline_ms {
            file.deadline_ms = *deadline.get_ref();
            if !(1..=DEADLINE_MS_MAX).contains(&file.deadline_ms) {
                let reason = format!("deadline_ms is between 1 and {DEADLINE_MS_MAX}");
                return Err(at(deadline.span(), reason));
            }
        }
        if let Some(memory) = raw.memory_bytes_max {
            file.memory_bytes_max = *memory.get_ref();
            let ceiling = config.memory_bytes_ceiling;
            if !(1 << 16..=ceiling).contains(&file.memory_bytes_max) {
                let reason = format!("memory_bytes_max is between 65536 and {ceiling}");
                return Err(at(memory.span(), reason));
            }
        }
        file.wasi_inert = raw.wasi.is_some();
        if let Some(settings) = raw.settings {
            let json = json_object(settings.get_ref()).map_err(|why| at(settings.span(), why))?;
            file.settings = json.to_string();
        }
        file.targets = raw.targets.into_iter().map(|(name, raw)| (name, raw.into())).collect();
        if let Some(approval) = raw.approval {
            let minutes = approval.get_ref().lease_minutes_max;
            if minutes > LEASE_MINUTES_MAX {
                let reason = format!("lease_minutes_max is at most {LEASE_MINUTES_MAX}");
                return Err(at(approval.span(), reason));
            }
            file.terms = Terms {
                lease_seconds_max: minutes * 60,
                acted_for_may_release: approval.get_ref().acted_for_may_release,
            };
        }
        Ok(file)
    }
}

/// A week: a lease that outlives who gave it is a rule, and belongs into the policy.
const LEASE_MINUTES_MAX: u32 = 7 * 24 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    plugin: toml::Spanned<String>,
    mode: Option<RawMode>,
    #[serde(rename = "match")]
    matching: Option<RawMatching>,
    deadline_ms: Option<toml::Spanned<u32>>,
    memory_bytes_max: Option<toml::Spanned<usize>>,
    wasi: Option<RawWasi>,
    settings: Option<toml::Spanned<toml::Table>>,
    #[serde(default)]
    targets: BTreeMap<String, RawTarget>,
    approval: Option<toml::Spanned<RawApproval>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawApproval {
    lease_minutes_max: u32,
    acted_for_may_release: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawMode {
    Enforce,
    Observe,
}

impl From<RawMode> for Mode {
    fn from(mode: RawMode) -> Mode {
        match mode {
            RawMode::Enforce => Mode::Enforce,
            RawMode::Observe => Mode::Observe,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawWasi {
    Inert,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMatching {
    databases: Option<Vec<String>>,
    principals: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    kinds: Option<Vec<RawKind>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl From<RawMatching> for Matching {
    fn from(raw: RawMatching) -> Matching {
        Matching {
            databases: raw.databases,
            principals: raw.principals,
            groups: raw.groups,
            kinds: raw.kinds.map(|kinds| kinds.into_iter().map(PrincipalKind::from).collect()),
            labels: raw.labels.into_iter().collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Human,
    Service,
    Agent,
}

impl From<RawKind> for PrincipalKind {
    fn from(kind: RawKind) -> PrincipalKind {
        match kind {
            RawKind::Human => PrincipalKind::Human,
            RawKind::Service => PrincipalKind::Service,
            RawKind::Agent => PrincipalKind::Agent,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u32,
}

fn default_timeout_ms() -> u32 {
    5_000
}

impl From<RawTarget> for Target {
    fn from(raw: RawTarget) -> Target {
        Target { url: raw.url, headers: raw.headers, timeout_ms: raw.timeout_ms }
    }
}

/// The parser's own message, with the line and, where a word is wrong, the nearest right one.
fn explain(text: &str, error: &toml::de::Error) -> FileError {
    let line = error.span().map(|span| line_of(text, span.start));
    let mut reason = error.message().lines().collect::<Vec<_>>().join(": ");
    if reason.starts_with("unknown ") {
        // "unknown field `a`, expected one of `b`, `c`": the words between back-quotes.
        let words: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
        if let Some((wrong, right)) = words.split_first()
            && let Some(near) = nearest(wrong, right)
        {
            reason = format!("{reason}; did you mean `{near}`?");
        }
    }
    FileError { line, reason }
}

fn line_of(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(lines + 1).unwrap_or(u32::MAX)
}

fn json_object(table: &toml::Table) -> Result<serde_json::Value, String> {
    let entries: Result<serde_json::Map<_, _>, String> =
        table.iter().map(|(key, value)| Ok((key.clone(), json(value)?))).collect();
    Ok(serde_json::Value::Object(entries?))
}

fn json(value: &toml::Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number)
            .ok_or_else(|| format!("{number} has no JSON form"))?
            .into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(values) => {
            values.iter().map(json).collect::<Result<Vec<_>, String>>()?.into()
        }
        toml::Value::Table(table) => json_object(table)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PolicyFile, FileError> {
        PolicyFile::parse(text, &EngineConfig::new("."))
    }

    #[test]
    fn a_full_file_is_read() {
        let file = parse(
            r#"
            plugin = "pii_mask.wasm"
            mode = "observe"
            match = { databases = ["shop"], kinds = ["agent"], labels = { env = "prod" } }
            deadline_ms = 25
            memory_bytes_max = 1_048_576
            wasi = "inert"
            [settings]
            email = "partial"
            since = 2026-01-02
            keep = [1, 2.5, true]
            [targets.siem]
            url = "https://siem.example.com/in"
            headers = { authorization = "secret" }
            [approval]
            lease_minutes_max = 30
            acted_for_may_release = true
            "#,
        )
        .unwrap();
        let terms = Terms { lease_seconds_max: 1_800, acted_for_may_release: true };
        assert_eq!(file.terms, terms);
        assert_eq!(file.mode, Mode::Observe);
        assert_eq!(file.matching.to_string(), "databases shop; kinds agent; labels env=prod");
        assert_eq!((file.deadline_ms, file.memory_bytes_max), (25, 1 << 20));
        assert!(file.wasi_inert);
        assert_eq!(
            file.settings,
            r#"{"email":"partial","keep":[1,2.5,true],"since":"2026-01-02"}"#
        );
        assert!(!format!("{:?}", file.targets).contains("secret"));
    }

    fn check(text: &str, line: u32, expected: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line, Some(line), "{error:?}");
        assert!(error.reason.contains(expected), "{error:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_nearest_right_word() {
        check("plugin = \"a.wasm\"\nmdoe = \"enforce\"", 2, "did you mean `mode`?");
        check("plugin = \"a.wasm\"\nmode = \"enforced\"", 2, "did you mean `enforce`?");
        check("plugin = \"a.wasm\"\n\nmatch = { database = [] }", 3, "did you mean `databases`?");
        check("plugin = \"a.wasm\"\ndeadline_ms = 0", 2, "between 1 and");
        check("plugin = \"a.wasm\"\n[approval]\nlease_minutes_max = 99999", 2, "at most 10080");
        check("plugin = \"a.wasm\"\nmemory_bytes_max = 99999999999", 2, "memory_bytes_max");
        check("plugin = \"a.wasm\"\nwasi = \"full\"", 2, "expected `inert`");
        check("plugin = \"a.wasm\"\nmode = ", 2, "");
        check("plugin = \"\"", 1, "plugin is empty");
        check("mode = \"enforce\"", 1, "missing field `plugin`");
        check("plugin = \"a\"\n[settings]\nx = nan", 2, "has no JSON form");
    }
}
