//! The lines that the CLI writes, as far as the adapter reads them. One structure serves all
//! kinds of lines, so that each is read once.

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    #[serde(rename = "sessionID")]
    pub session: Option<Text<'a>>,
    pub part: Part<'a>,
    pub error: Option<Error<'a>>,

    // What the plugin tells, among the lines of either mode.
    pub method: Option<Text<'a>>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
}

/// What the plugin tells, besides what a line of stdout has: `ready`, `session`, `delta`, `retry`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct PluginEvent<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    #[serde(rename = "sessionID")]
    pub session: Option<Text<'a>>,
    pub part: Part<'a>,
    pub error: Option<Error<'a>>,
    pub retry: Option<Retry<'a>>,
    /// What a piece is of.
    pub of: Text<'a>,
    pub text: Text<'a>,
}

/// A request that failed and is made once more.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Retry<'a> {
    pub message: Text<'a>,
    /// When, in milliseconds since the Unix epoch.
    pub next: Option<u64>,
    /// How long until then, in milliseconds.
    pub wait: u64,
}

/// A part of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Part<'a> {
    // `text`, `reasoning`
    pub text: Option<Text<'a>>,

    // `tool_use`
    pub tool: Text<'a>,
    #[serde(rename = "callID")]
    pub call: Text<'a>,
    pub state: Option<State<'a>>,

    // `step_finish`
    pub reason: Option<Text<'a>>,
    pub tokens: Option<Tokens>,
    pub cost: Option<f64>,
}

/// A tool's call and its answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct State<'a> {
    pub status: Text<'a>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    pub output: MaybeText<'a>,
    pub error: MaybeText<'a>,
    pub title: Option<Text<'a>>,
    pub metadata: Option<Metadata<'a>>,
    pub attachments: Vec<Attachment<'a>>,
}

/// What the tools that write files tell.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Metadata<'a> {
    /// Whether the file was there before.
    pub exists: Option<bool>,
    pub diff: Option<Text<'a>>,
    pub files: Vec<FileMetadata<'a>>,
    /// What a command has put out so far.
    pub output: MaybeText<'a>,
    /// The session of a subagent.
    #[serde(rename = "sessionId")]
    pub session: MaybeText<'a>,
}

/// A file that a patch has changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct FileMetadata<'a> {
    #[serde(rename = "filePath")]
    pub path: Text<'a>,
    #[serde(rename = "movePath")]
    pub moved_to: Option<Text<'a>>,
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub patch: Option<Text<'a>>,
}

/// Something that a tool gives besides its text.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Attachment<'a> {
    pub url: Text<'a>,
}

/// Tokens of a step.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    pub reasoning: u64,
    pub cache: Cache,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Cache {
    pub read: u64,
    pub write: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Error<'a> {
    pub name: Text<'a>,
    pub data: ErrorData<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ErrorData<'a> {
    pub message: MaybeText<'a>,
    #[serde(rename = "statusCode")]
    pub status: Option<u16>,
}
