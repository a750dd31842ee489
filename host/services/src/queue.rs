//! Prompts that wait for the end of their session's turn.

use aod_resources::{QueuedPrompt, Session, Status, Timestamp};
use aod_store::{Ask, NewQueued, Submitted};
use uuid::Uuid;

use crate::accepted::{Accepted, Idempotent, Queued, read_answer};
use crate::begin::Taken;
use crate::{Error, Kind, Result, Sessions, prompts};

/// So many prompts of a session may wait.
const MOST_WAITING: u32 = 100;

impl Sessions {
    /// Queues a prompt of a busy session. None where it is not busy, and takes the prompt at once.
    pub(crate) async fn enqueue(
        &self,
        owner: Uuid,
        session: &Session,
        ask: Ask,
        request: Option<&Idempotent>,
    ) -> Result<Option<(Accepted, Taken)>> {
        let id = Uuid::new_v4();
        let accepted = Accepted {
            session: session.id,
            turn: session.turn_count,
            status: match session.status.is_active() {
                true => session.status,
                false => Status::Pending,
            },
            created: None,
            webhook_secret: None,
            queued: Some(Queued { id }),
        };
        let queued = NewQueued {
            id,
            session: session.id,
            owner,
            ask,
            most: MOST_WAITING,
            idempotency: self.idempotency(request, &accepted)?,
            at: Timestamp::now(),
        };
        match self.store.enqueue(queued).await? {
            None => Ok(None),
            // A turn was there: whoever ends it looks for what waits.
            Some(Submitted::New(_)) => Ok(Some((accepted, Taken::Now))),
            Some(Submitted::Replayed(answer)) => Ok(Some((read_answer(&answer)?, Taken::Before))),
        }
    }

    /// The prompts that wait for a session's turn to end, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn queue(&self, owner: Uuid, id: Uuid) -> Result<Vec<QueuedPrompt>> {
        Ok(self.store.queue(owner, id).await?)
    }

    /// One prompt that waits.
    ///
    /// # Errors
    /// [`Error::NotFound`], also where it does not wait any more.
    pub async fn queued(&self, owner: Uuid, id: Uuid, queued: Uuid) -> Result<QueuedPrompt> {
        let all = self.store.queue(owner, id).await?;
        let found = all.into_iter().find(|it| it.id == queued);
        found.ok_or(Error::NotFound(Kind::QueuedPrompt))
    }

    /// Takes a prompt out of the queue.
    ///
    /// # Errors
    /// [`Error::NotFound`], also where it does not wait any more.
    pub async fn unqueue(&self, owner: Uuid, id: Uuid, queued: Uuid) -> Result<()> {
        let taken = self.store.unqueue(owner, id, queued).await?;
        prompts::discard(taken.blocks, &self.turns.paths().session(id)).await;
        Ok(())
    }
}
