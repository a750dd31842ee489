//! Limits of a turn: what it has used until now, from the events that are told of it.
//!
//! Nothing tells a request to the model as such, so that it is seen by what surrounds it: what the
//! model says and calls belongs to one request, until all calls have their answers, tokens are
//! counted for it, or it is said to be made once more. Everything follows from the log, so that a
//! host that starts anew comes to the same.

use std::collections::HashSet;
use std::io;

use aod_resources::event::{Event, EventBody, Failure, FailureKind, Role, StopKind, TurnResult};
use aod_resources::{LimitName, Limits, ReachedLimit, Spent, Usage};
use aod_runtime::types::{self, Capability};
use serde::{Deserialize, Serialize};

use super::{Fold, Step};

/// A request may be made so often in a row to no avail where the turn has no limit of rounds.
const MOST_REPEATS: u32 = 200;

/// A CLI that is refused a request takes that for its turn's end. One that has tried so often does not.
const MOST_REFUSALS: u32 = 3;

/// So many calls without an answer are told apart.
const MOST_CALLS: usize = 1024;

/// The limits that hold in a turn, as its `Begin` keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TurnLimits {
    /// Those that were asked for.
    pub(crate) asked: Limits,
    /// What its user may still use on the day of its beginning.
    pub(crate) day: Limits,
    /// Whether each request passes a gateway that lets through as many as were asked for, and tells of
    /// the next one.
    #[serde(skip)]
    pub(crate) gateways_count: bool,
}

/// The requests of a turn.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    count: u32,
    /// Those in a row that came to nothing: neither a text nor a call.
    repeats: u32,
    last: Request,
    /// Whether tokens are told request by request.
    is_by_tokens: bool,
    /// Calls that have no answer yet.
    calls: HashSet<String>,
    /// Whether another request is certain to follow.
    goes_on: bool,
    /// The turn has made so many, all that it may, and was refused another one.
    refused: Option<u32>,
    /// How often.
    refusals: u32,
}

/// What is known of the last request.
#[derive(Debug, Default, PartialEq)]
enum Request {
    /// There was none.
    #[default]
    None,
    /// All that it called has its answers.
    Answered,
    /// The model is heard.
    Open {
        /// It has said something, or called a tool.
        has_progress: bool,
    },
    /// Its tokens are told.
    Counted {
        model: Option<String>,
        /// Whether it is among the repeats.
        is_repeat: bool,
    },
    /// It came to nothing.
    Failed {
        /// Whether a notice has told so, rather than what became of its text.
        by_notice: bool,
    },
}

impl Rounds {
    /// Requests to the model.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The turn wanted to make another request than the `most` that it may, and all of them it has made.
    pub(super) fn refuse(&mut self, most: u32) {
        self.refused = Some(most);
        self.refusals += 1;
    }

    /// Takes what is told. `is_difference`: tokens are those of one request, rather than a total.
    pub(super) fn take(&mut self, event: &Event, is_difference: bool) {
        // What subagents do is their call's.
        if event.inside.is_some() {
            return;
        }
        match &event.body {
            EventBody::MessageDelta(_) | EventBody::ReasoningDelta(_) | EventBody::Reasoning(_) => {
                self.hear(false);
            }
            EventBody::Message(message) if message.role == Role::Assistant => {
                self.hear(!message.aborted && !message.text.is_empty());
            }
            EventBody::ToolCall(call) => {
                self.hear(true);
                if self.calls.len() < MOST_CALLS {
                    self.calls.insert(call.call_id.clone());
                }
            }
            EventBody::ToolResult(result) => {
                self.calls.remove(&result.call_id);
                if self.calls.is_empty() {
                    self.goes_on = true;
                    if !self.is_by_tokens && matches!(self.last, Request::Open { .. }) {
                        self.last = Request::Answered;
                    }
                }
            }
            EventBody::Usage(used) if is_difference => self.count_tokens(used.model.clone()),
            EventBody::MessageDiscarded(_) => self.fail(false),
            EventBody::Notice(notice) if notice.code.as_deref() == Some("retry") => {
                self.fail(true);
            }
            _ => {}
        }
    }

    /// The model is heard.
    fn hear(&mut self, has_progress: bool) {
        self.goes_on = false;
        if has_progress {
            self.repeats = 0;
        }
        if let Request::Open { has_progress: has } = &mut self.last {
            *has |= has_progress;
        } else {
            self.count += 1;
            self.last = Request::Open { has_progress };
        }
    }

    /// The tokens of a request are told.
    fn count_tokens(&mut self, model: Option<String>) {
        let is_repeat = match &self.last {
            Request::Open { has_progress } => {
                self.is_by_tokens = true;
                !has_progress
            }
            Request::Answered => {
                self.is_by_tokens = true;
                false
            }
            // One of several models that it used.
            Request::Counted { model: last, .. } if *last != model => return,
            Request::Failed { .. } => return,
            // Nothing was heard of it.
            Request::None | Request::Counted { .. } => {
                self.count += 1;
                true
            }
        };
        self.repeats += u32::from(is_repeat);
        self.last = Request::Counted { model, is_repeat };
    }

    /// A request has come to nothing, and is made once more.
    fn fail(&mut self, by_notice: bool) {
        match self.last {
            Request::None | Request::Answered if !by_notice => return,
            Request::None | Request::Answered | Request::Failed { by_notice: true }
                if by_notice =>
            {
                self.count += 1;
                self.repeats += 1;
            }
            Request::Open { .. }
            | Request::Counted {
                is_repeat: false, ..
            } => self.repeats += 1,
            Request::None
            | Request::Answered
            | Request::Counted { .. }
            | Request::Failed { .. } => {}
        }
        let was_told = matches!(self.last, Request::Failed { by_notice: true });
        self.last = Request::Failed {
            by_notice: by_notice || was_told,
        };
        self.goes_on = true;
    }

