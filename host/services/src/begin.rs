//! From a prompt to its turn, or to its place in the queue.

use aod_resources::{Session, Status, Timestamp};
use aod_store::{Ask, NewTurn, Submitted};
use uuid::Uuid;

use crate::accepted::{Accepted, Idempotent, read_answer};
use crate::{Error, Result, Sessions};

/// Whether a prompt was taken by this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// By this one.
    Now,
    /// By an earlier one that was the same.
    Before,
}

impl Sessions {
    /// Begins the turn of a prompt, or has it wait for the end of the one that is there.
    pub(crate) async fn queue_or_begin(
        &self,
        owner: Uuid,
        mut session: Session,
        ask: Ask,
        request: Option<Idempotent>,
    ) -> Result<(Accepted, Taken)> {
        loop {
            let queued = self
                .enqueue(owner, &session, ask.clone(), request.as_ref())
                .await?;
            if let Some(accepted) = queued {
                return Ok(accepted);
            }
            match self
                .begin(owner, &session, ask.clone(), request.as_ref())
                .await
            {
                // Another prompt was there first.
                Err(Error::PromptsQueued) => {}
                Err(Error::NotInThisState(illegal)) if illegal.state.status.is_active() => {}
                begun => return begun,
            }
            session = self.store.session(owner, session.id).await?;
        }
    }

    /// Begins the turn of a prompt.
    pub(crate) async fn begin(
        &self,
        owner: Uuid,
        session: &Session,
        ask: Ask,
        request: Option<&Idempotent>,
    ) -> Result<(Accepted, Taken)> {
        let id = session.id;
        let accepted = Accepted {
            session: id,
            turn: session.turn_count + 1,
            status: Status::Pending,
            created: None,
            webhook_secret: None,
            queued: None,
        };
        let turn = NewTurn {
            session: id,
            owner,
            ask,
            active_limit: Some(self.active_limit),
            idempotency: self.idempotency(request, &accepted)?,
            at: Timestamp::now(),
        };
        let (submitted, mut on_disk) = self.store.add_turn(turn).await?;
        let taken = match submitted {
            // Two prompts cannot both be accepted at once: the second finds the session pending.
            Submitted::New(turn) => {
                // It is made ready while the disk takes it, and begins afterwards.
                let (number, runtime) = (turn.turn_number, &session.runtime);
                let stored = Some(on_disk.clone());
                self.turns.queue(owner, id, number, runtime, stored);
                (accepted, Taken::Now)
            }
            Submitted::Replayed(answer) => (read_answer(&answer)?, Taken::Before),
        };
        on_disk.wait().await?;
        Ok(taken)
    }
}
