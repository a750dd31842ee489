//! Users' answers on their way to the turn that asked.

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Turns;
use super::input::UserInput;

/// An answer to a question, and where to say what became of it.
pub(super) struct Attempt {
    pub(super) question: String,
    pub(super) value: String,
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// Why an answer was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No turn runs.
    Over,
    /// The turn asked no such question.
    Unknown,
    /// It is none of these choices.
    NoChoice(Vec<String>),
    /// The question has an answer.
    Answered,
    /// The turn is being stopped.
    Stopping,
    /// The turn's supervisor does not answer.
    Silent,
}

impl Turns {
    /// Gives an answer to the session's running turn, which records the first one.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn answer(
        &self,
        session: Uuid,
        question: String,
        value: String,
    ) -> Result<(), Refusal> {
        let (reply, verdict) = oneshot::channel();
        let attempt = Attempt {
            question,
            value,
            reply,
        };
        self.tell(session, UserInput::Answer(attempt))
            .await
            .ok_or(Refusal::Over)?;
        // Where the turn ends first, nobody is left to reply.
        verdict.await.unwrap_or(Err(Refusal::Over))
    }
}
