//! `[[issuer]]`: whose tokens prove who somebody is.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_policy::PrincipalKind;

use super::secret::Secret;
use super::table::{Placed, Problems, Table, nearest};
use super::values::{self, Context, Names};

/// Signatures that a public key verifies. Those made with a shared secret are not offered:
/// whoever could check one could make one.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const ALGORITHM_DEFAULT: &str = "RS256";
const CLOCK_SKEW_SECONDS_MAX: u64 = 300;

/// An OpenID provider.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What login rules call it.
    pub name: String,
    /// Exactly as its tokens have it in `iss`.
    pub url: String,
    /// At least one.
    pub audiences: Vec<String>,
    /// Names as in a token's `alg`; at least one, all of them asymmetric.
    pub algorithms: Vec<String>,
    /// Clients whose tokens are taken; `None` for what OpenID Connect says of `azp`.
    pub authorized_parties: Option<Vec<String>>,
    pub subject_claim: String,
    /// Put before each subject, so that nobody of one issuer is taken for somebody of another.
    pub subject_prefix: String,
    /// The startup user must be what this claim says.
    pub user_claim: String,
    pub groups_claim: String,
    /// First match; none: `kind`.
    pub kinds: Vec<KindRule>,
    pub kind: PrincipalKind,
    /// `None`: as `act` says.
    pub on_behalf_of_claim: Option<String>,
    /// Claims that policies see.
    pub claims: Vec<String>,
    pub clock_skew: Duration,
    /// Certificates to trust in place of the system's.
    pub root_certificates: Option<PathBuf>,
    /// What the provider knows the proxy as; for browser logins.
    pub client_id: Option<String>,
    /// Never without `client_id`.
    pub client_secret: Option<Secret>,
    /// What browser logins ask for.
    pub scopes: Vec<String>,
    /// How often the provider is asked whether a login still holds; `None` for never.
    pub recheck: Option<Duration>,
    /// Databases its people may name; `None` for all.
    pub databases: Option<Vec<String>>,
}

/// What a claim says of the sort of caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRule {
    pub claim: String,
    pub value: String,
    pub kind: PrincipalKind,
}

/// The issuers; one that is wrong keeps its name, so that others may refer to it.
pub(super) struct Issuers {
    pub(super) read: Vec<IssuerConfig>,
    pub(super) names: Vec<String>,
}

impl Issuers {
    /// The issuer that `name` names. One that is not there is a problem; one that is wrong
    /// has been noted already.
    pub(super) fn named(
        &self,
        name: &Placed<String>,
        problems: &mut Problems,
    ) -> Option<&IssuerConfig> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        values::check_known("issuer", [name], &names, problems);
        self.read.iter().find(|issuer| issuer.name == name.value)
    }
}

pub(super) fn issuers(
    root: &mut Table<'_, '_>,
    databases: &[&str],
    context: &Context<'_>,
    problems: &mut Problems,
) -> Issuers {
    let mut issuers = Issuers { read: Vec::new(), names: Vec::new() };
    let mut names = Names::new("an issuer");
    for mut table in root.tables("issuer", problems) {
        let name = table.required("name", problems);
        if let Some(name) = &name {
            names.enter(name, problems);
            issuers.names.push(name.value.clone());
        }
        let name = name.map(|name| name.value).unwrap_or_default();
        issuers.read.extend(issuer(table, name, databases, context, problems));
    }
    issuers
}

