//! Settings of turns. The binary reads them from file, environment and flags.

use std::path::PathBuf;
use std::time::Duration;

use aod_egress::MappedHost;
use aod_resources::CredentialMode;

/// Settings of all turns.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which turns may run at once; the others wait for their turn.
    pub admission: AdmissionConfig,
    /// The log's durability.
    pub log: aod_log::Options,
    /// What is kept of a session's history.
    pub retention: RetentionConfig,
    /// Which checkpoints are made and kept.
    pub checkpoints: crate::CheckpointConfig,
    /// Their limits.
    pub turn: TurnConfig,
    /// What the turns of one user may use on one day (UTC).
    pub user_day: aod_resources::Limits,
    /// Processes that stay between turns.
    pub live: LiveConfig,
    /// Sandboxes.
    pub sandbox: SandboxConfig,
    /// Git.
    pub git: crate::GitConfig,
    /// Packages of environments.
    pub packages: crate::PackagesConfig,
    /// Their network.
    pub egress: EgressConfig,
    /// Whether `create_sandbox` is also named as in the public API.
    pub compat_stage_names: bool,
}

/// How many turns may run at once.
#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// So many.
    pub max_running: usize,
    /// As long as they need no more memory than this between them.
    pub memory: Option<u64>,
    /// What a turn needs where its runtime says nothing, in bytes.
    pub turn_memory: u64,
}

/// Processes that stay between turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveConfig {
    /// How long one may rest after a turn; zero: every turn has a process of its own.
    pub idle: Duration,
}

/// What is kept of a session's history. The newest part always is, and what a running turn needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetentionConfig {
    /// What is older may be deleted.
    pub age: Option<Duration>,
    /// What is more may be deleted, oldest first.
    pub bytes: Option<u64>,
    /// The files of a session that nobody has used for so long are removed.
    pub files: Option<Duration>,
    /// So long before, that is announced.
    pub notice: Duration,
}

impl RetentionConfig {
    /// Whether anything is ever deleted.
    pub(crate) const fn is_set(&self) -> bool {
        self.age.is_some() || self.bytes.is_some()
    }
}

/// How long turns may take.
#[derive(Clone, Debug)]
pub struct TurnConfig {
    /// Seconds that a turn may take where its session says nothing.
    pub timeout: u32,
    /// A turn that writes nothing for so long is stopped.
    pub idle: Option<Duration>,
    /// How long a call of a tool waits for somebody's answer where the tool says nothing.
    pub tool_timeout: Duration,
    /// How long a CLI that was asked to stop may take.
    pub grace: Duration,
    /// A stream is ended with `stale` after so much silence of a running turn.
    pub stale: Duration,
    /// How long each provisioning step may take.
    pub step_timeout: Duration,
    /// How long a setup script may take where its environment says nothing.
    pub setup_timeout: Duration,
    /// So many bytes of a session's provisioning output are kept; the rest is not.
    pub step_output: u64,
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            timeout: 600,
            idle: None,
            tool_timeout: Duration::from_secs(3600),
            grace: Duration::from_secs(5),
            stale: Duration::from_secs(600),
            step_timeout: Duration::from_secs(900),
            setup_timeout: Duration::from_secs(900),
            step_output: 16 << 20,
        }
    }
}

/// The network of sandboxes.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    /// Whether they share the host's network instead of having one of their own.
    pub shares_host: bool,
    /// The `aod-egress` program.
    pub program: PathBuf,
    /// Names that lead to addresses of the operator's choice.
    pub hosts: Vec<MappedHost>,
    /// Whether addresses of private networks may be reached.
    pub allow_private: bool,
    /// Certificates, as PEM, that gateways trust besides the public authorities.
    pub authorities: Option<String>,
    /// What `allow_package_managers` makes reachable: names, or `*.suffix`.
    pub package_hosts: Vec<String>,
    /// Whether credentials enter sandboxes where the environment says nothing.
    pub credentials: CredentialMode,
    /// What becomes of packets of programs that know no proxy, where an environment asks for it.
    pub raw: RawEgress,
}

/// Whether environments may have a network device for programs that know no proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RawEgress {
    /// The operator does not let them.
    #[default]
    Off,
    /// The operator does, and this machine lacks `passt`.
    Missing,
    /// By this program.
    Passt(PathBuf),
}

/// Settings of sandboxes.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The driver's name.
    pub driver: String,
    /// What each sandbox may use.
    pub limits: aod_sandbox::Limits,
    /// What is to hold the limit of the disk.
    pub disk_by: aod_sandbox::DiskBy,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            driver: "bubblewrap".to_owned(),
            limits: aod_sandbox::Limits::default(),
            disk_by: aod_sandbox::DiskBy::default(),
        }
    }
}
