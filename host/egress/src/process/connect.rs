//! Connecting to where the policy lets it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aod_egress::{Outcome, Policy, Refusal, Target};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

use super::reporter::Reporter;
use super::stream::Stream;

/// How long an address may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many names of the sandbox's choice are looked up at once, by fewer threads than there are:
/// however many it asks for, and however slowly they are answered, providers' names are found.
const MAX_LOOKUPS: usize = 3;
/// Of a name's addresses so many are tried.
const MAX_ADDRESSES: usize = 6;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot resolve {host}: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        host: String,
        port: u16,
        source: io::Error,
    },
    #[error("cannot speak to {host} over TLS: {source}")]
    Tls { host: String, source: io::Error },
}

/// Makes connections, and reports those that it refuses.
#[derive(Clone)]
pub(super) struct Connector {
    policy: Arc<Policy>,
    reporter: Arc<Reporter>,
    /// Who may have names looked up that are not declared.
    lookups: Arc<Semaphore>,
    /// Whether where it connects to is the configuration's choice and not the sandbox's.
    is_declared: bool,
}

impl Connector {
    pub(super) fn new(policy: Arc<Policy>, reporter: Arc<Reporter>) -> Self {
        Self {
            policy,
            reporter,
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            is_declared: false,
        }
    }

    /// For targets that the configuration names: the allow-list is not asked.
    pub(super) fn declared(&self) -> Self {
        Self {
            is_declared: true,
            ..self.clone()
        }
    }

    /// Connects to a host by its name or address.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let connected = self.try_connect(host, port).await;
        self.report(host, port, &connected);
        connected
    }

    /// Connects to where a URL leads.
    pub(super) async fn connect_to(&self, uri: &Uri) -> Result<TcpStream, ConnectError> {
        let (host, port) = target_of(uri);
        self.connect(host, port).await
    }

    /// Whether a host may be connected to, without connecting to it.
    pub(super) async fn admit(&self, host: &str, port: u16) -> Result<(), ConnectError> {
        self.look_up(host, port).await.map(drop)
    }

    /// The addresses of a host that may be connected to, without connecting to them.
    pub(super) async fn look_up(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let addresses = self.addresses(host, port).await;
        self.report(host, port, &addresses);
        addresses
    }

    /// The policy.
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Tells the starter of something that the sandbox cannot see the reason of.
    pub(super) fn tell(&self, outcome: Outcome, host: &str, port: u16, reason: &str) {
        self.reporter.tell(outcome, host, port, reason);
    }

    pub(super) fn report<T>(&self, host: &str, port: u16, outcome: &Result<T, ConnectError>) {
        match outcome {
            Err(error @ ConnectError::Refused(_)) => {
                self.tell(Outcome::Refused, host, port, &error.to_string());
            }
            // What the sandbox itself chose, it is told itself.
            Err(error) if self.is_declared => {
                self.tell(Outcome::Failed, host, port, &error.to_string());
            }
            _ => {}
        }
    }

    async fn try_connect(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let addresses = self.addresses(host, port).await?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(ConnectError::Connect {
            host: host.to_owned(),
            port,
            source: last,
        })
    }

    /// The addresses of a host that may be connected to.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let target = match self.is_declared {
            true => self.policy.declared(host, port),
            false => self.policy.look_up(host, port),
        }?;
        match target {
            Target::Address(address) => Ok(vec![address]),
            Target::Name(name) => self.resolve(&name, port).await,
        }
    }

    /// The addresses of a name that may be connected to. It is these that are connected to: what the
    /// name is resolved to the next time does not matter.
    async fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let resolved = timeout(PATIENCE, self.ask(name, port)).await;
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let found = resolved.map_err(|source| ConnectError::Resolve {
            host: name.to_owned(),
            source,
        })?;
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found {
            match self.policy.check(name, address.ip()) {
                Ok(()) if allowed.len() < MAX_ADDRESSES => allowed.push(address),
                Ok(()) => {}
                Err(refusal) => refused = Some(refusal),
            }
        }
        match (allowed.is_empty(), refused) {
            (true, Some(refusal)) => Err(refusal.into()),
            _ => Ok(allowed),
        }
    }

    /// What a name is resolved to, whatever that is.
    async fn ask(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let permit = match self.is_declared {
            true => None,
            false => {
                let permit = self.lookups.clone().acquire_owned().await;
                Some(permit.map_err(io::Error::other)?)
            }
        };
        let name = name.to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            let found = (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect);
            // It takes a thread for so long, whether or not somebody still waits.
            drop(permit);
            found
        });
        asked.await.map_err(io::Error::other)?
    }
}

/// For clients of HTTP.
impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let stream = connector.connect_to(&uri).await?;
            Ok(TokioIo::new(Stream::plain(stream)))
        })
    }
}

/// The host and the port of a URL.
pub(super) fn target_of(uri: &Uri) -> (&str, u16) {
    let default = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = uri.port_u16().unwrap_or(default);
    (uri.host().unwrap_or_default(), port)
}
