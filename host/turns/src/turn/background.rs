//! Threads for what is far behind anyway.
//!
//! An agent that writes without end keeps a processor busy with what its adapter makes of it, for
//! as long as it runs. That is done by threads that go behind the server's others, and that rest
//! while the sandboxes of others wait for a processor.

use std::cell::Cell;
use std::time::Duration;

use aod_processor::{Pace, go_behind, processors};
use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};

/// How long an idle thread stays.
const KEEP: Duration = Duration::from_secs(2);

thread_local! {
    static PACE: Cell<Pace> = const { Cell::new(Pace::new()) };
}

pub(super) struct BackgroundThreads(Option<Runtime>);

/// Who else might wait for the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// Turns of other sessions.
    Some,
    /// Nobody whose wait is the server's concern.
    None,
}

impl BackgroundThreads {
    /// Half as many threads as there are processors. Work that finds none waits its turn, which is
    /// short (`derive.rs`).
    pub(super) fn new() -> Self {
        let mut threads = Builder::new_current_thread();
        threads
            .thread_name("background")
            .max_blocking_threads((processors() / 2).max(1))
            .thread_keep_alive(KEEP)
            .on_thread_start(go_behind);
        let threads = threads.build();
        if let Err(error) = &threads {
            tracing::warn!(%error, "no threads for what is behind: all else waits for it");
        }
        Self(threads.ok())
    }

    /// Does work that blocks, in pieces of a few milliseconds each.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        others: Others,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let running = match &self.0 {
            Some(threads) => threads.spawn_blocking(move || paced(others, work)),
            None => tokio::task::spawn_blocking(work),
        };
        running.await.map_err(Error::internal)?
    }
}

fn paced<T>(others: Others, work: impl FnOnce() -> T) -> T {
    let mut pace = PACE.take();
    let done = match others {
        Others::Some => pace.work(work),
        Others::None => pace.work_at_once(work),
    };
    PACE.set(pace);
    done
}

impl Drop for BackgroundThreads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            // Not waited for: this may be dropped where nothing may block.
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aod_processor::NICENESS;

    use super::*;

    /// The nice value of the calling thread (`proc(5)`, field 19 of `stat`).
    fn niceness() -> i32 {
        let text = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = text.rsplit_once(')').unwrap();
        fields
            .split_ascii_whitespace()
            .nth(16)
            .unwrap()
            .parse()
            .unwrap()
    }

    #[tokio::test]
    async fn its_threads_go_behind_and_no_others_do() {
        let own = niceness();
        let background = BackgroundThreads::new();
        let there = background
            .run(Others::Some, || Ok(niceness()))
            .await
            .unwrap();
        assert_eq!(there, (own + NICENESS).min(19));
        let elsewhere = tokio::task::spawn_blocking(niceness).await.unwrap();
        assert_eq!((elsewhere, niceness()), (own, own));
    }

    #[tokio::test]
    async fn what_panics_there_is_an_error() {
        let background = BackgroundThreads::new();
        let done = background.run(Others::Some, || -> Result<()> { panic!("on purpose") });
        assert!(done.await.is_err());
        assert_eq!(background.run(Others::None, || Ok(1)).await.unwrap(), 1);
    }
}
