//! How the requests of a turn go: the CLI itself goes on asking for ever where they come to nothing.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{Ending, Failure, FailureKind, Level, Out, StopKind, Usage, usage};

use crate::wire::{Part, Retry};

/// So many replies in a row may end without a reason.
const BROKEN_REPLIES: u32 = 2;

/// So many requests for a reply may fail in a row, which takes some fifteen seconds.
const FAILED_REQUESTS: u32 = 4;

/// How long the CLI may be silent after a request that failed, in milliseconds: it waits as long as
/// the provider asks it to.
pub(crate) const SILENCE_MS: u32 = 60_000;

/// The requests of a turn.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Whether the step that runs has called tools.
    has_tools: bool,
    /// Whether its reply has ended without a reason.
    is_broken: bool,
    /// How many replies in a row have.
    broken_replies: u32,
    /// The requests that have failed since the CLI last got on, and why.
    failed_requests: u32,
    trouble: Option<Failure>,
}

/// What the end of a step means.
pub(crate) enum Finished {
    /// Another step follows.
    GoesOn,
    /// Its reply ended without a reason, and it is made once more.
    Broken,
    /// The turn is over.
    Ends(StopKind),
}

impl Steps {
    /// A step begins. Returns why that is of no use, where it is of none.
    pub(crate) fn start(&mut self) -> Option<Failure> {
        self.has_tools = false;
        self.is_broken = false;
        (self.broken_replies >= BROKEN_REPLIES).then(broken_reply)
    }

    /// A tool is called.
    pub(crate) fn called(&mut self) {
        self.has_tools = true;
    }

    /// Whether the reply of the step has ended without a reason.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// A step ends.
    pub(crate) fn finish(
        &mut self,
        reason: Option<&str>,
        ending: &mut Ending,
        out: &mut Out,
    ) -> Finished {
        match reason {
            Some("stop" | "length") => Finished::Ends(StopKind::Completed),
            Some("content-filter") => Finished::Ends(StopKind::Refused),
            Some("tool-calls") => {
                self.broken_replies = 0;
                Finished::GoesOn
            }
            _ if self.has_tools => {
                self.broken_replies = 0;
                Finished::GoesOn
            }
            _ => {
                self.is_broken = true;
                self.broken_replies += 1;
                let broken = broken_reply().message;
                ending.warn(&*broken);
                out.coded_notice(Level::Warning, "retry", broken);
                Finished::Broken
            }
        }
    }

    /// A request failed and is made once more. Returns why that is of no use, where it is of none.
    pub(crate) fn failed(
        &mut self,
        error: &str,
        ending: &mut Ending,
        out: &mut Out,
    ) -> Option<Failure> {
        let error = error.strip_prefix("AI_APICallError: ").unwrap_or(error);
        out.coded_notice(Level::Warning, "retry", error);
        let failure = from_api(None, error, FailureKind::Provider);
        self.failed_requests += 1;
        if self.failed_requests >= FAILED_REQUESTS {
            return Some(self.with_time(failure));
        }
        self.wait(failure, ending, out);
        None
    }

    /// It is said when a request that failed is made once more. Returns why that is of no use, where
    /// it is of none.
    pub(crate) fn retried(
        &mut self,
        retry: &Retry<'_>,
        ending: &mut Ending,
        out: &mut Out,
    ) -> Option<Failure> {
        let failure = Failure {
            retry_at_ms: retry.next,
            ..from_api(None, &retry.message, FailureKind::Provider)
        };
        if retry.wait > u64::from(SILENCE_MS) {
            return Some(failure);
        }
        self.wait(failure, ending, out);
        None
    }

    fn wait(&mut self, failure: Failure, ending: &mut Ending, out: &mut Out) {
        let failure = self.with_time(failure);
        ending.trouble(failure.clone());
        self.trouble = Some(failure);
        out.wake_after(SILENCE_MS);
    }

    /// The log says what failed, and the plugin when it is tried again: in either order.
    fn with_time(&self, failure: Failure) -> Failure {
        let known = self.trouble.as_ref().and_then(|it| it.retry_at_ms);
        let time = failure.retry_at_ms.or(known);
        Failure {
            retry_at_ms: time
                .filter(|_| matches!(failure.kind, FailureKind::Quota | FailureKind::Provider)),
            ..failure
        }
    }

    /// The CLI has got on.
    pub(crate) fn well(&mut self) {
        self.failed_requests = 0;
        self.trouble = None;
    }

    /// What was in trouble when the CLI was last heard of.
    pub(crate) fn take_trouble(&mut self) -> Option<Failure> {
        self.trouble.take()
    }
}

fn broken_reply() -> Failure {
    let message = "the provider's reply ended without a reason";
    failure(FailureKind::Provider, message)
}

/// What a step used.
pub(crate) fn used(part: &Part<'_>) -> Usage {
    let tokens = part.tokens.unwrap_or_default();
    Usage {
        cache_write_tokens: tokens.cache.write,
        cache_read_tokens: tokens.cache.read,
        reasoning_tokens: tokens.reasoning,
        cost_usd: part.cost,
        ..usage(
            tokens.input.saturating_add(tokens.cache.write),
            tokens.output.saturating_add(tokens.reasoning),
        )
    }
}
