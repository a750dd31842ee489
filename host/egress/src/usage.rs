//! Where a provider's answers say how many tokens were used.

use aod_launch::TokenCounts;
use serde::{Deserialize, Serialize};

/// The most fields of one gateway.
pub const MAX_USAGE_FIELDS: usize = 64;
/// The most keys that lead to a field.
pub const MAX_USAGE_DEPTH: usize = 8;

/// The fields of answers that count as usage: at most [`MAX_USAGE_FIELDS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsageFields(Vec<UsageField>);

/// A field of answers, and what it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageField {
    /// What it counts.
    pub figure: Figure,
    /// The keys of objects that lead to it, from the whole of the JSON on.
    pub path: Vec<String>,
}

/// What a field counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Tokens sent.
    Input,
    /// Tokens sent that are not in `Input`.
    InputApart,
    /// Of `Input`, tokens that were read from a cache.
    Cached,
    /// Tokens that were read from a cache and are not in `Input`.
    CachedApart,
    /// Tokens received.
    Output,
    /// Tokens received that are not in `Output`.
    OutputApart,
}

impl Figure {
    /// Where it stands among counts.
    pub fn of(self, counts: &mut TokenCounts) -> &mut u64 {
        match self {
            Self::Input => &mut counts.input,
            Self::InputApart => &mut counts.input_apart,
            Self::Cached => &mut counts.cached,
            Self::CachedApart => &mut counts.cached_apart,
            Self::Output => &mut counts.output,
            Self::OutputApart => &mut counts.output_apart,
        }
    }
}

/// What providers in general use: `usage` with the words that many have in common, and
/// `usageMetadata`, at the top or in the message or response that an event has.
const COMMON: [(Figure, &[&str], &[&str]); 13] = [
    (
        Figure::Input,
        &["", "message", "response"],
        &["usage", "input_tokens"],
    ),
    (Figure::Input, &[""], &["usage", "prompt_tokens"]),
    (
        Figure::InputApart,
        &["", "message"],
        &["usage", "cache_creation_input_tokens"],
    ),
    (
        Figure::CachedApart,
        &["", "message"],
        &["usage", "cache_read_input_tokens"],
    ),
    (
        Figure::Cached,
        &["", "response"],
        &["usage", "input_tokens_details", "cached_tokens"],
    ),
    (
        Figure::Cached,
        &[""],
        &["usage", "prompt_tokens_details", "cached_tokens"],
    ),
    (
        Figure::Output,
        &["", "message", "response"],
        &["usage", "output_tokens"],
    ),
    (Figure::Output, &[""], &["usage", "completion_tokens"]),
    (
        Figure::Input,
        &["", "response"],
        &["usageMetadata", "promptTokenCount"],
    ),
    (
        Figure::Cached,
        &["", "response"],
        &["usageMetadata", "cachedContentTokenCount"],
    ),
    (
        Figure::Output,
        &["", "response"],
        &["usageMetadata", "candidatesTokenCount"],
    ),
    (
        Figure::InputApart,
        &["", "response"],
        &["usageMetadata", "toolUsePromptTokenCount"],
    ),
    (
        Figure::OutputApart,
        &["", "response"],
        &["usageMetadata", "thoughtsTokenCount"],
    ),
];

impl UsageFields {
    /// These fields, as far as they are no more than may be.
    pub fn new(fields: impl IntoIterator<Item = UsageField>) -> Self {
        let fields = fields
            .into_iter()
            .filter(|field| (1..=MAX_USAGE_DEPTH).contains(&field.path.len()));
        Self(fields.take(MAX_USAGE_FIELDS).collect())
    }

    /// What most providers use.
    #[must_use]
    pub fn common() -> Self {
        Self::new(COMMON.iter().flat_map(|(figure, parents, path)| {
            parents.iter().map(|parent| {
                let front = (!parent.is_empty()).then_some(parent);
                let keys = front.into_iter().chain(path.iter());
                UsageField {
                    figure: *figure,
                    path: keys.map(|&key| key.to_owned()).collect(),
                }
            })
        }))
    }

    /// The fields.
    pub fn iter(&self) -> std::slice::Iter<'_, UsageField> {
        self.0.iter()
    }
}
