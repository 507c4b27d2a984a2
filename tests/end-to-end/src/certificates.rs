//! A certificate authority for one run, and rustls on tokio-postgres.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// A server certificate for localhost and 127.0.0.1, and the authority that signed it.
#[derive(Debug)]
pub struct Certificates {
    pub authority_pem: String,
    pub certificate_pem: String,
    pub key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Where the same lie as files.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    pub fn new() -> Certificates {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new(Vec::<String>::new()).expect("no names");
        // Equal names would make the server's certificate look signed by itself.
        authority.distinguished_name.push(DnType::CommonName, "Portcullis end-to-end authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).expect("a certificate").pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("good names");
        server.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate_pem = server.signed_by(&key, &issuer).expect("a certificate").pem();
        Certificates { authority_pem, certificate_pem, key_pem: key.serialize_pem(), issuer }
    }

    /// What signs in the authority's name.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub fn write(&self, directory: &Path) -> CertificateFiles {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("the directory takes files");
            path
        };
        let key = write("server.key", &self.key_pem);
        make_private(&key);
        CertificateFiles {
            authority: write("authority.crt", &self.authority_pem),
            certificate: write("server.crt", &self.certificate_pem),
            key,
        }
    }

    /// What a client needs that trusts this authority alone.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows them")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        Arc::new(config)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.authority_pem.as_bytes()).expect("our PEM");
        roots.add(der).expect("our authority");
        roots
    }

    /// TLS for tokio-postgres.
    pub fn connector(&self) -> Rustls {
        Rustls::new(self.client_config())
    }

    /// TLS for tokio-postgres that speaks it at once, which wants ALPN.
    pub fn direct_connector(&self) -> Rustls {
        let mut config = ClientConfig::clone(&self.client_config());
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Rustls::new(Arc::new(config))
    }
}

impl Default for Certificates {
    fn default() -> Certificates {
        Certificates::new()
    }
}

/// Hands tokio-postgres a rustls stream.
#[derive(Clone)]
pub struct Rustls {
    connector: TlsConnector,
}

impl Rustls {
    pub(crate) fn new(config: Arc<ClientConfig>) -> Rustls {
        Rustls { connector: TlsConnector::from(config) }
    }
}

impl MakeTlsConnect<Socket> for Rustls {
    type Stream = RustlsStream;
    type TlsConnect = RustlsHandshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<RustlsHandshake> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(RustlsHandshake { connector: self.connector.clone(), name })
    }
}

/// A handshake about to start.
pub struct RustlsHandshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for RustlsHandshake {
    type Stream = RustlsStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<RustlsStream>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.connector.connect(self.name, stream).await?;
            Ok(RustlsStream(Box::new(stream)))
        })
    }
}

/// An encrypted connection to a server.
pub struct RustlsStream(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for RustlsStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for RustlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for RustlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The proxy warns of secrets that others can read.
#[cfg(unix)]
pub(crate) fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, private).expect("it is our file");
}

#[cfg(not(unix))]
pub(crate) fn make_private(_file: &Path) {}
