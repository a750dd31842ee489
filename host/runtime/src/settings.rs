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
        }
    }
}
