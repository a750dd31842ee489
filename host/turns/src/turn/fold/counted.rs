//! What providers said that a turn used, counted where their answers pass, beside what the CLI says.

use std::io;

use aod_egress::TokenCounts;
use aod_resources::event::{EventBody, Level, StopKind, TurnResult, UsageDifference};
use aod_resources::{ProviderUsage, Usage};

use super::{Fold, Step, notice};

/// Figures that differ by no more than this part of them are the same.
const TOLERANCE: u64 = 100;

/// What was counted in a turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    counts: TokenCounts,
    /// Whether it was held against what the CLI says.
    is_compared: bool,
}

impl Counted {
    pub(super) fn add(&mut self, more: TokenCounts) {
        self.counts += more;
    }

    fn usage(&self) -> Option<ProviderUsage> {
        let counts = &self.counts;
        (counts.requests > 0).then(|| ProviderUsage {
            requests: counts.requests,
            input_tokens: counts.fresh_input(),
            output_tokens: counts.all_output(),
            cached_tokens: counts.all_cached(),
        })
    }
}

impl Fold {
    /// What the turn's providers said that it used; none where nothing was counted.
    pub(in crate::turn) fn provider_usage(&self) -> Option<ProviderUsage> {
        self.counted.usage()
    }

    /// Holds what was counted against what the CLI has said, when that says that the turn is over.
    pub(super) fn compare_counted(
        &mut self,
        result: &TurnResult,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        let said = self.usage.sum;
        let is_whole = result.stop == StopKind::Completed && !result.is_error;
        // Of a turn that was stopped the CLI need not have said all; what is to be added is added
        // when there will be no more.
        if !is_whole || is_silent(&said) {
            return Ok(());
        }
        self.counted.is_compared = true;
        // What could not be read is known to the CLI alone.
        let is_all = self.counted.counts.unread == 0;
        match self.counted.usage().filter(|_| is_all) {
            Some(counted) if differs(&counted, &said) => {
                let text = difference(&counted, &said);
                self.tell(notice(Level::Warning, "usage.differs", text), step)
            }
            _ => Ok(()),
        }
    }

    /// Takes what was counted where the CLI has not come to say all: it was stopped, has died, or
    /// says no figures at all.
    pub(super) fn take_counted(&mut self, step: &mut Step<'_>) -> io::Result<()> {
        let compared = std::mem::replace(&mut self.counted.is_compared, true);
        let Some(counted) = self.counted.usage().filter(|_| !compared) else {
            return Ok(());
        };
        let used = unsaid(&counted, &self.usage.sum);
        if is_silent(&Usage::from(&used)) {
            return Ok(());
        }
        self.usage.add(&used);
        self.tell(EventBody::Usage(used), step)
    }
}

const fn is_silent(said: &Usage) -> bool {
    said.input_tokens == 0 && said.output_tokens == 0 && said.cached_tokens == 0
}

/// All tokens sent, cached or not: CLIs do not agree about what of them was cached.
const fn sent(fresh: u64, cached: u64) -> u64 {
    fresh.saturating_add(cached)
}

fn differs(counted: &ProviderUsage, said: &Usage) -> bool {
    let is_other = |one: u64, other: u64| one.abs_diff(other) > one.max(other) / TOLERANCE;
    let counted_sent = sent(counted.input_tokens, counted.cached_tokens);
    is_other(counted_sent, sent(said.input_tokens, said.cached_tokens))
        || is_other(counted.output_tokens, said.output_tokens)
}

/// What was counted and not said.
fn unsaid(counted: &ProviderUsage, said: &Usage) -> UsageDifference {
    let counted_sent = sent(counted.input_tokens, counted.cached_tokens);
    let more = counted_sent.saturating_sub(sent(said.input_tokens, said.cached_tokens));
    let cached = counted.cached_tokens.saturating_sub(said.cached_tokens);
    let cached = cached.min(more);
    UsageDifference {
        model: None,
        input_tokens: more - cached,
        cache_write_tokens: 0,
        output_tokens: counted.output_tokens.saturating_sub(said.output_tokens),
        reasoning_tokens: 0,
        cached_tokens: cached,
        cost_usd: None,
    }
}

fn difference(counted: &ProviderUsage, said: &Usage) -> String {
    format!(
        "the provider counted {} tokens sent and {} received, in {} requests; the CLI said {} sent \
         and {} received",
        sent(counted.input_tokens, counted.cached_tokens),
        counted.output_tokens,
        counted.requests,
        sent(said.input_tokens, said.cached_tokens),
        said.output_tokens,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> ProviderUsage {
        ProviderUsage {
            requests: 1,
            input_tokens,
            output_tokens,
            cached_tokens,
        }
    }

    fn said(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Usage {
        Usage {
            input_tokens,
            output_tokens,
            cached_tokens,
            cost_usd: None,
        }
    }

    #[test]
    fn what_was_cached_may_be_said_in_another_way() {
        let provider = counted(100, 900, 50);
        for (cli, other) in [
            (said(100, 900, 50), false),
            (said(1000, 0, 50), false),
            (said(1005, 0, 50), false),
            (said(1100, 0, 50), true),
            (said(100, 900, 49), true),
            (said(100, 0, 50), true),
        ] {
            assert_eq!(differs(&provider, &cli), other, "{cli:?}");
        }
    }

    #[test]
    fn what_is_added_makes_what_was_counted() {
        let provider = counted(100, 900, 50);
        for (cli, more) in [
            (said(0, 0, 0), (100, 900, 50)),
            (said(40, 900, 20), (60, 0, 30)),
            (said(500, 0, 20), (0, 500, 30)),
            (said(2000, 0, 70), (0, 0, 0)),
        ] {
            let used = unsaid(&provider, &cli);
            let sum = (used.input_tokens, used.cached_tokens, used.output_tokens);
            assert_eq!(sum, more, "{cli:?}");
        }
    }
}
