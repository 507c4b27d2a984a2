//! What a token's claims say, and whom they make.
//!
//! Who acts, when a token speaks of two: with `act` (RFC 8693, section 4.1) the actor holds
//! the token, so the actor is the principal, an agent, and the token's subject is the human it
//! acts for. Actors inside of `act` came before and count for nothing. `may_act` says who may
//! become the actor of such a token; whoever holds it may be that party already, and cannot
//! be told from the subject, so the more careful of both is assumed: the agent. The groups are
//! the token's in any case: what the human delegated.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_policy::PrincipalKind;
use serde_json::{Map, Value};

use crate::issuer_config::IssuerConfig;
use crate::jwt::{Expected, Verified};
use crate::proven::{Basis, Proven};
use crate::token::{Refusal, TokenBasis};

/// A subject, a name or a group is no longer than this. Distinguished names of groups are the
/// longest honest ones.
const TEXT_BYTES_MAX: usize = 512;
const CLAIM_BYTES_MAX: usize = 4096;
const GROUPS_MAX: usize = 512;
const NAMES_MAX: usize = 64;

pub(crate) type Claims = Map<String, Value>;

/// Whom a token must have been issued to.
pub(crate) enum Party<'p> {
    /// An access token: one of the configured clients.
    Configured(&'p IssuerConfig),
    /// An identity token: us.
    Ourselves(&'p str),
}

/// How long a token is good, by its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// With the clock skew that is granted.
    pub until: SystemTime,
}

/// Checks what a library leaves to its caller.
pub(crate) fn check(
    verified: &Verified,
    expected: &Expected<'_>,
    party: &Party<'_>,
    now: SystemTime,
) -> Result<Lifetime, Refusal> {
    let claims = &verified.claims;
    // A list of issuers is no issuer.
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Refusal::Issuer);
    }
    let audiences = texts(claims.get("aud").ok_or(Refusal::Audience)?, GROUPS_MAX);
    let audiences = audiences.ok_or(Refusal::Audience)?;
    if !audiences.iter().any(|audience| expected.audiences.contains(audience)) {
        return Err(Refusal::Audience);
    }
    check_party(claims, &audiences, party)?;
    // RFC 7800: without the proof that belongs to it, such a token is worth nothing.
    if claims.contains_key("cnf") {
        return Err(Refusal::SenderConstrained);
    }
    // Tokens that tell of events (RFC 8417), logouts among them, log nobody in.
    if claims.contains_key("events") {
        return Err(Refusal::Kind);
    }
    check_times(claims, Duration::from_secs(expected.clock_skew_seconds), now)
}

fn check_times(claims: &Claims, skew: Duration, now: SystemTime) -> Result<Lifetime, Refusal> {
    let latest = now.checked_add(skew).ok_or(Refusal::NotYetValid)?;
    for claim in ["nbf", "iat"] {
        if let Some(value) = claims.get(claim)
            && date(value).is_none_or(|since| since > latest)
        {
            return Err(Refusal::NotYetValid);
        }
    }
    let expires = claims.get("exp").and_then(date).ok_or(Refusal::Expired)?;
    let until = expires.checked_add(skew).ok_or(Refusal::Expired)?;
    if now >= until {
        return Err(Refusal::Expired);
    }
    Ok(Lifetime { until })
}

/// OpenID Connect Core, section 3.1.3.7, steps 4 and 5; for access tokens RFC 9068 names the
/// same party `client_id`.
fn check_party(claims: &Claims, audiences: &[String], party: &Party<'_>) -> Result<(), Refusal> {
    let azp = match claims.get("azp") {
        None => None,
        Some(azp) => Some(text(azp).ok_or(Refusal::AuthorizedParty)?),
    };
    let (found, allowed) = match party {
        Party::Ourselves(client_id) => (azp, vec![*client_id]),
        Party::Configured(config) => {
            let named = config.authorized_parties.iter().map(String::as_str);
            let ourselves = config.audiences.iter().chain(&config.client_id).map(String::as_str);
            if config.authorized_parties.is_empty() {
                (azp, ourselves.collect())
            } else {
                (azp.or_else(|| claims.get("client_id").and_then(text)), named.collect())
            }
        }
    };
    let must_name = match party {
        Party::Ourselves(_) => audiences.len() > 1,
        Party::Configured(config) => !config.authorized_parties.is_empty() || audiences.len() > 1,
    };
    match found {
        Some(found) if allowed.contains(&found) => Ok(()),
        None if !must_name => Ok(()),
        Some(_) | None => Err(Refusal::AuthorizedParty),
    }
}

/// Whom checked claims prove.
pub(crate) fn prove(
    config: &IssuerConfig,
    claims: &Claims,
    proof: &'static str,
    basis: TokenBasis,
    expires_at: SystemTime,
) -> Result<Proven, Refusal> {
    let who = who(config, claims)?;
    let subject = |subject: &str| format!("{}{subject}", config.subject_prefix);
    Ok(Proven {
        subject: subject(who.subject),
        kind: who.kind,
        groups: groups(config, claims)?,
        proof,
        on_behalf_of: who.on_behalf_of.map(subject),
        claims: carried(config, claims),
        names: who.names,
        databases: config.databases.clone(),
        expires_at: Some(expires_at),
        basis: Basis::Token(basis),
    })
}

struct Who<'c> {
    subject: &'c str,
    kind: PrincipalKind,
    on_behalf_of: Option<&'c str>,
    names: Vec<String>,
}

