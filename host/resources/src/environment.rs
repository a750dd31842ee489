//! Environments: what a sandbox holds.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use uuid::Uuid;

use crate::{GitIdentity, Timestamp};

/// What a sandbox holds. Its `env_vars` are write-only and no part of this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// The environment's id.
    pub id: Uuid,
    /// What it is.
    #[serde(rename = "type", default)]
    pub kind: EnvironmentType,
    /// A name for people.
    pub name: String,
    /// Packages to install, by package manager.
    pub packages: IndexMap<PackageManager, Vec<String>>,
    /// A script run once, after packages and clones.
    pub setup_script: Option<String>,
    /// Seconds that it may take; absent where the server's own limit holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub setup_timeout: Option<u32>,
    /// What its sandboxes may reach.
    pub networking: Networking,
    /// Variables that are no secrets.
    #[serde(default)]
    #[schema(required = true)]
    pub vars: IndexMap<String, String>,
    /// Whose name is on commits; absent where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub git_identity: Option<GitIdentity>,
    /// Whether providers' credentials enter its sandboxes; as the server is configured where nothing
    /// is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub credentials: Option<CredentialMode>,
    /// What files in a workspace may decide; `instructions` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub project_config: Option<ProjectConfig>,
    /// Raised by one with every change.
    pub version: i64,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The `type` of an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentType {
    /// An environment.
    #[default]
    Environment,
}

/// An environment as it was at one version; `id` is the environment's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentVersion {
    /// The environment, with the version's own `version`.
    #[serde(flatten)]
    pub environment: Environment,
}

/// An environment, and what there is of its packages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentDetail {
    /// The environment.
    #[serde(flatten)]
    pub environment: Environment,
    /// What its sessions share of its packages; absent where it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub package_layer: Option<PackageLayer>,
}

/// The packages of an environment as they are installed: once, for all sessions that want the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageLayer {
    /// Whether they are.
    pub state: PackageLayerState,
    /// What they take of the disk; absent where they are not `ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub size_bytes: Option<u64>,
    /// When they were installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub built_at: Option<Timestamp>,
    /// When a turn was last started with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub used_at: Option<Timestamp>,
}

/// Whether packages are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageLayerState {
    /// They are not: the next session installs them.
    Missing,
    /// A session is installing them.
    Building,
    /// They are.
    Ready,
}

/// A package manager whose packages an environment may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// Debian packages.
    Apt,
    /// Rust crates with binaries.
    Cargo,
    /// Ruby gems.
    Gem,
    /// Go modules with binaries.
    Go,
    /// npm packages.
    Npm,
    /// Python packages.
    Pip,
}

/// What an environment's sandboxes may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Networking {
    /// The policy.
    #[serde(rename = "type")]
    pub kind: NetworkingKind,
    /// With `limited`: exact names, or `*.suffix`.
    #[serde(default, deserialize_with = "lower_case")]
    pub allowed_hosts: Vec<String>,
    /// With `limited`: whether the public registries of package managers are reachable, too.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub allow_package_managers: bool,
    /// With `limited`: whether the hosts of the agent's MCP servers are reachable, too.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub allow_mcp_servers: bool,
    /// Whether programs that know no proxy reach the internet, too, where the operator lets them.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub raw: bool,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Names of hosts, which are the same in upper case.
fn lower_case<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut hosts = Vec::<String>::deserialize(deserializer)?;
    hosts
        .iter_mut()
        .for_each(|host| host.make_ascii_lowercase());
    Ok(hosts)
}

impl Default for Networking {
    fn default() -> Self {
        Self {
            kind: NetworkingKind::Unrestricted,
            allowed_hosts: Vec::new(),
            allow_package_managers: false,
            allow_mcp_servers: false,
            raw: false,
        }
    }
}

/// A network policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkingKind {
    /// The open internet.
    Unrestricted,
    /// The named hosts and what the runtime's provider needs.
    Limited,
}

/// Whether providers' credentials enter sandboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialMode {
    /// They do not: the sandbox has placeholders, and a gateway outside of it puts the credentials
    /// into requests to the provider.
    #[default]
    Brokered,
    /// They are variables of the CLI.
    Injected,
}

/// What files in a workspace may decide, whatever the runtime calls them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectConfig {
    /// They are read as instructions to the agent. Hooks, MCP servers, plugins, key helpers,
    /// endpoints, sharing and model providers in them are not obeyed.
    #[default]
    Instructions,
    /// Everything that the CLI lets them.
    All,
    /// Nothing: not even instructions are read.
    None,
}
