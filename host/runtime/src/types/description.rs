//! What an adapter says of itself and of its CLI.

use serde::Serialize;

/// What an adapter says of itself and of its CLI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The adapter's name. The runtime's name is its table's in `runtimes.toml`, and may differ.
    pub name: String,
    /// The adapter's own version.
    pub version: String,
    /// The CLI.
    pub cli: Cli,
    /// The model providers that the CLI can talk to.
    pub providers: Vec<Provider>,
    /// Models known to work.
    pub models: Vec<Model>,
    /// Credentials that the CLI can use.
    pub credentials: Vec<Credential>,
    /// Where the CLI looks for skills, relative to `$HOME`. None: it has no skills.
    pub skills_folder: Option<String>,
    /// How a later turn finds the conversation again.
    pub resume: ResumeStrategy,
    /// How the CLI is asked to stop.
    pub interrupt: Interrupt,
    /// How long after the end of a turn was seen in its output the CLI may take to exit, in
    /// milliseconds.
    pub exit_grace_ms: u32,
    /// What the CLI can do.
    pub capabilities: Capabilities,
}

/// Where the CLI comes from and which versions were tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cli {
    /// The program's name, as found in `PATH`.
    pub command: String,
    /// Arguments that make it print its version.
    pub version_args: Vec<String>,
    /// The versions that the adapter was tested with, as a semver requirement.
    pub tested: String,
    /// How to install it.
    pub install: Vec<InstallStep>,
}

/// One step of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallStep {
    /// An npm package with its version, installed globally into the prefix.
    Npm(String),
    /// A command; `$PREFIX` in its arguments is the prefix.
    Run(Vec<String>),
}

/// A model provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// The provider's part of a canonical model id.
    pub id: String,
    /// The variable in which users of the CLI expect to give another base URL.
    pub endpoint_variable: Option<String>,
    /// Whether the CLI takes any model that the catalog has for this provider.
    pub whole_catalog: bool,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// The canonical id, `provider/model-id`.
    pub id: String,
    /// A name for people.
    pub label: Option<String>,
}

/// A credential that a user may register, or give under its variable's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// `provider_key:<provider>` or `runtime_token:<name>`.
    pub name: String,
    /// The environment variable by which it is known to users and given to sandboxes.
    pub variable: String,
    /// The providers it opens.
    pub providers: Vec<String>,
    /// Names of registered credentials that are not used while this one is registered.
    pub displaces: Vec<String>,
    /// A prefix that valid values have, for a warning at registration.
    pub prefix: Option<String>,
    /// A word for people.
    pub label: String,
}

/// How a later turn finds the conversation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeStrategy {
    /// The adapter chooses the CLI's session id.
    CallerChosen,
    /// The CLI says its session id in the stream.
    FromStream,
    /// The CLI goes on with the newest conversation in this `$HOME`.
    Latest,
    /// It cannot: every turn starts afresh.
    None,
}

/// How the CLI is asked to stop a turn so that the session can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Interrupt {
    /// SIGINT to the CLI.
    Sigint,
    /// SIGTERM to the CLI.
    Sigterm,
    /// By what [`Turn::interrupt`](crate::Turn::interrupt) writes to its stdin.
    Dialogue,
    /// It does not answer to anything: kill at once.
    Kill,
}

/// What a CLI can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Text arrives in pieces.
    pub deltas: bool,
    /// It counts tokens.
    pub usage: bool,
    /// It says what a turn cost.
    pub cost: bool,
    /// It can ask for permission.
    pub permissions: bool,
    /// An interrupted session takes another prompt.
    pub interrupt: bool,
    /// It takes a system prompt.
    pub system_prompt: bool,
    /// It runs MCP servers over standard streams.
    pub mcp_stdio: bool,
    /// It reaches MCP servers over HTTP.
    pub mcp_url: bool,
    /// It loads skills.
    pub skills: bool,
}
