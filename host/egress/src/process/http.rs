//! What the proxy and the gateways have in common: a client, and the headers that belong to one
//! connection alone.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::{ConnectError, Connector};
use super::gathered::Gathered;
use super::trust::{TlsConnector, Trust};

/// How long a connection that nobody uses is kept: an agent's next request comes when its tool has
/// run, and should not wait for another handshake.
const IDLE: Duration = Duration::from_secs(90);
/// So many of them are kept to one server.
const MAX_IDLE: usize = 8;
/// What is read at once of an answer, and the longest head of one, in bytes.
const READ_AT_ONCE: usize = 64 << 10;
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
pub(super) type HttpClient = Client<TlsConnector, Body>;

/// A client for requests without TLS.
pub(super) fn plain_client(connector: Connector) -> PlainClient {
    builder().build(connector)
}

/// A client for requests with and without TLS.
pub(super) fn client(connector: Connector, trust: Trust) -> HttpClient {
    builder().build(TlsConnector::new(connector, trust))
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .http1_max_buf_size(READ_AT_ONCE);
    builder
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
    Response::from_parts(head, Gathered::new(body).boxed())
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
