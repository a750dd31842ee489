//! The sections of `aod.toml`, with their defaults.

use std::time::Duration;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Pending and running sessions of one user.
    pub(super) sessions_per_user: u32,
    /// The largest request body.
    pub(super) body: ByteSize,
    /// The largest upload to a workspace, as it is sent and as it is unpacked.
    pub(super) upload: ByteSize,
    /// The most entries of an archive that is unpacked into a workspace.
    pub(super) upload_entries: u64,
    /// What the turns of one user may use on one day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_day_rounds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_day_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_day_cost_usd: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Turn {
    #[serde(with = "humantime_serde")]
    pub(super) timeout: Duration,
    /// Zero: a turn may be silent for as long as it may run.
    #[serde(with = "humantime_serde")]
    pub(super) idle: Duration,
    /// How long a call of a tool waits for somebody's answer where the tool says nothing.
    #[serde(with = "humantime_serde")]
    pub(super) tool_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub(super) grace: Duration,
    #[serde(with = "humantime_serde")]
    pub(super) stale: Duration,
    #[serde(with = "humantime_serde")]
    pub(super) step_timeout: Duration,
    /// What a setup script may take where its environment says nothing.
    #[serde(with = "humantime_serde")]
    pub(super) setup_timeout: Duration,
    /// What is kept of a session's provisioning output.
    pub(super) step_output: ByteSize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sandbox {
    pub(super) driver: String,
    pub(super) network: SandboxNetwork,
    pub(super) memory: ByteSize,
    pub(super) pids: u64,
    pub(super) open_files: u64,
    pub(super) file_size: ByteSize,
    /// What a session's home and workspace may hold together; 0: as much as there is room for.
    pub(super) disk: ByteSize,
    /// What holds that: `auto`, `quota`, `image` or `watch`.
    pub(super) disk_by: aod_sandbox::DiskBy,
}

/// Which network sandboxes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SandboxNetwork {
    /// One of their own, with a way out that `[egress]` describes.
    Own,
    /// The host's, its loopback included.
    Host,
}

/// Repositories of sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Git {
    /// Commits of history that are cloned where a resource says nothing; 0: all.
    pub(super) depth: u32,
    /// Whether repositories may be fetched without TLS.
    pub(super) allow_http: bool,
    /// What the `owner/repo` of a skill is below.
    pub(super) skills_url: String,
    /// Mirrors that no session has used for so long are removed at a start; 0s: none is.
    #[serde(with = "humantime_serde")]
    pub(super) mirror_age: Duration,
}

/// Packages of environments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Packages {
    /// Packages that no turn was started with for so long are removed; 0s: none are.
    #[serde(with = "humantime_serde")]
    pub(super) layer_age: Duration,
    /// Whether the scripts of apt's packages are run, where the server is run by root; otherwise they
    /// are unpacked only, as for a server that is not.
    pub(super) apt_scripts: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `pretty` or `json`.
    pub(crate) format: LogFormat,
    /// A filter such as `info` or `aod_turns=debug`.
    pub(crate) level: String,
    /// When a session's log is forced to the disk.
    pub(super) fsync: Fsync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fsync {
    Always,
    Interval,
    Never,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admission {
    /// Turns that run at once.
    pub(super) max_running: usize,
    /// What they may need together; nothing: as much as there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<ByteSize>,
    /// What a turn is taken to need where its runtime says nothing.
    pub(super) turn_memory: ByteSize,
}

/// Processes that stay between turns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Live {
    /// How long a CLI that can be spoken to stays after a turn, for the next one; 0s: it does not.
    #[serde(with = "humantime_serde")]
    pub(super) idle: Duration,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Compat {
    /// Whether the stage `create_sandbox` is named as in the public API.
    pub(super) stage_names: bool,
}

impl Log {
    /// A word that is no level would be taken for a part of the program, of which alone there would
    /// be a log.
    pub(super) fn check(&self) -> Result<()> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let is_level = |word: &str| LEVELS.iter().any(|it| word.trim().eq_ignore_ascii_case(it));
        let mut parts = self.level.split(',');
        match parts.find(|part| !part.contains(['=', '[']) && !is_level(part)) {
            None => Ok(()),
            Some(wrong) => bail!(
                "log.level: {wrong:?} should be one of {}, or say for which part of the program it \
                 is, as in \"info,aod_turns=debug\"",
                LEVELS.join(", ")
            ),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_per_user: 10,
            body: ByteSize::mib(2),
            upload: ByteSize::gib(1),
            upload_entries: 200_000,
            user_day_rounds: None,
            user_day_output_tokens: None,
            user_day_cost_usd: None,
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            idle: Duration::ZERO,
            tool_timeout: Duration::from_secs(3600),
            grace: Duration::from_secs(5),
            stale: Duration::from_secs(600),
            step_timeout: Duration::from_secs(900),
            setup_timeout: Duration::from_secs(900),
            step_output: ByteSize::mib(16),
        }
    }
}

impl Default for Git {
    fn default() -> Self {
        Self {
            depth: 0,
            allow_http: false,
            skills_url: "https://github.com".to_owned(),
            mirror_age: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Default for Packages {
    fn default() -> Self {
        Self {
            layer_age: Duration::from_secs(30 * 86_400),
            apt_scripts: true,
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            driver: "bubblewrap".to_owned(),
            network: SandboxNetwork::Own,
            memory: ByteSize::gib(4),
            pids: 2048,
            open_files: 65_536,
            file_size: ByteSize::gib(16),
            disk: ByteSize::gib(20),
            disk_by: aod_sandbox::DiskBy::Auto,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Pretty,
            level: "info".to_owned(),
            fsync: Fsync::Interval,
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            max_running: 64,
            memory: None,
            turn_memory: ByteSize::mib(600),
        }
    }
}
