//! Threads for what is far behind anyway.
//!
//! An agent that writes without end keeps a processor busy with what its adapter makes of it, for
//! as long as it runs. That is done by threads that go behind the server's others, so that whoever
//! asks for something else is not kept waiting.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};

/// At most so many at once; the rest waits its turn, which is short (`MOST` of `derive.rs`).
const THREADS: usize = 2;
/// How long an idle thread stays.
const KEEP: Duration = Duration::from_secs(2);
/// A tenth of the weight of the server's other threads.
const NICENESS: i32 = 10;

pub(super) struct BackgroundThreads(Option<Runtime>);

impl BackgroundThreads {
    pub(super) fn new() -> Self {
        let mut threads = Builder::new_current_thread();
        threads
            .thread_name("background")
            .max_blocking_threads(THREADS)
            .thread_keep_alive(KEEP)
            .on_thread_start(|| {
                // Of this thread alone, on Linux; one that may not be nice works all the same.
                let _ = rustix::process::nice(NICENESS);
            });
        let threads = threads.build();
        if let Err(error) = &threads {
            tracing::warn!(%error, "no threads for what is behind: all else waits for it");
        }
        Self(threads.ok())
    }

    /// Does work that blocks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let running = match &self.0 {
            Some(threads) => threads.spawn_blocking(work),
            None => tokio::task::spawn_blocking(work),
        };
        running.await.map_err(Error::internal)?
    }
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
        let there = background.run(|| Ok(niceness())).await.unwrap();
        assert_eq!(there, (own + NICENESS).min(19));
        let elsewhere = tokio::task::spawn_blocking(niceness).await.unwrap();
        assert_eq!((elsewhere, niceness()), (own, own));
    }

    #[tokio::test]
    async fn what_panics_there_is_an_error() {
        let background = BackgroundThreads::new();
        let done = background.run(|| -> Result<()> { panic!("on purpose") });
        assert!(done.await.is_err());
        assert_eq!(background.run(|| Ok(1)).await.unwrap(), 1);
    }
}
