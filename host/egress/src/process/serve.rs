//! Accepting connections, and noticing that there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connect::Connector;
use super::gateway::GatewayServer;
use super::http::PlainClient;
use super::intercept::Interceptor;
use super::tools::ToolService;
use super::{forward, proxy};

/// The program ends when nobody has been connected for so long.
const QUIET: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_secs(10);
/// Connections at the same time; others wait to be accepted.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes, and what is read at once of its body: of so many
/// connections, of so many further ones, and of all others. Whoever has hundreds of them begin
/// requests and end none takes some MiB by that, and no more.
const MAX_HEADS: [(usize, usize); 2] = [(16, 128 << 10), (64, 32 << 10)];
const MAX_FURTHER_HEAD: usize = 16 << 10;
/// After an error that is no connection's own, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What a connection is for.
#[derive(Clone)]
pub(super) enum Handler {
    Proxy(Connector, PlainClient, Option<Arc<Interceptor>>),
    Forward(Connector, String, u16),
    Gateway(Arc<GatewayServer>),
    Tools(Arc<ToolService>),
}

/// How many are connected, and since when nobody is.
#[derive(Clone)]
pub(super) struct Activity(Arc<Count>);

struct Count {
    connections: AtomicUsize,
    permits: Arc<Semaphore>,
    last: std::sync::Mutex<Instant>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Count {
            connections: AtomicUsize::new(0),
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            last: std::sync::Mutex::new(Instant::now()),
        }))
    }

    /// Counts a connection until the answer is dropped.
    pub(super) fn begin(&self) -> Connected {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Connected(self.clone())
    }

    /// Ends when nobody has been connected for a while.
    pub(super) async fn quiet(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let since = self
                .0
                .last
                .lock()
                .map_or(Duration::ZERO, |last| last.elapsed());
            if self.0.connections.load(Ordering::Relaxed) == 0 && since >= QUIET {
                return;
            }
        }
    }
}

/// A connection that counts.
pub(super) struct Connected(Activity);

impl Connected {
    /// How many are connected.
    pub(super) fn count(&self) -> usize {
        self.0.0.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
        if let Ok(mut last) = self.0.0.last.lock() {
            *last = Instant::now();
        }
    }
}

/// Accepts connections for ever.
pub(super) async fn accept(listener: TcpListener, handler: Handler, activity: Activity) {
    loop {
        // Never closed.
        let Ok(permit) = activity.0.permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connected = activity.begin();
                let handler = handler.clone();
                tokio::spawn(async move {
                    serve(stream, handler, Arc::new(connected)).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// How requests are read where so many are connected.
pub(super) fn http(connections: usize) -> http1::Builder {
    let mut heads = MAX_HEADS.into_iter();
    let head = heads.find(|(most, _)| connections <= *most);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(head.map_or(MAX_FURTHER_HEAD, |(_, size)| size));
    http
}

/// Serves one connection. Who goes away in the middle is nobody's error.
async fn serve(stream: TcpStream, handler: Handler, connected: Arc<Connected>) {
    // Answers are streamed in small pieces, and none of them is to wait for the next.
    let _ = stream.set_nodelay(true);
    let http = http(connected.count());
    match handler {
        Handler::Forward(connector, host, port) => {
            forward::pass_on(stream, &connector, &host, port).await;
        }
        Handler::Proxy(connector, client, interceptor) => {
            let service = service_fn(move |request| {
                proxy::handle(
                    request,
                    connector.clone(),
                    client.clone(),
                    interceptor.clone(),
                    connected.clone(),
                )
            });
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        }
        Handler::Gateway(gateway) => {
            let service = service_fn(move |request| {
                let gateway = gateway.clone();
                async move { Ok::<_, std::convert::Infallible>(gateway.handle(request).await) }
            });
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        }
        Handler::Tools(tools) => {
            let service = service_fn(move |request| {
                let tools = tools.clone();
                async move { Ok::<_, std::convert::Infallible>(tools.handle(request).await) }
            });
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        }
    }
}
