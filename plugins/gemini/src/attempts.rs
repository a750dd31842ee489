//! How the requests of a turn go, by what the companion tells.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{Ending, Failure, FailureKind, Level, Out, TurnResult, Usage, failed, usage};

use crate::companion::{Counted, Report};
use crate::outcome::is_blocked;

/// The requests of a turn.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// How many there were for a reply of the agent's.
    rounds: u32,
    /// Whether the last one brought what tools have given. The CLI is content with less then.
    answers: bool,
    /// Why the last reply came to nothing.
    broken: Option<String>,
    /// Why the last reply ended, in the provider's word.
    finish: Option<String>,
    /// Why the last request failed.
    failure: Option<Failure>,
}

impl Attempts {
    /// A request is made. Returns why what was said before it is void, where it is.
    pub(crate) fn request(&mut self, told: &Report<'_>) -> Option<String> {
        if !told.is_stream {
            return None;
        }
        self.rounds += 1;
        self.answers = !told.results.is_empty();
        self.broken.take()
    }

    /// How many requests there were.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// A reply is there.
    pub(crate) fn reply(&mut self, told: &Report<'_>, ending: &mut Ending) {
        self.failure = None;
        ending.well();
        self.broken = match told.is_stream {
            true => self.why_broken(told),
            false => None,
        };
        if told.is_stream {
            self.finish = told.finish.as_deref().map(str::to_owned);
        }
        if let Some(why) = &self.broken {
            ending.trouble(crate::outcome::broken_off(why));
        }
    }

    /// As the CLI judges it.
    fn why_broken(&self, told: &Report<'_>) -> Option<String> {
        if told.has_calls {
            return None;
        }
        match (told.finish.as_deref(), told.has_text) {
            (None, _) if !self.answers => {
                Some("the model's reply ended without a finish reason".to_owned())
            }
            (Some(reason @ ("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL")), _)
            | (Some(reason @ ("MAX_TOKENS" | "SAFETY" | "RECITATION" | "OTHER")), false) => {
                Some(format!("the model's reply ended with {reason}"))
            }
            (Some(reason), false) if is_blocked(reason) => {
                Some(format!("the model's reply ended with {reason}"))
            }
            (_, true) => None,
            (_, false) if told.has_thoughts => {
                Some("the model's reply had thoughts and no text".to_owned())
            }
            (_, false) if self.answers => None,
            (_, false) => Some("the model's reply was empty".to_owned()),
        }
    }

    /// A request failed.
    pub(crate) fn failed(&mut self, told: &Report<'_>, ending: &mut Ending) {
        let mut failure = from_api(told.status, &told.message, FailureKind::Provider);
        if matches!(failure.kind, FailureKind::Quota | FailureKind::Provider) {
            failure.retry_at_ms = failure.retry_at_ms.or(told.retry_at);
        }
        ending.trouble(failure.clone());
        self.failure = Some(failure);
    }

    /// Why the last request failed.
    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// What a turn comes to whose last reply is not all that the model had to say: to nothing that
    /// could be trusted, where the provider has blocked it.
    pub(crate) fn cut_off(&mut self, out: &mut Out) -> Option<TurnResult> {
        let reason = self.finish.take()?;
        match &*reason {
            "STOP" | "FINISH_REASON_UNSPECIFIED" => None,
            "MAX_TOKENS" => {
                let text = "the reply is cut: it reached the length that the model may write";
                out.coded_notice(Level::Warning, "max_tokens", text);
                None
            }
            _ if is_blocked(&reason) => {
                let message = format!("the provider blocked the reply: {reason}");
                Some(failed(failure(FailureKind::Refused, message)))
            }
            _ => {
                let text = format!("the model's reply ended with {reason}");
                out.coded_notice(Level::Warning, "cut_off", text);
                None
            }
        }
    }

    /// Why the last reply came to nothing.
    pub(crate) fn take_broken(&mut self) -> Option<String> {
        self.broken.take()
    }
}

/// What a reply used.
pub(crate) fn used(told: &Report<'_>, counted: Counted) -> Usage {
    let sent = counted
        .prompt_token_count
        .saturating_add(counted.tool_use_prompt_token_count);
    let written = counted.candidates_token_count;
    let thought = counted.thoughts_token_count;
    Usage {
        model: told.model.as_deref().map(str::to_owned),
        cache_read_tokens: counted.cached_content_token_count,
        reasoning_tokens: thought,
        ..usage(
            sent.saturating_sub(counted.cached_content_token_count),
            written.saturating_add(thought),
        )
    }
}
