//! Serving connections, with bounds: how many there are, and how long each may keep its place
//! without asking for anything.
//!
//! A client that sends half a request, or none, costs a descriptor and memory for as long as it
//! likes. So a request's head has to be there in time, and a connection between two requests ends
//! after the same time; [`crate::Limits::body_timeout`] is the same for bodies. What takes long on
//! our side, such as a stream, is not bounded here: the kernel cuts a client that takes nothing.
//!
//! Who comes when there are too many connections, from everywhere or from one address, is turned
//! away at once. So is whoever comes when no descriptor is left, and that does not stop the server.

mod connections;
mod linger;
mod shortage;

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use self::connections::Admitted;
use self::shortage::Shortage;

pub use self::connections::Connections;

/// Bounds on connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// How long a client may take for a request's head, counted from the end of the reply before
    /// it; none: for ever.
    pub header_timeout: Option<Duration>,
    /// A client that takes nothing of what is sent to it for so long is cut; zero: never.
    pub stall: Duration,
    /// How many connections there may be.
    pub total: usize,
    /// How many of them may come from one address.
    pub per_peer: usize,
}

/// Serves `router` on `listener` until this is dropped. Connections that are served then go on.
pub fn serve(
    listener: TcpListener,
    router: Router,
    connections: Connections,
) -> impl Future<Output = Infallible> + Send {
    // Now, while there are descriptors.
    let shortage = Shortage::new();
    accept(listener, router, connections, shortage)
}

async fn accept(
    listener: TcpListener,
    router: Router,
    connections: Connections,
    mut shortage: Shortage,
) -> Infallible {
    let limits = connections.limits();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                shortage.meet(&listener, &error).await;
                continue;
            }
        };
        shortage.accepted();
        let Some(admitted) = connections.admit(peer.ip()) else {
            tracing::debug!(%peer, "too many connections");
            turn_away(stream);
            continue;
        };
        prepare(&stream, limits.stall);
        let (http, router) = (http.clone(), router.clone());
        tokio::spawn(converse(http, stream, peer, router, admitted));
    }
}

/// Serves one connection to its end.
async fn converse(
    http: http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    admitted: Admitted,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(Body::new)
    });
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    match connection.without_shutdown().await {
        Ok(served) => linger::close(served.io.into_inner()).await,
        Err(error) => tracing::debug!(%peer, %error, "a connection broke off"),
    }
    drop(admitted);
}

/// What is true of every connection: what is written goes out at once, and a client that takes
/// nothing of it for a while is cut off by the kernel. It loses nothing: it resumes by id.
fn prepare(stream: &TcpStream, stall: Duration) {
    let stall = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| Ok(set_tcp_user_timeout(stream, stall)?));
    if let Err(error) = prepared {
        tracing::debug!(%error, "a connection cannot be prepared");
    }
}

/// Closes a connection, after a word of why where that can be had without waiting: a client that
/// has sent its request already may see nothing but the end.
fn turn_away(stream: TcpStream) {
    const REASON: &str = "{\"detail\":\"the server has too many connections: try again later\"}";
    let reply = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{REASON}",
        REASON.len()
    );
    // It stays non-blocking.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(reply.as_bytes());
    }
}