fn issuer(
    mut table: Table<'_, '_>,
    name: String,
    databases: &[&str],
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<IssuerConfig> {
    let url = table.required("url", problems).and_then(|url| issuer_url(url, problems));
    let audiences = audiences(&mut table, problems);
    let algorithms = algorithms(&mut table, problems);
    let parties = table.strings("authorized_parties", problems);
    let mut claim = |key, default: &str| claim(&mut table, key, default, problems);
    let subject_claim = claim("subject_claim", "sub");
    let user_claim = claim("user_claim", "sub");
    let groups_claim = claim("groups_claim", "groups");
    let subject_prefix = table.string("subject_prefix", problems);
    let on_behalf_of_claim = table.string("on_behalf_of_claim", problems);
    let claims = table.strings("claims", problems).unwrap_or_default();
    let kind = kind(&mut table, problems);
    let kinds = kinds(&mut table, problems);
    let skew = table.number("clock_skew_seconds", 0..=CLOCK_SKEW_SECONDS_MAX, 60, problems);
    let roots = table.string("root_certificates", problems);
    let client_id = table.string("client_id", problems);
    let secret_keys = ["client_secret_file", "client_secret_env"];
    let client_secret = context.secret(&mut table, secret_keys, problems);
    if client_secret.is_some() && client_id.is_none() {
        problems.add(&table.span, "a client secret needs `client_id`");
    }
    let scopes = scopes(&mut table, problems);
    let recheck = match table.number("recheck_seconds", 0..=86_400, 0, problems) {
        0 => None,
        seconds => Some(Duration::from_secs(seconds)),
    };
    let allowed = table.strings("databases", problems);
    values::check_known("database", allowed.iter().flatten(), databases, problems);
    table.finish(problems);
    Some(IssuerConfig {
        name,
        url: url?,
        audiences,
        algorithms,
        authorized_parties: parties.map(values::plain),
        subject_claim,
        subject_prefix: subject_prefix.map(|prefix| prefix.value).unwrap_or_default(),
        user_claim,
        groups_claim,
        kinds,
        kind,
        on_behalf_of_claim: on_behalf_of_claim.map(|claim| claim.value),
        claims: values::plain(claims),
        clock_skew: Duration::from_secs(skew),
        root_certificates: roots.and_then(|file| context.file(&file, problems)),
        client_id: client_id.map(|id| id.value),
        client_secret,
        scopes,
        recheck,
        databases: allowed.map(values::plain),
    })
}

/// Kept as written, since tokens are compared with it byte by byte.
fn issuer_url(url: Placed<String>, problems: &mut Problems) -> Option<String> {
    let read = values::url(&url, problems)?;
    if read.value.query().is_some() {
        problems.add(&url.span, "an issuer's URL has no `?`");
        return None;
    }
    Some(url.value)
}

fn audiences(table: &mut Table<'_, '_>, problems: &mut Problems) -> Vec<String> {
    let audiences = table.strings("audiences", problems);
    match &audiences {
        None => table.missing("audiences", problems),
        Some(audiences) if audiences.is_empty() => {
            problems.add(&table.span, "`audiences` is empty: no token would be for the proxy");
        }
        Some(_) => {}
    }
    values::plain(audiences.unwrap_or_default())
}

fn algorithms(table: &mut Table<'_, '_>, problems: &mut Problems) -> Vec<String> {
    let Some(written) = table.strings("algorithms", problems) else {
        return vec![ALGORITHM_DEFAULT.to_owned()];
    };
    if written.is_empty() {
        problems.add(&table.span, "`algorithms` is empty: no token could be verified");
    }
    for algorithm in written.iter().filter(|it| !ALGORITHMS.contains(&it.value.as_str())) {
        let word = &algorithm.value;
        let message = if word.to_ascii_uppercase().starts_with("HS") {
            format!("`{word}` is made with a shared secret: whoever checks a token could make one")
        } else if word.eq_ignore_ascii_case("none") {
            "a token without a signature proves nothing".to_owned()
        } else {
            let near = nearest(word, ALGORITHMS.into_iter());
            format!("`{word}` is not an algorithm: {}{near}", ALGORITHMS.join(", "))
        };
        problems.add(&algorithm.span, message);
    }
    values::plain(written)
}

fn claim(
    table: &mut Table<'_, '_>,
    key: &'static str,
    default: &str,
    problems: &mut Problems,
) -> String {
    let written = table.string(key, problems);
    if let Some(empty) = written.as_ref().filter(|written| written.value.is_empty()) {
        problems.add(&empty.span, format!("`{key}` is empty"));
    }
    written.map_or_else(|| default.to_owned(), |written| written.value)
}

/// `kind`, as users and issuers have it.
pub(super) fn kind(table: &mut Table<'_, '_>, problems: &mut Problems) -> PrincipalKind {
    let kinds = [PrincipalKind::Human, PrincipalKind::Service, PrincipalKind::Agent]
        .map(|kind| (kind.as_str(), kind));
    table.word("kind", &kinds, PrincipalKind::Human, problems)
}

fn kinds(table: &mut Table<'_, '_>, problems: &mut Problems) -> Vec<KindRule> {
    let mut rules = Vec::new();
    for mut table in table.tables("kinds", problems) {
        let claim = table.required("claim", problems);
        let value = table.required("value", problems);
        if table.required("kind", problems).is_none() {
            continue;
        }
        let kind = kind(&mut table, problems);
        table.finish(problems);
        if let (Some(claim), Some(value)) = (claim, value) {
            rules.push(KindRule { claim: claim.value, value: value.value, kind });
        }
    }
    rules
}

/// Without `openid` the provider would not say who it was that logged in.
fn scopes(table: &mut Table<'_, '_>, problems: &mut Problems) -> Vec<String> {
    let Some(written) = table.strings("scopes", problems) else {
        return vec!["openid".to_owned()];
    };
    for scope in &written {
        if scope.value.is_empty() || scope.value.contains([' ', '"', '\\']) {
            problems.add(&scope.span, format!("`{}` is not a scope: list each alone", scope.value));
        }
    }
    if !written.iter().any(|scope| scope.value == "openid") {
        problems.add(&table.span, "`scopes` needs `openid`, or logins would not say who it was");
    }
    values::plain(written)
}
