//! The HTTP proxy.

use std::convert::Infallible;
use std::sync::Arc;

use aod_egress::Outcome;
use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Request, Response, StatusCode, Version, header};
use hyper_util::rt::TokioIo;

use super::both_ways::pass_both_ways;
use super::connect::Connector;
use super::http::{Body, PlainClient, connect_failure, empty, failure, pass_on, refused, strip};
use super::intercept::Interceptor;
use super::serve::Connected;

/// Answers one request to the proxy.
pub(super) async fn handle(
    request: Request<Incoming>,
    connector: Connector,
    client: PlainClient,
    interceptor: Option<Arc<Interceptor>>,
    connected: Arc<Connected>,
) -> Result<Response<Body>, Infallible> {
    if let Some(authority) = request.uri().authority()
        && authority.as_str().contains('@')
    {
        let reason = "user information in front of a host is not taken: send it in a header";
        let port = authority.port_u16().unwrap_or(80);
        connector.tell(Outcome::Refused, authority.host(), port, reason);
        return Ok(refused(StatusCode::BAD_REQUEST, reason));
    }
    Ok(match *request.method() {
        Method::CONNECT => tunnel(request, connector, interceptor, connected).await,
        _ => forward(request, client).await,
    })
}

/// Makes a tunnel (RFC 9110, section 9.3.6). The connection to the target is there when the client
/// is told so, unless the tunnel ends here and its requests are read.
async fn tunnel(
    mut request: Request<Incoming>,
    connector: Connector,
    interceptor: Option<Arc<Interceptor>>,
    connected: Arc<Connected>,
) -> Response<Body> {
    let target = request
        .uri()
        .authority()
        .and_then(|authority| Some((host_of(authority)?, authority.port_u16()?)));
    let Some((host, port)) = target else {
        return refused(StatusCode::BAD_REQUEST, "CONNECT needs HOST:PORT");
    };
    if let Some(interceptor) = interceptor
        && let Some(target) = interceptor.host(&host, port)
    {
        if let Err(error) = connector.admit(&host, port).await {
            let (status, reason) = connect_failure(&error);
            return refused(status, &reason);
        }
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(inside) = upgrade.await {
                let inside = TokioIo::new(inside);
                interceptor.serve(inside, target, connected).await;
            }
        });
        return empty();
    }
    let outside = match connector.connect(&host, port).await {
        Ok(stream) => stream,
        Err(error) => {
            let (status, reason) = connect_failure(&error);
            return refused(status, &reason);
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(inside) = upgrade.await {
            pass_both_ways(TokioIo::new(inside), outside).await;
        }
        drop(connected);
    });
    empty()
}

/// Passes a request with an absolute URL on.
async fn forward(mut request: Request<Incoming>, client: PlainClient) -> Response<Body> {
    let uri = request.uri();
    if uri.scheme() != Some(&Scheme::HTTP) || uri.authority().and_then(host_of).is_none() {
        let reason = "this is a proxy: it takes CONNECT, and absolute http URLs";
        return refused(StatusCode::BAD_REQUEST, reason);
    }
    // An offer of HTTP/2 need not be taken, and clients that make it (cargo, curl) go on without.
    let upgrade = request.headers().get(header::UPGRADE);
    if upgrade.is_some_and(|protocol| protocol != "h2c") {
        let reason = "what is to be upgraded needs a tunnel: use CONNECT";
        return refused(StatusCode::NOT_IMPLEMENTED, reason);
    }
    strip(request.headers_mut());
    // It is the URL's, whatever the client said: the two must not differ for the server behind.
    request.headers_mut().remove(header::HOST);
    *request.version_mut() = Version::HTTP_11;
    match client.request(request).await {
        Ok(answer) => pass_on(answer),
        Err(error) => {
            let (status, reason) = failure(&error);
            refused(status, &reason)
        }
    }
}

/// The host, where there is one.
fn host_of(authority: &Authority) -> Option<String> {
    let host = authority.host();
    (!host.is_empty()).then(|| host.to_owned())
}
