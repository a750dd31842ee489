//! What is known of an agent before it is spoken to.

use aod_plugin_sdk::Context;

use crate::names::Servers;

/// What is known of an agent before it is spoken to.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The method to authenticate with before a session is begun.
    pub auth_method: Option<String>,
    /// What to choose by `session/set_model`; none: the command line chooses.
    pub model: Option<String>,
    /// What to choose by `session/set_mode`.
    pub mode: Option<String>,
    /// What users may set.
    pub settings: Vec<ConfigOption>,
    /// Whether the agent is told of the MCP servers when a session is opened; else its own
    /// configuration has them.
    pub offers_servers: bool,
    /// Whether the system prompt is put in front of a conversation's first prompt; else the agent
    /// reads it elsewhere.
    pub prepends_system: bool,
    /// What is done when it asks for permission.
    pub permissions: Permissions,
    /// With [`Permissions::Ask`]: what is answered where nobody does.
    pub permission_default: Choice,
    /// With [`Permissions::Ask`]: how long an answer is waited for, in seconds.
    pub permission_deadline: u32,
    /// How long a loaded session must be silent before it counts as loaded, in milliseconds: some
    /// agents go on telling its history after they have said that it is.
    pub replay_quiet_ms: u32,
    /// How the names of MCP servers' tools begin.
    pub servers: Servers,
}

impl Profile {
    /// An agent that chooses for itself and is asked for nothing.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        Self {
            auth_method: None,
            model: None,
            mode: None,
            settings: Vec::new(),
            offers_servers: true,
            prepends_system: true,
            permissions: Permissions::Ask,
            permission_default: Choice::Reject,
            permission_deadline: 300,
            replay_quiet_ms: 1_000,
            servers: Servers::new(context),
        }
    }
}

/// Something that is set before a prompt.
#[derive(Debug, Clone)]
pub struct ConfigOption {
    /// Its id among the session's settings.
    pub id: String,
    /// The agent's own id of it.
    pub config: String,
    /// How it is set.
    pub method: Method,
    /// What is set where a prompt sets nothing; none: it stays as it is.
    pub default: Option<String>,
    /// Whether no prompt is asked where the agent refuses it.
    pub is_required: bool,
}

/// How something is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By `session/set_config_option`.
    ConfigOption,
    /// By `session/set_mode`.
    Mode,
}

/// What is done when an agent asks for permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// The session's user is asked.
    Ask,
    /// It is given.
    Allow,
    /// It is not.
    Reject,
}

/// Whether permission is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Yes.
    Allow,
    /// No.
    Reject,
}
