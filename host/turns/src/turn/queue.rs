//! Prompts that wait for the end of their session's turn: each becomes the next turn once that has
//! ended.

use std::time::Duration;

use aod_resources::Timestamp;
use uuid::Uuid;

use super::Turns;

/// How soon it is tried again to begin a turn that cannot be begun, at first and at last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

impl Turns {
    /// Begins the turn of the first prompt that waits, if one does and the session takes it. The
    /// store decides, so that it makes no difference how often this is called.
    pub async fn begin_queued(&self, session: Uuid) {
        let mut wait = FIRST_RETRY;
        loop {
            let error = match self.store.dequeue(session, Timestamp::now()).await {
                Ok(None) => return,
                Ok(Some(next)) => {
                    let number = next.turn.turn_number;
                    tracing::debug!(%session, turn = number, "a queued prompt is begun");
                    self.queue(next.owner, session, number, &next.runtime, None);
                    return;
                }
                // It was deleted.
                Err(aod_store::Error::NotFound { .. }) => return,
                Err(error) => error,
            };
            tracing::error!(%session, %error, ?wait, "a queued prompt cannot be begun");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.cancelled() => return,
            }
            wait = (wait * 2).min(LAST_RETRY);
        }
    }
}
