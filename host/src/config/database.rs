//! `[[database]]`: what clients may name, and how the proxy logs in there.

use portcullis_policy::Unmatched;

use super::secret::Secret;
use super::table::{Placed, Problems, Table, TextOrTable};
use super::upstream::Upstream;
use super::values::{self, Context, Names};

/// What PostgreSQL keeps of a name, less the byte that ends it.
const ROLE_BYTES_MAX: usize = 63;
/// Words that PostgreSQL takes for something else than a role's name.
const NOT_ROLES: [&str; 3] = ["none", "default", "public"];

/// A database that clients may name.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub name: String,
    /// The operator's labels, for policies to match.
    pub labels: Vec<(String, String)>,
    pub upstream: Upstream,
    /// The proxy's password there.
    pub password: Option<Secret>,
    /// Whom statements run as; `None`: as the proxy's own login.
    pub role: Option<RoleMapping>,
    pub tell_subject: Option<TellSubject>,
    pub audit: Audit,
    pub unmatched: Unmatched,
    /// Functions, `name` or `schema.name`, that hide nothing.
    pub trusted_functions: Vec<String>,
    /// `schema.table.column` and its label.
    pub column_labels: Vec<(String, String)>,
}

/// Which role of the database a principal's statements run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleMapping {
    Fixed(String),
    /// The first group, in this order, that the principal is in.
    ByGroup {
        roles: Vec<(String, String)>,
        /// For those in none of them; `None`: they may not use the database.
        default: Option<String>,
    },
    /// The one called as the principal.
    Subject,
}

/// How the database hears who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TellSubject {
    ApplicationName,
    /// A setting with a dot in its name, for row security to read.
    Setting(String),
}

/// When a record must be on disk before its statement leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// Always.
    Strict,
    /// Never: the operating system has it.
    Relaxed,
    /// For everything but reads.
    StrictWrites,
}

/// The databases; one that is wrong keeps its name, so that users may refer to it.
pub(super) fn databases(
    root: &mut Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Vec<(String, Option<DatabaseConfig>)> {
    let mut databases = Vec::new();
    let mut names = Names::new("a database");
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
    let password = context.secret(&mut table, ["password_file", "password_env"], problems);
    let labels = table.entries("labels", problems);
    let role = table.text_or_table("role", problems);
    let role = role.and_then(|role| role_mapping(role, problems));
    let tell_subject = table.string("tell_subject", problems);
    let tell_subject = tell_subject.and_then(|setting| told_by(&setting, problems));
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
        role,
        tell_subject,
        audit,
        unmatched,
        trusted_functions: values::plain(trusted_functions),
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

fn role_mapping(role: TextOrTable<'_, '_>, problems: &mut Problems) -> Option<RoleMapping> {
    let mut table = match role {
        TextOrTable::Text(role) => return role_name(role, problems).map(RoleMapping::Fixed),
        TextOrTable::Table(table) => table,
    };
    let span = table.span.clone();
    let subject = table.boolean("subject", problems);
    let groups = table.entries("groups", problems);
    let default = table.string("default", problems);
    table.finish(problems);
    let written = (subject, groups.is_empty() && default.is_none());
    let default = match default {
        Some(default) => Some(role_name(default, problems)?),
        None => None,
    };
    let mut roles = Vec::new();
    for (group, role) in groups {
        roles.push((group.value, role_name(role, problems)?));
    }
    match written {
        (Some(true), true) => Some(RoleMapping::Subject),
        (Some(true), false) => {
            let message = "`subject = true` gives everybody a role: leave out `groups` and \
                           `default`";
            problems.add(&span, message);
            None
        }
        (Some(false) | None, false) if !roles.is_empty() => {
            Some(RoleMapping::ByGroup { roles, default })
        }
        (Some(false) | None, _) => {
            let message = "`role` is a role's name, { groups = { … } } or { subject = true }";
            problems.add(&span, message);
            None
        }
    }
}

fn role_name(role: Placed<String>, problems: &mut Problems) -> Option<String> {
    let name = &role.value;
    let message = if name.is_empty() {
        "a role has a name".to_owned()
    } else if name.len() > ROLE_BYTES_MAX {
        format!("a role's name has {ROLE_BYTES_MAX} bytes at most")
    } else if NOT_ROLES.contains(&name.as_str()) || name.contains('\0') {
        format!("PostgreSQL knows no role called `{}`", name.escape_debug())
    } else {
        return Some(role.value);
    };
    problems.add(&role.span, message);
    None
}

fn told_by(setting: &Placed<String>, problems: &mut Problems) -> Option<TellSubject> {
    if setting.value == "application_name" {
        return Some(TellSubject::ApplicationName);
    }
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let is_custom =
        setting.value.split_once('.').is_some_and(|(class, name)| is_word(class) && is_word(name));
    if !is_custom || setting.value.len() > ROLE_BYTES_MAX {
        let message = format!(
            "`{}` is neither \"application_name\" nor a setting of your own such as \
             \"portcullis.subject\"",
            setting.value
        );
        problems.add(&setting.span, message);
        return None;
    }
    Some(TellSubject::Setting(setting.value.clone()))
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
