//! Usage as a sum: from what adapters count to what was used since the last time.

use std::collections::HashMap;

use aod_resources::Usage;
use aod_resources::event::UsageDifference;

/// What a turn has used.
#[derive(Debug, Default)]
pub(super) struct TurnUsage {
    pub(super) sum: Usage,
    /// What was told by totals, for each model.
    totals: HashMap<Option<String>, UsageDifference>,
}

impl TurnUsage {
    /// Another prompt of the same turn begins: totals do, too.
    pub(super) fn begin_anew(&mut self) {
        self.totals.clear();
    }

    /// Takes what was used since the last time.
    pub(super) fn add(&mut self, used: &UsageDifference) {
        self.sum += Usage::from(used);
    }

    /// Takes all that the turn has used of a model until now, and makes of it what was used since
    /// the last time. A total that is less than the last one says nothing new.
    pub(super) fn difference(&mut self, total: UsageDifference) -> UsageDifference {
        let before = self.totals.insert(total.model.clone(), total.clone());
        let Some(before) = before else { return total };
        UsageDifference {
            input_tokens: total.input_tokens.saturating_sub(before.input_tokens),
            cache_write_tokens: total
                .cache_write_tokens
                .saturating_sub(before.cache_write_tokens),
            output_tokens: total.output_tokens.saturating_sub(before.output_tokens),
            reasoning_tokens: total
                .reasoning_tokens
                .saturating_sub(before.reasoning_tokens),
            cached_tokens: total.cached_tokens.saturating_sub(before.cached_tokens),
            cost_usd: total
                .cost_usd
                .map(|cost| (cost - before.cost_usd.unwrap_or(0.0)).max(0.0)),
            model: total.model,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(model: &str, output_tokens: u64, cost_usd: Option<f64>) -> UsageDifference {
        UsageDifference {
            model: Some(model.to_owned()),
            input_tokens: 0,
            cache_write_tokens: 0,
            output_tokens,
            reasoning_tokens: 0,
            cached_tokens: 0,
            cost_usd,
        }
    }

    #[test]
    fn totals_become_differences_model_by_model() {
        let mut usage = TurnUsage::default();
        let steps = [
            ("a", 5, Some(0.5), 5, Some(0.5)),
            ("b", 7, None, 7, None),
            ("a", 8, Some(0.75), 3, Some(0.25)),
            ("a", 2, Some(0.75), 0, Some(0.0)),
        ];
        for (model, total, cost, difference, rest) in steps {
            let told = usage.difference(used(model, total, cost));
            assert_eq!((told.output_tokens, told.cost_usd), (difference, rest));
            usage.add(&told);
        }
        assert_eq!(usage.sum.output_tokens, 15);
    }
}