    /// How many requests are over, where another one is made or certain to be.
    fn over(&self) -> Option<u32> {
        match self.last {
            _ if self.goes_on => Some(self.count),
            // The last one may be the turn's end.
            Request::Open { .. }
            | Request::Counted {
                is_repeat: true, ..
            } => Some(self.count.saturating_sub(1)),
            _ => None,
        }
    }

    /// The limit that has kept the turn from another request.
    fn refused(&self) -> Option<ReachedLimit> {
        let most = f64::from(self.refused?);
        Some(ReachedLimit {
            name: LimitName::MaxRounds,
            most,
            used: most,
            is_of_day: false,
        })
    }

    /// The limit that the turn has reached, where it would go on. `holds_rounds`: the CLI itself
    /// holds the limit of rounds that was asked for.
    pub(super) fn reached(
        &self,
        limits: &TurnLimits,
        usage: &Usage,
        holds_rounds: bool,
    ) -> Option<ReachedLimit> {
        if self.refusals >= MOST_REFUSALS {
            return self.refused();
        }
        let spent = Spent::of(self.over()?, usage);
        let mut asked = limits.asked;
        // A gateway knows which requests are steps of the turn. What is told may be of others, too, such
        // as one for a title that comes to nothing.
        let most_repeats = match asked.max_rounds {
            Some(most) if !limits.gateways_count => most,
            most => most.unwrap_or_default().max(MOST_REPEATS),
        };
        // What is refused another request ends by itself.
        let is_ending = self.refusals > 0;
        if holds_rounds || limits.gateways_count || is_ending {
            asked.max_rounds = None;
        }
        let repeats = (self.repeats >= most_repeats && !is_ending).then(|| ReachedLimit {
            name: LimitName::MaxRounds,
            most: f64::from(most_repeats),
            used: f64::from(self.repeats),
            is_of_day: false,
        });
        repeats
            .or_else(|| asked.reached(&spent))
            .or_else(|| limits.day.reached(&spent).map(ReachedLimit::of_day))
    }
}

impl Fold {
    /// The limit that the turn has reached, where it runs on and was not stopped.
    pub(in crate::turn) fn limit_to_stop_at(&self) -> Option<ReachedLimit> {
        let is_over = self.result.is_some() || self.ended.is_some() || self.exited.is_some();
        if is_over || self.limit.is_some() || !self.is_told() {
            return None;
        }
        let holds_rounds = |capability: &Capability| match capability {
            Capability::Limits(names) => names.contains(&types::LimitName::MaxRounds),
            _ => false,
        };
        let holds_rounds = self.description().capabilities.iter().any(holds_rounds);
        self.rounds
            .reached(&self.limits, &self.usage.sum, holds_rounds)
    }

    /// The limit that has ended the turn, or has kept it from another request.
    pub(super) fn limit_met(&self) -> Option<ReachedLimit> {
        self.limit.or_else(|| self.rounds.refused())
    }

    /// Requests to the model in the turn.
    pub(in crate::turn) fn rounds(&self) -> u32 {
        self.rounds.count()
    }

    /// Tells that a limit has ended the turn, where the adapter tells no result.
    pub(super) fn tell_limit(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let Some(limit) = self.limit_met().filter(|_| self.result.is_none()) else {
            return Ok(());
        };
        let mut result = TurnResult {
            stop: StopKind::Interrupted,
            text: None,
            structured: None,
            is_error: false,
            stop_reason: None,
            duration_ms: Some(self.ids.elapsed()),
            failure: None,
        };
        stop_by(&mut result, &limit);
        self.failure.clone_from(&result.failure);
        self.result = Some(result.clone());
        self.tell_end(None, result, step)
    }
}

/// What a turn comes to that a limit has ended.
pub(in crate::turn) fn stop_by(result: &mut TurnResult, limit: &ReachedLimit) {
    result.stop = match limit.name {
        LimitName::MaxRounds => StopKind::MaxRounds,
        LimitName::MaxOutputTokens | LimitName::MaxCostUsd => StopKind::Budget,
    };
    result.is_error = true;
    result.failure = Some(Failure {
        kind: FailureKind::Limit,
        message: limit_text(limit),
        retry_at: None,
    });
}

/// Names the limit that the CLI itself has held, where it did.
pub(super) fn name(result: &mut TurnResult, asked: &Limits) {
    let Some(failure) = &mut result.failure else {
        return;
    };
    if failure.kind != FailureKind::Limit {
        return;
    }
    let limit = match result.stop {
        StopKind::MaxRounds => asked.max_rounds.map(|most| ("max_rounds", f64::from(most))),
        _ => asked.max_cost_usd.map(|most| ("max_cost_usd", most)),
    };
    if let Some((name, most)) = limit {
        failure.message = format!("{name}: {} (at most {most})", failure.message);
        if result.stop != StopKind::MaxRounds {
            result.stop = StopKind::Budget;
        }
    }
}

/// What is said of a turn that a limit has ended.
pub(in crate::turn) fn limit_text(limit: &ReachedLimit) -> String {
    format!(
        "the turn reached its limit, and was stopped: {limit}; the session takes another prompt"
    )
}

#[cfg(test)]
mod tests;
