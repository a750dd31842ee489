//! Which of the CLI's results is the turn's.
//!
//! There may be several. A process that goes on with a conversation whose background work was cut
//! off tells a result for that before the prompt's own. And where work in the background ends after
//! the answer, the CLI goes on by itself and tells another result: the last one is the turn's.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{
    Ending, Exit, ExitCause, Failure, FailureKind, Level, Limit, Out, Prompt, StopKind, TurnResult,
    crashed,
};

use crate::outcome::{Omens, kind_of_word, outcome};
use crate::wait::Wait;
use crate::wire::Line;

/// What is known of the turn's end.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) omens: Omens,
    wants_form: bool,
    /// Whether the prompt is a command of the CLI's own, which may have nothing to say.
    is_command: bool,
    /// Whether the prompt's own result is there.
    is_answered: bool,
    /// The last result, which is not told before it is sure to be the last.
    held: Option<TurnResult>,
    wait: Wait,
    ending: Ending,
}

impl Results {
    pub(crate) fn prompt(&mut self, prompt: &Prompt) {
        self.wants_form = prompt.output_schema.is_some();
        self.wait = Wait::new(prompt.limits.iter().find_map(|limit| match limit {
            Limit::BackgroundWaitMs(milliseconds) => Some(*milliseconds),
            _ => None,
        }));
    }

    /// The API fails and is tried again.
    pub(crate) fn trouble(&mut self, line: &Line<'_>, text: &str) {
        let kind = line.error.0.as_deref().and_then(kind_of_word);
        self.ending.trouble(match kind {
            Some(kind) => failure(kind, text),
            None => from_api(line.error_status, text, FailureKind::Provider),
        });
    }

    /// The API answers.
    pub(crate) fn well(&mut self) {
        self.ending.well();
    }

    /// The CLI goes on: it does not wait.
    pub(crate) fn goes_on(&mut self) {
        self.wait.end();
    }

    /// Another line came while the turn waits.
    pub(crate) fn heard(&mut self, out: &mut Out) {
        self.wait.arm(out);
    }

    /// Takes a result. `was_asked`: whether a model was asked for it. Returns the failure, if it is
    /// one.
    pub(crate) fn result(
        &mut self,
        line: Line<'_>,
        was_asked: bool,
        out: &mut Out,
    ) -> Option<Failure> {
        out.absorb();
        if self.ending.is_told() {
            out.coded_notice(Level::Info, "late_result", "the CLI told another result");
            return None;
        }
        let is_asked_by_prompt = !line.is_of_background();
        let result = outcome(line, &self.omens, self.wants_form && is_asked_by_prompt);
        let failure = result.failure.clone();
        if is_asked_by_prompt && result.stop == StopKind::Completed && !was_asked {
            self.is_command = true;
            let text = "no model was asked: the prompt is a command of the CLI's own";
            out.coded_notice(Level::Warning, "no_model_request", text);
        }
        self.held = Some(match self.held.take() {
            Some(before) if self.is_answered => followed(before, result),
            _ => result,
        });
        self.is_answered |= is_asked_by_prompt;
        failure
    }

    /// Ends the turn if the result is sure to be the last. `goes_on`: whether the CLI may go on by
    /// itself; `is_at_work`: whether something is at work in the background.
    pub(crate) fn settle(&mut self, goes_on: bool, is_at_work: bool, out: &mut Out) {
        if self.is_answered && !goes_on {
            self.tell(out);
        } else if self.is_answered && is_at_work {
            self.wait.begin(out);
        }
    }

    /// Takes the passing of time; returns whether the turn has waited for long enough.
    pub(crate) fn tick(&mut self, elapsed_ms: u64, out: &mut Out) -> bool {
        self.wait.tick(elapsed_ms, out)
    }

    /// Tells the last result as the turn's.
    pub(crate) fn tell(&mut self, out: &mut Out) {
        if let Some(result) = self.held.take() {
            if has_no_words(&result) && !self.is_command {
                out.coded_notice(Level::Warning, "no_text", "the reply has no text");
            }
            self.ending.tell(out, result);
        }
    }

    /// The process has ended, which is the turn's end at the latest.
    pub(crate) fn finish(&mut self, exit: &Exit, out: &mut Out) {
        let is_over = match exit.cause {
            ExitCause::Own | ExitCause::Closed => true,
            // The limit on waiting, if that is what it did.
            ExitCause::Limit => self.is_answered && self.wait.is_waiting(),
            _ => false,
        };
        if is_over {
            self.tell(out);
        } else if let Some(text) = self.held.take().and_then(|held| held.text) {
            self.ending.answered(text);
        }
        self.ending.conclude(exit, out, |exit| {
            if exit.stderr_tail.contains("already in use") {
                aod_plugin_sdk::failed(failure(FailureKind::Resume, exit.stderr_tail.trim()))
            } else {
                crashed(exit)
            }
        });
    }
}

fn has_no_words(result: &TurnResult) -> bool {
    result.stop == StopKind::Completed
        && result.structured.is_none()
        && result
            .text
            .as_deref()
            .is_none_or(|text| text.trim().is_empty())
}

/// The turn's result when the CLI has gone on after its answer. The form that was asked for is the
/// answer's, and so is the text where the CLI had nothing to add.
fn followed(before: TurnResult, mut after: TurnResult) -> TurnResult {
    if after.text.as_deref().is_none_or(str::is_empty) {
        after.text = before.text;
    }
    if after.failure.is_none() && before.failure.is_some() {
        after.stop = before.stop;
        after.failure = before.failure;
        after.native_reason = before.native_reason;
    }
    after.structured = after.structured.or(before.structured);
    after.duration_ms = match (before.duration_ms, after.duration_ms) {
        (Some(before), Some(after)) => Some(before.saturating_add(after)),
        (before, after) => after.or(before),
    };
    after
}
