//! `[admin]`: the API for operators and the pages for people; `[approvals]`: how held
//! statements are waited for, and who is told.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use portcullis_admin::Roles;
use reqwest::Url;
use toml::de::DeTable;

use super::issuer::Issuers;
use super::secret::{self, Secret};
use super::table::{Placed, Problems, Table, nearest};
use super::user::UserConfig;
use super::values::{self, Context, TlsFiles};

const ADDRESS_DEFAULT: &str = "127.0.0.1:6480";

/// The admin API.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub address: SocketAddr,
    /// Never `None` where the address is not this machine's own.
    pub tls: Option<TlsFiles>,
    /// Where browsers reach it; a scheme, a host and perhaps a port, nothing else.
    pub public_url: Option<Url>,
    /// Who may do what, by group.
    pub roles: Roles,
    /// Whom people log in with in a browser; `None`: as local users.
    pub issuer: Option<String>,
}

/// How held statements are waited for.
#[derive(Clone, Debug)]
pub struct ApprovalsConfig {
    /// Statements that may wait at once.
    pub waiting_max: usize,
    /// Whatever a policy asks for.
    pub wait_max: Duration,
    /// Inside a transaction, whose locks others wait for.
    pub in_transaction_max: Duration,
    pub webhooks: Vec<WebhookConfig>,
}

/// Who is told when a statement waits.
#[derive(Clone)]
pub struct WebhookConfig {
    /// With chat systems, whoever knows it may write there.
    pub url: Url,
    pub format: WebhookFormat,
    /// Signs what is sent. Only the generic format has one.
    pub secret: Option<Secret>,
}

/// What a message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    Generic,
    Slack,
    Teams,
}

impl WebhookFormat {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookFormat::Generic => "generic",
            WebhookFormat::Slack => "slack",
            WebhookFormat::Teams => "teams",
        }
    }
}

