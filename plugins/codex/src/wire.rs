//! The lines that the CLI writes, as far as the adapter reads them. One structure serves all
//! kinds of lines and one all kinds of items, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Line<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) thread_id: Option<Text<'a>>,
    pub(crate) item: Option<Item<'a>>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<Error<'a>>,
    pub(crate) message: Option<Text<'a>>,
}

/// Tokens of the thread.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: u64,
    pub(crate) cached_input_tokens: u64,
    pub(crate) cache_write_input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_output_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Error<'a> {
    pub(crate) message: Text<'a>,
}

/// Something that the agent did or said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Item<'a> {
    /// Unique in the process.
    pub(crate) id: Text<'a>,
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) status: Option<Text<'a>>,

    // `agent_message`, `reasoning`
    pub(crate) text: Option<Text<'a>>,
    // `error`
    pub(crate) message: Option<Text<'a>>,

    // `command_execution`
    #[serde(borrow)]
    pub(crate) command: Option<&'a RawValue>,
    pub(crate) aggregated_output: Option<Text<'a>>,
    pub(crate) exit_code: Option<i64>,

    // `file_change`
    #[serde(borrow)]
    pub(crate) changes: Option<&'a RawValue>,

    // `mcp_tool_call`, `collab_tool_call`
    pub(crate) server: Option<Text<'a>>,
    pub(crate) tool: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) arguments: Option<&'a RawValue>,
    pub(crate) result: Option<McpResult<'a>>,
    pub(crate) error: Option<Error<'a>>,

    // `collab_tool_call`
    #[serde(borrow)]
    pub(crate) prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) receiver_thread_ids: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) agents_states: Option<&'a RawValue>,

    // `web_search`
    #[serde(borrow)]
    pub(crate) query: Option<&'a RawValue>,

    // `todo_list`
    pub(crate) items: Vec<Todo<'a>>,
}

impl Item<'_> {
    /// Whether it did not come to a good end.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.status
            .as_deref()
            .is_some_and(|status| status != "completed")
    }

    /// The files that a `file_change` is about.
    pub(crate) fn changes(&self) -> Vec<Change<'_>> {
        self.changes
            .and_then(|changes| serde_json::from_str(changes.get()).ok())
            .unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Change<'a> {
    pub(crate) path: Text<'a>,
    pub(crate) kind: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct McpResult<'a> {
    pub(crate) content: Vec<Content<'a>>,
}

/// A block of an MCP server's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Content<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    pub(crate) text: MaybeText<'a>,
    // `image`
    pub(crate) data: MaybeText<'a>,
    #[serde(rename = "mimeType")]
    pub(crate) mime_type: MaybeText<'a>,
    // `resource_link`
    pub(crate) uri: MaybeText<'a>,
    pub(crate) name: MaybeText<'a>,
}

/// Where a subagent stands.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct AgentState<'a> {
    pub(crate) status: Text<'a>,
    pub(crate) message: MaybeText<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Todo<'a> {
    pub(crate) text: Text<'a>,
    pub(crate) completed: bool,
}
