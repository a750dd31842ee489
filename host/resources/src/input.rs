//! What clients send to make and change things. All of it has been checked by the API when it
//! takes these shapes; secrets are in types that do not print.

use indexmap::IndexMap;
use secrecy::SecretString;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{McpServer, Networking, PackageManager, Resource, Skill};

/// Secret values by name. They are sealed before they reach the store.
pub type Secrets = IndexMap<String, SecretString>;

/// What a value that is kept sealed reads as.
pub const MASK: &str = "***";

/// A new agent.
#[derive(Debug, ToSchema)]
pub struct NewAgent {
    /// A name for people, 1 to 200 characters.
    pub name: String,
    /// The runtime's name, as declared in `runtimes.toml`.
    pub runtime: String,
    /// The canonical model id, `provider/model_id`.
    pub model: String,
    /// What it is for.
    #[schema(required = false)]
    pub description: Option<String>,
    /// What is added to the CLI's own system prompt.
    #[schema(required = false)]
    pub system: Option<String>,
    /// The environment its sessions use unless they name another.
    #[schema(required = false)]
    pub environment_id: Option<Uuid>,
    /// At most 20.
    #[schema(required = false)]
    pub skills: Vec<Skill>,
    /// At most 20, with unique names.
    #[schema(required = false)]
    pub mcp_servers: Vec<McpServer>,
    /// Labels.
    #[schema(required = false)]
    pub metadata: IndexMap<String, String>,
    /// The values behind the masks in `mcp_servers`, by [`mcp_secret_name`].
    #[schema(ignore)]
    pub mcp_secrets: Secrets,
}

/// Changes to an agent. What is `None` stays as it is.
#[derive(Debug, ToSchema)]
pub struct AgentChanges {
    /// The version that the client has seen.
    pub version: i64,
    /// As in [`NewAgent`].
    #[schema(required = false)]
    pub name: Option<String>,
    /// As in [`NewAgent`].
    #[schema(required = false)]
    pub runtime: Option<String>,
    /// As in [`NewAgent`].
    #[schema(required = false)]
    pub model: Option<String>,
    /// As in [`NewAgent`]; `null` clears it.
    #[schema(required = false, value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// As in [`NewAgent`]; `null` clears it.
    #[schema(required = false, value_type = Option<String>)]
    pub system: Option<Option<String>>,
    /// As in [`NewAgent`]; `null` clears it.
    #[schema(required = false, value_type = Option<Uuid>)]
    pub environment_id: Option<Option<Uuid>>,
    /// Replaces all.
    #[schema(required = false)]
    pub skills: Option<Vec<Skill>>,
    /// Replaces all. A value of `"***"` keeps what is sealed under the same server and name.
    #[schema(required = false)]
    pub mcp_servers: Option<Vec<McpServer>>,
    /// Merged key by key; an empty value deletes its key.
    #[schema(required = false)]
    pub metadata: Option<IndexMap<String, String>>,
    /// The values behind new masks in `mcp_servers`.
    #[schema(ignore)]
    pub mcp_secrets: Secrets,
}

/// A new environment.
#[derive(Debug, ToSchema)]
pub struct NewEnvironment {
    /// A name for people, 1 to 200 characters.
    pub name: String,
    /// Packages by package manager.
    #[schema(required = false)]
    pub packages: IndexMap<PackageManager, Vec<String>>,
    /// A shell script run once in a new sandbox.
    #[schema(required = false)]
    pub setup_script: Option<String>,
    /// What its sandboxes may reach.
    #[schema(required = false)]
    pub networking: Networking,
    /// Secret variables: they go in, never out.
    #[schema(required = false, value_type = IndexMap<String, String>)]
    pub env_vars: Secrets,
}

/// Changes to an environment. What is `None` stays as it is.
#[derive(Debug, ToSchema)]
pub struct EnvironmentChanges {
    /// The version that the client has seen.
    pub version: i64,
    /// As in [`NewEnvironment`].
    #[schema(required = false)]
    pub name: Option<String>,
    /// Replaces all.
    #[schema(required = false)]
    pub packages: Option<IndexMap<PackageManager, Vec<String>>>,
    /// As in [`NewEnvironment`]; `null` clears it.
    #[schema(required = false, value_type = Option<String>)]
    pub setup_script: Option<Option<String>>,
    /// As in [`NewEnvironment`].
    #[schema(required = false)]
    pub networking: Option<Networking>,
    /// Replaces the whole map.
    #[schema(required = false, value_type = Option<IndexMap<String, String>>)]
    pub env_vars: Option<Secrets>,
}

/// A new session and its first prompt.
#[derive(Debug, ToSchema)]
pub struct NewSession {
    /// The agent.
    pub agent_id: Uuid,
    /// What it is asked, at most 1 MiB.
    pub prompt: String,
    /// Overrides the agent's environment.
    #[schema(required = false)]
    pub environment_id: Option<Uuid>,
    /// Seconds a turn may take, 10 to 3600; 600 where nothing is said.
    #[schema(required = false)]
    pub timeout: Option<u32>,
    /// Repositories to clone into the workspace, at most 10.
    #[schema(required = false)]
    pub resources: Vec<Resource>,
    /// Secret variables of this session alone.
    #[schema(required = false, value_type = IndexMap<String, String>)]
    pub secret_env_vars: Secrets,
    /// Access tokens of `resources`, by their position.
    #[schema(ignore)]
    pub resource_tokens: Secrets,
}

/// A next prompt.
#[derive(Debug, ToSchema)]
pub struct NewPrompt {
    /// What is asked, at most 1 MiB.
    pub prompt: String,
    /// Seconds this turn may take; the session's where nothing is said.
    #[schema(required = false)]
    pub timeout: Option<u32>,
}

/// The name under which the value of an MCP server's header or variable is sealed.
pub fn mcp_secret_name(server: &str, part: McpPart, name: &str) -> String {
    let part = match part {
        McpPart::Header => "headers",
        McpPart::Variable => "env",
    };
    format!("mcp/{server}/{part}/{name}")
}

/// Where in an MCP server's declaration a secret value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpPart {
    /// A header of a server reached over HTTP.
    Header,
    /// A variable of a server run inside the sandbox.
    Variable,
}
