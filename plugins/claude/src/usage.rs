//! Tokens and money, from a `result` line.

use std::collections::BTreeMap;

use aod_plugin_sdk::{Out, Usage, dollars_between, usage};

use crate::resume::Resume;
use crate::wire::{Line, ModelUsage};

/// Tells what was used since the last result: for each model, with all that subagents and broken
/// off replies used. Returns whether a model was asked at all.
///
/// Older CLIs count for the main conversation only, and their cost is the session's so far.
pub(crate) fn tell(
    line: &Line<'_>,
    model: Option<&str>,
    resume: &mut Resume,
    out: &mut Out,
) -> bool {
    let cost_before = resume.cost_usd;
    if let Some(total) = line.rest.total_cost_usd {
        resume.cost_usd = total;
    }
    let by_model = line
        .rest
        .model_usage_since_last_result
        .and_then(|usage| serde_json::from_str::<BTreeMap<String, ModelUsage>>(usage.get()).ok());
    if let Some(by_model) = by_model {
        let was_asked = !by_model.is_empty();
        if !was_asked && !line.is_of_background() {
            out.usage(Usage {
                model: model.map(str::to_owned),
                cost_usd: Some(0.0),
                ..usage(0, 0)
            });
        }
        for (model, used) in by_model {
            out.usage(of_model(model, &used));
        }
        return was_asked;
    }
    let Some(used) = &line.rest.usage else {
        return true;
    };
    let written = used.cache_creation_input_tokens.unwrap_or(0);
    let input = used.input_tokens.unwrap_or(0).saturating_add(written);
    out.usage(Usage {
        model: model.map(str::to_owned),
        cache_write_tokens: written,
        cache_read_tokens: used.cache_read_input_tokens.unwrap_or(0),
        cost_usd: line.rest.total_cost_usd.map(|total| {
            // Less than before: the CLI has lost count and began anew.
            if total >= cost_before {
                dollars_between(cost_before, total)
            } else {
                total
            }
        }),
        ..usage(input, used.output_tokens.unwrap_or(0))
    });
    line.rest.num_turns != Some(0)
}

fn of_model(model: String, used: &ModelUsage) -> Usage {
    let written = used.cache_creation_input_tokens;
    Usage {
        model: Some(model),
        cache_write_tokens: written,
        cache_read_tokens: used.cache_read_input_tokens,
        reasoning_tokens: used.thinking_tokens.unwrap_or(0),
        cost_usd: used.cost_usd,
        ..usage(
            used.input_tokens.saturating_add(written),
            used.output_tokens,
        )
    }
}
