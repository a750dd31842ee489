//! A stand-in for the model providers' HTTP APIs, for tests.
//!
//! It speaks enough of four APIs that the real CLIs work against it, does what the latest prompt
//! asks for in [directives](directive::Directive), and records what it was asked.
//!
//! ```
//! # async fn example() -> Result<(), aod_standin::StartError> {
//! use aod_standin::{Options, Standin};
//!
//! let standin = Standin::start(Options::default()).await?;
//! let base = standin.url(); // goes into the CLI's base URL
//! # let _ = base;
//! // … a CLI runs …
//! assert!(standin.requests().iter().all(|request| request.credential.is_some()));
//! # Ok(())
//! # }
//! ```

pub mod conversation;
mod dialect;
pub mod directive;
mod mcp;
pub mod play;
pub mod record;
pub mod script;
mod server;
pub mod tool;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

pub use crate::record::{INPUT_TOKENS, OUTPUT_TOKENS, Request, Usage};
pub use crate::script::DEFAULT_ANSWER;
use crate::server::Shared;

/// How a stand-in is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen at; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Texts in requests, and what they are taken for: prompts that people would write, and the
    /// same with directives.
    pub instead: Vec<(String, String)>,
}

impl Default for Options {
    /// A free port of 127.0.0.1.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            instead: Vec::new(),
        }
    }
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be had.
    #[error("cannot listen at {address}: {source}; choose another address, or port 0")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server's thread cannot be started.
    #[error("cannot start the stand-in's thread: {0}")]
    Thread(io::Error),
}

/// A running stand-in; it ends, with all its connections, when this is dropped.
///
/// It runs on a thread of its own, so that it answers however busy the test's runtime is.
#[derive(Debug)]
pub struct Standin {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Standin {
    /// Starts a stand-in. It listens when this returns.
    ///
    /// # Errors
    /// When the address cannot be had or no thread can be started.
    // Nothing is awaited yet; callers should not have to change when something is.
    #[allow(clippy::unused_async)]
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared::new(seed(), &options.instead));
        let router = server::router(Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(listen)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("aod-standin".to_owned())
            .spawn(move || {
                // Dropping the runtime afterwards closes the connections that still hang.
                runtime.block_on(async {
                    tokio::select! {
                        _ = axum::serve(listener, router).into_future() => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The base URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base URL under a name that leads to the machine.
    #[must_use]
    pub fn url_at(&self, name: &str) -> String {
        format!("http://{name}:{}", self.address.port())
    }

    /// The address it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.records.requests()
    }

    /// The tokens of all replies so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.records.usage()
    }

    /// Forgets requests, tokens and spent failures.
    pub fn clear(&self) {
        self.shared.records.clear();
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed already; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

fn seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}
