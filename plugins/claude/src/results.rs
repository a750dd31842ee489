//! Which of the CLI's results is the turn's.
//!
//! There may be several. A process that goes on with a conversation whose background work was cut
//! off tells a result for that before the prompt's own. And where work in the background ends after
//! the answer, or more was said meanwhile, the CLI goes on and tells another result: the last one
//! is the turn's.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{
    Ending, Exit, ExitCause, Failure, FailureKind, Level, Out, Prompt, StopKind, TurnResult,
    crashed, failed, stopped,
};

use crate::outcome::{Omens, kind_of_word, outcome};
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
    /// Why the adapter has the turn broken off.
    broken_off: Option<AbortCause>,
    /// Whether nobody has asked for the turn.
    is_unasked: bool,
    /// The last result, which is not told before it is sure to be the last.
    held: Option<TurnResult>,
    ending: Ending,
}

/// Why a turn is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AbortCause {
    /// The user stops it.
    ByUser,
    /// It has asked the model as often as it may.
    MaxRounds(u32),
}

impl Results {
    pub(crate) fn new(ending: Ending) -> Self {
        Self {
            ending,
            ..Self::default()
        }
    }

    /// A turn begins, with what was asked, if anybody asked.
    pub(crate) fn begin(&mut self, prompt: Option<&Prompt>) {
        let mut ending = std::mem::take(&mut self.ending);
        ending.begin();
        *self = Self::new(ending);
        self.wants_form = prompt.is_some_and(|prompt| prompt.output_schema.is_some());
    }

    /// The turn is one that nobody has asked for.
    pub(crate) fn is_unasked(&mut self) {
        self.is_unasked = true;
    }

    /// Whether no turn runs.
    pub(crate) fn is_told(&self) -> bool {
        self.ending.is_told()
    }

    /// Whether the prompt's own result is there.
    pub(crate) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Whether the last result is one that made way for another input.
    pub(crate) fn is_preempted(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.stop == StopKind::Preempted)
    }

    /// The turn is being broken off.
    pub(crate) fn break_off(&mut self, why: AbortCause) {
        self.broken_off = Some(why);
    }

    /// Why the turn is being broken off, if it is.
    pub(crate) fn broken_off(&self) -> Option<AbortCause> {
        self.broken_off
    }

    /// The API fails and is tried again.
    pub(crate) fn trouble(&mut self, line: &Line<'_>, text: &str) {
        let kind = line.error.0.as_deref().and_then(kind_of_word);
        self.ending.trouble(match kind {
            Some(kind) => failure(kind, text),
            None => from_api(line.rest.error_status, text, FailureKind::Provider),
        });
    }

    /// The API answers.
    pub(crate) fn well(&mut self) {
        self.ending.well();
    }

    /// Takes a result. `was_asked`: whether a model was asked for it; `is_older`: it was due before
    /// the turn began. Returns the failure, if it is one.
    pub(crate) fn result(
        &mut self,
        line: Line<'_>,
        was_asked: bool,
        is_older: bool,
        out: &mut Out,
    ) -> Option<Failure> {
        out.absorb();
        if self.ending.is_told() {
            out.coded_notice(Level::Info, "late_result", "the CLI told another result");
            return None;
        }
        let is_asked_by_prompt = self.is_unasked || !(is_older || line.is_of_background());
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

    /// Tells the last result as the turn's, or that there is none.
    pub(crate) fn tell(&mut self, out: &mut Out) {
        let held = self.held.take();
        let none = || match self.is_unasked {
            true => stopped(StopKind::Unasked, "unasked"),
            false => stopped(StopKind::Interrupted, "cancelled"),
        };
        let mut result = held.unwrap_or_else(none);
        match self.broken_off {
            Some(AbortCause::ByUser) => {
                result.stop = StopKind::Interrupted;
                result.failure = None;
            }
            Some(AbortCause::MaxRounds(rounds)) if result.stop == StopKind::Interrupted => {
                let text = format!("the turn may ask the model {rounds} times");
                result.failure = failed(failure(FailureKind::Limit, text)).failure;
                result.stop = StopKind::MaxRounds;
            }
            _ => {}
        }
        if self.is_unasked && result.stop == StopKind::Completed {
            result.stop = StopKind::Unasked;
        }
        if has_no_words(&result) && !self.is_command {
            out.coded_notice(Level::Warning, "no_text", "the reply has no text");
        }
        self.ending.tell(out, result);
    }

    /// The process has ended, which is the turn's end at the latest. `waited`: it waited for
    /// nothing but work in the background.
    pub(crate) fn finish(&mut self, exit: &Exit, waited: bool, out: &mut Out) {
        let is_over = match exit.cause {
            ExitCause::Own | ExitCause::Closed => true,
            // The limit on waiting, if that is what it did.
            ExitCause::Limit => self.is_answered && waited,
            _ => false,
        };
        if is_over && self.held.is_some() && !self.is_told() {
            self.tell(out);
        } else if let Some(text) = self.held.take().and_then(|held| held.text) {
            self.ending.answered(text);
        }
        self.ending.conclude(exit, out, |exit| {
            if exit.stderr_tail.contains("already in use") {
                failed(failure(FailureKind::Resume, exit.stderr_tail.trim()))
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
