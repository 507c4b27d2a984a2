//! Who comes in, where, and how they prove who they are.

use crate::config::{AdminConfig, Config, IssuerConfig, Listen, LoginRule};
use crate::terminal::{line, section};

/// Listeners, logins, issuers and the admin API.
pub fn in_force(config: &Config) -> String {
    let listeners: Vec<Vec<String>> = config.listeners.iter().map(listener).collect();
    let logins: Vec<Vec<String>> = config.logins.iter().map(login).collect();
    let issuers: Vec<Vec<String>> = config.issuers.iter().map(issuer).collect();
    let told: Vec<Vec<String>> = config
        .approvals
        .webhooks
        .iter()
        .map(|webhook| vec![webhook.origin(), webhook.format.as_str().to_owned()])
        .collect();
    [
        section("listen", &listeners),
        match logins.is_empty() {
            true => line("logins", "scram for everybody"),
            false => section("logins", &logins),
        },
        section("issuers", &issuers),
        config.admin.as_ref().map_or_else(|| line("admin", "none"), admin),
        section("approvals", &told),
    ]
    .concat()
}

fn listener(listen: &Listen) -> Vec<String> {
    let tls = match (&listen.tls, listen.tls_required) {
        (None, _) => "plaintext only",
        (Some(_), false) => "TLS offered",
        (Some(_), true) => "TLS required",
    };
    let certificates = listen.client_authority.as_ref().map_or("", |_| ", asks for certificates");
    vec![format!("{}, {tls}{certificates}", listen.address), listen.name.clone()]
}

fn login(rule: &LoginRule) -> Vec<String> {
    let mut holds_for = Vec::new();
    for (what, names) in [("on", &rule.listeners), ("to", &rule.databases), ("as", &rule.users)] {
        if !names.is_empty() {
            holds_for.push(format!("{what} {}", names.join(", ")));
        }
    }
    if !rule.addresses.is_empty() {
        let networks: Vec<String> = rule.addresses.iter().map(ToString::to_string).collect();
        holds_for.push(format!("from {}", networks.join(", ")));
    }
    match rule.tls {
        Some(true) => holds_for.push("with TLS".to_owned()),
        Some(false) => holds_for.push("without TLS".to_owned()),
        None => {}
    }
    let issuer = rule.method.issuer().map(|issuer| format!(" of {issuer}")).unwrap_or_default();
    let holds_for =
        if holds_for.is_empty() { "everybody".to_owned() } else { holds_for.join(", ") };
    vec![format!("{}{issuer}", rule.method.as_str()), holds_for]
}

fn issuer(issuer: &IssuerConfig) -> Vec<String> {
    vec![issuer.name.clone(), issuer.url.clone(), issuer.algorithms.join(", ")]
}

fn admin(admin: &AdminConfig) -> String {
    let tls = if admin.tls.is_some() { "TLS" } else { "plaintext" };
    let mut rows = vec![vec![format!("{}, {tls}", admin.address)]];
    if let Some(url) = &admin.public_url {
        rows.push(vec![format!("pages at {url}")]);
    }
    let roles = &admin.roles;
    for (role, groups) in [
        ("viewer", &roles.viewer),
        ("operator", &roles.operator),
        ("approver", &roles.approver),
        ("administrator", &roles.administrator),
    ] {
        if !groups.is_empty() {
            rows.push(vec![format!("{role}: {}", groups.join(", "))]);
        }
    }
    if roles.is_empty() {
        rows.push(vec!["no group has a role".to_owned()]);
    }
    section("admin", &rows)
}
