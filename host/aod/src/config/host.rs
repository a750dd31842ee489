//! What the server's parts are told of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::sections::Fsync;
use super::{Settings, beside_program, folder_beside_program, positive};

impl Settings {
    /// What the services need.
    pub(crate) fn host(&self) -> Result<aod_services::Config> {
        Ok(aod_services::Config {
            data_dir: self.data_dir.clone(),
            runtimes: self.runtimes.clone(),
            compiler: aod_runtime::Compiler {
                program: "/proc/self/exe".into(),
                name: "aod".into(),
                arguments: vec![crate::cli::COMPILE.into()],
            },
            vault: crate::vault::configuration()?,
            sessions_per_user: self.limits.sessions_per_user,
            uploads: aod_services::files::UploadLimits {
                bytes: self.limits.upload.as_u64(),
                entries: self.limits.upload_entries,
            },
            precompiled: folder_beside_program("precompiled"),
            supervisor: supervisor()?,
            turns: self.turns()?,
            webhooks: self.webhooks.config(&self.egress)?,
            telemetry: self.telemetry.config(&self.egress)?,
        })
    }

    /// What turns are run with.
    fn turns(&self) -> Result<aod_turns::Config> {
        Ok(aod_turns::Config {
            admission: aod_turns::AdmissionConfig {
                max_running: self.admission.max_running,
                memory: self.admission.memory.map(|memory| memory.as_u64()),
                turn_memory: self.admission.turn_memory.as_u64(),
            },
            user_day: aod_resources::Limits {
                max_rounds: self.limits.user_day_rounds,
                max_output_tokens: self.limits.user_day_output_tokens,
                max_cost_usd: self.limits.user_day_cost_usd,
            },
            live: aod_turns::LiveConfig {
                idle: self.live.idle,
            },
            retention: self.retention.settings(),
            checkpoints: self.checkpoints.settings(),
            log: aod_log::Options {
                fsync: match self.log.fsync {
                    Fsync::Always => aod_log::Fsync::Always,
                    Fsync::Interval => aod_log::Fsync::Interval(Duration::from_secs(1)),
                    Fsync::Never => aod_log::Fsync::Never,
                },
                segment_bytes: self.segment_bytes(),
            },
            turn: aod_turns::TurnConfig {
                timeout: u32::try_from(self.turn.timeout.as_secs()).unwrap_or(3600),
                idle: positive(self.turn.idle),
                // No tool may say more.
                tool_timeout: self.turn.tool_timeout.min(Duration::from_secs(86_400)),
                grace: self.turn.grace,
                stale: self.turn.stale,
                step_timeout: self.turn.step_timeout,
                setup_timeout: self.turn.setup_timeout,
                step_output: self.turn.step_output.as_u64(),
            },
            sandbox: aod_turns::SandboxConfig {
                driver: self.sandbox.driver.clone(),
                limits: aod_sandbox::Limits {
                    memory_bytes: Some(self.sandbox.memory.as_u64()),
                    pids: Some(self.sandbox.pids),
                    open_files: Some(self.sandbox.open_files),
                    file_size: Some(self.sandbox.file_size.as_u64()),
                    disk_bytes: Some(self.sandbox.disk.as_u64()).filter(|most| *most > 0),
                    ..aod_sandbox::Limits::default()
                },
                disk_by: self.sandbox.disk_by,
            },
            git: aod_turns::GitConfig {
                depth: Some(self.git.depth).filter(|depth| *depth > 0),
                allow_http: self.git.allow_http,
                ca_file: self.egress.ca_file()?,
                skills_url: self.git.skills_url.clone(),
                mirror_age: self.git.mirror_age,
            },
            packages: aod_turns::PackagesConfig {
                layer_age: self.packages.layer_age,
                apt_scripts: self.packages.apt_scripts,
            },
            egress: self.egress.settings(self.shares_network())?,
            compat_stage_names: self.compat.stage_names,
        })
    }

    /// How large the parts are in which a log is written, and deleted: eight of them are kept
    /// where the size of a log is limited.
    pub(super) fn segment_bytes(&self) -> u64 {
        let usual = aod_log::Options::default().segment_bytes;
        let bytes = self.retention.bytes.map(|bytes| bytes.as_u64() / 8);
        bytes.map_or(usual, |bytes| bytes.clamp(64 << 10, usual))
    }
}

/// The supervisor's program: where `AOD_SUPERVISOR` says, else beside this one.
fn supervisor() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("AOD_SUPERVISOR") {
        return Ok(path.into());
    }
    beside_program("aod-supervisor").context(
        "aod-supervisor is not beside the aod program: install both, or set AOD_SUPERVISOR",
    )
}
