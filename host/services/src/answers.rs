//! Answers to what a running turn asks its user.

use aod_resources::Status;
use aod_turns::{Refusal, UserAnswer};
use uuid::Uuid;

use crate::{Error, Kind, Result, Sessions};

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerRefused {
    /// The answer is none of the question's choices, which these are.
    #[error("the answer is none of the question's choices")]
    NoChoice(Vec<String>),
    /// It is not what is asked for: this field is.
    #[error("this is answered by {0}")]
    OtherForm(&'static str),
    /// The session is in this state, and no turn of it runs.
    #[error("Session is {}: no turn runs that could take an answer", .0.as_str())]
    NotRunning(Status),
    /// The turn has just ended.
    #[error("No turn runs that could take an answer")]
    Over,
    /// Another answer came first.
    #[error("Question has been answered")]
    Answered,
    /// The user has asked the turn to stop.
    #[error("The turn is being stopped and takes no answer")]
    Stopping,
    /// What runs the turn does not answer.
    #[error("the turn does not answer now: try again, the first answer counts")]
    Silent,
    /// Anything else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl Sessions {
    /// Answers a question of the running turn, or a call of one of its agent's own tools. It is on record when this returns.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the session and for the question; see [`AnswerRefused`] for the
    /// others.
    pub async fn answer(
        &self,
        owner: Uuid,
        id: Uuid,
        question: String,
        answer: UserAnswer,
    ) -> Result<(), AnswerRefused> {
        let session = self.get(owner, id).await?;
        if session.status != Status::Running {
            return Err(AnswerRefused::NotRunning(session.status));
        }
        let answered = self.turns.answer(id, question, answer).await;
        answered.map_err(|refusal| match refusal {
            Refusal::NoChoice(choices) => AnswerRefused::NoChoice(choices),
            Refusal::OtherForm(field) => AnswerRefused::OtherForm(field),
            Refusal::Unknown => Error::NotFound(Kind::Question).into(),
            Refusal::Over => AnswerRefused::Over,
            Refusal::Answered => AnswerRefused::Answered,
            Refusal::Stopping => AnswerRefused::Stopping,
            Refusal::Silent => AnswerRefused::Silent,
        })
    }
}
