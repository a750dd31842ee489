//! Work that is done every so often, until the server stops.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Work that rests on settings is done no more often than this …
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
/// … and at least so often.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);

/// When to work.
pub(crate) struct Periodic {
    interval: Interval,
    shutdown: CancellationToken,
}

impl Periodic {
    /// At once, and then so often. Work that takes longer puts off what follows.
    pub(crate) fn new(often: Duration, shutdown: CancellationToken) -> Self {
        let mut interval = interval(often);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, shutdown }
    }

    /// Waits until it is time again; false where the server stops.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interval.tick() => true,
            () = self.shutdown.cancelled() => false,
        }
    }
}
