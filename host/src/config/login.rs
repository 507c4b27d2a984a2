//! `[[login]]`: how whoever connects is asked to prove who they are; `[browser_login]`,
//! `[credentials]`: what some of those ways need.

use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::issuer::Issuers;
use super::listen::Listen;
use super::table::{Placed, Problems, Table};
use super::values;

/// Who is asked in which way: what a client says before any proof, and the answer. Of several
/// rules the first that holds counts. An empty list, like `None`, holds for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRule {
    pub method: LoginMethod,
    /// Names of listeners.
    pub listeners: Vec<String>,
    /// Names, or patterns with `*`.
    pub databases: Vec<String>,
    /// Startup users, or patterns with `*`.
    pub users: Vec<String>,
    pub addresses: Vec<IpNet>,
    /// With TLS, or without.
    pub tls: Option<bool>,
}

/// A way of proving who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// A password of the configuration's users, or a short-lived one.
    Scram,
    /// A token in the password's place.
    Token {
        issuer: String,
    },
    /// A token, as libpq 18 sends it.
    OauthBearer {
        issuer: String,
    },
    /// A page that the person opens.
    Browser {
        issuer: String,
    },
    Certificate,
    Refuse,
}

impl LoginMethod {
    /// The word of the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            LoginMethod::Scram => "scram",
            LoginMethod::Token { .. } => "token",
            LoginMethod::OauthBearer { .. } => "oauthbearer",
            LoginMethod::Browser { .. } => "browser",
            LoginMethod::Certificate => "certificate",
            LoginMethod::Refuse => "refuse",
        }
    }

    pub fn issuer(&self) -> Option<&str> {
        match self {
            LoginMethod::Token { issuer }
            | LoginMethod::OauthBearer { issuer }
            | LoginMethod::Browser { issuer } => Some(issuer),
            LoginMethod::Scram | LoginMethod::Certificate | LoginMethod::Refuse => None,
        }
    }

    /// Why it cannot be asked for in plaintext.
    fn needs_tls(&self) -> Option<&'static str> {
        match self {
            LoginMethod::Token { .. } | LoginMethod::OauthBearer { .. } => {
                Some("tokens travel over TLS only")
            }
            LoginMethod::Certificate => Some("certificates are shown over TLS only"),
            LoginMethod::Scram | LoginMethod::Browser { .. } | LoginMethod::Refuse => None,
        }
    }
}

/// How people who log in with a browser are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserLogin {
    pub wait_max: Duration,
    /// Sessions that may wait at once.
    pub waiting_max: usize,
}

/// How long a short-lived password may live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub lifetime_max: Duration,
}

/// What login rules refer to.
pub(super) struct Known<'k> {
    pub(super) listeners: &'k [Listen],
    pub(super) databases: &'k [&'k str],
    pub(super) issuers: &'k Issuers,
    /// Is there an address for people's browsers?
    pub(super) has_pages: bool,
    /// Has a user certificates?
    pub(super) has_certificates: bool,
}

