//! What to run and what to prepare.

use serde::{Deserialize, Serialize};

use super::Fragment;

/// What to run and what to prepare for a turn.
///
/// A plan that [`Adapter::plan`](crate::Adapter::plan) returns is checked: names of variables are
/// valid, paths lie below the folders where they may lie, and only known secrets are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command line; never empty.
    pub argv: Vec<String>,
    /// Variables on top of those at hand; they do not override what the user gave.
    pub env: Vec<Variable>,
    /// Names among [`TurnContext::secrets`](super::TurnContext::secrets) that the CLI must not see
    /// under their own names.
    pub withhold: Vec<String>,
    /// Names of [`McpValue::secret`](super::McpValue::secret) that the CLI is to find as
    /// environment variables.
    pub expose: Vec<String>,
    /// What is written to its stdin.
    pub stdin: Stdin,
    /// Files to write before it starts, in this order.
    pub files: Vec<File>,
    /// Files to delete before it starts; one that is not there is no error.
    pub delete: Vec<String>,
    /// Whether this turn goes on with the earlier conversation.
    pub continuity: Continuity,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<Fragment>,
}

/// What a CLI finds on its stdin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing: it is closed from the start.
    None,
    /// This, and then its end.
    Text(Vec<Fragment>),
    /// This, and then what actions add, until one of them closes it or ends the turn.
    Open(Vec<Fragment>),
}

/// A file in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute, below one of [`Paths`](super::Paths). Missing folders are made.
    pub path: String,
    /// Permission bits, at most `0o777`.
    pub mode: u32,
    /// Its content.
    pub content: Vec<Fragment>,
}

/// Whether a turn remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuity {
    /// It is the conversation's first.
    First,
    /// It goes on by the CLI's own means.
    Native,
    /// There was an earlier conversation and it cannot be resumed: this turn starts afresh.
    Fresh,
}
