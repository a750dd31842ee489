//! What clients send to make and change things: each body written down once, as a type together
//! with the table that requests are held against and that the API's description publishes.
//!
//! Secrets are in types that do not print.

#[doc(hidden)]
#[macro_use]
pub mod fields;
mod mcp;
mod parts;
#[doc(hidden)]
pub mod schema;
pub mod shape;
mod webhooks;

use indexmap::IndexMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    CredentialMode, CustomTool, GitIdentity, Limits, McpServer, Networking, PackageManager,
    ProjectConfig, Resource, Skill, ToolPermissions,
};

pub use self::fields::Input;
pub use self::mcp::{MASK, McpPart, mcp_secret_name};
pub use self::parts::{CREDENTIAL_HOSTS, LABELS, NAME, NOT_BLANK};
use self::parts::{
    CREDENTIAL_MODE, GIT_IDENTITY, JSON_SCHEMA, LIMITS, MCP_SERVERS, METADATA, NETWORKING,
    OPEN_VARIABLES, PACKAGES, PERMISSIONS, PROJECT_CONFIG, PROMPT, RESOURCES, SESSION_WEBHOOK,
    SETTINGS, SETUP_TIMEOUT, SKILLS, TEXT, TIMEOUT, TOOLS, TURN, VARIABLES, VERSION, WORD,
};
pub(crate) use self::parts::{CUSTOM_TOOL, MCP_SERVER, SKILL, TOOL_PERMISSIONS};
use self::shape::Shape;
pub use self::webhooks::{NewSessionWebhook, NewWebhook, WebhookChanges, WebhookRotation};

/// Secret values by name. They are sealed before they reach the store.
pub type Secrets = IndexMap<String, SecretString>;

input! {
    /// A new agent.
    example r#"{
        "name": "reviewer",
        "runtime": "demo",
        "model": "demo/echo",
        "system": "Be brief.",
        "metadata": {"team": "fruit"}
    }"#
    pub struct NewAgent {
        /// A name for people.
        required name: String = NAME,
        /// The runtime's name, as `GET /runtimes` lists them.
        required runtime: String = WORD,
        /// The canonical model id, `provider/model_id`, as `GET /models` lists them.
        required model: String = WORD,
        /// What it is for.
        optional description: Option<String> = TEXT,
        /// What is added to the CLI's own system prompt.
        optional system: Option<String> = TEXT,
        /// The environment its sessions use unless they name another.
        optional environment_id: Option<Uuid> = Shape::Id,
        /// Skills written to the runtime's skills folder. No two may have the same name.
        optional skills: Vec<Skill> = SKILLS,
        /// MCP servers offered on top of the CLI's own tools. No two may have the same name.
        optional mcp_servers: Vec<McpServer> = MCP_SERVERS,
        /// Tools that whoever follows a turn answers. No two may have the same name.
        optional tools: Vec<CustomTool> = TOOLS,
        /// Which of the CLI's own tools may be called; all where nothing is said. Only for runtimes
        /// with the capability `tool_policies`.
        optional permissions: Option<ToolPermissions> = PERMISSIONS,
        /// The user's own labels.
        optional metadata: IndexMap<String, String> = METADATA,
        /// Values of the runtime's options, by their ids, as `GET /runtimes/{name}` has them.
        optional settings: IndexMap<String, Value> = SETTINGS,
        /// Upper bounds for each turn of its sessions.
        optional limits: Limits = LIMITS,
        /// Whose name is on the commits that it makes; it wins over the environment's.
        optional git_identity: Option<GitIdentity> = GIT_IDENTITY,
    }
    and {
        /// The values behind the masks in `mcp_servers`, by [`mcp_secret_name`].
        mcp_secrets: Secrets,
    }
    then NewAgent::mask
}

impl NewAgent {
    fn mask(&mut self) {
        self.mcp_secrets = mcp::mask(&mut self.mcp_servers);
    }
}

