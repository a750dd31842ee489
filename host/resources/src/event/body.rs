//! What events tell.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    FileChange, Part, PermissionAnswer, PermissionRequest, PermissionWithdrawn, Todo, ToolAnswer,
    ToolCall, ToolRequest, ToolResult, ToolUpdate, ToolWithdrawn, TurnInput, TurnResult,
    TurnStarted,
};
use crate::Usage;

/// Each type of event once: its name on the wire, and the type of its fields.
macro_rules! bodies {
    ($($(#[$doc:meta])* $variant:ident($fields:ty) = $name:tt,)*) => {
        /// What an event tells.
        #[derive(Clone, Debug, Serialize, ToSchema)]
        #[serde(tag = "type")]
        pub enum EventBody {
            $($(#[$doc])* #[serde(rename = $name)] $variant($fields),)*
        }

        impl EventBody {
            /// The names of all types of events.
            pub const KINDS: &'static [&'static str] = &[$($name),*];

            /// The name of its type on the wire.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// Reads the fields of an event of this type; `None` where the type is not known.
            pub(super) fn read(kind: &str, text: &str) -> Option<serde_json::Result<Self>> {
                match kind {
                    $($name => Some(serde_json::from_str(text).map(Self::$variant)),)*
                    _ => None,
                }
            }
        }
    };
}

bodies! {
    /// The CLI has begun and names its own session.
    SessionStarted(SessionStarted) = "session.started",
    /// A turn begins.
    TurnStarted(TurnStarted) = "turn.started",
    /// A piece of the assistant's text, which a `message` repeats whole.
    MessageDelta(MessageDelta) = "message.delta",
    /// A whole message.
    Message(Message) = "message",
    /// What was told of a message is void: it is tried again.
    MessageDiscarded(MessageDiscarded) = "message.discarded",
    /// A piece of the model's thinking, which a `reasoning` repeats whole.
    ReasoningDelta(MessageDelta) = "reasoning.delta",
    /// What the model says of its thinking.
    Reasoning(Reasoning) = "reasoning",
    /// A tool is called.
    ToolCall(ToolCall) = "tool.call",
    /// A tool that was called is at work.
    ToolUpdate(ToolUpdate) = "tool.update",
    /// A tool has answered.
    ToolResult(ToolResult) = "tool.result",
    /// A file was changed.
    FileChange(FileChange) = "file.change",
    /// The agent's list of things to do, whole.
    Todo(Todo) = "todo",
    /// Tokens used since the last `usage` of this turn: the sum over a turn is the turn's.
    Usage(UsageDifference) = "usage",
    /// A retry, a rate limit, a warning; also where the runtime's adapter failed.
    Notice(Notice) = "notice",
    /// Work in the background begins, goes on or ends.
    Task(Task) = "task",
    /// Where an MCP server stands.
    McpServer(McpServer) = "mcp.server",
    /// The conversation is made shorter.
    Compaction(Compaction) = "compaction",
    /// The CLI asks its user.
    PermissionRequest(PermissionRequest) = "permission.request",
    /// A question was answered.
    PermissionAnswer(PermissionAnswer) = "permission.answer",
    /// A question needs no answer any more.
    PermissionWithdrawn(PermissionWithdrawn) = "permission.withdrawn",
    /// The agent calls one of its own tools, and waits for the answer.
    ToolRequest(ToolRequest) = "tool.request",
    /// A call of one of the agent's own tools was answered.
    ToolAnswer(ToolAnswer) = "tool.answer",
    /// A call of one of the agent's own tools waits for no answer any more.
    ToolWithdrawn(ToolWithdrawn) = "tool.withdrawn",
    /// A user tells the turn that runs something besides its prompt, and what became of it.
    TurnInput(TurnInput) = "turn.input",
    /// How the turn ended, as the CLI tells it.
    TurnResult(TurnResult) = "turn.result",
    /// What the adapter did not know, as it stood.
    Unparsed(Unparsed) = "unparsed",
    /// What this version has no name for.
    Other(Other) = "other",
}

/// The CLI has begun and names its own session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionStarted {
    /// The CLI's own id of its session.
    pub native_session_id: String,
}

/// A piece of a text that comes in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageDelta {
    /// The `ordinal` of the message, or the thought, that it is a piece of, within the same turn.
    pub message: u32,
    /// The piece.
    pub text: String,
}

/// A whole message.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said, as text.
    pub text: String,
    /// What of it is no text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub parts: Vec<Part>,
    /// Whether it breaks off: the turn was stopped, or the reply ended too early.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub aborted: bool,
}

/// What was told of a message is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageDiscarded {
    /// The message's `ordinal`.
    pub message: u32,
    /// Why, for people.
    pub reason: String,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model.
    Assistant,
    /// The user.
    User,
    /// The CLI or its configuration.
    System,
}

/// What the model says of its thinking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reasoning {
    /// What it says.
    pub text: String,
}

