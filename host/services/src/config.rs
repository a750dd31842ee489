//! Settings of the server. The binary reads them from file, environment and flags.

use std::path::PathBuf;

use secrecy::SecretString;

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The runtimes' manifest.
    pub runtimes: PathBuf,
    /// Compiles the runtimes' components.
    pub compiler: aod_runtime::Compiler,
    /// Components that were compiled when the release was made; none for one that has none.
    pub precompiled: Option<PathBuf>,
    /// The supervisor's program.
    pub supervisor: PathBuf,
    /// The vault.
    pub vault: VaultConfig,
    /// How many sessions of one user may be pending or running.
    pub sessions_per_user: u32,
    /// What an upload to a workspace may hold.
    pub uploads: crate::files::UploadLimits,
    /// Turns.
    pub turns: aod_turns::Config,
    /// Webhooks.
    pub webhooks: aod_webhooks::Config,
    /// The collector that is told of ended turns; none where nobody is.
    pub telemetry: Option<aod_telemetry::Config>,
}

/// Settings of the vault.
#[derive(Clone, Debug, Default)]
pub struct VaultConfig {
    /// The age identity to use in place of the data folder's own.
    pub identity_file: Option<PathBuf>,
    /// Opens a protected identity, and protects one that is made.
    pub passphrase: Option<SecretString>,
}
