//! The lines that `codex exec` writes, as far as the adapter reads them, and the items that they
//! and those of `codex app-server` are about. One structure serves all kinds of lines and one all
//! kinds of items, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::resume::Used;

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
    #[serde(alias = "inputTokens")]
    pub(crate) input_tokens: u64,
    #[serde(alias = "cachedInputTokens")]
    pub(crate) cached_input_tokens: u64,
    #[serde(alias = "cacheWriteInputTokens")]
    pub(crate) cache_write_input_tokens: u64,
    #[serde(alias = "outputTokens")]
    pub(crate) output_tokens: u64,
    #[serde(alias = "reasoningOutputTokens")]
    pub(crate) reasoning_output_tokens: u64,
}

impl Usage {
    pub(crate) fn used(&self) -> Used {
        Used {
            input: self.input_tokens,
            cached: self.cached_input_tokens,
            written: self.cache_write_input_tokens,
            output: self.output_tokens,
            reasoning: self.reasoning_output_tokens,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Error<'a> {
    pub(crate) message: Text<'a>,
}

/// Something that the agent did or said. The app server writes the same names in another way.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Item<'a> {
    /// Unique in the process.
    pub(crate) id: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    pub(crate) status: Option<Text<'a>>,

    // `agent_message`, `reasoning`
    pub(crate) text: Option<Text<'a>>,
    // `reasoning` of the app server
    #[serde(borrow)]
    pub(crate) summary: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) content: Option<&'a RawValue>,
    // `error`
    pub(crate) message: Option<Text<'a>>,

    // `command_execution`
    #[serde(borrow)]
    pub(crate) command: Option<&'a RawValue>,
    #[serde(alias = "aggregatedOutput")]
    pub(crate) aggregated_output: Option<Text<'a>>,
    #[serde(rename = "processId")]
    pub(crate) process_id: MaybeText<'a>,
    #[serde(alias = "exitCode")]
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
    #[serde(borrow, alias = "receiverThreadIds")]
    pub(crate) receiver_thread_ids: Option<&'a RawValue>,
    #[serde(borrow, alias = "agentsStates")]
    pub(crate) agents_states: Option<&'a RawValue>,

    // `web_search`
    #[serde(borrow)]
    pub(crate) query: Option<&'a RawValue>,

    // `view_image`
    pub(crate) path: MaybeText<'a>,

    // `todo_list`
    pub(crate) items: Vec<Todo<'a>>,
}

impl Item<'_> {
    /// What kind it is, as `exec` has it.
    pub(crate) fn kind(&self) -> &str {
        match &*self.kind {
            "agentMessage" => "agent_message",
            "userMessage" => "user_message",
            "commandExecution" => "command_execution",
            "fileChange" => "file_change",
            "mcpToolCall" => "mcp_tool_call",
            "collabAgentToolCall" => "collab_tool_call",
            "webSearch" => "web_search",
            "imageView" => "view_image",
            "contextCompaction" => "context_compaction",
            kind => kind,
        }
    }

    /// The tool of a `collab_tool_call`, as `exec` has it.
    pub(crate) fn collab_tool(&self) -> Option<String> {
        self.tool.as_deref().map(|tool| {
            let mut snake = String::with_capacity(tool.len() + 1);
            for letter in tool.chars() {
                if letter.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            snake
        })
    }

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
    /// A word, or an object of the app server's with more in it.
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    /// Of a file that was changed a diff, of one that is new or gone its content.
    pub(crate) diff: MaybeText<'a>,
}

/// What happens to a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct ChangeKind<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,
    /// Where it is afterwards.
    pub(crate) move_path: MaybeText<'a>,
}

impl<'a> Change<'a> {
    pub(crate) fn kind(&self) -> ChangeKind<'a> {
        let Some(raw) = self.kind else {
            return ChangeKind::default();
        };
        match serde_json::from_str::<Text<'a>>(raw.get()) {
            Ok(kind) => ChangeKind {
                kind,
                move_path: MaybeText(None),
            },
            Err(_) => serde_json::from_str(raw.get()).unwrap_or_default(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct McpResult<'a> {
    pub(crate) content: Vec<Content<'a>>,
    #[serde(rename = "structuredContent", alias = "structured_content", borrow)]
    pub(crate) structured: Option<&'a RawValue>,
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
    // `resource`
    #[serde(borrow)]
    pub(crate) resource: Option<Embedded<'a>>,
}

/// A resource that an MCP server answers with: a text, or bytes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Embedded<'a> {
    pub(crate) uri: MaybeText<'a>,
    #[serde(rename = "mimeType")]
    pub(crate) mime_type: MaybeText<'a>,
    pub(crate) text: MaybeText<'a>,
    pub(crate) blob: MaybeText<'a>,
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
