//! What an adapter makes of a turn.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Fragment;

/// One of the CLI's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What an adapter makes of what it was fed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reaction {
    /// In the order in which they are to happen.
    pub actions: Vec<Action>,
    /// Lines, by their index in the batch, that were understood and tell nothing that another
    /// event does not.
    pub absorbed: Vec<u32>,
}

/// Something for the host to do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Tell the session's readers.
    Emit(Emitted),
    /// Keep this as the next turns' [`TurnContext::resume`](super::TurnContext::resume).
    Remember(String),
    /// Write to the CLI's stdin, which the plan left open.
    WriteStdin(Vec<Fragment>),
    /// Close it.
    CloseStdin,
    /// Ask the user.
    Ask(Question),
    /// Call [`Turn::tick`](crate::Turn::tick) once, after so many milliseconds, unless output
    /// comes first.
    WakeAfter(u32),
    /// The turn is over as far as the CLI's output tells.
    EndTurn,
}

/// An event and the line it came from.
#[derive(Clone, Debug, Serialize)]
pub struct Emitted {
    /// The line's index in the batch; 0 outside of [`Turn::feed`](crate::Turn::feed).
    pub line: u32,
    /// The event.
    pub event: Event,
}

/// The one vocabulary of all runtimes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The CLI has begun and names its own session.
    SessionStarted(SessionStarted),
    /// A piece of the assistant's text, which a message repeats whole.
    MessageDelta(String),
    /// A whole message.
    Message(Message),
    /// What the model says of its thinking.
    Reasoning(String),
    /// A tool is called.
    ToolCall(ToolCall),
    /// It has answered.
    ToolResult(ToolResult),
    /// A file was changed.
    FileChange(FileChange),
    /// The agent's list of things to do, whole.
    Todo(Vec<TodoItem>),
    /// Tokens used since the last usage of this turn: the sum over a turn is the turn's.
    Usage(Usage),
    /// A retry, a rate limit, a warning.
    Notice(Notice),
    /// How the turn ended, as the CLI tells it.
    TurnResult(TurnResult),
    /// A line that was not understood, as it stood, without its line end.
    Unparsed(String),
}

/// The CLI's own session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionStarted {
    /// The id that the CLI gives it.
    pub native_session_id: String,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model.
    Assistant,
    /// The user.
    User,
    /// The CLI or its configuration.
    System,
}

/// A call of a tool.
#[derive(Clone, Debug, Serialize)]
pub struct ToolCall {
    /// Pairs it with its result.
    pub call_id: String,
    /// The tool's name as the CLI has it.
    pub name: String,
    /// Its input: valid JSON, kept as the adapter wrote it.
    pub input: Box<RawValue>,
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolResult {
    /// The call's id.
    pub call_id: String,
    /// What came out, as text.
    pub output: String,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// A changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path, as the CLI says it.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// It has another content.
    Modified,
    /// It is gone.
    Deleted,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TodoItem {
    /// What.
    pub text: String,
    /// How far.
    pub status: TodoStatus,
}

/// How far a thing to do has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Begun.
    InProgress,
    /// Done.
    Completed,
}

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Tokens sent, without those that the provider had cached.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Tokens sent that the provider had cached.
    pub cached_tokens: u64,
    /// US dollars, where the CLI says; finite and not negative.
    pub cost_usd: Option<f64>,
}

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// What it is.
    pub text: String,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// How a turn ended, as the CLI tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TurnResult {
    /// The final text.
    pub text: Option<String>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The model's or CLI's own word for why it stopped.
    pub stop_reason: Option<String>,
    /// How long it took, in milliseconds, where the CLI says.
    pub duration_ms: Option<u64>,
}

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// What happened, for people.
    pub message: String,
    /// With [`FailureKind::Quota`]: when to try again, in milliseconds since the Unix epoch.
    pub retry_at_ms: Option<u64>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No credential, or one that was refused.
    Auth,
    /// A rate limit or an exhausted plan.
    Quota,
    /// The provider is unreachable, failed, or does not know the model.
    Provider,
    /// A tool or an MCP server.
    Tool,
    /// It took too long.
    Timeout,
    /// The earlier conversation was not found.
    Resume,
    /// The CLI broke.
    Crash,
}

/// A question to the user.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// Unique within the turn.
    pub id: String,
    /// What kind it is.
    pub kind: QuestionKind,
    /// What is asked, for people.
    pub title: String,
    /// More about it: valid JSON, kept as the adapter wrote it.
    pub detail: Box<RawValue>,
    /// The answers to choose from; none: free text.
    pub choices: Vec<Choice>,
    /// What is answered at the deadline: a choice's id, or text.
    pub default: String,
    /// Milliseconds to answer in.
    pub deadline_ms: u32,
}

/// Kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// May the agent do this?
    Permission,
    /// Anything else.
    Question,
}

/// One answer to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// What it says, for people.
    pub label: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's id.
    pub question: String,
    /// A choice's id, or text.
    pub value: String,
    /// Whether nobody answered and this is the default.
    pub by_default: bool,
}

/// How the CLI's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, where it exited.
    pub code: Option<i32>,
    /// The signal that killed it, where one did.
    pub signal: Option<i32>,
    /// Why it ended, as far as the host knows.
    pub cause: ExitCause,
    /// The last lines of stderr, at most 4 KiB.
    pub stderr_tail: String,
}

/// Why the CLI's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// By itself.
    Own,
    /// The user stopped the turn.
    Interrupted,
    /// The user stopped the session.
    Terminated,
    /// The turn took longer than it may.
    Timeout,
    /// It was silent for longer than it may.
    Idle,
}

/// The adapter's last word on a turn.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Conclusion {
    /// What is still to be told.
    pub events: Vec<Event>,
    /// Why the turn failed, if it did.
    pub failure: Option<Failure>,
    /// As [`Action::Remember`].
    pub remember: Option<String>,
}
