//! The facts of a turn.

use serde::{Deserialize, Serialize};

/// The facts of a turn. The same facts are given to `plan` and to the turn that follows, and once
/// more to a new turn after a restart of the host: they are made to be stored, and hold no
/// secret's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnContext {
    /// The session's id, a lower-case UUID.
    pub session_id: String,
    /// The turn's number, from 1.
    pub turn: u32,
    /// A UUID of this turn's own. In the first turn it is the session's id.
    pub turn_id: String,
    /// What the user asks.
    pub prompt: String,
    /// What the agent's author adds to the system prompt.
    pub system: Option<String>,
    /// The canonical model id.
    pub model: String,
    /// MCP servers to offer.
    pub mcp_servers: Vec<McpServer>,
    /// Skills, already written to [`Description::skills_folder`](super::Description).
    pub skills: Vec<Skill>,
    /// What an earlier turn asked to remember, if any did.
    pub resume: Option<String>,
    /// Names of the secrets at hand, all of which are set in the CLI's environment under their own
    /// names unless [`Plan::withhold`](super::Plan::withhold) says otherwise.
    pub secrets: Vec<String>,
    /// Base URLs that the user gave.
    pub endpoints: Vec<Endpoint>,
    /// Folders inside the sandbox.
    pub paths: Paths,
    /// The version of the CLI, where it could be read.
    pub cli_version: Option<String>,
    /// The runtime's options, as [`Adapter::options`](crate::Adapter::options) gives them.
    pub options: String,
}

/// Folders inside the sandbox, absolute, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// `$HOME`; the same in every turn, and kept between turns.
    pub home: String,
    /// The working directory; the same in every turn, and kept between turns.
    pub workspace: String,
    /// For files of this turn that hold secrets: in memory, gone when the turn ends.
    pub private: String,
}

/// A base URL for a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The provider's id.
    pub provider: String,
    /// The URL.
    pub url: String,
}

/// A skill of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Its folder's name.
    pub name: String,
    /// When to use it.
    pub description: String,
}

/// An MCP server of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpServer {
    /// Unique within the agent.
    pub name: String,
    /// How it is reached.
    pub transport: McpTransport,
}

/// How an MCP server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McpTransport {
    /// Over streamable HTTP.
    Url(McpUrl),
    /// Over a child process's standard streams.
    Stdio(McpStdio),
}

/// An MCP server reached over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpUrl {
    /// The endpoint.
    pub url: String,
    /// Headers for every request.
    pub headers: Vec<McpValue>,
}

/// An MCP server run inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpStdio {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables.
    pub env: Vec<McpValue>,
}

/// A header or variable whose value the adapter does not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpValue {
    /// The header's or variable's name.
    pub name: String,
    /// The secret that holds its value.
    pub secret: String,
}
