//! Waiting for what must come, and not for longer than it may take.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take unless a test says otherwise: generous, since the tests share a
/// small machine with each other, and reached only by a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it has not within `deadline`; the message has `what` in it.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        sleep(INTERVAL).await;
    }
}

/// Waits for a future.
///
/// # Panics
/// When it is not done within `deadline`; the message has `what` in it.
pub async fn within<T>(what: &str, deadline: Duration, work: impl Future<Output = T>) -> T {
    match timeout(deadline, work).await {
        Ok(done) => done,
        Err(_) => panic!("not within {deadline:?}: {what}"),
    }
}
