//! The lines that an agent writes, as far as the adapter reads them. One structure serves all
//! kinds of updates, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
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
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Capabilities {
    pub load_session: bool,
    pub mcp_capabilities: McpCapabilities,
    pub session_capabilities: SessionCapabilities,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct McpCapabilities {
    pub http: bool,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct SessionCapabilities {
    /// Going on with a session without being told its history.
    pub resume: Option<serde::de::IgnoredAny>,
}

/// The reply to `session/new`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Opened<'a> {
    pub session_id: Option<Text<'a>>,
}

/// The reply to `session/prompt`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Prompted<'a> {
    pub stop_reason: Text<'a>,
    pub usage: Option<Tokens>,
    #[serde(rename = "_meta")]
    pub meta: Option<Meta>,
}

/// Tokens of a prompt.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tokens {
    #[serde(alias = "input_tokens")]
    pub input_tokens: u64,
    #[serde(alias = "output_tokens")]
    pub output_tokens: u64,
    pub thought_tokens: Option<u64>,
    pub cached_read_tokens: Option<u64>,
    pub cached_write_tokens: Option<u64>,
}

/// Where an agent counts tokens outside of the protocol.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub quota: Option<Quota>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quota {
    pub token_count: Option<Tokens>,
}

/// The parameters of `session/update`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Notified<'a> {
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
    pub title: MaybeText<'a>,
    pub kind: MaybeText<'a>,
    pub status: MaybeText<'a>,
    #[serde(borrow)]
    pub raw_input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub raw_output: Option<&'a RawValue>,
    pub locations: Option<Vec<Location<'a>>>,
    pub entries: Vec<Entry<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Location<'a> {
    pub path: Text<'a>,
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
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Block<'a> {
    pub text: MaybeText<'a>,
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
