//! Where providers' answers say how many tokens were used, as the egress program is told it.

use aod_egress::{Figure, UsageField, UsageFields};
use aod_runtime::Adapter;

/// What `runtimes.toml` says of a provider's answers, or else what most providers do.
pub(crate) fn usage_fields(adapter: &Adapter, provider: &str) -> UsageFields {
    let Some(paths) = adapter.usage_paths(provider) else {
        return UsageFields::common();
    };
    let figures = [
        (Figure::Input, &paths.input),
        (Figure::InputApart, &paths.input_apart),
        (Figure::Cached, &paths.cached),
        (Figure::CachedApart, &paths.cached_apart),
        (Figure::Output, &paths.output),
        (Figure::OutputApart, &paths.output_apart),
    ];
    UsageFields::new(figures.into_iter().flat_map(|(figure, paths)| {
        let paths = paths.iter().cloned();
        paths.map(move |path| UsageField { figure, path })
    }))
}
