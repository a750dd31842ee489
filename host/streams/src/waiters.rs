//! Who waits for something of a session, and how they are woken.
//!
//! A session has an entry for as long as somebody waits for it, and whatever comes with an entry,
//! such as a watch over a folder, goes with the last of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use uuid::Uuid;

/// Who needs no history has read everything.
const EVERYTHING: u64 = u64::MAX;

/// Everybody who waits, by session. Clones share them. `Extra` comes with each session's entry.
pub(crate) struct Waiters<Extra>(Arc<Entries<Extra>>);

/// The same, without keeping it.
pub(crate) struct WeakWaiters<Extra>(Weak<Entries<Extra>>);

type Entries<Extra> = Mutex<HashMap<Uuid, Entry<Extra>>>;

struct Entry<Extra> {
    /// The value counts the turns that have ended since somebody waits.
    wake: watch::Sender<u64>,
    /// For each waiter, the number of the last record that it has read.
    read: Vec<Arc<AtomicU64>>,
    /// Kept for as long as the entry.
    extra: Extra,
}

/// One who waits. Dropping it ends that.
pub struct Waiter<Extra> {
    waiters: Waiters<Extra>,
    session: Uuid,
    wake: watch::Receiver<u64>,
    /// The count of ended turns at the last look.
    ends: u64,
    read: Arc<AtomicU64>,
}

impl<Extra> Clone for Waiters<Extra> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Extra> Default for Waiters<Extra> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Extra> Waiters<Extra> {
    fn entries(&self) -> MutexGuard<'_, HashMap<Uuid, Entry<Extra>>> {
        // Nothing can panic while the map is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn downgrade(&self) -> WeakWaiters<Extra> {
        WeakWaiters(Arc::downgrade(&self.0))
    }

    /// Waits from now on. The first who does makes what comes with the entry.
    pub(crate) fn join<Error>(
        &self,
        session: Uuid,
        make: impl FnOnce() -> Result<Extra, Error>,
    ) -> Result<Waiter<Extra>, Error> {
        let read = Arc::new(AtomicU64::new(EVERYTHING));
        let mut entries = self.entries();
        let wake = match entries.get_mut(&session) {
            Some(entry) => {
                entry.read.push(read.clone());
                entry.wake.subscribe()
            }
            None => {
                let (sender, receiver) = watch::channel(0);
                let entry = Entry {
                    wake: sender,
                    read: vec![read.clone()],
                    extra: make()?,
                };
                entries.insert(session, entry);
                receiver
            }
        };
        let ends = *wake.borrow();
        Ok(Waiter {
            waiters: self.clone(),
            session,
            wake,
            ends,
            read,
        })
    }

    /// Whether anybody waits for a session.
    pub(crate) fn has(&self, session: Uuid) -> bool {
        self.entries().contains_key(&session)
    }

    /// Looks at what comes with a session's entry, if anybody waits for that.
    pub(crate) fn extra<T>(&self, session: Uuid, look: impl FnOnce(&Extra) -> T) -> Option<T> {
        self.entries().get(&session).map(|entry| look(&entry.extra))
    }

    /// Wakes those who wait for a session.
    pub(crate) fn wake(&self, session: Uuid) {
        if let Some(entry) = self.entries().get(&session) {
            entry.wake.send_modify(|_| {});
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        for entry in self.entries().values() {
            entry.wake.send_modify(|_| {});
        }
    }

    /// Wakes those who wait for a session, and has them know that a turn has ended.
    pub(crate) fn turn_ended(&self, session: Uuid) {
        if let Some(entry) = self.entries().get(&session) {
            entry.wake.send_modify(|ends| *ends += 1);
        }
    }

    /// The last record that the slowest reader of a session has read; none where nobody reads.
    pub(crate) fn slowest(&self, session: Uuid) -> Option<u64> {
        let entries = self.entries();
        let read = entries.get(&session)?.read.iter();
        read.map(|read| read.load(Ordering::Relaxed))
            .filter(|read| *read != EVERYTHING)
            .min()
    }

    /// Sends everybody away who waits for a session that is being deleted.
    pub(crate) fn forget(&self, session: Uuid) {
        self.entries().remove(&session);
    }

    #[cfg(test)]
    pub(crate) fn sessions(&self) -> usize {
        self.entries().len()
    }
}

impl<Extra> WeakWaiters<Extra> {
    pub(crate) fn upgrade(&self) -> Option<Waiters<Extra>> {
        self.0.upgrade().map(Waiters)
    }
}

impl<Extra> Waiter<Extra> {
    /// What else may be woken by what wakes this.
    pub(crate) fn announced(&self) -> watch::Receiver<u64> {
        self.wake.clone()
    }

    /// Says up to which record the waiter has read: what follows is not purged.
    pub(crate) fn has_read(&self, id: u64) {
        self.read.store(id, Ordering::Relaxed);
    }

    /// Takes note of all that was announced so far, and returns whether a turn has ended since
    /// the last look. Look at what there is after this and before waiting.
    pub(crate) fn look(&mut self) -> bool {
        let ends = *self.wake.borrow_and_update();
        std::mem::replace(&mut self.ends, ends) != ends
    }

    /// Waits until there may be something new since the last call or look; false when the session
    /// was deleted. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        self.wake.changed().await.is_ok()
    }
}

impl<Extra> Drop for Waiter<Extra> {
    fn drop(&mut self) {
        let mut entries = self.waiters.entries();
        let Some(entry) = entries.get_mut(&self.session) else {
            return;
        };
        // After `forget`, others may have begun to wait under the same id.
        if !entry.wake.subscribe().same_channel(&self.wake) {
            return;
        }
        entry.read.retain(|read| !Arc::ptr_eq(read, &self.read));
        if entry.read.is_empty() {
            entries.remove(&self.session);
        }
    }
}

impl<Extra> std::fmt::Debug for Waiters<Extra> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiters").finish_non_exhaustive()
    }
}

impl<Extra> std::fmt::Debug for Waiter<Extra> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
