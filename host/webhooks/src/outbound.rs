//! One HTTP request to a URL that a user gave.
//!
//! The name is resolved once. What is not public among its addresses is not connected to, and the
//! connection goes to an address that was looked at, so a name that changes its mind leads nowhere
//! else. Redirects are not followed, and no proxy is used.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aod_egress::{is_own, is_public};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use crate::Config;

/// So many of a name's addresses are tried.
const ADDRESSES: usize = 4;
/// How long a connection to one of them may take.
const CONNECT: Duration = Duration::from_secs(5);
/// So much of a reply's body is read; nobody looks at it.
const BODY: usize = 64 << 10;
/// A reply's head may be so large.
const HEAD: usize = 64 << 10;

/// Why messages cannot be sent to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It cannot be read.
    #[error("it should be an http or https URL without user, password and fragment")]
    Invalid,
    /// It names an address that messages may not go to.
    #[error(
        "it leads to an address that is not public: loopback, private and link-local addresses \
         are refused unless the server's operator allows them (webhooks.allow_private, \
         egress.hosts)"
    )]
    Private,
}

/// Why a message could not be sent. Says nothing of the URL, which may have a secret in it.
#[derive(Debug, Error)]
pub enum SendError {
    /// The URL is none.
    #[error("the URL cannot be used: {0}")]
    Url(#[from] UrlError),
    /// The name has no address.
    #[error("the host's name cannot be resolved: {0}")]
    Resolve(#[source] io::Error),
    /// Nobody listens there.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// The certificate is wrong, or something else of TLS.
    #[error("no secure connection: {0}")]
    Tls(#[source] io::Error),
    /// There are no certificate authorities.
    #[error("no secure connection: this system has no certificate authorities")]
    NoRoots,
    /// What came is no reply.
    #[error("no reply that can be read: {0}")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("no reply within {0:?}")]
    TimedOut(Duration),
}

/// The file with certificate authorities cannot be used.
#[derive(Debug, Error)]
#[error("egress.ca_file: cannot read certificates from {}: {problem}", .path.display())]
pub struct CaError {
    /// The file.
    path: PathBuf,
    /// Why.
    problem: String,
}

/// What a message was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long not to ask again.
    pub(crate) retry_after: Option<Duration>,
}

/// Sends requests to where users want them.
pub(crate) struct Outbound {
    hosts: HashMap<String, SocketAddr>,
    allow_private: bool,
    timeout: Duration,
    /// Beside the system's.
    roots: Vec<CertificateDer<'static>>,
    tls: OnceCell<TlsConnector>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

impl Outbound {
    pub(crate) fn new(config: &Config) -> Result<Self, CaError> {
        let hosts = config.hosts.iter();
        Ok(Self {
            hosts: hosts
                .map(|(name, address)| (plain(name), *address))
                .collect(),
            allow_private: config.allow_private,
            timeout: config.timeout,
            roots: match &config.ca_file {
                Some(path) => certificates(path)?,
                None => Vec::new(),
            },
            tls: OnceCell::new(),
        })
    }

    /// Reads a URL, and refuses an address that is written in it and may not be connected to.
    pub(crate) fn check(&self, text: &str) -> Result<Url, UrlError> {
        let url = Url::parse(text).map_err(|_| UrlError::Invalid)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err(UrlError::Invalid);
        }
        match literal(&url) {
            Some(address) if !self.may_reach(address) => Err(UrlError::Private),
            _ => Ok(url),
        }
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        self.allow_private || (is_public(address) && !is_own(address))
    }

    /// Sends a body to a URL, with these headers beside the usual ones.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let sent = self.try_post(url, headers, body);
        tokio::time::timeout(self.timeout, sent)
            .await
            .map_err(|_| SendError::TimedOut(self.timeout))?
    }

    async fn try_post(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let url = self.check(url)?;
        let stream = connect(&self.addresses(&url).await?).await?;
        let request = request(&url, headers, body).ok_or(UrlError::Invalid)?;
        if url.scheme() == "http" {
            return exchange(stream, request).await;
        }
        let tls = self.tls.get_or_try_init(|| self.load_tls()).await?;
        let name = server_name(&url).ok_or(UrlError::Invalid)?;
        let stream = tls.connect(name, stream).await.map_err(SendError::Tls)?;
        exchange(stream, request).await
    }

    /// The addresses that a URL leads to and that may be connected to.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, SendError> {
        let port = url.port_or_known_default().unwrap_or(443);
        if let Some(address) = literal(url) {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = plain(url.host_str().unwrap_or_default());
        if let Some(mut address) = self.hosts.get(&name).copied() {
            if address.port() == 0 {
                address.set_port(port);
            }
            return Ok(vec![address]);
        }
        let found = tokio::net::lookup_host((name.as_str(), port)).await;
        let found: Vec<SocketAddr> = found.map_err(SendError::Resolve)?.collect();
        let allowed = found.iter().filter(|found| self.may_reach(found.ip()));
        let allowed: Vec<SocketAddr> = allowed.copied().take(ADDRESSES).collect();
        if allowed.is_empty() && !found.is_empty() {
            return Err(UrlError::Private.into());
        }
        Ok(allowed)
    }

    /// Reads the system's certificate authorities, which takes a moment.
    async fn load_tls(&self) -> Result<TlsConnector, SendError> {
        let more = self.roots.clone();
        let roots = tokio::task::spawn_blocking(move || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
            roots.add_parsable_certificates(more);
            roots
        });
        let roots = roots.await.map_err(|_| SendError::NoRoots)?;
        if roots.is_empty() {
            return Err(SendError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SendError::Tls(io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// A name as it is compared: in lower case, without the dot of the root.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The address that is written in a URL.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match literal(url) {
        Some(address) => Some(ServerName::IpAddress(address.into())),
        None => ServerName::try_from(plain(url.host_str()?)).ok(),
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let error = |problem: String| CaError {
        path: path.to_owned(),
        problem,
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|it| error(it.to_string()))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|it| error(it.to_string()))?;
    match found.is_empty() {
        true => Err(error("there is none in it".to_owned())),
        false => Ok(found),
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(SendError::Connect(last))
}

fn request(
    url: &Url,
    headers: &[(HeaderName, String)],
    body: Bytes,
) -> Option<Request<Full<Bytes>>> {
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("aod/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).ok()
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends with this exchange, however that ends.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    let retry_after = response.headers().get(RETRY_AFTER);
    let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let answer = Answer {
        status: response.status().as_u16(),
        retry_after: seconds.map(Duration::from_secs),
    };
    // A receiver that still writes would be cut off; one that writes without end is.
    let mut body = response.into_body();
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BODY {
            break;
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(allow_private: bool) -> Outbound {
        Outbound::new(&Config {
            allow_private,
            hosts: vec![("Inside.test.".to_owned(), ([127, 0, 0, 1], 1).into())],
            ..Config::default()
        })
        .unwrap()
    }

    #[test]
    fn addresses_in_urls_are_looked_at_however_they_are_written() {
        for (url, expected) in [
            ("https://example.com/x?y=z", Ok(())),
            ("http://1.1.1.1/", Ok(())),
            ("http://127.0.0.1/", Err(UrlError::Private)),
            ("http://127.1/", Err(UrlError::Private)),
            ("http://0x7f000001/", Err(UrlError::Private)),
            ("http://2130706433/", Err(UrlError::Private)),
            ("http://017700000001/", Err(UrlError::Private)),
            ("http://[::1]:80/", Err(UrlError::Private)),
            ("http://[::ffff:127.0.0.1]/", Err(UrlError::Private)),
            ("http://169.254.169.254/latest", Err(UrlError::Private)),
            ("http://１２７.0.0.1/", Err(UrlError::Private)),
            ("http://0/", Err(UrlError::Private)),
            ("ftp://example.com/", Err(UrlError::Invalid)),
            ("https://a:b@example.com/", Err(UrlError::Invalid)),
            ("https://example.com/#x", Err(UrlError::Invalid)),
            ("example.com", Err(UrlError::Invalid)),
            ("http://", Err(UrlError::Invalid)),
        ] {
            assert_eq!(outbound(false).check(url).map(drop), expected, "{url}");
        }
        assert!(outbound(true).check("http://127.0.0.1/").is_ok());
    }

    #[tokio::test]
    async fn names_that_lead_inside_are_refused_unless_they_are_configured() {
        let addresses = async |outbound: Outbound, url: &str| {
            let url = outbound.check(url).unwrap();
            outbound.addresses(&url).await
        };
        let refused = addresses(outbound(false), "http://localhost:8080/").await;
        assert!(matches!(refused, Err(SendError::Url(UrlError::Private))));
        let found = addresses(outbound(true), "http://localhost:8080/").await;
        assert!(found.unwrap().iter().all(|found| found.port() == 8080));
        for url in ["https://inside.test/", "http://INSIDE.test.:99/"] {
            let found = addresses(outbound(false), url).await.unwrap();
            assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 1))]);
        }
    }
}