input! {
    /// Changes to an agent. What is left out stays as it is.
    example r#"{"version": 1, "name": "reviewer", "metadata": {"team": "", "size": "xl"}}"#
    pub struct AgentChanges {
        /// The version that the client has seen. Where it is no longer the current one, nothing is
        /// changed (409).
        required version: i64 = VERSION,
        /// A name for people.
        optional name: Option<String> = NAME,
        /// The runtime's name.
        optional runtime: Option<String> = WORD,
        /// The canonical model id.
        optional model: Option<String> = WORD,
        /// What it is for; `null` clears it.
        nullable description: Option<Option<String>> = TEXT,
        /// What is added to the CLI's own system prompt; `null` clears it.
        nullable system: Option<Option<String>> = TEXT,
        /// The environment its sessions use; `null` clears it.
        nullable environment_id: Option<Option<Uuid>> = Shape::Id,
        /// Replaces all skills.
        optional skills: Option<Vec<Skill>> = SKILLS,
        /// Replaces all MCP servers. A value of `***` keeps what is sealed under the same server
        /// and name.
        optional mcp_servers: Option<Vec<McpServer>> = MCP_SERVERS,
        /// Replaces all tools.
        optional tools: Option<Vec<CustomTool>> = TOOLS,
        /// Replaces all permissions of the CLI's own tools; `null` clears them.
        nullable permissions: Option<Option<ToolPermissions>> = PERMISSIONS,
        /// Merged key by key; an empty value deletes its key.
        optional metadata: Option<IndexMap<String, String>> = METADATA,
        /// Replaces all settings.
        optional settings: Option<IndexMap<String, Value>> = SETTINGS,
        /// Replaces all limits.
        optional limits: Option<Limits> = LIMITS,
        /// Whose name is on the commits that it makes; `null` clears it.
        nullable git_identity: Option<Option<GitIdentity>> = GIT_IDENTITY,
    }
    and {
        /// The values behind new masks in `mcp_servers`, by [`mcp_secret_name`].
        mcp_secrets: Secrets,
    }
    then AgentChanges::mask
}

impl AgentChanges {
    fn mask(&mut self) {
        if let Some(servers) = &mut self.mcp_servers {
            self.mcp_secrets = mcp::mask(servers);
        }
    }
}

input! {
    /// A new environment.
    example r#"{
        "name": "python",
        "packages": {"pip": ["requests"]},
        "setup_script": "mkdir -p out",
        "networking": {"type": "limited", "allowed_hosts": ["*.example.com"]},
        "env_vars": {"API_KEY": "secret"},
        "vars": {"LOG_LEVEL": "debug"}
    }"#
    pub struct NewEnvironment {
        /// A name for people.
        required name: String = NAME,
        /// Packages to install, by package manager.
        optional packages: IndexMap<PackageManager, Vec<String>> = PACKAGES,
        /// A script run once in a new sandbox, after packages and clones: by what its first line
        /// names after `#!`, else by `/bin/sh -eu`. What it writes to the file `$AOD_ENV` as
        /// `NAME=value` is the environment of the session's turns.
        optional setup_script: Option<String> = TEXT,
        /// Seconds that it may take; as the server is configured where nothing is said (900).
        optional setup_timeout: Option<u32> = SETUP_TIMEOUT,
        /// What its sandboxes may reach; the open internet where nothing is said.
        optional networking: Networking = NETWORKING,
        /// Secret variables: they go in, never out, and are hidden in all that is recorded.
        optional env_vars: Secrets = VARIABLES,
        /// Variables that are no secrets: they can be read, and are never hidden. No name may be
        /// among `env_vars`, too.
        optional vars: IndexMap<String, String> = OPEN_VARIABLES,
        /// Whose name is on the commits of agents that say nothing of it.
        optional git_identity: Option<GitIdentity> = GIT_IDENTITY,
        /// Whether providers' credentials enter its sandboxes: `brokered`, where a gateway outside
        /// puts them into requests, or `injected`, as variables. As the server is configured where
        /// nothing is said.
        optional credentials: Option<CredentialMode> = CREDENTIAL_MODE,
        /// What files in a workspace may decide: `instructions`, which are read and nothing else
        /// obeyed, `all`, or `none`. `instructions` where nothing is said.
        optional project_config: Option<ProjectConfig> = PROJECT_CONFIG,
    }
    disjoint env_vars and vars
}

