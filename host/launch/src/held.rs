//! Calls of tools that wait for somebody's answer: what an egress program and its starter tell each
//! other of them, each a line of JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What an egress program tells its starter of the calls that wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallReport {
    /// A call waits for its answer.
    CallHeld(HeldCall),
    /// Nobody waits for the answer of the call with this number any more.
    CallDropped(u64),
}

/// A call that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldCall {
    /// Its number, unique in the life of the program.
    pub id: u64,
    /// What is asked.
    pub kind: HeldKind,
    /// The MCP server that is called; none where it is one of the agent's own tools.
    pub server: Option<String>,
    /// The tool.
    pub tool: String,
    /// What it is called with: JSON that fits the tool's schema where that is known.
    pub input: Box<RawValue>,
    /// Milliseconds to answer in.
    pub deadline_ms: u32,
    /// What is answered where nobody does.
    pub default: CallAnswer,
}

/// What is asked of whoever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldKind {
    /// The tool's result.
    Result,
    /// Whether it may be called: [`CallAnswer::ALLOW`] or [`CallAnswer::DENY`].
    Permission,
}

/// An answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAnswer {
    /// What it says.
    pub content: String,
    /// Whether it tells of a failure.
    #[serde(default)]
    pub is_error: bool,
}

impl CallAnswer {
    /// The content that lets a call through.
    pub const ALLOW: &'static str = "allow";
    /// The content that refuses one.
    pub const DENY: &'static str = "deny";
}

/// What a starter tells its egress program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReply {
    /// The call's number.
    pub id: u64,
    /// The answer; none: there will not be one.
    pub answer: Option<CallAnswer>,
}
