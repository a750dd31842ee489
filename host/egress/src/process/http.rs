//! What the proxy and the gateways have in common: a client, and the headers that belong to one
//! connection alone.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::connect::{ConnectError, Connector};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(20);
/// Headers that are about one connection (RFC 9110, section 7.6.1), besides those that `Connection`
/// names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    // Answered here, as soon as the body is wanted.
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The media type of what people read.
const TEXT: &str = "text/plain; charset=utf-8";

/// A body that is passed on as it comes.
pub(super) type Body = BoxBody<Bytes, hyper::Error>;
/// Sends requests without TLS, and keeps connections for the next ones.
pub(super) type PlainClient = Client<Connector, Incoming>;
/// As [`PlainClient`], over TLS where the URL wants it.
pub(super) type HttpClient = Client<HttpsConnector<Connector>, Body>;

/// A client for requests without TLS.
pub(super) fn plain_client(connector: Connector) -> PlainClient {
    builder().build(connector)
}

/// A client for requests with and without TLS.
pub(super) fn client(connector: Connector, tls: ClientConfig) -> HttpClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    builder().build(connector)
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE);
    builder
}

/// What is trusted: the certificates in this PEM text, and the system's authorities, which take
/// some milliseconds to read and are left out where no upstream wants TLS.
pub(super) fn trust(uses_tls: bool, authorities: Option<&str>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if uses_tls {
        // What of them cannot be read is as good as not there.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
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

/// Takes out what is meant for this connection alone.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// An answer of the upstream's, to be passed on.
pub(super) fn pass_on(answer: Response<Incoming>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    strip(&mut head.headers);
    Response::from_parts(head, body.boxed())
}

/// Leads a request to a server. `Host` is the URL's then, which the client puts there. None where
/// that gives no URL.
pub(super) fn lead_to<B>(
    request: &mut Request<B>,
    scheme: Scheme,
    authority: Authority,
    query: Option<&str>,
) -> Option<()> {
    let path = request.uri().path();
    let rest = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    request.headers_mut().remove(header::HOST);
    *request.version_mut() = Version::HTTP_11;
    Some(())
}

/// A body that is there as a whole.
pub(super) fn full(content: impl Into<Bytes>) -> Body {
    let body = Full::new(content.into());
    body.map_err(|never| match never {}).boxed()
}

/// No body.
pub(super) fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// An answer of our own.
pub(super) fn reply(status: StatusCode, media_type: &'static str, text: String) -> Response<Body> {
    let mut reply = Response::new(full(text));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// An answer that says why there is no other.
pub(super) fn refused(status: StatusCode, reason: &str) -> Response<Body> {
    reply(status, TEXT, format!("aod: {reason}\n"))
}

/// An answer without a body.
pub(super) fn empty() -> Response<Body> {
    Response::new(no_body())
}

/// Why there is no answer, and the status that says so: 403 for what is refused, 502 for what is
/// not there.
pub(super) fn failure(error: &Error) -> (StatusCode, String) {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    let mut words = Vec::new();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return connect_failure(error);
        }
        words.push(error.to_string());
        cause = error.source();
    }
    words.dedup();
    (StatusCode::BAD_GATEWAY, words.join(": "))
}

/// As [`failure`], where there was no connection.
pub(super) fn connect_failure(error: &ConnectError) -> (StatusCode, String) {
    let status = match error {
        ConnectError::Refused(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_GATEWAY,
    };
    (status, error.to_string())
}
