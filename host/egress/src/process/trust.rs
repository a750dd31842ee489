//! Whom the program trusts, and connections over TLS.
//!
//! Reading the system's authorities takes longer than all else that the program does before its
//! first request. It is done beside that: the first handshake waits for it, and nobody else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tower_service::Service;

use super::connect::{ConnectError, Connector, target_of};
use super::stream::Stream;

/// How long a server may take for the handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom the program trusts: the authorities of the system, and those of the configuration. Clones
/// share it.
#[derive(Clone)]
pub(super) struct Trust(Arc<Reading>);

struct Reading {
    /// As PEM, besides the system's.
    authorities: Option<String>,
    read: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    pub(super) fn new(authorities: Option<String>) -> Self {
        Self(Arc::new(Reading {
            authorities,
            read: OnceCell::new(),
        }))
    }

    /// Begins to read it.
    pub(super) fn begin(&self) {
        let trust = self.clone();
        // What is wrong is told to whoever wants a connection.
        tokio::spawn(async move { trust.get().await.map(drop) });
    }

    async fn get(&self) -> io::Result<Arc<ClientConfig>> {
        let read = self.0.read.get_or_try_init(|| async {
            let reading = self.0.clone();
            let read = move || trust(reading.authorities.as_deref());
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(io::Error::other)?.map(Arc::new)
        });
        read.await.cloned()
    }
}

/// What is trusted: the certificates in this PEM text, and the system's authorities.
fn trust(authorities: Option<&str>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // What of them cannot be read is as good as not there.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let authorities = authorities.unwrap_or_default().as_bytes();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls)
}

/// Makes connections, over TLS where the URL wants it.
#[derive(Clone)]
pub(super) struct TlsConnector {
    connector: Connector,
    trust: Trust,
}

impl TlsConnector {
    pub(super) const fn new(connector: Connector, trust: Trust) -> Self {
        Self { connector, trust }
    }

    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let stream = self.connector.connect_to(uri).await?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Stream::plain(stream));
        }
        let (host, port) = target_of(uri);
        let secured = self.secure(host, stream).await;
        let secured = secured.map_err(|source| ConnectError::Tls {
            host: host.to_owned(),
            source,
        });
        self.connector.report(host, port, &secured);
        secured
    }

    /// Verifies who is at the other end of a connection, and goes on over TLS.
    async fn secure(&self, host: &str, stream: TcpStream) -> io::Result<Stream> {
        // An address of IPv6 stands in brackets.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let tls = tokio_rustls::TlsConnector::from(self.trust.get().await?);
        let secured = timeout(PATIENCE, tls.connect(name, stream));
        Ok(Stream::secured(secured.await??))
    }
}

/// For clients of HTTP.
impl Service<Uri> for TlsConnector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new) })
    }
}
