//! The lines that the CLI writes, as far as the adapter reads them. One structure serves all
//! kinds of lines and one all kinds of items, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub thread_id: Option<Text<'a>>,
    pub item: Option<Item<'a>>,
    pub usage: Option<Usage>,
    pub error: Option<Error<'a>>,
    pub message: Option<Text<'a>>,
}

/// Tokens of the thread.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Error<'a> {
    pub message: Text<'a>,
}

/// Something that the agent did or said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Item<'a> {
    pub id: Text<'a>,
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub status: Option<Text<'a>>,

    // `agent_message`, `reasoning`
    pub text: Option<Text<'a>>,
    // `error`
    pub message: Option<Text<'a>>,

    // `command_execution`
    #[serde(borrow)]
    pub command: Option<&'a RawValue>,
    pub aggregated_output: Option<Text<'a>>,
    pub exit_code: Option<i64>,

    // `file_change`
    pub changes: Vec<Change<'a>>,

    // `mcp_tool_call`
    pub server: Option<Text<'a>>,
    pub tool: Option<Text<'a>>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    pub result: Option<McpResult<'a>>,
    pub error: Option<Error<'a>>,

    // `web_search`
    #[serde(borrow)]
    pub query: Option<&'a RawValue>,

    // `todo_list`
    pub items: Vec<Todo<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Change<'a> {
    pub path: Text<'a>,
    pub kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct McpResult<'a> {
    pub content: Vec<Content<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Content<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub text: MaybeText<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Todo<'a> {
    pub text: Text<'a>,
    pub completed: bool,
}
