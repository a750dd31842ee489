//! An answer that does not have the form that was asked for is asked for once more, by the same
//! process and within the same turn.
//!
//! The adapter is given a second prompt in the moment in which it says that the turn is over. What
//! it writes then are effects like all others, and follow from the log.

use std::io;

use aod_resources::event::{FailureKind, Level, TurnResult};
use aod_runtime::types::{Block, Capability, Input, Prompt};
use uuid::Uuid;

use super::{Fold, Step, notice};

/// Whether a turn's answer was asked for once more.
#[derive(Debug, Default)]
pub(super) enum Again {
    /// It was not.
    #[default]
    No,
    /// It will be, once the adapter says that the turn is over. Should that not come to pass, this
    /// is what the turn came to.
    Wanted(Box<TurnResult>),
    /// It was.
    Done,
}

impl Fold {
    /// Whether the answer is to be asked for once more, with the result held back until then.
    pub(super) fn wants_answer_again(&mut self, result: &TurnResult) -> bool {
        let is_misfit = result
            .failure
            .as_ref()
            .is_some_and(|failure| failure.kind == FailureKind::Output);
        let can_ask = self.start.is_dialogue && self.context.live && self.limit_met().is_none();
        let wants = is_misfit
            && can_ask
            && self.prompt.output_schema.is_some()
            && matches!(self.again, Again::No);
        if wants {
            self.again = Again::Wanted(Box::new(result.clone()));
        }
        wants
    }

    /// Asks for the answer once more, where that is wanted; says whether it has.
    pub(super) fn ask_again(&mut self, step: &mut Step<'_>) -> io::Result<bool> {
        let Again::Wanted(result) = std::mem::take(&mut self.again) else {
            return Ok(false);
        };
        self.again = Again::Done;
        let problem = result.failure.map(|failure| failure.message);
        let problem = problem.unwrap_or_default();
        let text = format!("the agent is asked for its answer once more: {problem}");
        self.tell(notice(Level::Warning, "output.again", text), step)?;
        self.prompt = self.prompt_again(&problem);
        self.usage.begin_anew();
        let prompt = Input::Prompt(self.prompt.clone());
        self.call(step, |conversation| conversation.receive(&prompt))?;
        Ok(true)
    }

    fn prompt_again(&self, problem: &str) -> Prompt {
        let sees_to_form =
            |capability: &Capability| matches!(capability, Capability::StructuredOutput(_));
        let schema = self.prompt.output_schema.as_deref().unwrap_or_default();
        let form = match self.description().capabilities.iter().any(sees_to_form) {
            true => "in the form that was asked for".to_owned(),
            false => format!(
                "with JSON alone, without a fence and without other words. It must fit this JSON \
                 Schema: {schema}"
            ),
        };
        let turn = Uuid::try_parse(&self.prompt.turn_id).unwrap_or_default();
        Prompt {
            // It must come out the same again after a restart.
            turn_id: Uuid::new_v5(&turn, b"again").to_string(),
            blocks: vec![Block::Text(format!(
                "Your answer was not accepted: {problem}\nAnswer once more, {form}"
            ))],
            ..self.prompt.clone()
        }
    }

    /// Tells the result that was held back: nobody can be asked any more.
    pub(super) fn tell_held(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let Again::Wanted(result) = std::mem::take(&mut self.again) else {
            return Ok(());
        };
        self.again = Again::Done;
        self.failure.clone_from(&result.failure);
        self.result = Some((*result).clone());
        self.tell_end(None, *result, step)
    }
}
