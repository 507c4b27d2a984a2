//! Who a client certificate names.

/// Which certificate it is, as revocation lists and records know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateId {
    /// The issuer's distinguished name, as RFC 4514 writes it.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal, without leading zeros.
    pub serial: String,
}