input! {
    /// Changes to an environment. What is left out stays as it is.
    example r#"{"version": 1, "packages": {"pip": ["requests", "rich"]}}"#
    pub struct EnvironmentChanges {
        /// The version that the client has seen. Where it is no longer the current one, nothing is
        /// changed (409).
        required version: i64 = VERSION,
        /// A name for people.
        optional name: Option<String> = NAME,
        /// Replaces all packages.
        optional packages: Option<IndexMap<PackageManager, Vec<String>>> = PACKAGES,
        /// A script run once in a new sandbox; `null` clears it.
        nullable setup_script: Option<Option<String>> = TEXT,
        /// Seconds that it may take; `null` leaves that to the server's configuration.
        nullable setup_timeout: Option<Option<u32>> = SETUP_TIMEOUT,
        /// What its sandboxes may reach.
        optional networking: Option<Networking> = NETWORKING,
        /// Replaces all secret variables.
        optional env_vars: Option<Secrets> = VARIABLES,
        /// Replaces all variables that are no secrets. No name may be among `env_vars`, too.
        optional vars: Option<IndexMap<String, String>> = OPEN_VARIABLES,
        /// Whose name is on the commits of agents that say nothing of it; `null` clears it.
        nullable git_identity: Option<Option<GitIdentity>> = GIT_IDENTITY,
        /// Whether providers' credentials enter its sandboxes; `null`: as the server is configured.
        nullable credentials: Option<Option<CredentialMode>> = CREDENTIAL_MODE,
        /// What files in a workspace may decide; `null`: `instructions`.
        nullable project_config: Option<Option<ProjectConfig>> = PROJECT_CONFIG,
    }
    disjoint env_vars and vars
}

input! {
    /// A new session, with its first prompt if there is one.
    example r#"{
        "agent_id": "6f1b6f0e-2d0c-4a8e-9a53-0b1f7b6f2c11",
        "prompt": "Say hello.",
        "timeout": 120
    }"#
    pub struct NewSession {
        /// The agent.
        required agent_id: Uuid = Shape::Id,
        /// What it is asked: a text of at most 1 MiB, or blocks. Where nothing is asked, the sandbox
        /// is provisioned at once, and the session waits for a prompt.
        optional prompt: Option<PromptInput> = PROMPT,
        /// A name for people.
        optional title: Option<String> = NAME,
        /// The user's own labels, at most 16.
        optional metadata: IndexMap<String, String> = LABELS,
        /// Overrides the agent's environment.
        optional environment_id: Option<Uuid> = Shape::Id,
        /// Seconds a turn may take; as the server is configured where nothing is said (600).
        optional timeout: Option<u32> = TIMEOUT,
        /// Repositories to clone into the workspace.
        optional resources: Vec<NewResource> = RESOURCES,
        /// Secret variables of this session alone.
        optional secret_env_vars: Secrets = VARIABLES,
        /// Variables of this session alone that are no secrets. No name may be among
        /// `secret_env_vars`, too.
        optional vars: IndexMap<String, String> = OPEN_VARIABLES,
        /// Values of the runtime's options, by their ids; they win over the agent's.
        optional settings: IndexMap<String, Value> = SETTINGS,
        /// Upper bounds for each of its turns; they win over the agent's, one by one.
        optional limits: Limits = LIMITS,
        /// A JSON Schema (2020-12) that the answer to this prompt must fit; the answer is then in
        /// the turn's `result.structured`.
        optional output_schema: Option<Value> = JSON_SCHEMA,
        /// Is told what happens to this session alone, beside the webhooks of its user.
        optional webhook: Option<NewSessionWebhook> = SESSION_WEBHOOK,
    }
    disjoint secret_env_vars and vars
}

