//! Sends what happens to sessions to their users' webhooks: signed, again and again until it is
//! taken, and to no private address.

pub mod outbound;
mod schedule;
mod sender;
mod sign;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aod_store::Store;
use aod_vault::Vault;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use outbound::{CaError, SendError, UrlError};
pub use sign::{InvalidSecret, SigningSecret};

use outbound::Outbound;
use sender::Sender;

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether messages may go to loopback, private and link-local addresses.
    pub allow_private: bool,
    /// Names that stand for these addresses and ports, private ones included; port 0 is that of the
    /// URL.
    pub hosts: Vec<(String, SocketAddr)>,
    /// Certificate authorities that are trusted beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// How long a try may take.
    pub timeout: Duration,
    /// How long after the first try the second comes.
    pub first_retry: Duration,
    /// The longest time between two tries.
    pub longest_retry: Duration,
    /// A message that was not taken for so long is given up.
    pub give_up: Duration,
    /// How long deliveries that are settled are kept.
    pub keep: Duration,
    /// How many messages are sent at once.
    pub in_flight: usize,
    /// How many of them to one webhook; to one whose last try failed: one.
    pub in_flight_per_hook: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_private: false,
            hosts: Vec::new(),
            ca_file: None,
            timeout: Duration::from_secs(15),
            first_retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(2 * 3600),
            give_up: Duration::from_secs(24 * 3600),
            keep: Duration::from_secs(7 * 24 * 3600),
            in_flight: 64,
            in_flight_per_hook: 8,
        }
    }
}

/// Sends messages for as long as the server runs. Clones share its task.
#[derive(Clone, Debug)]
pub struct Webhooks {
    outbound: Arc<Outbound>,
}

/// The task that sends.
#[derive(Debug)]
pub struct SenderTask {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl SenderTask {
    /// Stops sending. What is on its way is sent again by the next server.
    pub async fn stop(self) {
        self.shutdown.cancel();
        // A panic in it was logged where it happened.
        let _ = self.task.await;
    }
}

impl Webhooks {
    /// Begins to send what the store has.
    ///
    /// # Errors
    /// Where the certificate authorities cannot be read.
    pub fn start(
        config: Config,
        store: Store,
        vault: Vault,
    ) -> Result<(Self, SenderTask), CaError> {
        let outbound = Arc::new(Outbound::new(&config)?);
        let shutdown = CancellationToken::new();
        let sender = Sender {
            config,
            store,
            vault,
            outbound: outbound.clone(),
            shutdown: shutdown.clone(),
        };
        let task = tokio::spawn(sender.run());
        Ok((Self { outbound }, SenderTask { task, shutdown }))
    }

    /// Whether messages may be sent to a URL, as far as can be told before its name is resolved.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_url(&self, url: &str) -> Result<(), UrlError> {
        self.outbound.check(url).map(drop)
    }
}
