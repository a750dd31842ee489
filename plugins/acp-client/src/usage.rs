//! Tokens and money.

use aod_plugin_sdk::{Out, Usage, dollars_between, usage};

use crate::wire::{Cost, Prompted, Tokens};

/// What a session has cost, which agents tell as a running total.
#[derive(Debug, Default)]
pub(crate) struct Money {
    /// What it had cost when that was last reckoned, unknown in a session that is gone on with, and
    /// what the agent has said since.
    before: Option<f64>,
    now: Option<f64>,
}

impl Money {
    /// For a session that begins here, or, with the dollars known, goes on.
    pub(crate) fn at(dollars: Option<f64>) -> Self {
        Self {
            before: dollars,
            now: None,
        }
    }

    /// What the session has cost until now, where that is known.
    pub(crate) fn now(&self) -> Option<f64> {
        self.now.or(self.before)
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.before = self.now.take().or(self.before);
    }

    /// The agent says what the session has cost.
    pub(crate) fn said(&mut self, cost: &Cost<'_>) {
        if matches!(&*cost.currency, "USD" | "") && cost.amount.is_some() {
            self.now = cost.amount;
        }
    }

    /// What the turn has cost, once.
    fn take(&mut self) -> Option<f64> {
        let now = self.now.take()?;
        let before = self.before.replace(now)?;
        Some(dollars_between(before, now).max(0.0))
    }
}

/// Tells what a prompt used: by model where the agent says it so.
pub(crate) fn tell(prompted: &Prompted<'_>, money: &mut Money, out: &mut Out) {
    let mut cost = money.take();
    let quota = prompted.meta.as_ref().and_then(|meta| meta.quota.as_ref());
    let models = quota
        .map(|quota| &quota.model_usage[..])
        .unwrap_or_default();
    for used in models {
        out.usage(Usage {
            model: Some(used.model.to_string()),
            cost_usd: cost.take(),
            ..of(used.token_count)
        });
    }
    if models.is_empty() {
        let tokens = prompted
            .usage
            .or_else(|| quota.and_then(|quota| quota.token_count));
        if tokens.is_some() || cost.is_some_and(|cost| cost > 0.0) {
            out.usage(Usage {
                cost_usd: cost,
                ..of(tokens.unwrap_or_default())
            });
        }
    }
}

/// Tells what an agent spent by itself; it says no tokens of that.
pub(crate) fn tell_money(money: &mut Money, out: &mut Out) {
    if let Some(cost) = money.take().filter(|cost| *cost > 0.0) {
        out.usage(Usage {
            cost_usd: Some(cost),
            ..usage(0, 0)
        });
    }
}

fn of(tokens: Tokens) -> Usage {
    let thought = tokens.thought_tokens.unwrap_or(0);
    let read = tokens.cached_read_tokens.unwrap_or(0);
    let written = tokens.cached_write_tokens.unwrap_or(0);
    // Some count what is thought among the output and some beside it; the total tells.
    let told = [tokens.input_tokens, tokens.output_tokens, read, written]
        .into_iter()
        .fold(0, u64::saturating_add);
    let beside = match tokens.total_tokens {
        Some(total) => total.saturating_sub(told).min(thought),
        None => thought,
    };
    Usage {
        cache_read_tokens: read,
        cache_write_tokens: written,
        reasoning_tokens: thought,
        ..usage(
            tokens.input_tokens.saturating_add(written),
            tokens.output_tokens.saturating_add(beside),
        )
    }
}
