//! Users' answers on their way to the turn that asked.

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Turns;
use super::input::UserInput;

/// An answer to a question, and where to say what became of it.
pub(super) struct Attempt {
    pub(super) question: String,
    pub(super) answer: UserAnswer,
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// What a user answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserAnswer {
    /// To a question: a choice's id, or text.
    Choice(String),
    /// To a call of one of the agent's own tools.
    Result {
        /// What it says.
        content: String,
        /// Whether it tells of a failure.
        is_error: bool,
    },
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
    /// It is answered in another form: by this field of an answer.
    OtherForm(&'static str),
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
        answer: UserAnswer,
    ) -> Result<(), Refusal> {
        let (reply, verdict) = oneshot::channel();
        let attempt = Attempt {
            question,
            answer,
            reply,
        };
        self.tell(session, UserInput::Answer(attempt))
            .await
            .ok_or(Refusal::Over)?;
        // Where the turn ends first, nobody is left to reply.
        verdict.await.unwrap_or(Err(Refusal::Over))
    }
}
