//! What `runtimes.toml` says of one runtime, apart from which component it is.

use indexmap::IndexMap;

use crate::limits::Limits;
use crate::types::InstallStep;

/// What `runtimes.toml` says of one runtime, apart from which component it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the CLI is, instead of where the adapter's steps install it.
    pub command: Option<String>,
    /// How to install the CLI, instead of the adapter's steps.
    pub install: Option<Vec<InstallStep>>,
    /// Variables that every turn of this runtime has.
    pub env: IndexMap<String, String>,
    /// What the adapter may take.
    pub limits: Limits,
    /// The memory that a turn's processes need, in bytes, for the host to plan with.
    pub turn_memory: Option<u64>,
    /// The `options` table, as a JSON object.
    pub options: String,
    /// Where providers' answers say how many tokens were used, by provider, where that is not where
    /// most have it.
    pub usage: IndexMap<String, UsagePaths>,
    /// Where OAuth tokens are renewed, by the names of credentials.
    pub oauth: IndexMap<String, OauthEndpoint>,
}

/// Where the OAuth tokens of a credential are renewed, and where its JSON has them: each as the keys
/// of the objects that lead there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthEndpoint {
    /// The token endpoint.
    pub token_url: String,
    /// As whom it is asked.
    pub client_id: String,
    /// What goes with that, where it wants something.
    pub client_secret: Option<String>,
    /// Whether it is asked in JSON, and not in the standard's form.
    pub is_json: bool,
    /// The token.
    pub access_token: Vec<String>,
    /// What renews it.
    pub refresh_token: Vec<String>,
    /// When it expires, in seconds or milliseconds since the Unix epoch.
    pub expires_at: Vec<String>,
}

/// Where a provider's answers say how many tokens were used: for each figure the places where it
/// may stand, each as the keys of the objects that lead there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePaths {
    /// Tokens sent.
    pub input: Vec<Vec<String>>,
    /// Tokens sent that are not in `input`.
    pub input_apart: Vec<Vec<String>>,
    /// Of `input`, tokens that were read from a cache.
    pub cached: Vec<Vec<String>>,
    /// Tokens that were read from a cache and are not in `input`.
    pub cached_apart: Vec<Vec<String>>,
    /// Tokens received.
    pub output: Vec<Vec<String>>,
    /// Tokens received that are not in `output`.
    pub output_apart: Vec<Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            command: None,
            install: None,
            env: IndexMap::new(),
            limits: Limits::default(),
            turn_memory: None,
            options: "{}".to_owned(),
            usage: IndexMap::new(),
            oauth: IndexMap::new(),
        }
    }
}
