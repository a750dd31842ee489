//! The lines that the app server writes, as far as the adapter reads them. One structure serves the
//! parameters of all notifications and requests, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{Item, Usage};

/// A line of stdout: a request, a notification or a reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Message<'a> {
    /// Requests of the server's are numbered from 0.
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    pub(super) error: Option<Error<'a>>,
}

/// Why a request failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Error<'a> {
    pub(super) message: Text<'a>,
}

/// What a notification or a request tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Params<'a> {
    pub(super) thread_id: MaybeText<'a>,
    pub(super) turn_id: MaybeText<'a>,
    pub(super) item_id: MaybeText<'a>,

    pub(super) delta: MaybeText<'a>,
    pub(super) summary_index: Option<u32>,
    #[serde(borrow)]
    pub(super) item: Option<&'a RawValue>,
    pub(super) turn: Option<Turn<'a>>,
    pub(super) plan: Vec<PlanStep<'a>>,
    pub(super) token_usage: Option<TokenUsage>,
    pub(super) rate_limits: Option<RateLimits>,

    /// Of an MCP server a text, of a turn an object.
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    pub(super) will_retry: bool,

    // Warnings.
    pub(super) message: MaybeText<'a>,
    pub(super) summary: MaybeText<'a>,
    pub(super) details: MaybeText<'a>,
    pub(super) from_model: MaybeText<'a>,
    pub(super) to_model: MaybeText<'a>,

    // An MCP server.
    pub(super) name: MaybeText<'a>,
    pub(super) status: MaybeText<'a>,

    // Questions.
    #[serde(borrow)]
    pub(super) request_id: Option<&'a RawValue>,
    pub(super) reason: MaybeText<'a>,
    pub(super) command: MaybeText<'a>,
    #[serde(borrow)]
    pub(super) permissions: Option<&'a RawValue>,
    pub(super) questions: Vec<Question<'a>>,
    #[serde(rename = "_meta")]
    pub(super) meta: Option<Meta<'a>>,
}

/// A turn of the server's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Turn<'a> {
    pub(super) id: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) error: Option<TurnError<'a>>,
    pub(super) duration_ms: Option<u64>,
}

/// What went wrong in a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct TurnError<'a> {
    pub(super) message: Text<'a>,
    /// A word, or an object whose only key is one.
    #[serde(borrow)]
    pub(super) codex_error_info: Option<&'a RawValue>,
    pub(super) additional_details: MaybeText<'a>,
}

/// What stands behind the key of `codex_error_info`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ErrorInfo {
    pub(super) http_status_code: Option<u16>,
}

/// A thing to do.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct PlanStep<'a> {
    pub(super) step: Text<'a>,
    pub(super) status: Text<'a>,
}

/// Tokens of a thread.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenUsage {
    pub(super) total: Usage,
}

/// How much of a plan is used up.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RateLimits {
    pub(super) primary: Option<RateLimit>,
    pub(super) secondary: Option<RateLimit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RateLimit {
    pub(super) used_percent: f64,
    /// In seconds since the Unix epoch.
    pub(super) resets_at: Option<u64>,
}

/// A question of the agent's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Question<'a> {
    pub(super) id: Text<'a>,
    pub(super) question: Text<'a>,
    pub(super) options: Option<Vec<Answerable<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Answerable<'a> {
    pub(super) label: Text<'a>,
}

/// What the server adds to a question of an MCP server's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Meta<'a> {
    pub(super) codex_approval_kind: MaybeText<'a>,
    /// How long an answer may hold.
    #[serde(borrow)]
    pub(super) persist: Option<&'a RawValue>,
}

/// The reply to a request for a thread or a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Opened<'a> {
    pub(super) thread: Option<Thread<'a>>,
    pub(super) turn: Option<Turn<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Thread<'a> {
    pub(super) id: Text<'a>,
}

/// Reads a part of a message; what is not there or of another form reads as nothing.
pub(super) fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// An item of a notification.
pub(super) fn item<'a>(params: &Params<'a>) -> Option<Item<'a>> {
    serde_json::from_str(params.item?.get()).ok()
}
