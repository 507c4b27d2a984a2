//! Who is who, from the configuration and from what outlives it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_identity::{
    Credentials, Disabled, IssuerConfig, Issuers, KindRule, LoginRule, Method, Methods, MockSecret,
    Pattern, Revocations, Secret, Throttle, UserConfig, Users,
};
use portcullis_policy::PrincipalKind;
use portcullis_proxy::Directory;
use portcullis_store::State;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::config::{self, Config, LoginMethod};

/// What lives as long as the process, however often the configuration is read: an unknown
/// user is asked the same question before and after, and guesses go on being counted.
#[derive(Clone)]
pub struct Lasting {
    mock: MockSecret,
    pub credentials: Credentials,
    pub disabled: Disabled,
    pub throttle: Throttle,
}

impl Lasting {
    /// What the state file has.
    pub fn open(state: &State) -> Result<Lasting> {
        let credentials = Credentials::open(Box::new(state.clone()), SystemTime::now());
        let disabled = Disabled::open(Box::new(state.clone()));
        Ok(Lasting {
            mock: mock()?,
            credentials: credentials.into_diagnostic()?,
            disabled: disabled.into_diagnostic()?,
            throttle: Throttle::new(),
        })
    }

    /// Nothing yet: for a look at a configuration that touches nothing.
    pub fn empty() -> Result<Lasting> {
        Ok(Lasting {
            mock: mock()?,
            credentials: Credentials::in_memory(),
            disabled: Disabled::in_memory(),
            throttle: Throttle::new(),
        })
    }
}

fn mock() -> Result<MockSecret> {
    MockSecret::generate().ok_or_else(|| miette!("this system has no randomness"))
}

/// What logins are held against, as this configuration has it.
pub fn directory(config: &Config, lasting: &Lasting) -> Result<Directory> {
    let users = config.users.iter().map(user).collect::<Result<Vec<_>>>()?;
    let users = Users::new(users, lasting.mock.clone());
    let issuers = config.issuers.iter().map(issuer).collect::<Result<Vec<_>>>()?;
    let issuers = Issuers::start(issuers).map_err(|error| miette!("{error}"))?;
    Ok(Directory {
        users: Arc::new(users.with_credentials(lasting.credentials.clone())),
        methods: Arc::new(Methods::new(config.logins.iter().map(login_rule).collect())),
        issuers,
        revocations: Arc::new(revocations(config)?),
        disabled: lasting.disabled.clone(),
        throttle: lasting.throttle.clone(),
    })
}

/// The revocation lists of a PEM file.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let pem = fs::read(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let lists: std::result::Result<Vec<_>, _> =
        CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let lists = lists.map_err(|error| miette!("{}: {error}", path.display()))?;
    if lists.is_empty() {
        return Err(miette!("{}: there is no revocation list in it", path.display()));
    }
    Ok(lists)
}

fn revocations(config: &Config) -> Result<Revocations> {
    let mut lists = Vec::new();
    for authority in config.listeners.iter().filter_map(|listen| listen.client_authority.as_ref()) {
        if let Some(path) = &authority.revoked {
            lists.extend(revocation_lists(path)?);
        }
    }
    Revocations::read(lists.iter().map(|list| list.as_ref()))
        .map_err(|error| miette!("a revocation list cannot be read: {error}"))
}

fn user(config: &config::UserConfig) -> Result<UserConfig> {
    let names = config.certificates.iter().map(|name| {
        name.parse().map_err(|error| miette!("user {}: `{name}`: {error}", config.name))
    });
    Ok(UserConfig {
        name: config.name.clone(),
        verifier: config.verifier.clone(),
        certificates: names.collect::<Result<_>>()?,
        groups: config.groups.clone(),
        kind: config.kind,
        acts_for: config.acts_for.clone(),
        databases: config.databases.clone(),
    })
}

fn login_rule(config: &config::LoginRule) -> LoginRule {
    let patterns = |names: &[String]| names.iter().map(Pattern::new).collect();
    LoginRule {
        method: match &config.method {
            LoginMethod::Scram => Method::Scram,
            LoginMethod::Token { issuer } => Method::Token { issuer: issuer.clone() },
            LoginMethod::OauthBearer { issuer } => Method::OauthBearer { issuer: issuer.clone() },
            LoginMethod::Browser { issuer } => Method::Browser { issuer: issuer.clone() },
            LoginMethod::Certificate => Method::Certificate,
            LoginMethod::Refuse => Method::Refuse,
        },
        listeners: config.listeners.clone(),
        databases: patterns(&config.databases),
        users: patterns(&config.users),
        addresses: config.addresses.clone(),
        tls: config.tls,
    }
}

fn issuer(config: &config::IssuerConfig) -> Result<IssuerConfig> {
    let named = |error: &dyn std::fmt::Display| miette!("issuer {}: {error}", config.name);
    let algorithms = config.algorithms.iter().map(|name| name.parse().map_err(|e| named(&e)));
    let mut kinds: Vec<KindRule> = config
        .kinds
        .iter()
        .map(|rule| KindRule {
            claim: rule.claim.clone(),
            value: rule.value.clone(),
            kind: rule.kind,
        })
        .collect();
    if config.kind != PrincipalKind::Human {
        // Every token of the issuer has this claim, with this value.
        let (claim, value) = ("iss".to_owned(), config.url.clone());
        kinds.push(KindRule { claim, value, kind: config.kind });
    }
    let secret = config.client_secret.as_ref().map(|secret| {
        let text = String::from_utf8_lossy(secret.reveal()).into_owned();
        Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())
    });
    let roots = config
        .root_certificates
        .as_ref()
        .map(|path| fs::read(path).into_diagnostic().wrap_err_with(|| path.display().to_string()));
    Ok(IssuerConfig {
        algorithms: algorithms.collect::<Result<_>>()?,
        authorized_parties: config.authorized_parties.clone().unwrap_or_default(),
        clock_skew: config.clock_skew,
        subject_claim: config.subject_claim.clone(),
        subject_prefix: config.subject_prefix.clone(),
        user_claim: config.user_claim.clone(),
        groups_claim: config.groups_claim.clone(),
        kinds,
        on_behalf_of_claim: config.on_behalf_of_claim.clone(),
        claims: config.claims.clone(),
        databases: config.databases.clone(),
        client_id: config.client_id.clone(),
        client_secret: secret,
        scopes: config.scopes.clone(),
        userinfo: true,
        recheck: config.recheck,
        root_ca_pem: roots.transpose()?,
        ..IssuerConfig::new(&config.name, &config.url, config.audiences.clone())
    })
}
