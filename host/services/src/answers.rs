//! Answers to what a running turn asks its user.

use aod_resources::Status;
use aod_turns::Refusal;
use uuid::Uuid;

use crate::{Error, Result, Sessions};

/// Why an answer was not taken, where the session is the caller's.
#[derive(Debug)]
pub enum AnswerRefused {
    /// The answer is none of the question's choices, which these are.
    NoChoice(Vec<String>),
    /// Anything else.
    Other(Error),
}

impl From<Error> for AnswerRefused {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Sessions {
    /// Answers a question of the running turn. It is on record when this returns.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the session and for the question; [`Error::Conflict`] where no turn
    /// runs, or the question has been answered; [`AnswerRefused::NoChoice`].
    pub async fn answer(
        &self,
        owner: Uuid,
        id: Uuid,
        question: String,
        value: String,
    ) -> Result<(), AnswerRefused> {
        let session = self.get(owner, id).await?;
        if session.status != Status::Running {
            let status = session.status.as_str();
            let text = format!("Session is {status}: no turn runs that could take an answer");
            return Err(Error::Conflict(text).into());
        }
        let answered = self.turns.answer(id, question, value).await;
        answered.map_err(|refusal| match refusal {
            Refusal::NoChoice(choices) => AnswerRefused::NoChoice(choices),
            Refusal::Unknown => Error::NotFound("Question".to_owned()).into(),
            Refusal::Over => conflict("No turn runs that could take an answer"),
            Refusal::Answered => conflict("Question has been answered"),
            Refusal::Stopping => conflict("The turn is being stopped and takes no answer"),
            Refusal::Silent => Error::Unavailable(
                "the turn does not answer now: try again, the first answer counts".to_owned(),
            )
            .into(),
        })
    }
}

fn conflict(text: &str) -> AnswerRefused {
    Error::Conflict(text.to_owned()).into()
}
