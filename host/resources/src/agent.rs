//! Agents: reusable templates of a runtime, a model and what it is told.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::event::ToolAnswerContent;
use crate::input::{CUSTOM_TOOL, MCP_SERVER, SKILL, TOOL_PERMISSIONS, schema};
use crate::{GitIdentity, Limits, Timestamp};

/// A reusable template: which runtime and model, and what it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// The agent's id.
    pub id: Uuid,
    /// What it is.
    #[serde(rename = "type", default)]
    pub kind: AgentType,
    /// A name for people, 1 to 200 characters.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What is added to the CLI's own system prompt.
    pub system: Option<String>,
    /// The runtime's name, as declared in `runtimes.toml`.
    pub runtime: String,
    /// The canonical model id, `provider/model_id`.
    pub model: String,
    /// The environment its sessions use unless they name another.
    pub environment_id: Option<Uuid>,
    /// Skills written to the runtime's skills folder.
    pub skills: Vec<Skill>,
    /// MCP servers offered on top of the CLI's own tools.
    pub mcp_servers: Vec<McpServer>,
    /// Tools that whoever follows a turn answers; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub tools: Vec<CustomTool>,
    /// Which of the CLI's own tools may be called; absent where nothing was said: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub permissions: Option<ToolPermissions>,
    /// The user's own labels.
    pub metadata: IndexMap<String, String>,
    /// Values of the runtime's options, by their ids; absent where there are none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schema(required = false)]
    pub settings: IndexMap<String, Value>,
    /// Upper bounds for each turn of its sessions; absent where there are none.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    #[schema(required = false)]
    pub limits: Limits,
    /// Whose name is on commits; absent where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub git_identity: Option<GitIdentity>,
    /// Raised by one with every change.
    pub version: i64,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The `type` of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentType {
    /// An agent.
    #[default]
    Agent,
}

/// An agent as it was at one version; `id` is the agent's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentVersion {
    /// The agent, with the version's own `version`; its `archived_at` and `updated_at` are not
    /// part of a version.
    #[serde(flatten)]
    pub agent: Agent,
}

/// An MCP server that an agent may call. Values of headers and env are write-only: they are kept
/// sealed and read back as `"***"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McpServer {
    /// Unique within the agent.
    pub name: String,
    /// How it is reached.
    #[serde(flatten)]
    pub transport: McpTransport,
    /// Of a server by URL: which of its tools may be called; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<ToolPermissions>,
}

/// The name that no MCP server may have: under it, agents are offered their own tools.
pub const OWN_MCP_SERVER: &str = "aod";

/// Which tools may be called, of an MCP server or of the CLI itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolPermissions {
    /// For all that are not named.
    #[serde(default)]
    pub default: ToolPermission,
    /// By their names.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tools: IndexMap<String, ToolPermission>,
}

/// Whether a tool may be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolPermission {
    /// It may.
    #[default]
    Allow,
    /// It may where the user says so, call by call.
    Ask,
    /// It may not, and is not offered.
    Deny,
}

impl ToolPermission {
    /// The words that requests use.
    pub const WORDS: &'static [&'static str] = &["allow", "ask", "deny"];

    /// The word that requests use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }

    fn is_allow(&self) -> bool {
        *self == Self::Allow
    }
}

/// A tool that the agent calls and whoever follows the turn answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomTool {
    /// Unique within the agent.
    pub name: String,
    /// What it does and when to call it, for the model.
    pub description: String,
    /// A JSON Schema (2020-12) of what it is called with: of an object.
    pub input_schema: Map<String, Value>,
    /// Whether it may be called.
    #[serde(default, skip_serializing_if = "ToolPermission::is_allow")]
    pub permission: ToolPermission,
    /// Seconds that a call waits for its answer; as the server is configured where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// What is answered where nobody does in time; a failure that says so where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ToolAnswerContent>,
}

/// How an MCP server is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum McpTransport {
    /// Over streamable HTTP.
    Url {
        /// The endpoint.
        url: String,
        /// Headers sent with every request.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        headers: IndexMap<String, String>,
    },
    /// Over a child process's standard streams, inside the sandbox.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Its environment.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        env: IndexMap<String, String>,
    },
}

/// A skill that the CLI can load by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Skill {
    /// From a public repository.
    Github {
        /// What it is.
        #[serde(rename = "type")]
        kind: SkillType,
        /// `owner/repo`.
        source: String,
        /// Its folder's name; the repository's when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// When to use it.
        #[serde(default)]
        description: String,
    },
    /// Given in full.
    Inline {
        /// Its folder's name, `[a-z0-9][a-z0-9-]{0,63}`.
        name: String,
        /// When to use it.
        description: String,
        /// The text of its `SKILL.md`, at most 256 KiB.
        content: String,
    },
}

impl Skill {
    /// Its folder's name.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Inline { name, .. }
            | Self::Github {
                name: Some(name), ..
            } => name.into(),
            Self::Github { source, .. } => repository_name(source).into(),
        }
    }
}

/// The folder's name of a skill that is its repository's.
pub(crate) fn repository_name(source: &str) -> String {
    let repository = source.rsplit('/').next().unwrap_or_default();
    repository.to_ascii_lowercase()
}

/// The `type` of a skill that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SkillType {
    /// From a public repository.
    Github,
}

/// Their schemas are those of the tables that requests are held against: what comes out is what
/// went in, with masks for values.
macro_rules! schema_of_union {
    ($type:ty, $union:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                schema::union(&$union).into()
            }
        }

        impl ToSchema for $type {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                schema::union_parts(&$union, schemas);
            }
        }
    };
}

/// The schema of a type is that of its table.
macro_rules! schema_of_object {
    ($type:ty, $object:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                schema::object(&$object).into()
            }
        }

        impl ToSchema for $type {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                schema::parts(&$object, schemas);
            }
        }
    };
}

schema_of_object!(CustomTool, CUSTOM_TOOL);
schema_of_object!(ToolPermissions, TOOL_PERMISSIONS);

schema_of_union!(McpServer, MCP_SERVER);
schema_of_union!(Skill, SKILL);
