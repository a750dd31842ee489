//! Tools, and what they do to files.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A tool is called.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// Pairs it with its result; unique within the session.
    pub call_id: String,
    /// The tool's name, as the CLI has it.
    pub name: String,
    /// What kind of tool it is.
    pub kind: ToolKind,
    /// What it is about, for people, such as the command or the file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub title: Option<String>,
    /// The MCP server that has the tool; absent where it is the CLI's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub server: Option<String>,
    /// A name for the tool that is the same for all runtimes, where there is one, such as `bash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub canonical_name: Option<String>,
    /// Its input, any JSON value.
    #[schema(value_type = Value)]
    pub input: Box<RawValue>,
    /// The files that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub locations: Vec<Location>,
}

/// What kind of tool one is, as in the Agent Client Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Reads a file.
    Read,
    /// Changes a file.
    Edit,
    /// Deletes a file.
    Delete,
    /// Moves a file.
    Move,
    /// Looks for something in files.
    Search,
    /// Runs a command.
    Execute,
    /// Thinks, or keeps a list of things to do.
    Think,
    /// Fetches something from elsewhere.
    Fetch,
    /// A tool of an MCP server.
    Mcp,
    /// Starts another agent.
    Agent,
    /// Anything else.
    Other,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// The file, as the CLI says it.
    pub path: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub line: Option<u32>,
}

/// News of a call that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolUpdate {
    /// The call's id.
    pub call_id: String,
    /// A better title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub title: Option<String>,
    /// A piece of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub output: Option<String>,
    /// Further files that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub locations: Vec<Location>,
}

/// A tool has answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToolResult {
    /// The call's id.
    pub call_id: String,
    /// What came out, as text.
    pub output: String,
    /// What came out and is no text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub parts: Vec<Part>,
    /// Whether the tool failed, or was not let.
    pub is_error: bool,
}

/// Something that is no plain text: exactly one of its fields is there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OutputPart)]
pub enum Part {
    /// An image.
    Image(Image),
    /// What a call changed in a file.
    Diff(Diff),
    /// Something that is elsewhere.
    Link(Link),
    /// Any JSON value.
    #[schema(value_type = Value)]
    Json(Box<RawValue>),
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// Its bytes as base64.
    pub data: String,
}

/// What a call changed in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diff {
    /// The file, as the CLI says it.
    pub path: String,
    /// A unified diff.
    pub unified: String,
}

/// Something that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Where.
    pub uri: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub name: Option<String>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub media_type: Option<String>,
}

/// A file was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileChange {
    /// Its path, as the CLI says it.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// Where it was before, if it was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub moved_from: Option<String>,
    /// A unified diff, where the CLI tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub diff: Option<String>,
    /// The call that changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub call_id: Option<String>,
    /// Whether the server found it in the workspace when the turn was over, and the CLI told
    /// nothing of it; the path is then from the workspace on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub seen_by_host: bool,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// It has another content.
    Modified,
    /// It is gone.
    Deleted,
    /// It is elsewhere.
    Moved,
}

/// The agent's list of things to do, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Todo {
    /// The list.
    pub items: Vec<TodoItem>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TodoItem {
    /// Item text.
    pub text: String,
    /// Completion status.
    pub status: TodoStatus,
}

/// Completion status of a thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Begun.
    InProgress,
    /// Done.
    Completed,
}
