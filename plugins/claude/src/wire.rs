//! The lines that the CLI writes, as far as the adapter reads them.
//!
//! `type` is not always the first key. So one structure serves all kinds of lines, and those that
//! come by the thousand are read once; the others are read once more for the rest of what they may
//! have. What few lines have is left as it stands and read by who needs it.

mod lenient;

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Line<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) subtype: Option<Text<'a>>,
    pub(crate) session_id: Option<Text<'a>>,
    /// Set in what a subagent says: the call of the tool that started it.
    pub(crate) parent_tool_use_id: Option<Text<'a>>,
    /// In `assistant` and `user`; in some notices a plain text.
    pub(crate) message: Message<'a>,
    /// In `assistant`: it breaks off.
    pub(crate) aborted: Option<bool>,
    /// In `user`: the CLI says it, not a user.
    #[serde(rename = "isSynthetic")]
    pub(crate) is_synthetic: Option<bool>,
    /// In `stream_event`.
    pub(crate) event: Option<StreamEvent<'a>>,
    /// A word for what went wrong, in `assistant` and `system/api_retry`.
    pub(crate) error: MaybeText<'a>,
    /// In `user`, next to a tool's result: what the tool says for programs.
    #[serde(borrow)]
    pub(crate) tool_use_result: Option<&'a RawValue>,
    /// In `assistant`, next to calls of tools of MCP servers.
    pub(crate) tool_use_meta: Vec<ToolUseMeta<'a>>,

    /// What is in none of the lines that come by the thousand; empty in those.
    #[serde(skip)]
    pub(crate) rest: Rest<'a>,
}

/// What a line may have that tells neither a message nor a piece of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Rest<'a> {
    // `system/init`
    pub(crate) mcp_servers: Vec<McpServer<'a>>,
    pub(crate) model: MaybeText<'a>,

    // `system/status`, `system/task_notification`
    pub(crate) status: MaybeText<'a>,

    // `system/session_state_changed`, `command_lifecycle`
    pub(crate) state: MaybeText<'a>,
    /// In `command_lifecycle`: the id of what was said.
    pub(crate) command_uuid: MaybeText<'a>,

    // `control_request`, `control_cancel_request`, `control_response`
    pub(crate) request_id: MaybeText<'a>,
    #[serde(borrow)]
    pub(crate) request: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) response: Option<&'a RawValue>,

    // `system/compact_boundary`
    pub(crate) compact_metadata: Option<CompactMetadata>,

    // `system/api_retry`
    pub(crate) attempt: Option<u32>,
    pub(crate) max_retries: Option<u32>,
    pub(crate) retry_delay_ms: Option<f64>,
    pub(crate) error_status: Option<u16>,

    // `rate_limit_event`
    pub(crate) rate_limit_info: Option<RateLimit<'a>>,

    // `system/task_*`, `system/background_tasks_changed`
    pub(crate) task_id: MaybeText<'a>,
    pub(crate) task_type: MaybeText<'a>,
    pub(crate) tool_use_id: MaybeText<'a>,
    pub(crate) is_backgrounded: Option<bool>,
    /// The CLI's own housekeeping.
    pub(crate) ambient: Option<bool>,
    pub(crate) patch: Option<TaskPatch<'a>>,
    pub(crate) tasks: Vec<OpenTask<'a>>,

    // What tasks and notices are about
    pub(crate) description: MaybeText<'a>,
    pub(crate) summary: MaybeText<'a>,
    pub(crate) content: MaybeText<'a>,

    // `result`
    pub(crate) is_error: Option<bool>,
    pub(crate) api_error_status: Option<u16>,
    pub(crate) result: MaybeText<'a>,
    #[serde(borrow)]
    pub(crate) structured_output: Option<&'a RawValue>,
    pub(crate) num_turns: Option<u64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) stop_reason: Option<Text<'a>>,
    pub(crate) terminal_reason: Option<Text<'a>>,
    /// Who asked, if it was not the user.
    pub(crate) origin: Option<Origin<'a>>,
    pub(crate) total_cost_usd: Option<f64>,
    pub(crate) usage: Option<Usage>,
    /// By the models' names.
    #[serde(borrow)]
    pub(crate) model_usage_since_last_result: Option<&'a RawValue>,
    pub(crate) errors: Vec<MaybeText<'a>>,
}

impl<'a> Line<'a> {
    /// Reads a line. None: it is none of the CLI's.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut line: Self = serde_json::from_str(text).ok()?;
        if !matches!(&*line.kind, "stream_event" | "assistant" | "user") {
            line.rest = serde_json::from_str(text).ok()?;
        }
        Some(line)
    }

    /// Whether a result is not the prompt's: work in the background has ended, and the CLI has told
    /// the model so.
    pub(crate) fn is_of_background(&self) -> bool {
        let kind = self
            .rest
            .origin
            .as_ref()
            .and_then(|origin| origin.kind.0.as_deref());
        kind == Some("task-notification")
    }
}

/// A server in `system/init`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct McpServer<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) status: Text<'a>,
}

/// What people are told of a call.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct ToolUseMeta<'a> {
    pub(crate) id: MaybeText<'a>,
    pub(crate) display_name: MaybeText<'a>,
}

/// How much shorter the conversation became.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CompactMetadata {
    pub(crate) pre_tokens: Option<u64>,
    pub(crate) post_tokens: Option<u64>,
}

/// What a `rate_limit_event` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct RateLimit<'a> {
    pub(crate) status: MaybeText<'a>,
    #[serde(rename = "resetsAt")]
    pub(crate) resets_at: Option<u64>,
    #[serde(rename = "rateLimitType")]
    pub(crate) kind: MaybeText<'a>,
}

/// What has changed of a task.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct TaskPatch<'a> {
    pub(crate) status: MaybeText<'a>,
    pub(crate) is_backgrounded: Option<bool>,
}

/// A task that is at work in the background.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct OpenTask<'a> {
    pub(crate) task_id: MaybeText<'a>,
}

/// Who asked for what a `result` ends.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Origin<'a> {
    pub(crate) kind: MaybeText<'a>,
}

/// Tokens of the main conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) cache_creation_input_tokens: Option<u64>,
    pub(crate) cache_read_input_tokens: Option<u64>,
}

/// Tokens of a model, subagents and all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ModelUsage {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) thinking_tokens: Option<u64>,
    pub(crate) cache_read_input_tokens: u64,
    pub(crate) cache_creation_input_tokens: u64,
    #[serde(rename = "costUSD")]
    pub(crate) cost_usd: Option<f64>,
}

/// A message of the API.
#[derive(Debug, Default)]
pub(crate) struct Message<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) content: Content<'a>,
}

/// A message's or a tool result's content.
#[derive(Debug, Default)]
pub(crate) enum Content<'a> {
    #[default]
    Absent,
    Text(Text<'a>),
    Blocks(Vec<Block<'a>>),
}

/// A block of a content.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Block<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) text: Option<Text<'a>>,
    pub(crate) thinking: Option<Text<'a>>,
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,
    pub(crate) tool_use_id: Option<Text<'a>>,
    pub(crate) tool_name: Option<Text<'a>>,
    pub(crate) content: Content<'a>,
    pub(crate) is_error: Option<bool>,
    /// Of an image.
    #[serde(borrow)]
    pub(crate) source: Option<&'a RawValue>,
}

/// A piece of a message that is being made.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct StreamEvent<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) delta: Delta<'a>,
    /// In `message_start`.
    pub(crate) message: Message<'a>,
}

/// What a piece adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Delta<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) text: Option<Text<'a>>,
    pub(crate) thinking: Option<Text<'a>>,
}