pub(super) fn logins(
    root: &mut Table<'_, '_>,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Vec<LoginRule> {
    let tables = root.tables("login", problems);
    let mut rules = Vec::new();
    let mut is_decided = false;
    for table in tables {
        let span = table.span.clone();
        if is_decided {
            problems.warn(&span, "never reached: a rule above holds for everybody");
        }
        if let Some(rule) = rule(table, known, problems) {
            is_decided |= rule.holds_for_all();
            rules.push(rule);
        }
    }
    let uses = |method| rules.iter().any(|rule: &LoginRule| rule.method == method);
    if known.has_certificates && !uses(LoginMethod::Certificate) {
        problems.warn(&(0..0), "users have certificates, but no [[login]] asks for one");
    }
    rules
}

impl LoginRule {
    fn holds_for_all(&self) -> bool {
        let lists = [&self.listeners, &self.databases, &self.users];
        let every = |list: &&Vec<String>| list.is_empty() || list.iter().any(|name| name == "*");
        lists.iter().all(every) && self.addresses.is_empty() && self.tls.is_none() && {
            // Over plaintext, what needs TLS holds for nobody.
            self.method.needs_tls().is_none()
        }
    }
}

fn rule(mut table: Table<'_, '_>, known: &Known<'_>, problems: &mut Problems) -> Option<LoginRule> {
    let span = table.span.clone();
    let method = method(&mut table, known, problems);
    let listeners = some(table.strings("listeners", problems), "listeners", problems, &span);
    let databases = some(table.strings("databases", problems), "databases", problems, &span);
    let users = some(table.strings("users", problems), "users", problems, &span);
    let addresses = values::networks(&mut table, "addresses", problems);
    let addresses = some(addresses, "addresses", problems, &span);
    let tls = table.boolean("tls", problems);
    table.finish(problems);
    let names: Vec<&str> = known.listeners.iter().map(|listen| listen.name.as_str()).collect();
    values::check_known("listener", &listeners, &names, problems);
    let is_pattern = |name: &&Placed<String>| name.value.contains('*');
    let exact = databases.iter().filter(|name| !is_pattern(name));
    values::check_known("database", exact, known.databases, problems);
    let rule = LoginRule {
        method: method?,
        listeners: values::plain(listeners),
        databases: values::plain(databases),
        users: values::plain(users),
        addresses: addresses.into_iter().map(|network| network.value).collect(),
        tls,
    };
    check_transport(&rule, known, &span, problems);
    Some(rule)
}

/// A list that is there names something: whether an empty one means all or none, two people
/// would not agree.
fn some<T>(
    list: Option<Vec<Placed<T>>>,
    key: &str,
    problems: &mut Problems,
    span: &Range<usize>,
) -> Vec<Placed<T>> {
    if list.as_ref().is_some_and(Vec::is_empty) {
        problems.add(span, format!("`{key}` is empty: leave it out to mean all"));
    }
    list.unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Scram,
    Token,
    OauthBearer,
    Browser,
    Certificate,
    Refuse,
}

const WORDS: [(&str, Word); 6] = [
    ("scram", Word::Scram),
    ("token", Word::Token),
    ("oauthbearer", Word::OauthBearer),
    ("browser", Word::Browser),
    ("certificate", Word::Certificate),
    ("refuse", Word::Refuse),
];

fn method(
    table: &mut Table<'_, '_>,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<LoginMethod> {
    let issuer = table.string("issuer", problems);
    table.required("method", problems)?;
    let word = table.word("method", &WORDS, Word::Refuse, problems);
    let issuer = match (word, issuer) {
        (Word::Scram | Word::Certificate | Word::Refuse, Some(issuer)) => {
            problems.add(&issuer.span, "this method asks no issuer: leave out `issuer`");
            return None;
        }
        (Word::Scram, None) => return Some(LoginMethod::Scram),
        (Word::Certificate, None) => return Some(LoginMethod::Certificate),
        (Word::Refuse, None) => return Some(LoginMethod::Refuse),
        (Word::Token | Word::OauthBearer | Word::Browser, None) => {
            table.missing("issuer", problems);
            return None;
        }
        (Word::Token | Word::OauthBearer | Word::Browser, Some(issuer)) => issuer,
    };
    let found = known.issuers.named(&issuer, problems);
    if word == Word::Browser {
        if found.is_some_and(|found| found.client_id.is_none()) {
            let message = format!("browser logins need `client_id` in issuer `{}`", issuer.value);
            problems.add(&issuer.span, message);
        }
        if !known.has_pages {
            let message = "browser logins need [admin] with `public_url`: there the page is";
            problems.add(&table.span, message);
        }
    }
    let issuer = issuer.value;
    match word {
        Word::Token => Some(LoginMethod::Token { issuer }),
        Word::OauthBearer => Some(LoginMethod::OauthBearer { issuer }),
        Word::Browser => Some(LoginMethod::Browser { issuer }),
        Word::Scram => Some(LoginMethod::Scram),
        Word::Certificate => Some(LoginMethod::Certificate),
        Word::Refuse => Some(LoginMethod::Refuse),
    }
}

/// Sees that clients can do what they are asked for, on one of the listeners at least.
fn check_transport(
    rule: &LoginRule,
    known: &Known<'_>,
    span: &Range<usize>,
    problems: &mut Problems,
) {
    let is_meant =
        |listen: &&Listen| rule.listeners.is_empty() || rule.listeners.contains(&listen.name);
    let meant: Vec<&Listen> = known.listeners.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return;
    }
    let has_tls = meant.iter().any(|listen| listen.tls.is_some());
    if let Some(why) = rule.method.needs_tls() {
        if rule.tls == Some(false) {
            problems.add(span, format!("{why}: leave out `tls = false`"));
            return;
        }
        if !has_tls {
            problems.add(span, format!("{why}: no listener of this rule has `tls`"));
            return;
        }
    }
    if rule.tls == Some(true) && !has_tls {
        problems.warn(span, "holds for nobody: no listener of this rule has `tls`");
    }
    let asks = meant.iter().any(|listen| listen.client_authority.is_some());
    if rule.method == LoginMethod::Certificate && !asks {
        let message = "certificates need `client_ca` in the `tls` of a listener of this rule";
        problems.add(span, message);
    }
}

pub(super) fn browser_login(root: &mut Table<'_, '_>, problems: &mut Problems) -> BrowserLogin {
    let empty = DeTable::new();
    let mut table = root
        .table("browser_login", problems)
        .unwrap_or_else(|| Table::new("[browser_login]", &empty, 0..0));
    let wait = table.number("wait_seconds_max", 10..=3600, 300, problems);
    let waiting_max = table.number("waiting_max", 1..=100_000, 100, problems);
    table.finish(problems);
    BrowserLogin {
        wait_max: Duration::from_secs(wait),
        waiting_max: usize::try_from(waiting_max).unwrap_or(usize::MAX),
    }
}

pub(super) fn credentials(root: &mut Table<'_, '_>, problems: &mut Problems) -> Credentials {
    let empty = DeTable::new();
    let mut table = root
        .table("credentials", problems)
        .unwrap_or_else(|| Table::new("[credentials]", &empty, 0..0));
    // A week: what lives longer is a password.
    let minutes = table.number("lifetime_minutes_max", 1..=10_080, 720, problems);
    table.finish(problems);
    Credentials { lifetime_max: Duration::from_secs(minutes.saturating_mul(60)) }
}
