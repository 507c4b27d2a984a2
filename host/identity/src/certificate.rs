//! Whom a client certificate names.
//!
//! That the certificate is genuine, for clients, of one of the authorities and not revoked
//! is the TLS layer's to say. Here its names are read, and what could be read in two ways
//! is refused.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::distinguished::{self, COMMON_NAME};

const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
const NAMES_MAX: usize = 100;

/// Which certificate it is, as revocation lists and records know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateId {
    /// The issuer's distinguished name, as RFC 4514 writes it.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal, without leading zeros.
    pub serial: String,
}

/// One name that a certificate may carry; in the configuration, of which user it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// The whole subject, as RFC 4514 writes it: `CN=ana,O=Example`.
    Subject(String),
    /// `cn:ana`: the common name, whatever else the subject says.
    CommonName(String),
    /// `dns:host.example.com`.
    Dns(String),
    /// `email:ana@example.com`.
    Email(String),
    /// `uri:spiffe://example.com/service`.
    Uri(String),
}

/// Why a certificate names nobody. For the operator's records: the client is told of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// It is no certificate, or too long, or has too many names.
    Unreadable,
    /// A name has a NUL or another control character in it.
    ControlCharacter,
    /// A name stands for more than one.
    Wildcard,
    /// It has more than one common name.
    CommonNames,
    NotYetValid,
    Expired,
    /// No user has one of its names.
    Nobody,
    /// Its names are those of several users.
    Ambiguous,
    /// It is another user's than the one that the client came as.
    OtherUser,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateError::Unreadable => "the certificate cannot be read",
            CertificateError::ControlCharacter => "a name in it has a control character",
            CertificateError::Wildcard => "a name in it is a wildcard",
            CertificateError::CommonNames => "it has more than one common name",
            CertificateError::NotYetValid => "it is not valid yet",
            CertificateError::Expired => "it has expired",
            CertificateError::Nobody => "no user has one of its names",
            CertificateError::Ambiguous => "it has the names of several users",
            CertificateError::OtherUser => "it is another user's",
        })
    }
}

impl std::error::Error for CertificateError {}

/// A client's certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub id: CertificateId,
    /// The subject as RFC 4514 writes it; empty where there is none.
    pub subject: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    names: Vec<CertificateName>,
}

impl Certificate {
    /// Reads a certificate that the TLS layer has verified.
    pub fn read(der: &[u8]) -> Result<Certificate, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::Unreadable);
        }
        let (rest, read) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
        if !rest.is_empty() {
            return Err(CertificateError::Unreadable);
        }
        let subject = written(read.subject())?;
        let mut names = subject_names(read.subject(), &subject)?;
        names.extend(alternative_names(&read)?);
        if names.len() > NAMES_MAX {
            return Err(CertificateError::Unreadable);
        }
        Ok(Certificate {
            id: CertificateId {
                issuer: written(read.issuer())?,
                serial: serial(read.raw_serial()),
            },
            subject,
            not_before: system_time(read.validity().not_before)?,
            not_after: system_time(read.validity().not_after)?,
            names,
        })
    }

    /// Every name in it by which a user may be known.
    pub fn names(&self) -> &[CertificateName] {
        &self.names
    }

    pub(crate) fn valid_at(&self, now: SystemTime) -> Result<(), CertificateError> {
        if now < self.not_before {
            return Err(CertificateError::NotYetValid);
        }
        if now >= self.not_after {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }
}

fn written(name: &X509Name<'_>) -> Result<String, CertificateError> {
    distinguished::written(name).ok_or(CertificateError::Unreadable)
}

fn subject_names(
    name: &X509Name<'_>,
    written: &str,
) -> Result<Vec<CertificateName>, CertificateError> {
    let mut common = Vec::new();
    for attribute in name.iter_attributes() {
        let Some(text) = distinguished::text(attribute.attr_value()) else { continue };
        let text = plain(text)?;
        if attribute.attr_type().to_id_string() == COMMON_NAME {
            common.push(CertificateName::CommonName(without_wildcard(text)?.to_owned()));
        }
    }
    let named = name.iter_common_name().count();
    if named > 1 {
        return Err(CertificateError::CommonNames);
    }
    // A common name in an encoding that is read in more than one way is no name.
    if named != common.len() {
        return Err(CertificateError::Unreadable);
    }
    let whole = (!written.is_empty()).then(|| CertificateName::Subject(written.to_owned()));
    Ok(whole.into_iter().chain(common).collect())
}