impl WebhookConfig {
    /// Scheme and host, which are no secret.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// Without the URL's path, which is a secret with chat systems.
impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("origin", &self.origin())
            .field("format", &self.format)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

pub(super) fn admin(
    root: &mut Table<'_, '_>,
    issuers: &Issuers,
    users: &[UserConfig],
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<AdminConfig> {
    let mut table = root.table("admin", problems)?;
    let address = values::address(&mut table, ADDRESS_DEFAULT, problems);
    let tls = table.table("tls", problems);
    let tls_wanted = tls.is_some();
    let tls = tls.and_then(|mut tls| {
        let files = TlsFiles::read(&mut tls, context, problems);
        tls.finish(problems);
        files
    });
    let public_url = table.string("public_url", problems);
    let public_url = public_url.and_then(|url| origin(&url, tls_wanted, problems));
    let roles = table.table("roles", problems);
    let groups: Vec<&str> =
        users.iter().flat_map(|user| &user.groups).map(String::as_str).collect();
    // Issuers know groups of their own.
    let known_groups = issuers.names.is_empty().then_some(groups.as_slice());
    let roles = roles.map(|roles| read_roles(roles, known_groups, problems)).unwrap_or_default();
    let issuer = table.string("issuer", problems);
    if let Some(issuer) = &issuer {
        check_issuer(issuer, issuers, public_url.is_some(), problems);
    }
    table.finish(problems);
    let address = address?;
    if !address.value.ip().is_loopback() && !tls_wanted {
        let message = "passwords would cross the network in plaintext: set `tls` or a loopback \
                       address";
        problems.add(&address.span, message);
    }
    Some(AdminConfig {
        address: address.value,
        tls,
        public_url,
        roles,
        issuer: issuer.map(|issuer| issuer.value),
    })
}

fn origin(text: &Placed<String>, has_tls: bool, problems: &mut Problems) -> Option<Url> {
    let url = values::url(text, problems)?.value;
    if url.path() != "/" || url.query().is_some() {
        problems.add(&text.span, "`public_url` is a scheme and a host: https://host:port");
        return None;
    }
    if has_tls && url.scheme() == "http" {
        problems.add(&text.span, "the API has `tls`: `public_url` begins with https://");
        return None;
    }
    Some(url)
}

fn check_issuer(
    issuer: &Placed<String>,
    issuers: &Issuers,
    has_pages: bool,
    problems: &mut Problems,
) {
    let found = issuers.named(issuer, problems);
    if found.is_some_and(|found| found.client_id.is_none()) {
        let message = format!("logins there need `client_id` in issuer `{}`", issuer.value);
        problems.add(&issuer.span, message);
    }
    if !has_pages {
        let message = "logins there need `public_url`: the provider sends browsers back to it";
        problems.add(&issuer.span, message);
    }
}

fn read_roles(
    mut table: Table<'_, '_>,
    known_groups: Option<&[&str]>,
    problems: &mut Problems,
) -> Roles {
    let mut groups = |key| {
        let groups = table.strings(key, problems).unwrap_or_default();
        for group in &groups {
            check_group(group, known_groups, problems);
        }
        values::plain(groups)
    };
    let roles = Roles {
        viewer: groups("viewer"),
        operator: groups("operator"),
        approver: groups("approver"),
        administrator: groups("administrator"),
    };
    table.finish(problems);
    roles
}

/// Warns of a group that nobody is in, where all groups are known.
fn check_group(group: &Placed<String>, known: Option<&[&str]>, problems: &mut Problems) {
    let Some(known) = known.filter(|known| !known.contains(&group.value.as_str())) else { return };
    let near = nearest(&group.value, known.iter().copied());
    problems.warn(&group.span, format!("no user is in the group `{}`{near}", group.value));
}

pub(super) fn approvals(
    root: &mut Table<'_, '_>,
    admin: Option<&AdminConfig>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> ApprovalsConfig {
    let empty = DeTable::new();
    let written = root.table("approvals", problems);
    if let (Some(table), None) = (&written, admin) {
        problems.warn(&table.span, "without [admin] nobody can release what waits");
    }
    let mut table = written.unwrap_or_else(|| Table::new("[approvals]", &empty, 0..0));
    let waiting_max = table.number("waiting_max", 1..=100_000, 1000, problems);
    let wait = table.number("wait_seconds_max", 1..=604_800, 3600, problems);
    let in_transaction = table.number("in_transaction_seconds_max", 0..=86_400, 300, problems);
    let mut webhooks = Vec::new();
    for table in table.tables("webhook", problems) {
        if admin.is_some_and(|admin| admin.public_url.is_none()) {
            let message = "messages will have no links: set [admin] `public_url`";
            problems.warn(&table.span, message);
        }
        webhooks.extend(webhook(table, context, problems));
    }
    table.finish(problems);
    ApprovalsConfig {
        waiting_max: usize::try_from(waiting_max).unwrap_or(usize::MAX),
        wait_max: Duration::from_secs(wait),
        in_transaction_max: Duration::from_secs(in_transaction.min(wait)),
        webhooks,
    }
}

fn webhook(
    mut table: Table<'_, '_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<WebhookConfig> {
    let url = table.string("url", problems);
    let file = table.string("url_file", problems);
    let formats = [WebhookFormat::Generic, WebhookFormat::Slack, WebhookFormat::Teams]
        .map(|format| (format.as_str(), format));
    let format = table.word("format", &formats, WebhookFormat::Generic, problems);
    let secret = table.string("secret_file", problems);
    let url = match (url, file) {
        (Some(url), None) => values::url(&url, problems),
        (None, Some(file)) => {
            let text = secret::read_text(&context.base, &file, problems);
            text.and_then(|value| values::url(&Placed { value, span: file.span }, problems))
        }
        (Some(_), Some(file)) => {
            problems.add(&file.span, "`url` is given already: keep one of them");
            None
        }
        (None, None) => {
            table.missing("url` or `url_file", problems);
            None
        }
    };
    match (format, &secret) {
        (WebhookFormat::Generic, None) => {
            let message = "its receiver cannot tell who sent a message: set `secret_file`";
            problems.warn(&table.span, message);
        }
        (WebhookFormat::Slack | WebhookFormat::Teams, Some(secret)) => {
            let message = format!("`{}` looks at no signature: leave it out", format.as_str());
            problems.add(&secret.span, message);
        }
        (WebhookFormat::Generic, Some(_)) | (WebhookFormat::Slack | WebhookFormat::Teams, None) => {
        }
    }
    table.finish(problems);
    let secret = match secret {
        Some(file) => Some(secret::read_key(&context.base, &file, problems)?),
        None => None,
    };
    Some(WebhookConfig { url: url?.value, format, secret })
}
