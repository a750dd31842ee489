//! Wake-ups for those who follow a log: one inotify instance for all of them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::watch;
use uuid::Uuid;

/// Wakes those who wait for a session's log to grow.
#[derive(Clone)]
pub struct LogWatch(Arc<Mutex<State>>);

impl std::fmt::Debug for LogWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWatch").finish_non_exhaustive()
    }
}

struct State {
    watches: Watches,
    sessions: HashMap<Uuid, Watched>,
    by_descriptor: HashMap<WatchDescriptor, Uuid>,
}

struct Watched {
    descriptor: WatchDescriptor,
    wake: watch::Sender<()>,
    /// For each subscription, the number of the last record that it has read.
    places: Vec<Arc<AtomicU64>>,
}

/// A wish to be woken. Dropping it ends it.
pub struct Subscription {
    state: Arc<Mutex<State>>,
    session: Uuid,
    wake: watch::Receiver<()>,
    place: Arc<AtomicU64>,
}

/// Of who needs no history.
const NOWHERE: u64 = u64::MAX;

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The maps are consistent between any two statements that can panic: none can.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogWatch {
    /// Starts watching; the task ends with the last clone and subscription.
    ///
    /// # Errors
    /// Where inotify cannot be used.
    pub fn start() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let state = Arc::new(Mutex::new(State {
            watches: inotify.watches(),
            sessions: HashMap::new(),
            by_descriptor: HashMap::new(),
        }));
        let mut events = inotify.into_event_stream(vec![0; 16 << 10])?;
        let weak = Arc::downgrade(&state);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Some(state) = weak.upgrade() else { return };
                match event {
                    Ok(event) if event.mask.contains(inotify::EventMask::Q_OVERFLOW) => {
                        // Which ones were lost is unknown: wake all.
                        for watched in lock(&state).sessions.values() {
                            watched.wake.send_replace(());
                        }
                    }
                    Ok(event) => {
                        let state = lock(&state);
                        if let Some(watched) = state
                            .by_descriptor
                            .get(&event.wd)
                            .and_then(|session| state.sessions.get(session))
                        {
                            watched.wake.send_replace(());
                        }
                    }
                    Err(error) => tracing::error!(%error, "cannot read inotify events"),
                }
            }
        });
        Ok(Self(state))
    }

    /// Subscribes to the log of a session. What was written before is not announced, so look at
    /// the log after this and before waiting.
    ///
    /// # Errors
    /// Where the log's folder cannot be watched.
    pub fn subscribe(&self, session: Uuid, log: &Path) -> io::Result<Subscription> {
        let mut guard = lock(&self.0);
        let state = &mut *guard;
        let place = Arc::new(AtomicU64::new(NOWHERE));
        let wake = match state.sessions.get_mut(&session) {
            Some(watched) => {
                watched.places.push(place.clone());
                watched.wake.subscribe()
            }
            None => {
                let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO;
                let descriptor = state.watches.add(log, mask)?;
                let (wake, receiver) = watch::channel(());
                state.by_descriptor.insert(descriptor.clone(), session);
                state.sessions.insert(
                    session,
                    Watched {
                        descriptor,
                        wake,
                        places: vec![place.clone()],
                    },
                );
                receiver
            }
        };
        Ok(Subscription {
            state: self.0.clone(),
            session,
            wake,
            place,
        })
    }

    /// The last record that the slowest reader of a session has read; none where nobody reads.
    pub fn slowest(&self, session: Uuid) -> Option<u64> {
        let state = lock(&self.0);
        let places = state.sessions.get(&session)?.places.iter();
        places
            .map(|place| place.load(Ordering::Relaxed))
            .filter(|place| *place != NOWHERE)
            .min()
    }

    /// Ends all subscriptions of a session that is being deleted.
    pub fn forget(&self, session: Uuid) {
        let mut state = lock(&self.0);
        if let Some(watched) = state.sessions.remove(&session) {
            state.by_descriptor.remove(&watched.descriptor);
            // The folder may be gone already, and the watch with it.
            let _ = state.watches.remove(watched.descriptor);
        }
    }
}

impl Subscription {
    /// What else may be woken by what wakes this.
    pub fn announced(&self) -> watch::Receiver<()> {
        self.wake.clone()
    }

    /// Says up to which record the subscriber has read: what follows is not purged.
    pub fn has_read(&self, id: u64) {
        self.place.store(id, Ordering::Relaxed);
    }

    /// Waits until the log may have grown since the last call; false when the session was
    /// deleted. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        self.wake.changed().await.is_ok()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let Some(watched) = state.sessions.get_mut(&self.session) else {
            return;
        };
        // After `forget`, another subscription may have begun anew under the same id.
        if !watched.wake.subscribe().same_channel(&self.wake) {
            return;
        }
        watched
            .places
            .retain(|place| !Arc::ptr_eq(place, &self.place));
        if watched.places.is_empty()
            && let Some(watched) = state.sessions.remove(&self.session)
        {
            state.by_descriptor.remove(&watched.descriptor);
            let _ = state.watches.remove(watched.descriptor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        drop(second);
        assert!(lock(&logs.0).sessions.is_empty());
        assert!(lock(&logs.0).by_descriptor.is_empty());
    }
}
