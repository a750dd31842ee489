//! The lines that an agent writes, as far as the adapter reads them. One structure serves all
//! kinds of updates, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A line of stdout: a request, a notification or a reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Message<'a> {
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    pub method: Option<Text<'a>>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    pub error: Option<Error<'a>>,
}

/// Why a request failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Error<'a> {
    pub code: i64,
    pub message: Text<'a>,
    pub data: Option<&'a RawValue>,
}

/// What some agents put into an error's data.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ErrorData<'a> {
    pub details: MaybeText<'a>,
}

/// The reply to `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Initialized {
    pub protocol_version: u64,
    pub agent_capabilities: Capabilities,
    #[serde(rename = "_meta")]
    pub meta: AgentMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Capabilities {
    pub load_session: bool,
    pub prompt_capabilities: PromptCapabilities,
    pub mcp_capabilities: McpCapabilities,
    pub session_capabilities: SessionCapabilities,
    #[serde(rename = "_meta")]
    pub meta: AgentMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PromptCapabilities {
    pub image: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct McpCapabilities {
    pub http: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionCapabilities {
    /// Going on with a session without being told its history.
    pub resume: Option<IgnoredAny>,
    pub fork: Option<IgnoredAny>,
}

/// What agents offer beyond the protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AgentMeta {
    pub steering: Option<Steering>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Steering {
    pub supported: bool,
}

/// The reply to `session/new`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Opened<'a> {
    pub session_id: Option<Text<'a>>,
}

/// The reply to `_session/steering`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Steered<'a> {
    pub outcome: Text<'a>,
}

/// The reply to `session/prompt`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Prompted<'a> {
    pub stop_reason: Text<'a>,
    pub usage: Option<Tokens>,
    #[serde(rename = "_meta")]
    pub meta: Option<PromptMeta<'a>>,
}

/// Tokens of a prompt.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tokens {
    pub total_tokens: Option<u64>,
    #[serde(alias = "input_tokens")]
    pub input_tokens: u64,
    #[serde(alias = "output_tokens")]
    pub output_tokens: u64,
    #[serde(alias = "reasoningOutputTokens")]
    pub thought_tokens: Option<u64>,
    #[serde(alias = "cachedInputTokens")]
    pub cached_read_tokens: Option<u64>,
    #[serde(alias = "cacheWriteInputTokens")]
    pub cached_write_tokens: Option<u64>,
}

/// Where agents count tokens outside of the protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct PromptMeta<'a> {
    pub quota: Option<Quota<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Quota<'a> {
    pub token_count: Option<Tokens>,
    pub model_usage: Vec<ModelUsage<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ModelUsage<'a> {
    pub model: Text<'a>,
    pub token_count: Tokens,
}

/// The parameters of `session/update`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Notified<'a> {
    pub session_id: Option<Text<'a>>,
    pub update: Update<'a>,
}

/// An update; a request for permission describes its tool in the same way.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Update<'a> {
    pub session_update: Text<'a>,
    pub message_id: MaybeText<'a>,
    /// Of a message one block, of a tool a list.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    pub tool_call_id: Text<'a>,
    pub name: MaybeText<'a>,
    pub title: MaybeText<'a>,
    pub kind: MaybeText<'a>,
    pub status: MaybeText<'a>,
    #[serde(borrow)]
    pub raw_input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub raw_output: Option<&'a RawValue>,
    pub locations: Option<Vec<Location<'a>>>,
    pub entries: Vec<Entry<'a>>,
    /// Of `usage_update`.
    #[serde(borrow)]
    pub cost: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub meta: Option<&'a RawValue>,
}

/// What agents tell beyond the protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct UpdateMeta<'a> {
    #[serde(rename = "claudeCode")]
    pub claude: Option<ClaudeMeta<'a>>,
    pub codex: Option<CodexMeta<'a>>,
    pub terminal_output: Option<TerminalOutput<'a>>,
    pub terminal_output_delta: Option<TerminalOutput<'a>>,
    /// What the agent did by itself has ended.
    #[serde(rename = "_claude/origin")]
    pub origin: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct ClaudeMeta<'a> {
    pub tool_name: Option<Text<'a>>,
    /// The call that a subagent works for.
    pub parent_tool_use_id: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct CodexMeta<'a> {
    pub thread_status: Option<ThreadStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ThreadStatus<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct TerminalOutput<'a> {
    pub data: Text<'a>,
}

/// What a session has cost.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Cost<'a> {
    pub amount: Option<f64>,
    pub currency: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Location<'a> {
    pub path: Text<'a>,
    pub line: Option<u32>,
}

/// An entry of a plan.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Entry<'a> {
    pub content: Text<'a>,
    pub status: Text<'a>,
}

/// A block of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Block<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub text: MaybeText<'a>,
    pub mime_type: MaybeText<'a>,
    pub data: MaybeText<'a>,
    pub uri: MaybeText<'a>,
    pub name: MaybeText<'a>,
}

/// A piece of what a tool tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Piece<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub content: Option<Block<'a>>,
    pub path: MaybeText<'a>,
    pub old_text: MaybeText<'a>,
    pub new_text: MaybeText<'a>,
}

/// A tool's own output.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RawOutput<'a> {
    pub output: MaybeText<'a>,
    pub error: MaybeText<'a>,
    pub metadata: OutputMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputMetadata {
    /// Whether a file that was written was there before.
    pub exists: Option<bool>,
}

/// The parameters of `session/request_permission`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Asked<'a> {
    #[serde(borrow)]
    pub tool_call: Option<&'a RawValue>,
    pub options: Vec<PermissionOption<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct PermissionOption<'a> {
    pub option_id: Text<'a>,
    pub name: Text<'a>,
    pub kind: Text<'a>,
}

/// Reads a part of a message; what is not there or of another form reads as nothing.
pub fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}
