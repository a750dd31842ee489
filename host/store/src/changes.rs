//! Who is told that something was committed: those who follow a user's sessions, and whoever sends
//! messages to webhooks.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use crate::Store;

/// So many changes wait for a reader; one that falls behind further is told so, and looks at
/// everything anew.
const KEPT: usize = 4096;

/// A session was made, moved on or was deleted, or the questions of its turn changed. What it came
/// to is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionChange {
    /// Whose session it is.
    pub owner: Uuid,
    /// The session.
    pub session: Uuid,
}

#[derive(Clone)]
pub(crate) struct Changes {
    sessions: broadcast::Sender<SessionChange>,
    outbox: Arc<Notify>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self {
            sessions: broadcast::Sender::new(KEPT),
            outbox: Arc::default(),
        }
    }

    /// A session has changed.
    pub(crate) fn session(&self, owner: Uuid, session: Uuid) {
        // Nobody may follow.
        let _ = self.sessions.send(SessionChange { owner, session });
    }

    /// There may be something to send.
    pub(crate) fn outbox(&self) {
        self.outbox.notify_one();
    }
}

impl Store {
    pub(crate) fn told(&self) -> Changes {
        self.inner.changes.clone()
    }

    /// Changes of sessions from now on, each told once it is committed. A reader that does not
    /// keep up loses some, and is told that it has.
    pub fn session_changes(&self) -> broadcast::Receiver<SessionChange> {
        self.inner.changes.sessions.subscribe()
    }

    /// Waits until a message may have been added that is to be sent. What was added since the last
    /// call counts; only one task may wait.
    pub async fn outbox_grown(&self) {
        self.inner.changes.outbox.notified().await;
    }
}
