//! The driver without isolation.

use std::path::{Path, PathBuf};

use crate::probe::{Check, Probe, State};
use crate::{Launch, Network, SandboxDriver, SandboxError, SandboxSpec, Watch};

pub(crate) const NAME: &str = "process";

/// Runs commands as ordinary processes of the server's own user.
///
/// There is no isolation of any kind: a command sees and reaches whatever the server does. The
/// environment and the home are the session's own, private files are written into the home or the
/// workspace, limits are watched at best. For machines that are a sandbox themselves.
#[derive(Debug, Default)]
pub struct Process {
    _private: (),
}

impl Process {
    /// The driver; it has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl SandboxDriver for Process {
    fn name(&self) -> &'static str {
        NAME
    }

    fn place(&self, host: &Path, _inside: &Path) -> PathBuf {
        host.to_path_buf()
    }

    fn private_dir(&self, home: &Path) -> PathBuf {
        home.join(".aod-private")
    }

    fn launch(&self, _spec: &SandboxSpec) -> Result<Launch, SandboxError> {
        Err(SandboxError::Unsupported {
            driver: NAME,
            what: "launches yet".into(),
        })
    }

    fn probe(&self) -> Probe {
        Probe {
            driver: NAME.into(),
            usable: true,
            checks: vec![Check::lacking(
                "isolation",
                State::NotEnforced,
                "commands run as the server's own user and see all that it sees",
                Some("set the sandbox driver to `bubblewrap`"),
            )],
        }
    }
}