input! {
    /// Changes to a session. What is left out stays as it is.
    example r#"{"title": "Review of the parser", "metadata": {"ticket": "42", "team": ""}}"#
    pub struct SessionChanges {
        /// A name for people; `null` clears it.
        nullable title: Option<Option<String>> = NAME,
        /// Merged key by key; an empty value deletes its key. At most 16 are kept.
        optional metadata: IndexMap<String, String> = LABELS,
    }
}

input! {
    /// A copy of a session as it was at a turn's end.
    example r#"{"turn": 2, "prompt": "Try it the other way.", "title": "The other way"}"#
    pub struct NewFork {
        /// The turn; the last one where nothing is said.
        optional turn: Option<u32> = TURN,
        /// What the copy is asked: a text of at most 1 MiB, or blocks. Where nothing is asked, it
        /// waits for a prompt.
        optional prompt: Option<PromptInput> = PROMPT,
        /// A name for people; that of the session where nothing is said.
        optional title: Option<String> = NAME,
    }
}

input! {
    /// Back to a turn's end.
    example r#"{"turn": 2}"#
    pub struct NewRestore {
        /// The turn.
        required turn: u32 = TURN,
    }
}

/// A repository to clone, with what it takes to do so.
#[derive(Debug, Deserialize)]
pub struct NewResource {
    /// The repository.
    #[serde(flatten)]
    pub resource: Resource,
    /// A token that may read it.
    pub authorization_token: Option<SecretString>,
}

input! {
    /// A next prompt.
    example r#"{"prompt": "And now in French."}"#
    pub struct NewPrompt {
        /// What is asked: a text of at most 1 MiB, or blocks.
        required prompt: PromptInput = PROMPT,
        /// Seconds this turn may take; the session's where nothing is said.
        optional timeout: Option<u32> = TIMEOUT,
        /// Values of the runtime's options, by their ids, for this turn; they win over the
        /// session's and the agent's.
        optional settings: IndexMap<String, Value> = SETTINGS,
        /// Upper bounds for this turn; they win over the session's and the agent's, one by one.
        optional limits: Limits = LIMITS,
        /// A JSON Schema (2020-12) that the answer to this prompt must fit; the answer is then in
        /// the turn's `result.structured`.
        optional output_schema: Option<Value> = JSON_SCHEMA,
        /// What happens where a turn of the session waits or runs: it is refused with 409
        /// (`reject`, also where nothing is said), it waits for that turn's end (`queue`), or what is
        /// asked goes to the turn that runs (`steer`), with its settings. Only a runtime with the
        /// capability `inject` can be steered.
        optional when_busy: Option<WhenBusy> = Shape::Word(WhenBusy::WORDS),
    }
}

/// What happens to a prompt while a turn of its session waits or runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenBusy {
    /// It is refused.
    #[default]
    Reject,
    /// It waits for the turn's end.
    Queue,
    /// It goes to the turn that runs.
    Steer,
}

impl WhenBusy {
    /// The words that requests use.
    pub const WORDS: &'static [&'static str] = &["reject", "queue", "steer"];
}

/// What is asked: a text, or blocks.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PromptInput {
    /// A text.
    Text(String),
    /// Blocks, at least one.
    Blocks(Vec<BlockInput>),
}

/// A piece of what is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum BlockInput {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// Its media type.
        media_type: String,
        /// Its bytes, as base64.
        data: String,
    },
    /// A file of the workspace, or a new one.
    File {
        /// Where it is in the workspace.
        #[serde(default)]
        path: Option<String>,
        /// A new one's name.
        #[serde(default)]
        name: Option<String>,
        /// A new one's bytes, as base64.
        #[serde(default)]
        data: Option<String>,
    },
}
