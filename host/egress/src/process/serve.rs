//! Accepting connections, and noticing that there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
/// Connections to one service at the same time, tunnels among them; others wait to be accepted. What
/// uses up the proxy's leaves the gateways theirs.
const MAX_CONNECTIONS: usize = 256;
/// When most of so many have gone, their memory is given back.
const MANY: usize = 32;
/// Descriptors that this may take: two for each connection, and some.
const MAX_DESCRIPTORS: u64 = 4096;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes, and what is read at once of its body: of so many
/// connections, of so many further ones, and of all others. Whoever has hundreds of them begin
/// requests and end none takes some MiB by that, and no more.
const MAX_HEADS: [(usize, usize); 2] = [(16, 64 << 10), (48, 16 << 10)];
const MAX_FURTHER_HEAD: usize = 8 << 10;
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
    /// How many there were at most since memory was given back.
    most: AtomicUsize,
    last: std::sync::Mutex<Instant>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Count {
            connections: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            last: std::sync::Mutex::new(Instant::now()),
        }))
    }

    /// Counts a connection until the answer is dropped.
    pub(super) fn begin(&self) -> Connected {
        self.count(None)
    }

    fn count(&self, permit: Option<OwnedSemaphorePermit>) -> Connected {
        let connections = self.0.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(connections, Ordering::Relaxed);
        Connected {
            activity: self.clone(),
            _permit: permit,
        }
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
pub(super) struct Connected {
    activity: Activity,
    /// Its share of what its service may have at once.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connected {
    /// How many are connected.
    pub(super) fn count(&self) -> usize {
        let Activity(count) = &self.activity;
        count.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let Activity(count) = &self.activity;
        let left = count.connections.fetch_sub(1, Ordering::Relaxed) - 1;
        let most = count.most.load(Ordering::Relaxed);
        if most >= MANY && left <= most / 4 {
            count.most.store(left, Ordering::Relaxed);
            trim_heap();
        }
        if let Ok(mut last) = count.last.lock() {
            *last = Instant::now();
        }
    }
}

/// Gives the system back what is free between what is not.
fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches nothing but the allocator's own.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes as many descriptors as its connections may need. Where it may not have so many, connections
/// beyond wait.
pub(super) fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit
        .maximum
        .unwrap_or(MAX_DESCRIPTORS)
        .min(MAX_DESCRIPTORS);
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit {
            current: Some(most),
            maximum: limit.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// Accepts connections for ever.
pub(super) async fn accept(listener: TcpListener, handler: Handler, activity: Activity) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // A tunnel goes on when its connection is handed over, and keeps this.
                let connected = activity.count(Some(permit));
                tokio::spawn(serve(stream, handler.clone(), Arc::new(connected)));
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
