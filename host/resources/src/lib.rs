//! What the API speaks of: agents, environments, sessions, turns, and their state machine.
//!
//! Plain data with no behaviour beyond what the data itself defines. Every other host crate may
//! depend on this one; it depends on none of them.

mod agent;
mod environment;
pub mod event;
mod input;
mod session;
mod state;
mod time;

pub use agent::{Agent, AgentVersion, McpServer, McpTransport, Skill};
pub use environment::{
    Environment, EnvironmentVersion, Networking, NetworkingKind, PackageManager,
};
pub use input::{
    AgentChanges, EnvironmentChanges, MASK, McpPart, NewAgent, NewEnvironment, NewPrompt,
    NewSession, Secrets, mcp_secret_name,
};
pub use session::{Resource, Session, Turn, Usage};
pub use state::{IllegalTransition, Outcome, SessionEvent, SessionState, Status};
pub use time::Timestamp;
