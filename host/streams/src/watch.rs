//! Wake-ups for those who follow a log: one inotify instance for all of them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aod_log::Pace;
use futures::StreamExt;
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use uuid::Uuid;

use crate::waiters::{Waiter, Waiters};

/// How long changes are gathered while there are many: waking who reads a log costs several times
/// what it costs to read and tell a short line.
const GATHER: Duration = Duration::from_millis(4);
/// So many changes are taken at once.
const MOST: usize = 512;

/// Wakes those who wait for a session's log to grow.
#[derive(Clone, Debug)]
pub struct LogWatch {
    waiters: Waiters<WatchedFolder>,
    folders: Folders,
}

/// A wish to be woken when a log may have grown. Dropping it ends it.
pub type Subscription = Waiter<WatchedFolder>;

/// The folders that are watched, and whose logs they are.
#[derive(Clone, Debug)]
struct Folders {
    watches: Watches,
    sessions: Arc<Mutex<HashMap<WatchDescriptor, Uuid>>>,
}

/// A folder that is watched for as long as this is kept.
#[derive(Debug)]
pub struct WatchedFolder {
    folders: Folders,
    descriptor: WatchDescriptor,
}

impl Folders {
    fn sessions(&self) -> MutexGuard<'_, HashMap<WatchDescriptor, Uuid>> {
        // Nothing can panic while the map is being changed.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, session: Uuid, folder: &Path) -> io::Result<WatchedFolder> {
        let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO;
        let descriptor = self.watches.clone().add(folder, mask)?;
        self.sessions().insert(descriptor.clone(), session);
        Ok(WatchedFolder {
            folders: self.clone(),
            descriptor,
        })
    }
}

impl Drop for WatchedFolder {
    fn drop(&mut self) {
        self.folders.sessions().remove(&self.descriptor);
        // The folder may be gone already, and the watch with it.
        let _ = self.folders.watches.remove(self.descriptor.clone());
    }
}

impl LogWatch {
    /// Starts watching; the task ends with the last clone and subscription.
    ///
    /// # Errors
    /// Where inotify cannot be used.
    pub fn start() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watch = Self {
            waiters: Waiters::default(),
            folders: Folders {
                watches: inotify.watches(),
                sessions: Arc::default(),
            },
        };
        // What is there at once is taken at once; the kernel keeps several changes of a file that
        // nobody has looked at yet as one.
        let mut events = inotify
            .into_event_stream(vec![0; 16 << 10])?
            .ready_chunks(MOST);
        let waiters = watch.waiters.downgrade();
        let sessions = watch.folders.sessions.clone();
        tokio::spawn(async move {
            let mut pace = Pace::new(GATHER);
            while let Some(events) = events.next().await {
                let Some(waiters) = waiters.upgrade() else {
                    return;
                };
                let now = Instant::now();
                for event in events {
                    match event {
                        // Which ones were lost is unknown: wake all.
                        Ok(event) if event.mask.contains(EventMask::Q_OVERFLOW) => {
                            waiters.wake_all();
                        }
                        Ok(event) => {
                            let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                            let session = sessions.get(&event.wd).copied();
                            drop(sessions);
                            if let Some(session) = session {
                                waiters.wake(session);
                            }
                        }
                        Err(error) => tracing::error!(%error, "cannot read inotify events"),
                    }
                }
                drop(waiters);
                let wait = pace.wait(now);
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
            }
        });
        Ok(watch)
    }

    /// Subscribes to the log of a session. What was written before is not announced, so look at
    /// the log after this and before waiting.
    ///
    /// # Errors
    /// Where the log's folder cannot be watched.
    pub fn subscribe(&self, session: Uuid, log: &Path) -> io::Result<Subscription> {
        self.waiters
            .join(session, || self.folders.watch(session, log))
    }

    /// The last record that the slowest reader of a session has read; none where nobody reads.
    pub fn slowest(&self, session: Uuid) -> Option<u64> {
        self.waiters.slowest(session)
    }

    /// Ends all subscriptions of a session that is being deleted.
    pub fn forget(&self, session: Uuid) {
        self.waiters.forget(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_on_a_write_and_ends_when_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogWatch::start().unwrap();
        let session = Uuid::new_v4();
        let mut first = logs.subscribe(session, folder.path()).unwrap();
        let mut second = logs.subscribe(session, folder.path()).unwrap();
        std::fs::write(folder.path().join("1"), "x").unwrap();
        let wait = Duration::from_secs(10);
        assert!(tokio::time::timeout(wait, first.changed()).await.unwrap());
        assert!(tokio::time::timeout(wait, second.changed()).await.unwrap());
        assert_eq!(logs.slowest(session), None);
        first.has_read(7);
        second.has_read(5);
        assert_eq!(logs.slowest(session), Some(5));
        second.has_read(9);
        assert_eq!(logs.slowest(session), Some(7));
        drop(first);
        assert_eq!(logs.slowest(session), Some(9));
        logs.forget(session);
        while tokio::time::timeout(wait, second.changed()).await.unwrap() {}
        // Deleted and made anew under the same id: the old subscription takes nothing with it.
        let third = logs.subscribe(session, folder.path()).unwrap();
        drop(second);
        assert_eq!(logs.waiters.sessions(), 1);
        assert_eq!(logs.folders.sessions().len(), 1);
        drop(third);
        assert_eq!(logs.waiters.sessions(), 0);
        assert!(logs.folders.sessions().is_empty());
    }
}
