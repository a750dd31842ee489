//! Wake-ups for those who wait for a session's events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

/// By session; the value counts the turns that have ended since somebody listens.
type Senders = HashMap<Uuid, watch::Sender<u64>>;

/// Wakes those who listen for a session. Clones share their listeners.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Mutex<Senders>>);

/// A wish to be woken. Dropping it ends it.
#[derive(Debug)]
pub struct Listener {
    bell: Bell,
    session: Uuid,
    wake: watch::Receiver<u64>,
    /// The count at the last look.
    ends: u64,
}

impl Bell {
    fn senders(&self) -> MutexGuard<'_, Senders> {
        // Nothing can panic while the map is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens from now on.
    pub fn listen(&self, session: Uuid) -> Listener {
        let mut senders = self.senders();
        let sender = senders
            .entry(session)
            .or_insert_with(|| watch::Sender::new(0));
        let wake = sender.subscribe();
        let ends = *wake.borrow();
        Listener {
            bell: self.clone(),
            session,
            wake,
            ends,
        }
    }

    /// Whether anybody listens for a session.
    pub fn is_heard(&self, session: Uuid) -> bool {
        self.senders().contains_key(&session)
    }

    /// Says that there are new events.
    pub fn ring(&self, session: Uuid) {
        if let Some(sender) = self.senders().get(&session) {
            sender.send_modify(|_| {});
        }
    }

    /// Says that a turn's end has been committed.
    pub fn turn_ended(&self, session: Uuid) {
        if let Some(sender) = self.senders().get(&session) {
            sender.send_modify(|ends| *ends += 1);
        }
    }

    /// Sends everybody away who listens for a session that is being deleted.
    pub fn forget(&self, session: Uuid) {
        self.senders().remove(&session);
    }
}

impl Listener {
    /// Takes note of all that was announced so far, and returns whether a turn has ended since
    /// the last look. Look at what there is after this and before waiting.
    pub fn look(&mut self) -> bool {
        let ends = *self.wake.borrow_and_update();
        std::mem::replace(&mut self.ends, ends) != ends
    }

    /// Waits until there is something new since the last look; false when the session was
    /// deleted. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        self.wake.changed().await.is_ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut senders = self.bell.senders();
        let is_last = senders.get(&self.session).is_some_and(|sender| {
            // After `forget`, others may have begun to listen under the same id.
            sender.receiver_count() == 1 && sender.subscribe().same_channel(&self.wake)
        });
        if is_last {
            senders.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn wakes_who_listens_and_keeps_nothing_of_who_left() {
        let bell = Bell::default();
        let session = Uuid::new_v4();
        bell.ring(session);
        let mut first = bell.listen(session);
        let mut second = bell.listen(session);
        bell.ring(session);
        let wait = Duration::from_secs(10);
        for listener in [&mut first, &mut second] {
            let woken = tokio::time::timeout(wait, listener.changed()).await;
            assert!(woken.unwrap());
        }
        bell.ring(session);
        assert!(!first.look());
        let again = tokio::time::timeout(Duration::from_millis(20), first.changed()).await;
        assert!(again.is_err(), "what was looked at is no news");
        bell.turn_ended(session);
        bell.ring(session);
        assert!(first.look(), "what was announced together is not lost");
        drop(first);
        assert_eq!(bell.senders().len(), 1);
        bell.forget(session);
        while tokio::time::timeout(wait, second.changed()).await.unwrap() {}
        let third = bell.listen(session);
        drop(second);
        assert_eq!(bell.senders().len(), 1, "the third still listens");
        drop(third);
        assert!(bell.senders().is_empty());
    }
}
