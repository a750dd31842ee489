//! Reloading by itself: `runtimes.toml` and the components are watched.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aod_resources::RuntimeChange;
use futures::StreamExt;
use inotify::{EventStream, Inotify};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Runtimes;
use super::folders::Folders;

/// A change is taken up once nothing else has happened for so long: whoever writes a component or
/// saves a file is done by then, or what is read is an error that the next change mends.
const QUIET: Duration = Duration::from_millis(150);

/// However much goes on, it is not put off for longer.
const LONGEST: Duration = Duration::from_secs(2);

/// How long a reload that has begun may go on when the server stops.
const LAST_RELOAD: Duration = Duration::from_secs(5);

/// File times are as coarse as the kernel's tick.
const TICK: Duration = Duration::from_millis(10);

/// The task that watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Starts watching. `loaded` is a time before the runtimes were loaded: what has changed since
    /// is loaded anew.
    pub(crate) fn start(runtimes: Runtimes, loaded: SystemTime) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mut folders = Folders::new(inotify.watches());
        let events = inotify.into_event_stream(vec![0; 16 << 10])?;
        let files = runtimes.watched();
        folders.arm(&files);
        let stop = CancellationToken::new();
        let mut watching = Watching {
            runtimes,
            folders,
            events,
        };
        let changed = files.iter().any(|file| changed_since(file, loaded));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let watch = async {
                if changed {
                    watching.reload().await;
                }
                while watching.settled().await {
                    watching.reload().await;
                }
            };
            // Nobody waits for a reload that has begun.
            stopped.run_until_cancelled(watch).await;
        });
        Ok(Self { stop, task })
    }

    /// Ends the task.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        match tokio::time::timeout(LAST_RELOAD, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the watch over runtimes.toml had ended"),
            Err(_) => tracing::warn!("a reload of the runtimes is broken off"),
        }
    }
}

fn changed_since(file: &PathBuf, time: SystemTime) -> bool {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    std::fs::metadata(file).is_ok_and(|file| {
        let seconds = u64::try_from(file.ctime()).unwrap_or_default();
        let nanoseconds = u64::try_from(file.ctime_nsec()).unwrap_or_default();
        Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds) + TICK >= since
    })
}

struct Watching {
    runtimes: Runtimes,
    folders: Folders,
    events: EventStream<Vec<u8>>,
}

impl Watching {
    /// Waits for a change, and then until it is complete; false when nothing can be seen any more.
    async fn settled(&mut self) -> bool {
        if !self.change().await {
            return false;
        }
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = latest.min(Instant::now() + QUIET);
            tokio::select! {
                biased;
                () = sleep_until(quiet) => return true,
                seen = self.change() => if !seen {
                    return false;
                },
            }
        }
    }

    /// Waits for the next change; false when nothing can be seen any more.
    async fn change(&mut self) -> bool {
        while let Some(event) = self.events.next().await {
            match event {
                Ok(event) => {
                    let name = event.name.as_deref();
                    if self.folders.concerns(&event.wd, event.mask, name) {
                        return true;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "changes of runtimes.toml go unseen from now on");
                    return false;
                }
            }
        }
        false
    }

    async fn reload(&mut self) {
        loop {
            // Before anything is read: what changes from here on is seen.
            self.folders.arm(&self.runtimes.watched());
            match self.runtimes.reload().await {
                Ok(report) => {
                    for runtime in report.runtimes {
                        if runtime.change != RuntimeChange::Unchanged {
                            tracing::info!(
                                runtime = runtime.name,
                                "{} since its files changed",
                                runtime.change
                            );
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "cannot reload runtimes; the old ones stay"),
            }
            if !self.folders.arm(&self.runtimes.watched()) {
                return;
            }
        }
    }
}
