//! Certificates of clients, as an authority issues them and takes them back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificates::{Certificates, Rustls, make_private};

/// The object identifier of a common name, for a second one.
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];

static SERIALS: AtomicU64 = AtomicU64::new(1);

/// Whom a certificate is to be for. What is empty is left out.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    pub common_name: &'static str,
    pub second_common_name: &'static str,
    pub organisation: &'static str,
    pub unit: &'static str,
    pub dns: &'static [&'static str],
    pub emails: &'static [&'static str],
    pub uris: &'static [&'static str],
    pub expired: bool,
    /// From now on; else for long.
    pub valid_for: Option<Duration>,
    /// For servers, not for clients.
    pub server: bool,
}

impl Holder {
    pub fn named(common_name: &'static str) -> Holder {
        Holder { common_name, ..Holder::default() }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub certificate_pem: String,
    pub key_pem: String,
    serial: u64,
}

impl ClientCertificate {
    /// Writes both into files of this name, as libpq wants them: a key that nobody else may
    /// read.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.join(format!("{name}.crt"));
        let key = directory.join(format!("{name}.key"));
        std::fs::write(&certificate, &self.certificate_pem).expect("the directory takes files");
        std::fs::write(&key, &self.key_pem).expect("the directory takes files");
        make_private(&key);
        (certificate, key)
    }
}

impl Certificates {
    /// Issues a certificate to a client.
    pub fn client(&self, holder: &Holder) -> ClientCertificate {
        let serial = SERIALS.fetch_add(1, Ordering::Relaxed);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters(holder, serial).signed_by(&key, self.issuer());
        ClientCertificate {
            certificate_pem: certificate.expect("a certificate").pem(),
            key_pem: key.serialize_pem(),
            serial,
        }
    }

    /// The list of what the authority has taken back, as PEM.
    pub fn revocations(&self, revoked: &[&ClientCertificate]) -> String {
        let entry = |certificate: &&ClientCertificate| RevokedCertParams {
            serial_number: SerialNumber::from(certificate.serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(SERIALS.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(self.issuer()).expect("a list").pem().expect("as PEM")
    }

    /// TLS for tokio-postgres that trusts this authority and shows a certificate, which
    /// another authority may have issued.
    pub fn connector_with(&self, certificate: &ClientCertificate) -> Rustls {
        Rustls::new(self.client_config_with(certificate))
    }

    pub fn client_config_with(&self, certificate: &ClientCertificate) -> Arc<ClientConfig> {
        let chain = CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes());
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("ring knows them")
                .with_root_certificates(self.roots())
                .with_client_auth_cert(vec![chain.expect("our PEM")], key.expect("our PEM"));
        Arc::new(config.expect("they belong together"))
    }
}

fn parameters(holder: &Holder, serial: u64) -> CertificateParams {
    let mut wanted = CertificateParams::new(Vec::<String>::new()).expect("no names");
    wanted.serial_number = Some(SerialNumber::from(serial));
    // Nothing but what the holder says: the default has a common name of its own.
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (DnType::OrganizationName, holder.organisation),
        (DnType::OrganizationalUnitName, holder.unit),
        (DnType::CommonName, holder.common_name),
        (DnType::CustomDnType(COMMON_NAME.to_vec()), holder.second_common_name),
    ] {
        if !value.is_empty() {
            wanted.distinguished_name.push(kind, value);
        }
    }
    let text = |value: &&str| (*value).try_into().expect("ASCII");
    wanted.subject_alt_names.extend(holder.dns.iter().map(|name| SanType::DnsName(text(name))));
    wanted
        .subject_alt_names
        .extend(holder.emails.iter().map(|name| SanType::Rfc822Name(text(name))));
    wanted.subject_alt_names.extend(holder.uris.iter().map(|name| SanType::URI(text(name))));
    wanted.extended_key_usages = vec![if holder.server {
        ExtendedKeyUsagePurpose::ServerAuth
    } else {
        ExtendedKeyUsagePurpose::ClientAuth
    }];
    if holder.expired {
        wanted.not_before = date_time_ymd(2020, 1, 1);
        wanted.not_after = date_time_ymd(2021, 1, 1);
    }
    if let Some(lifetime) = holder.valid_for {
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970");
        wanted.not_after = date_time_ymd(1970, 1, 1) + since_epoch + lifetime;
    }
    wanted
}
