//! How turns begin and end, and what is asked in them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::Timestamp;

/// A turn begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnStarted {
    /// Why.
    pub cause: TurnCause,
    /// Whether the agent remembers what was before.
    pub continuity: Continuity,
}

/// Whether a turn's agent remembers what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Continuity {
    /// Nothing was before.
    First,
    /// It goes on with the earlier conversation, by the CLI's own means.
    Native,
    /// There was an earlier conversation, and it begins afresh.
    Fresh,
}

/// Why a turn begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnCause {
    /// Its user asks.
    Prompt,
    /// Queued input has come up.
    Injected,
    /// Work in the background has ended, and the CLI goes on from there.
    Background,
}

/// How a turn ended, as the CLI tells it. At most one in a turn; none where the CLI died without a
/// word.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TurnResult {
    /// What kind of end it is.
    pub stop: StopKind,
    /// The final text, where the CLI gives one.
    #[schema(required)]
    pub text: Option<String>,
    /// The answer in the form that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Value)]
    pub structured: Option<Box<RawValue>>,
    /// Whether the turn failed.
    pub is_error: bool,
    /// The model's or CLI's own word for why it stopped.
    #[schema(required)]
    pub stop_reason: Option<String>,
    /// How long it took, in milliseconds: by the CLI's account, else by the log's clock.
    #[schema(required, value_type = u64)]
    pub duration_ms: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub failure: Option<Failure>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// The agent was done.
    Completed,
    /// The user stopped it.
    Interrupted,
    /// Another input took its place.
    Preempted,
    /// It made as many requests to the model as it may.
    MaxRounds,
    /// Another limit was reached.
    Budget,
    /// The model or its provider refused.
    Refused,
    /// It failed.
    Failed,
    /// The CLI began it by itself, and it is over.
    Unasked,
}

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// What happened, for people.
    pub message: String,
    /// With `quota` and `provider`: when to try again, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub retry_at: Option<Timestamp>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// A limit of the turn was reached.
    Limit,
    /// The answer is not of the form that was asked for.
    Output,
    /// The model or its provider refused to answer.
    Refused,
    /// The CLI cannot do what was asked of it.
    Unsupported,
}

/// What a user tells the turn that runs, besides its prompt: first as it was sent, and then what
/// became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnInput {
    /// Unique within the session.
    pub input_id: String,
    /// What became of it.
    pub state: InputState,
    /// What is said, where it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub text: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub reason: Option<String>,
}

/// What became of a user's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// The runtime's adapter has it.
    Sent,
    /// The CLI has it, and it waits.
    Queued,
    /// The model has it.
    Delivered,
    /// It was taken back before the model had it.
    Cancelled,
    /// The CLI does not take it.
    Refused,
}

/// The CLI asks its user, who answers through the session's answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PermissionRequest {
    /// Unique within the session.
    pub request_id: String,
    /// What kind of question it is.
    pub kind: QuestionKind,
    /// What is asked, for people.
    pub title: String,
    /// More about it, such as a tool's input; any JSON value.
    #[schema(value_type = Value)]
    pub detail: Box<RawValue>,
    /// The call that waits for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub call_id: Option<String>,
    /// The answers to choose from; none: free text.
    pub choices: Vec<Choice>,
    /// Whether the tool's input may be changed along with the answer.
    pub editable: bool,
    /// What is answered where nobody does: a choice's id, or text.
    pub default: String,
    /// Milliseconds to answer in.
    pub deadline_ms: u32,
}

/// A question of the CLI was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PermissionAnswer {
    /// The question's id.
    pub request_id: String,
    /// A choice's id, or text.
    pub answer: String,
    /// Whether nobody answered in time and this is the default.
    pub by_default: bool,
}

/// A question of the CLI needs no answer any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PermissionWithdrawn {
    /// The question's id.
    pub request_id: String,
}

/// The agent calls one of its own tools, and waits for the answer, which comes through the session's
/// answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToolRequest {
    /// Unique within the session.
    pub request_id: String,
    /// The tool's name.
    pub name: String,
    /// What it is called with; it fits the tool's `input_schema`.
    #[schema(value_type = Value)]
    pub input: Box<RawValue>,
    /// What is answered where nobody does.
    pub default: ToolAnswerContent,
    /// Milliseconds to answer in.
    pub deadline_ms: u32,
}

/// An answer to a call of one of the agent's own tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolAnswerContent {
    /// What it says.
    pub content: String,
    /// Whether it tells of a failure.
    #[serde(default)]
    pub is_error: bool,
}

/// A call of one of the agent's own tools was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolAnswer {
    /// The call's id.
    pub request_id: String,
    /// What the answer says.
    pub content: String,
    /// Whether it tells of a failure.
    pub is_error: bool,
    /// Whether nobody answered in time and this is the default.
    pub by_default: bool,
}

/// A call of one of the agent's own tools waits for no answer any more: the turn was stopped, or the
/// CLI gave the call up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolWithdrawn {
    /// The call's id.
    pub request_id: String,
}

/// Kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// May the agent do this?
    Permission,
    /// Anything else.
    Question,
    /// What does this call of one of the agent's own tools come to? Only in lists of what waits:
    /// its event is `tool.request`.
    Tool,
}

/// One answer to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// What it says, for people.
    pub label: String,
    /// With a `permission` question: what it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub meaning: Option<ChoiceMeaning>,
}

/// What an answer to a permission question means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceMeaning {
    /// This once.
    AllowOnce,
    /// From now on.
    AllowAlways,
    /// Not this time.
    RejectOnce,
    /// Never.
    RejectAlways,
}
