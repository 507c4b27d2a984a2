//! From the configuration to what the proxy is told: certificates read, keys derived.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use portcullis_identity::{MockSecret, UpstreamKeys, UserConfig, Users};
use portcullis_masking::Keys;
use portcullis_policy::Database;
use portcullis_proxy::settings::{Audit, Endpoint, ServerTls, SslMode, UpstreamSettings};
use portcullis_proxy::{DatabaseSettings, Limits, ListenSettings, Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};

use crate::config::{self, Config, TlsFiles};

/// Everything the proxy needs. `mock` stays the same over reloads, so that an unknown user
/// is asked the same question before and after.
pub fn settings(config: &Config, mock: &MockSecret) -> Result<Settings> {
    let listen = config.listeners.first().ok_or_else(|| miette!("there is nowhere to listen"))?;
    let tls = listen.tls.as_ref().map(server_tls).transpose()?;
    let keys = config.keys.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_vec()));
    Ok(Settings {
        listen: ListenSettings { address: listen.address, tls, tls_required: listen.tls_required },
        databases: config.databases.iter().map(database).collect::<Result<_>>()?,
        users: Arc::new(Users::new(config.users.iter().filter_map(user), mock.clone())),
        keys: Arc::new(Keys::new(keys)),
        limits: Limits {
            connections_max: config.limits.connections_max,
            frame_bytes_max: config.limits.frame_bytes_max,
            statement_bytes_max: config.limits.statement_bytes_max,
            startup: config.limits.startup,
            drain: config.limits.drain,
            names_max: config.limits.names_max,
        },
    })
}

fn user(config: &config::UserConfig) -> Option<UserConfig> {
    Some(UserConfig {
        name: config.name.clone(),
        verifier: config.verifier.clone()?,
        groups: config.groups.clone(),
        kind: config.kind,
        databases: config.databases.clone(),
    })
}

fn server_tls(files: &TlsFiles) -> Result<ServerTls> {
    let chain = certificates(&files.certificate)?;
    let certificate = chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| miette!("{}: no private key: {error}", files.key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .into_diagnostic()
        .wrap_err_with(|| {
            format!("{} and {} do not fit", files.certificate.display(), files.key.display())
        })?;
    // What direct TLS negotiates.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(ServerTls { config: Arc::new(config), certificate })
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