fn who<'c>(config: &IssuerConfig, claims: &'c Claims) -> Result<Who<'c>, Refusal> {
    let subject = claim(claims, &config.subject_claim).and_then(text).ok_or(Refusal::Subject)?;
    if let Some(actor) = actor(claims)? {
        return acting(config, actor, subject);
    }
    let human = match &config.on_behalf_of_claim {
        None => None,
        Some(name) => match claim(claims, name) {
            None => None,
            Some(human) => Some(text(human).ok_or(Refusal::Delegation)?),
        },
    };
    // Whoever acts for somebody is an agent, whatever else is said of it.
    let kind = if human.is_some() { PrincipalKind::Agent } else { kind(config, claims) };
    let names = claim(claims, &config.user_claim).and_then(|name| texts(name, NAMES_MAX));
    let names = names.filter(|names| !names.is_empty()).ok_or(Refusal::UserName)?;
    Ok(Who { subject, kind, on_behalf_of: human, names })
}

/// The party that acts, or may, in place of the token's subject.
fn actor(claims: &Claims) -> Result<Option<&Claims>, Refusal> {
    let Some(actor) = claims.get("act").or_else(|| claims.get("may_act")) else {
        return Ok(None);
    };
    let actor = actor.as_object().ok_or(Refusal::Delegation)?;
    // Subjects of other issuers cannot be told from ours.
    match actor.get("iss") {
        None => Ok(Some(actor)),
        Some(issuer) if Some(issuer) == claims.get("iss") => Ok(Some(actor)),
        Some(_) => Err(Refusal::Delegation),
    }
}

fn acting<'c>(
    config: &IssuerConfig,
    actor: &'c Claims,
    human: &'c str,
) -> Result<Who<'c>, Refusal> {
    let subject = claim(actor, &config.subject_claim).and_then(text);
    let subject = subject.ok_or(Refusal::Delegation)?;
    // It comes under its own name, never under that of the human.
    let names = match claim(actor, &config.user_claim) {
        None => vec![subject.to_owned()],
        Some(names) => texts(names, NAMES_MAX).ok_or(Refusal::Delegation)?,
    };
    Ok(Who { subject, kind: PrincipalKind::Agent, on_behalf_of: Some(human), names })
}

fn kind(config: &IssuerConfig, claims: &Claims) -> PrincipalKind {
    let has = |value: &Value, wanted: &str| match value {
        Value::String(text) => text == wanted,
        Value::Bool(true) => wanted == "true",
        Value::Bool(false) => wanted == "false",
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    };
    let fits = |found: &Value, wanted: &str| match found {
        Value::Array(values) => values.iter().any(|value| has(value, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            has(found, wanted)
        }
    };
    let rule = config
        .kinds
        .iter()
        .find(|rule| claim(claims, &rule.claim).is_some_and(|found| fits(found, &rule.value)));
    rule.map_or(PrincipalKind::Human, |rule| rule.kind)
}

/// The groups in `claims`; none where the claim is missing.
pub(crate) fn groups(config: &IssuerConfig, claims: &Claims) -> Result<Vec<String>, Refusal> {
    // OpenID Connect Core, section 5.6.2: claims that are to be fetched elsewhere. Somebody in
    // very many groups is not somebody in none.
    let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
    if elsewhere.is_some_and(|names| names.contains_key(&config.groups_claim)) {
        return Err(Refusal::Groups);
    }
    match claim(claims, &config.groups_claim) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(groups) => texts(groups, GROUPS_MAX).ok_or(Refusal::Groups),
    }
}

fn carried(config: &IssuerConfig, claims: &Claims) -> Vec<(String, String)> {
    let written = |name: &String| {
        let value = match claim(claims, name)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                value.to_string()
            }
        };
        (value.len() <= CLAIM_BYTES_MAX).then(|| (name.clone(), value))
    };
    config.claims.iter().filter_map(written).collect()
}

/// Adds to `claims` what `more` has of those that are mapped and missing. Nothing that says
/// whom a token is for, how long, or who acts can come this way.
pub(crate) fn complete(config: &IssuerConfig, claims: &mut Claims, more: Claims) {
    let mapped: Vec<&str> = [&config.subject_claim, &config.user_claim, &config.groups_claim]
        .into_iter()
        .chain(config.kinds.iter().map(|rule| &rule.claim))
        .chain(&config.claims)
        .map(|path| outermost(path))
        .collect();
    for (name, value) in more {
        let wanted = mapped.contains(&name.as_str()) || name == "_claim_names";
        if wanted && claims.get(&name).is_none_or(Value::is_null) {
            claims.insert(name, value);
        }
    }
}

/// The member of the claims that `path` begins at.
fn outermost(path: &str) -> &str {
    let inner = path.strip_prefix('/').map(|rest| rest.split('/').next().unwrap_or(rest));
    inner.unwrap_or(path)
}

fn claim<'c>(claims: &'c Claims, path: &str) -> Option<&'c Value> {
    if !path.starts_with('/') {
        return claims.get(path);
    }
    let unescaped = |name: &str| name.replace("~1", "/").replace("~0", "~");
    let mut names = path.split('/').skip(1);
    let outer = claims.get(&unescaped(names.next()?))?;
    names.try_fold(outer, |value, name| value.as_object()?.get(&unescaped(name)))
}

/// A text that can be shown and compared: not empty, not long, without control characters.
fn text(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    (fits && !text.chars().any(char::is_control)).then_some(text)
}

/// One text, or a list of them.
fn texts(value: &Value, most: usize) -> Option<Vec<String>> {
    let owned = |value: &Value| text(value).map(str::to_owned);
    match value {
        Value::Array(values) if values.len() <= most => values.iter().map(owned).collect(),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Some(vec![owned(value)?]),
    }
}

/// A NumericDate of RFC 7519: seconds, perhaps with a fraction.
fn date(value: &Value) -> Option<SystemTime> {
    let seconds = match value.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok()?,
    };
    UNIX_EPOCH.checked_add(seconds)
}
