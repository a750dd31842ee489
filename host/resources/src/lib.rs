//! What the API speaks of: agents, environments, sessions, turns, and their state machine.
//!
//! Plain data with no behaviour beyond what the data itself defines. Every other host crate may
//! depend on this one; it depends on none of them.

#[macro_use]
mod words;

mod agent;
mod changes;
mod credential;
mod environment;
pub mod event;
mod file;
mod image;
mod input;
mod limits;
mod runtime;
mod session;
mod state;
mod time;
mod webhook;

pub use agent::{
    Agent, AgentType, AgentVersion, CustomTool, McpServer, McpTransport, OWN_MCP_SERVER, Skill,
    SkillType, ToolPermission, ToolPermissions,
};
pub use credential::{Actor, CredentialAction, CredentialKind};
pub use environment::{
    CredentialMode, Environment, EnvironmentDetail, EnvironmentType, EnvironmentVersion,
    Networking, NetworkingKind, PackageLayer, PackageLayerState, PackageManager, ProjectConfig,
};
pub use file::{FileEntry, FileKind, FilePath, PathProblem};
pub use image::kind_of_image;
pub use input::{
    AgentChanges, BlockInput, CREDENTIAL_HOSTS, EnvironmentChanges, Input, LABELS, MASK, McpPart,
    NAME, NOT_BLANK, NewAgent, NewEnvironment, NewFork, NewPrompt, NewResource, NewRestore,
    NewSession, NewSessionWebhook, NewWebhook, PromptInput, Secrets, SessionChanges,
    WebhookChanges, WebhookRotation, WhenBusy, mcp_secret_name, shape,
};

/// The variable that the host sets in every sandbox and that nobody else may: without its home no
/// turn would find what the one before it left.
pub const HOME_VARIABLE: &str = "HOME";

pub use changes::{ChangedFile, TurnChanges};
#[doc(hidden)]
pub use input::{fields, schema};
pub use limits::{LimitName, Limits, ReachedLimit, Spent};
pub use runtime::{CheckState, RuntimeChange, RuntimeHealth};
#[doc(hidden)]
pub use serde_json::{Error as FieldError, Map, Value};
pub use session::{
    Attachment, Checkpoint, CheckpointState, ForkedFrom, GitIdentity, PromptBlock, ProviderUsage,
    QueuedPrompt, RepositoryDiff, Resource, ResourceKind, Session, Sizes, Turn, Usage,
};
pub use state::{IllegalTransition, Outcome, SessionEvent, SessionState, Status};
pub use time::Timestamp;
pub use webhook::{DeliveryState, Webhook, WebhookDelivery, WebhookEvent};