/// Tokens used since the last `usage` of this turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageDifference {
    /// The model, as the CLI calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub model: Option<String>,
    /// Tokens sent that were not read from the provider's cache.
    pub input_tokens: u64,
    /// Of them, those that were written to the cache.
    pub cache_write_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Of them, those that the model spent on thinking.
    pub reasoning_tokens: u64,
    /// Tokens sent that the provider had cached.
    pub cached_tokens: u64,
    /// US dollars, where the CLI says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub cost_usd: Option<f64>,
}

impl From<&UsageDifference> for Usage {
    fn from(used: &UsageDifference) -> Self {
        Self {
            input_tokens: used.input_tokens,
            output_tokens: used.output_tokens,
            cached_tokens: used.cached_tokens,
            cost_usd: used.cost_usd,
        }
    }
}

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub text: String,
    /// A word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub code: Option<String>,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// Work in the background: it may outlive the turn that began it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Unique within the session.
    pub task_id: String,
    /// What became of it.
    pub state: TaskState,
    /// What it is.
    pub kind: TaskKind,
    /// The call that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub call_id: Option<String>,
    /// What it does or has come to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub title: Option<String>,
}

/// Where work in the background stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It has begun.
    Opened,
    /// It goes on.
    Progressed,
    /// It has ended well.
    Completed,
    /// It has failed.
    Failed,
    /// It was stopped.
    Stopped,
}

/// What works in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A command.
    Command,
    /// Another agent.
    Subagent,
    /// Something else.
    Other,
}

/// Where an MCP server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = McpServerState)]
pub struct McpServer {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: McpState,
    /// More about it, such as why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub message: Option<String>,
}

/// How an MCP server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum McpState {
    /// It is being started or reached.
    Connecting,
    /// Its tools can be called.
    Ready,
    /// It cannot be used.
    Failed,
    /// It wants its user to log in.
    NeedsAuth,
    /// It is switched off.
    Disabled,
}

/// A conversation that is made shorter, so that it fits the model's window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Compaction {
    /// Whether it is done, or has only begun.
    pub done: bool,
    /// Tokens before, where the CLI says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub tokens_before: Option<u64>,
    /// Tokens after, where the CLI says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub tokens_after: Option<u64>,
}

/// What the adapter did not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unparsed {
    /// A line without its line end, or a piece of one that is too long.
    pub data: String,
}

/// What this version has no name for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Other {
    /// What it is called.
    pub kind: String,
    /// All that is known of it; any JSON value.
    #[schema(value_type = Value)]
    pub json: Box<RawValue>,
}

#[cfg(test)]
impl EventBody {
    /// One of each type.
    pub(super) fn samples() -> Vec<Self> {
        // The fields of all types: each takes its own.
        let fields: serde_json::Value = serde_json::from_str(
            r#"{
                "native_session_id": "n", "cause": "background", "continuity": "fresh", "message": 1, "text": "t",
                "role": "assistant", "aborted": true, "reason": "r", "call_id": "c", "name": "x",
                "kind": "move", "input": {"a": [1.0]}, "locations": [{"path": "p", "line": 3}],
                "output": "o", "is_error": false, "content": "c", "path": "p", "moved_from": "q", "diff": "@@",
                "parts": [
                    {"image": {"media_type": "image/png", "data": ""}},
                    {"diff": {"path": "p", "unified": "@@"}},
                    {"link": {"uri": "u"}},
                    {"json": [null]}
                ],
                "items": [{"text": "t", "status": "pending"}], "model": "m", "input_tokens": 1,
                "cache_write_tokens": 1, "output_tokens": 2, "reasoning_tokens": 1,
                "cached_tokens": 3, "cost_usd": 0.5, "level": "info", "code": "c",
                "task_id": "t", "input_id": "u", "state": "failed", "done": true, "tokens_before": 9,
                "request_id": "r", "title": "t", "detail": {}, "editable": true, "default": "d",
                "choices": [{"id": "i", "label": "l", "meaning": "allow_once"}],
                "deadline_ms": 1, "answer": "a", "by_default": true, "stop": "budget",
                "structured": {"x": 1}, "stop_reason": null, "duration_ms": 5,
                "failure": {"kind": "limit", "message": "m"}, "data": "d", "json": {"z": 1}
            }"#,
        )
        .unwrap();
        let of_kind = |kind: &str| {
            let mut fields = fields.clone();
            match kind {
                "task" => fields["kind"] = "subagent".into(),
                "file.change" => fields["kind"] = "moved".into(),
                "mcp.server" => fields["message"] = "m".into(),
                "turn.input" => fields["state"] = "delivered".into(),
                "tool.request" => {
                    fields["default"] = serde_json::json!({"content": "d", "is_error": true})
                }
                "permission.request" => fields["kind"] = "permission".into(),
                _ => {}
            }
            Self::read(kind, &fields.to_string()).unwrap().unwrap()
        };
        Self::KINDS.iter().map(|kind| of_kind(kind)).collect()
    }
}
