//! From the configuration to what the proxy is told: certificates read, keys derived.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_identity::UpstreamKeys;
use portcullis_masking::Keys;
use portcullis_policy::Database;
use portcullis_proxy::settings::{Audit, Endpoint, ServerTls, SslMode, UpstreamSettings};
use portcullis_proxy::{
    BrowserSettings, DatabaseSettings, Directory, Limits, ListenSettings, RoleMapping, Settings,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::{self, ClientAuthority, Config, Listen, TlsFiles};
use crate::directory::revocation_lists;

/// Everything the proxy needs.
pub fn settings(config: &Config, directory: Directory) -> Result<Settings> {
    let keys = config.keys.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_vec()));
    let public_url = config.admin.as_ref().and_then(|admin| admin.public_url.as_ref());
    let browser = public_url.map(|url| BrowserSettings {
        page: format!("{}/login/", url.as_str().trim_end_matches('/')),
        wait: config.browser_login.wait_max,
        waiting_max: config.browser_login.waiting_max,
    });
    Ok(Settings {
        listeners: config.listeners.iter().map(listener).collect::<Result<_>>()?,
        databases: config.databases.iter().map(database).collect::<Result<_>>()?,
        directory,
        browser,
        keys: Arc::new(Keys::new(keys)),
        limits: Limits {
            connections_max: config.limits.connections_max,
            frame_bytes_max: config.limits.frame_bytes_max,
            statement_bytes_max: config.limits.statement_bytes_max,
            startup: config.limits.startup,
            drain: config.limits.drain,
            names_max: config.limits.names_max,
            names_bytes_max: config.limits.names_bytes_max,
            approval_wait: config.approvals.wait_max,
            approval_wait_in_transaction: config.approvals.in_transaction_max,
        },
    })
}

fn listener(config: &Listen) -> Result<ListenSettings> {
    let authority = config.client_authority.as_ref();
    let tls = config.tls.as_ref().map(|files| client_facing_tls(files, authority)).transpose()?;
    Ok(ListenSettings {
        name: config.name.clone(),
        address: config.address,
        tls,
        tls_required: config.tls_required,
        balancers: config.proxy_protocol_from.clone(),
    })
}

fn client_facing_tls(files: &TlsFiles, authority: Option<&ClientAuthority>) -> Result<ServerTls> {
    let (mut config, certificate) = server_tls(files, authority)?;
    // What direct TLS negotiates.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(ServerTls { config: Arc::new(config), certificate })
}

/// A server's side of TLS, and the leaf certificate it serves (DER): read once, so that what
/// channels are bound to is what is served. With an authority, clients may show certificates
/// of it.
pub fn server_tls(
    files: &TlsFiles,
    authority: Option<&ClientAuthority>,
) -> Result<(ServerConfig, Vec<u8>)> {
    let chain = certificates(&files.certificate)?;
    let leaf = chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| miette!("{}: no private key: {error}", files.key.display()))?;
    let builder = match authority {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(authority) => {
            ServerConfig::builder().with_client_cert_verifier(client_verifier(authority)?)
        }
    };
    let config = builder.with_single_cert(chain, key).into_diagnostic().wrap_err_with(|| {
        format!("{} and {} do not fit", files.certificate.display(), files.key.display())
    })?;
    Ok((config, leaf))
}

/// Whoever shows a certificate must have a good one; whether one is needed is for the login
/// rules to say.
fn client_verifier(authority: &ClientAuthority) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    let path = &authority.certificates;
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| miette!("{}: {error}", path.display()))?;
    }
    let mut builder = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated();
    if let Some(path) = &authority.revoked {
        // A list too old to count is worse than a login too few.
        builder = builder.with_crls(revocation_lists(path)?).enforce_revocation_expiration();
    }
    builder.build().map_err(|error| miette!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let file = File::open(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    let read: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_reader_iter(BufReader::new(file)).collect();
    let read = read.map_err(|error| miette!("{}: {error}", path.display()))?;
    if read.is_empty() {
        return Err(miette!("{}: there is no certificate in it", path.display()));
    }
    Ok(read)
}

fn database(config: &config::DatabaseConfig) -> Result<DatabaseSettings> {
    let database = Database { name: config.name.clone(), labels: config.labels.clone() };
    let password = config.password.as_ref().map(|secret| {
        let password = String::from_utf8_lossy(secret.reveal()).into_owned();
        Arc::new(UpstreamKeys::new(password))
    });
    let upstream = &config.upstream;
    Ok(DatabaseSettings {
        database: Arc::new(database),
        upstream: UpstreamSettings {
            endpoint: match &upstream.endpoint {
                config::Endpoint::Tcp { host, port } => {
                    Endpoint::Tcp { host: host.clone(), port: *port }
                }
                config::Endpoint::Unix(path) => Endpoint::Unix(path.clone()),
            },
            user: upstream.user.clone(),
            database: upstream.database.clone(),
            password,
            ssl: match upstream.ssl {
                config::SslMode::Disable => SslMode::Disable,
                config::SslMode::Prefer => SslMode::Prefer,
                config::SslMode::Require => SslMode::Require,
                config::SslMode::VerifyCa => SslMode::VerifyCa,
                config::SslMode::VerifyFull => SslMode::VerifyFull,
            },
            roots: roots(upstream)?,
        },
        audit: match config.audit {
            config::Audit::Strict => Audit::Strict,
            config::Audit::Relaxed => Audit::Relaxed,
            config::Audit::StrictWrites => Audit::StrictWrites,
        },
        unmatched: config.unmatched,
        trusted_functions: config.trusted_functions.clone(),
        column_labels: config.column_labels.clone(),
        role: match &config.role {
            None => RoleMapping::Login,
            Some(config::RoleMapping::Fixed(role)) => RoleMapping::Static(role.clone()),
            Some(config::RoleMapping::ByGroup { roles, default }) => {
                RoleMapping::Groups { roles: roles.clone(), default: default.clone() }
            }
            Some(config::RoleMapping::Subject) => RoleMapping::Subject,
        },
        tell_subject: config.tell_subject.as_ref().map(|tell| match tell {
            config::TellSubject::ApplicationName => "application_name".to_owned(),
            config::TellSubject::Setting(name) => name.clone(),
        }),
    })
}

/// The roots that the verifying modes need: those of `sslrootcert`, or the system's.
fn roots(upstream: &config::Upstream) -> Result<Option<Arc<RootCertStore>>> {
    let verifies = matches!(upstream.ssl, config::SslMode::VerifyCa | config::SslMode::VerifyFull);
    let mut store = RootCertStore::empty();
    match &upstream.root_certificates {
        Some(path) => {
            for certificate in certificates(path)? {
                store.add(certificate).map_err(|error| miette!("{}: {error}", path.display()))?;
            }
        }
        None if verifies => {
            let system = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(system.certs);
            if added == 0 {
                return Err(miette!(
                    help = "name the authority's certificate: sslrootcert=…",
                    "this system has no root certificates to verify the upstream by"
                ));
            }
        }
        None => return Ok(None),
    }
    Ok(Some(Arc::new(store)))
}
