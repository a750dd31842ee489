//! What is kept of sessions: `[retention]` and `[checkpoints]`.

use std::time::Duration;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// What is kept of each session. Nothing is deleted where nothing is said.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    /// What is older may be deleted.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub(super) age: Option<Duration>,
    /// What a session's log has beyond this may be deleted, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<ByteSize>,
    /// The home and the workspace of a session that nobody has used for so long are removed.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    files: Option<Duration>,
    /// So long before that is announced.
    #[serde(with = "humantime_serde")]
    notice: Duration,
}

/// What sessions were at their turns' ends, from which they can be copied and to which they can be
/// taken back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Checkpoints {
    /// Whether that is kept.
    enabled: bool,
    /// Of so many turns of each session, the last ones.
    keep: u32,
    /// What it may take of the disk, for each session. A session that has more has none.
    max_bytes: ByteSize,
    /// Whether content is compressed that the file system cannot share with the workspace.
    compress: bool,
    /// So long a session's next turn waits until its files are copied. What is not copied by then is
    /// given up, and that turn's end has one again.
    #[serde(with = "humantime_serde")]
    wait: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: None,
            bytes: None,
            files: None,
            notice: Duration::from_secs(86_400),
        }
    }
}

impl Default for Checkpoints {
    fn default() -> Self {
        let aod_turns::CheckpointConfig {
            enabled,
            keep,
            max_bytes,
            compress,
            wait,
        } = aod_turns::CheckpointConfig::default();
        Self {
            enabled,
            keep,
            max_bytes: ByteSize::b(max_bytes),
            compress,
            wait,
        }
    }
}

impl Retention {
    pub(super) fn check(&self) -> Result<()> {
        if let Some(files) = self.files
            && files < self.notice
        {
            bail!(
                "retention.files should be no shorter than retention.notice, which is {}",
                humantime_serde::re::humantime::format_duration(self.notice)
            );
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> aod_turns::RetentionConfig {
        aod_turns::RetentionConfig {
            age: self.age,
            bytes: self.bytes.map(|bytes| bytes.as_u64()),
            files: self.files,
            notice: self.notice,
        }
    }
}

impl Checkpoints {
    pub(super) fn check(&self) -> Result<()> {
        if self.enabled && self.keep == 0 {
            bail!("checkpoints.keep should be 1 or more; checkpoints.enabled = false keeps none");
        }
        Ok(())
    }

    pub(super) const fn settings(&self) -> aod_turns::CheckpointConfig {
        aod_turns::CheckpointConfig {
            enabled: self.enabled,
            keep: self.keep,
            max_bytes: self.max_bytes.as_u64(),
            compress: self.compress,
            wait: self.wait,
        }
    }
}
