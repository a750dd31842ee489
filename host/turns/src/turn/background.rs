//! Threads for what is far behind anyway.
//!
//! An agent that writes without end keeps a processor busy with what its adapter makes of it, for
//! as long as it runs. That is done by threads that go behind the server's others, and that rest
//! while somebody waits for a processor: a nice value counts only among the threads of one process
//! where the kernel shares processors out among sessions (`sched(7)`, "The autogroup feature"), and
//! those who wait are the sandboxes of others.

use std::cell::Cell;
use std::fs;
use std::num::NonZero;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};

/// How long an idle thread stays.
const KEEP: Duration = Duration::from_secs(2);
/// A tenth of the weight of the server's other threads.
const NICENESS: i32 = 10;
/// How many times as long as it has worked a thread rests while somebody waits for a processor: it
/// takes a quarter of one.
const REST: u32 = 3;

/// Asked for once: the answer is in files of control groups, and is wanted every few milliseconds.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

thread_local! {
    static WORKS_AGAIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

pub(super) struct BackgroundThreads(Option<Runtime>);

impl BackgroundThreads {
    /// Half as many threads as there are processors. Work that finds none waits its turn, which is
    /// short (`derive.rs`).
    pub(super) fn new() -> Self {
        let mut threads = Builder::new_current_thread();
        threads
            .thread_name("background")
            .max_blocking_threads((*PROCESSORS / 2).max(1))
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

    /// Does work that blocks, in pieces of a few milliseconds each.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let running = match &self.0 {
            Some(threads) => threads.spawn_blocking(|| rested(work)),
            None => tokio::task::spawn_blocking(work),
        };
        running.await.map_err(Error::internal)?
    }
}

/// Rests first for what this thread has done before, so that nobody waits for what is done.
fn rested<T>(work: impl FnOnce() -> T) -> T {
    if let Some(again) = WORKS_AGAIN.take()
        && somebody_waits()
    {
        thread::sleep(again.saturating_duration_since(Instant::now()));
    }
    let begun = Instant::now();
    let done = work();
    let ended = Instant::now();
    WORKS_AGAIN.set(ended.checked_add((ended - begun) * REST));
    done
}

/// Whether more threads want to run than there are processors, this one included: the fourth field
/// of `/proc/loadavg` (`proc_loadavg(5)`). Where it cannot be read, somebody may.
fn somebody_waits() -> bool {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    runnable(&text).is_none_or(|runnable| runnable > *PROCESSORS)
}

fn runnable(loadavg: &str) -> Option<usize> {
    let (runnable, _) = loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?;
    runnable.parse().ok()
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

    #[test]
    fn a_thread_rests_for_as_long_as_somebody_waits() {
        assert_eq!(runnable("3.75 5.52 6.32 6/282 29497\n"), Some(6));
        assert_eq!(runnable(""), None);
        assert_eq!(runnable("3.75 5.52 6.32 six/282 29497\n"), None);
        // As many as there are processors, and this one.
        let stopped = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..*PROCESSORS {
                scope.spawn(|| {
                    while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            while !somebody_waits() {
                thread::yield_now();
            }
            WORKS_AGAIN.set(None);
            let work = || thread::sleep(Duration::from_millis(20));
            let begun = Instant::now();
            rested(work);
            let first = begun.elapsed();
            while !somebody_waits() {
                thread::yield_now();
            }
            rested(|| ());
            let second = begun.elapsed() - first;
            stopped.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(first >= Duration::from_millis(20));
            assert!(second >= Duration::from_millis(40), "{second:?}");
        });
    }

    #[tokio::test]
    async fn what_panics_there_is_an_error() {
        let background = BackgroundThreads::new();
        let done = background.run(|| -> Result<()> { panic!("on purpose") });
        assert!(done.await.is_err());
        assert_eq!(background.run(|| Ok(1)).await.unwrap(), 1);
    }
}