fn alternative_names(
    certificate: &X509Certificate<'_>,
) -> Result<Vec<CertificateName>, CertificateError> {
    let found = certificate.subject_alternative_name().map_err(|_| CertificateError::Unreadable)?;
    let Some(found) = found else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for name in &found.value.general_names {
        match name {
            GeneralName::DNSName(text) => {
                let text = without_wildcard(ascii(text)?)?;
                names.push(CertificateName::Dns(text.to_ascii_lowercase()));
            }
            GeneralName::RFC822Name(text) => {
                names.push(CertificateName::Email(email(without_wildcard(ascii(text)?)?)));
            }
            GeneralName::URI(text) => names.push(CertificateName::Uri(ascii(text)?.to_owned())),
            GeneralName::Invalid(..) => return Err(CertificateError::Unreadable),
            // Nobody is known by one of these.
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    Ok(names)
}

fn ascii(text: &str) -> Result<&str, CertificateError> {
    if !text.is_ascii() {
        return Err(CertificateError::Unreadable);
    }
    plain(text)
}

fn plain(text: &str) -> Result<&str, CertificateError> {
    match text.chars().any(char::is_control) {
        true => Err(CertificateError::ControlCharacter),
        false => Ok(text),
    }
}

fn without_wildcard(text: &str) -> Result<&str, CertificateError> {
    match text.contains('*') {
        true => Err(CertificateError::Wildcard),
        false => Ok(text),
    }
}

/// Hosts are the same in capitals; the part before the '@' is its host's to interpret.
fn email(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((local, host)) => format!("{local}@{}", host.to_ascii_lowercase()),
        None => text.to_owned(),
    }
}

fn serial(raw: &[u8]) -> String {
    let digits: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

fn system_time(time: ASN1Time) -> Result<SystemTime, CertificateError> {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    time.ok_or(CertificateError::Unreadable)
}

/// Why a text of the configuration is no name of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateNameError {
    Empty,
    Wildcard,
    /// It is neither a distinguished name nor begins with one of the prefixes.
    Form,
}

impl fmt::Display for CertificateNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateNameError::Empty => "the name is empty",
            CertificateNameError::Wildcard => "a user has no wildcard for a name",
            CertificateNameError::Form => {
                "write the whole subject as \"CN=ana,O=Example\", or one name as \"cn:\", \
                 \"dns:\", \"email:\" or \"uri:\" with what follows"
            }
        })
    }
}

impl std::error::Error for CertificateNameError {}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<CertificateName, CertificateNameError> {
        let named = |name: &str| {
            if name.is_empty() {
                return Err(CertificateNameError::Empty);
            }
            match name.chars().any(char::is_control) {
                true => Err(CertificateNameError::Form),
                false => Ok(name.to_owned()),
            }
        };
        let one = |name: &str| {
            without_wildcard(name).map_err(|_| CertificateNameError::Wildcard).and_then(named)
        };
        if let Some(name) = text.strip_prefix("cn:") {
            Ok(CertificateName::CommonName(one(name)?))
        } else if let Some(name) = text.strip_prefix("dns:") {
            Ok(CertificateName::Dns(one(name)?.to_ascii_lowercase()))
        } else if let Some(name) = text.strip_prefix("email:") {
            Ok(CertificateName::Email(email(&one(name)?)))
        } else if let Some(name) = text.strip_prefix("uri:") {
            Ok(CertificateName::Uri(named(name)?))
        } else {
            let written = distinguished::rewritten(text).ok_or(CertificateNameError::Form)?;
            Ok(CertificateName::Subject(written))
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateName::Subject(name) => f.write_str(name),
            CertificateName::CommonName(name) => write!(f, "cn:{name}"),
            CertificateName::Dns(name) => write!(f, "dns:{name}"),
            CertificateName::Email(name) => write!(f, "email:{name}"),
            CertificateName::Uri(name) => write!(f, "uri:{name}"),
        }
    }
}

/// The certificates that authorities have taken back, for sessions that began before; new
/// ones the TLS layer refuses by the same lists.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    revoked: HashSet<CertificateId>,
}

impl Revocations {
    /// Reads revocation lists, each in DER. One that cannot be read is an error: it may be
    /// the one that matters.
    pub fn read<'a>(
        lists: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Revocations, CertificateError> {
        let mut revoked = HashSet::new();
        for der in lists {
            let (rest, list) = CertificateRevocationList::from_der(der)
                .map_err(|_| CertificateError::Unreadable)?;
            if !rest.is_empty() {
                return Err(CertificateError::Unreadable);
            }
            let issuer = written(list.issuer())?;
            let ids = list.iter_revoked_certificates().map(|entry| CertificateId {
                issuer: issuer.clone(),
                serial: serial(entry.raw_serial()),
            });
            revoked.extend(ids);
        }
        Ok(Revocations { revoked })
    }

    pub fn contains(&self, id: &CertificateId) -> bool {
        self.revoked.contains(id)
    }
}
