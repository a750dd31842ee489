//! How the requests of a turn go, by what the companion tells.

use aod_plugin_sdk::failure::from_api;
use aod_plugin_sdk::{Ending, Failure, FailureKind, Usage, usage};

use crate::companion::{Counted, Told};

/// The requests of a turn.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// How many there were for a reply of the agent's.
    rounds: u32,
    /// Why the last reply came to nothing.
    broken: Option<String>,
    /// Why the last request failed.
    failure: Option<Failure>,
}

impl Attempts {
    /// A request is made. Returns why what was said before it is void, where it is.
    pub(crate) fn request(&mut self, told: &Told<'_>) -> Option<String> {
        if !told.is_stream {
            return None;
        }
        self.rounds += 1;
        self.broken.take()
    }

    /// How many requests there were.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// A reply is there.
    pub(crate) fn reply(&mut self, told: &Told<'_>, ending: &mut Ending) {
        self.failure = None;
        ending.well();
        self.broken = match told.finish.as_deref() {
            None => Some("the model's reply ended without a finish reason".to_owned()),
            Some("STOP" | "MAX_TOKENS") if told.has_text || told.has_calls => None,
            Some("STOP") => Some("the model's reply was empty".to_owned()),
            Some(other) => Some(format!("the model's reply ended with {other}")),
        };
        if let Some(why) = &self.broken {
            ending.trouble(crate::outcome::broken_off(why));
        }
    }

    /// A request failed.
    pub(crate) fn failed(&mut self, told: &Told<'_>, ending: &mut Ending) {
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

    /// Why the last reply came to nothing.
    pub(crate) fn take_broken(&mut self) -> Option<String> {
        self.broken.take()
    }
}

/// What a reply used.
pub(crate) fn used(told: &Told<'_>, counted: Counted) -> Usage {
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
