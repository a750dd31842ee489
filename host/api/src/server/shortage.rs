//! What is done when no connection can be accepted, for want of descriptors or memory.

use std::fs::File;
use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::TcpListener;

use super::turn_away;

/// How long to wait for something to be freed.
const PAUSE: Duration = Duration::from_millis(100);

/// A descriptor that is kept back: with it, whoever waits when there are no others can be turned
/// away, instead of being left to wait.
#[derive(Debug)]
pub(super) struct Shortage {
    reserve: Option<File>,
    lasts: bool,
}

impl Shortage {
    /// Keeps a descriptor back.
    pub(super) fn new() -> Self {
        Self {
            reserve: reserve(),
            lasts: false,
        }
    }

    /// A connection was accepted.
    pub(super) fn accepted(&mut self) {
        if std::mem::take(&mut self.lasts) {
            tracing::info!("connections are accepted again");
        }
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
    }

    /// A connection could not be accepted. Returns when it is worth another try.
    pub(super) async fn meet(&mut self, listener: &TcpListener, error: &io::Error) {
        if is_about_the_connection(error) {
            return;
        }
        if !std::mem::replace(&mut self.lasts, true) {
            tracing::error!(%error, "no connection can be accepted; those that come are turned away");
        }
        self.reserve = None;
        if let Some(Ok((stream, _))) = listener.accept().now_or_never() {
            turn_away(stream);
        }
        self.reserve = reserve();
        tokio::time::sleep(PAUSE).await;
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether only the connection that was to be accepted is affected: it ended before it was.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
