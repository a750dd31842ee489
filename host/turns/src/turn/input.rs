//! What users tell the turn that runs.

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Turns;
use super::answers::Attempt;

/// What a user tells the turn that runs.
pub(super) enum UserInput {
    /// The answer to a question.
    Answer(Attempt),
    /// More to do.
    Steer(Steer),
}

/// More to do for the turn that runs, and where to say what became of it.
pub(super) struct Steer {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) reply: oneshot::Sender<Result<(), SteerRefused>>,
}

/// Why the turn that runs was not steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerRefused {
    /// No turn runs, or it is being stopped.
    Over,
    /// Its runtime takes nothing while a turn runs.
    Unsupported,
    /// The turn's supervisor does not answer.
    Silent,
}

impl Turns {
    /// Tells the session's running turn more. It is on record when this returns, and what came
    /// under the same id counts once.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn steer(&self, session: Uuid, id: String, text: String) -> Result<(), SteerRefused> {
        let (reply, verdict) = oneshot::channel();
        let steer = Steer { id, text, reply };
        self.tell(session, UserInput::Steer(steer))
            .await
            .ok_or(SteerRefused::Over)?;
        // Where the turn ends first, nobody is left to reply.
        verdict.await.unwrap_or(Err(SteerRefused::Over))
    }

    /// Hands something to the turn that runs. None where none does.
    pub(super) async fn tell(&self, session: Uuid, input: UserInput) -> Option<()> {
        let inputs = self.active().get(&session)?.inputs.clone();
        inputs.send(input).await.ok()
    }
}
