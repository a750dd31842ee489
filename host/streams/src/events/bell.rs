//! Wake-ups for those who wait for a session's events.

use std::convert::Infallible;

use uuid::Uuid;

use super::tail::{Tail, Written};
use crate::waiters::{Waiter, Waiters};

/// Wakes those who listen for a session. Clones share their listeners.
#[derive(Clone, Debug, Default)]
pub struct Bell(Waiters<Tail>);

/// A wish to be woken when there are new events. Dropping it ends it.
#[derive(Debug)]
pub struct Listener {
    waiter: Waiter<Tail>,
    tail: Tail,
}

impl Bell {
    /// Listens from now on.
    pub fn listen(&self, session: Uuid) -> Listener {
        let Ok(waiter) = self
            .0
            .join(session, || Ok::<_, Infallible>(Tail::default()));
        // Where the session is forgotten meanwhile, there is nothing to come.
        let tail = self.0.extra(session, Tail::clone).unwrap_or_default();
        Listener { waiter, tail }
    }

    /// Whether anybody listens for a session.
    pub fn is_heard(&self, session: Uuid) -> bool {
        self.0.has(session)
    }

    /// Says that there are new events.
    pub fn ring(&self, session: Uuid) {
        self.0.wake(session);
    }

    /// Says that these events have been stored.
    pub fn written(&self, session: Uuid, written: Written<'_>) {
        self.0.extra(session, |tail| tail.set(written));
        self.0.wake(session);
    }

    /// Says that a turn's end has been committed.
    pub fn turn_ended(&self, session: Uuid) {
        self.0.extra(session, Tail::clear);
        self.0.turn_ended(session);
    }

    /// Sends everybody away who listens for a session that is being deleted.
    pub fn forget(&self, session: Uuid) {
        self.0.forget(session);
    }
}

impl Listener {
    /// What was written last.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Takes note of all that was announced so far, and returns whether a turn has ended since
    /// the last look. Look at what there is after this and before waiting.
    pub(crate) fn look(&mut self) -> bool {
        self.waiter.look()
    }

    /// Waits until there may be something new since the last call or look; false when the session
    /// was deleted. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        self.waiter.changed().await
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
        assert_eq!(bell.0.sessions(), 1);
        bell.forget(session);
        while tokio::time::timeout(wait, second.changed()).await.unwrap() {}
        let third = bell.listen(session);
        drop(second);
        assert_eq!(bell.0.sessions(), 1, "the third still listens");
        drop(third);
        assert_eq!(bell.0.sessions(), 0);
    }
}
