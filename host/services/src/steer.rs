//! Prompts that go to the turn that runs.

use aod_resources::{NewPrompt, PromptInput, Session, Status, Timestamp};
use aod_store::Submitted;
use aod_turns::SteerRefused;
use uuid::Uuid;

use crate::accepted::{Accepted, Idempotent, read_answer};
use crate::{Error, Result, Sessions};

impl Sessions {
    /// Hands a prompt to the turn that runs. It is on record when this returns; what became of it
    /// is told by the turn's events (`turn.input`).
    pub(crate) async fn steer(
        &self,
        owner: Uuid,
        session: &Session,
        new: NewPrompt,
        request: Option<Idempotent>,
    ) -> Result<Accepted> {
        let PromptInput::Text(text) = new.prompt else {
            return Err(Error::SteerWithMore);
        };
        // A setting, a form or a time is one of a turn: the turn that runs has its own.
        if !new.settings.is_empty()
            || !new.limits.is_empty()
            || new.output_schema.is_some()
            || new.timeout.is_some()
        {
            return Err(Error::SteerWithMore);
        }
        let accepted = Accepted {
            session: session.id,
            turn: session.turn_count,
            status: Status::Running,
            created: None,
            webhook_secret: None,
            queued: None,
        };
        // The same request again is the same input: the supervisor takes each once.
        let input = request
            .as_ref()
            .map_or_else(Uuid::new_v4, |request| self.input_id(session.id, request));
        let steered = self.turns.steer(session.id, input.to_string(), text);
        steered.await.map_err(|refused| match refused {
            SteerRefused::Over => Error::NothingToSteer,
            SteerRefused::Unsupported => Error::CannotSteer {
                runtime: session.runtime.clone(),
            },
            SteerRefused::Silent => Error::SteerSilent,
        })?;
        let idempotency = self.idempotency(request.as_ref(), &accepted)?;
        match self
            .store
            .note_steer(owner, idempotency, Timestamp::now())
            .await?
        {
            Submitted::New(()) => Ok(accepted),
            Submitted::Replayed(answer) => read_answer(&answer),
        }
    }
}
